"""HTCondor's file transfer, as condor_transferer speaks it: a version file, then a state file.

A downloader asks with REPLICATION_TRANSFER_FILE_NEW (806) and an empty string, and is answered with the integer 1 and
both files. The older REPLICATION_TRANSFER_FILE (800) names an address; the uploader calls back there and sends the files,
on a connection without any security. Each file (HTCondor src/condor_utils/condor_replication and reli_sock.cpp, put_file):

    a message   16 bytes: an MD5, or zeros and then a string, the SHA-256 in hexadecimal digits
                an integer, the size; on an encrypted connection another one, the size of a chunk
    content     clear: raw bytes outside the framing; encrypted: one message per chunk
    or, for an empty file, a message with the integer 666

The digest comes first, so the sender reads a file twice; our own transfer (transferer.versions) does not. HTCondor accepts
a file without any digest, and with HAD_FIPS_MODE one whose digest is MD5, unverified. Nothing unverified is taken here.
"""

import hashlib
import string
from typing import Final

import attrs

from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.scalars import MessageReader
from daemoncore.cedar.stream import LARGEST_CUT_BYTES, Stream
from transferer.talk import (
    CHUNK_BYTES,
    LARGEST_CHUNK_BYTES,
    Begun,
    Digest,
    DigestMismatch,
    Piece,
    Talk,
    Wanted,
    check_size,
    receive_content,
)

#: What an uploader answers before the files; anything else is a refusal.
WILLING: Final = 1
#: Stands for the content of an empty file (PUT_FILE_EOM_NUM, reli_sock.h).
END_OF_EMPTY_FILE: Final = 666
#: Two numbers; anything near this is no version file.
LARGEST_VERSION_FILE_BYTES: Final = 4096
_MD5_BYTES: Final = 16
_NO_MD5: Final = bytes(_MD5_BYTES)
_SHA256_DIGITS: Final = 64


@attrs.frozen
class FileHeader:
    """What stands in front of a file."""

    size: int
    #: Hexadecimal digits in lower case; None when the digest is an MD5.
    sha256: str | None
    #: None when the digest is SHA-256.
    md5: bytes | None
    #: The longest message of content; meaningless on a clear connection.
    chunk_bytes: int


@attrs.frozen
class Terms:
    """What a downloader accepts."""

    maximum_bytes: int
    #: HAD_FIPS_MODE, which is 1 in HTCondor unless set: MD5 is no digest.
    is_fips: bool = True


def encode_request(stream: Stream) -> bytes:
    """Return the payload of command 806."""
    return stream.encode(stream.writer().put_string(""))


def encode_willing(stream: Stream) -> bytes:
    """Return the answer to command 806 after which the files come."""
    return stream.encode(stream.writer().put_int(WILLING))


def encode_header(stream: Stream, header: FileHeader) -> bytes:
    """Return the message in front of a file's content."""
    writer = stream.writer().put_bytes(header.md5 or _NO_MD5)
    if header.md5 is None:
        writer.put_string(header.sha256)
    writer.put_int(header.size)
    if stream.is_encrypted:
        writer.put_int(header.chunk_bytes)
    return stream.encode(writer)


def encode_end_of_empty_file(stream: Stream) -> bytes:
    """Return the message that stands for the content of an empty file."""
    return stream.encode(stream.writer().put_int(END_OF_EMPTY_FILE))


def encode_small_file(
    stream: Stream, content: bytes, *, uses_md5: bool = False, cut_bytes: int = LARGEST_CUT_BYTES
) -> bytes:
    """Return a whole file, header and content, that is at hand and fits one chunk, such as the version file."""
    assert 0 < len(content) <= CHUNK_BYTES, f"a small file has 1 to {CHUNK_BYTES} bytes (got {len(content)})"
    header = (
        FileHeader(len(content), None, hashlib.md5(content, usedforsecurity=False).digest(), CHUNK_BYTES)
        if uses_md5
        else FileHeader(len(content), hashlib.sha256(content).hexdigest(), None, CHUNK_BYTES)
    )
    encoded = encode_header(stream, header)
    return encoded + (stream.encode(content, cut_bytes=cut_bytes) if stream.is_encrypted else content)


