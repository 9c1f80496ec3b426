"""Our own transfer, between two of our daemons: versions of many files, tails instead of files, one after another.

The downloader opens it with REPLICATION_FETCH (7110) and keeps the connection. For each version (U uploader, D downloader):

    U  offer     what version it is, and its entries: name, kind, mode, size
    D  have      what D has of each entry: nothing, or so many bytes with that SHA-256;  or a receipt, when D does not want it
    U  content   for each file in turn: from which byte on it comes, then the bytes, then the SHA-256 of the whole file
    D  receipt   installed, or why not
    U  end       instead of an offer: there will be no more
    .  busy      from who is hashing a large file, or waiting for his daemon, while it is his turn: wait for me

A peer never names a path: the entries of a list of files are called `0`, `1`, ... and each side knows its own paths;
in a folder they have relative names, which `read_offer` looks at closely. The bytes from N on are enough when D's digest is
that of U's first N bytes. The digest of a file follows its content, so each side reads a file once. Nothing is sent
ahead of a receipt, so a slow downloader gets fewer versions, not a longer queue.

Every message begins with its kind; what a later version of this protocol adds stands behind what is here, and is ignored.
"""

import enum
import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

import attrs

from daemoncore.cedar.errors import LimitExceeded, ProtocolError
from daemoncore.cedar.scalars import MessageReader
from daemoncore.cedar.stream import Stream
from transferer.talk import Begun, Digest, DigestMismatch, Head, Talk, Wanted, check_size, receive_content

#: A pool's job state may be many small files; more than this is somebody's whole home.
MAXIMUM_ENTRIES: Final = 10_000
#: The version with its lineage is some hundred bytes; a hundred leaderships make 10 KiB.
MAXIMUM_VERSION_CHARACTERS: Final = 64 * 1024
#: Linux has longer paths, but not within one folder of state.
MAXIMUM_NAME_BYTES: Final = 1024
_MAXIMUM_PART_BYTES: Final = 255
_MAXIMUM_REASON_CHARACTERS: Final = 1000
_DIGEST_BYTES: Final = 32
#: In a content message: the file is the same on both sides.
_SAME: Final = -1
#: In a have message: there is no such file.
_NOTHING: Final = -1
_MODE_BITS: Final = 0o777


class Kind(enum.IntEnum):
    """The first integer of each message."""

    OFFER = 1
    HAVE = 2
    CONTENT = 3
    DIGEST = 4
    RECEIPT = 5
    END = 6
    BUSY = 7


class Result(enum.Enum):
    """How a copy ended; the value is the label to count it by."""

    OK = "ok"
    FAILED = "failed"
    #: The version is not wanted, or not current any more. Nobody is at fault.
    STALE = "stale"
    #: The daemon that asked for the copy does not want it any more.
    CANCELLED = "cancelled"


_RESULTS: Final = (Result.OK, Result.STALE, Result.FAILED, Result.CANCELLED)


class EntryKind(enum.IntEnum):
    """What an entry of a version is."""

    FILE = 0
    FOLDER = 1


@attrs.frozen
class Entry:
    """One file or folder of a version."""

    #: An index of the list of files in decimal, or a path relative to the folder.
    name: str
    kind: EntryKind = EntryKind.FILE
    #: Permission bits, without setuid and its like.
    mode: int = 0o600
    #: Bytes; 0 for a folder.
    size: int = 0


@attrs.frozen
class Offer:
    """A version that the uploader would send."""

    #: The version and its lineage, as the replication daemons read it.
    version: Any
    is_folder: bool
    entries: tuple[Entry, ...]

    @property
    def total_bytes(self) -> int:
        """The size of all files together."""
        return sum(entry.size for entry in self.entries)


@attrs.frozen
class End:
    """A side has no more to say, or does not want what it was offered."""

    result: Result
    reason: str = ""


@attrs.frozen
class Held:
    """What the downloader has of one file."""

    size: int
    sha256: bytes


@attrs.frozen
class Received:
    """What has come of one entry."""

    entry: Entry
    #: The downloader's own file is right up to here; `entry.size` when nothing had to come.
    start: int
    #: Of the whole file; None for a folder.
    sha256: bytes | None
    #: What computed it, if this conversation did; good for the next version's head.
    digest: Digest | None = attrs.field(default=None, eq=False, repr=False)


def encode_offer(stream: Stream, offer: Offer) -> bytes:
    """Return the message that offers a version.

    Raises:
        ValueError: the version is larger than the protocol allows.
    """
    version = json.dumps(offer.version, separators=(",", ":"))
    if len(version) > MAXIMUM_VERSION_CHARACTERS or len(offer.entries) > MAXIMUM_ENTRIES:
        raise ValueError(
            f"a version has at most {MAXIMUM_ENTRIES} entries and {MAXIMUM_VERSION_CHARACTERS} characters of lineage"
            f" (this one has {len(offer.entries)} and {len(version)})"
        )
    writer = stream.writer().put_int(Kind.OFFER).put_string(version)
    writer.put_int(offer.is_folder).put_int(len(offer.entries))
    for entry in offer.entries:
        writer.put_int(entry.kind).put_string(entry.name).put_int(entry.mode & _MODE_BITS).put_int(entry.size)
    return stream.encode(writer)


