"""One connection of a command server: its deadlines, its handlers, and its end.

Reading, the protocol and the handlers share one task, so a handler that takes its time holds up its own peer and nobody
else. Whatever the peer sends, and whatever a handler does, ends at most this connection.
"""

import errno
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Final, Protocol

import attrs
import trio

from daemoncore.authorization import Level
from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.handshake import Peer
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from daemoncore.cedar.server_conversation import CommandReceived, Finished, Refused, ServerConversation
from daemoncore.cedar.stream_state import StreamState

_CHUNK_BYTES: Final = 64 * 1024
#: What sending and receiving raise when the other side is not there any more.
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.frozen
class ServerLimits:
    """How much of us one peer, and all together, may take."""

    #: From the first byte to the first command. A stock client tries methods one after another, each a round trip.
    handshake_seconds: float = 10.0
    #: Between two commands on one connection. A collector's peers keep theirs, ours have `is_kept_open` for that.
    idle_seconds: float = 60.0
    #: Until a peer has taken what we send it.
    send_seconds: float = 10.0
    #: Fifty managers with two connections each, their tools, and room.
    connections: int = 400
    #: One address may be a whole test pool, or a host behind a translated network.
    connections_of_one_address: int = 150
    #: Commands on one connection that is not kept open.
    commands: int = 10_000


class ServerObserver(Protocol):
    """Hears what happens at the command port; called synchronously, must not raise."""

    def command_received(self, command: int, peer: Peer, address: str) -> None:
        """Take note of a command that a handler is about to get."""

    def connection_refused(self, reason: str, address: str, sentence: str, *, is_repeated: bool) -> None:
        """Count a connection that was ended, by `reason`; `is_repeated` says that a log line would say nothing new."""

    def handler_failed(self, command: int, address: str, error: Exception) -> None:
        """Report a mistake of our own: a handler raised, or (DC_AUTHENTICATE) the handshake itself."""


@attrs.define(eq=False)
class Request:
    """A command from a peer who may give it."""

    command: int
    peer: Peer
    #: The numeric address that the peer calls from.
    address: str
    #: The payload, to be read to its end; None for a command without.
    reader: MessageReader | None
    _connection: "ServerConnection" = attrs.field(alias="connection")

    def writer(self) -> MessageWriter:
        """Return a writer for an answer."""
        return self._connection.conversation.stream.writer()

    async def reply(self, message: MessageWriter) -> None:
        """Send an answer, or any message on a connection that is kept open."""
        await self._connection.send(self._connection.conversation.stream.encode(message))

    def hand_over(self) -> tuple[StreamState, int]:
        """Give the connection to another process; what is left to the handler is to return.

        Returns:
            What that process must know of the stream, and a descriptor of the socket, which the caller closes once that
            process has it.

        Raises:
            OSError: the connection is none of the operating system's, or there is no descriptor left.
            WireError: the peer did not wait for its answer.
        """
        return self._connection.hand_over()

    async def messages(self) -> AsyncGenerator[tuple[int, MessageReader], None]:
        """Yield what follows on a connection that is kept open: each time a command and its payload.

        Every command is authorized like the first one. It ends when the peer closes the connection; deadlines are the
        handler's.
        """
        while True:
            event = await self._connection.next_command()
            if event is None or event.reader is None:
                return
            yield event.command, event.reader


Handler = Callable[[Request], Awaitable[None]]


@attrs.frozen
class Registration:
    """What a server knows of one of its commands."""

    level: Level
    handler: Handler
    is_kept_open: bool
    has_payload: bool
    #: Hears of the numeric address from which the command came on a session that we do not know.
    when_lost: Callable[[str], None] | None = None


class _RefusedError(Exception):
    """The connection is at its end, against the peer's will; what was to be told of it has been told."""


