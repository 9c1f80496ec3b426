"""What happens in the demo, act by act, and what it prints.

Each act changes something from outside, as an accident would, waits until the pool has dealt with it, and adds what it
measured. An act that does not come to its end in time, or cannot even begin, adds a measurement that says so, and the demo
goes on.
"""

import os
import signal
from collections.abc import Awaitable, Callable

import trio

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from had.ctl.ask import request
from had.ctl.demo.accounts_acts import AccountsActs
from had.ctl.demo.managers import HAD, MANAGERS
from had.ctl.demo.measurement import Measurement, seconds, stabilisation_seconds, usage
from had.ctl.demo.stage import Stage, UnplayableError
from had.ctl.demo.watching import Life

#: How long an act may take before the demo gives up on it, in seconds; every promise is much shorter.
ACT_SECONDS = 20.0
#: HTCondor's measured figures for three managers at T = 1, in seconds (docs/guarantees.md).
CONDOR_COLD_START = 28.3
CONDOR_HOST_DEATH = 35.4
CONDOR_DAEMON_KILLED = 28.8
CONDOR_PRIMARY_OVERLAP = 10.0
CONDOR_NEGOTIATOR_KILLED = 10.1
CONDOR_GRACEFUL_STOP = 22.1
#: Since HTCondor 23.5 a condor_replication that joins never fetches what is newer elsewhere.
CONDOR_PRIMARY_LOSS = "all since it left"
#: Between two acts the pool runs quietly for this long, for the reader's sake.
PAUSE_SECONDS = 0.7


