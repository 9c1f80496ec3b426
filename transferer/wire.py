"""A connection, read and written by a process that does nothing else: it waits, but never for ever.

The socket does not block; what blocks is `poll`, which watches the daemon's channel too, so that a copy nobody wants any
more ends at once, and which gives up when a peer neither sends nor takes anything for a while. While we send, a word of the
peer's ends it: a downloader whose disk is full says so and does not have to take the rest of a large file.
"""

import contextlib
import enum
import errno
import os
import select
import socket
import time
from typing import Any, Final, NoReturn, TypeVar

from daemoncore.cedar.errors import WireError
from daemoncore.cedar.scalars import MessageReader
from daemoncore.cedar.stream import Stream
from transferer import versions
from transferer.control import Control
from transferer.failure import Cancelled, CopyFailed, Declined, Fault
from transferer.progress import Progress
from transferer.source import FileSource
from transferer.talk import CHUNK_BYTES, Begun, DigestMismatch, Head, Piece, Raw, Talk, Wanted
from transferer.target import Target

_Result = TypeVar("_Result")

#: One read of the socket; larger ones are no faster.
_READ_BYTES: Final = 512 * 1024
#: A last word to a peer that is still sending is worth waiting this long.
_FAREWELL_SECONDS: Final = 1.0
#: How often a peer hears that we are busy; it waits for many times as long.
_BUSY_SECONDS: Final = 1.0


class PeerClosed(CopyFailed):
    """The peer closed the connection in good order; whether it had all that it wanted, the protocol knows."""


class News(enum.Enum):
    """What ended a time of waiting between two versions."""

    DAEMON = enum.auto()
    PEER = enum.auto()
    #: The time of this process is over, which is nobody's fault between two versions.
    TIME = enum.auto()


