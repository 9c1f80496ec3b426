"""The command port of a daemon: accepts connections, lets peers prove who they are, and calls the handlers of commands.

    server = CommandServer(security, observer)
    server.register(Command.HAD_ALIVE_CMD, Level.DAEMON, handle_alive)
    await server.serve(listeners)

A handler is an async function of a `Request`. Most commands are one message, after which the connection takes the next
command or ends. A command registered with `is_kept_open` hands the connection to its handler, which gets the following
messages from `Request.messages`; that is for peers of our own kind.

Nobody can hold the server up: there are deadlines for the handshake, for silence and for slow readers, limits on the
connections in total and from one address, and on the bytes before and after a login. Whatever a peer does ends at most
its own connection, is counted by reason, and told to the observer with whether the same reason was told of the
same address within the last minute.
"""

import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs
import trio

from daemoncore.authorization import Level, Visitor, implied_levels
from daemoncore.cedar.authentication import Endpoint, Identity
from daemoncore.cedar.commands import Command
from daemoncore.cedar.policy import SecurityPolicy
from daemoncore.cedar.server_conversation import ServerConversation
from daemoncore.cedar.sessions import SessionCache, SessionNumbers
from daemoncore.client import operating_system_dice
from daemoncore.host_names import NamesOf
from daemoncore.security import Security
from daemoncore.server_connection import (
    Handler,
    Registration,
    Request,
    ServerConnection,
    ServerLimits,
    ServerObserver,
)
from daemoncore.shared_port import SharedPortListener

#: A reason is told again for the same address after this time.
_REPEAT_SECONDS: Final = 60.0
#: Addresses remembered for that; when there are more, somebody is flooding us, and all are forgotten.
_MAXIMUM_REMEMBERED: Final = 1000
#: The commands that do nothing, by which tools ask whether one may do something at a level.
_NOTHING: Final = {
    Command.DC_NOP: Level.ALLOW,
    Command.DC_NOP_READ: Level.READ,
    Command.DC_NOP_WRITE: Level.WRITE,
    Command.DC_NOP_NEGOTIATOR: Level.NEGOTIATOR,
    Command.DC_NOP_ADMINISTRATOR: Level.ADMINISTRATOR,
    Command.DC_NOP_OWNER: Level.ADMINISTRATOR,
    Command.DC_NOP_CONFIG: Level.CONFIG,
    Command.DC_NOP_DAEMON: Level.DAEMON,
    Command.DC_NOP_ADVERTISE_STARTD: Level.ADVERTISE_STARTD,
    Command.DC_NOP_ADVERTISE_SCHEDD: Level.ADVERTISE_SCHEDD,
    Command.DC_NOP_ADVERTISE_MASTER: Level.ADVERTISE_MASTER,
}


