"""The client's side of starting a command: negotiate, log in, or resume a session, and learn whether it is allowed.

    handshake = ClientHandshake(request, ourselves, credentials, random_bytes)
    send(handshake.start(now))
    event = handshake.receive_data(bytes, now)      # None until it is over
    send(handshake.data_to_send())

Afterwards `handshake.stream` carries the command's payload. A command without negotiation needs no handshake: it is one
message, the command and its payload, and nobody answers; a refused one cannot be told from an accepted one.
"""

import base64
from typing import Final

import attrs

from daemoncore.cedar.authentication import (
    STRANGER,
    ClientCredentials,
    Endpoint,
    Identity,
    ServerHints,
    authenticate_as_client,
)
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.conversation import Channel, Talk, read_ad, read_int
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.handshake import (
    NONCE_BYTES,
    SHARED_PORT_SELF,
    Ourselves,
    Outcome,
    Peer,
    compact,
    has_marker,
)
from daemoncore.cedar.keys import EphemeralKey, RandomBytes
from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.policy import AES, Agreement, SecurityPolicy, Wish, objection, split_list
from daemoncore.cedar.sessions import Session
from daemoncore.cedar.stream import Stream

#: How long a shared port server may take to pass us on; a stock client says the same.
_SHARED_PORT_DEADLINE_SECONDS: Final = 20
#: More commands than HTCondor has in all; longer lists are nonsense.
_MAXIMUM_VALID_COMMANDS: Final = 1000


@attrs.frozen
class ClientRequest:
    """What a client wants of which server."""

    command: int
    policy: SecurityPolicy
    #: The numeric address and port that were dialled; `endpoint.sock` is the server's name behind a shared port.
    endpoint: Endpoint
    #: The server's whole address string, if more is known of it than that.
    address: str = ""
    #: A session to resume instead of negotiating.
    session: Session | None = None
    #: For DC_SEC_QUERY and DC_AUTHENTICATE: the command that is asked about.
    asked_about: int | None = None
    #: What a shared port server may log as our name.
    client_name: str = "HAD"

    @property
    def dialled(self) -> str:
        """The address string of the server as we dialled it."""
        return self.address or f"<{self.endpoint.text}>"


@attrs.frozen
class Established:
    """The server takes the command; its payload may follow on the stream."""

    peer: Peer
    #: Who the server says that we are.
    our_identity: Identity
    #: The session to remember for next time, when this was a new one.
    new_session: Session | None = None


@attrs.frozen
class Failed:
    """The server does not take the command, or we do not trust it with one."""

    outcome: Outcome
    reason: str


def shared_port_preamble(stream: Stream, sock: str, client_name: str) -> bytes:
    """Return the message that asks a shared port server to pass the connection on to the daemon named `sock`.

    The daemon never sees it, so what the handshake binds begins after it, unless the server itself is meant.
    """
    writer = stream.writer().put_int(Command.SHARED_PORT_CONNECT).put_string(sock).put_string(client_name)
    preamble = stream.encode(writer.put_int(_SHARED_PORT_DEADLINE_SECONDS).put_int(0))
    if sock != SHARED_PORT_SELF:
        stream.reset_digests()
    return preamble


