"""What had says to condor_master: start the controllee (CHILD_ON), stop it and keep it stopped (CHILD_OFF_FAST).

No answer belongs to these commands. But condor_master has one thread and closes the connection after its handler, so
the end of the connection says that the order was carried out, or was to no purpose; what became of it shows in the
controllee's process (`had/household.py`).

Started by condor_master we know its address, and the session that it shares with its children opens the door.
Otherwise the address stands in the first line of MASTER_ADDRESS_FILE, and the configured security must make us one of
its administrators. Facts: HTCondor src/condor_master.V6/master.cpp (`handle_subsys_command`); transcripts in
tests/vectors (09-master).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.client import CallFailed, Client, Reset
from daemoncore.inheritance import Inheritance

CALL_SECONDS: Final = 2.0
"""A condor_master that has not carried out an order by then is busy or frozen; the order is given again."""


@attrs.frozen
class MasterVoice:
    """Gives orders about one controllee.

    Args:
        client: gives what connects.
        address: gives where condor_master is; OSError or ValueError if that cannot be known.
        controllee: the daemon's name in DAEMON_LIST.
    """

    client: Callable[[], Client]
    address: Callable[[], Address]
    controllee: str

    async def say(self, command: Command) -> str:
        """Give an order; empty when it was carried out, else why not, in words."""
        try:
            with trio.fail_after(CALL_SECONDS):
                await self._say(self.address(), command)
        except trio.TooSlowError:
            return f"condor_master did not carry out {command.name} within {CALL_SECONDS:g} s"
        except (CallFailed, OSError, ValueError) as failure:
            return f"{command.name} for condor_master: {failure}"
        return ""

    async def _say(self, address: Address, command: Command) -> None:
        async with await self.client().connect(address, command) as connection:
            await connection.send(connection.writer().put_string(self.controllee.upper()))
            try:
                while True:
                    await connection.receive()
            except Reset:
                # Its handler is done.
                return


def master_address(inheritance: Inheritance | None, address_file: str) -> Address:
    """Return where condor_master takes commands.

    Args:
        inheritance: what it handed down, if it started us.
        address_file: MASTER_ADDRESS_FILE.

    Raises:
        OSError: there is no such file.
        ValueError: there is no address in it.
    """
    if inheritance is not None:
        return inheritance.parent
    lines = Path(address_file).read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        return Address.parse(lines[0] if lines else "")
    except ValueError as error:
        raise ValueError(f"{address_file}: {error}") from error
