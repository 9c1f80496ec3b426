"""What happens in the demo, act by act, and what it prints.

Each act changes something from outside, as an accident would, waits until the pool has dealt with it, and adds what it
measured. An act that does not come to its end in time adds a measurement that says so, and the demo goes on.
"""

import os
import signal
from collections.abc import Awaitable, Callable

import trio

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from had.ctl import tables, verdict
from had.ctl.ask import request
from had.ctl.configured import Configured
from had.ctl.demo.managers import MANAGERS, Managers
from had.ctl.demo.measurement import Measurement, seconds, stabilisation_seconds
from had.ctl.demo.watching import Life, Watch
from had.ctl.pool import Pool

#: How long an act may take before the demo gives up on it, in seconds; every promise is much shorter.
ACT_SECONDS = 20.0
#: HTCondor's measured figures for three managers at T = 1, in seconds (docs/guarantees.md).
CONDOR_COLD_START = 28.3
CONDOR_HOST_DEATH = 35.4
CONDOR_DAEMON_KILLED = 28.8
CONDOR_PRIMARY_OVERLAP = 10.0
CONDOR_NEGOTIATOR_KILLED = 10.1
CONDOR_GRACEFUL_STOP = 22.1
#: Between two acts the pool runs quietly for this long, for the reader's sake.
PAUSE_SECONDS = 1.5


