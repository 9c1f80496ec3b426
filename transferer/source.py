"""The files that an uploader sends: open descriptors, and how far each one has been hashed.

A snapshot is a length: bytes behind it may be appended while we send. The hash of what was sent is kept for the next
version, so that a record appended to a large log costs the hash of the record, not of the log. Whether the first bytes are
still the same the daemon knows, which watches the file; it says so with each version (`is_append`).
"""

import hashlib
import os
import stat
from collections.abc import Callable
from typing import Any, Final

from transferer.failure import CopyFailed, Fault
from transferer.talk import Digest
from transferer.versions import Entry, EntryKind, Offer

_READ_BYTES: Final = 512 * 1024


class FileSource:
    """One file of a version."""

    def __init__(self, name: str, descriptor: int, size: int, sha256: bytes | None = None) -> None:
        """Take a file over.

        Args:
            name: what it is called in errors.
            descriptor: open for reading, with positions of its own (nobody else reads by `read`).
            size: how much of it belongs to the version.
            sha256: of that much, if somebody has computed it.
        """
        self.name = name
        self.descriptor = descriptor
        self.size = size
        self._sha256 = sha256
        self._digest: Digest = hashlib.sha256()
        self._hashed = 0

    def grow_from(self, earlier: "FileSource") -> None:
        """Go on with the hash of an earlier version, whose bytes are the first ones of this."""
        digest, hashed = earlier.hashed()
        if hashed <= self.size:
            self._digest, self._hashed = digest, hashed

    def hashed(self) -> tuple[Digest, int]:
        """Return a digest of as many first bytes as have been hashed, and their number."""
        return self._digest.copy(), self._hashed

    def read(self, position: int, most_bytes: int) -> bytes:
        """Return 1 to `most_bytes` bytes of the version, and hash them if they are the next ones.

        Raises:
            CopyFailed: the file is shorter than the version, or cannot be read.
        """
        wanted = min(most_bytes, self.size - position)
        try:
            data = os.pread(self.descriptor, wanted, position)
        except OSError as error:
            raise CopyFailed(Fault.SOURCE, f"{self.name}: cannot read: {error.strerror or error}") from error
        if not data:
            raise CopyFailed(
                Fault.SOURCE, f"{self.name}: it has {position} bytes, {self.size} belong to the version"
            )
        if position == self._hashed:
            self._digest.update(data)
            self._hashed += len(data)
        return data

    def position(self, size: int, ask_for_patience: Callable[[], None] | None = None) -> None:
        """Have exactly the first `size` bytes hashed.

        Args:
            size: how many, so that what is read from there on completes the digest.
            ask_for_patience: called between two blocks, since somebody may be waiting.
        """
        if self._hashed > size:
            self._digest, self._hashed = hashlib.sha256(), 0
        while self._hashed < size:
            self.read(self._hashed, min(_READ_BYTES, size - self._hashed))
            if ask_for_patience:
                ask_for_patience()

    def digest_of_head(self, size: int, ask_for_patience: Callable[[], None] | None = None) -> bytes:
        """Return the SHA-256 of the first `size` bytes, which are read as far as they have not been."""
        if size == self.size and self._sha256:
            return self._sha256
        self.position(size, ask_for_patience)
        return self._digest.digest()

    @property
    def sha256(self) -> bytes:
        """Of the whole file; read again only as far as it has not been."""
        return self.digest_of_head(self.size)

    def md5(self) -> bytes:
        """Return the MD5 of the whole file, which a peer without HAD_FIPS_MODE may want."""
        digest, position = hashlib.md5(usedforsecurity=False), 0
        while position < self.size:
            data = self.read(position, _READ_BYTES)
            digest.update(data)
            position += len(data)
        return digest.digest()

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


class Sources:
    """All files of a version."""

    def __init__(self, offer: Offer, files: list[FileSource | None]) -> None:
        """Put a version together; a folder's place among the files is None."""
        self.offer = offer
        self.files = files

    def close(self) -> None:
        """Close all files."""
        for file in self.files:
            if file is not None:
                file.close()


def open_sources(document: dict[str, Any], descriptors: list[int], earlier: Sources | None) -> Sources:
    """Return the version that the daemon speaks of, ready to be read.

    Args:
        document: the daemon's `version` document.
        descriptors: what came with it; all of them are ours now.
        earlier: the version before, if this process sent one.

    Raises:
        CopyFailed: a file cannot be opened, or the document is none.
    """
    try:
        entries = document["entries"]
        offer = Offer(
            document["version"], bool(document.get("is_folder", False)), tuple(_entry(one) for one in entries)
        )
        files = [_open(one, descriptors) for one in entries]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CopyFailed(Fault.TASK, f"the daemon's version cannot be read: {error!r}") from error
    if earlier:
        known = dict(zip((entry.name for entry in earlier.offer.entries), earlier.files, strict=True))
        for one, file in zip(entries, files, strict=True):
            before = known.get(one["name"])
            if file and before and one.get("is_append", False):
                file.grow_from(before)
    return Sources(offer, files)


def _entry(one: dict[str, Any]) -> Entry:
    kind = EntryKind.FOLDER if one.get("kind", "file") == "folder" else EntryKind.FILE
    return Entry(str(one["name"]), kind, int(one.get("mode", 0o600)), int(one.get("bytes", 0)))


def _open(one: dict[str, Any], descriptors: list[int]) -> FileSource | None:
    if one.get("kind", "file") == "folder":
        return None
    sha256 = bytes.fromhex(one["sha256"]) if one.get("sha256") else None
    if "descriptor" in one:
        descriptor, name = descriptors[int(one["descriptor"])], f"entry {one['name']}"
    else:
        descriptor, name = _open_plain(str(one["path"])), str(one["path"])
    return FileSource(name, descriptor, int(one["bytes"]), sha256)


def _open_plain(path: str) -> int:
    """Open a plain file; a pipe or a link put in its place is neither waited for nor followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CopyFailed(Fault.SOURCE, f"{path}: cannot open: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CopyFailed(Fault.SOURCE, f"{path}: it is no plain file")
    return descriptor