class ServerConnection:
    """One connection: reads, answers, and calls the handlers."""

    def __init__(
        self,
        conversation: ServerConversation,
        stream: trio.abc.Stream,
        address: str,
        registrations: Mapping[int, Registration],
        limits: ServerLimits,
        observer: ServerObserver,
        refuse: Callable[[str, str], None],
        now: Callable[[], float],
    ) -> None:
        """Take a connection over; `refuse` hears the reason and the sentence when it ends against the peer's will."""
        self.conversation = conversation
        self._stream = stream
        self._address = address
        self._registrations = registrations
        self._limits = limits
        self._observer = observer
        self._tell_refusal = refuse
        self._now = now
        self._events: list[CommandReceived | Refused | Finished] = []
        self._is_handed_over = False

    async def run(self) -> None:
        """Serve until the peer closes, or has to go."""
        limits = self._limits
        try:
            seconds = limits.handshake_seconds
            for _ in range(limits.commands):
                event = await self._command_within(seconds)
                if event is None:
                    return
                if not await self._handle(event):
                    return
                seconds = limits.idle_seconds
            self._refuse("too_many", f"more than {limits.commands} commands on one connection")
        except* _RefusedError:
            pass
        except* WireError as errors:
            # A handler read its payload, and it was not what the command's payload is.
            self._refuse("protocol", str(errors.exceptions[0]))
        except* _GONE:
            # The peer is gone; what it wanted it has, or does not want any more.
            pass
        except* Exception as errors:  # noqa: BLE001 -- whatever it is, it ends one connection
            # A mistake of ours before any handler had a say. Strangers come this far, and must not end the daemon.
            self._observer.handler_failed(Command.DC_AUTHENTICATE, self._address, errors.exceptions[0])
        finally:
            self.conversation.close()

    async def _command_within(self, seconds: float) -> CommandReceived | None:
        with trio.move_on_after(seconds):
            return await self.next_command()
        if self.conversation.peer is None:
            self._refuse("slow", f"the handshake took longer than {seconds:g} seconds")
        return None

    async def next_command(self) -> CommandReceived | None:
        """Return the next command, or None when the peer has closed the connection or has what it came for."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, CommandReceived):
                    return event
                if isinstance(event, Refused):
                    self._refuse(event.refusal.value, event.reason)
                    raise _RefusedError
                return None
            data = await self._stream.receive_some(_CHUNK_BYTES)
            if not data:
                return None
            self._events = self.conversation.receive_data(bytes(data), self._now())
            to_send = self.conversation.data_to_send()
            if to_send:
                await self.send(to_send)

    async def send(self, data: bytes) -> None:
        """Send bytes to a peer that has to take them in time."""
        with trio.move_on_after(self._limits.send_seconds) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            self._refuse("slow", "it does not take what we send")
            raise _RefusedError

    async def _handle(self, event: CommandReceived) -> bool:
        """Call the handler; say whether the connection takes further commands."""
        entry = self._registrations[event.command]
        request = Request(event.command, event.peer, self._address, event.reader, connection=self)
        self._observer.command_received(event.command, event.peer, self._address)
        try:
            await entry.handler(request)
        except Exception as error:
            if _is_peers_doing(error):
                raise
            # A mistake in one handler must not end the daemon, nor leave the peer waiting.
            self._observer.handler_failed(event.command, self._address, error)
            return False
        return not (self._is_handed_over or (entry.is_kept_open and event.peer.is_ours))

    def hand_over(self) -> tuple[StreamState, int]:
        """Give the connection away; see `Request.hand_over`."""
        if not isinstance(self._stream, trio.SocketStream):
            raise OSError(errno.ENOTSOCK, "only a socket can be given to another process")
        state = self.conversation.stream.hand_over()
        self._is_handed_over = True
        return state, os.dup(self._stream.socket.fileno())

    def _refuse(self, reason: str, sentence: str) -> None:
        peer = self.conversation.peer
        who = f"{peer.identity.user}: " if peer else ""
        self._tell_refusal(reason, who + sentence)


def _is_peers_doing(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return all(_is_peers_doing(inner) for inner in error.exceptions)
    return isinstance(error, (WireError, _RefusedError, *_GONE))
