"""The journal of one replacement: what the commit of a new state will do, written before it does anything.

The document names no staged file by a path of its own: it holds the number in the staged names, and everything else
follows from the configuration. For each move it remembers how the target looked, so that after a crash nobody renames
over a file that somebody wrote to in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from replication.disk import Disk, Facts, Kind, walk
from replication.manifest import Held, ManifestError

#: Longer than any journal or truth that `manifest.FILES_LIMIT` allows.
DOCUMENT_LIMIT_BYTES: Final = 256 << 20


Decoded = TypeVar("Decoded")


class DocumentError(Exception):
    """A document in HAD_DIR makes no sense: the disk, or somebody's hand, damaged it."""


@attrs.frozen
class Move:
    """One target that will be replaced.

    Attributes:
        inode: of the new file or folder, which it keeps when it is renamed.
        before: the signature of what stood there, None if nothing did.
        start: where the staged bytes belong (see `staging.Start`): 0 for the whole, None for no change.
        head: for a tail, the SHA-256 of what it is appended to, None if that is unknown.
    """

    inode: int
    before: str | None
    start: int | None = 0
    head: str | None = None


@attrs.frozen
class Journal:
    """One replacement.

    Attributes:
        held: what this node holds when all is done.
        number: in the names of the staged files.
        moves: one for each target, in the order of the configuration.
    """

    held: Held
    number: int
    moves: tuple[Move, ...]


def encode_held(held: Held) -> bytes:
    """Write down what this node holds."""
    return _sealed(held.to_document())


def decode_held(data: bytes) -> Held:
    """Read what `encode_held` wrote.

    Raises:
        DocumentError: it is damaged.
    """
    return _held(_unsealed(data))


def encode_journal(journal: Journal) -> bytes:
    """Write down a replacement."""
    moves = [list(attrs.astuple(move)) for move in journal.moves]
    return _sealed({"held": journal.held.to_document(), "number": journal.number, "moves": moves})


def decode_journal(data: bytes) -> Journal:
    """Read what `encode_journal` wrote.

    Raises:
        DocumentError: it is damaged.
    """
    document = _unsealed(data)
    try:
        moves = tuple(Move(*entry) for entry in document["moves"])
        number = document["number"]
    except (KeyError, TypeError, ValueError) as error:
        raise DocumentError(f"it is no journal ({error!r})") from error
    return Journal(_held(document.get("held")), number, moves)


def _held(document: object) -> Held:
    try:
        return Held.from_document_untrusted(document)
    except ManifestError as error:
        raise DocumentError(str(error)) from error


def _sealed(document: dict[str, Any]) -> bytes:
    """Give the bytes of a document: its digest, then JSON. A flipped bit must not pass for another version."""
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    return hashlib.sha256(text).hexdigest().encode("ascii") + b"\n" + text + b"\n"


def _unsealed(data: bytes) -> dict[str, Any]:
    digest, _, text = data.removesuffix(b"\n").partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode("ascii") != digest:
        raise DocumentError("its digest does not agree with what it says")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"it is no JSON ({error})") from error
    if not isinstance(document, dict):
        raise DocumentError("it is no JSON object")
    return document


def signature(disk: Disk, path: Path) -> str | None:
    """Say shortly how a file or folder looks from outside; it changes whenever somebody writes to it.

    Size, inode and time of the last write of the file, or of everything in the folder. None if nothing is there.
    """
    found = disk.facts(path)
    if found is None:
        return None
    entries: Sequence[tuple[str, Facts]] = [("", found)]
    if found.kind is Kind.FOLDER:
        entries = walk(disk, path)
    lines = [
        f"{name}\0{facts.kind.value} {facts.inode}"
        # A folder's own time and size follow from its names, and its mode is ours to change.
        + (f" {facts.size_bytes} {facts.modified_nanoseconds}" if facts.kind is not Kind.FOLDER else "")
        for name, facts in entries
    ]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def read_document(disk: Disk, path: Path, decode: Callable[[bytes], Decoded]) -> Decoded | None:
    """Read one document; None if there is none.

    Raises:
        DocumentError: it is damaged.
        DurableError: the disk does not give it.
    """
    if disk.facts(path) is None:
        return None
    try:
        return decode(disk.read(path, DOCUMENT_LIMIT_BYTES))
    except DocumentError as error:
        raise DocumentError(f"{path}: {error}") from error
