"""One side of one CEDAR connection: messages in, bytes out, and the other way round, encrypted once there is a key.

Encryption is AES-256-GCM, one nonce a packet. Each direction draws sixteen random bytes, its IV, and sends them in front
of its first encrypted packet; the nonce of its packet k is the IV with k added to the first four bytes. The packet's
header is authenticated along with its body, and for the first packet of each direction so is the whole clear
conversation before it: the SHA-256 of all that the packet's sender has sent, then of all that it has received. So
whoever changed one byte of the handshake is found out here. (HTCondor src/condor_io/reli_sock.cpp and
condor_crypt_aesgcm.cpp.)

A received message is decrypted when it is asked for, not before, since its predecessor may have switched the key on.

The cipher is imported with the first key, because short-lived programs on clear connections start in half the time
without it.
"""

import hashlib
from typing import TYPE_CHECKING, Self

from daemoncore.cedar.errors import DecryptionError, LimitExceeded, ProtocolError, WireError
from daemoncore.cedar.packets import (
    BEFORE_AUTHENTICATION,
    LARGEST_PACKET_BYTES,
    Limits,
    Packet,
    PacketReader,
    cut,
    packet_header,
)
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from daemoncore.cedar.stream_state import DirectionState, StreamState

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

IV_BYTES = 16
TAG_BYTES = 16
KEY_BYTES = 32
#: As much as goes into one packet whether or not it is the first encrypted one.
LARGEST_CUT_BYTES = LARGEST_PACKET_BYTES - IV_BYTES - TAG_BYTES
# HTCondor ends a connection before the counter repeats, and so do we.
_PACKETS_PER_KEY = 2**32 - 1
_SILENT_DIGEST = bytes(hashlib.sha256().digest_size)


