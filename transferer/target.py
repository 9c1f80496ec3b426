"""Where a downloader puts what it receives: temporary files beside the targets, never the targets themselves.

Of a list, each file that changed gets `FILE.PID.down`; of a folder, the whole new tree is built in `FOLDER.PID.down`, from what
came and from copies of what was there, so that the daemon can swap it in one step. The name is condor_transferer's, so
whoever sweeps its leftovers sweeps ours. On return everything is on the disk; giving it its name is the daemon's business,
who knows whether the controllee runs.

A tail may stay a tail (`takes_tails`): the daemon appends it, and a record added to a large log costs neither host a copy.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from transferer.failure import CopyFailed, Fault
from transferer.talk import Digest
from transferer.versions import EntryKind, Held, Offer, Received

#: What a temporary name ends with.
SUFFIX: Final = ".down"
_READ_BYTES: Final = 512 * 1024
#: Written bytes are sent to the disk this often, so that the sync at the end has little left to do.
_WRITE_BACK_BYTES: Final = 16 * 1024 * 1024
# Linux: the new file shares the old one's blocks, on file systems that can (linux/fs.h).
_FICLONE: Final = 0x40049409


@attrs.define
class Heads:
    """The digests of files that are there already, kept from one version to the next."""

    _known: dict[str, tuple[int, Digest]] = attrs.field(factory=dict, alias="known")

    def keep(self, name: str, size: int, digest: Digest) -> None:
        """Remember a digest that has taken that many bytes."""
        self._known[name] = (size, digest)

    def find(self, name: str, held: Held) -> Digest | None:
        """Return a copy of a digest that has taken just these bytes."""
        size, digest = self._known.get(name, (-1, hashlib.sha256()))
        return digest.copy() if size == held.size and digest.digest() == held.sha256 else None


class Target:
    """The place of one version that is being received."""

    def __init__(
        self,
        offer: Offer,
        paths: Mapping[str, Path],
        held: list[Held | None],
        heads: Heads,
        *,
        folder: Path | None = None,
        takes_tails: bool = False,
        ask_for_patience: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare for a version.

        Args:
            offer: what comes.
            paths: where the entries are now, or will be, by name.
            held: what is there of each entry, as the peer was told.
            heads: digests that are known.
            folder: where the tree of a folder is; None for a list of files.
            takes_tails: whether a tail is left as it is.
            ask_for_patience: called now and then while a large file of ours is read, since the peer waits.
        """
        self._offer = offer
        self._paths = paths
        self._held = held
        self._heads = heads
        self.staging = _temporary(folder) if folder else None
        self._takes_tails = takes_tails and folder is None
        self._ask_for_patience = ask_for_patience
        self.temporaries: dict[int, Path] = {}
        #: Of the files that are tails: from which byte on.
        self.starts: dict[int, int] = {}
        self._descriptor = -1
        self._path = Path()
        self._written = self._written_back = self._entries_made = 0
        if self.staging:
            with _disk("make the folder", self.staging):
                shutil.rmtree(self.staging, ignore_errors=True)
                self.staging.mkdir(mode=0o700)

    def begin(self, index: int, start: int, size: int) -> None:
        """Open the place of a file whose bytes from `start` on come next."""
        self._finish_file()
        entry = self._offer.entries[index]
        self._make_folders(index)
        self._path = self._place(index)
        with _disk("make room", self._path):
            space = os.statvfs(self._path.parent)
            if size - start > space.f_bavail * space.f_frsize:
                raise CopyFailed(Fault.DISK, f"{self._path}: no space left for {size - start} bytes")
        self._open(entry.mode)
        if start and self._takes_tails:
            self.starts[index] = start
        elif start:
            self._copy_head(self._paths[entry.name], start)

    def _open(self, mode: int) -> None:
        with _disk("create", self._path):
            self._path.unlink(missing_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            os.fchmod(self._descriptor, mode)
        self._written = self._written_back = 0

    def _place(self, index: int) -> Path:
        name = self._offer.entries[index].name
        place = self.staging / name if self.staging else _temporary(self._paths[name])
        self.temporaries[index] = place
        return place

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes to the file that was begun."""
        view = memoryview(data)
        with _disk("write", self._path):
            while view:
                count = os.write(self._descriptor, view)
                view = view[count:]
                self._written += count
            if self._written - self._written_back >= _WRITE_BACK_BYTES:
                from transferer.write_back import write_back

                write_back(self._descriptor, self._written_back, self._written - self._written_back)
                self._written_back = self._written

    def head(self, index: int, size: int) -> Digest:
        """Return a digest that has taken the first `size` bytes of our own file, which are read unless they are known.

        Raises:
            CopyFailed: our own file is not what the daemon said that it is.
        """
        entry, held = self._offer.entries[index], self._held[index]
        assert held is not None, "a tail comes only for what we said we have"
        assert held.size == size, "a tail begins where our own file ends"
        digest = self._heads.find(entry.name, held)
        if digest is None:
            digest, found = hash_file(self._paths[entry.name], size, self._ask_for_patience)
            if found != size or digest.digest() != held.sha256:
                raise CopyFailed(
                    Fault.SOURCE,
                    f"{self._paths[entry.name]}: its first {size} bytes have the SHA-256 {digest.hexdigest()},"
                    f" the daemon says {held.sha256.hex()}",
                )
        self._heads.keep(entry.name, size, digest)
        return digest.copy()

    def _copy_head(self, path: Path, size: int) -> None:
        """Copy the first bytes of our own file, or share its blocks with it where the file system can."""
        with _disk("copy the present file", path), _plain(path) as source:
            try:
                fcntl.ioctl(self._descriptor, _FICLONE, source)
                os.ftruncate(self._descriptor, size)
            except OSError:
                _copy(source, self._descriptor, size, self._ask_for_patience)
            os.lseek(self._descriptor, size, os.SEEK_SET)

    def _finish_file(self) -> None:
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            with _disk("sync", self._path):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _make_folders(self, before: int) -> None:
        """Make the folders among the entries before that index which have not been made yet."""
        entries = self._offer.entries[self._entries_made : before]
        self._entries_made = max(self._entries_made, before)
        for entry in entries:
            if self.staging and entry.kind is EntryKind.FOLDER:
                with _disk("make the folder", self.staging / entry.name):
                    (self.staging / entry.name).mkdir(mode=0o700)

    def complete(self, received: list[Received]) -> None:
        """Bring everything to the disk, the unchanged files of a folder included."""
        self._finish_file()
        for index, one in enumerate(received):
            if one.entry.kind is EntryKind.FILE and index not in self.temporaries and self.staging:
                self._make_folders(index)
                self._path = self._place(index)
                self._open(one.entry.mode)
                self._copy_head(self._paths[one.entry.name], one.entry.size)
                self._finish_file()
            if one.digest is not None:
                self._heads.keep(one.entry.name, one.entry.size, one.digest)
        if self.staging:
            self._make_folders(len(received))
            self._complete_folders()

    def _complete_folders(self) -> None:
        assert self.staging is not None, "only a folder has folders"
        folders = [entry for entry in self._offer.entries if entry.kind is EntryKind.FOLDER]
        for path, mode in [
            *((self.staging / one.name, one.mode) for one in reversed(folders)),
            (self.staging, None),
        ]:
            with _disk("sync the folder", path):
                if mode is not None:
                    path.chmod(mode)
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def discard(self) -> None:
        """Remove everything that was made for this version."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with contextlib.suppress(OSError):
            if self.staging:
                shutil.rmtree(self.staging, ignore_errors=True)
            for path in self.temporaries.values():
                path.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}{SUFFIX}")


