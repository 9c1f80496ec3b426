"""Where a daemon takes its commands: a port of its own, its end behind a shared port, or both.

A child of condor_master finds its port already open, as `-p` in its arguments said; anybody else binds its own entry of
the list. Behind a shared port there is nothing to bind.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from daemoncore.address import Address
from daemoncore.inheritance import Inheritance, InheritanceError
from daemoncore.server import CommandServer
from daemoncore.shared_port import SharedPortListener, inherited_listener, make_listener
from daemoncore.startup import Options, StartError, listen_for_commands


@attrs.frozen
class CommandPort:
    """Open sockets, ready to be served."""

    listeners: Sequence[trio.SocketListener]
    behind: SharedPortListener | None

    async def serve(self, server: CommandServer) -> None:
        """Let a server take the connections until cancelled."""
        async with trio.open_nursery() as nursery:
            if self.listeners:
                nursery.start_soon(server.serve, self.listeners)
            if self.behind is not None:
                nursery.start_soon(server.serve_behind, self.behind)


async def open_command_port(
    me: Address, knobs: str, options: Options, socket_folder: Path, owner: tuple[int, int] | None
) -> CommandPort:
    """Open where this daemon takes its commands.

    Args:
        me: this node's own entry, numeric; with a `sock` it is behind a shared port.
        knobs: the settings that say so, for people.
        options: the command line, and what condor_master handed down.
        socket_folder: DAEMON_SOCKET_DIR, where a daemon that condor_master did not start makes its end.
        owner: user and group ids of HTCondor's daemons, if they are known.

    Raises:
        StartError: the address is taken, or not ours, or there is no way to be behind the shared port.
    """
    behind = _own_end(me, knobs, options, socket_folder, owner)
    inheritance = options.inheritance
    listeners = [] if me.sock is not None else await _own_port(me, knobs, inheritance)
    if inheritance is not None:
        inheritance.close_listeners()
    return CommandPort(listeners, behind)


def _own_end(
    me: Address, knobs: str, options: Options, socket_folder: Path, owner: tuple[int, int] | None
) -> SharedPortListener | None:
    """Return our end behind the shared port: what was handed down, or what we make now; None without one."""
    end = None if options.inheritance is None else options.inheritance.shared_port
    if end is not None:
        name = end.sock
    elif me.sock is not None:
        name = options.sock or me.sock
    else:
        return None
    if me.sock not in {None, name}:
        subsystem = knobs.partition("_LIST")[0]
        raise StartError(
            f"{subsystem}_SOCKET_NAME: the others ask the shared port for {me.sock}, and our socket there is {name} (-sock)"
        )
    try:
        return make_listener(socket_folder, name, owner) if end is None else inherited_listener(end, owner)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartError(
            f"DAEMON_SOCKET_DIR: no socket behind the shared port in {socket_folder}: {reason}"
        ) from error


async def _own_port(
    me: Address, knobs: str, inheritance: Inheritance | None
) -> Sequence[trio.SocketListener]:
    """Return what listens on our own port: what was handed down, or what we bind now."""
    try:
        handed_down = None if inheritance is None else inheritance.listener_on(me.port)
    except (OSError, InheritanceError) as error:
        raise StartError(f"the port that condor_master handed down cannot be used: {error}") from error
    if handed_down is None:
        return await listen_for_commands(me, knobs)
    return [trio.SocketListener(trio.socket.from_stdlib_socket(handed_down))]
