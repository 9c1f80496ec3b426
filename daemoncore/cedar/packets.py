"""How a message is cut into packets on a TCP connection (HTCondor's ReliSock), and put together again.

    offset 0, 1 byte    end flag: 0 more packets follow, 1 the last one of its message (1 to 10 are accepted)
    offset 1, 4 bytes   length of the body, big-endian, 1 byte to 1 MiB
    offset 5            the body as it is on the wire, that is encrypted if the connection is

There are no empty packets, no version, no keep-alive. Between messages a connection may carry bytes outside this
framing (the content of a file, a byte that carries a descriptor), which `take_raw` hands out.
"""

import struct

import attrs

from daemoncore.cedar.errors import LimitExceeded, ProtocolError

_HEADER = struct.Struct(">Bi")
HEADER_BYTES = _HEADER.size
# HTCondor takes any of these for "this was the last packet" and drops the connection for more.
_LARGEST_END_FLAG = 10

#: HTCondor rejects larger packets (src/condor_io/reli_sock.cpp, rcv_packet).
LARGEST_PACKET_BYTES = 1024 * 1024


@attrs.frozen
class Limits:
    """How much a peer may send; exceeding it ends the connection."""

    #: The body of one packet as it is on the wire.
    packet_bytes: int
    #: One message, decrypted, all its packets together.
    message_bytes: int


#: For strangers. The largest message of a recorded handshake is 3 KiB; with long tokens and many methods 64 KiB is
#: plenty, and a thousand strangers that all stall just below it cost less than 150 MB.
BEFORE_AUTHENTICATION = Limits(packet_bytes=64 * 1024, message_bytes=64 * 1024)
#: For whoever may command us. File chunks are 256 KiB and the largest ads tens of KiB; a collector's answer to a query is
#: one message however many ads it has, and 4 MiB hold some thousands of ours.
AFTER_AUTHENTICATION = Limits(packet_bytes=LARGEST_PACKET_BYTES, message_bytes=4 * 1024 * 1024)


@attrs.frozen
class Packet:
    """One packet as it was received; the header is kept because encryption covers it."""

    is_last: bool
    header: bytes
    body: bytes


def packet_header(body_bytes: int, *, is_last: bool) -> bytes:
    """Return the header of a packet whose body, as it goes on the wire, has `body_bytes` bytes."""
    assert 0 < body_bytes <= LARGEST_PACKET_BYTES, f"no packet can have {body_bytes} bytes"
    return _HEADER.pack(is_last, body_bytes)


def encode_packets(body: bytes, *, cut_bytes: int = LARGEST_PACKET_BYTES) -> bytes:
    """Return a clear message as packets of at most `cut_bytes` each.

    Raises:
        ValueError: the body is empty; the wire has no empty messages.
    """
    pieces = []
    for chunk, is_last in cut(body, cut_bytes):
        pieces += [packet_header(len(chunk), is_last=is_last), chunk]
    return b"".join(pieces)


def cut(body: bytes, cut_bytes: int) -> list[tuple[bytes, bool]]:
    """Return the body in pieces of at most `cut_bytes`, each with whether it is the last one."""
    if not body:
        raise ValueError("a message has at least one byte")
    starts = range(0, len(body), cut_bytes)
    return [(body[start : start + cut_bytes], start == starts[-1]) for start in starts]


class PacketReader:
    """Finds the packets in a stream of bytes, however the network cut it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._buffer = bytearray()

    @property
    def buffered_bytes(self) -> int:
        """How many bytes have been received and not been taken."""
        return len(self._buffer)

    def receive_data(self, data: bytes | memoryview) -> None:
        """Add bytes from the network. Taking out what is complete, before adding more, bounds the memory."""
        self._buffer += data

    def next_packet(self) -> Packet | None:
        """Take the next packet, or None while it is incomplete.

        Raises:
            ProtocolError: these bytes are no packet. Raised at the first byte that shows it, and again if asked again.
            LimitExceeded: the packet is longer than this peer may send.
        """
        if self._buffer and self._buffer[0] > _LARGEST_END_FLAG:
            raise ProtocolError(
                f"the end flag of a packet is 0 to {_LARGEST_END_FLAG} (got {self._buffer[0]})"
            )
        if len(self._buffer) < HEADER_BYTES:
            return None
        header = bytes(self._buffer[:HEADER_BYTES])
        end_flag, length = _HEADER.unpack(header)
        if length <= 0:
            raise ProtocolError(f"the length of a packet is positive (got {length})")
        if length > self.limits.packet_bytes:
            raise LimitExceeded(f"a packet may have {self.limits.packet_bytes} bytes here (got {length})")
        if len(self._buffer) < HEADER_BYTES + length:
            return None
        # One copy of the body, not two: state files come this way.
        with memoryview(self._buffer) as view:
            body = bytes(view[HEADER_BYTES : HEADER_BYTES + length])
        del self._buffer[: HEADER_BYTES + length]
        return Packet(end_flag != 0, header, body)

    def take_raw(self, most_bytes: int) -> bytes:
        """Take up to `most_bytes` of what is there, without looking for packets."""
        data = bytes(self._buffer[:most_bytes])
        del self._buffer[:most_bytes]
        return data
