"""Calls to other daemons: connect, get the command accepted, then talk.

    connection = await client.connect(address, Command.HAD_ALIVE_CMD)
    await connection.send(connection.writer().put_ad(ad))

The caller sets deadlines with cancel scopes around the calls. What can go wrong is a `CallFailed`, and which kind tells
what became of the peer: `ConnectionRefused` means that nobody listens, `Denied` that somebody does and knows us not.
Addresses are numeric: names are looked up beforehand, because looking one up may start a thread and may take seconds.

Sessions are kept from call to call. A daemon that condor_master started has one from the start, good for all others that
it started on this host. When a server does not know one any more, it says so, and the call negotiates anew on a second
connection without bothering the caller.
"""

import errno
import os
import socket
import time
from collections.abc import Callable
from typing import ClassVar, Final, Self

import attrs
import trio

from daemoncore.address import Address
from daemoncore.cedar.authentication import STRANGER, Endpoint, Identity
from daemoncore.cedar.client_handshake import (
    ClientHandshake,
    ClientRequest,
    Established,
    Failed,
    shared_port_preamble,
)
from daemoncore.cedar.commands import ABOUT_OTHERS, command_name
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.handshake import Outcome, Peer
from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.policy import Wish
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from daemoncore.cedar.sessions import ClientSessions, Session
from daemoncore.cedar.stream import Stream
from daemoncore.local_addresses import is_bindable
from daemoncore.security import Security
from daemoncore.shared_port import dial_locally

_CHUNK_BYTES: Final = 64 * 1024
_TIMEOUTS: Final = frozenset({errno.ETIMEDOUT})
_RESETS: Final = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED})


