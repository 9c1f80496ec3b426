"""Small files that survive a crash: atomic replacement, and two slots that need no free disk space.

`replace_file` is the classic: a temporary file beside the target, write, fsync, rename, fsync of the
folder. A reader sees the old bytes or the new ones and nothing else. It needs free space.

`SlotStore` keeps a promise (an epoch, a pause, a hold) on a disk that may be full. Its file is made once,
at its final size, and holds two slots. A write goes to the slot that does *not* hold the newest payload,
so that a torn write leaves the older payload whole:

    slot 0: [magic 8][generation 8][payload length 4][SHA-256 32][payload ...][zeros]   4096 bytes
    slot 1: the same                                                                    4096 bytes

The checksum covers generation, length and payload. The valid slot with the larger generation is the
present one. Blocks are allocated by writing zeros, not by `fallocate`, since the conversion of an
unwritten extent may itself need space. A file system that never writes in place (btrfs, ZFS) can still
run out; then the write fails, says so, and the older payload stays.

Every failure of the operating system leaves this module as a `DurableError` that names path and errno.
"""

import contextlib
import errno as errno_names
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import attrs

#: One slot. A page and, on nearly every file system, a block: two slots never share a sector.
SLOT_BYTES: Final = 4096

#: Begins every slot that was ever written, so that zeros are told from damage.
MAGIC: Final = b"HADSLOT1"

_HEADER: Final = struct.Struct(">8sQI32s")

#: The longest payload of one slot.
PAYLOAD_LIMIT_BYTES: Final = SLOT_BYTES - _HEADER.size


class DurableError(Exception):
    """The operating system would not make bytes durable; whose fault and which file is in the text.

    Attributes:
        path: the file that could not be read or written.
        errno: the operating system's error number, 0 when the fault is in the content.
    """

    def __init__(self, message: str, *, path: Path, errno: int = 0) -> None:
        super().__init__(message)
        self.path = path
        self.errno = errno


