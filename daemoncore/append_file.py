"""Files that root appends to in a folder of somebody else's, such as LOG, which is the user condor's.

Whoever owns the folder may put anything in the file's place: a link to a file of root's, which root would then write to
and give away. HTCondor's daemons open their logs as condor; a process of several threads cannot change its user for a
moment, and looks at what it opened instead. Standard library only: the guard opens its program's log with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat


def open_to_append(path: str | os.PathLike[str], owner: tuple[int, int] | None, *, flags: int = 0) -> int:
    """Open a file for appending, and make it if it is not there; return the descriptor.

    Args:
        path: the file. Links are followed unless root opens it for somebody else.
        owner: user and group ids that a new file of root's is given; None is the folder's owner. A file that is there keeps
            its own.
        flags: more flags of `open`, such as O_TRUNC.

    Raises:
        OSError: it cannot be opened, or root was to write to a link or to something that is no plain file.
    """
    flags |= os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY
    if os.geteuid() != 0:
        return os.open(path, flags, 0o644)
    owner = owner or _owner_of_folder(path)
    if owner[0] == 0:
        return os.open(path, flags, 0o644)
    try:
        descriptor = os.open(path, flags | os.O_EXCL, 0o644)
    except FileExistsError:
        return _open_plain(path, is_emptied=bool(flags & os.O_TRUNC))
    # There are file systems on which root gives nothing away; it is wanted only for who comes after us.
    with contextlib.suppress(OSError):
        os.fchown(descriptor, *owner)
    return descriptor


def _owner_of_folder(path: str | os.PathLike[str]) -> tuple[int, int]:
    folder = os.stat(os.path.dirname(path) or ".")  # noqa: PTH116, PTH120  standard library only, and little of it
    return folder.st_uid, folder.st_gid


def _open_plain(path: str | os.PathLike[str], *, is_emptied: bool) -> int:
    """Open what is there if it is a plain file of one name; nothing happens to it before that is known."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOCTTY | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags)
    try:
        _check_plain(os.fstat(descriptor))
        os.set_blocking(descriptor, True)
        if is_emptied:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_plain(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EPERM, "root appends to plain files only")
    if status.st_nlink != 1:
        raise OSError(errno.EMLINK, "root appends to no file of several names")
