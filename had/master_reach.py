"""Where condor_master and its controllee are: from what it handed down, or from the configuration."""

from __future__ import annotations

import os

from daemoncore.address import Address
from daemoncore.inheritance import Inheritance
from had.control_settings import Control
from had.household import Likeness, listener_of
from had.master_voice import master_address


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
        self._found: int | None = None
        self.change(control)

    def change(self, control: Control) -> None:
        """Go by other settings; what runs by the ones before is still known, unless another daemon is meant now."""
        if control.controllee.casefold() != self._control.controllee.casefold():
            self._programs = set()
        self._control = control
        if control.argv:
            self._programs |= {control.argv[0], os.path.realpath(control.argv[0])}

    def likeness(self) -> Likeness:
        """What the controllee's process looks like."""
        words = self._control.argv
        local_name = words[words.index("-local-name") + 1] if "-local-name" in words[:-1] else ""
        return Likeness(self._control.controllee, frozenset(self._programs), local_name)

    def address(self) -> Address:
        """Where condor_master takes commands; OSError or ValueError if that cannot be known."""
        return master_address(self._inheritance, self._control.master_address_file)

    def master(self) -> int | None:
        """condor_master's process id; looked for anew when the one that was found is gone."""
        if self._inheritance is not None:
            return self._inheritance.parent_pid
        if self._found is None or not os.path.exists(f"/proc/{self._found}"):  # noqa: PTH110  often
            self._found = self._find()
        return self._found

    def _find(self) -> int | None:
        try:
            address = self.address()
        except (OSError, ValueError):
            return None
        return listener_of(address.host, address.port)
