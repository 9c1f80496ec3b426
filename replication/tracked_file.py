"""One file of the state as it changes: what is new since the last look, without reading what is not.

A look compares inode, size and both times (mtime and ctime, nanoseconds) with the last one, and never their order: a
clock that was set back, a restored backup and a `touch -r` all are a difference. What kind of change it is:

* a larger file of the same inode, whose head looks the same, was appended to. Its SHA-256 goes on where it stopped, so
  a kilobyte behind a gigabyte costs a kilobyte. Whether the head is the same is judged by samples, `SAMPLE_BYTES` at
  both of its ends and `SAMPLES` blocks between; a `thorough` look reads all of it.
* anything else (another inode, as when a ClassAd log is compacted; a smaller file; other bytes) is read anew.

A ClassAd log counts up to the end of its last whole transaction, whatever is being written behind it. Any other file
counts when it was quiet for `quiet_seconds` and did not change while it was read; until then it is *still changing*.

What is not noticed: writes through a memory map before the kernel puts their time into the inode; and, in a file that
also grew, a rewritten head whose samples are the same, until the next thorough look.

What was just installed here has a digest that its transferer has verified, so it need not be read again (`adopt`). But a
digest does not tell how its computation goes on, and the first append would have to read everything. So the bytes are
read afterwards, a piece at a time while nothing else is to do (`warm`), which also proves that they are what was installed.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import itertools
import os
import stat
from pathlib import Path
from typing import Final

import attrs

from daemoncore.classad_log import is_log, settled_bytes
from daemoncore.durable import failures_named
from replication.manifest import FileRecord
from replication.reading import PIECE_BYTES, Reading, Signature, hashed, open_plain, samples_of

#: HTCondor's negotiator writes each transaction in one go; 0.2 s is many times the pause between two system calls.
QUIET_SECONDS: Final = 0.2

#: Enough for the first line of a ClassAd log.
_HEAD_BYTES: Final = 256

_STEMS: Final = itertools.count(1)


class Change(enum.Enum):
    """What a file is to its last snapshot."""

    FIRST = "first"
    SAME = "same"
    APPENDED = "appended"
    #: Another file has the name: a compacted log, or a restored backup.
    REPLACED = "replaced"
    #: The same file is shorter than what was published of it.
    TRUNCATED = "truncated"
    #: The same file has other bytes.
    REWRITTEN = "rewritten"


@attrs.frozen
class FileSnapshot:
    """A file at one moment.

    Attributes:
        record: name, size and digest of the part that counts.
        path: where it is.
        descriptor: open for reading, so that a compacted log can still be sent; the caller closes it. -1 if none was
            asked for.
        change: since the snapshot before.
        same_bytes: length of the head that is as it was then.
        is_older: its time of modification went back: a clock was set, or a backup was restored.
        stem: the same for two snapshots of a file if the later one begins with all bytes of the earlier one.
        modified_nanoseconds: when it was written last, by its own time.
    """

    record: FileRecord
    path: Path
    descriptor: int
    change: Change
    same_bytes: int
    is_older: bool = False
    stem: int = 0
    modified_nanoseconds: int = 0

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor >= 0:
            os.close(self.descriptor)


@attrs.frozen
class Changing:
    """No snapshot can be taken now: somebody is writing.

    Attributes:
        path: what is being written.
        retry_seconds: when to look again.
    """

    path: Path
    retry_seconds: float


class TrackedFile:
    """One file. `look` blocks on the disk, and for a long time when a large file is new."""

    def __init__(self, name: str, path: Path, quiet_seconds: float = QUIET_SECONDS) -> None:
        self.path = path
        self._name = name
        self._quiet_seconds = quiet_seconds
        self._accepted: Reading | None = None
        self._latest: Reading | None = None
        self._seen: Signature | None = None
        self._seen_since = 0.0
        self._stem = 0
        #: The same file was once seen with other bytes or fewer: its writer does not only append.
        self.was_rewritten = False

    @property
    def signature(self) -> Signature | None:
        """What the last look saw of the file; None if it was not there."""
        return self._seen

    def look(
        self,
        now: float,
        *,
        is_thorough: bool = False,
        has_descriptor: bool = True,
        is_quiet: bool = False,
    ) -> FileSnapshot | Changing | None:
        """Take a snapshot, if that is possible.

        Args:
            now: seconds on a clock that never steps.
            is_thorough: read the head of an appended file again, and a file that looks the same.
            has_descriptor: leave the file open.
            is_quiet: nobody writes any more, so that no quiet has to be waited for.

        Returns:
            None if there is no such file.

        Raises:
            RefusedError: it is a link, a folder or a device.
            DurableError: it cannot be read.
        """
        if not has_descriptor and not is_thorough:
            found = self._untouched()
            if found is not None:
                return found
        descriptor = open_plain(self.path)
        if descriptor is None:
            self._seen = None
            return None
        is_kept = False
        try:
            with failures_named("read the file", self.path):
                reading = self._reading(descriptor, now, is_thorough=is_thorough, is_quiet=is_quiet)
                if isinstance(reading, Changing):
                    return reading
                mode = stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o777
            is_kept = has_descriptor
            return self._snapshot(reading, descriptor if has_descriptor else -1, mode)
        finally:
            if not is_kept:
                os.close(descriptor)

    def accept(self) -> None:
        """Let the latest snapshot be the one with which later ones are compared."""
        assert self._latest is not None, "there was no snapshot"
        self._latest = self._accepted = attrs.evolve(self._latest, accepted_bytes=self._latest.size_bytes)

    def adopt(self, record: FileRecord, start: int) -> None:
        """Take for read, and for accepted, what was installed here a moment ago.

        A file that is not what its record says is forgotten, so that the next look reads it.

        Args:
            record: what was installed.
            start: where that began: so many first bytes are those that the latest snapshot covers.

        Raises:
            RefusedError: it is a link, a folder or a device.
            DurableError: it cannot be read.
        """
        before, self._latest, self._accepted = self._latest, None, None
        descriptor = open_plain(self.path)
        if descriptor is None:
            return
        try:
            with failures_named("read the file", self.path):
                signature = Signature.of(os.fstat(descriptor))
                samples = samples_of(descriptor, record.size_bytes)
                is_classad_log = is_log(os.pread(descriptor, _HEAD_BYTES, 0))
        finally:
            os.close(descriptor)
        if signature.size_bytes != record.size_bytes:
            return
        self._seen = signature
        is_same_file = before is not None and before.signature.inode == signature.inode
        if start and is_same_file and before is not None and before.size_bytes == start:
            hasher, hashed_bytes = before.hasher, before.hashed_bytes
        else:
            hasher, hashed_bytes = hashlib.sha256(), 0
            self._stem = next(_STEMS)
        size_bytes = record.size_bytes
        self._latest = self._accepted = Reading(
            signature, size_bytes, record.sha256, hasher, hashed_bytes, samples, is_classad_log, size_bytes
        )

    def warm(self, limit_bytes: int) -> int:
        """Read more of what was adopted, so that the digest can go on from its end; return how much was read.

        If that shows other bytes than were installed they are forgotten, so that the next look finds them.

        Raises:
            RefusedError: it is a link, a folder or a device.
            DurableError: it cannot be read.
        """
        latest = self._latest
        if latest is None or latest.hashed_bytes == latest.size_bytes:
            return 0
        descriptor = open_plain(self.path)
        if descriptor is None:
            self._latest = None
            return 0
        try:
            with failures_named("read the file", self.path):
                end = min(latest.size_bytes, latest.hashed_bytes + limit_bytes)
                hasher = hashed(latest.hasher, descriptor, latest.hashed_bytes, end)
        finally:
            os.close(descriptor)
        self._latest = attrs.evolve(latest, hasher=hasher, hashed_bytes=end)
        if end == latest.size_bytes and hasher.hexdigest() != latest.sha256:
            self._latest = None
        return end - latest.hashed_bytes

    def digest_with(self, tail: Path) -> str | None:
        """Give the digest of the latest snapshot's bytes with a tail behind them; None if they are not known.

        Raises:
            RefusedError: the file is a link, a folder or a device.
            DurableError: one of them cannot be read.
        """
        latest = self._latest
        while latest is not None and self.warm(PIECE_BYTES):
            latest = self._latest
        if latest is None:
            return None
        descriptor = open_plain(tail)
        if descriptor is None:
            return None
        try:
            with failures_named("read the file", tail):
                size_bytes = os.fstat(descriptor).st_size
                return hashed(latest.hasher, descriptor, 0, size_bytes).hexdigest()
        finally:
            os.close(descriptor)

    def is_as_read(self) -> bool:
        """Whether the file still holds what the latest snapshot covers: untouched, or a ClassAd log that grew."""
        latest = self._latest
        if latest is None:
            return False
        with contextlib.suppress(OSError):
            signature, known = Signature.of(self.path.lstat()), latest.signature
            has_grown = signature.inode == known.inode and signature.size_bytes > known.size_bytes
            return signature == known or (latest.is_classad_log and has_grown)
        return False

    def _untouched(self) -> FileSnapshot | None:
        """Take the snapshot of a file that looks as it did, without opening it; None if it does not."""
        latest = self._latest
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            if latest is not None and Signature.of(found) == latest.signature:
                self._seen = latest.signature
                return self._snapshot(latest, -1, stat.S_IMODE(found.st_mode) & 0o777)
        return None

    def _reading(
        self, descriptor: int, now: float, *, is_thorough: bool, is_quiet: bool
    ) -> Reading | Changing:
        """Read what is new, unless somebody is writing."""
        signature = Signature.of(os.fstat(descriptor))
        if signature != self._seen:
            self._seen, self._seen_since = signature, now
        if self._latest is not None and signature == self._latest.signature and not is_thorough:
            return self._latest
        is_classad_log = is_log(os.pread(descriptor, _HEAD_BYTES, 0))
        quiet_seconds = now - self._seen_since
        if not is_classad_log and not is_quiet and quiet_seconds < self._quiet_seconds:
            return Changing(self.path, self._quiet_seconds - quiet_seconds)
        same_bytes = self._same_bytes(descriptor, signature, is_thorough=is_thorough)
        fresh = self._read(descriptor, signature, is_classad_log, same_bytes)
        after = os.fstat(descriptor)
        is_cut = is_classad_log and after.st_size < fresh.size_bytes
        if is_cut or (not is_classad_log and Signature.of(after) != signature):
            return Changing(self.path, self._quiet_seconds)
        self._latest = fresh
        return fresh

    def _same_bytes(self, descriptor: int, signature: Signature, *, is_thorough: bool) -> int:
        """How long a head need not be hashed (again): all that was read before, or nothing."""
        latest = self._latest
        if latest is None or signature.inode != latest.signature.inode:
            return 0
        if is_thorough:
            hasher = hashed(hashlib.sha256(), descriptor, 0, latest.size_bytes)
            if signature.size_bytes < latest.size_bytes or hasher.hexdigest() != latest.sha256:
                return 0
            self._latest = attrs.evolve(latest, hasher=hasher, hashed_bytes=latest.size_bytes)
            return latest.size_bytes
        # A file that did not grow was rewritten in place, if anything.
        if signature.size_bytes <= latest.signature.size_bytes:
            return 0
        return latest.size_bytes if samples_of(descriptor, latest.size_bytes) == latest.samples else 0

    def _read(self, descriptor: int, signature: Signature, is_classad_log: bool, same_bytes: int) -> Reading:
        """Hash what is new, up to the end of what counts."""
        end = signature.size_bytes
        if is_classad_log:
            end = settled_bytes(lambda offset, size: os.pread(descriptor, size, offset), same_bytes, end)
        latest = self._latest
        hasher, hashed_bytes = hashlib.sha256(), 0
        if latest is not None and same_bytes:
            hasher, hashed_bytes = latest.hasher, latest.hashed_bytes
        hasher = hashed(hasher, descriptor, hashed_bytes, end)
        samples = samples_of(descriptor, end)
        accepted_bytes = 0 if latest is None else min(latest.accepted_bytes, same_bytes)
        return Reading(
            signature, end, hasher.hexdigest(), hasher, end, samples, is_classad_log, accepted_bytes
        )

    def _snapshot(self, reading: Reading, descriptor: int, mode: int) -> FileSnapshot:
        accepted = self._accepted
        change = self._change(reading)
        same_bytes = reading.size_bytes if change is Change.SAME else 0
        if accepted is not None and change is Change.APPENDED:
            same_bytes = accepted.size_bytes
        if change not in {Change.SAME, Change.APPENDED}:
            self._stem = next(_STEMS)
        self.was_rewritten |= change in {Change.TRUNCATED, Change.REWRITTEN}
        modified, before = (one.signature.modified_nanoseconds for one in (reading, accepted or reading))
        record = FileRecord(self._name, reading.size_bytes, reading.sha256, mode)
        return FileSnapshot(
            record, self.path, descriptor, change, same_bytes, modified < before, self._stem, modified
        )

    def _change(self, reading: Reading) -> Change:
        """Name what was done to the file since the last accepted snapshot."""
        accepted = self._accepted
        if accepted is None:
            return Change.FIRST
        is_same_size = reading.size_bytes == accepted.size_bytes
        if is_same_size and reading.sha256 == accepted.sha256:
            return Change.SAME
        if reading.accepted_bytes == accepted.size_bytes:
            return Change.APPENDED
        if reading.signature.inode != accepted.signature.inode:
            return Change.REPLACED
        return Change.TRUNCATED if reading.size_bytes < accepted.size_bytes else Change.REWRITTEN
