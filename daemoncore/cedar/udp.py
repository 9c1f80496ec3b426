"""Messages over UDP (HTCondor's SafeSock), in the clear only: the official bindings may send an ad this way.

A message that fits one datagram has no header at all. A longer one is cut, and each fragment begins with 25 bytes:

    8 bytes  "MaGic6.0"         4 bytes  the sender's IPv4 address
    1 byte   1 if the last      2 bytes  its process id, lower half
    2 bytes  number, from 0     4 bytes  the time at which it began
    2 bytes  length of the data 2 bytes  number of the message

all big-endian. The last four tell messages of one sender apart; the address in the header is not believed, so that nobody
can put fragments into another host's message. Encrypted datagrams need a session that was made over TCP with a cipher
other than AES, and are refused.
"""

import struct
from collections import OrderedDict

import attrs

from daemoncore.cedar.errors import LimitExceeded, ProtocolError
from daemoncore.cedar.scalars import MessageReader

_MAGIC = b"MaGic6.0"
_HEADER = struct.Struct(">8sBHHIHIH")
# HTCondor's mark of a datagram with a message digest or encryption (src/condor_io/SafeMsg.cpp).
_SECURITY_MARK = b"CRAP"
#: HTCondor's default size of a datagram with its header (src/condor_includes/SafeMsg.h).
DATAGRAM_BYTES = 1000
#: A message has at least a command in it.
SMALLEST_MESSAGE_BYTES = 8
#: What one message may grow to; the rule for strangers over TCP is the same.
LARGEST_MESSAGE_BYTES = 64 * 1024
#: How many incomplete messages are kept, of all senders together; the oldest has to go.
INCOMPLETE_MESSAGES = 16
#: How many fragments one message may have, lest empty ones pile up.
LARGEST_FRAGMENT_COUNT = 1024


@attrs.frozen
class MessageId:
    """What a sender tells its messages apart by: its address and process, when it began, and a running number."""

    ipv4: int
    pid: int
    started_seconds: int
    number: int


def encode_datagrams(
    body: bytes, message_id: MessageId, *, datagram_bytes: int = DATAGRAM_BYTES
) -> list[bytes]:
    """Return a clear message as datagrams of at most `datagram_bytes` each, headers included, in order."""
    room = datagram_bytes - _HEADER.size
    assert room > 0, f"a datagram of {datagram_bytes} bytes has no room for data"
    if len(body) <= room:
        return [body]
    starts = range(0, len(body), room)
    return [
        _encode_fragment(body[start : start + room], number, message_id, is_last=start == starts[-1])
        for number, start in enumerate(starts)
    ]


def _encode_fragment(data: bytes, number: int, message_id: MessageId, *, is_last: bool) -> bytes:
    return _HEADER.pack(_MAGIC, is_last, number, len(data), *attrs.astuple(message_id)) + data


@attrs.define
class _Incomplete:
    """The fragments of one message so far, and the number of the last one once that has come."""

    fragments: dict[int, bytes] = attrs.Factory(dict)
    last: int | None = None
    size_bytes: int = 0

    def add(self, number: int, data: bytes, *, is_last: bool) -> None:
        if number in self.fragments:
            return
        self.fragments[number] = data
        self.size_bytes += len(data)
        if is_last:
            self.last = number

    def body(self) -> bytes | None:
        if self.last is None or any(number not in self.fragments for number in range(self.last + 1)):
            return None
        return b"".join(self.fragments[number] for number in range(self.last + 1))


class Reassembler:
    """Makes messages of datagrams; keeps at most 16 incomplete ones of 64 KiB, of all senders together."""

    def __init__(self) -> None:
        self._incomplete: OrderedDict[tuple[str, MessageId], _Incomplete] = OrderedDict()

    def receive_datagram(self, data: bytes, source: str) -> MessageReader | None:
        """Take a datagram; return the message that it completes, or None.

        Args:
            data: the whole datagram.
            source: the host that sent it, as the network says.

        Raises:
            ProtocolError: it is no part of a clear message; the datagram is dropped and nothing else.
            LimitExceeded: its message has grown too large and is dropped.
        """
        if not data.startswith(_MAGIC):
            return _complete(data)
        if len(data) < _HEADER.size:
            raise ProtocolError(f"a fragment has a header of {_HEADER.size} bytes (got {len(data)})")
        _, last_flag, number, _, *identity = _HEADER.unpack_from(data)
        key = (source, MessageId(*identity))
        message = self._incomplete.setdefault(key, _Incomplete())
        message.add(number, data[_HEADER.size :], is_last=last_flag != 0)
        self._check_limits(key, message)
        body = message.body()
        if body is None:
            return None
        del self._incomplete[key]
        return _complete(body)

    def _check_limits(self, key: tuple[str, MessageId], message: _Incomplete) -> None:
        if message.size_bytes > LARGEST_MESSAGE_BYTES or len(message.fragments) > LARGEST_FRAGMENT_COUNT:
            del self._incomplete[key]
            raise LimitExceeded(
                f"a message over UDP may have {LARGEST_MESSAGE_BYTES} bytes in {LARGEST_FRAGMENT_COUNT} fragments"
                f" (got {message.size_bytes} in {len(message.fragments)})"
            )
        if len(self._incomplete) > INCOMPLETE_MESSAGES:
            self._incomplete.popitem(last=False)


def _complete(body: bytes) -> MessageReader:
    if body.startswith(_SECURITY_MARK):
        raise ProtocolError("a datagram is signed or encrypted, which we accept over TCP only")
    if not SMALLEST_MESSAGE_BYTES <= len(body) <= LARGEST_MESSAGE_BYTES:
        raise ProtocolError(f"a message over UDP has 8 to {LARGEST_MESSAGE_BYTES} bytes (got {len(body)})")
    return MessageReader(body)
