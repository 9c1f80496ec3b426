"""The few operations on files that the durable pair and the archive are made of, one method each.

They stand apart so that tests can put another disk underneath: one that loses its power before any of these
operations, with or without what was not synced by then. What is durable, and when, is the business of the callers:
nothing here syncs unless its name or its docstring says so.

No operation follows a symbolic link in the last part of a path. Every failure is a `DurableError` with path and errno.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import stat
from pathlib import Path
from typing import Final, Protocol

import attrs

from daemoncore.durable import DurableError, failures_named, replace_file

#: Piece by piece, so that a copy of any size needs little memory.
COPY_BYTES: Final = 1 << 20

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

    def copy(self, source: Path, target: Path, size_bytes: int, mode: int) -> None:
        """Copy the first `size_bytes` of a file to a new one; what stood at the new name is gone."""

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
        with failures_named("read the file", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
                data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise DurableError(f"{path}: larger than {limit_bytes} bytes", path=path, errno=errno.EFBIG)
        return data

    def replace(
        self, path: Path, data: bytes, *, mode: int, owner: tuple[int, int] | None, is_durable: bool = True
    ) -> None:
        """See `Disk`."""
        replace_file(path, data, mode=mode, owner=owner, is_durable=is_durable)

    def copy(self, source: Path, target: Path, size_bytes: int, mode: int) -> None:
        """See `Disk`. Shares the blocks where the file system can."""
        with failures_named("copy to", target):
            reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                self.remove(target)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                writing = os.open(target, flags, mode)
                try:
                    os.fchmod(writing, mode)
                    _copy_bytes(reading, writing, size_bytes)
                finally:
                    os.close(writing)
            finally:
                os.close(reading)

    def assume(self, path: Path, mode: int, owner: tuple[int, int] | None) -> None:
        """See `Disk`. Only root may give files away; another user's files are his already."""
        with failures_named("set the permissions of", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if owner is not None and os.geteuid() == 0:
                    os.fchown(descriptor, *owner)
                os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)

    def make_folder(self, path: Path, mode: int) -> None:
        """See `Disk`."""
        with failures_named("make the folder", path):
            path.mkdir(mode=mode, exist_ok=True)

    def sync(self, path: Path) -> None:
        """See `Disk`."""
        with failures_named("make durable", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

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


def _copy_bytes(reading: int, writing: int, size_bytes: int) -> None:
    """Copy in the kernel, or through memory where it cannot; a file that is too short is an error."""
    offset = 0
    while offset < size_bytes:
        wanted = min(COPY_BYTES, size_bytes - offset)
        try:
            count = os.copy_file_range(reading, writing, wanted, offset, offset)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
                raise
            count = os.pwrite(writing, os.pread(reading, wanted, offset), offset)
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