@contextlib.contextmanager
def _disk(act: str, path: Path) -> Iterator[None]:
    """Turn what the operating system says about our disk into the end of the copy."""
    try:
        yield
    except OSError as error:
        raise CopyFailed(Fault.DISK, f"{path}: cannot {act}: {error.strerror or error}") from error


@contextlib.contextmanager
def _plain(path: Path) -> Iterator[int]:
    """Open a file of ours for reading, if it is a plain one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CopyFailed(Fault.SOURCE, f"{path}: it is no plain file")
        yield descriptor
    finally:
        os.close(descriptor)


def _copy(source: int, target: int, size: int, ask_for_patience: Callable[[], None]) -> None:
    """Copy the first bytes of a file within the kernel; OSError when there are fewer."""
    done = 0
    while done < size:
        count = os.copy_file_range(source, target, min(_WRITE_BACK_BYTES, size - done), done, done)
        if count == 0:
            raise OSError(errno.EIO, f"it ended after {done} of {size} bytes")
        done += count
        ask_for_patience()


def hash_file(path: Path, size: int, ask_for_patience: Callable[[], None]) -> tuple[Digest, int]:
    """Return the SHA-256 of the first `size` bytes of a plain file of ours, and how many there were."""
    digest, done = hashlib.sha256(), 0
    with _disk("read", path), _plain(path) as descriptor:
        while done < size and (data := os.pread(descriptor, min(_READ_BYTES, size - done), done)):
            digest.update(data)
            done += len(data)
            ask_for_patience()
    return digest, done


def look(names: Mapping[str, Path], heads: Heads, ask_for_patience: Callable[[], None]) -> dict[str, Held]:
    """Hash the files that are there, by name, and keep the digests; what is no plain file is not there."""
    found = {}
    for name, path in names.items():
        try:
            size = path.lstat().st_size
            digest, done = hash_file(path, size, ask_for_patience)
        except (OSError, CopyFailed):
            continue
        heads.keep(name, done, digest)
        found[name] = Held(done, digest.digest())
    return found
