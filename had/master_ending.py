"""How a controllee of condor_master ends: put on hold there, and its process gone.

Both belong together. condor_master starts a daemon again that ends without having been put on hold: after about ten
seconds, or after one if it had stopped the daemon itself, as it does when its controller dies. So an end is complete when
condor_master has carried out CHILD_OFF_FAST *and* no process is left, in whichever order. condor_master's own patience
is SHUTDOWN_FAST_TIMEOUT, five minutes by default; ours ends before, and then we kill.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final

import attrs
import trio

from daemoncore import boottime
from daemoncore.cedar.commands import Command
from had.household import Household, Resident
from had.master_voice import MasterVoice

OWN_SIGNAL_SECONDS: Final = 0.2
"""A condor_master that has not sent SIGQUIT by then is not waited for; we send it."""

HOLD_PATIENCE_SECONDS: Final = 2.5
"""When no process is left, a living condor_master has this long to take the order to start none."""

_RETRY_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.02


@attrs.define
class Ending:
    """One end, as it goes.

    Attributes:
        voice: gives the orders.
        household: where the processes are.
        kill_at: gives when patience is over, on CLOCK_BOOTTIME; it may come nearer meanwhile.
        quit_after_seconds: when we send SIGQUIT ourselves; 0 is at once.
        is_held: whether condor_master has taken the order and so starts it no more.
        trouble: what went wrong, for people.
    """

    voice: MasterVoice
    household: Household
    kill_at: Callable[[], float]
    quit_after_seconds: float = OWN_SIGNAL_SECONDS
    is_held: bool = False
    trouble: str = ""
    _killed: bool = False
    _has_quit: set[int] = attrs.field(factory=set)
    _told: set[int] = attrs.field(factory=set)

    async def run(self) -> None:
        """Return when no process is left and none will be started, as far as condor_master can be told."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hold)
            await self._until_gone()
            with trio.move_on_after(HOLD_PATIENCE_SECONDS):
                while not (self.is_held or self.household.is_abandoned()):  # noqa: ASYNC110 -- repeated beside us
                    await trio.sleep(_LOOK_SECONDS)
                # What was being started when the order came has got the signal too, and ends before it works.
                while self.household.is_expecting():  # noqa: ASYNC110 -- nothing announces it
                    await trio.sleep(_LOOK_SECONDS)
            await self._until_gone()
            nursery.cancel_scope.cancel()
        if self._killed:
            self.trouble = "; ".join(filter(None, (self.trouble, "killed after the time-out")))

    async def _hold(self) -> None:
        while not self.is_held:
            self.trouble = await self.voice.say(Command.CHILD_OFF_FAST)
            self.is_held = not self.trouble
            # What comes up after this was not sent a signal by condor_master.
            self._told = {resident.pid for resident in self.household.living()} if self.is_held else set()
            if self.trouble:
                await trio.sleep(_RETRY_SECONDS)

    async def _until_gone(self) -> None:
        quit_at = boottime.now() + self.quit_after_seconds
        while living := self.household.look():
            now, kill_at = boottime.now(), self.kill_at()
            if now >= kill_at:
                self._send(living, signal.SIGKILL)
                self._killed = True
            elif now >= quit_at:
                done = self._has_quit | self._told
                self._send([resident for resident in living if resident.pid not in done], signal.SIGQUIT)
                self._has_quit |= {resident.pid for resident in living}
            await until_dead(living[0], _LOOK_SECONDS)

    def _send(self, living: list[Resident], number: int) -> None:
        for resident in living:
            self.trouble = resident.send(number) or self.trouble


async def until_dead(resident: Resident, limit_seconds: float = float("inf")) -> bool:
    """Wait for the end of a process; whether it came in time."""
    with trio.move_on_after(limit_seconds):
        await trio.lowlevel.wait_readable(resident.descriptor)
        return True
    return False
