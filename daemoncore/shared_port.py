"""Our end behind a shared port: connections come as descriptors over a local socket, already accepted.

condor_shared_port listens on the one port that is open to the world. A client's first message names the daemon that it
wants; the server connects to that daemon's local socket, sends the one integer SHARED_PORT_PASS_SOCK, and then a byte
with the client's connection beside it (SCM_RIGHTS). Nothing is answered. From there on the connection is ours as if we
had accepted it.

The local socket is condor_master's to make, and comes with what it hands down (`daemoncore.inheritance`). A daemon that
something else started makes its own, in the folder where the shared port server looks for those that have none in the
abstract namespace. Either is touched now and then, since condor_preen removes the sockets that nobody touched for a day.

Whoever passes us a connection keeps a hold on it, and could stop our loop with it: only root, we ourselves and the user
that HTCondor's daemons run as are heard, and only so many at once.

The daemons of one master also reach each other without the server, over these sockets: the caller makes a pair of
connected sockets and passes one end itself. That is the only way while the server has not opened its port yet.

Facts: HTCondor src/condor_io/shared_port_endpoint.cpp, shared_port_client.cpp; transcript in tests/vectors
(10-shared-port-endpoint).
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.cedar.stream import Stream
from daemoncore.inheritance import SharedPortEnd

PASS_SECONDS: Final = 2.0
"""The server has what it sends at hand; who takes longer is none."""

LONGEST_PATH_BYTES: Final = 107
"""sockaddr_un of Linux has 108, the final zero included."""

MESSENGER_LIMIT: Final = 32
"""So many pass something at once; the server is one process, and takes no time for it."""

TOUCH_SECONDS: Final = 900.0
"""How often the socket is touched, as HTCondor's daemons do (`SharedPortEndpoint::TouchSocketInterval`)."""

_BACKLOG: Final = 128
_ORDER: Final = Stream().encode(MessageWriter().put_int(Command.SHARED_PORT_PASS_SOCK))
_DESCRIPTOR_BYTES: Final = array.array("i").itemsize
_CREDENTIALS: Final = struct.Struct("3i")
"""pid, uid and gid, as SO_PEERCRED gives them."""

Take = Callable[[trio.SocketStream], Awaitable[None]]
"""Serves one connection to its end."""

Refuse = Callable[[str], None]
"""Hears, in a sentence, why something that came over the local socket was no connection."""


def trusted_users(owner: tuple[int, int] | None) -> frozenset[int]:
    """Return whose processes may pass us connections.

    Args:
        owner: user and group ids that HTCondor's daemons have here, if they are known.
    """
    return frozenset({0, os.geteuid()} | (set() if owner is None else {owner[0]}))