class _Digest:
    """SHA-256 over the clear bytes of one direction; 32 zero bytes as long as there were none."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._hash = hashlib.sha256()
        self._is_silent = True

    def update(self, data: bytes) -> None:
        self._hash.update(data)
        self._is_silent = False

    def value(self) -> bytes:
        return _SILENT_DIGEST if self._is_silent else self._hash.digest()


class _Direction:
    """The nonces and the handshake digest of one direction of an encrypted connection."""

    def __init__(self, cipher: "AESGCM", state: DirectionState) -> None:
        self._cipher = cipher
        self._handshake = state.handshake
        self._iv = state.iv
        self._count = state.count

    def state(self) -> DirectionState:
        return DirectionState(self._handshake, self._iv, self._count)

    def _nonce(self, iv: bytes) -> bytes:
        if self._count >= _PACKETS_PER_KEY:
            raise LimitExceeded(
                f"a key is good for {_PACKETS_PER_KEY} packets a direction; open a new connection"
            )
        first = (int.from_bytes(iv[:4], "big") + self._count) % 2**32
        return first.to_bytes(4, "big") + iv[4:]

    def _associated(self, header: bytes) -> bytes:
        return header if self._count else self._handshake + header

    def encrypt(self, chunk: bytes, *, is_last: bool) -> bytes:
        assert self._iv is not None, "the direction we send in has our IV"
        prefix = b"" if self._count else self._iv
        header = packet_header(len(prefix) + len(chunk) + TAG_BYTES, is_last=is_last)
        sealed = self._cipher.encrypt(self._nonce(self._iv), chunk, self._associated(header))
        self._count += 1
        return b"".join((header, prefix, sealed))

    def decrypt(self, packet: Packet) -> bytes:
        from cryptography.exceptions import InvalidTag

        sealed = packet.body
        if self._iv is None:
            self._iv, sealed = sealed[:IV_BYTES], sealed[IV_BYTES:]
        # A tag alone would be an empty piece, which nobody sends.
        if len(sealed) <= TAG_BYTES:
            raise DecryptionError(
                f"an encrypted packet is longer than its IV and tag (got {len(packet.body)} bytes)"
            )
        try:
            chunk = self._cipher.decrypt(self._nonce(self._iv), sealed, self._associated(packet.header))
        except InvalidTag:
            raise DecryptionError(
                f"encrypted packet {self._count} of {len(packet.body)} bytes does not fit the key or the handshake"
            ) from None
        self._count += 1
        return chunk


class Stream:
    """One side of one connection. It knows bytes and messages; what they mean is the caller's."""

    def __init__(self, limits: Limits = BEFORE_AUTHENTICATION) -> None:
        self._packets = PacketReader(limits)
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._sent = _Digest()
        self._received = _Digest()
        self._outgoing: _Direction | None = None
        self._incoming: _Direction | None = None
        self._key: bytes | None = None
        self._failure: WireError | None = None
        self._is_handed_over = False
        self._is_taken_over = False

    @property
    def is_encrypted(self) -> bool:
        """Whether messages of both directions are encrypted from here on."""
        return self._outgoing is not None

    @property
    def buffered_bytes(self) -> int:
        """How many received bytes have not been taken, neither as a message nor raw."""
        return self._packets.buffered_bytes

    def raise_limits(self, limits: Limits) -> None:
        """Let the peer send more, now that we know who it is."""
        self._packets.limits = limits

    def receive_data(self, data: bytes | memoryview) -> None:
        """Add bytes from the network; then call `next_message` until it returns None."""
        self._packets.receive_data(data)

    def next_message(self) -> MessageReader | None:
        """Take the next complete message, or None until more bytes come.

        Raises:
            WireError: the peer's bytes are no message. The connection is of no further use; asking again raises again.
        """
        assert not self._is_handed_over, "another process has this connection"
        if self._failure is not None:
            raise self._failure
        try:
            return self._next_message()
        except WireError as failure:
            self._failure = failure
            raise

    def _next_message(self) -> MessageReader | None:
        while (packet := self._packets.next_packet()) is not None:
            self._collect(self._open(packet))
            if packet.is_last:
                body = b"".join(self._pieces)
                self._pieces.clear()
                self._pieces_bytes = 0
                return MessageReader(body, encrypted=self.is_encrypted)
        return None

    def _open(self, packet: Packet) -> bytes:
        if self._incoming is not None:
            return self._incoming.decrypt(packet)
        self._received.update(packet.header)
        self._received.update(packet.body)
        return packet.body

    def _collect(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._pieces_bytes += len(piece)
        most = self._packets.limits.message_bytes
        if self._pieces_bytes > most:
            raise LimitExceeded(f"a message may have {most} bytes here (got {self._pieces_bytes} so far)")

    def receive_end(self) -> None:
        """Take note that the peer has closed its side; ProtocolError when that was within a message."""
        if self.buffered_bytes or self._pieces:
            left = self.buffered_bytes + self._pieces_bytes
            raise ProtocolError(f"the peer closed the connection within a message, after {left} bytes of it")

    def receive_raw(self, most_bytes: int) -> bytes:
        """Take up to `most_bytes` that came outside the framing; what has not come yet is the caller's to read."""
        assert not self._pieces, "raw bytes come between messages"
        return self._packets.take_raw(most_bytes)

    def writer(self) -> MessageWriter:
        """Return a writer for the next message, of the kind that this connection needs now."""
        return MessageWriter(encrypted=self.is_encrypted)

    def encode(self, message: MessageWriter | bytes, *, cut_bytes: int = LARGEST_CUT_BYTES) -> bytes:
        """Return a message as bytes for the network; they must be sent in the order of the calls.

        Args:
            message: a writer from `writer()`, or a body that was written for the connection's present state.
            cut_bytes: the longest piece of the body to put in a packet, at most 1 MiB less 32 bytes.

        Raises:
            ValueError: the message is empty.
        """
        if isinstance(message, MessageWriter):
            assert message.is_encrypted == self.is_encrypted, (
                "this writer was made before encryption was switched on"
            )
            message = message.body()
        return b"".join(self._seal(chunk, is_last) for chunk, is_last in cut(message, cut_bytes))

    def _seal(self, chunk: bytes, is_last: bool) -> bytes:
        assert not self._is_handed_over, "another process has this connection"
        if self._outgoing is not None:
            return self._outgoing.encrypt(chunk, is_last=is_last)
        packet = packet_header(len(chunk), is_last=is_last) + chunk
        self._sent.update(packet)
        return packet

    def encrypt_with(self, key: bytes, iv: bytes) -> None:
        """Switch encryption on, in both directions, from the next message on.

        Args:
            key: 32 bytes, the session's.
            iv: 16 fresh random bytes for the direction we send in. One pair of key and iv must never be used twice.
        """
        assert not self.is_encrypted, "encryption is switched on once"
        assert not self._pieces, "encryption is switched on between messages"
        assert len(key) == KEY_BYTES, f"a key has {KEY_BYTES} bytes (got {len(key)})"
        assert len(iv) == IV_BYTES, f"an IV has {IV_BYTES} bytes (got {len(iv)})"
        assert not self._is_taken_over, (
            "what was said before belongs to the handshake, and only our predecessor heard it"
        )
        sent, received = self._sent.value(), self._received.value()
        self._use(key, DirectionState(sent + received, iv, 0), DirectionState(received + sent, None, 0))

    def _use(self, key: bytes, outgoing: DirectionState, incoming: DirectionState) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        cipher = AESGCM(key)
        self._key = key
        self._outgoing = _Direction(cipher, outgoing)
        self._incoming = _Direction(cipher, incoming)

    def hand_over(self) -> StreamState:
        """Return all that another process needs in order to go on with the connection, between two messages.

        This stream is at its end with it: two users of one key would repeat nonces, so further use is an assertion.

        Raises:
            WireError: the peer has sent a part of a message too early, or something that is none.
        """
        if self._failure is not None:
            raise self._failure
        if self._pieces:
            raise ProtocolError(
                f"the peer had to wait for an answer, and sent {self._pieces_bytes} bytes of a message"
            )
        self._is_handed_over = True
        return StreamState(
            self._packets.limits,
            self._packets.take_raw(self._packets.buffered_bytes),
            self._key,
            self._outgoing.state() if self._outgoing else None,
            self._incoming.state() if self._incoming else None,
        )

    @classmethod
    def take_over(cls, state: StreamState) -> Self:
        """Return a stream that goes on where the one that was handed over stopped."""
        stream = cls(state.limits)
        stream._packets.receive_data(state.buffered)
        stream._is_taken_over = True
        if state.key is not None:
            assert state.outgoing is not None, "a key is used in both directions"
            assert state.incoming is not None, "a key is used in both directions"
            stream._use(state.key, state.outgoing, state.incoming)
        return stream

    def reset_digests(self) -> None:
        """Forget the clear conversation so far: a shared port server took it, the daemon behind it did not see it."""
        assert not self.is_encrypted, "the handshake is bound when encryption is switched on"
        self._sent.reset()
        self._received.reset()
