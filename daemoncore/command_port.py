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


async def open_command_port(me: Address, knobs: str, options: Options, socket_folder: Path) -> CommandPort:
    """Open where this daemon takes its commands.

    Args:
        me: this node's own entry, numeric; with a `sock` it is behind a shared port.
        knobs: the settings that say so, for people.
        options: the command line, and what condor_master handed down.
        socket_folder: DAEMON_SOCKET_DIR, where a daemon that condor_master did not start makes its end.

    Raises:
        StartError: the address is taken, or not ours, or there is no way to be behind the shared port.
    """
    end = None if options.inheritance is None else options.inheritance.shared_port
    try:
        behind = None if end is None else inherited_listener(end)
        if me.sock is not None and behind is None:
            behind = make_listener(socket_folder, options.sock or me.sock)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartError(
            f"DAEMON_SOCKET_DIR: no socket behind the shared port in {socket_folder}: {reason}"
        ) from error
    if me.sock is not None:
        return CommandPort((), behind)
    return CommandPort(await _own_port(me, knobs, options.inheritance), behind)


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
