"""The folder of one daemon's durable files inside HAD_DIR, and the lock that keeps a second daemon out.

Several nodes may live on one host (127.0.0.1, 127.0.0.2, ...) and share HAD_DIR, so each daemon has a
subfolder of its own, named after the program and its entry of the list: `had-127.0.0.1:9620`. It belongs
to one process at a time. Two daemons that both persist epochs there would each break the other's promises,
so the second one is refused, and told the pid of the first.
"""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Self
from urllib.parse import quote

from daemoncore.durable import DurableError, replace_file

_LOCK_NAME = "lock"


def folder_name(program: str, entry: str) -> str:
    """Give the subfolder's name; characters of `entry` that a path cannot hold are %-quoted."""
    return f"{program}-{quote(entry, safe=':[]@=,+')}"


class StateFolder:
    """A claimed folder. The claim lasts until `close` or the end of the process, however it ends."""

    def __init__(self, path: Path, lock_descriptor: int) -> None:
        self.path = path
        self._lock_descriptor = lock_descriptor

    @classmethod
    def claim(cls, had_dir: Path, program: str, entry: str, *, owner: tuple[int, int] | None = None) -> Self:
        """Create the folder, mode 0700, and lock it for this process.

        Args:
            had_dir: HAD_DIR; made when absent.
            program: `had` or `replication`.
            entry: this node's entry of the list.
            owner: user and group ids for what is made here, when started as root; None leaves them.

        Raises:
            DurableError: the folder cannot be used, or another process holds it (errno EWOULDBLOCK).
        """
        path = had_dir / folder_name(program, entry)
        try:
            _make_folder(had_dir, owner)
            _make_folder(path, owner)
            descriptor = os.open(path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            message = f"{path}: cannot make the folder for durable files: {error.strerror} (check HAD_DIR)"
            raise DurableError(message, path=path, errno=error.errno or 0) from error
        try:
            _lock(descriptor, path, program)
            if owner is not None:
                os.fchown(descriptor, *owner)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    @property
    def lock_descriptor(self) -> int:
        """The locked descriptor: a process that inherits it shares the claim for as long as it lives."""
        return self._lock_descriptor

    def close(self) -> None:
        """Give up the claim."""
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1


def _make_folder(path: Path, owner: tuple[int, int] | None) -> None:
    """Make one folder and what is missing above it; an existing one keeps its owner and mode."""
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if owner is not None:
            os.chown(path, *owner)


def _lock(descriptor: int, path: Path, program: str) -> None:
    """Take the lock and leave our pid in it; a held lock is refused with the pid of its holder."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            message = f"{path}: cannot lock the folder for durable files: {error.strerror} (check HAD_DIR)"
            raise DurableError(message, path=path, errno=error.errno or 0) from error
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        message = f"{path}: another {program} is running with this HAD_DIR entry (pid {holder})"
        raise DurableError(message, path=path, errno=errno.EWOULDBLOCK) from error
    # The pid is for people. A full disk must not keep a daemon from starting for it.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)


def publish_epoch(path: Path, epoch: int, *, owner: tuple[int, int] | None = None) -> None:
    """Put the present epoch into HAD_EPOCH_FILE, one decimal line, for the controllee to fence itself.

    Never waits for the disk: the file matters only while this boot's controllee runs.

    Raises:
        DurableError: the file is as before.
    """
    replace_file(path, f"{epoch}\n".encode("ascii"), mode=0o644, owner=owner, is_durable=False)
