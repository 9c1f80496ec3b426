"""A day in the life of a pool with a state, in virtual time: a switchover each minute, and nothing may grow.

Both machines of every host run as in `tests.simulation.replicated`, with the observers that make log, metrics, history and
lags of what they do. Every few seconds it is looked how much each of them holds (`tests.simulation.sizes`). What one
holds at most in the last part of the day must not be more than what it held at most in an earlier part, which begins
when there were more leaderships than a lineage names.

`python -m tests.simulation.day` runs a whole day, and prints what is large or has grown; the test runs a shorter one.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter

import attrs

import had.metrics
import had.telling
import replication.metrics
import replication.telling
from daemoncore.metrics import DaemonMetrics
from had import events as had_events
from had.custody import Informed
from had.election import Election
from had.status import HISTORY_LIMIT
from had.tandem import Act
from replication import effects, events
from replication.lag import ENTRIES_LIMIT
from replication.ledger import LED_LIMIT
from replication.version import LINEAGE_LIMIT
from tests.simulation.options import Options
from tests.simulation.replicated import ReplicatedPool
from tests.simulation.sizes import sizes
from tests.simulation.tandem_node import LinkedReplica, TandemNode
from tests.simulation.world import Violation

BOUNDS = {
    # These take longer than a short test to be as large as they get, so they are held to their limits.
    ".lag._known": ENTRIES_LIMIT,
    ".ledger.led": LED_LIMIT,
    ".lineage": LINEAGE_LIMIT,
    ".history": HISTORY_LIMIT,
}

SLACK = 6
"""A look may find a moment at which a few more things are under way than at any before."""

QUIET = Options(
    candidates=3,
    timeout_seconds=5.0,
    clock_drift=0.01,
    latency=(0.0002, 0.001),
    disk_delay=(0.001, 0.02),
    stop_timeout_seconds=2.0,
)


def _logger() -> logging.Logger:
    logger = logging.getLogger("tests.simulation.day")
    logger.propagate, logger.disabled = False, True
    return logger


class ToldHost(TandemNode):
    """A host whose election is observed as a daemon's is."""

    telling: had.telling.Telling

    def _new_machine(self, local: float) -> Election:
        common = DaemonMetrics("had", version="", revision="", start_time=0.0, routes=[])
        members = self.settings.members
        metrics = had.metrics.HadMetrics(
            common, me=self.name, members=members, controllee="keeper", now=0.0, boottime=self._local_now
        )
        self.telling = had.telling.Telling(_logger(), metrics, {m: m for m in members}, None)
        return super()._new_machine(local)

    def _handle(self, event: had_events.Event | Informed) -> None:
        super()._handle(event)
        if self.machine is not None:
            self.telling.turned(self.machine, event, self._last_local, 0.0)

    def _perform(self, effect: Act, local: float) -> None:
        if isinstance(effect, had_events.Transition):
            self.telling.transition(effect)
        elif isinstance(effect, had_events.Note):
            self.telling.note(effect)
        super()._perform(effect, local)


class ToldReplica(LinkedReplica):
    """A replica that is observed as a daemon's is."""

    telling: replication.telling.Telling

    def start(self) -> None:
        """Start the daemon, with its observers."""
        common = DaemonMetrics("replication", version="", revision="", start_time=0.0, routes=[])
        members = self.settings.members
        metrics = replication.metrics.ReplicationMetrics(common, me=self.name, members=members, files=["0"])
        self.telling = replication.telling.Telling(
            _logger(), metrics, {m: m for m in members}, wall_clock=lambda: self.world.now
        )
        super().start()

    def _handle(self, event: events.Event) -> None:
        super()._handle(event)
        if self.machine is not None:
            self.telling.turned(self.machine, event, self._last_local)

    def _perform(self, effect: effects.Effect) -> None:
        if isinstance(effect, effects.Transition):
            self.telling.transition(effect)
        elif isinstance(effect, effects.Remark):
            self.telling.remark(effect)
        super()._perform(effect)

    def scrape(self) -> None:
        """Bring the numbers up to date, as each fetch of /metrics does."""
        assert self.machine is not None
        self.telling.measure(self.machine, self._local_now())


