"""A pool whose hosts run both daemons: the election and the replica together, with a controllee that writes.

A host is a `TandemNode` (`tests.simulation.tandem_node`): the election, had's custody of the state and the replica are the
objects that the daemons run.

`python -m tests.simulation.replicated SEED [-v|-t]` replays a seed, `--count N --start S` runs many.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import attrs

from had import events
from had.election_settings import ElectionSettings
from replication.replica_settings import ReplicaSettings
from tests.simulation.faults import Chaos
from tests.simulation.keeper import Keeper
from tests.simulation.merging import merge_all, schedule_some
from tests.simulation.network import Network
from tests.simulation.options import TIMEOUTS, VOTING_KINDS, Options
from tests.simulation.pool import Pool
from tests.simulation.replicas import Content, ReplicaNode
from tests.simulation.tandem_node import LinkedReplica, TandemNode
from tests.simulation.world import Violation

FAILING_SEEDS = Path(__file__).with_name("failing_replica_seeds.txt")

KINDS = (
    "kill",
    "host",
    "freeze",
    "cut",
    "partition",
    "one_way",
    "weather",
    "die",
    "stop",
    "switchover",
    "pause",
    "hard",
    "replica_kill",
    "replica_freeze",
    "replica_disk",
    "transfers",
    "intruder",
)


FIRST_MAJORITY_SEED = 6_000_000
"""Seeds before this one draw no majority, so that those which failed once replay what they found."""


class ReplicatedPool(Pool):
    """All hosts of one run, with both daemons."""

    nodes: list[TandemNode]  # type: ignore[assignment]
    #: What the two daemons of a host are.
    host_kind: type[TandemNode] = TandemNode
    replica_kind: type[LinkedReplica] = LinkedReplica

    def __init__(self, options: Options, seed: int = 0, *, is_tracing: bool = False):
        self.keeper: Keeper | None = None  # type: ignore[assignment]
        self.flushed: tuple[str, float, Content] | None = None
        self.is_silent = False
        self._run_count = 0
        super().__init__(options, seed, is_tracing=is_tracing)
        self.write_seconds = self.world.dice.choice(((0.02, 0.1), (0.1, 1.0), (1.0, 5.0)))
        slow = self.timeout * 20 / self.write_seconds[0]
        if slow > 2000:
            self.write_seconds = (0.2, 2.0)

    @property
    def lifetime_seconds(self) -> float:
        """MAX_TRANSFER_LIFETIME."""
        return 4 * self.timeout + 5

    def settings_of(self, member: str) -> ElectionSettings:
        """Return a member's configuration: had knows of its replica."""
        return attrs.evolve(super().settings_of(member), has_replica=True)

    def _node(self, member: str) -> TandemNode:
        if self.keeper is None:
            self.keeper = Keeper(self.world)
            self.replica_network = Network(self.world, self.options.latency)
            for name in ("cuts", "one_way", "weather"):
                setattr(self.replica_network, name, getattr(self.network, name))
        drift = self.options.clock_drift
        base = super()._node(member)
        node = self.host_kind(self.world, self.network, self.watch, base.settings, base.clock)
        node.disk.delay = self.options.disk_delay
        del drift
        settings = ReplicaSettings(
            member, self.options.members, self.timeout, self.lifetime_seconds, 2 * self.timeout + 2
        )
        replica = self.replica_kind(
            self.world,
            self.replica_network,
            self.keeper,
            settings,
            base.clock,
            lambda: node.is_controllee_there,
        )
        node.join(self, replica)
        return node

    @property
    def replicas(self) -> list[ReplicaNode]:
        """The replication daemons."""
        return [n.replica for n in self.nodes]

    @property
    def is_quiet(self) -> bool:
        """Tell whether nothing has disturbed network, disks and transfers for some time."""
        seconds = 3 * self.timeout + 3
        return self.network.is_quiet_since(seconds) and self.replica_network.is_quiet_since(seconds)

    def next_run(self) -> int:
        """Number a controllee's run."""
        self._run_count += 1
        return self._run_count

    def start_all(self, skew_seconds: float = 0.0) -> None:
        """Start every daemon."""
        super().start_all(skew_seconds)
        for replica in self.replicas:
            self.world.after(self.world.between(0, skew_seconds) if skew_seconds else 0.0, replica.start)

    def restore(self, dead: frozenset[str] = frozenset()) -> None:
        """Put everything back but hosts that stay dead."""
        super().restore(dead)
        for node in self.nodes:
            if node.name not in dead:
                node.replica.thaw()
                node.replica.start()

    def are_equal(self) -> bool:
        """Tell whether every replica that is up holds what the leader holds, and that is all there is."""
        leader = self.leader()
        if leader is None:
            return False
        machine = leader.replica.machine
        if (
            machine is None
            or machine.ledger.own is None
            or machine.ledger.own.held.files != leader.replica.disk.files
        ):
            return False
        up = [r.machine for r in self.replicas if r.machine is not None]
        own = machine.version
        # One that led in another partition and grew out of this leader's version has all of it, until that changes.
        return own is not None and all(m.version is not None and m.version.has(own.point) for m in up)

    def describe(self) -> str:
        """Say how every node stands."""
        parts = [super().describe()]
        for replica in self.replicas:
            m = replica.machine
            state = "down" if m is None else f"{m.state.value} look {m.look.value} download {m.download}"
            parts.append(
                f"{replica.label}: {replica._held_text()} {state}, {len(replica.disk.content or ())} records"
            )
        return "; ".join(parts)


