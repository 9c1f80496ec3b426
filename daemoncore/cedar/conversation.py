"""A handshake as a conversation that reads from top to bottom.

Each part of a handshake is a generator. It sends by calling `Channel.send`, and gets the next message by saying
`reader = yield`; whoever drives it feeds it the messages as they come. So the steps of a protocol stand in the order in
which they happen, nothing blocks, and the same code runs on a socket, in a simulation and against a recording.
"""

from collections.abc import Generator
from typing import TypeAlias, TypeVar

import attrs

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.keys import RandomBytes
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from daemoncore.cedar.stream import IV_BYTES, Stream

_Result = TypeVar("_Result")

#: A part of a handshake: `yield` waits for a message, the return value is what came of it.
Talk: TypeAlias = Generator[None, MessageReader, _Result]


@attrs.define
class Channel:
    """One side's end of a conversation: the stream, what is to be sent, and the time and dice of the moment."""

    stream: Stream
    random_bytes: RandomBytes
    #: Seconds since 1970, as of the bytes being looked at; whoever drives the conversation sets it.
    now: float = 0.0
    _outbox: bytearray = attrs.field(factory=bytearray, alias="outbox")

    def writer(self) -> MessageWriter:
        """Return a writer for the next message."""
        return self.stream.writer()

    def send(self, message: MessageWriter) -> None:
        """Add a message to what is to be sent."""
        self._outbox += self.stream.encode(message)

    def send_ints(self, *numbers: int) -> None:
        """Send a message of nothing but integers."""
        writer = self.writer()
        for number in numbers:
            writer.put_int(number)
        self.send(writer)

    def send_ad(self, ad: ClassAd) -> None:
        """Send a message of nothing but an ad."""
        self.send(self.writer().put_ad(ad))

    def encrypt_with(self, key: bytes) -> None:
        """Switch encryption on, in both directions, with fresh dice for ours."""
        self.stream.encrypt_with(key, self.random_bytes("iv", IV_BYTES))

    def data_to_send(self) -> bytes:
        """Take what is to be sent."""
        data = bytes(self._outbox)
        self._outbox.clear()
        return data


def read_int(reader: MessageReader) -> int:
    """Return the integer that is all there is in a message."""
    number = reader.get_int()
    reader.end()
    return number


def read_ad(reader: MessageReader) -> ClassAd:
    """Return the ad that is all there is in a message, as strangers may send it."""
    ad = reader.get_ad(restricted=True)
    reader.end()
    return ad