class ToldPool(ReplicatedPool):
    """A pool of such hosts."""

    host_kind = ToldHost
    replica_kind = ToldReplica


@attrs.define
class Peaks:
    """What was held at most in each part of a life."""

    parts: list[Counter[str]] = attrs.field(factory=lambda: [Counter()])

    def look(self, pool: ToldPool) -> None:
        """Look at all machines and their observers."""
        now: Counter[str] = Counter()
        for node in pool.nodes:
            replica = node.replica
            assert isinstance(node, ToldHost)
            assert isinstance(replica, ToldReplica)
            replica.scrape()
            for one, name in (
                (node.tandem.election, "election"),
                (node.tandem.custody, "custody"),
                (node.telling, "had"),
                (replica.machine, "replica"),
                (replica.telling, "replication"),
            ):
                for way, length in sizes(one, f"{node.label}.{name}").items():
                    now[way] = length
        peaks = self.parts[-1]
        for way, length in now.items():
            peaks[way] = max(peaks[way], length)

    def begin_part(self) -> None:
        """From now on it is another part."""
        self.parts.append(Counter())

    def grown(self, early: int, late: int) -> list[str]:
        """Say what is larger in a later part than in an earlier one, or above its bound."""
        before, after = self.parts[early], self.parts[late]
        found = []
        for way, length in after.items():
            bound = next((limit for end, limit in BOUNDS.items() if way.endswith(end)), None)
            if bound is None and length > before[way] + SLACK:
                found.append(f"{way} held {before[way]} and then {length}")
            elif bound is not None and length > bound * _sharers(way, pool_size=QUIET.candidates):
                found.append(f"{way} holds {length}, its bound is {bound}")
        return found


def _sharers(way: str, pool_size: int) -> int:
    """How many things may lie on one way: one for each member, where it leads through a table of them."""
    return pool_size if "{}" in way or "[]" in way else 1


def live(pool: ToldPool, leaderships: int, seconds_each: float, peaks: Peaks | None = None) -> None:
    """Let a pool live through so many switchovers, and look at it twice in each leadership if that is wanted."""
    for _ in range(leaderships):
        leader = pool.leader()
        if leader is None:
            raise Violation(f"nobody leads: {pool.describe()}")
        place = pool.members.index(leader.name)
        to = pool.members[(place + 1) % len(pool.members)]
        leader.receive(had_events.SwitchoverRequested(pool.next_request(), to, "operator", "test", 0.0))
        end = pool.world.now + seconds_each
        for _ in range(2):
            pool.world.run_until(pool.world.now + pool.world.between(0.1, 0.5) * seconds_each)
            if peaks is not None:
                peaks.look(pool)
        pool.world.run_until(end)


def begin(seed: int = 1, **changes: float) -> ToldPool:
    """Start a pool and let it settle."""
    pool = ToldPool(attrs.evolve(QUIET, **changes), seed)
    pool.start_all()
    pool.world.run_until(3 * pool.timeout + 3)
    return pool


def main() -> int:
    """Live through a day."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.day", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--timeout", type=float, default=30.0, help="T")
    options = parser.parse_args()
    began = time.monotonic()
    pool, peaks = begin(timeout_seconds=options.timeout), Peaks()
    pool.write_seconds = (15.0, 45.0)
    for hour in range(1, options.hours + 1):
        live(pool, 60, 60.0, peaks)
        took = time.monotonic() - began
        print(f"hour {hour}: {pool.world.steps} steps, {took:.0f} s", file=sys.stderr, flush=True)
        if hour < options.hours:
            peaks.begin_part()
    # The first part in which a lineage is as long as it gets.
    early = min(2 + LINEAGE_LIMIT // 60, options.hours - 1)
    for way, length in peaks.parts[-1].most_common(12):
        print(f"{way}: {peaks.parts[0][way]} in the first hour, {length} in the last")
    grown = peaks.grown(early, options.hours - 1)
    print("\n".join(grown) or f"nothing is larger in hour {options.hours} than in hour {early + 1}")
    return int(bool(grown))


if __name__ == "__main__":
    sys.exit(main())
