"""The ClassAd transaction log: the file in which HTCondor's negotiator keeps what it knows about users.

The file is text, one record a line. A record begins with a number: 101 makes an ad, 102 destroys it, 103 sets an
attribute, 104 deletes one, 105 begins a transaction, 106 ends it (a comment may follow), and 107, the first line,
counts how often the file was rewritten and says when it was made. (Source: HTCondor's log.h, classad_log.h.)

What a reader may rely on: a change is in the file, and on the disk, when its 106 line is. So a file cut anywhere,
by a crash or by a copy taken while it grew, still holds every transaction but the one that was being written. That
one is dropped by whoever loads the file, and the file is rewritten before anything is appended to it: a new
transaction behind half of an old one would make the old half count. Damage in the *middle*, with a finished
transaction behind it, is no crash that we know of; it is refused, because guessing there loses somebody's usage.

Rewriting goes through `<file>.tmp` and a rename, so the file's inode changes and nobody ever reads a mixture.
Only the standard library is used, and little of it: the demo counts milliseconds from election to first cycle.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without the price of importing typing
if TYPE_CHECKING:
    from pathlib import Path

NEW_AD = "101"
DESTROY_AD = "102"
SET_ATTRIBUTE = "103"
DELETE_ATTRIBUTE = "104"
BEGIN = "105"
END = "106"
HISTORY = "107"

#: HTCondor's default of MAX_ACCOUNTANT_DATABASE_SIZE: a log that is larger is rewritten.
MAXIMUM_BYTES = 1_000_000

#: How many blank-separated words follow the number; the last word of a 103 is an expression and may hold blanks.
_WORDS = {NEW_AD: 3, DESTROY_AD: 1, SET_ATTRIBUTE: 3, DELETE_ATTRIBUTE: 2, HISTORY: 3}


class CorruptLogError(Exception):
    """The file is damaged before its last finished transaction, so a crash of ours does not explain it."""


class LogContents:
    """What a log says: the ads by key, each a dict of attribute name to expression text, and its history.

    `sequence` counts rewrites, `created` is seconds since 1970, `transactions` is how many ended in the file, and
    `dropped_bytes` the length of the tail that counts for nothing. `is_compact` is false when the file must be
    rewritten before anything is appended to it: it holds transactions, or such a tail, or nothing.
    """

    def __init__(self) -> None:
        self.ads: dict[str, dict[str, str]] = {}
        self.sequence = 0
        self.created = 0
        self.transactions = 0
        self.dropped_bytes = 0
        self.is_compact = False

    def apply(self, record: list[str]) -> None:
        """Let one record, as `parse_record` gives it, take effect."""
        number, *words = record
        if number == NEW_AD:
            self.ads[words[0]] = {}
        elif number == DESTROY_AD:
            self.ads.pop(words[0], None)
        elif number == SET_ATTRIBUTE:
            self.ads.setdefault(words[0], {})[words[1]] = words[2]
        elif number == DELETE_ATTRIBUTE:
            self.ads.get(words[0], {}).pop(words[1], None)
        elif number == HISTORY:
            self.sequence, self.created = int(words[0]), int(words[2])

    def render(self) -> bytes:
        """Return the bytes of a compact log: the history line, then every ad, and no transaction."""
        lines = [f"{HISTORY} {self.sequence} CreationTimestamp {self.created}"]
        for key, ad in self.ads.items():
            lines.append(f"{NEW_AD} {key} * *")
            lines += [f"{SET_ATTRIBUTE} {key} {name} {expression}" for name, expression in ad.items()]
        return _encode(lines)


def parse_record(line: str) -> list[str] | None:
    """Split one line, without its newline, into its number and words; None when it is no record."""
    number, blank, rest = line.partition(" ")
    if number == BEGIN:
        return [BEGIN] if blank and not rest else None
    if number == END:
        return [END, rest] if blank and (not rest or rest.startswith("#")) else None
    words = rest.split(" ", _WORDS.get(number, 0) - 1) if number in _WORDS else []
    if not words or len(words) != _WORDS[number] or not all(words):
        return None
    if number == HISTORY and not (words[0].isdecimal() and words[2].isdecimal()):
        return None
    return [number, *words]


def parse(raw: bytes) -> LogContents:
    """Read the bytes of a log.

    Raises:
        CorruptLogError: a line that is no record, or is at the wrong place, stands before a finished transaction.
    """
    contents = LogContents()
    *lines, torn = raw.decode("utf-8", "surrogateescape").split("\n")
    pending: list[list[str]] | None = None
    settled = 0
    for index, line in enumerate(lines):
        record = parse_record(line)
        misplaced = record and (
            (record[0] == HISTORY and index > 0) or (record[0] == END and pending is None)
        )
        if not record or misplaced:
            _refuse_if_finished_later(lines, index)
            break
        if record[0] == BEGIN:
            # A transaction that another one interrupts never ended, and so never happened.
            pending = []
        elif record[0] == END:
            for change in pending or []:
                contents.apply(change)
            contents.transactions += 1
            pending = None
        elif pending is not None:
            pending.append(record)
        else:
            contents.apply(record)
        if pending is None:
            settled = index + 1
    contents.dropped_bytes = len(_encode(lines[settled:])) + len(torn.encode("utf-8", "surrogateescape"))
    contents.is_compact = bool(lines) and not contents.dropped_bytes and not contents.transactions
    return contents


def _refuse_if_finished_later(lines: list[str], index: int) -> None:
    """Raise when a transaction ends behind the bad line at `index`; otherwise the rest is a crash's tail."""
    if any(line.startswith(f"{END} ") for line in lines[index + 1 :]):
        raise CorruptLogError(
            f"line {index + 1} is no record that may stand there ({lines[index]!r}), and finished transactions "
            "follow it; restore the file from a replica, or cut it at that line to give up what follows"
        )