class CommandServer:
    """Takes connections and hands out their commands."""

    def __init__(
        self,
        security: Security,
        observer: ServerObserver,
        *,
        limits: ServerLimits | None = None,
        sessions: SessionCache | None = None,
        host: str | None = None,
        names_of: NamesOf | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Make a server without commands of its own, but with HTCondor's that do nothing.

        Args:
            security: who we are, what connections must be like, and who may do what.
            observer: hears what happens.
            limits: how much peers may take; by default as much as this process can afford.
            sessions: where sessions are kept.
            host: our name in the ids of sessions; with the process and the time it makes them unique.
            names_of: finds the names of a peer's address, for lists with patterns of host names; none are known without.
            now: the clock that sessions live by, in seconds since 1970.
        """
        self.sessions = SessionCache() if sessions is None else sessions
        self.sessions.family = security.family
        self.security = security
        self.limits = limits or affordable_limits()
        self.observer = observer
        self._names_of = names_of
        self._now = now
        name = (host or socket.gethostname()).partition(".")[0]
        self._numbers = SessionNumbers(name, security.ourselves.process, now())
        self._commands: dict[int, Registration] = {}
        self._open: Counter[str] = Counter()
        self._told: dict[tuple[str, str], float] = {}
        for command, level in _NOTHING.items():
            self.register(command, level, _do_nothing, has_payload=False)

    def register(
        self,
        command: int,
        level: Level,
        handler: Handler,
        *,
        is_kept_open: bool = False,
        has_payload: bool = True,
        when_lost: Callable[[str], None] | None = None,
    ) -> None:
        """Have a handler called for a command.

        Args:
            command: its number.
            level: what one must be allowed in order to give it.
            handler: called with each request, one at a time per connection.
            is_kept_open: whether the handler goes on with the connection afterwards, if the peer is one of ours.
            has_payload: whether a message follows the handshake. Commands without are never taken in a resumed session,
                since nothing then proves that the session is the sender's.
            when_lost: called with the numeric address of a daemon that is none of ours, when it gave the command on a
                session that we do not know: it is lost, and the daemon negotiates before it gives its next one.
        """
        self._commands[int(command)] = Registration(level, handler, is_kept_open, has_payload, when_lost)

    def replace_security(self, security: Security) -> None:
        """Go on with other settings. Sessions are forgotten, since they were made under the old ones."""
        self.security = security
        self.sessions.clear()
        self.sessions.family = security.family

    async def serve(self, listeners: Sequence[trio.SocketListener]) -> None:
        """Accept connections until cancelled."""
        async with trio.open_nursery() as nursery:
            await trio.serve_listeners(self._serve_socket, list(listeners), handler_nursery=nursery)

    async def serve_behind(self, behind: SharedPortListener) -> None:
        """Take the connections that a shared port server passes to us, until cancelled."""

        async def take(stream: trio.SocketStream) -> None:
            await self._serve_socket(stream, behind.sock)

        await behind.serve(take, lambda sentence: self.refuse("protocol", "shared port", sentence))

    async def _serve_socket(self, stream: trio.SocketStream, sock: str | None = None) -> None:
        try:
            peer, here = stream.socket.getpeername(), stream.socket.getsockname()
            stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        except OSError:
            # Gone before we looked.
            await trio.aclose_forcefully(stream)
            return
        await self.serve_connection(
            stream, address=_numeric(peer[0]), endpoint=Endpoint(_numeric(here[0]), here[1], sock)
        )

    async def serve_connection(self, stream: trio.abc.Stream, *, address: str, endpoint: Endpoint) -> None:
        """Serve one connection to its end, whatever the peer does.

        Args:
            stream: the connection; it is closed in the end.
            address: the peer's numeric address.
            endpoint: our own address on this connection.
        """
        trouble = self._overload(address)
        try:
            if trouble:
                self.refuse("too_many", address, trouble)
                return
            self._open[address] += 1
            try:
                names = await self._names(address)
                await self._connection(stream, address, names, endpoint).run()
            finally:
                self._open[address] -= 1
                self._open += Counter()  # forgets addresses without connections
        finally:
            await trio.aclose_forcefully(stream)

    def _overload(self, address: str) -> str | None:
        total = self._open.total()
        if total >= self.limits.connections:
            return f"{total} connections are open already"
        if self._open[address] >= self.limits.connections_of_one_address:
            return f"{self._open[address]} connections from this address are open already"
        return None

    def refuse(self, reason: str, address: str, sentence: str) -> None:
        """Tell the observer that a connection ended against its peer's will."""
        now = trio.current_time()
        if len(self._told) >= _MAXIMUM_REMEMBERED:
            self._told.clear()
        told = self._told.get((reason, address))
        is_repeated = told is not None and now - told < _REPEAT_SECONDS
        if not is_repeated:
            self._told[reason, address] = now
        self.observer.connection_refused(reason, address, sentence, is_repeated=is_repeated)

    def registration(self, command: int) -> Registration | None:
        """Return what was registered for a command, or None."""
        return self._commands.get(command)

    def commands_within(self, level: Level) -> Iterable[int]:
        """Return the commands of a level and of those that it implies."""
        levels = implied_levels(level)
        return sorted(command for command, entry in self._commands.items() if entry.level in levels)

    async def _names(self, address: str) -> tuple[str, ...]:
        if self._names_of is None or not self.security.authorizer.has_name_patterns:
            return ()
        return await self._names_of(address)

    def _connection(
        self, stream: trio.abc.Stream, address: str, names: tuple[str, ...], endpoint: Endpoint
    ) -> ServerConnection:
        conversation = ServerConversation(
            _Gate(self, address, names),
            self.security.ourselves,
            self.security.credentials,
            self.sessions,
            self._numbers,
            (endpoint,),
            operating_system_dice,
        )
        return ServerConnection(
            conversation,
            stream,
            address,
            self._commands,
            self.limits,
            self.observer,
            lambda reason, sentence: self.refuse(reason, address, sentence),
            self._now,
        )


@attrs.frozen
class _Gate:
    """What the conversation with one peer needs to know of the server: `Gatekeeper`."""

    server: CommandServer
    address: str
    names: tuple[str, ...]

    def knows(self, command: int) -> bool:
        return self.server.registration(command) is not None

    def has_payload(self, command: int) -> bool:
        entry = self.server.registration(command)
        return entry is None or entry.has_payload

    def level_of(self, command: int) -> str:
        entry = self.server.registration(command)
        return (entry.level if entry else Level.DAEMON).value

    def policy_of(self, command: int) -> SecurityPolicy:
        return self.server.security.policies[Level(self.level_of(command))]

    def valid_commands(self, command: int) -> Sequence[int]:
        return list(self.server.commands_within(Level(self.level_of(command))))

    def lost(self, command: int) -> None:
        entry = self.server.registration(command)
        if entry is not None and entry.when_lost is not None:
            entry.when_lost(self.address)

    def refusal(self, command: int, identity: Identity) -> str | None:
        visitor = Visitor(
            identity.user,
            self.address,
            self.names,
            limits=identity.limits,
            is_family=identity.method == "FAMILY",
        )
        return self.server.security.authorizer.refusal(Level(self.level_of(command)), visitor)


def affordable_limits() -> ServerLimits:
    """Return the usual limits, within half of the descriptors that this process may have (ulimit -n).

    Otherwise strangers that only connect could leave none for our own calls, our guard and our files.
    """
    usual = ServerLimits()
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return usual
    total = min(usual.connections, descriptors // 2)
    of_one = min(usual.connections_of_one_address, total // 2)
    return attrs.evolve(usual, connections=total, connections_of_one_address=of_one)


async def _do_nothing(_request: Request) -> None:
    """Handle a command that does nothing: that it arrived is all there is to it."""


def _numeric(host: str) -> str:
    # An IPv4 peer of an IPv6 socket; the zone of a link-local address says nothing to the lists.
    return host.partition("%")[0].removeprefix("::ffff:")