def read_header(reader: MessageReader, terms: Terms, what: str) -> FileHeader:
    """Return what stands in front of a file.

    Raises:
        WireError: it is no header, or announces what we do not take.
    """
    md5 = reader.get_bytes(_MD5_BYTES)
    sha256 = None
    if md5 == _NO_MD5:
        sha256 = reader.get_text().lower()
        if len(sha256) != _SHA256_DIGITS or set(sha256) - set(string.hexdigits):
            raise ProtocolError(f"{what} comes without a digest (its SHA-256 is given as {sha256[:80]!r})")
    elif terms.is_fips:
        raise ProtocolError(
            f"{what} comes with an MD5 digest, which HAD_FIPS_MODE forbids; set it to 1 on the peer, or to 0 here"
        )
    size = reader.get_int()
    check_size(size, terms.maximum_bytes, what)
    chunk_bytes = reader.get_int() if reader.is_encrypted else CHUNK_BYTES
    reader.end()
    if not 0 < chunk_bytes <= LARGEST_CHUNK_BYTES:
        raise ProtocolError(
            f"a chunk may have 1 to {LARGEST_CHUNK_BYTES} bytes (the peer says {chunk_bytes})"
        )
    return FileHeader(size, sha256, md5 if sha256 is None else None, chunk_bytes)


def _only_int(reader: MessageReader) -> int:
    # daemoncore.cedar.conversation has this too, but brings the key exchange, which a clear copy does without.
    number = reader.get_int()
    reader.end()
    return number


def receive_file(stream: Stream, terms: Terms, what: str, index: int) -> Talk[FileHeader]:
    """Receive one file: `Begun`, then its pieces; on return they have been compared with the digest.

    Args:
        stream: the connection.
        terms: what is acceptable.
        what: the file's name in the sentences of errors.
        index: the number that `Begun` shows.

    Raises:
        DigestMismatch: all bytes came, and they are others than the sender's.
        WireError: the peer's bytes are no file.
    """
    header = read_header((yield Wanted.MESSAGE), terms, what)
    digest: Digest = hashlib.md5(usedforsecurity=False) if header.sha256 is None else hashlib.sha256()
    yield Begun(index, 0, header.size)
    if header.size == 0 and _only_int((yield Wanted.MESSAGE)) != END_OF_EMPTY_FILE:
        raise ProtocolError(f"{what} is empty, and is not followed by {END_OF_EMPTY_FILE}")
    yield from receive_content(stream, header.size, digest, header.chunk_bytes)
    if digest.digest() != (header.md5 or bytes.fromhex(header.sha256 or "")):
        raise DigestMismatch(
            f"{what}: its {header.size} bytes have the digest {digest.hexdigest()}, not the one announced"
        )
    return header


def receive_files(
    stream: Stream, terms: Terms, *, is_call_back: bool = False
) -> Talk[tuple[str, FileHeader]]:
    """Receive what a real peer sends: the version file, which is kept here, then the state file as number 0.

    Returns:
        The text of the version file, and the header of the state file.

    Raises:
        WireError: the peer's bytes are not this.
    """
    if not is_call_back:
        answer = _only_int((yield Wanted.MESSAGE))
        if answer != WILLING:
            raise ProtocolError(f"the peer does not send its files (answered {answer})")
    version = bytearray()
    talk = receive_file(
        stream, attrs.evolve(terms, maximum_bytes=LARGEST_VERSION_FILE_BYTES), "the version file", -1
    )
    reply = None
    while True:
        try:
            want = talk.send(reply)
        except StopIteration:
            break
        reply = None
        if isinstance(want, Piece):
            version += want.data
        elif not isinstance(want, Begun):
            reply = yield want
    header = yield from receive_file(stream, terms, "the state file", 0)
    return version.decode("utf-8", "replace"), header
