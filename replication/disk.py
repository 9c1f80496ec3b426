"""The few operations on files that the durable pair and the archive are made of, one method each.

They stand apart so that tests can put another disk underneath: one that loses its power before any of these
operations, with or without what was not synced by then. What is durable, and when, is the business of the callers:
nothing here syncs unless its name or its docstring says so.

No operation follows a symbolic link in the last part of a path. Every failure is a `DurableError` with path and errno.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import attrs

from daemoncore.durable import DurableError, failures_named, replace_file

#: Piece by piece, so that a copy of any size needs little memory.
COPY_BYTES: Final = 1 << 20

#: Whence bytes are copied: a path, or a descriptor that is open for reading, whatever its file is called by now.
Source: TypeAlias = Path | int

#: From linux/fs.h: the two names change places in one step.
_RENAME_EXCHANGE: Final = 2
_AT_FDCWD: Final = -100


class Kind(enum.Enum):
    """What a name stands for."""

    FILE = "file"
    FOLDER = "folder"
    #: A symbolic link; never followed, always refused.
    LINK = "link"
    #: A device, a socket, a pipe.
    OTHER = "other"


class Likeness(enum.Enum):
    """What bytes in a file are to those that were to be written there."""

    SAME = "same"
    #: Some are zeros instead: the file system noted its new length, and the power failed before the data came.
    TORN = "torn"
    OTHER = "other"


@attrs.frozen
class Facts:
    """What the file system says of one name, itself and not what it may point to."""

    kind: Kind
    size_bytes: int
    inode: int
    modified_nanoseconds: int
    mode: int
    owner: tuple[int, int]


class Disk(Protocol):
    """The operations. Each is done wholly, or fails with a `DurableError`."""

    def facts(self, path: Path) -> Facts | None:
        """Say what stands at `path`; None when nothing does."""

    def names(self, folder: Path) -> list[str]:
        """Give the names inside a folder, sorted; none if the folder is absent."""

    def read(self, path: Path, limit_bytes: int) -> bytes:
        """Read a small file; more than `limit_bytes` is an error."""

    def replace(
        self, path: Path, data: bytes, *, mode: int, owner: tuple[int, int] | None, is_durable: bool = True
    ) -> None:
        """Replace a small file in one step; durable on return, unless nobody needs that."""

    def copy(self, source: Source, target: Path, size_bytes: int, mode: int) -> None:
        """Copy the first `size_bytes` of a file to a new one; what stood at the new name is gone."""

    def append(self, source: Path, target: Path, start_bytes: int) -> None:
        """Let the target consist of its first `start_bytes` and all of the source."""

    def likeness(self, source: Path, target: Path, start_bytes: int, size_bytes: int) -> Likeness:
        """Compare the first `size_bytes` of the source with what stands in the target at `start_bytes`."""

    def digest(self, path: Path, size_bytes: int) -> str:
        """Give the SHA-256 of the first `size_bytes` of a file, in hexadecimal."""

    def assume(self, path: Path, mode: int, owner: tuple[int, int] | None) -> None:
        """Give a file or folder its permission bits and, when we may, its owner."""

    def make_folder(self, path: Path, mode: int) -> None:
        """Make a folder whose parent exists; one that is there is left as it is."""

    def sync(self, path: Path) -> None:
        """Make a file's content, or a folder's names, durable."""

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or folder another name in the same folder; a file that has the name is gone."""

    def exchange(self, one: Path, other: Path) -> bool:
        """Let two names change places in one step; False if this file system cannot."""

    def remove(self, path: Path) -> None:
        """Remove a file's name; nothing happens if it is absent."""

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""