class CallFailed(Exception):  # noqa: N818 -- reads as what happened; its kinds are named so too
    """A call did not come to its end; `address` is whom it went to."""

    kind: ClassVar[str]
    """One word, for logs and metrics."""

    def __init__(self, address: Address, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason


class ConnectionRefused(CallFailed):
    """Nobody listens there: the host answers, the daemon is gone."""

    kind = "refused"


class Unreachable(CallFailed):
    """There is no way to that host, or none from our address."""

    kind = "unreachable"


class TimedOut(CallFailed):
    """The host does not answer, as the kernel found out; a deadline of the caller's shows as its own cancellation."""

    kind = "timeout"


class Reset(CallFailed):
    """The connection ended early. `has_heard` says whether the peer had said anything on it."""

    kind = "reset"

    def __init__(self, address: Address, reason: str, *, has_heard: bool) -> None:
        super().__init__(address, reason)
        self.has_heard = has_heard


class Denied(CallFailed):
    """The server is alive and does not take the command from us; `outcome` says in which way."""

    kind = "denied"

    def __init__(self, address: Address, reason: str, outcome: Outcome) -> None:
        super().__init__(address, reason)
        self.outcome = outcome


class ProtocolFailure(CallFailed):
    """Whatever answers there does not speak the protocol."""

    kind = "protocol"


def operating_system_dice(_purpose: str, length: int) -> bytes:
    """Return random bytes of the kernel's."""
    return os.urandom(length)


@attrs.define(eq=False)
class Connection:
    """An open connection on which the server has accepted our command."""

    address: Address
    peer: Peer
    #: Who the server says that we are.
    our_identity: Identity
    transport: trio.abc.Stream
    stream: Stream
    # A command without negotiation goes in front of its first payload.
    _pending_command: int | None = attrs.field(default=None, alias="pending_command")

    def writer(self) -> MessageWriter:
        """Return a writer for the next message."""
        writer = self.stream.writer()
        if self._pending_command is not None:
            writer.put_int(self._pending_command)
        return writer

    async def send(self, message: MessageWriter) -> None:
        """Send a message; CallFailed when the connection is gone. Cancelled halfway, the connection is of no use."""
        self._pending_command = None
        await self.send_bytes(self.stream.encode(message))

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are, outside the framing, such as a file's content; CallFailed when the connection is gone."""
        try:
            await self.transport.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._reset(error) from error

    async def receive(self) -> MessageReader:
        """Return the next message; CallFailed when the connection ends first."""
        while True:
            try:
                message = self.stream.next_message()
                if message is not None:
                    return message
                data = await self.transport.receive_some(_CHUNK_BYTES)
                if not data:
                    self.stream.receive_end()
                    raise Reset(self.address, "the connection was closed", has_heard=True)
                self.stream.receive_data(bytes(data))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise self._reset(error) from error
            except WireError as error:
                raise ProtocolFailure(self.address, str(error)) from error

    def _reset(self, error: BaseException) -> Reset:
        return Reset(self.address, f"the connection broke: {error.__cause__ or error}", has_heard=True)

    async def aclose(self) -> None:
        """Close the connection; what was sent is still delivered."""
        await trio.aclose_forcefully(self.transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.aclose()


class Client:
    """Opens connections, with one set of security settings and one memory of sessions."""

    def __init__(
        self,
        security: Security,
        *,
        source_address: str | None = None,
        user_timeout_seconds: float | None = None,
        sessions: ClientSessions | None = None,
        local_sockets: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Make a client.

        Args:
            security: what we want of connections, and who we are.
            source_address: the numeric address to speak from, when not the kernel's choice.
            user_timeout_seconds: how long sent bytes may stay unacknowledged before the kernel gives up.
            sessions: where sessions are kept.
            local_sockets: where the daemons of our condor_master are reached while their shared port has no number.
            now: the clock that sessions live by, in seconds since 1970.
        """
        self.security = security
        self.sessions = ClientSessions() if sessions is None else sessions
        #: Servers on this host that are none of our family.
        self._others: set[str] = set()
        self._local_sockets = local_sockets
        self._source_address = source_address
        self._user_timeout_seconds = user_timeout_seconds
        self._now = now

    async def connect(self, address: Address, command: int, *, asked_about: int | None = None) -> Connection:
        """Return a connection on which the server at `address` has accepted `command`.

        Args:
            address: whom to call; its host is numeric.
            command: what for.
            asked_about: with DC_SEC_QUERY and DC_AUTHENTICATE, the command that is asked about.

        Raises:
            CallFailed: one of its kinds.
        """
        place = str(address.sinful())
        session = self.sessions.find(place, command, self._now()) or self._family_session(address, command)
        request = ClientRequest(
            command=int(command),
            policy=self.security.client_policy,
            endpoint=Endpoint(address.host, address.port, address.sock),
            session=session,
            asked_about=asked_about,
            client_name=self.security.ourselves.subsystem,
            address=place,
        )
        try:
            return await self._call(address, request)
        except Denied as denied:
            if session is None or denied.outcome is not Outcome.SESSION_NOT_FOUND:
                raise
        self.sessions.drop(session.identifier)
        if session is self.security.family:
            self._others.add(place)
        return await self._call(address, attrs.evolve(request, session=None))

    def _family_session(self, address: Address, command: int) -> Session | None:
        """Return the session of our condor_master's daemons for a server that may be one of them.

        One on this host may be. It is asked; and if it does not know the session, it is remembered not to be. Who only
        asks for a session wants one of its own.
        """
        family = self.security.family
        is_possible = command not in ABOUT_OTHERS and str(address.sinful()) not in self._others
        return family if family is not None and is_possible and self._is_here(address.host) else None

    def _is_here(self, host: str) -> bool:
        return host == self._source_address or is_bindable(host)

    async def _call(self, address: Address, request: ClientRequest) -> Connection:
        transport = await self._dial(address)
        try:
            return await self.introduce(transport, address, request)
        except BaseException:
            # Also when cancelled: nobody else knows of this connection.
            await trio.aclose_forcefully(transport)
            raise

    async def introduce(
        self, transport: trio.abc.Stream, address: Address, request: ClientRequest
    ) -> Connection:
        """Do the handshake on a connection that is open already, and return it ready for use."""
        policy = request.policy
        if policy.negotiation <= Wish.OPTIONAL and not policy.is_negotiation_required and not request.session:
            return await self._speak_plainly(transport, address, request)
        handshake = ClientHandshake(
            request, self.security.ourselves, self.security.credentials, operating_system_dice
        )
        try:
            result = await self._converse(transport, address, handshake)
        finally:
            handshake.close()
        if isinstance(result, Failed):
            raise Denied(address, f"{command_name(request.command)}: {result.reason}", result.outcome)
        if result.new_session:
            self.sessions.add(request.address, result.new_session, self._now())
        return Connection(address, result.peer, result.our_identity, transport, handshake.stream)

    async def _speak_plainly(
        self, transport: trio.abc.Stream, address: Address, request: ClientRequest
    ) -> Connection:
        stream = Stream(AFTER_AUTHENTICATION)
        connection = Connection(
            address, Peer(STRANGER), STRANGER, transport, stream, pending_command=request.command
        )
        if request.endpoint.sock:
            preamble = shared_port_preamble(stream, request.endpoint.sock, request.client_name)
            await connection.send_bytes(preamble)
        return connection

    async def _converse(
        self, transport: trio.abc.Stream, address: Address, handshake: ClientHandshake
    ) -> Established | Failed:
        to_send = handshake.start(self._now())
        while True:
            try:
                await transport.send_all(to_send)
                data = await transport.receive_some(_CHUNK_BYTES)
            except trio.BrokenResourceError as error:
                reason = f"the connection broke during the handshake: {error.__cause__ or error}"
                raise Reset(address, reason, has_heard=handshake.has_heard) from error
            if not data:
                raise _closed_early(address, has_heard=handshake.has_heard)
            try:
                result = handshake.receive_data(bytes(data), self._now())
            except WireError as error:
                raise ProtocolFailure(address, str(error)) from error
            to_send = handshake.data_to_send()
            if result is not None:
                if to_send and isinstance(result, Failed):
                    await _say_farewell(transport, to_send)
                return result

    async def _dial(self, address: Address) -> trio.SocketStream:
        if not address.port and address.sock and self._local_sockets:
            try:
                return await dial_locally(self._local_sockets, address.sock)
            except OSError as error:
                raise _failure(address, error) from error
        assert address.is_numeric, f"names are looked up before they are dialled (got {address})"
        family = trio.socket.AF_INET6 if ":" in address.host else trio.socket.AF_INET
        try:
            dialled = trio.socket.socket(family, trio.socket.SOCK_STREAM)
        except OSError as error:
            # Out of descriptors or memory: this call fails, and nothing else does.
            raise _failure(address, error) from error
        try:
            if self._source_address and (":" in self._source_address) == (":" in address.host):
                await dialled.bind((self._source_address, 0))
            dialled.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
            if self._user_timeout_seconds is not None:
                milliseconds = max(1, int(self._user_timeout_seconds * 1000))
                dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            await dialled.connect((address.host, address.port))
        except OSError as error:
            dialled.close()
            raise _failure(address, error) from error
        except BaseException:
            dialled.close()
            raise
        return trio.SocketStream(dialled)


async def _say_farewell(transport: trio.abc.Stream, data: bytes) -> None:
    # "Nothing is left to try" is a courtesy; whether it arrives changes nothing.
    with trio.move_on_after(1, shield=False):
        try:
            await transport.send_all(data)
        except trio.BrokenResourceError:
            return


def _closed_early(address: Address, *, has_heard: bool) -> CallFailed:
    """Say what a server meant that closed the connection during the handshake without a word."""
    if has_heard:
        return Denied(address, "the server closed the connection during the login", Outcome.NOT_AUTHENTICATED)
    reason = "the server closed the connection without an answer (a restart, contradicting policies, or no such command)"
    return Reset(address, reason, has_heard=False)


def _failure(address: Address, error: OSError) -> CallFailed:
    reason = error.strerror or str(error)
    if error.errno == errno.ECONNREFUSED:
        return ConnectionRefused(address, reason)
    if error.errno in _TIMEOUTS:
        return TimedOut(address, reason)
    if error.errno in _RESETS:
        return Reset(address, reason, has_heard=False)
    return Unreachable(address, reason)