@attrs.define(eq=False)
class SharedPortListener:
    """A listening local socket, over which connections are passed to us."""

    #: What clients ask the server for, such as `had`.
    sock: str
    listener: trio.SocketListener
    #: Its file; None in the abstract namespace.
    path: Path | None = None
    #: Whether we made it, and remove it in the end.
    is_ours: bool = False
    #: Users whose processes are heard.
    trusted: frozenset[int] = attrs.field(factory=lambda: trusted_users(None))
    _messenger_count: int = attrs.field(default=0, init=False)

    async def serve(self, take: Take, refuse: Refuse) -> None:
        """Take connections until cancelled; then the socket is closed, and removed if it is ours."""

        async def receive(messenger: trio.SocketStream) -> None:
            passed = await self._hear(messenger, refuse)
            if passed is not None:
                await take(passed)

        try:
            async with trio.open_nursery() as connections:
                serve = partial(trio.serve_listeners, receive, handler_nursery=connections)
                while True:
                    async with trio.open_nursery() as accepting:
                        accepting.start_soon(serve, [self.listener])
                        replacement = await self._until_vanished(refuse)
                        accepting.cancel_scope.cancel()
                    self.listener = replacement
        finally:
            if self.path is not None and self.is_ours:
                with contextlib.suppress(OSError):
                    self.path.unlink()

    async def _until_vanished(self, refuse: Refuse) -> trio.SocketListener:
        """Touch the socket's file until it is gone, and return another socket of that name."""
        while True:
            await trio.sleep(TOUCH_SECONDS)
            if self.path is None:
                continue
            try:
                os.utime(self.path, follow_symlinks=False)
            except FileNotFoundError:
                try:
                    replacement = _listen(self.path)
                except OSError as error:
                    refuse(f"the local socket vanished and cannot be made again: {error.strerror or error}")
                else:
                    refuse("the local socket vanished and was made again")
                    return replacement
            except OSError as error:
                refuse(f"the local socket cannot be touched: {error.strerror or error}")

    async def _hear(self, messenger: trio.SocketStream, refuse: Refuse) -> trio.SocketStream | None:
        """Return the connection that a messenger passes, or None; the messenger is closed."""
        # Without a turn of the loop in between: cancelled there, we would lose what was passed.
        with messenger.socket:
            _, user, _ = _CREDENTIALS.unpack(
                messenger.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            if user not in self.trusted:
                refuse(f"a process of user {user} is no shared port server (CONDOR_IDS)")
                return None
            if self._messenger_count >= MESSENGER_LIMIT:
                refuse(f"more than {MESSENGER_LIMIT} pass a connection at once")
                return None
            self._messenger_count += 1
            try:
                return await _receive(messenger, refuse)
            finally:
                self._messenger_count -= 1


def inherited_listener(end: SharedPortEnd, owner: tuple[int, int] | None = None) -> SharedPortListener:
    """Return the local socket that condor_master handed down.

    Args:
        end: what it handed down.
        owner: user and group ids of HTCondor's daemons, if they are known.

    Raises:
        OSError: the descriptor is no listening socket.
    """
    local = socket.socket(fileno=os.dup(end.descriptor))
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(local))
    path = Path(end.name) if end.name.startswith("/") else None
    return SharedPortListener(end.sock, listener, path, trusted=trusted_users(owner))


def make_listener(folder: Path, sock: str, owner: tuple[int, int] | None = None) -> SharedPortListener:
    """Make a local socket of that name where a shared port server looks for it, in place of one that nobody serves.

    Args:
        folder: DAEMON_SOCKET_DIR.
        sock: our name.
        owner: user and group ids of HTCondor's daemons, if they are known.

    Raises:
        OSError: it cannot be made, or another daemon of that name serves it.
    """
    path = folder / sock
    return SharedPortListener(sock, _listen(path), path, is_ours=True, trusted=trusted_users(owner))


def _listen(path: Path) -> trio.SocketListener:
    """Make a local socket that only its owner can connect to."""
    if len(os.fsencode(path)) > LONGEST_PATH_BYTES:
        raise OSError(f"a local socket's path has at most {LONGEST_PATH_BYTES} bytes")
    local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_left_over(path)
        # The file is made with the socket's mode: a name that is changed afterwards may have become a link.
        os.fchmod(local.fileno(), 0o600)
        local.bind(str(path))
        local.listen(_BACKLOG)
    except BaseException:
        local.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(local))


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
    ours, theirs = await _connected_pair()
    try:
        with theirs, trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as messenger:
            await messenger.connect(name)
            # A full queue makes a connect that does not wait fail with EAGAIN, which is taken for one under way.
            messenger.getpeername()
            await _pass(messenger, theirs)
    except BaseException:
        ours.close()
        raise
    return trio.SocketStream(ours)


async def _pass(messenger: trio.socket.SocketType, passed: trio.socket.SocketType) -> None:
    """Do what a shared port server does."""
    try:
        await trio.SocketStream(messenger).send_all(_ORDER)
    except trio.BrokenResourceError as error:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from error
    os.set_blocking(passed.fileno(), True)
    beside = array.array("i", [passed.fileno()])
    await messenger.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, beside)])


async def _connected_pair() -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    """Make two ends of a connection over loopback; a daemon of HTCondor's takes no other kind."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        ours = trio.socket.socket()
        try:
            await ours.connect(listener.getsockname())
            theirs, address = await listener.accept()
            while address != ours.getsockname():
                # Somebody else was quicker.
                theirs.close()
                theirs, address = await listener.accept()
        except BaseException:
            ours.close()
            raise
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
    is_stream = passed.family in {socket.AF_INET, socket.AF_INET6} and passed.type == socket.SOCK_STREAM
    if not is_stream or passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        passed.close()
        raise OSError("what was passed is no TCP connection")
    return trio.SocketStream(trio.socket.from_stdlib_socket(passed))