class RealDisk:
    """The operating system's."""

    def facts(self, path: Path) -> Facts | None:
        """See `Disk`."""
        with failures_named("look at the file", path):
            try:
                found = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
        return facts_of(found)

    def names(self, folder: Path) -> list[str]:
        """See `Disk`."""
        with failures_named("list the folder", folder):
            try:
                return sorted(path.name for path in folder.iterdir())
            except FileNotFoundError:
                return []

    def read(self, path: Path, limit_bytes: int) -> bytes:
        """See `Disk`."""
        with failures_named("read the file", path), _opened(path) as descriptor:
            data = os.read(descriptor, 0)
            while len(data) <= limit_bytes and (piece := os.read(descriptor, COPY_BYTES)):
                data += piece
        if len(data) > limit_bytes:
            raise DurableError(f"{path}: larger than {limit_bytes} bytes", path=path, errno=errno.EFBIG)
        return data

    def replace(
        self, path: Path, data: bytes, *, mode: int, owner: tuple[int, int] | None, is_durable: bool = True
    ) -> None:
        """See `Disk`."""
        replace_file(path, data, mode=mode, owner=owner, is_durable=is_durable)

    def copy(self, source: Source, target: Path, size_bytes: int, mode: int) -> None:
        """See `Disk`. Shares the blocks where the file system can."""
        with failures_named("copy to", target), _opened(source) as reading:
            target.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            writing = os.open(target, flags, mode)
            try:
                os.fchmod(writing, mode)
                _copy_bytes(reading, writing, size_bytes, 0)
            finally:
                os.close(writing)

    def append(self, source: Path, target: Path, start_bytes: int) -> None:
        """See `Disk`."""
        with failures_named("append to", target), _opened(source) as reading:
            writing = os.open(target, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                # Not if it has that length: the file should look untouched until the first byte is written.
                if os.fstat(writing).st_size != start_bytes:
                    os.ftruncate(writing, start_bytes)
                _copy_bytes(reading, writing, os.fstat(reading).st_size, start_bytes)
            finally:
                os.close(writing)

    def likeness(self, source: Path, target: Path, start_bytes: int, size_bytes: int) -> Likeness:
        """See `Disk`."""
        found = Likeness.SAME
        with failures_named("compare with", target), _opened(source) as one, _opened(target) as other:
            for offset in range(0, size_bytes, COPY_BYTES):
                count = min(COPY_BYTES, size_bytes - offset)
                likeness = likeness_of(
                    os.pread(one, count, offset), os.pread(other, count, start_bytes + offset)
                )
                if likeness is Likeness.OTHER:
                    return likeness
                found = likeness if likeness is Likeness.TORN else found
        return found

    def digest(self, path: Path, size_bytes: int) -> str:
        """See `Disk`."""
        hasher = hashlib.sha256()
        with failures_named("read the file", path), _opened(path) as descriptor:
            for offset in range(0, size_bytes, COPY_BYTES):
                hasher.update(os.pread(descriptor, min(COPY_BYTES, size_bytes - offset), offset))
        return hasher.hexdigest()

    def assume(self, path: Path, mode: int, owner: tuple[int, int] | None) -> None:
        """See `Disk`. Only root may give files away; another user's files are his already."""
        with failures_named("set the permissions of", path), _opened(path) as descriptor:
            if owner is not None and os.geteuid() == 0:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)

    def make_folder(self, path: Path, mode: int) -> None:
        """See `Disk`."""
        with failures_named("make the folder", path):
            path.mkdir(mode=mode, exist_ok=True)

    def sync(self, path: Path) -> None:
        """See `Disk`."""
        with failures_named("make durable", path), _opened(path) as descriptor:
            os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """See `Disk`."""
        with failures_named(f"rename {source.name} to", target):
            source.rename(target)

    def exchange(self, one: Path, other: Path) -> bool:
        """See `Disk`. Python has no call for it, the C library has."""
        with failures_named(f"exchange {one.name} with", other):
            library = ctypes.CDLL(None, use_errno=True)
            if not hasattr(library, "renameat2"):
                return False
            paths = (os.fsencode(one), os.fsencode(other))
            if library.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
                return True
            number = ctypes.get_errno()
            if number in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
                return False
            raise OSError(number, os.strerror(number))

    def remove(self, path: Path) -> None:
        """See `Disk`."""
        with failures_named("remove", path):
            path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        """See `Disk`."""
        with failures_named("remove the folder", path):
            path.rmdir()


def likeness_of(wanted: bytes, present: bytes) -> Likeness:
    """Compare two pieces of one length."""
    if wanted == present:
        return Likeness.SAME
    is_torn = all(byte in {0, other} for byte, other in zip(present, wanted, strict=True))
    return Likeness.TORN if is_torn else Likeness.OTHER


def facts_of(found: os.stat_result) -> Facts:
    """Make `Facts` of what a system call says."""
    kinds = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER, stat.S_IFLNK: Kind.LINK}
    return Facts(
        kinds.get(stat.S_IFMT(found.st_mode), Kind.OTHER),
        found.st_size,
        found.st_ino,
        found.st_mtime_ns,
        stat.S_IMODE(found.st_mode) & 0o777,
        (found.st_uid, found.st_gid),
    )


@contextlib.contextmanager
def _opened(path: Source) -> Iterator[int]:
    """Open a file or folder for reading, never through a link; what is open already is used as it is."""
    if isinstance(path, int):
        yield path
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _copy_bytes(reading: int, writing: int, size_bytes: int, start_bytes: int) -> None:
    """Copy to byte `start_bytes` and on, in the kernel if it can; a source that is too short is an error."""
    offset = 0
    while offset < size_bytes:
        wanted = min(COPY_BYTES, size_bytes - offset)
        try:
            count = os.copy_file_range(reading, writing, wanted, offset, start_bytes + offset)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
                raise
            count = os.pwrite(writing, os.pread(reading, wanted, offset), start_bytes + offset)
        if count == 0:
            raise OSError(errno.ENODATA, f"the file ends at byte {offset} of {size_bytes}")
        offset += count


def remove_tree(disk: Disk, path: Path) -> None:
    """Remove a file or a folder with all that is in it; links inside are removed, not followed."""
    found = disk.facts(path)
    if found is not None and found.kind is Kind.FOLDER:
        for name in disk.names(path):
            remove_tree(disk, path / name)
        disk.remove_folder(path)
    elif found is not None:
        disk.remove(path)


def walk(disk: Disk, folder: Path, prefix: str = "") -> list[tuple[str, Facts]]:
    """Give everything below a folder, folders before what is in them: relative name and facts."""
    found: list[tuple[str, Facts]] = []
    for name in disk.names(folder):
        facts = disk.facts(folder / name)
        if facts is None:
            continue  # removed between the two calls
        found.append((prefix + name, facts))
        if facts.kind is Kind.FOLDER:
            found += walk(disk, folder / name, f"{prefix}{name}/")
    return found
