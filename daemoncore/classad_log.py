"""HTCondor's ClassAd log: the file in which the negotiator keeps what it knows about users, read and written as values.

The file is lines of text, each a record that begins with a number (HTCondor's src/condor_utils/log.h, classad_log.h):

    107 <times rewritten> CreationTimestamp <seconds>    the first line
    101 <key> <my type> <target type>                     a new ad
    102 <key>                                             the ad is gone
    103 <key> <attribute> <expression to the end>         an attribute is set
    104 <key> <attribute>                                 an attribute is gone
    105                                                   a transaction begins (the blank is part of it)
    106 [#comment]                                        the transaction ends, and only now counts

A writer appends, and syncs with each 106; now and then it writes a compact file and renames it over the log. So the
bytes up to the end of a finished transaction are a whole state, at any time: `settled_bytes` finds that end, so that a
copy may be taken while the negotiator writes. What stands behind it counts for nothing.

A bad line with a finished transaction behind it is no crash's doing. HTCondor's loader gives up there, and so does
`parse`: to guess would lose somebody's usage. A writer of ours appends nothing; it renders a whole compact file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

NEW_AD: Final = 101
DESTROY_AD: Final = 102
SET_ATTRIBUTE: Final = 103
DELETE_ATTRIBUTE: Final = 104
BEGIN: Final = 105
END: Final = 106
HISTORY: Final = 107

#: Blank-separated words behind each number; the last one of a 103 is an expression and may hold blanks.
_WORDS: Final = {NEW_AD: 3, DESTROY_AD: 1, SET_ATTRIBUTE: 3, DELETE_ATTRIBUTE: 2, HISTORY: 3}

#: The log is looked at in pieces of this size, so that a large one needs little memory.
PIECE_BYTES: Final = 1 << 20

#: A line that is longer is no record; without a limit a file of zeros would be read into memory.
LINE_LIMIT_BYTES: Final = 64 << 20


class CorruptLogError(Exception):
    """A line that may not stand there comes before a finished transaction; the text says which."""


@attrs.define
class LogContents:
    """What a log says.

    Attributes:
        ads: by key the attributes of each ad, expressions as their text.
        types: by key the two type names that an ad was made with, where they are not the Accountant's `*`.
        sequence: how often the file was rewritten.
        created: when the first of these files was made, seconds since 1970.
    """

    ads: dict[str, dict[str, str]] = attrs.field(factory=dict)
    types: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    sequence: int = 0
    created: int = 0

    def render(self) -> bytes:
        """Give a compact log: its first line, then each ad; no transaction."""
        lines = [f"{HISTORY} {self.sequence} CreationTimestamp {self.created}"]
        for key, ad in self.ads.items():
            my_type, target_type = self.types.get(key, ("*", "*"))
            lines.append(f"{NEW_AD} {key} {my_type} {target_type}")
            lines += [f"{SET_ATTRIBUTE} {key} {name} {expression}" for name, expression in ad.items()]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")

    def apply(self, record: Record) -> None:
        """Let one record take effect; the marks of transactions have none."""
        words = record.words
        if record.number == NEW_AD:
            self.ads[words[0]] = {}
            self.types.pop(words[0], None)
            if words[1:] != ("*", "*"):
                self.types[words[0]] = (words[1], words[2])
        elif record.number == DESTROY_AD:
            self.ads.pop(words[0], None)
            self.types.pop(words[0], None)
        elif record.number == SET_ATTRIBUTE:
            self.ads.setdefault(words[0], {})[words[1]] = words[2]
        elif record.number == DELETE_ATTRIBUTE:
            self.ads.get(words[0], {}).pop(words[1], None)
        elif record.number == HISTORY:
            self.sequence, self.created = int(words[0]), int(words[2])


@attrs.frozen
class Record:
    """One line: its number and the words behind it."""

    number: int
    words: tuple[str, ...] = ()


def parse_record(line: str) -> Record | None:
    """Read one line without its newline; None if it is no record."""
    number_text, blank, rest = line.partition(" ")
    number = int(number_text) if number_text in {"101", "102", "103", "104", "105", "106", "107"} else 0
    if number == BEGIN:
        return Record(BEGIN) if blank and not rest else None
    if number == END:
        return Record(END) if blank and rest[:1] in {"", "#"} else None
    if number not in _WORDS:
        return None
    words = tuple(rest.split(" ", _WORDS[number] - 1))
    if len(words) != _WORDS[number] or not all(words):
        return None
    if number == HISTORY and not (words[0].isdecimal() and words[2].isdecimal()):
        return None
    return Record(number, words)


def parse(data: bytes) -> LogContents:
    """Read a log; a tail that a crash or a copy cut off counts for nothing.

    Raises:
        CorruptLogError: a line that may not stand there comes before a finished transaction.
    """
    contents = LogContents()
    # What follows the last newline is a line that was being written.
    lines = data.decode("utf-8", "surrogateescape").split("\n")[:-1]
    transaction: list[Record] | None = None
    for place, line in enumerate(lines):
        record = parse_record(line)
        if record is None or not _may_stand(record, place, transaction is not None):
            _refuse_if_finished_later(lines, place)
            break
        if record.number == BEGIN:
            transaction = []
        elif record.number == END:
            for change in transaction or ():
                contents.apply(change)
            transaction = None
        elif transaction is not None:
            transaction.append(record)
        else:
            contents.apply(record)
    return contents


def _may_stand(record: Record, place: int, is_inside: bool) -> bool:
    """Whether a record may stand on line `place`, inside a transaction or outside."""
    if record.number == HISTORY:
        return place == 0
    return record.number != END or is_inside


def _refuse_if_finished_later(lines: list[str], place: int) -> None:
    if any(line.startswith(f"{END} ") for line in lines[place + 1 :]):
        raise CorruptLogError(
            f"line {place + 1} ({lines[place]!r:.80}) may not stand there, and finished transactions follow it"
        )


def is_log(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a ClassAd log: its first line is a whole 107."""
    line, newline, _ = head.partition(b"\n")
    record = parse_record(line.decode("utf-8", "surrogateescape")) if newline else None
    return record is not None and record.number == HISTORY


def settled_bytes(read: Callable[[int, int], bytes], start: int, end: int) -> int:
    """Find the end of the last whole state in a part of a log.

    Args:
        read: gives that many bytes from an offset, fewer at the end.
        start: an offset that is known to be such an end, or 0.
        end: how far to look.

    Returns:
        The offset behind the last finished transaction and the records that stand outside of any; at least `start`.
    """
    settled = position = start
    piece_bytes = PIECE_BYTES
    is_inside = False
    while position < end:
        data = read(position, min(piece_bytes, end - position))
        length = data.rfind(b"\n") + 1
        if not length:
            # A line longer than the piece, or the last one, which has no end yet.
            if not data or position + len(data) >= end or piece_bytes >= LINE_LIMIT_BYTES:
                break
            piece_bytes *= 2
            continue
        data = b"\n" + data[:length]
        last_end = data.rfind(b"\n106 ")
        if last_end >= 0 or not is_inside:
            opening = data.find(b"\n105 ", max(last_end, 0))
            is_inside = opening >= 0
            settled = position + (opening if is_inside else length)
        position += length
    return settled
