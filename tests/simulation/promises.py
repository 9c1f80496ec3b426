"""The promises of the contract, measured in a pool that has settled (P1 to P8 and P10, T = HAD_CONNECTION_TIMEOUT).

Each check does one thing to a settled pool with a quiet network, holds what follows against the promised bound, and
leaves a settled pool behind. The bounds are the contract's, in true time; what they contain of clock drift, disk
and process start is part of the promise.
"""

from __future__ import annotations

import attrs

from had import events
from tests.simulation.invariants import Run
from tests.simulation.node import Node
from tests.simulation.pool import Pool
from tests.simulation.world import Violation


class Promises:
    """Measures promises, one after another, on one pool."""

    def __init__(self, pool: Pool):
        self.pool = pool
        self.world = pool.world
        self.t = pool.timeout
        self.stop = pool.options.stop_timeout_seconds

    CHECKS = (
        "host_death",
        "black_hole",
        "sigterm",
        "kill",
        "freeze",
        "die",
        "switchover",
        "partition",
        "partial_cut",
        "soft",
    )

    def check_some(self, count: int) -> None:
        """Measure so many promises, drawn at random."""
        for _ in range(count):
            name = self.world.dice.choice(self.pool.options.promise_names or self.CHECKS)
            self.world.tell("**", f"promise: {name}")
            getattr(self, "_" + name)()
            self._rest(name)

    def _rest(self, why: str) -> None:
        """Mend what the check broke, lift holds, and wait until the pool is as good as new."""
        self.pool.restore(self.pool_dead)
        self.world.run_until(self.world.now + 2 * self.t + 1)
        if any(n.machine and n.machine.hold for n in self.pool.nodes):
            self._leader().receive(events.ResumeRequested(self.pool.next_request()))
        self.pool.settle(self.settle_bound, f"promise {why}")
        self.world.run_until(self.world.now + self.pool.watch.settle_seconds)
        self.pool.stay(2 * self.t, f"promise {why}")

    pool_dead: frozenset[str] = frozenset()

    @property
    def settle_bound(self) -> float:
        """How long a pool may take to settle after everything was mended."""
        o = self.pool.options
        backoff = o.backoff_ceiling_seconds + o.backoff_constant_seconds
        return 5 * self.t + 3 + 2 * self.stop + backoff + o.restart_window_seconds

    def _leader(self) -> Node:
        leader = self.pool.leader()
        assert leader is not None, "a promise is measured in a settled pool"
        return leader

    def _others_can_lead(self, leader: Node) -> bool:
        return self.pool.can_elect(leader)

    def _next_run(
        self, after: float, bound: float, what: str, *, on: str | None = None, not_on: str | None = None
    ) -> Run:
        """Wait for the next controllee and hold its start against the bound."""
        start = self.world.now

        def is_there() -> bool:
            last = self.pool.watch.runs[-1]
            return last.since >= after and last.node != not_on and last.until is None

        if not self.world.run_while(lambda: not is_there(), max(start, after) + 3 * bound + 5):
            raise Violation(f"promise: {what}: no controllee elsewhere: {self.pool.describe()}")
        run = self.pool.watch.runs[-1]
        if run.since - after > bound:
            raise Violation(
                f"promise: {what}: the next controllee came after {run.since - after:.3f} s, not {bound:.3f} s"
            )
        if on is not None and run.node != on:
            raise Violation(f"promise: {what}: the next controllee came on {run.node}, not {on}")
        return run

    # --- the checks -----------------------------------------------------------------------------------------------

    def _host_death(self) -> None:
        """P1: the leader's host dies."""
        leader = self._leader()
        if self._others_can_lead(leader):
            leader.host_death()
            self._next_run(self.world.now, 1.5 * self.t + 0.5, "P1 host death", not_on=leader.name)

    def _black_hole(self) -> None:
        """P1: the leader's network is cut; P7: it heals."""
        leader = self._leader()
        if self._others_can_lead(leader):
            self._isolate([leader], 4 * self.t)

    def _partition(self) -> None:
        """P7: two parts, each with its own leader, then one."""
        nodes = list(self.pool.nodes)
        self.world.dice.shuffle(nodes)
        self._isolate(nodes[: self.world.dice.randint(1, len(nodes) - 1)], 4 * self.t)

    def _isolate(self, part: list[Node], seconds: float) -> None:
        leader = self._leader()
        others = [n for n in self.pool.nodes if n not in part]
        pairs = [(a.name, b.name) for a in part for b in others]
        for pair in pairs:
            self.pool.network.cut(*pair)
        far = others if leader in part else part
        if self.pool.can_elect(*(n for n in self.pool.nodes if n not in far)):
            self._next_run(self.world.now, 1.5 * self.t + 0.5, "P1 cut", not_on=leader.name)
        self.world.run_until(self.world.now + seconds)
        for pair in pairs:
            self.pool.network.heal(*pair)
        healed = self.world.now
        bound = self.t + 0.5 + self._slack()
        if not self.world.run_while(lambda: len(self.pool.runs) != 1, healed + 5 * bound):
            raise Violation(
                f"promise: P7: {len(self.pool.runs)} controllees for ever: {self.pool.describe()}"
            )
        if self.world.now - healed > bound:
            raise Violation(
                f"promise: P7: exactly one only after {self.world.now - healed:.3f} s, not {bound:.3f} s"
            )

    def _slack(self) -> float:
        """What a stop takes in a pool whose controllees are not stubborn."""
        return 0.05

    def _sigterm(self) -> None:
        """P3: the leader is asked to stop."""
        leader = self._leader()
        if self._others_can_lead(leader):
            run = self.pool.watch.running[leader.name]
            leader.stop()
            self._handed_over(run, "P3 stop")

    def _handed_over(self, run: Run, what: str, *, to: str | None = None) -> None:
        if not self.world.run_while(lambda: run.until is None, self.world.now + self.stop + 1):
            raise Violation(f"promise: {what}: the controllee does not stop: {self.pool.describe()}")
        assert run.until is not None
        # To ask for votes and get them takes a round trip more, which is drawn as long as a fifth of a second.
        votes_seconds = 2 * self.pool.options.latency[1] if self.pool.options.majority else 0.0
        self._next_run(run.until, 0.3 + votes_seconds, what, on=to, not_on=run.node)

    def _switchover(self) -> None:
        """P3: an operator moves leadership."""
        leader = self._leader()
        able = [
            n.name
            for n in self.pool.nodes
            if n is not leader
            and n.is_up
            and n.name in self.pool.members
            and n.machine.abstains_seconds is None
        ]
        if able:
            to = self.world.dice.choice(able)
            run = self.pool.watch.running[leader.name]
            request = self.pool.next_request()
            leader.receive(events.SwitchoverRequested(request, to, "operator", "test", 0.0))
            answer = self.pool.watch.answers.get(request)
            if answer is None or not answer.is_accepted:
                raise Violation(f"promise: P3 switchover refused: {answer}")
            self._handed_over(run, "P3 switchover", to=to)
            self.pool.stay(3 * self.t, "a switchover")

    def _kill(self) -> None:
        """P4: the leader's daemon is killed."""
        leader = self._leader()
        if self._others_can_lead(leader):
            leader.kill()
            # A refused connection gives back no vote: it may be a firewall's.
            takeover = 1.5 * self.t + 0.5 if self.pool.options.majority else 1.0
            bound = takeover + self.pool.options.restart_window_seconds
            self._next_run(self.world.now, bound, "P4 kill", not_on=leader.name)

    def _freeze(self) -> None:
        """P4b: the leader's daemon is frozen, and continues later."""
        leader = self._leader()
        if not self._others_can_lead(leader):
            return
        run, start = self.pool.watch.running[leader.name], self.world.now
        leader.freeze()
        self._next_run(start, 1.5 * self.t + 0.5, "P4b freeze", not_on=leader.name)
        if run.until is None or run.until - start > self.t:
            raise Violation(
                f"promise: P4b: the frozen leader's controllee lived until {run.until}, frozen at {start}"
            )
        self.world.run_until(self.world.now + self.world.between(0, 3) * self.t)
        leader.thaw()

    def _die(self) -> None:
        """P5: the controllee dies, once."""
        leader = self._leader()
        assert leader.machine is not None
        if leader.machine.fitness.quick_deaths == 0:
            leader.guard.die_by_itself()
            self._next_run(self.world.now, 0.3, "P5 death", on=leader.name)

    def _partial_cut(self) -> None:
        """P8: the leader and one other no longer hear each other, but a third hears both."""
        leader = self._leader()
        up = [n for n in self.pool.nodes if n is not leader and n.is_up]
        if len(up) < 2 or not leader.settings.others:
            return
        other = self.world.dice.choice(up)
        if not self.pool.can_elect(other):
            return
        self.pool.network.cut(leader.name, other.name)
        runs = len(self.pool.watch.runs)
        self.world.run_until(self.world.now + 5 * self.t)
        self.pool.network.heal(leader.name, other.name)
        if len(self.pool.watch.runs) != runs:
            raise Violation(f"promise: P8: leadership changed for a partial cut: {self.pool.describe()}")

    def _soft(self) -> None:
        """P10: a soft reconfiguration leaves the controllee alone."""
        leader = self._leader()
        runs = len(self.pool.watch.runs)
        settings = attrs.evolve(leader.settings, timeout_seconds=self.t * self.world.dice.choice((0.8, 1.3)))
        leader.reconfigure(settings)
        self.world.run_until(self.world.now + 3 * self.t)
        if len(self.pool.watch.runs) != runs:
            raise Violation("promise: P10: a soft reconfiguration restarted the controllee")
