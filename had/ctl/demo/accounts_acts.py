"""The acts about the negotiator's accounts: usage grows on every manager, diverges, is kept, and is merged."""

from __future__ import annotations

import trio

from had.ctl import tables
from had.ctl.demo.managers import MANAGERS, REPLICATION
from had.ctl.demo.measurement import seconds
from had.ctl.demo.stage import Stage
from had.ctl.demo.watching import Life
from had.ctl.kept import Kept, kept_states
from had.ctl.replica_tables import KEPT_COLUMNS, REPLICA_COLUMNS, kept_rows, replica_rows

#: How many writes are timed on their way to all copies.
TIMED_WRITES = 3
#: How many cycles a negotiator writes alone, so that there is something to tell apart.
CYCLES_ALONE = 2


class AccountsActs:
    """These acts, played in this order.

    Args:
        stage: where they are played.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def usage_grows(self) -> None:
        """Time some writes of the leader on their way to the other copies."""
        stage = self._stage
        life = stage.running
        stage.say("The negotiator charges users for what they use; had-replication copies each change.")
        others = [name for name in MANAGERS if name != life.manager]
        taken = [await stage.books.spread_seconds(life.manager, others) for _ in range(TIMED_WRITES)]
        listed = ", ".join(seconds(one) for one in taken)
        stage.say(
            f"    {TIMED_WRITES} changes were in the files of both other managers after {listed}."
            " Usage, by each manager's own file:"
        )
        stage.show(stage.books.table())
        stage.add("R1", "a change of the accounts, on all managers", 1.0, max(taken), "up to 300 s")
        pool = await stage.settle()
        if pool.replicas is not None:
            stage.show(tables.render(REPLICA_COLUMNS, replica_rows(pool.replicas)))

    async def write_alone(self) -> None:
        """Let the leader write what nobody else has, let its host die, and let the next one write."""
        stage = self._stage
        old = stage.running
        stage.say(
            f"Killing had-replication of {stage.entry(old)}: what its negotiator writes now, nobody else has."
        )
        stage.managers.kill(old.manager, REPLICATION)
        stage.managers.bury(old.manager, REPLICATION)
        for _ in range(CYCLES_ALONE):
            await stage.books.written(old.manager)
        stage.say("    Now its host dies as well.")
        fault = trio.current_time()
        stage.managers.silence(old.manager)
        new = await stage.watch.started(fault)
        begun = await stage.watch.own_words(new)
        written = stage.books.of(old.manager).total_seconds
        missing = written - begun.found_seconds
        stage.stranded_seconds += missing
        stage.say(
            f"    {stage.entry(new)} took over after {seconds(new.began - fault)} with {begun.found_seconds:.0f} s of usage"
            f" (HAD_STATE={begun.state}). {stage.entry(old)} had charged {written:.0f} s:"
        )
        stage.say(f"    {missing:.0f} s are on the dead host's disk only. Meanwhile the new one charges on:")
        stage.managers.bury_host(old.manager)
        for _ in range(CYCLES_ALONE):
            await stage.books.written(new.manager)
        stage.show(stage.books.table())

    async def keep_what_diverged(self) -> None:
        """Bring the dead host back: its state has diverged, and is kept."""
        stage = self._stage
        old = await stage.bring_back()
        new = await stage.watch.started(old.began)
        stage.say(
            f"    It fetched what {stage.entry(old)} holds, and leads. What it had itself was not thrown away:"
        )
        gap = new.began - await stage.watch.ended(old)
        stage.add("P6", "primary with a diverged state returns", 0.5, gap)
        await stage.compare("P6", "the same, usage of the stand-in lost", old, new)
        stage.say("    `hadctl conflicts list` shows it:")
        stage.show(tables.render(KEPT_COLUMNS, kept_rows(await self._conflicts())))

    async def _conflicts(self) -> list[Kept]:
        """Wait until somebody says that he keeps a diverged state; return all that are kept."""
        stage = self._stage
        while True:
            pool = await stage.ask()
            kept = [] if pool.replicas is None else kept_states(pool.replicas)
            if kept:
                return kept
            await trio.sleep(0.05)

    async def merge(self) -> None:
        """Merge it, as an operator does, and check the sum."""
        stage = self._stage
        old = stage.running
        stage.say("An operator looks at what a merge would do, and merges. The negotiator restarts for it.")
        await stage.hadctl("conflicts", "merge", "--dry-run")
        situation = "usage of either side missing or there twice, merged"
        # Its tables are those of the dry run.
        if await stage.hadctl("conflicts", "merge", "--yes", is_short=True):
            stage.add_usage("P7", situation, None)
            return
        new = await stage.watch.started(old.began)
        await self._check(old, new, situation)
        stage.say("In the end, by each manager's own file:")
        await stage.settle()
        await stage.everybody_has_it(new)
        stage.show(stage.books.table())

    async def _check(self, old: Life, new: Life, situation: str) -> None:
        stage = self._stage
        last = (await stage.watch.own_words(old)).last_seconds
        found = (await stage.watch.own_words(new)).found_seconds
        wanted = last + stage.stranded_seconds
        stage.say(
            f"    The stopped negotiator had {last:.0f} s, what was kept added {stage.stranded_seconds:.0f} s,"
            f" and the new one began with {found:.0f} s: {self._word(found - wanted)}."
        )
        stage.add_usage("P7", situation, abs(found - wanted))

    @staticmethod
    def _word(difference: float) -> str:
        if difference:
            return f"{abs(difference):.0f} s {'too much' if difference > 0 else 'too little'}"
        return "everything once"
