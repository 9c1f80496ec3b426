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
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from daemoncore.classad_log import is_log, settled_bytes
from daemoncore.durable import failures_named
from replication.manifest import FileRecord
from replication.staging import RefusedError

if TYPE_CHECKING:
    from hashlib import _Hash

#: HTCondor's negotiator writes each transaction in one go; 0.2 s is many times the pause between two system calls.
QUIET_SECONDS: Final = 0.2

SAMPLE_BYTES: Final = 64 << 10
SAMPLES: Final = 16

#: Up to here the sample is everything.
WHOLE_SAMPLE_BYTES: Final = 256 << 10

_SAMPLE_BLOCK_BYTES: Final = 4 << 10
_PIECE_BYTES: Final = 1 << 20

#: Enough for the first line of a ClassAd log.
_HEAD_BYTES: Final = 256


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
class Signature:
    """What the file system says of a file; different whenever somebody wrote to it."""

    inode: int
    size_bytes: int
    modified_nanoseconds: int
    changed_nanoseconds: int

    @classmethod
    def of(cls, found: os.stat_result) -> Signature:
        """Take it from what a system call says."""
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


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
    """

    record: FileRecord
    path: Path
    descriptor: int
    change: Change
    same_bytes: int
    is_older: bool = False

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


@attrs.frozen
class _Reading:
    """What was read of a file, and what continues it.

    Attributes:
        size_bytes: how much of the file counts.
        accepted_bytes: how much of it, from the beginning, is as in the last snapshot that was accepted.
    """

    signature: Signature
    size_bytes: int
    hasher: _Hash
    samples: bytes
    is_classad_log: bool
    accepted_bytes: int


class TrackedFile:
    """One file. `look` blocks on the disk, and for a long time when a large file is new."""

    def __init__(self, name: str, path: Path, quiet_seconds: float = QUIET_SECONDS) -> None:
        self.path = path
        self._name = name
        self._quiet_seconds = quiet_seconds
        self._accepted: _Reading | None = None
        self._latest: _Reading | None = None
        self._seen: Signature | None = None
        self._seen_since = 0.0

    def look(
        self, now: float, *, is_thorough: bool = False, has_descriptor: bool = True
    ) -> FileSnapshot | Changing | None:
        """Take a snapshot, if that is possible.

        Args:
            now: seconds on a clock that never steps.
            is_thorough: read the head of an appended file again, and a file that looks the same.
            has_descriptor: leave the file open.

        Returns:
            None if there is no such file.

        Raises:
            RefusedError: it is a link, a folder or a device.
            DurableError: it cannot be read.
        """
        descriptor = self._open()
        if descriptor is None:
            return None
        is_kept = False
        try:
            with failures_named("read the file", self.path):
                reading = self._reading(descriptor, now, is_thorough)
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

    def _open(self) -> int | None:
        """Open the file, never through a link and never waiting for a pipe; None if it is absent."""
        with failures_named("read the file", self.path):
            try:
                found = self.path.lstat()
                if not stat.S_ISREG(found.st_mode):
                    raise RefusedError(f"{self.path}: the state is plain files; this is none")
                return os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return None

    def _reading(self, descriptor: int, now: float, is_thorough: bool) -> _Reading | Changing:
        """Read what is new, unless somebody is writing."""
        signature = Signature.of(os.fstat(descriptor))
        if self._latest is not None and signature == self._latest.signature and not is_thorough:
            return self._latest
        if signature != self._seen:
            self._seen, self._seen_since = signature, now
        is_classad_log = is_log(os.pread(descriptor, _HEAD_BYTES, 0))
        quiet_seconds = now - self._seen_since
        if not is_classad_log and quiet_seconds < self._quiet_seconds:
            return Changing(self.path, self._quiet_seconds - quiet_seconds)
        same_bytes = 0 if is_thorough else self._same_bytes(descriptor, signature)
        fresh = self._read(descriptor, signature, is_classad_log, same_bytes)
        after = os.fstat(descriptor)
        is_cut = is_classad_log and after.st_size < fresh.size_bytes
        if is_cut or (not is_classad_log and Signature.of(after) != signature):
            return Changing(self.path, self._quiet_seconds)
        self._latest = fresh
        return fresh

    def _same_bytes(self, descriptor: int, signature: Signature) -> int:
        """How long a head need not be hashed again: all that was read before, or nothing."""
        latest = self._latest
        if latest is None or signature.inode != latest.signature.inode:
            return 0
        # A file that did not grow was rewritten in place, if anything.
        if signature.size_bytes <= latest.signature.size_bytes:
            return 0
        return latest.size_bytes if _samples(descriptor, latest.size_bytes) == latest.samples else 0

    def _read(self, descriptor: int, signature: Signature, is_classad_log: bool, same_bytes: int) -> _Reading:
        """Hash what is new, up to the end of what counts."""
        end = signature.size_bytes
        if is_classad_log:
            end = settled_bytes(lambda offset, size: os.pread(descriptor, size, offset), same_bytes, end)
        latest = self._latest
        hasher = latest.hasher.copy() if latest is not None and same_bytes else hashlib.sha256()
        offset = same_bytes
        while offset < end and (piece := os.pread(descriptor, min(_PIECE_BYTES, end - offset), offset)):
            hasher.update(piece)
            offset += len(piece)
        accepted_bytes = 0 if latest is None else min(latest.accepted_bytes, same_bytes)
        return _Reading(signature, end, hasher, _samples(descriptor, end), is_classad_log, accepted_bytes)

    def _snapshot(self, reading: _Reading, descriptor: int, mode: int) -> FileSnapshot:
        accepted = self._accepted
        change = self._change(reading)
        same_bytes = reading.size_bytes if change is Change.SAME else 0
        if accepted is not None and change is Change.APPENDED:
            same_bytes = accepted.size_bytes
        times = (one.signature.modified_nanoseconds for one in (reading, accepted or reading))
        record = FileRecord(self._name, reading.size_bytes, reading.hasher.hexdigest(), mode)
        return FileSnapshot(record, self.path, descriptor, change, same_bytes, next(times) < next(times))

    def _change(self, reading: _Reading) -> Change:
        """Name what was done to the file since the last accepted snapshot."""
        accepted = self._accepted
        if accepted is None:
            return Change.FIRST
        is_same_size = reading.size_bytes == accepted.size_bytes
        if is_same_size and reading.hasher.digest() == accepted.hasher.digest():
            return Change.SAME
        if reading.accepted_bytes == accepted.size_bytes:
            return Change.APPENDED
        if reading.signature.inode != accepted.signature.inode:
            return Change.REPLACED
        return Change.TRUNCATED if reading.size_bytes < accepted.size_bytes else Change.REWRITTEN


def _samples(descriptor: int, size_bytes: int) -> bytes:
    """Give a digest over both ends of a file's first `size_bytes` and blocks between them; over all if they are few."""
    hasher = hashlib.sha256()
    if size_bytes <= WHOLE_SAMPLE_BYTES:
        hasher.update(os.pread(descriptor, size_bytes, 0))
        return hasher.digest()
    hasher.update(os.pread(descriptor, SAMPLE_BYTES, 0))
    step = size_bytes // (SAMPLES + 1)
    for place in range(1, SAMPLES + 1):
        hasher.update(os.pread(descriptor, _SAMPLE_BLOCK_BYTES, place * step))
    hasher.update(os.pread(descriptor, SAMPLE_BYTES, size_bytes - SAMPLE_BYTES))
    return hasher.digest()