class Story:
    """One performance.

    Args:
        stage: where it is played.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._managers = stage.managers
        self._watch = stage.watch
        self._say = stage.say
        self._timeout = stage.timeout_seconds
        self._accounts = AccountsActs(stage)

    async def perform(self) -> None:
        """Play all acts."""
        for act in (
            self._start,
            self._accounts.usage_grows,
            self._kill_negotiator,
            self._kill_host,
            self._return_of_the_primary,
            self._kill_daemon,
            self._second_return,
            self._switch_over,
            self._resume,
            self._accounts.write_alone,
            self._accounts.keep_what_diverged,
            self._accounts.merge,
        ):
            await self._play(act)
        overlap = self._watch.overlap_seconds()
        longest = seconds(self._watch.longest_look_seconds)
        self._say(f"Negotiators were looked for each 3 ms; the longest time between two looks was {longest}.")
        self._stage.add("P1-P7", "two negotiators at once, in all acts together", 0.0, overlap)

    async def _play(self, act: Callable[[], Awaitable[None]]) -> None:
        measurements = self._stage.measurements
        before = len(measurements)
        if before:
            await trio.sleep(PAUSE_SECONDS)
        problem = f"gave up after {ACT_SECONDS:g} s"
        with trio.move_on_after(ACT_SECONDS):
            try:
                await act()
            except UnplayableError as error:
                problem = f"cannot be played: {error}"
            else:
                return
        missing = getattr(act, "__name__", "act").strip("_").replace("_", " ")
        self._say(f"    {missing}: {problem}")
        if len(measurements) == before or measurements[-1].is_kept:
            measurements.append(Measurement("-", missing, ACT_SECONDS, None))

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
        self._say(f"    {self._stage.entry(life)} was elected; its negotiator runs as process {life.pid}.")
        situation = "cold start, first daemon up to a running negotiator"
        self._stage.add("P2", situation, 2 * timeout + 1, took, f"{CONDOR_COLD_START} s")
        await self._watch.first_cycle(life)
        self._stage.show_pool(await self._stage.settle())

    async def _kill_negotiator(self) -> None:
        life = self._stage.running
        self._say(f"Killing the negotiator, process {life.pid}, with SIGKILL.")
        fault = trio.current_time()
        os.kill(life.pid, signal.SIGKILL)
        new = await self._watch.started(fault, life.manager)
        ended = await self._watch.ended(life)
        took = new.began - ended
        self._say(f"    It is back on the same manager after {seconds(took)}, as process {new.pid}.")
        self._stage.add(
            "P5", "negotiator killed, back on its node", 0.3, took, f"{CONDOR_NEGOTIATOR_KILLED} s"
        )
        await self._watch.first_cycle(new)

    async def _kill_host(self) -> None:
        life = self._stage.running
        held = await self._stage.everybody_has_it(life)
        self._say(
            f"The host of {self._stage.entry(life)} dies: all that it ran is gone, and it answers nothing."
        )
        fault = trio.current_time()
        self._managers.silence(life.manager)
        new = await self._watch.started(fault)
        took = new.began - fault
        self._say(
            f"    {self._stage.entry(new)} took over: its negotiator runs {seconds(took)} after the fault."
        )
        cycle = await self._watch.first_cycle(new) - fault
        self._say(f"    Its first finished cycle came {seconds(cycle)} after the fault.")
        formula = stabilisation_seconds(len(MANAGERS), self._timeout)
        self._say(
            f"    HTCondor's manual allows 12*N*T = {formula:g} s for this;"
            f" its own daemons were measured at {CONDOR_HOST_DEATH} s."
        )
        self._stage.add(
            "P1",
            "host dies, negotiator elsewhere",
            1.5 * self._timeout + 0.5,
            took,
            f"{CONDOR_HOST_DEATH} s (manual: {formula:g} s)",
        )
        await self._compare_with_the_dead(life, new, held)
        self._managers.bury_host(life.manager)
        self._stage.show_pool(await self._stage.ask())

    async def _compare_with_the_dead(self, old: Life, new: Life, held: float) -> None:
        """Hold what the new negotiator began with against the dead one's file, and against what others had of it."""
        written = self._stage.books.of(old.manager).total_seconds
        found = await self._watch.own_words(new)
        lost = max(0.0, written - found.found_seconds)
        self._stage.stranded_seconds += lost
        self._say(
            f"    The dead one had charged {written:.0f} s of usage, the new one began with {found.found_seconds:.0f} s"
            f" (HAD_STATE={found.state}): lost is {usage(lost)}."
        )
        self._stage.add_usage(
            "R2", "host dies, acknowledged usage lost", max(0.0, held - found.found_seconds)
        )

    async def _return_of_the_primary(self) -> None:
        began = trio.current_time()
        old = await self._stage.bring_back()
        written = self._stage.books.of(old.manager).total_seconds
        fetched = await self._stage.books.reached(MANAGERS[0], written) - began
        self._say(
            f"    First it fetched what {self._stage.entry(old)} wrote; it had that after {seconds(fetched)}."
        )
        new = await self._watch.started(old.began)
        self._say(f"    Then, after {seconds(new.began - began)}, it got the negotiator.")
        gap = new.began - await self._watch.ended(old)
        self._say(f"    {self._stage.entry(old)} stopped its negotiator for it and handed over:")
        self._say(f"    between the old negotiator's end and the new one's start lay {seconds(gap)}.")
        self._stage.add("P6", "primary returns, without a negotiator", 0.5, gap)
        overlap = max(0.0, -gap)
        self._stage.add("P6", "primary returns, two at once", 0.0, overlap, f"{CONDOR_PRIMARY_OVERLAP:g} s")
        await self._stage.compare("P6", "primary returns, usage lost", old, new, CONDOR_PRIMARY_LOSS)
        await self._watch.first_cycle(new)
        await self._stage.settle()

    async def _kill_daemon(self) -> None:
        life = self._stage.running
        await self._stage.everybody_has_it(life)
        self._say(f"Killing only the daemon had of {self._stage.entry(life)} with SIGKILL.")
        fault = trio.current_time()
        self._managers.kill(life.manager)
        ended = await self._watch.ended(life)
        self._say(f"    Its negotiator was dead {seconds(ended - fault)} later: the guard saw to that.")
        self._stage.add(
            "P4", "daemon killed, its negotiator dead", 0.2, ended - fault, "runs on for up to 350 s"
        )
        new = await self._watch.started(fault)
        took = new.began - fault
        self._say(f"    {self._stage.entry(new)} took over after {seconds(took)}.")
        self._stage.add("P4", "daemon killed, negotiator elsewhere", 1.0, took, f"{CONDOR_DAEMON_KILLED} s")
        self._managers.bury(life.manager, HAD)
        await self._watch.first_cycle(new)

    async def _second_return(self) -> None:
        old = await self._stage.bring_back()
        new = await self._watch.started(old.began)
        gap = new.began - await self._watch.ended(old)
        self._say(f"    Handed over again, {seconds(gap)} without a negotiator.")
        self._stage.add("P6", "primary returns again", 0.5, gap)
        await self._stage.compare("P6", "primary returns again, usage lost", old, new)
        await self._stage.settle()

    async def _switch_over(self) -> None:
        old = self._stage.running
        self._say(
            f"An operator moves leadership away from {self._stage.entry(old)}, as `hadctl switchover` does."
        )
        ad = ClassAd({"To": "", "Reason": "the demo", "By": "hadctl demo"})
        target = self._stage.configured.target(self._stage.entry(old))
        text = ""
        reply = await request(target, Command.HAD_SWITCHOVER, ad, self._stage.caller)
        while not reply.is_accepted:
            # A member whose copy of the accounts was a moment too old a moment ago is asked anew each T/2.
            if reply.text != text:
                self._say(f"    The leader refuses: {reply.text}. The operator asks again.")
            text = reply.text
            await trio.sleep(0.1)
            reply = await request(target, Command.HAD_SWITCHOVER, ad, self._stage.caller)
        self._say(f"    The leader's answer: {reply.text}.")
        new = await self._watch.started(old.began)
        gap = new.began - await self._watch.ended(old)
        self._say(f"    {self._stage.entry(new)} has it, after {seconds(gap)} without a negotiator.")
        self._stage.add("P3", "switchover, without a negotiator", 0.3, gap, f"{CONDOR_GRACEFUL_STOP} s")
        await self._stage.compare("P3", "switchover, usage lost", old, new)
        await self._watch.first_cycle(new)

    async def _resume(self) -> None:
        old = self._stage.running
        self._say(
            "Meanwhile the primary is held from leading; the operator ends that, as `hadctl resume` does."
        )
        target = self._stage.configured.target(self._stage.entry(old))
        await request(target, Command.HAD_RESUME, ClassAd({"By": "hadctl demo"}), self._stage.caller)
        new = await self._watch.started(old.began)
        gap = new.began - await self._watch.ended(old)
        self._say(f"    {self._stage.entry(new)} leads again, after {seconds(gap)} without a negotiator.")
        self._stage.add("P6", "hold ended, without a negotiator", 0.5, gap)
        await self._stage.compare("P6", "hold ended, usage lost", old, new)
        self._stage.show_pool(await self._stage.settle())