class ReplicaChaos(Chaos):
    """The election's faults, and those of the replicas."""

    pool: ReplicatedPool

    def _replica(self) -> ReplicaNode:
        return self._ours().replica

    def _replica_kill(self) -> None:
        replica = self._replica()
        replica.kill()
        self.pool.replica_network.disturb(1)
        self.pool.replica_network.disturb(-1)
        self._until(self.world.dice.choice(((0, 0.02), (0, 2))), replica.start)

    def _replica_freeze(self) -> None:
        replica = self._replica()
        replica.freeze()
        self.pool.replica_network.disturb(1)

        def undo() -> None:
            replica.thaw()
            self.pool.replica_network.disturb(-1)

        self._until(self.world.dice.choice(((0, 0.5), (0.5, 4))), undo)

    def _replica_disk(self) -> None:
        disk = self._replica().disk
        self.pool.replica_network.disturb(1)
        disk.failure = self.world.dice.choice((0.0, 0.5, 1.0))
        disk.delay = self.world.dice.choice(((0.001, 0.02), (0.0, 1.0)))
        self._say(f"a disk fails {disk.failure}, takes {disk.delay}")

        def undo() -> None:
            disk.failure, disk.delay = 0.0, (0.001, 0.02)
            self.pool.replica_network.disturb(-1)

        self._until((0.5, 5), undo)

    def _transfers(self) -> None:
        weather = self.pool.keeper.transfers
        weather.seconds = (0.0, self.world.dice.choice((0.05, 1, 3 * self.pool.timeout)))
        weather.failure = self.world.dice.choice((0.0, 0.5))
        weather.endless = self.world.dice.choice((0.0, 0.0, 0.3))
        self._say(f"transfers: {weather}")
        self.pool.replica_network.disturb(1)

        def undo() -> None:
            weather.seconds, weather.failure, weather.endless = (0.002, 0.05), 0.0, 0.0
            self.pool.replica_network.disturb(-1)

        self._until((1, 6), undo)

    def _merge(self) -> None:
        schedule_some(self.pool)

    def _intruder(self) -> None:
        """Somebody edits the state file of a node that does not lead."""
        node = self.world.dice.choice(self.pool.nodes)
        if node.is_controllee_there or node.is_leading or node.replica.disk.content is None:
            return
        self._say(f"{node.label}: the state is edited")
        self.pool.keeper.has_intruders = node.replica.was_altered = True
        node.replica.disk.content = (*node.replica.disk.content, (-self.pool.next_run(), 0))
        self.pool.replica_network.disturb(1)
        self.pool.replica_network.disturb(-1)