class ClassAdLog:
    """One log file, open for appending, and its contents in memory.

    Changes take effect in memory at once and reach the file together, at `commit`. An OSError from `commit`
    leaves the file behind the memory: the only way on is to end the process and load the file again.
    """

    def __init__(self, path: Path, now: int, maximum_bytes: int = MAXIMUM_BYTES) -> None:
        """Load or create the file at `path`; `now` is seconds since 1970, the birth of a new file.

        Raises:
            CorruptLogError: see `parse`.
            OSError: the file or its folder cannot be read or written.
        """
        self._path = path
        self._maximum_bytes = maximum_bytes
        self._pending: list[str] = []
        self._file = -1
        raw = path.read_bytes() if path.exists() else b""
        self.contents = parse(raw)
        self.ads = self.contents.ads
        if not self.contents.created:
            self.contents.created = now
        if self.contents.is_compact:
            self._open(len(raw))
        else:
            self.compact()

    def set(self, key: str, attribute: str, expression: str) -> None:
        """Set one attribute of the ad `key`, which is made if need be, to the text of a ClassAd expression."""
        assert "\n" not in expression, expression
        if key not in self.ads:
            self._change([NEW_AD, key, "*", "*"])
        if self.ads[key].get(attribute) != expression:
            self._change([SET_ATTRIBUTE, key, attribute, expression])

    def destroy(self, key: str) -> None:
        """Destroy the ad `key`."""
        self._change([DESTROY_AD, key])

    def commit(self, comment: str) -> None:
        """Append all changes since the last commit as one transaction; they are on the disk when this returns."""
        lines = [f"{BEGIN} ", *self._pending, f"{END} #{comment}"]
        self._pending = []
        self._size_bytes += _write(self._file, _encode(lines))
        os.fdatasync(self._file)
        if self._size_bytes > self._maximum_bytes:
            self.compact()
            # A log that stays large is given room, or it would be rewritten at every commit.
            self._maximum_bytes = max(self._maximum_bytes, 2 * self._size_bytes)

    def compact(self) -> None:
        """Rewrite the file without its history of changes; everything in it stays, its inode does not."""
        assert not self._pending, "a transaction is open"
        self.contents.sequence += 1
        temporary = self._path.with_name(self._path.name + ".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            size_bytes = _write(descriptor, self.contents.render())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._open(size_bytes)

    def close(self) -> None:
        """Close the file; changes that were not committed are forgotten, as a crash would."""
        os.close(self._file)
        self._file = -1

    def _open(self, size_bytes: int) -> None:
        """Append from here on to the file that now has the log's name and `size_bytes`."""
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size_bytes = size_bytes

    def _change(self, record: list[str]) -> None:
        """Let a record take effect in memory and keep its line for the commit."""
        self.contents.apply(record)
        self._pending.append(" ".join(record))


def _encode(lines: list[str]) -> bytes:
    """Return the lines as a file holds them; bytes that were no UTF-8 when read come out as they were."""
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def _write(descriptor: int, data: bytes) -> int:
    """Write all of `data`, however many calls the kernel wants for it, and return its length."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return len(data)
