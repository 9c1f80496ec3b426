"""Our end behind a shared port: connections come as descriptors over a local socket, already accepted.

condor_shared_port listens on the one port that is open to the world. A client's first message names the daemon that it
wants; the server connects to that daemon's local socket, sends the one integer SHARED_PORT_PASS_SOCK, and then a byte
with the client's connection beside it (SCM_RIGHTS). Nothing is answered. From there on the connection is ours as if we
had accepted it.

The local socket is condor_master's to make, and comes with what it hands down (`daemoncore.inheritance`). A daemon that
something else started makes its own, in the folder where the shared port server looks for those that have none in the
abstract namespace.

The daemons of one master also reach each other without the server, over these sockets: the caller makes a pair of
connected sockets and passes one end itself. That is the only way while the server has not opened its port yet.

Facts: HTCondor src/condor_io/shared_port_endpoint.cpp, shared_port_client.cpp; transcript in tests/vectors
(10-shared-port-endpoint).
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.cedar.stream import Stream
from daemoncore.inheritance import SharedPortEnd

PASS_SECONDS: Final = 10.0
"""The server has what it sends at hand; who takes longer is none."""

LONGEST_PATH_BYTES: Final = 107
"""sockaddr_un of Linux has 108, the final zero included."""

_BACKLOG: Final = 128
_ORDER: Final = Stream().encode(MessageWriter().put_int(Command.SHARED_PORT_PASS_SOCK))
_DESCRIPTOR_BYTES: Final = array.array("i").itemsize

Take = Callable[[trio.SocketStream], Awaitable[None]]
"""Serves one connection to its end."""

Refuse = Callable[[str], None]
"""Hears, in a sentence, why something that came over the local socket was no connection."""


@attrs.define(eq=False)
class SharedPortListener:
    """A listening local socket, over which connections are passed to us."""

    #: What clients ask the server for, such as `had`.
    sock: str
    listener: trio.SocketListener
    #: The file to remove in the end; None when condor_master made the socket.
    path: Path | None = None

    async def serve(self, take: Take, refuse: Refuse) -> None:
        """Take connections until cancelled; then the socket is closed, and removed if it is ours."""

        async def receive(messenger: trio.SocketStream) -> None:
            async with messenger:
                passed = await _receive(messenger, refuse)
            if passed is not None:
                await take(passed)

        try:
            await trio.serve_listeners(receive, [self.listener])
        finally:
            if self.path is not None:
                with contextlib.suppress(OSError):
                    self.path.unlink()


def inherited_listener(end: SharedPortEnd) -> SharedPortListener:
    """Return the local socket that condor_master handed down.

    Raises:
        OSError: the descriptor is no listening socket.
    """
    local = socket.socket(fileno=os.dup(end.descriptor))
    return SharedPortListener(end.sock, trio.SocketListener(trio.socket.from_stdlib_socket(local)))


def make_listener(folder: Path, sock: str) -> SharedPortListener:
    """Make a local socket of that name where a shared port server looks for it, in place of one that nobody serves.

    Args:
        folder: DAEMON_SOCKET_DIR.
        sock: our name.

    Raises:
        OSError: it cannot be made, or another daemon of that name serves it.
    """
    path = folder / sock
    if len(os.fsencode(path)) > LONGEST_PATH_BYTES:
        raise OSError(f"a local socket's path has at most {LONGEST_PATH_BYTES} bytes")
    local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left_over(path)
        local.bind(str(path))
        path.chmod(0o600)
        local.listen(_BACKLOG)
    except BaseException:
        local.close()
        raise
    return SharedPortListener(sock, trio.SocketListener(trio.socket.from_stdlib_socket(local)), path)


def _remove_left_over(path: Path) -> None:
    """Remove the socket of a daemon that is gone."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


async def dial_locally(folder: str, sock: str) -> trio.SocketStream:
    """Return a connection to a daemon of the same master, made without the shared port server.

    Args:
        folder: where its local socket is, as condor_master handed it down: a folder's path, or a name in the abstract
            namespace.
        sock: the daemon's name there.

    Raises:
        OSError: nobody is there.
    """
    name = f"{folder}/{sock}" if folder.startswith("/") else f"\0{folder}/{sock}"
    ours, theirs = _connected_pair()
    try:
        with theirs:
            messenger = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with messenger:
                await messenger.connect(name)
                await trio.SocketStream(messenger).send_all(_ORDER)
                beside = array.array("i", [theirs.fileno()])
                await messenger.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, beside)])
    except BaseException:
        ours.close()
        raise
    return trio.SocketStream(trio.socket.from_stdlib_socket(ours))


def _connected_pair() -> tuple[socket.socket, socket.socket]:
    """Make two ends of a connection over loopback; a daemon of HTCondor's takes no other kind."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, address = listener.accept()
        while address != ours.getsockname():
            # Somebody else was quicker.
            theirs.close()
            theirs, address = listener.accept()
    return ours, theirs


async def _receive(messenger: trio.SocketStream, refuse: Refuse) -> trio.SocketStream | None:
    """Return the connection that a server passes, or None."""
    try:
        with trio.fail_after(PASS_SECONDS):
            await _receive_order(messenger)
            return _stream_of(await _receive_descriptors(messenger))
    except trio.TooSlowError:
        refuse(f"no connection was passed within {PASS_SECONDS:g} seconds")
    except (WireError, OSError, trio.BrokenResourceError) as error:
        refuse(f"no connection was passed: {error}")
    return None


async def _receive_order(messenger: trio.SocketStream) -> None:
    """Read exactly the message that comes first: the descriptor lies beside the very next byte, and would be lost."""
    stream, missing = Stream(), len(_ORDER)
    while missing:
        data = await messenger.receive_some(missing)
        if not data:
            raise OSError("the connection ended early")
        missing -= len(data)
        stream.receive_data(bytes(data))
    message = stream.next_message()
    if message is None or message.get_int() != Command.SHARED_PORT_PASS_SOCK:
        raise OSError("a shared port server begins with SHARED_PORT_PASS_SOCK")
    message.end()


async def _receive_descriptors(messenger: trio.SocketStream) -> list[int]:
    space = socket.CMSG_SPACE(_DESCRIPTOR_BYTES)
    _, ancillary, _, _ = await messenger.socket.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
    return list(descriptors)


def _stream_of(descriptors: list[int]) -> trio.SocketStream:
    """Make a stream of the one descriptor that was passed; whatever else it may be is closed."""
    if len(descriptors) != 1:
        for descriptor in descriptors:
            os.close(descriptor)
        raise OSError(f"one descriptor is passed, not {len(descriptors)}")
    try:
        passed = socket.socket(fileno=descriptors[0])
    except OSError:
        os.close(descriptors[0])
        raise
    if passed.family not in {socket.AF_INET, socket.AF_INET6} or passed.type != socket.SOCK_STREAM:
        passed.close()
        raise OSError("what was passed is no TCP connection")
    return trio.SocketStream(trio.socket.from_stdlib_socket(passed))
