"""What a version covers: the files of the state, each with its size and digest, as pure values.

STATE_FILE may be one file, a list of files, or a folder. A record names a file by its place in the list (`0`, `1`, ...)
or by its path inside the folder, never by a path of the host: where the state lies is each node's own configuration,
and a peer has no say in it. Names that come from elsewhere are checked before anything is done with them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final

import attrs

from replication.version import Point, Version, VersionError

#: A state of more files than this is refused: each costs a system call at every look.
FILES_LIMIT: Final = 100_000

#: The longest name of a file in a folder; the kernel's own limit for a path is 4096 bytes.
NAME_LIMIT_BYTES: Final = 1024

_DIGEST: Final = re.compile("[0-9a-f]{64}")


class ManifestError(Exception):
    """Somebody else's list of files is refused; the text says which entry and why."""


@attrs.frozen
class FileRecord:
    """One file of the state.

    Attributes:
        name: its place in the list, or its path inside the folder with `/` between the parts.
        size_bytes: how much of it the version covers; the file itself may have grown since.
        sha256: hexadecimal digest of these bytes.
        mode: permission bits.
    """

    name: str
    size_bytes: int
    sha256: str
    mode: int = 0o600

    def to_document(self) -> list[Any]:
        """Give a JSON array."""
        return [self.name, self.size_bytes, self.sha256, self.mode]

    @classmethod
    def from_document_untrusted(cls, document: object) -> FileRecord:
        """Read what `to_document` gave.

        Raises:
            ManifestError: it is no record, or its name is not one that may be used.
        """
        if not isinstance(document, list) or len(document) != 4:
            raise ManifestError(f"a file is name, size, digest and mode (got {document!r:.80})")
        name, size_bytes, sha256, mode = document
        if type(size_bytes) is not int or size_bytes < 0 or type(mode) is not int or mode & ~0o777:
            raise ManifestError(
                f"size {size_bytes!r:.40} or mode {mode!r:.40} of {name!r:.80} makes no sense"
            )
        if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
            raise ManifestError(f"the digest of {name!r:.80} is no SHA-256 in hexadecimal ({sha256!r:.80})")
        return cls(checked_name_untrusted(name), size_bytes, sha256, mode)


def checked_name_untrusted(name: object) -> str:
    """Give back a relative name that stays inside its folder.

    Raises:
        ManifestError: it is empty, absolute, too long, climbs out, or holds what no name holds.
    """
    if not isinstance(name, str) or "\0" in name or "\n" in name:
        raise ManifestError(f"{name!r:.80} is no name of a file")
    try:
        length_bytes = len(name.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise ManifestError(f"{name!r:.80} is no name of a file") from error
    if length_bytes > NAME_LIMIT_BYTES:
        raise ManifestError(f"a name of {length_bytes} bytes is longer than {NAME_LIMIT_BYTES}: {name!r:.80}")
    # Splitting finds the empty name, a leading or doubled slash, and both kinds of dots.
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise ManifestError(f"{name!r:.80} does not stay inside the folder of the state")
    return name


def records_from_document_untrusted(document: object) -> tuple[FileRecord, ...]:
    """Read a list of files.

    Raises:
        ManifestError: an entry is refused, a name comes twice, or there are too many.
    """
    if not isinstance(document, list) or len(document) > FILES_LIMIT:
        raise ManifestError(f"a state is a list of at most {FILES_LIMIT} files (got {document!r:.80})")
    records = tuple(FileRecord.from_document_untrusted(entry) for entry in document)
    if len({record.name for record in records}) != len(records):
        raise ManifestError("a file is named twice")
    return records


def total_bytes(records: Iterable[FileRecord]) -> int:
    """How much data the records cover."""
    return sum(record.size_bytes for record in records)


def fingerprint(records: Iterable[FileRecord]) -> str:
    """Name the bytes of a whole state: the same on every node, whatever order its files were looked at in."""
    lines = sorted(f"{record.name}\n{record.size_bytes}\n{record.sha256}\n" for record in records)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


@attrs.frozen
class Held:
    """What this node holds: the truth that is kept in HAD_DIR.

    Attributes:
        version: the version of the state.
        files: what that version covers, byte for byte.
        is_leading: the leadership `version.gid` is this node's own and did not end in order, so bytes beyond `files`
            were written by its controllee. Otherwise a file that differs was changed by somebody who must not.
        acknowledged: the newest version of this node's own that another node reported durable, None when none was.
    """

    version: Version
    files: tuple[FileRecord, ...] = ()
    is_leading: bool = False
    acknowledged: Point | None = None

    @property
    def is_acknowledged(self) -> bool:
        """Whether another node holds these bytes durably, so that losing them here loses nothing."""
        return self.acknowledged is not None and self.acknowledged == self.version.point

    def to_document(self) -> dict[str, Any]:
        """Give a JSON object."""
        acknowledged = self.acknowledged
        return {
            "version": self.version.to_document(),
            "files": [record.to_document() for record in self.files],
            "leading": self.is_leading,
            "acknowledged": None if acknowledged is None else [acknowledged.gid, acknowledged.clock],
        }

    @classmethod
    def from_document_untrusted(cls, document: object) -> Held:
        """Read what `to_document` gave; the disk may have damaged it.

        Raises:
            ManifestError: it makes no sense.
        """
        if not isinstance(document, dict) or not isinstance(document.get("leading"), bool):
            raise ManifestError(f"what this node holds is a JSON object (got {document!r:.80})")
        try:
            version = Version.from_document_untrusted(document.get("version"))
        except VersionError as error:
            raise ManifestError(str(error)) from error
        acknowledged = document.get("acknowledged")
        is_point = isinstance(acknowledged, list) and [type(number) for number in acknowledged] == [int, int]
        if acknowledged is not None and not is_point:
            raise ManifestError(f"the acknowledged point is a gid and a clock (got {acknowledged!r:.80})")
        files = records_from_document_untrusted(document.get("files"))
        return cls(
            version, files, document["leading"], None if acknowledged is None else Point(*acknowledged)
        )
