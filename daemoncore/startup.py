"""What a daemon needs before it can take part, and only one daemon may have: the folder of durable files and the ports.

What fails there is a `StartError`, one sentence, and exit status 1.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

import attrs
import trio

from daemoncore.address import Address
from daemoncore.durable import DurableError
from daemoncore.http import AddressError, listen
from daemoncore.inheritance import Inheritance
from daemoncore.state_folder import StateFolder

CLAIM_SECONDS: Final = 2.0
"""How long a daemon waits for the children of the one before it, which hold the folder until their work is done."""

_RETRY_SECONDS: Final = 0.02


class StartError(Exception):
    """The daemon cannot start; the text says whose fault it is and what was being done."""


@attrs.frozen
class Options:
    """What the command line says, and who started us."""

    config: str | None = None
    local_name: str | None = None
    port: int | None = None
    is_terminal: bool = False
    #: `-sock`: our name behind a shared port.
    sock: str | None = None
    #: What condor_master handed down, when it started us.
    inheritance: Inheritance | None = None

    def local_sockets(self, socket_folder: Path) -> str:
        """Return where the daemons of our condor_master are reached while their shared port has no number.

        Args:
            socket_folder: DAEMON_SOCKET_DIR, where they are unless condor_master says something else.
        """
        return (self.inheritance and self.inheritance.local_sockets) or str(socket_folder)


async def claim_folder(had_dir: Path, program: str, entry: str, owner: tuple[int, int] | None) -> StateFolder:
    """Claim a node's folder of durable files; one that is held is waited for, for `CLAIM_SECONDS`.

    Args:
        had_dir: HAD_DIR.
        program: `had` or `replication`.
        entry: this node's entry of the list.
        owner: user and group ids for what is made here; None leaves them.

    Raises:
        StartError: the folder is another daemon's, or cannot be made.
    """
    deadline = trio.current_time() + CLAIM_SECONDS
    while True:
        try:
            return StateFolder.claim(had_dir, program, entry, owner=owner)
        except DurableError as error:
            if error.errno != errno.EWOULDBLOCK or trio.current_time() >= deadline:
                raise StartError(str(error)) from error
        await trio.sleep(_RETRY_SECONDS)


async def listen_for_commands(address: Address, knobs: str) -> list[trio.SocketListener]:
    """Bind a node's own address.

    Args:
        address: numeric.
        knobs: the settings that say so, for people.

    Raises:
        StartError: it is taken, or not ours.
    """
    return await _listen(address.host, address.port, knobs)


async def listen_for_pages(host: str, port: int | None, knobs: str) -> list[trio.SocketListener]:
    """Bind the address of the HTTP pages, if there are any.

    Args:
        host: a numeric address.
        port: None for no pages.
        knobs: the settings that say so, for people.

    Raises:
        StartError: it is taken, or not ours.
    """
    return [] if port is None else await _listen(host, port, knobs)


async def _listen(host: str, port: int, knobs: str) -> list[trio.SocketListener]:
    try:
        return await listen(host, port, knobs=knobs)
    except AddressError as error:
        raise StartError(str(error)) from error
