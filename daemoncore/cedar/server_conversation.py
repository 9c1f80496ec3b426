"""The server's side of a connection: find out who is there, and hand out the commands that they may give.

    conversation = ServerConversation(gatekeeper, ourselves, credentials, sessions, ...)
    for event in conversation.receive_data(bytes, now): ...
    send(conversation.data_to_send())

A connection begins in one of four ways: with a preamble for a shared port server, which is swallowed; with a command as
it is, whose sender is a stranger; with a negotiation; or with a session to be resumed. After its first command a client
may send more on the same connection, each one message: the command and its payload.

What the client may do is decided here each time, by asking the `Gatekeeper`: once when the handshake ends, and again
for every further command. A command is handed out only after the client has proved itself: a resumed session counts
from the first message that its key decrypts, because its id is no secret.
"""

import base64
from collections.abc import Iterable

import attrs

from daemoncore.cedar.authentication import (
    STRANGER,
    Endpoint,
    Identity,
    ServerCredentials,
    authenticate_as_server,
)
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import ABOUT_OTHERS, Command, command_name
from daemoncore.cedar.conversation import Channel, Talk
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.gatekeeper import Gatekeeper, shortfall, wants_key
from daemoncore.cedar.handshake import NONCE_BYTES, SHARED_PORT_SELF, Ourselves, Peer, Refusal, has_marker
from daemoncore.cedar.keys import EphemeralKey, RandomBytes
from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.policy import (
    Agreement,
    SecurityPolicy,
    method_named,
    reconcile,
)
from daemoncore.cedar.scalars import MessageReader
from daemoncore.cedar.sessions import Session, SessionCache, SessionNumbers
from daemoncore.cedar.stream import Stream


@attrs.frozen
class CommandReceived:
    """A peer gives a command that it may give."""

    command: int
    peer: Peer
    #: The payload; None for a command that has none.
    reader: MessageReader | None


@attrs.frozen
class Refused:
    """The connection is to be closed, and why: a label to count by and a sentence for the log."""

    refusal: Refusal
    reason: str


@attrs.frozen
class Finished:
    """The client has what it came for (a session, an answer); the connection is to be closed."""


ServerEvent = CommandReceived | Refused | Finished


