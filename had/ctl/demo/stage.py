"""What every act needs: the players, a way to look and to speak, and the list of what was measured."""

from __future__ import annotations

import sys
from collections.abc import Callable

import attrs
import trio

from had.ctl import tables, verdict
from had.ctl.configured import Configured
from had.ctl.demo.books import Books
from had.ctl.demo.managers import MANAGERS, Managers
from had.ctl.demo.measurement import Measurement, usage
from had.ctl.demo.place import Place
from had.ctl.demo.watching import Life, Watch
from had.ctl.pool import Pool


class UnplayableError(Exception):
    """An act cannot be played, because one before it did not end as it should; the sentence says what is missing."""


class Stage:
    """The stage of one performance.

    Args:
        place: where the files are.
        managers: the players.
        watch: sees the negotiators.
        configured: the pool, for asking it.
        say: prints a line, with the time.
    """

    def __init__(
        self,
        place: Place,
        managers: Managers,
        watch: Watch,
        configured: Configured,
        say: Callable[[str], None],
    ) -> None:
        self._place = place
        self.managers = managers
        self.watch = watch
        self.books = Books(place)
        self.configured = configured
        self.caller = configured.caller()
        self.say = say
        self.timeout_seconds = configured.connection_timeout_seconds
        self.measurements: list[Measurement] = []
        #: Usage that some host wrote and nobody had taken over when it died.
        self.stranded_seconds = 0.0

    def add(
        self, promise: str, situation: str, limit: float, measured: float | None, condor: str = ""
    ) -> None:
        """Note what was measured, in seconds of time."""
        self.measurements.append(Measurement(promise, situation, limit, measured, condor))

    def add_usage(
        self, promise: str, situation: str, missing_seconds: float | None, condor: str = ""
    ) -> None:
        """Note how much usage is missing, where none may be."""
        self.measurements.append(Measurement(promise, situation, 0.0, missing_seconds, condor, is_usage=True))

    def entry(self, life: Life) -> str:
        """Return where a negotiator runs, as HAD_LIST spells it."""
        return self.configured.members[MANAGERS.index(life.manager)].entry

    @property
    def running(self) -> Life:
        """The one negotiator that runs.

        Raises:
            UnplayableError: there is none, or more than one.
        """
        found = self.watch.running
        if len(found) != 1:
            raise UnplayableError(f"{len(found) or 'no'} negotiators run")
        return found[0]

    async def bring_back(self) -> Life:
        """Start the manager that is missing; return the negotiator that runs meanwhile.

        Raises:
            UnplayableError: none is missing, or no negotiator runs.
        """
        old = self.running
        missing = next((name for name in MANAGERS if self.managers.pid(name) is None), None)
        if missing is None:
            raise UnplayableError("all managers are there")
        self.say(f"{missing} comes back; it is first in HAD_LIST, the primary.")
        self.managers.start(missing)
        return old

    async def everybody_has_it(self, leader: Life) -> float:
        """Wait until a next change is in everybody's file, and return the most that anybody else has charged.

        What happens then happens between two cycles, with nothing on its way.
        """
        others = [name for name in MANAGERS if name != leader.manager]
        await self.books.spread_seconds(leader.manager, others)
        return max(self.books.of(name).total_seconds for name in others)

    async def compare(self, promise: str, situation: str, old: Life, new: Life, condor: str = "") -> None:
        """After a handover, hold what the new negotiator began with against the last words of the old one."""
        before, after = await self.watch.own_words(old), await self.watch.own_words(new)
        lost = max(0.0, before.last_seconds - after.found_seconds)
        self.say(
            f"    The old one ended with {before.last_seconds:.0f} s of usage charged, the new one began with"
            f" {after.found_seconds:.0f} s (HAD_STATE={after.state}): lost is {usage(lost)}."
        )
        self.add_usage(promise, situation, lost, condor)

    async def ask(self) -> Pool:
        """Ask all daemons."""
        return await self.configured.ask_all(self.caller)

    async def settle(self) -> Pool:
        """Wait until the members themselves find the pool in order; that something is kept for people does not count."""
        pool = await self.ask()
        while verdict.problems(without_conflicts(pool)):
            await trio.sleep(0.05)
            pool = await self.ask()
        return pool

    def show(self, text: str) -> None:
        """Print a table below the line before."""
        for line in filter(None, text.splitlines()):
            self.say(f"    {line}")

    def show_pool(self, pool: Pool) -> None:
        """Print what `hadctl status` prints."""
        self.show(tables.status_text(pool))

    async def hadctl(self, *words: str, is_short: bool = False) -> int:
        """Run `hadctl` as an operator would, print what it prints, and return its exit status.

        Args:
            words: its arguments.
            is_short: leave its tables away, and print only what it says.
        """
        argv = [sys.executable, "-P", "-m", "had.ctl", *words, "-c", str(self._place.configuration)]
        done = await trio.run_process(
            argv, env=self.managers.environment, capture_stdout=True, capture_stderr=True, check=False
        )
        self.say(f"    $ hadctl {' '.join(words)}")
        if not is_short:
            self.show(done.stdout.decode("utf-8", "replace"))
        self.show(done.stderr.decode("utf-8", "replace"))
        return done.returncode


def without_conflicts(pool: Pool) -> Pool:
    """Take out of what the replicas say that they keep diverged states, which stay until somebody looks at them."""
    if pool.replicas is None:
        return pool
    answers = {
        entry: answer
        if answer.status is None
        else attrs.evolve(answer, status=attrs.evolve(answer.status, conflicts=()))
        for entry, answer in pool.replicas.answers.items()
    }
    return attrs.evolve(pool, replicas=attrs.evolve(pool.replicas, answers=answers))