class ClientHandshake:
    """One handshake of a client; bytes in, bytes out, and one event at the end."""

    def __init__(
        self,
        request: ClientRequest,
        ourselves: Ourselves,
        credentials: ClientCredentials,
        random_bytes: RandomBytes,
    ) -> None:
        self.stream = Stream()
        self._request = request
        self._ourselves = ourselves
        self._credentials = credentials
        self._channel = Channel(self.stream, random_bytes)
        self._talk = self._resume(request.session) if request.session else self._negotiate()
        #: Whether the server has said anything yet; one that closes before it did may just have stopped.
        self.has_heard = False

    def start(self, now: float) -> bytes:
        """Return the first bytes for the server. `now` is seconds since 1970."""
        self._channel.now = now
        preamble = b""
        if self._request.endpoint.sock:
            name = f"{self._request.client_name} {self._ourselves.command_address}".strip()
            preamble = shared_port_preamble(self.stream, self._request.endpoint.sock, name)
        next(self._talk)
        return preamble + self._channel.data_to_send()

    def data_to_send(self) -> bytes:
        """Take the bytes that are to be sent."""
        return self._channel.data_to_send()

    def close(self) -> None:
        """Give up; a folder that FS made is removed."""
        self._talk.close()

    def receive_data(self, data: bytes, now: float) -> Established | Failed | None:
        """Take bytes from the server; the result is None until the handshake is over.

        Raises:
            WireError: the server's bytes are not the protocol.
        """
        self._channel.now = now
        self.stream.receive_data(data)
        while (message := self.stream.next_message()) is not None:
            self.has_heard = True
            try:
                self._talk.send(message)
            except StopIteration as finished:
                event: Established | Failed = finished.value
                return event
        return None

    def _addresses(self) -> dict[str, str]:
        return {"ServerCommandSock": self._ourselves.command_address, "ConnectSinful": self._request.dialled}

    def _send_request(self, ad: ClassAd) -> None:
        self._channel.send(self._channel.writer().put_int(Command.DC_AUTHENTICATE).put_ad(ad))

    def _negotiate(self) -> Talk[Established | Failed]:
        key = (
            EphemeralKey.generate(self._channel.random_bytes)
            if AES in self._request.policy.crypto_methods
            else None
        )
        self._send_request(self._policy_ad(key))
        response = read_ad((yield))
        agreement = Agreement.from_ad(response)
        server_key = response.get_string("ECDHPublicKey", "")
        has_key = bool(key and server_key and agreement.has_aes)
        trouble = objection(self._request.policy, agreement, has_key=has_key)
        if trouble:
            return Failed(Outcome.DISAGREED, trouble)
        method: str | None = None
        if agreement.authentication:
            method, failures = yield from self._log_in(agreement, response)
            if method is None and not self._may_stay_stranger(agreement):
                return Failed(Outcome.NOT_AUTHENTICATED, _no_login(failures, agreement.methods))
        session_key = key.session_key(server_key) if key and has_key else None
        if session_key:
            self._channel.encrypt_with(session_key)
        result = read_ad((yield))
        return self._conclude(result, response, agreement, method, session_key)

    def _policy_ad(self, key: EphemeralKey | None) -> ClassAd:
        policy, ourselves = self._request.policy, self._ourselves
        return ClassAd(
            {
                **policy.attributes(),
                "Subsystem": ourselves.subsystem,
                "ServerPid": ourselves.process,
                **policy.session_attributes(),
                "RemoteVersion": ourselves.version,
                **ourselves.domain_attributes(policy.methods),
                **({"ECDHPublicKey": key.public_text} if key else {}),
                "NewSession": "YES",
                "NegotiatedSession": True,
                "Command": int(self._request.command),
                **(
                    {}
                    if self._request.asked_about is None
                    else {"AuthCommand": int(self._request.asked_about)}
                ),
                **compact(self._addresses()),
                **ourselves.marker(),
            }
        )

    def _log_in(self, agreement: Agreement, response: ClassAd) -> Talk[tuple[str | None, dict[str, str]]]:
        ours = {name.upper() for name in self._request.policy.methods}
        methods = tuple(name for name in agreement.methods if name.upper() in ours)
        hints = ServerHints(
            trust_domain=response.get_string("TrustDomain", ""),
            issuer_keys=split_list(response.get_string("IssuerKeys", "")),
            version=response.get_string("RemoteVersion", ""),
            endpoint=self._request.endpoint,
        )
        method, failures = yield from authenticate_as_client(
            self._channel, methods, self._credentials, hints, is_required=agreement.is_authentication_required
        )
        if method is not None and read_int((yield)) != 0:
            raise ProtocolError("the server wraps its key in the old way, as HTCondor did before 9.0")
        return method, dict(failures)

    def _may_stay_stranger(self, agreement: Agreement) -> bool:
        return (
            not agreement.is_authentication_required
            and self._request.policy.authentication is not Wish.REQUIRED
        )

    def _conclude(
        self,
        result: ClassAd,
        response: ClassAd,
        agreement: Agreement,
        method: str | None,
        session_key: bytes | None,
    ) -> Established | Failed:
        user = result.get_string("User", STRANGER.user)
        failure = _judge(
            result.get_string("ReturnCode", "AUTHORIZED"), f"as {user} by {method or 'no login'}"
        )
        if failure:
            return failure
        identity = Identity(user, method)
        version = response.get_string("RemoteVersion", "")
        identifier = result.get_string("Sid", "")
        session = None
        if session_key and identifier:
            commands = split_list(result.get_string("ValidCommands", ""))[:_MAXIMUM_VALID_COMMANDS]
            session = Session(
                identifier,
                session_key,
                identity,
                valid_commands=frozenset(int(text) for text in commands if text.isascii() and text.isdigit()),
                lease_seconds=agreement.session_lease_seconds,
                ends_at=self._channel.now + agreement.session_duration_seconds,
                peer_version=version,
            )
        self.stream.raise_limits(AFTER_AUTHENTICATION)
        peer = Peer(
            Identity("", method), is_ours=has_marker(response), version=version, session_id=identifier
        )
        return Established(peer, identity, session)

    def _resume(self, session: Session) -> Talk[Established | Failed]:
        nonce = base64.b64encode(self._channel.random_bytes("nonce", NONCE_BYTES)).decode("ascii")
        attributes: dict[str, str | int | bool] = {
            "UseSession": "YES",
            "Sid": session.identifier,
            "Command": int(self._request.command),
            "Nonce": nonce,
            "ResumeResponse": True,
            "RemoteVersion": self._ourselves.version,
            "CryptoMethods": AES,
            **self._addresses(),
            **self._ourselves.marker(),
        }
        self._send_request(ClassAd(compact(attributes)))
        response = read_ad((yield))
        failure = _judge(response.get_string("ReturnCode", ""), f"in session {session.identifier}")
        if failure:
            return failure
        # Without fresh dice of the server's, what we send now could be sent again by whoever records it.
        if not response.get_string("Nonce"):
            raise ProtocolError("the server resumes a session without a nonce of its own")
        self._channel.encrypt_with(session.key)
        self.stream.raise_limits(AFTER_AUTHENTICATION)
        peer = Peer(
            Identity("", session.identity.method),
            is_ours=has_marker(response),
            version=response.get_string("RemoteVersion", session.peer_version),
            session_id=session.identifier,
        )
        return Established(peer, session.identity)


def _judge(code: str, circumstances: str) -> Failed | None:
    match code:
        case "AUTHORIZED":
            return None
        case "SID_NOT_FOUND":
            return Failed(Outcome.SESSION_NOT_FOUND, f"the server does not know us {circumstances} any more")
        case "CMD_NOT_FOUND":
            return Failed(
                Outcome.COMMAND_NOT_FOUND, f"the server has no such command (asked {circumstances})"
            )
    return Failed(Outcome.DENIED, f"the server says {code[:40]!r} to us {circumstances}")


def _no_login(failures: dict[str, str], methods: tuple[str, ...]) -> str:
    if not methods:
        return "the server accepts none of our methods of authentication"
    return "; ".join(f"{method}: {why}" for method, why in failures.items()) or "the server gave up"