def read_offer(reader: MessageReader, maximum_bytes: int) -> Offer | End:
    """Return the offer, or the end, that a message is.

    Raises:
        WireError: it is neither, or the offer is one that nobody should take.
    """
    kind = reader.get_int()
    if kind == Kind.END:
        return _read_end(reader)
    if kind != Kind.OFFER:
        raise ProtocolError(f"an offer or an end comes here (got a message of kind {kind})")
    version = _read_version(reader.get_text())
    is_folder = bool(reader.get_int())
    count = reader.get_int()
    if not 0 <= count <= MAXIMUM_ENTRIES:
        raise LimitExceeded(f"a version may have {MAXIMUM_ENTRIES} entries (the peer announces {count})")
    offer = Offer(version, is_folder, tuple(_read_entry(reader, maximum_bytes) for _ in range(count)))
    check_size(offer.total_bytes, maximum_bytes, "a version")
    _check_names(offer)
    return offer


def _read_version(text: str) -> Any:
    if len(text) > MAXIMUM_VERSION_CHARACTERS:
        raise LimitExceeded(
            f"a version may have {MAXIMUM_VERSION_CHARACTERS} characters of lineage (got {len(text)})"
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a version is a JSON document (got {text[:80]!r})") from error


def _read_entry(reader: MessageReader, maximum_bytes: int) -> Entry:
    number = reader.get_int()
    if number not in (EntryKind.FILE, EntryKind.FOLDER):
        raise ProtocolError(f"an entry is a file (0) or a folder (1) (got {number})")
    kind, name = EntryKind(number), reader.get_text()
    mode, size = reader.get_int() & _MODE_BITS, reader.get_int()
    check_size(size, 0 if kind is EntryKind.FOLDER else maximum_bytes, f"the entry {name[:80]!r}")
    return Entry(name, kind, mode, size)


def _check_names(offer: Offer) -> None:
    """Refuse names that lead out of the folder, or twice to one place."""
    if not offer.is_folder:
        expected = [str(index) for index in range(len(offer.entries))]
        if [entry.name for entry in offer.entries] != expected or any(entry.kind for entry in offer.entries):
            raise ProtocolError("the entries of a list of files are files, called 0, 1, 2 and so on")
        return
    folders, names = {""}, set()
    for entry in offer.entries:
        parent, _, last = entry.name.rpartition("/")
        if not is_safe_name(entry.name) or parent not in folders:
            raise ProtocolError(
                f"an entry has a name below the folder, and its own folder comes first (got {entry.name[:120]!r})"
            )
        if entry.name in names:
            raise ProtocolError(
                f"the entry {entry.name[:120]!r} comes twice (its last part is {last[:40]!r})"
            )
        names.add(entry.name)
        if entry.kind is EntryKind.FOLDER:
            folders.add(entry.name)


def is_safe_name(name: str) -> bool:
    """Say whether a name is a relative path that stays where it is: no `..`, no empty part, nothing absolute."""
    parts = name.split("/")
    encoded = name.encode("utf-8", "surrogateescape")
    return (
        len(encoded) <= MAXIMUM_NAME_BYTES
        and "\0" not in name
        and all(part not in ("", ".", "..") for part in parts)
        and all(len(part) <= _MAXIMUM_PART_BYTES for part in encoded.split(b"/"))
    )


def encode_have(stream: Stream, held: list[Held | None]) -> bytes:
    """Return the message that says what the downloader has of each entry, in the order of the offer."""
    writer = stream.writer().put_int(Kind.HAVE)
    for one in held:
        writer.put_int(_NOTHING if one is None else one.size)
        if one is not None:
            writer.put_bytes(one.sha256)
    return stream.encode(writer)


def read_have(reader: MessageReader, offer: Offer) -> list[Held | None] | End | None:
    """Return what the downloader has of each entry of the offer, or its receipt when it wants none of it.

    None is a downloader that is busy: another message will come.

    Raises:
        WireError: the message is none of these.
    """
    kind = reader.get_int()
    if kind == Kind.BUSY:
        return None
    if kind == Kind.RECEIPT:
        return _read_end(reader)
    if kind != Kind.HAVE:
        raise ProtocolError(f"a list of what the peer has comes here (got a message of kind {kind})")
    return [_read_held(reader) for _ in offer.entries]


def _read_held(reader: MessageReader) -> Held | None:
    size = reader.get_int()
    if size == _NOTHING:
        return None
    if size < 0:
        raise ProtocolError(f"a file cannot have {size} bytes")
    return Held(size, reader.get_bytes(_DIGEST_BYTES))


def start_of_content(held: Held | None, size: int, digest_of_head: Callable[[int], bytes]) -> int:
    """Return from which byte on a file must be sent, its size if the peer has it already.

    Args:
        held: what the peer has.
        size: of the uploader's file.
        digest_of_head: the SHA-256 of so many first bytes of it.
    """
    if held is None or held.size == 0 or held.size > size:
        return 0
    return held.size if digest_of_head(held.size) == held.sha256 else 0


def encode_content(stream: Stream, index: int, start: int, *, is_same: bool) -> bytes:
    """Return the message in front of an entry's content."""
    writer = stream.writer().put_int(Kind.CONTENT).put_int(index)
    return stream.encode(writer.put_int(_SAME if is_same else start))


def encode_busy(stream: Stream) -> bytes:
    """Return the message that asks for patience."""
    return stream.encode(stream.writer().put_int(Kind.BUSY))


def encode_digest(stream: Stream, sha256: bytes) -> bytes:
    """Return the message behind an entry's content."""
    return stream.encode(stream.writer().put_int(Kind.DIGEST).put_bytes(sha256))


def encode_receipt(stream: Stream, end: End) -> bytes:
    """Return the downloader's last word on an offer."""
    return _encode_end(stream, Kind.RECEIPT, end)


def encode_end(stream: Stream, end: End) -> bytes:
    """Return the uploader's last word."""
    return _encode_end(stream, Kind.END, end)


def _encode_end(stream: Stream, kind: Kind, end: End) -> bytes:
    writer = stream.writer().put_int(kind).put_int(_RESULTS.index(end.result))
    reason = end.reason[:_MAXIMUM_REASON_CHARACTERS].replace("\0", " ")
    return stream.encode(writer.put_string(reason))


def read_receipt(reader: MessageReader) -> End | None:
    """Return the downloader's last word on an offer, None when it is busy; WireError when the message is neither."""
    kind = reader.get_int()
    if kind == Kind.BUSY:
        return None
    if kind != Kind.RECEIPT:
        raise ProtocolError(f"a receipt comes here (got a message of kind {kind})")
    return _read_end(reader)


def _read_end(reader: MessageReader) -> End:
    number = reader.get_int()
    if not 0 <= number < len(_RESULTS):
        raise ProtocolError(f"a result is a number from 0 to {len(_RESULTS) - 1} (got {number})")
    return End(_RESULTS[number], reader.get_text()[:_MAXIMUM_REASON_CHARACTERS])


def receive_entries(stream: Stream, offer: Offer, held: list[Held | None]) -> Talk[list[Received]]:
    """Receive what is missing of an offer: for each file `Head` if a tail comes, `Begun`, then pieces.

    Raises:
        DigestMismatch: the bytes of a file are others than the sender's.
        WireError: the peer's bytes are not this.
    """
    received = []
    for index, entry in enumerate(offer.entries):
        if entry.kind is EntryKind.FOLDER:
            received.append(Received(entry, 0, None))
        else:
            received.append((yield from _receive_entry(stream, index, entry, held[index])))
    return received


def _receive_entry(stream: Stream, index: int, entry: Entry, held: Held | None) -> Talk[Received]:
    reader = yield Wanted.MESSAGE
    while (kind := reader.get_int()) == Kind.BUSY:
        reader = yield Wanted.MESSAGE
    number, start = reader.get_int(), reader.get_int()
    if (kind, number) != (Kind.CONTENT, index):
        raise ProtocolError(
            f"content of entry {index} comes here (got a message of kind {kind} about {number})"
        )
    if start == _SAME:
        if held is None or held.size != entry.size:
            raise ProtocolError(f"the peer says that we have entry {index} already, and we do not")
        return Received(entry, entry.size, held.sha256)
    if start and (held is None or start != held.size or start > entry.size):
        raise ProtocolError(f"content of entry {index} cannot begin at byte {start}")
    digest: Digest = (yield Head(index, start)) if start else hashlib.sha256()
    yield Begun(index, start, entry.size)
    yield from receive_content(stream, entry.size - start, digest)
    yield from _compare(digest.digest(), f"entry {index} of {entry.size} bytes")
    return Received(entry, start, digest.digest(), digest)


def _compare(digest: bytes, what: str) -> Talk[None]:
    reader = yield Wanted.MESSAGE
    kind = reader.get_int()
    if kind != Kind.DIGEST:
        raise ProtocolError(f"a digest comes behind the content (got a message of kind {kind})")
    if reader.get_bytes(_DIGEST_BYTES) != digest:
        raise DigestMismatch(f"{what}: its bytes are not those that the peer has")