class Story:
    """One performance.

    Args:
        managers: the players.
        watch: sees the negotiators.
        configured: the pool, for asking it.
        say: prints a line, with the time.
    """

    def __init__(
        self, managers: Managers, watch: Watch, configured: Configured, say: Callable[[str], None]
    ) -> None:
        self._managers = managers
        self._watch = watch
        self._configured = configured
        self._caller = configured.caller()
        self._say = say
        self._timeout = configured.connection_timeout_seconds
        self.measurements: list[Measurement] = []

    async def perform(self) -> None:
        """Play all acts."""
        await self._play(self._start)
        await self._play(self._kill_negotiator)
        await self._play(self._kill_host)
        await self._play(self._return_of_the_primary)
        await self._play(self._kill_daemon)
        await self._play(self._second_return)
        await self._play(self._switch_over)
        await self._play(self._resume)
        overlap = self._watch.overlap_seconds()
        longest = seconds(self._watch.longest_look_seconds)
        self._say(f"Negotiators were looked for each 3 ms; the longest time between two looks was {longest}.")
        self._add("P1-P7", "two negotiators at once, in all acts together", 0.0, overlap)

    async def _play(self, act: Callable[[], Awaitable[None]]) -> None:
        before = len(self.measurements)
        if before:
            await trio.sleep(PAUSE_SECONDS)
        with trio.move_on_after(ACT_SECONDS) as scope:
            await act()
        if scope.cancelled_caught:
            self._say(f"    gave up after {ACT_SECONDS:g} s")
            missing = getattr(act, "__name__", "act").strip("_").replace("_", " ")
            if len(self.measurements) == before or self.measurements[-1].is_kept:
                self.measurements.append(Measurement("-", missing, ACT_SECONDS, None))

    # --- acts ---------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        count, timeout = len(MANAGERS), self._timeout
        self._say(f"Starting {count} managers; HAD_CONNECTION_TIMEOUT is {timeout:g} s.")
        began = trio.current_time()
        for name in MANAGERS:
            self._managers.start(name)
        up = await self._watch.first_daemon()
        life = await self._watch.started(began)
        self._say(
            f"    The first was up after {seconds(up - began)}, which is the time that Python takes to start."
        )
        took = max(0.0, life.began - up)
        self._say(f"    {self._entry(life)} was elected; its negotiator runs as process {life.pid}.")
        situation = "cold start, first daemon up to a running negotiator"
        self._add("P2", situation, 2 * timeout + 1, took, f"{CONDOR_COLD_START} s")
        await self._watch.first_cycle(life)
        await self._show(await self._settle())

    async def _kill_negotiator(self) -> None:
        (life,) = self._watch.running
        self._say(f"Killing the negotiator, process {life.pid}, with SIGKILL.")
        fault = trio.current_time()
        os.kill(life.pid, signal.SIGKILL)
        new = await self._watch.started(fault, life.manager)
        ended = await self._watch.ended(life)
        took = new.began - ended
        self._say(f"    It is back on the same manager after {seconds(took)}, as process {new.pid}.")
        self._add("P5", "negotiator killed, back on its node", 0.3, took, f"{CONDOR_NEGOTIATOR_KILLED} s")
        await self._watch.first_cycle(new)

    async def _kill_host(self) -> None:
        (life,) = self._watch.running
        self._say(
            f"The host of {self._entry(life)} dies: had, guard and negotiator are gone, and it answers nothing."
        )
        fault = trio.current_time()
        self._managers.silence(life.manager)
        new = await self._watch.started(fault)
        took = new.began - fault
        self._say(f"    {self._entry(new)} took over: its negotiator runs {seconds(took)} after the fault.")
        cycle = await self._watch.first_cycle(new) - fault
        self._say(f"    Its first finished cycle came {seconds(cycle)} after the fault.")
        formula = stabilisation_seconds(len(MANAGERS), self._timeout)
        self._say(
            f"    HTCondor's manual allows 12*N*T = {formula:g} s for this;"
            f" its own daemons were measured at {CONDOR_HOST_DEATH} s."
        )
        self._add(
            "P1",
            "host dies, negotiator elsewhere",
            1.5 * self._timeout + 0.5,
            took,
            f"{CONDOR_HOST_DEATH} s (manual: {formula:g} s)",
        )
        self._managers.bury(life.manager)
        await self._show(await self._ask())

    async def _return_of_the_primary(self) -> None:
        old = await self._bring_back()
        new = await self._watch.started(old.began)
        gap = new.began - await self._watch.ended(old)
        self._say(f"    {self._entry(old)} stopped its negotiator for it and handed over:")
        self._say(f"    between the old negotiator's end and the new one's start lay {seconds(gap)}.")
        self._add("P6", "primary returns, without a negotiator", 0.5, gap)
        overlap = max(0.0, -gap)
        self._add("P6", "primary returns, two at once", 0.0, overlap, f"{CONDOR_PRIMARY_OVERLAP:g} s")
        await self._watch.first_cycle(new)
        await self._settle()

    async def _kill_daemon(self) -> None:
        (life,) = self._watch.running
        self._say(f"Killing only the daemon had of {self._entry(life)} with SIGKILL.")
        fault = trio.current_time()
        self._managers.kill(life.manager)
        ended = await self._watch.ended(life)
        self._say(f"    Its negotiator was dead {seconds(ended - fault)} later: the guard saw to that.")
        self._add("P4", "daemon killed, its negotiator dead", 0.2, ended - fault, "runs on for up to 350 s")
        new = await self._watch.started(fault)
        took = new.began - fault
        self._say(f"    {self._entry(new)} took over after {seconds(took)}.")
        self._add("P4", "daemon killed, negotiator elsewhere", 1.0, took, f"{CONDOR_DAEMON_KILLED} s")
        self._managers.bury(life.manager)
        await self._watch.first_cycle(new)

    async def _second_return(self) -> None:
        old = await self._bring_back()
        new = await self._watch.started(old.began)
        gap = new.began - await self._watch.ended(old)
        self._say(f"    Handed over again, {seconds(gap)} without a negotiator.")
        self._add("P6", "primary returns again", 0.5, gap)
        await self._settle()

    async def _switch_over(self) -> None:
        (old,) = self._watch.running
        self._say(f"An operator moves leadership away from {self._entry(old)}, as `hadctl switchover` does.")
        ad = ClassAd({"To": "", "Reason": "the demo", "By": "hadctl demo"})
        target = self._configured.target(self._entry(old))
        reply = await request(target, Command.HAD_SWITCHOVER, ad, self._caller)
        self._say(f"    The leader's answer: {reply.text}.")
        new = await self._watch.started(old.began)
        gap = new.began - await self._watch.ended(old)
        self._say(f"    {self._entry(new)} has it, after {seconds(gap)} without a negotiator.")
        self._add("P3", "switchover, without a negotiator", 0.3, gap, f"{CONDOR_GRACEFUL_STOP} s")
        await self._watch.first_cycle(new)

    async def _resume(self) -> None:
        (old,) = self._watch.running
        self._say(
            "Meanwhile the primary is held from leading; the operator ends that, as `hadctl resume` does."
        )
        target = self._configured.target(self._entry(old))
        await request(target, Command.HAD_RESUME, ClassAd({"By": "hadctl demo"}), self._caller)
        new = await self._watch.started(old.began)
        gap = new.began - await self._watch.ended(old)
        self._say(f"    {self._entry(new)} leads again, after {seconds(gap)} without a negotiator.")
        self._add("P6", "hold ended, without a negotiator", 0.5, gap)
        await self._show(await self._settle())

    async def _bring_back(self) -> Life:
        """Start the manager that is missing; return the negotiator that runs meanwhile."""
        (old,) = self._watch.running
        missing = next(name for name in MANAGERS if self._managers.pid(name) is None)
        self._say(f"{missing} comes back; it is first in HAD_LIST, the primary.")
        self._managers.start(missing)
        return old

    # --- helpers ------------------------------------------------------------------------------------------------

    def _add(
        self, promise: str, situation: str, limit: float, measured: float | None, condor: str = ""
    ) -> None:
        self.measurements.append(Measurement(promise, situation, limit, measured, condor))

    def _entry(self, life: Life) -> str:
        return self._configured.members[MANAGERS.index(life.manager)].entry

    async def _ask(self) -> Pool:
        return await self._configured.ask(self._caller)

    async def _settle(self) -> Pool:
        """Wait until the members themselves find the pool in order."""
        pool = await self._ask()
        while verdict.problems(pool):
            await trio.sleep(0.05)
            pool = await self._ask()
        return pool

    async def _show(self, pool: Pool) -> None:
        for line in tables.render(tables.STATUS_COLUMNS, tables.status_rows(pool)).splitlines():
            self._say(f"    {line}")
