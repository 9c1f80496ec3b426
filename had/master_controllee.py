"""The controllee in condor_master's hands (HAD_CONTROL = master), behind the interface of `had/controllee.py`.

A life is: CHILD_ON, until its process is there; then the process is watched; then CHILD_OFF_FAST, until no process of it is
left and condor_master has taken the order to start no other one. So `ControlleeExited` means what it means elsewhere. It is
given also when the process ended by itself, since condor_master would start it again by its own clock, wherever leadership
is by then; CHILD_ON starts it at once, and condor_master's waiting is over with it.

Between two lives somebody else may start one: condor_master, which had it running when this daemon was started, or a
person. Nothing may run unasked, so that is looked for, and ended in the same way. As condor_had does, a daemon that starts
says CHILD_OFF_FAST in any case.

The lease is the hand's (`had/master_hand.py`), which does to a controllee without a daemon what this does with one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import trio

from daemoncore import boottime
from daemoncore.cedar.commands import Command
from daemoncore.event_log import Tell
from had.control_settings import Control
from had.controllee import LEASE_SHARE_BEFORE_TERMINATION, ControlleeEvent
from had.events import ControlleeExited, ControlleeStarted
from had.household import Household, Resident
from had.master_ending import Ending, until_dead
from had.master_hand_link import HandLink
from had.master_hand_messages import Lease
from had.master_reach import MasterReach
from had.master_voice import MasterVoice

START_SECONDS: Final = 5.0
"""A start that has brought no process up by then has failed; the machine itself gives up after ten seconds."""

STRAY_SECONDS: Final = 1.0
"""While nothing should run, it is looked for so often."""

_BLIND: Final = (
    "the process of condor_master is not known: it does not run, or under another account than this daemon,"
    " which is not root"
)
_WITHOUT_HAND: Final = "the hand that would end it in need is not there; see hand_failed in the log"
_FIRST_PATIENCE_SECONDS: Final = 0.25
_LOOK_SECONDS: Final = 0.01


class MasterControllee:
    """The controllee that condor_master starts and stops.

    Args:
        reach: where condor_master and its controllee are.
        voice: gives it orders.
        deliver: called with each event; it must only queue it.
        hand: holds the lease.
        tell: writes lines of the log.
        stop_timeout_seconds: how long what nobody asked for may take to end.
    """

    def __init__(
        self,
        reach: MasterReach,
        voice: MasterVoice,
        deliver: Callable[[ControlleeEvent], None],
        hand: HandLink,
        tell: Tell,
        stop_timeout_seconds: float,
    ) -> None:
        self._reach = reach
        self._voice = voice
        self._household = Household(reach.master, reach.likeness())
        self._deliver = deliver
        self._hand = hand
        self._tell = tell
        self._stop_timeout_seconds = stop_timeout_seconds
        self._is_wanted = False
        self._is_stop_requested = False
        self._kill_at = math.inf
        self._until = 0.0
        self._process: Resident | None = None
        self._is_life_begun = False
        self._is_held = False
        self._trouble = ""
        #: Settings that name another daemon, for when the present one is ended.
        self._next: Control | None = None
        self._changed = trio.Event()

    @property
    def pid(self) -> int | None:
        """The controllee's process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def guard_pid(self) -> int | None:
        """The hand's process id; None while it is being replaced."""
        return self._hand.pid

    @property
    def is_held(self) -> bool:
        """Whether condor_master has taken the order to start none, and none runs."""
        return self._is_held

    def change(self, control: Control) -> None:
        """Go by other settings from now on; what runs goes on, and if another daemon is meant, only until it is ended."""
        is_another = control.controllee.casefold() != self._voice.controllee.casefold()
        if is_another and self._is_life_begun:
            self._next = control
        else:
            self._apply(control, is_another=is_another)

    def _apply(self, control: Control, *, is_another: bool) -> None:
        self._next = None
        self._reach.change(control)
        self._household.likeness = self._reach.likeness()
        self._stop_timeout_seconds = control.stop_timeout_seconds
        self._hand.replace()
        if is_another:
            self._voice = attrs.evolve(self._voice, controllee=control.controllee)
            self._is_held = False

    # --- the driver's orders ----------------------------------------------------------------------------------

    def start(self, environment: Mapping[str, str], *, is_disaster: bool = False) -> None:
        """Have it started; condor_master gives it an environment of its own, so this one is not used."""
        assert not self._is_wanted, "the controllee was started before its last exit"
        assert not is_disaster, f"refused by the settings (environment of {len(environment)} variables)"
        self._is_wanted = True
        self._is_stop_requested = False
        self._kill_at = math.inf
        self._wake()

    def stop(self, timeout_seconds: float) -> None:
        """CHILD_OFF_FAST, and SIGKILL after the time-out; no effect if it is not running or wanted."""
        if self._is_wanted:
            self._is_stop_requested = True
            self._kill_at = min(self._kill_at, boottime.now() + timeout_seconds)
            self._wake()

    def renew(self, until: float) -> None:
        """Let it live until then (seconds of CLOCK_BOOTTIME), and not a moment longer unless renewed again."""
        self._until = until
        if self._is_life_begun:
            self._renew()
        elif self._is_wanted:
            self._wake()

    def _renew(self) -> None:
        now = boottime.now()
        terminate_at = now + (self._until - now) * LEASE_SHARE_BEFORE_TERMINATION
        self._hand.renew(Lease(terminate_at, self._until, self.pid or 0))

    def _wake(self) -> None:
        self._changed.set()

    async def _until_changed(self, limit_seconds: float = math.inf) -> None:
        """Wait for an order, or the time."""
        with trio.move_on_after(limit_seconds):
            await self._changed.wait()
        self._changed = trio.Event()

    # --- its lives --------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look after it until cancelled; should it run then, the hand ends it."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._hand.run)
            nursery.start_soon(self._reach.keep_finding)
            task_status.started()
            while True:
                await self._rest()
                reason, detail = await self._live()
                self._is_wanted = False
                if self._next is not None:
                    self._apply(self._next, is_another=True)
                self._deliver(ControlleeExited(reason, detail))

    async def _rest(self) -> None:
        """See that nothing runs, until something is wanted."""
        while True:
            strays = self._household.look()
            if strays or not self._is_held:
                if strays:
                    self._tell("stray_controllee", pid=strays[0].pid)
                await self._end_strays(boottime.now() + self._stop_timeout_seconds)
            if self._is_wanted:
                return
            await self._until_changed(STRAY_SECONDS)

    async def _end_strays(self, kill_at: float) -> None:
        await self._end(lambda: kill_at)

    async def _live(self) -> tuple[str, str]:
        """From the order to start until nothing is left; the reason of the end and its detail, in the metrics' words."""
        while self._until <= boottime.now() and not self._is_stop_requested:
            await self._until_changed()
        if self._is_stop_requested:
            return "requested", "it had not been started"
        self._is_life_begun = True
        self._is_held = False
        self._renew()
        try:
            trouble = await self._bring_up()
            if self.pid is not None:
                await self._run_its_course()
            has_run = self.pid is not None
            if self._kill_at == math.inf:
                self._kill_at = boottime.now() + self._stop_timeout_seconds
            detail = await self._end(lambda: self._kill_at)
        finally:
            self._is_life_begun = False
            self._process = None
        explained = self._explain(trouble, detail, has_run=has_run)
        self._hand.rest()
        return explained

    def _explain(self, trouble: str, detail: str, *, has_run: bool) -> tuple[str, str]:
        if self._is_stop_requested:
            return "requested", detail
        if not has_run:
            return "start_failed", "; ".join(filter(None, (trouble, detail)))
        if self._hand.has_lapsed:
            return "killed", "; ".join(filter(None, ("the lease was not renewed in time", detail)))
        return "exited", detail

    async def _bring_up(self) -> str:
        """Order it until its process is there; why it is not, in words."""
        give_up_at = trio.current_time() + START_SECONDS
        patience_seconds = _FIRST_PATIENCE_SECONDS
        with trio.move_on_at(give_up_at) as waiting:
            # Nothing runs that nobody could see, or end.
            await self._hand.until_there()
            while self._household.is_blind() and not self._is_stop_requested:  # noqa: ASYNC110 -- looked for
                await trio.sleep(_LOOK_SECONDS)
        if waiting.cancelled_caught:
            return _BLIND if self._hand.pid else _WITHOUT_HAND
        while not self._is_stop_requested and not self._hand.has_lapsed:
            # Given again it does no harm, and finds condor_master done with what it had before: it may not have
            # collected the last process, and then takes it for a running one.
            trouble = await self._voice.say(Command.CHILD_ON)
            if await self._appears_within(patience_seconds):
                return ""
            if trio.current_time() >= give_up_at:
                return (
                    trouble
                    or f"condor_master has started no {self._voice.controllee} within {START_SECONDS:g} s"
                )
            patience_seconds = min(2 * patience_seconds, 1.0)
        return "it was called off" if self._is_stop_requested else "the lease was not renewed in time"

    async def _appears_within(self, limit_seconds: float) -> bool:
        """Look for its process until it is there, or the order is withdrawn."""
        give_up_at = trio.current_time() + limit_seconds
        while not self._is_stop_requested and trio.current_time() < give_up_at:
            found = self._household.look()
            if found:
                self._process = found[0]
                return True
            await trio.sleep(_LOOK_SECONDS)
        return False

    async def _run_its_course(self) -> None:
        """Tell that it runs, and wait for its end, or the order to end it."""
        assert self._process is not None, "it was found"
        self._deliver(ControlleeStarted(self._process.pid))
        self._renew()
        await self._until_over(self._process)

    async def _until_over(self, process: Resident) -> None:
        """Wait for its end, or the order to end it."""
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await until_dead(process)
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            while not self._is_stop_requested:
                await self._until_changed()
            nursery.cancel_scope.cancel()

    async def _end(self, kill_at: Callable[[], float]) -> str:
        """End what runs; what went wrong, in words."""
        voice = self._voice
        ending = Ending(voice, self._household, kill_at)
        await ending.run()
        if self._voice is voice:
            # Else another daemon is meant by now, of which condor_master has heard nothing.
            self._note(ending)
        return ending.trouble

    def _note(self, ending: Ending) -> None:
        """Remember whether condor_master starts no other one; tell trouble with it once."""
        self._is_held = ending.is_held
        if ending.trouble != self._trouble and not ending.is_held:
            self._tell("master_unreachable", text=ending.trouble)
        self._trouble = "" if ending.is_held else ending.trouble