def draw(seed: int) -> Options:
    """Draw a seed's options."""
    dice = random.Random(seed * 6007 + 5)
    timeout = dice.choice(TIMEOUTS[:4])
    # Dice of its own, so that a seed from before there were merges is what it was.
    is_merging = random.Random(seed * 31 + 7).random() < 0.5
    share = dice.choice((0.0, 0.1, 0.2, 0.4, 0.8))
    votes = random.Random(seed * 37 + 11)
    has_majority = seed >= FIRST_MAJORITY_SEED and votes.random() < 0.6
    voting_kinds = [k for k in VOTING_KINDS if has_majority and votes.random() < 0.3]
    return Options(
        majority=has_majority,
        candidates=dice.choice((2, 2, 3, 3, 4)),
        timeout_seconds=timeout,
        use_primary=dice.random() < 0.5,
        clock_drift=dice.choice((0.0, 0.01)),
        latency=dice.choice(((0.0002, 0.001), (0.0, 0.02 * timeout))),
        disk_delay=(0.001, 0.02),
        start_skew_seconds=dice.choice((0.0, 0.05, timeout)),
        chaos_timeouts=25.0,
        gap_timeouts=dice.choice((0.5, 1.0, 3.0)),
        kinds=(
            *(k for k in KINDS if dice.random() < share),
            *(["merge"] if is_merging else []),
            *voting_kinds,
        ),
        stop_timeout_seconds=dice.choice((0.5, 2.0)),
    )


def story(pool: ReplicatedPool) -> None:
    """Start, break, mend, and see that all replicas become one."""
    world = pool.world
    pool.start_all(pool.options.start_skew_seconds)
    world.run_until(3 * pool.timeout + 2)
    chaos = ReplicaChaos(pool)
    chaos.begin()
    world.run_until(world.now + pool.options.chaos_timeouts * pool.timeout)
    chaos.end()
    world.run_until(world.now + 1.2 + 2 * pool.options.stop_timeout_seconds)
    names = [n.name for n in pool.nodes]
    dead = frozenset(
        world.dice.sample(names, world.dice.randint(1, len(names) - 1)) if world.chance(0.2) else ()
    )
    if pool.options.majority and 2 * len(dead) >= len(names):
        dead = frozenset()
    world.tell("**", f"all mended, dead for good: {sorted(dead) or 'nobody'}")
    pool.bring_back(dead)
    for node in pool.nodes:
        if node.is_up and node.machine is not None and (node.machine.is_paused or node.machine.hold):
            node.receive(events.ResumeRequested(pool.next_request()))
            break
    pool.settle(20 * pool.timeout + 30 + 2 * pool.options.stop_timeout_seconds, "everything was mended")
    bound = 6 * pool.timeout + 18
    pool.is_silent = True
    if not world.run_while(lambda: not pool.are_equal(), world.now + bound):
        raise Violation(f"liveness: replicas differ {bound:.1f} s after all was mended: {pool.describe()}")
    count, changes = pool.keeper.installations, len(pool.watch.transitions)
    world.run_until(world.now + 3 * pool.timeout)
    is_resting = pool.are_equal() and pool.keeper.installations == count
    if not is_resting and len(pool.watch.transitions) == changes:
        raise Violation(f"liveness: replicas do not rest: {pool.describe()}")
    merge_all(pool)


def run(
    seed: int, options: Options | None = None, *, is_tracing: bool = False
) -> tuple[ReplicatedPool, str | None]:
    """Simulate one seed; return the pool and what does not hold."""
    pool = ReplicatedPool(options or draw(seed), seed, is_tracing=is_tracing)
    try:
        story(pool)
    except AssertionError as found:
        frame = found.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""
        kind = "" if isinstance(found, Violation) else f"assertion {found!r} at {where}: "
        return pool, f"at {pool.world.now:.3f}: {kind}{found}"
    return pool, None


def known_failures() -> list[int]:
    """Return the seeds that failed at some time."""
    lines = FAILING_SEEDS.read_text().splitlines() if FAILING_SEEDS.exists() else []
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def main() -> int:
    """Replay or search."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.replicated")
    parser.add_argument("seed", nargs="*", type=int)
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("-t", "--trace", action="store_true")
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--count", type=int, default=0)
    options = parser.parse_args()
    seeds = range(options.start, options.start + options.count) if options.count else options.seed
    failed = conflicts = installations = revisions = steps = 0
    for seed in seeds or known_failures():
        pool, violation = run(seed, is_tracing=options.trace)
        conflicts += pool.keeper.conflicts
        installations += pool.keeper.installations
        revisions += pool.keeper.revisions
        steps += pool.watch.steps
        failed += violation is not None
        if options.verbose or options.trace:
            print("\n".join(pool.world.lines))
        if violation is not None:
            print(f"seed {seed}: {violation[:400]}", flush=True)
    found = f"{installations} installations, {conflicts} conflicts, {revisions} merges"
    print(f"{failed} failed; {steps} steps of elections, {found}")
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