class Wire:
    """One connection with its stream."""

    def __init__(
        self,
        connection: socket.socket,
        stream: Stream,
        control: Control,
        *,
        stall_seconds: float,
        ends_at: float,
    ) -> None:
        """Take a connection over.

        Args:
            connection: the socket.
            stream: its state.
            control: the daemon, whose end is ours.
            stall_seconds: how long the peer may do nothing when it is its turn.
            ends_at: when the time of this process is over, by `time.monotonic()`.
        """
        self.stream = stream
        self._socket = connection
        self._control = control
        self._stall_seconds = stall_seconds
        self.ends_at = ends_at
        self._outbox = bytearray()
        self._told_busy_at = time.monotonic()
        self._hears_words = False
        # One encrypted chunk is kept while the next is made: else malloc gives the memory back after each one and takes
        # it again, and every page of it costs a fault (measured: a hundred of them a chunk).
        self._kept = (b"", b"")
        self._buffer = memoryview(bytearray(_READ_BYTES))
        connection.setblocking(False)
        # A pair of UNIX sockets knows none of this, and needs none of it.
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(stall_seconds / 3)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, int(stall_seconds / 3)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)

    def queue(self, data: bytes) -> None:
        """Add bytes to what goes out with the next `flush`, or with the next large piece."""
        self._outbox += data

    def flush(self) -> None:
        """Send what is queued."""
        if self._outbox:
            data, self._outbox = memoryview(self._outbox), bytearray()
            self._send(data)

    def seconds_left(self) -> float:
        """Return how much time this process has; CopyFailed when none."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise CopyFailed(Fault.LIFETIME, "the time of this process is over")
        return left

    def ask_for_patience(self) -> None:
        """Say that we are busy, if that has not been said for a while; for what takes long while the peer waits."""
        if time.monotonic() - self._told_busy_at >= _BUSY_SECONDS:
            self._told_busy_at = time.monotonic()
            self._send(memoryview(versions.encode_busy(self.stream)))

    def _send(self, data: memoryview) -> None:
        while data:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                self._wait_to_send()
            except OSError as error:
                self._broke(error)

    def next_message(self) -> MessageReader:
        """Wait for a message; CopyFailed when none comes, WireError when it is none."""
        self.flush()
        while (message := self.stream.next_message()) is None:
            count = self._receive(len(self._buffer))
            self.stream.receive_data(self._buffer[:count])
        return message

    def receive_raw(self, most_bytes: int) -> bytes | memoryview:
        """Wait for 1 to `most_bytes` bytes outside the framing; they are valid until the next call."""
        if self.stream.buffered_bytes:
            return self.stream.receive_raw(most_bytes)
        self.flush()
        count = self._receive(min(most_bytes, len(self._buffer)))
        return self._buffer[:count]

    def _receive(self, most_bytes: int) -> int:
        while True:
            try:
                count = self._socket.recv_into(self._buffer, most_bytes)
            except BlockingIOError:
                self._wait(select.POLLIN)
                continue
            except OSError as error:
                self._broke(error)
            if count == 0:
                raise PeerClosed(Fault.GONE, "the peer closed the connection")
            return count

    def finish_sending(self) -> None:
        """Send what is queued, and tell the peer that nothing follows."""
        self.flush()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def send_content(self, source: FileSource, start: int, progress: Progress) -> None:
        """Send a file from byte `start` to its end, hashing on the way."""
        source.position(start, self.ask_for_patience)
        self._hears_words = True
        position = start
        while position < source.size:
            if self.stream.is_encrypted:
                data = source.read(position, CHUNK_BYTES)
                self.flush()
                sealed = self.stream.encode(data)
                self._send(memoryview(sealed))
                self._kept = (data, sealed)
                position += len(data)
            else:
                position = self._send_clear(source, position)
            progress.moved_to(position - start)
        self._hears_words = False
        progress.finish_file(source.size - start)

    def _send_clear(self, source: FileSource, position: int) -> int:
        data = source.read(position, _READ_BYTES)
        if len(data) <= CHUNK_BYTES:
            # Small enough to travel with the messages around it.
            self.queue(data)
            return position + len(data)
        self.flush()
        end = position + len(data)
        while position < end:
            try:
                sent = os.sendfile(self._socket.fileno(), source.descriptor, position, end - position)
            except BlockingIOError:
                self._wait_to_send()
                continue
            except OSError as error:
                self._broke(error)
            if sent == 0:
                raise CopyFailed(Fault.SOURCE, f"{source.name}: it became shorter while it was sent")
            position += sent
        return position

    def receive(self, talk: Talk[_Result], target: Target, progress: Progress) -> _Result:
        """Drive a conversation that receives files; WireError and CopyFailed say why it did not end."""
        reply: Any = None
        while True:
            try:
                want = talk.send(reply)
            except StopIteration as finished:
                result: _Result = finished.value
                return result
            reply = None
            match want:
                case Piece():
                    target.write(want.data)
                    progress.moved_by(len(want.data))
                case Raw():
                    reply = self.receive_raw(want.most_bytes)
                case Wanted.MESSAGE:
                    reply = self.next_message()
                case Begun():
                    target.begin(want.index, want.start, want.size)
                case Head():
                    reply = target.head(want.index, want.size)

    def wait_for_news(self) -> News:
        """Wait until the daemon or the peer has something to say, or the time of this process is over."""
        self.flush()
        while not self._control.has_document():
            if self.stream.buffered_bytes:
                return News.PEER
            poller = select.poll()
            poller.register(self._socket, select.POLLIN)
            poller.register(self._control.descriptor, select.POLLIN)
            events = dict(poller.poll(max(0.0, self.ends_at - time.monotonic()) * 1000))
            if not events:
                return News.TIME
            if self._control.descriptor not in events:
                return News.PEER
        return News.DAEMON

    def _wait_to_send(self) -> None:
        wanted = select.POLLOUT | (select.POLLIN if self._hears_words else 0)
        if self._wait(wanted) & select.POLLIN:
            self.stream.receive_data(self._buffer[: self._receive(len(self._buffer))])
            while (message := self.stream.next_message()) is not None:
                if end := versions.read_receipt(message):
                    raise Declined(end)

    def _wait(self, events: int) -> int:
        """Wait for the socket, as long as the peer may stall, the daemon lives and our time lasts."""
        poller = select.poll()
        poller.register(self._socket, events)
        poller.register(self._control.descriptor, 0)
        patience = min(self._stall_seconds, max(0.0, self.ends_at - time.monotonic()))
        found = dict(poller.poll(patience * 1000))
        if self._control.descriptor in found:
            raise Cancelled("the daemon that started this copy is gone")
        if not found and time.monotonic() >= self.ends_at:
            raise CopyFailed(Fault.LIFETIME, "the time of this process is over, in the middle of a copy")
        if not found:
            raise CopyFailed(Fault.SLOW, f"the peer did nothing for {self._stall_seconds:g} seconds")
        return found[self._socket.fileno()]

    def _broke(self, error: OSError) -> NoReturn:
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            # It may have said why before it closed.
            with contextlib.suppress(OSError, WireError, CopyFailed):
                self._outbox.clear()
                while (end := versions.read_receipt(self.next_message())) is None:
                    continue
                raise Declined(end)
        raise CopyFailed(Fault.GONE, f"the connection broke: {error.strerror or error}") from error

    def say_farewell(self, data: bytes) -> None:
        """Send a last word, and let a peer that is still sending hear it before the connection is reset.

        What it sends meanwhile is not read: so it comes to a halt and listens.
        """
        with contextlib.suppress(OSError):
            self._socket.settimeout(_FAREWELL_SECONDS)
            self._socket.sendall(bytes(self._outbox) + data)
            self._socket.shutdown(socket.SHUT_WR)
            poller = select.poll()
            poller.register(self._socket, select.POLLRDHUP)
            poller.poll(_FAREWELL_SECONDS * 1000)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def mapped(error: WireError) -> CopyFailed:
    """Return what a peer's nonsense means for a copy."""
    return CopyFailed(Fault.DIGEST if isinstance(error, DigestMismatch) else Fault.PROTOCOL, str(error))
