"""What a conversation about files asks of whoever drives it, without reading or writing anything itself.

A receiving conversation is a generator. It yields what it needs next, a message or some bytes outside the framing, and is
sent just that; or it yields what has come, which whoever drives it stores. So the order of a protocol can be read from
top to bottom, nothing blocks here, and the same code runs on a socket, on recorded bytes and on nonsense.
"""

import enum
from collections.abc import Generator
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar

import attrs

from daemoncore.cedar.errors import LimitExceeded, ProtocolError, WireError
from daemoncore.cedar.stream import Stream

_Result = TypeVar("_Result")

#: How much of a file one encrypted message carries; HTCondor's senders say this number (AES_FILE_BUF_SZ, reli_sock.cpp).
CHUNK_BYTES: Final = 256 * 1024
#: No receiver of ours takes larger chunks; a message may have 4 MiB.
LARGEST_CHUNK_BYTES: Final = 2 * 1024 * 1024


class Digest(Protocol):
    """What `hashlib` makes; the state of one can be kept, so that a file that grows is not read again."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""

    def hexdigest(self) -> str:
        """Return it as hexadecimal digits."""

    def copy(self) -> Self:
        """Return another one in the same state."""


class DigestMismatch(WireError):  # noqa: N818 -- reads as the event it is, like its siblings in daemoncore.cedar.errors
    """All bytes came, and they are not those that the sender has."""


class Wanted(enum.Enum):
    """What a conversation waits for, when it is no number of bytes."""

    #: The next message, a `MessageReader`.
    MESSAGE = enum.auto()


@attrs.frozen
class Raw:
    """The conversation waits for 1 to `most_bytes` bytes outside the framing."""

    most_bytes: int


@attrs.frozen
class Begun:
    """The content of one file comes next, from its byte `start` to its end at `size`; nothing is sent back."""

    index: int
    start: int
    size: int


@attrs.frozen
class Piece:
    """The next bytes of the file that has begun; they are valid until the next step. Nothing is sent back."""

    data: bytes | bytearray | memoryview


@attrs.frozen
class Head:
    """The conversation waits for a SHA-256 object that has taken the first `size` bytes of the receiver's own file."""

    index: int
    size: int


Want: TypeAlias = Wanted | Raw | Begun | Piece | Head
#: A part of a conversation: see the module.
Talk: TypeAlias = Generator[Want, Any, _Result]


def receive_content(
    stream: Stream, length: int, digest: Digest, chunk_bytes: int = LARGEST_CHUNK_BYTES
) -> Talk[None]:
    """Yield `length` bytes of content in pieces: raw ones on a clear connection, else one message a chunk.

    Args:
        stream: the connection.
        length: how many bytes come.
        digest: takes every byte.
        chunk_bytes: the longest message of content.

    Raises:
        ProtocolError: a chunk is empty, longer than it may be, or goes beyond the end.
    """
    left = length
    while left:
        if stream.is_encrypted:
            reader = yield Wanted.MESSAGE
            data = reader.rest()
            if not 0 < len(data) <= min(left, chunk_bytes):
                raise ProtocolError(
                    f"a chunk has 1 to {min(left, chunk_bytes)} bytes here (got {len(data)}, {left} are missing)"
                )
        else:
            data = yield Raw(left)
        left -= len(data)
        digest.update(data)
        yield Piece(data)


def check_size(size: int, maximum_bytes: int, what: str) -> None:
    """Refuse a size that is none, or that is more than we want to have.

    Raises:
        ProtocolError: it is negative.
        LimitExceeded: it is too large.
    """
    if size < 0:
        raise ProtocolError(f"{what} cannot have {size} bytes")
    if size > maximum_bytes:
        raise LimitExceeded(f"{what} may have {maximum_bytes} bytes here (the peer announces {size})")