@contextlib.contextmanager
def failures_named(act: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a DurableError that says what was being done to which file."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        name = errno_names.errorcode.get(number, str(number))
        message = f"{path}: cannot {act}: {error.strerror or error} ({name})"
        raise DurableError(message, path=path, errno=number) from error


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`; the kernel may take it in several pieces."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def sync_folder(folder: Path) -> None:
    """Make the names inside `folder` durable (a rename is not, until its folder is synced)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(
    path: Path,
    data: bytes,
    *,
    mode: int = 0o600,
    owner: tuple[int, int] | None = None,
    is_durable: bool = True,
) -> None:
    """Replace the file `path` by `data` in one step; other processes see the old bytes or the new.

    Args:
        path: the target. Its folder must exist.
        data: the whole new content.
        mode: permission bits of the new file, whatever the umask.
        owner: user and group ids of the new file, when started as root; None leaves them.
        is_durable: False leaves out both syncs, for a file that need not survive a crash of the host and
            must not wait for a disk.

    Raises:
        DurableError: the target is as before, and no temporary file is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with failures_named("replace the file", path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        try:
            try:
                os.fchmod(descriptor, mode)
                if owner is not None:
                    os.fchown(descriptor, *owner)
                _write_all(descriptor, data, 0)
                if is_durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        if is_durable:
            sync_folder(path.parent)


@attrs.frozen
class Slot:
    """What one slot holds."""

    generation: int
    payload: bytes


def encode_slot(slot: Slot) -> bytes:
    """Give the `SLOT_BYTES` bytes of a slot; the payload must fit."""
    assert len(slot.payload) <= PAYLOAD_LIMIT_BYTES, f"payload of {len(slot.payload)} bytes"
    digest = _digest(slot.generation, slot.payload)
    header = _HEADER.pack(MAGIC, slot.generation, len(slot.payload), digest)
    return (header + slot.payload).ljust(SLOT_BYTES, b"\0")


def decode_slot_untrusted(data: bytes) -> Slot | None:
    """Give the slot that `data` holds, or None when it is empty, torn or damaged."""
    if len(data) < _HEADER.size:
        return None
    magic, generation, length, digest = _HEADER.unpack_from(data)
    if magic != MAGIC or length > len(data) - _HEADER.size:
        return None
    payload = data[_HEADER.size : _HEADER.size + length]
    if digest != _digest(generation, payload):
        return None
    return Slot(generation=generation, payload=payload)


def _digest(generation: int, payload: bytes) -> bytes:
    return hashlib.sha256(struct.pack(">QI", generation, len(payload)) + payload).digest()


class SlotStore:
    """One small payload that is replaced often and must not depend on free disk space.

    One process at a time may use a file (the caller holds its folder's lock). `write` blocks on the disk:
    a daemon calls it from its `DurableWriter`, never from the loop.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._newest_index = 1
        self._newest: Slot | None = None
        self._damage: str | None = None

    @classmethod
    def open(cls, path: Path, *, owner: tuple[int, int] | None = None) -> Self:
        """Open `path`, made at its full size when absent, and find its newest valid payload.

        Args:
            path: the file.
            owner: user and group ids of a new file, when started as root; None leaves them.

        Raises:
            DurableError: it cannot be made or read; on a full disk this is the time to hear of it.
        """
        if not path.exists():
            replace_file(path, bytes(2 * SLOT_BYTES), owner=owner)
        with failures_named("open the slots", path):
            store = cls(path, os.open(path, os.O_RDWR | os.O_NOFOLLOW))
        try:
            store._load()
        except BaseException:
            store.close()
            raise
        return store

    def _load(self) -> None:
        """Read both slots, lengthening a file that something cut short."""
        with failures_named("read the slots", self._path):
            data = os.pread(self._descriptor, 2 * SLOT_BYTES, 0)
            if len(data) < 2 * SLOT_BYTES:
                _write_all(self._descriptor, bytes(2 * SLOT_BYTES - len(data)), len(data))
                os.fsync(self._descriptor)
        halves = (data[:SLOT_BYTES], data[SLOT_BYTES:])
        found = [decode_slot_untrusted(half) for half in halves]
        valid = [(slot.generation, index, slot) for index, slot in enumerate(found) if slot is not None]
        if valid:
            _, self._newest_index, self._newest = max(valid)
        elif all(any(half) for half in halves):
            self._damage = f"{self._path}: neither of its two slots is valid; what it promised is lost"

    @property
    def path(self) -> Path:
        """The file that holds the slots."""
        return self._path

    @property
    def damage(self) -> str | None:
        """A sentence when both slots were written once and neither is valid; None when all is well.

        Such a store reads as empty. Its owner says so aloud and trusts nothing it may have promised.
        """
        return self._damage

    @property
    def generation(self) -> int:
        """How many writes the present payload stands for; 0 when there is none."""
        return self._newest.generation if self._newest else 0

    def read(self) -> bytes | None:
        """Give the newest valid payload, None if nothing was ever written whole."""
        return self._newest.payload if self._newest else None

    def write(self, payload: bytes) -> None:
        """Make `payload` the present one; on return it is on the disk.

        Raises:
            DurableError: the older payload stays the present one. The new one may still be found after a
                crash, which is harmless: it was announced to nobody.
        """
        if len(payload) > PAYLOAD_LIMIT_BYTES:
            message = f"{self._path}: a payload of {len(payload)} bytes exceeds {PAYLOAD_LIMIT_BYTES}"
            raise DurableError(message, path=self._path)
        slot = Slot(generation=self.generation + 1, payload=payload)
        index = 1 - self._newest_index
        with failures_named("write a slot", self._path):
            _write_all(self._descriptor, encode_slot(slot), index * SLOT_BYTES)
            os.fdatasync(self._descriptor)
        self._newest, self._newest_index, self._damage = slot, index, None

    def close(self) -> None:
        """Close the file. Nothing is pending: every write was durable when it returned."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
