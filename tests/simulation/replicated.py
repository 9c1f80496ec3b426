"""A pool whose hosts run both daemons: the election and the replica together, with a controllee that writes.

had's side of the two, which `had` itself has to do, is in `ReplicatedNode`: it asks its replica before it starts a
controllee and tells it that it leads; after a stop it has the last version flushed before the handover completes; it
says each T/2 whether it leads.

`python -m tests.simulation.replicated SEED [-v|-t]` replays a seed, `--count N --start S` runs many.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from had import events
from had.transitions import State
from replication import effects as replica_effects
from replication import events as replica_events
from replication.effects import Currency
from replication.replica_settings import ReplicaSettings
from tests.simulation.controllee import Guard, Phase
from tests.simulation.faults import Chaos
from tests.simulation.keeper import Keeper
from tests.simulation.network import PROCESS_DOWN, PROCESS_UP, Network
from tests.simulation.node import Node
from tests.simulation.options import TIMEOUTS, Options
from tests.simulation.pool import Pool
from tests.simulation.replicas import Content, ReplicaNode
from tests.simulation.world import Timer, Violation

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


@attrs.define(slots=True)
class Waiting:
    """A question to the replica: what to do with its answer, and without one."""

    act: Callable[[replica_effects.Answer | None], None]
    timer: Timer


class ReplicatedNode(Node):
    """One host with both daemons; `replica` is set by the pool."""

    replica: ReplicaNode
    pool: ReplicatedPool

    def join(self, pool: ReplicatedPool, replica: ReplicaNode) -> None:
        """Put the two daemons of a host together."""
        self.pool, self.replica = pool, replica
        replica.on_answer = self._answered
        replica.on_start = lambda: self.world.after(0.005, self._confirm)
        self._questions: dict[int, Waiting] = {}
        self._asked = 0
        self._started: tuple[int, int] | None = None
        self._epoch_told: int | None = None
        self._last_told = 0.0
        self._pen: Timer | None = None
        self._run = 0
        self._records = 0
        self._confirm_for_ever()

    @property
    def is_controllee_there(self) -> bool:
        """Tell whether a controllee runs, or begins to."""
        return self.guard.phase is not Phase.STOPPED

    # --- life -------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL: the replica sees the connection end."""
        was_up = self.is_up
        super().kill()
        if was_up:
            self._tell(replica_events.LeadershipEnded(is_stopped=False))

    def host_death(self) -> None:
        """Power is cut."""
        super().host_death()
        self.replica.host_death()

    def host_return(self, *, is_disk_lost: bool = False) -> None:
        """Both daemons are started."""
        super().host_return(is_disk_lost=is_disk_lost)
        self.replica.host_return()

    def thaw(self) -> None:
        """SIGCONT: what it was to say is overdue."""
        super().thaw()
        self._confirm()

    def _end_process(self) -> None:
        super()._end_process()
        self._epoch_told = self._started = None
        for waiting in self._questions.values():
            waiting.timer.cancel()
        self._questions.clear()

    # --- talking to the replica -------------------------------------------------------------------------------

    def _tell(self, event: replica_events.Event) -> None:
        self._last_told = max(self._last_told, self.world.now + 0.0005)
        self.world.at(self._last_told, self.replica.receive, event)

    def _ask(
        self,
        make: Callable[[int], replica_events.Event],
        seconds: float,
        act: Callable[[replica_effects.Answer | None], None],
    ) -> int:
        self._asked += 1
        request = self.instance * 1_000_000 + self._asked
        timer = self.world.after(seconds, self._deliver, request, None, self.world.now)
        self._questions[request] = Waiting(act, timer)
        self._tell(make(request))
        return request

    def _answered(self, answer: replica_effects.Answer) -> None:
        self.world.after(0.0005, self._deliver, answer.request, answer, self.world.now)

    def _deliver(self, request: int, answer: replica_effects.Answer | None, since: float) -> None:
        if self.process not in (PROCESS_UP, PROCESS_DOWN) and request in self._questions:
            # A frozen daemon finds the answer when it wakes.
            self.world.after(0.05, self._deliver, request, answer, since)
            return
        waiting = self._questions.pop(request, None)
        if waiting is not None:
            waiting.timer.cancel()
            is_good = (
                answer is None
                or not answer.good_for_seconds
                or self.world.now - since < answer.good_for_seconds
            )
            waiting.act(answer if is_good else None)

    def _confirm_for_ever(self) -> None:
        self._confirm()
        self.world.after(self.timeout_seconds / 2, self._confirm_for_ever)

    def _confirm(self) -> None:
        if self.process != PROCESS_UP or self.machine is None:
            return
        if self._epoch_told is not None:
            self._tell(replica_events.LeadershipConfirmed(self._epoch_told))
        elif self._started is None:
            self._tell(replica_events.LeadershipEnded(is_stopped=True))

    # --- had's side -------------------------------------------------------------------------------------------

    def _perform(self, effect: events.Effect, local: float) -> None:
        kind = type(effect)
        if kind is events.StartControllee:
            self._ask_to_start(effect.epoch)
        elif kind is events.StopControllee and self._started is not None:
            self._tell(replica_events.Withdrawn(self._started[0]))
            self._started = None
            super().receive(events.ControlleeExited("requested"))
        else:
            super()._perform(effect, local)
        if kind is events.PublishEpoch and self._epoch_told is not None:
            # A leader took a later epoch without a stop: the history branches there too.
            self._epoch_told = effect.epoch
            self._confirm()
        if kind is events.Transition and effect.source is State.LEADER:
            self._epoch_told = None
            self._tell(replica_events.LeadershipEnded(is_stopped=True))

    def _ask_to_start(self, epoch: int) -> None:
        def make(request: int) -> replica_events.Event:
            return replica_events.CurrentAsked(request)

        def act(answer: replica_effects.Answer | None) -> None:
            self._may_start(epoch, answer)

        patience = self.pool.lifetime_seconds + 1 if self.replica.is_up else self.timeout_seconds
        self._started = (self._ask(make, patience, act), epoch)

    def _may_start(self, epoch: int, answer: replica_effects.Answer | None) -> None:
        if self._started is None or self._started[1] != epoch or self.machine is None:
            return
        if answer is None and self.replica.is_up:
            self._ask_to_start(epoch)
            return
        self._started = None
        currency = Currency.STALE if answer is None else answer.currency
        self._epoch_told = epoch
        self._tell(replica_events.LeadershipBegan(epoch))
        self.world.tell(self.label, f"starts on a state that is {currency.value}")
        if self.pool.is_quiet:
            self.pool.keeper.starts(self.replica, currency, self.pool.replicas)
        flushed = self.pool.flushed
        if flushed and flushed[0] == self.name and flushed[1] > self.world.now - 1:
            self.pool.keeper.handed_over(self.replica, flushed[2], flushed[1])
        self.pool.flushed = None
        self.guard.start(epoch)

    def receive(self, event: events.Event) -> None:
        """Take an event; the end of a controllee that is handed over waits for the flush."""
        machine = self.machine
        is_handover = (
            machine is not None and machine.handing_over is not None and self._epoch_told is not None
        )
        if isinstance(event, events.ControlleeExited) and is_handover and self.process == PROCESS_UP:
            self._flush(event)
        else:
            super().receive(event)

    def _flush(self, event: events.ControlleeExited) -> None:
        assert self.machine is not None
        successor, seconds = self.machine.successor, self.pool.options.stop_timeout_seconds
        content = self.replica.disk.content or ()

        def make(request: int) -> replica_events.Event:
            return replica_events.FlushAsked(request, seconds, successor)

        def act(answer: replica_effects.Answer | None) -> None:
            is_complete = answer is not None and answer.is_complete
            self.world.tell(
                self.label, f"flushed to {successor}: {answer.text or 'all' if answer else 'no answer'}"
            )
            if is_complete and successor is not None:
                self.pool.flushed = (successor, self.world.now, content)
            super(ReplicatedNode, self).receive(event)

        self._ask(make, seconds + 0.1, act)

    # --- the controllee ---------------------------------------------------------------------------------------

    def _new_guard(self, old: Guard | None = None) -> Guard:
        guard = super()._new_guard(old)
        on_run, on_gone = guard._on_run, guard._on_gone

        def runs(epoch: int) -> None:
            self._run, self._records = self.pool.next_run(), 0
            on_run(epoch)
            self._keep_writing()

        def gone(reason: str) -> None:
            if self._pen:
                self._pen.cancel()
            if reason == "requested" and self.world.chance(0.5):
                self._append()
            on_gone(reason)

        guard._on_run, guard._on_gone = runs, gone
        return guard

    def _keep_writing(self) -> None:
        if not self.pool.is_silent:
            self._append()
        low, high = self.pool.write_seconds
        self._pen = self.world.after(self.world.between(low, high), self._keep_writing)

    def _append(self) -> None:
        self._records += 1
        disk = self.replica.disk
        disk.content = (*(disk.content or ()), (self._run, self._records))
        self.replica.written()