class ServerConversation:
    """One connection of a server; bytes in, bytes and events out."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        ourselves: Ourselves,
        credentials: ServerCredentials,
        sessions: SessionCache,
        numbers: SessionNumbers,
        endpoints: tuple[Endpoint, ...],
        random_bytes: RandomBytes,
    ) -> None:
        """Begin a conversation.

        Args:
            gatekeeper: decides what this client may do.
            ourselves: what we say about ourselves.
            credentials: what clients are recognized by.
            sessions: where sessions are kept between connections.
            numbers: gives ids to new sessions.
            endpoints: our address on this connection, and others under which clients may rightly know it.
            random_bytes: dice.
        """
        self.stream = Stream()
        self._gatekeeper = gatekeeper
        self._ourselves = ourselves
        self._credentials = credentials
        self._sessions = sessions
        self._numbers = numbers
        self._endpoints = endpoints
        self._channel = Channel(self.stream, random_bytes)
        self._events: list[ServerEvent] = []
        self._is_over = False
        #: Who is there, once a handshake or a raw command has told.
        self.peer: Peer | None = None
        self._talk = self._converse()
        next(self._talk)

    def data_to_send(self) -> bytes:
        """Take the bytes that are to be sent."""
        return self._channel.data_to_send()

    def close(self) -> None:
        """Give the conversation up."""
        self._is_over = True
        self._talk.close()

    def receive_data(self, data: bytes, now: float) -> list[ServerEvent]:
        """Take bytes from the client and return what came of them; after `Refused` and `Finished` nothing does."""
        self._channel.now = now
        self.stream.receive_data(data)
        self._events = []
        try:
            while not self._is_over and (message := self.stream.next_message()) is not None:
                self._talk.send(message)
        except StopIteration as finished:
            self._end(finished.value)
        except WireError as error:
            self._end(Refused(Refusal.PROTOCOL, str(error)))
        return self._events

    def _end(self, event: "Refused | Finished") -> None:
        self._is_over = True
        self._events.append(event)

    def _converse(self) -> Talk[Refused | Finished]:
        reader = yield
        command = reader.get_int()
        if command == Command.SHARED_PORT_CONNECT:
            self._swallow_preamble(reader)
            reader = yield
            command = reader.get_int()
        if command != Command.DC_AUTHENTICATE:
            self.peer = Peer(STRANGER)
            over: Refused | Finished | None = self._hand_out(command, reader)
        else:
            request = reader.get_ad(restricted=True)
            reader.end()
            is_resumed = request.get_string("UseSession", "").upper() == "YES"
            over = yield from (self._resume(request) if is_resumed else self._negotiate(request))
        while over is None:
            reader = yield
            over = self._hand_out(reader.get_int(), reader)
        return over

    def _swallow_preamble(self, reader: MessageReader) -> None:
        # A condor_had behind a shared port gives its own name to every entry of HAD_LIST, and asks us for a shared port
        # although we have none. Nobody else can stand behind this address, so the name is as good as ours.
        sock = reader.get_text()
        reader.get_string()
        reader.get_int()
        reader.get_int()
        reader.end()
        if sock != SHARED_PORT_SELF:
            self.stream.reset_digests()
        here = self._endpoints[0]
        self._endpoints += (Endpoint(here.host, here.port, sock),)

    def _hand_out(self, command: int, reader: MessageReader | None) -> Refused | None:
        """Hand out a command if the peer may give it; `reader` holds its payload."""
        assert self.peer is not None, "somebody must be there to give a command"
        gatekeeper, peer = self._gatekeeper, self.peer
        name = command_name(command)
        if command in ABOUT_OTHERS or not gatekeeper.knows(command):
            return Refused(Refusal.COMMAND_NOT_FOUND, f"{name} is no command of ours")
        trouble = shortfall(gatekeeper.policy_of(command), peer.identity, is_sealed=self.stream.is_encrypted)
        # What is open to everybody is open in every way.
        if trouble and gatekeeper.level_of(command) != "ALLOW":
            return Refused(Refusal.NOT_NEGOTIATED, f"{name}: {trouble}")
        trouble = gatekeeper.refusal(command, peer.identity)
        if trouble:
            return Refused(Refusal.DENIED, f"{name}: {trouble}")
        if not gatekeeper.has_payload(command) and reader is not None:
            reader.end()
        self._events.append(CommandReceived(command, peer, reader))
        return None

    def _negotiate(self, request: ClassAd) -> Talk[Refused | Finished | None]:
        asked = request.get_int("Command", -1)
        target = request.get_int("AuthCommand", -1) if asked in ABOUT_OTHERS else asked
        policy = self._gatekeeper.policy_of(target)
        agreement = reconcile(request, policy)
        if agreement is None:
            return Refused(Refusal.DISAGREED, f"{command_name(target)}: the client's policy contradicts ours")
        agreement = attrs.evolve(agreement, methods=_usable(agreement.methods))
        client_key = request.get_string("ECDHPublicKey", "")
        key = EphemeralKey.generate(self._channel.random_bytes) if client_key and agreement.has_aes else None
        if key is None and (agreement.is_key_wanted or wants_key(policy)):
            return Refused(Refusal.DISAGREED, f"{command_name(target)}: no key for AES can be agreed on")
        self._channel.send_ad(self._response(agreement, policy, key))
        identity, version = STRANGER, request.get_string("RemoteVersion", "")
        if agreement.authentication:
            found = yield from self._log_in(agreement, target, version)
            if found is None and agreement.is_authentication_required:
                return Refused(
                    Refusal.NOT_AUTHENTICATED, f"{command_name(target)}: no method of login worked"
                )
            identity = found or STRANGER
        session_key = key.session_key(client_key) if key else None
        if session_key:
            self._channel.encrypt_with(session_key)
        identifier = self._numbers.next_identifier()
        self.peer = Peer(
            identity,
            is_ours=has_marker(request),
            version=version,
            command_address=request.get_string("ServerCommandSock", ""),
            session_id=identifier,
        )
        return (yield from self._admit(asked, target, agreement, session_key))

    def _response(self, agreement: Agreement, policy: SecurityPolicy, key: EphemeralKey | None) -> ClassAd:
        attributes = agreement.attributes()
        if key is None:
            del attributes["CryptoMethods"]
        return ClassAd(
            {
                **attributes,
                "NegotiatedSession": True,
                "RemoteVersion": self._ourselves.version,
                **self._ourselves.domain_attributes(policy.methods),
                **({"ECDHPublicKey": key.public_text} if key else {}),
                **self._ourselves.marker(),
            }
        )

    def _log_in(self, agreement: Agreement, target: int, version: str) -> Talk[Identity | None]:
        identity = yield from authenticate_as_server(
            self._channel,
            agreement.methods,
            self._credentials,
            self._endpoints,
            version,
            is_required=agreement.is_authentication_required,
        )
        if identity is None:
            return None
        # "No wrapped key follows": the key comes from the exchange.
        self._channel.send_ints(0)
        if identity.method == "CLAIMTOBE":
            # Whoever only claims a name is believed for this command's level, and no further (daemon_command.cpp).
            identity = attrs.evolve(identity, limits=frozenset({self._gatekeeper.level_of(target)}))
        return identity

    def _admit(
        self, asked: int, target: int, agreement: Agreement, key: bytes | None
    ) -> Talk[Refused | Finished | None]:
        """Tell the client what it may do, and take its first command."""
        assert self.peer is not None, "the handshake has found out who is there"
        peer, gatekeeper = self.peer, self._gatekeeper
        is_known = gatekeeper.knows(target)
        trouble = gatekeeper.refusal(target, peer.identity) if is_known else "there is no such command"
        code = "AUTHORIZED" if trouble is None else "DENIED" if is_known else "CMD_NOT_FOUND"
        commands = gatekeeper.valid_commands(target)
        self._channel.send_ad(
            ClassAd(
                {
                    "Sid": peer.session_id,
                    "ValidCommands": ",".join(str(int(command)) for command in commands),
                    "ReturnCode": code,
                    "User": peer.identity.user,
                    **({"TriedAuthentication": True} if agreement.authentication else {}),
                }
            )
        )
        if trouble:
            refusal = Refusal.DENIED if is_known else Refusal.COMMAND_NOT_FOUND
            return Refused(refusal, f"{command_name(target)}: {trouble}")
        if key:
            self._keep_session(agreement, key, commands)
        if asked == Command.DC_SEC_QUERY:
            self._channel.send_ad(ClassAd({"AuthorizationSucceeded": True}))
        if asked in ABOUT_OTHERS:
            return Finished()
        self.stream.raise_limits(AFTER_AUTHENTICATION)
        reader = (yield) if gatekeeper.has_payload(target) else None
        return self._hand_out(target, reader)

    def _keep_session(self, agreement: Agreement, key: bytes, commands: Iterable[int]) -> None:
        assert self.peer is not None, "a session belongs to somebody"
        session = Session(
            self.peer.session_id,
            key,
            self.peer.identity,
            valid_commands=frozenset(commands),
            lease_seconds=agreement.session_lease_seconds,
            ends_at=self._channel.now + agreement.session_duration_seconds,
            peer_version=self.peer.version,
        )
        self._sessions.add(session, self._channel.now)

    def _resume(self, request: ClassAd) -> Talk[Refused | Finished | None]:
        identifier, command = request.get_string("Sid", ""), request.get_int("Command", -1)
        session = self._sessions.find(identifier, self._channel.now)
        if not request.get_bool("ResumeResponse", False):
            return Refused(
                Refusal.PROTOCOL, "a session is resumed in the way of HTCondor before 9.9, without an answer"
            )
        trouble = self._cannot_resume(session, command)
        denial = session and not trouble and self._gatekeeper.refusal(command, session.identity)
        nonce = base64.b64encode(self._channel.random_bytes("nonce", NONCE_BYTES)).decode("ascii")
        self._channel.send_ad(
            ClassAd(
                {
                    "ReturnCode": "SID_NOT_FOUND" if trouble else "DENIED" if denial else "AUTHORIZED",
                    "RemoteVersion": self._ourselves.version,
                    "Nonce": nonce,
                    **self._ourselves.marker(),
                }
            )
        )
        if session is None or trouble:
            if session is None and not has_marker(request):
                self._gatekeeper.lost(command)
            return Refused(
                Refusal.SESSION_NOT_FOUND, f"{command_name(command)}: session {identifier!r}: {trouble}"
            )
        self._channel.encrypt_with(session.key)
        self.peer = Peer(
            session.identity,
            is_ours=has_marker(request),
            version=request.get_string("RemoteVersion", session.peer_version),
            command_address=request.get_string("ServerCommandSock", ""),
            session_id=identifier,
        )
        reader = yield
        # Only now, with one message decrypted, has the client shown that the session is its own.
        self.stream.raise_limits(AFTER_AUTHENTICATION)
        return self._hand_out(command, reader)

    def _cannot_resume(self, session: Session | None, command: int) -> str | None:
        """Return why a client must negotiate anew, or None. Saying SID_NOT_FOUND makes any client do so."""
        if session is None:
            return "we do not know it"
        if not self._gatekeeper.knows(command):
            return "it asks for a command that we do not have"
        if not self._gatekeeper.has_payload(command):
            return "a command without a payload would prove nothing"
        return shortfall(self._gatekeeper.policy_of(command), session.identity, is_sealed=True)


def _usable(methods: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in methods if method_named(name))
