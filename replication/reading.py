"""What is read of one file of the state: how it looked, its digest, and how the digest goes on when the file grows.

Nothing here decides what a change is; that is `replication.tracked_file`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from daemoncore.durable import failures_named
from replication.staging import RefusedError

if TYPE_CHECKING:
    from hashlib import _Hash

SAMPLE_BYTES: Final = 64 << 10
SAMPLES: Final = 16

#: Up to here the sample is everything.
WHOLE_SAMPLE_BYTES: Final = 256 << 10

_SAMPLE_BLOCK_BYTES: Final = 4 << 10

#: A file is read in such pieces, so that one of any size needs little memory.
PIECE_BYTES: Final = 1 << 20


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
class Reading:
    """What was read of a file, and what continues it.

    Attributes:
        size_bytes: how much of the file counts.
        sha256: the digest of that.
        hasher: has taken the first `hashed_bytes` of that; fewer than all where the digest was told.
        accepted_bytes: how much of it, from the beginning, is as in the last snapshot that was accepted.
    """

    signature: Signature
    size_bytes: int
    sha256: str
    hasher: _Hash
    hashed_bytes: int
    samples: bytes
    is_classad_log: bool
    accepted_bytes: int


def open_plain(path: Path) -> int | None:
    """Open a file for reading, never through a link and never waiting for a pipe; None if it is absent.

    Raises:
        RefusedError: it is a link, a folder or a device.
        DurableError: it cannot be opened.
    """
    with failures_named("read the file", path):
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise RefusedError(f"{path}: the state is plain files; this is none")
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None


def hashed(hasher: _Hash, descriptor: int, start: int, end: int) -> _Hash:
    """Give a digest that has taken the bytes of a file from `start` to `end` too, or as many as there are."""
    hasher = hasher.copy()
    while start < end and (piece := os.pread(descriptor, min(PIECE_BYTES, end - start), start)):
        hasher.update(piece)
        start += len(piece)
    return hasher


def samples_of(descriptor: int, size_bytes: int) -> bytes:
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
