"""Where condor_master and its controllee are: from what it handed down, or from the configuration."""

from __future__ import annotations

import contextlib
import os
from typing import Final

import trio

from daemoncore.address import Address
from daemoncore.inheritance import Inheritance
from had.control_settings import Control
from had.household import Likeness, Resident, listener_of
from had.master_voice import master_address

SEEK_SECONDS: Final = 1.0
"""While no living condor_master is known, it is looked for so often: that reads what all processes have open."""


class MasterReach:
    """Knows the address and the process of condor_master, and what its controllee looks like.

    Args:
        inheritance: what condor_master handed down, if it started us.
        control: the controllee's settings.
    """

    def __init__(self, inheritance: Inheritance | None, control: Control) -> None:
        self._inheritance = inheritance
        self._control = control
        self._programs: set[str] = set()
        self._arguments: set[tuple[str, ...]] = set()
        self._master: Resident | None = None
        if inheritance is not None:
            self._hold(inheritance.parent_pid)
        self.change(control)

    def change(self, control: Control) -> None:
        """Go by other settings; what runs by the ones before is still known, unless another daemon is meant now."""
        if control.controllee.casefold() != self._control.controllee.casefold():
            self._programs, self._arguments = set(), set()
        self._control = control
        if control.argv:
            self._programs |= {control.argv[0], os.path.realpath(control.argv[0])}
            self._arguments.add(control.argv[1:])

    def likeness(self) -> Likeness:
        """What the controllee's process looks like."""
        words = self._control.argv
        local_name = words[words.index("-local-name") + 1] if "-local-name" in words[:-1] else ""
        return Likeness(
            self._control.controllee, frozenset(self._programs), local_name, frozenset(self._arguments)
        )

    def address(self) -> Address:
        """Where condor_master takes commands; OSError or ValueError if that cannot be known."""
        return master_address(self._inheritance, self._control.master_address_file)

    def master(self) -> Resident | None:
        """condor_master's process, dead or alive; None while it is not known."""
        return self._master

    async def keep_finding(self) -> None:
        """Look for condor_master, and for the next one when it is dead, until cancelled; our parent is the only one."""
        while self._inheritance is None:
            if self._is_missing():
                self._hold(await trio.to_thread.run_sync(self._find, abandon_on_cancel=True))
            await trio.sleep(SEEK_SECONDS)

    def find(self) -> None:
        """Look for it once, and block meanwhile."""
        if self._inheritance is None and self._is_missing():
            self._hold(self._find())

    def _is_missing(self) -> bool:
        return self._master is None or not self._master.is_alive

    def _hold(self, pid: int | None) -> None:
        with contextlib.suppress(OSError):
            if pid is not None:
                found = Resident.hold(pid)
                if self._master:
                    self._master.close()
                self._master = found

    def _find(self) -> int | None:
        try:
            address = self.address()
        except (OSError, ValueError):
            return None
        return listener_of(address.host, address.port)
