"""The kernel's news of changed names, through the C library: three calls, for which no package is needed.

Folders are watched and not files: a compacted log is another file under the same name, and a watch on a file would
stay with the old one. (Source of the numbers and the layout: inotify(7), linux/inotify.h.)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from pathlib import Path
from typing import Final

import attrs

_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | os.O_CLOEXEC

#: modify, attrib, close_write, moved_from, moved_to, create, delete, delete_self, move_self; only of a folder.
_MASK: Final = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800 | 0x01000000

_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_IS_FOLDER: Final = 0x40000000
_SELF: Final = 0x400 | 0x800

_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 64 << 10


@attrs.frozen
class News:
    """What the kernel said.

    Attributes:
        changed: folder and name of what was written, made, removed or renamed.
        has_new_folders: a folder was made or renamed, or a watched one is gone, or news were lost: look what there is.
    """

    changed: frozenset[tuple[Path, str]]
    has_new_folders: bool


class Inotify:
    """One queue of news; `descriptor` becomes readable when there are some."""

    def __init__(self) -> None:
        """Open the queue.

        Raises:
            OSError: there are too many on this host (fs.inotify.max_user_instances), or the kernel has none.
        """
        self._library = ctypes.CDLL(None, use_errno=True)
        self._folders: dict[int, Path] = {}
        self.descriptor = self._checked(self._library.inotify_init1(_NONBLOCK_CLOEXEC))

    def watch(self, folder: Path) -> None:
        """Ask for news of the names in a folder; asking twice is asking once.

        Raises:
            OSError: it is no folder, or there are too many watches on this host (fs.inotify.max_user_watches).
        """
        number = self._checked(
            self._library.inotify_add_watch(self.descriptor, os.fsencode(folder), ctypes.c_uint32(_MASK))
        )
        self._folders[number] = folder

    def read(self) -> News:
        """Take all news that are there, without waiting."""
        changed: set[tuple[Path, str]] = set()
        has_new_folders = False
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.descriptor, _READ_BYTES):
                offset = 0
                while offset < len(data):
                    number, mask, _, length = _EVENT.unpack_from(data, offset)
                    offset += _EVENT.size
                    name = data[offset : offset + length].rstrip(b"\0")
                    offset += length
                    has_new_folders |= bool(mask & (_OVERFLOW | _IGNORED | _IS_FOLDER | _SELF))
                    if mask & _IGNORED:
                        self._folders.pop(number, None)
                    elif number in self._folders:
                        changed.add((self._folders[number], os.fsdecode(name)))
        return News(frozenset(changed), has_new_folders)

    def close(self) -> None:
        """Close the queue, and all watches with it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
