"""How a downloader reaches the uploader's replication daemon: a connection, and the handshake of the command.

The handshake is the wire's own, driven here without an event loop. What it needs, the security settings and perhaps a
session, the daemon hands over; nothing of it is read from configuration files a second time.
"""

import os
import socket
import time
from typing import Any, Final

from daemoncore.address import Address
from daemoncore.cedar.authentication import Endpoint, Identity
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.client_handshake import (
    ClientHandshake,
    ClientRequest,
    Established,
    Failed,
    shared_port_preamble,
)
from daemoncore.cedar.commands import Command, command_name
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.handshake import MARKER, OUR_PROTOCOL
from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.cedar.sessions import Session
from daemoncore.cedar.stream import Stream
from daemoncore.security import Security, SecurityError, read_security
from transferer.failure import CopyFailed, Fault

_CHUNK_BYTES: Final = 64 * 1024
#: What we are called in handshakes, as condor_transferer is.
_SUBSYSTEM: Final = "TRANSFERER"


def request_ad(attributes: dict[str, str | int]) -> ClassAd:
    """Return the payload of REPLICATION_FETCH: our marker, and what the asking daemon adds."""
    return ClassAd({MARKER: OUR_PROTOCOL, **attributes})


def connect(address: Address, source_address: str | None, seconds: float) -> socket.socket:
    """Return a connection to an address, made from `source_address` if one is given; CopyFailed when there is none."""
    try:
        return socket.create_connection(
            (address.host, address.port), seconds, (source_address, 0) if source_address else None
        )
    except OSError as error:
        raise CopyFailed(Fault.CONNECT, f"{address}: {error.strerror or error}") from error


def dial(document: dict[str, Any], command: Command, seconds: float) -> tuple[socket.socket, Stream, bytes]:
    """Return a connection on which the daemon at `address` takes a command, and its stream.

    Args:
        document: the task: `address`, `source_address`, `settings`, `session`, `is_known_ours`.
        command: what for.
        seconds: for each step of the handshake.

    Returns:
        The socket, its stream, and bytes that go in front of the command's payload in the same message (empty
        after a negotiation).

    Raises:
        CopyFailed: one of its kinds.
    """
    address = Address.parse(str(document["address"]))
    security = _security(document)
    request = ClientRequest(
        command=int(command),
        policy=security.client_policy,
        endpoint=Endpoint(address.host, address.port, address.sock),
        session=_session(document.get("session")),
        client_name=_SUBSYSTEM,
        address=str(address.sinful()),
    )
    connection = connect(address, document.get("source_address"), seconds)
    try:
        return connection, *_introduce(
            connection, request, security, bool(document.get("is_known_ours", False))
        )
    except BaseException:
        connection.close()
        raise


def _introduce(
    connection: socket.socket, request: ClientRequest, security: Security, is_known_ours: bool
) -> tuple[Stream, bytes]:
    """Get the command accepted; one of ours goes only to who has shown that it is one of ours."""
    policy, is_ours, prefix = request.policy, is_known_ours, b""
    if policy.is_plain and not request.session:
        stream, prefix = _speak_plainly(connection, request)
    else:
        stream, is_ours = _shake_hands(connection, request, security)
    if request.command == Command.REPLICATION_FETCH and not is_ours:
        raise CopyFailed(Fault.CONNECT, f"{request.dialled}: nothing shows that it is one of ours")
    return stream, prefix


def _security(document: dict[str, Any]) -> Security:
    settings = {name.upper(): value for name, value in document.get("settings", {}).items()}
    try:
        return read_security(lambda name: settings.get(name.upper()), subsystem=_SUBSYSTEM)
    except SecurityError as error:
        raise CopyFailed(Fault.TASK, f"the security settings cannot be used: {error}") from error


def _session(document: dict[str, Any] | None) -> Session | None:
    if document is None:
        return None
    identity = Identity(document.get("user", ""), document.get("method"))
    return Session(
        document["identifier"],
        bytes.fromhex(document["key"]),
        identity,
        peer_version=document.get("peer_version", ""),
    )


def _speak_plainly(connection: socket.socket, request: ClientRequest) -> tuple[Stream, bytes]:
    stream = Stream(AFTER_AUTHENTICATION)
    if request.endpoint.sock:
        connection.sendall(shared_port_preamble(stream, request.endpoint.sock, request.client_name))
    return stream, MessageWriter().put_int(request.command).body()


def _shake_hands(
    connection: socket.socket, request: ClientRequest, security: Security
) -> tuple[Stream, bool]:
    handshake = ClientHandshake(request, security.ourselves, security.credentials, lambda _, n: os.urandom(n))
    what = f"{request.dialled}: {command_name(request.command)}"
    try:
        to_send = handshake.start(time.time())
        while True:
            connection.sendall(to_send)
            data = connection.recv(_CHUNK_BYTES)
            if not data:
                raise CopyFailed(Fault.CONNECT, f"{what}: the connection was closed during the handshake")
            result = handshake.receive_data(data, time.time())
            to_send = handshake.data_to_send()
            if isinstance(result, Failed):
                raise CopyFailed(Fault.CONNECT, f"{what}: {result.reason}")
            if isinstance(result, Established):
                if to_send:
                    connection.sendall(to_send)
                return handshake.stream, result.peer.is_ours
    except WireError as error:
        raise CopyFailed(Fault.PROTOCOL, f"{what}: {error}") from error
    except OSError as error:
        raise CopyFailed(Fault.CONNECT, f"{what}: {error.strerror or error}") from error
    finally:
        handshake.close()