class ReplicatedPool(Pool):
    """All hosts of one run, with both daemons."""

    nodes: list[ReplicatedNode]  # type: ignore[assignment]

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

    def _node(self, member: str) -> ReplicatedNode:
        if self.keeper is None:
            self.keeper = Keeper(self.world)
            self.replica_network = Network(self.world, self.options.latency)
            for name in ("cuts", "one_way", "weather"):
                setattr(self.replica_network, name, getattr(self.network, name))
        drift = self.options.clock_drift
        base = super()._node(member)
        node = ReplicatedNode(self.world, self.network, self.watch, base.settings, base.clock)
        node.disk.delay = self.options.disk_delay
        del drift
        settings = ReplicaSettings(
            member, self.options.members, self.timeout, self.lifetime_seconds, 2 * self.timeout + 2
        )
        replica = ReplicaNode(
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
    share = dice.choice((0.0, 0.1, 0.2, 0.4, 0.8))
    return Options(
        candidates=dice.choice((2, 2, 3, 3, 4)),
        timeout_seconds=timeout,
        use_primary=dice.random() < 0.5,
        clock_drift=dice.choice((0.0, 0.01)),
        latency=dice.choice(((0.0002, 0.001), (0.0, 0.02 * timeout))),
        disk_delay=(0.001, 0.02),
        start_skew_seconds=dice.choice((0.0, 0.05, timeout)),
        chaos_timeouts=25.0,
        gap_timeouts=dice.choice((0.5, 1.0, 3.0)),
        kinds=tuple(k for k in KINDS if dice.random() < share),
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
    world.tell("**", f"all mended, dead for good: {sorted(dead) or 'nobody'}")
    pool.restore(dead)
    world.run_until(world.now + 3 * pool.timeout + 1)
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
    failed = conflicts = installations = 0
    for seed in seeds or known_failures():
        pool, violation = run(seed, is_tracing=options.trace)
        conflicts += pool.keeper.conflicts
        installations += pool.keeper.installations
        failed += violation is not None
        if options.verbose or options.trace:
            print("\n".join(pool.world.lines))
        if violation is not None:
            print(f"seed {seed}: {violation[:400]}", flush=True)
    print(f"{failed} failed; {installations} installations, {conflicts} conflicts")
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
