"""The controllee of one simulated host and the guard that holds its lease.

The guard is a process of its own: it goes on when the daemon is killed (and then kills the controllee within 0.2 s)
or frozen (and then ends it before the lease is over). It reads its own host's clock. The model is as slow as the
contract allows, drawn anew each time, so that a machine which counts on luck is found out.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs

from had import events
from tests.simulation.world import Clock, Timer, Violation, World

GUARD_SECONDS = 0.2
"""The controllee is dead so soon after its daemon was killed (contract, P4)."""


class Phase(enum.Enum):
    """What the controllee is doing."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@attrs.define(slots=True)
class Habits:
    """How this host's controllee behaves; times in seconds."""

    start: tuple[float, float] = (0.001, 0.02)
    stop: tuple[float, float] = (0.001, 0.05)
    #: The share of stops that last until the time-out, when the guard kills.
    stubborn: float = 0.0
    #: A broken node: every run ends after a time drawn from here.
    breaks: tuple[float, float] | None = None
    #: The share of starts that fail outright while the node is broken.
    start_fails: float = 0.0


class Guard:
    """Starts, stops and outlives-by-nothing the controllee of one node."""

    def __init__(
        self,
        world: World,
        clock: Clock,
        name: str,
        report: Callable[[events.Event], None],
        on_run: Callable[[int], None],
        on_gone: Callable[[str], None],
    ):
        self.world, self.clock, self.name = world, clock, name
        self.habits = Habits()
        self.phase = Phase.STOPPED
        self.epoch = 0
        self.runs = 0
        self.lease_until: float | None = None
        #: When the end begins, on this host's clock, unless the lease is renewed.
        self._terminate_at = 0.0
        self.is_daemon_dead = False
        self._report, self._on_run, self._on_gone = report, on_run, on_gone
        self._is_stop_wanted: float | None = None
        self._timers: list[Timer] = []
        self._lease_timers: list[Timer] = []
        self._is_suspended = False

    @property
    def is_running(self) -> bool:
        """Tell whether the controllee's process exists."""
        return self.phase in (Phase.RUNNING, Phase.STOPPING)

    def start(self, epoch: int) -> None:
        """Begin to start the controllee."""
        if self.phase is not Phase.STOPPED:
            raise Violation(f"{self.name}: StartControllee while the controllee is {self.phase.value}")
        self.phase, self.epoch, self._is_stop_wanted = Phase.STARTING, epoch, None
        if self.lease_until is not None:
            # One that is started again lives by the lease of the one before it; the order says so (had/guard.py).
            self._watch_lease(self.lease_until)
        self._timers = [self.world.after(self.world.between(*self.habits.start), self._started)]

    def stop(self, timeout_seconds: float) -> None:
        """Ask the controllee to stop, and kill it after the time-out."""
        if self.phase is Phase.STARTING:
            self._is_stop_wanted = timeout_seconds
        elif self.phase is Phase.RUNNING:
            self.phase = Phase.STOPPING
            wait = self.world.between(*self.habits.stop)
            if self.world.chance(self.habits.stubborn):
                wait = timeout_seconds
            self._later(min(wait, timeout_seconds), "requested")
        elif self.phase is Phase.STOPPING:
            self._later(timeout_seconds, "requested")

    def renew(self, until: float, local_now: float) -> None:
        """Let the controllee live until then (on this host's clock)."""
        self.lease_until, self._terminate_at = until, local_now + (until - local_now) * 2 / 3
        self._watch_lease(until)

    def _watch_lease(self, until: float) -> None:
        for timer in self._lease_timers:
            timer.cancel()
        self._lease_timers = [
            self.world.at(self.clock.true(self._terminate_at), self._lapse_softly),
            self.world.at(self.clock.true(until) - 1e-6, self._lapse),
        ]

    def die_by_itself(self, reason: str = "signalled") -> None:
        """Let the controllee die of its own accord."""
        if self.phase is Phase.RUNNING:
            self._gone(reason)

    def daemon_killed(self) -> None:
        """The daemon is dead: kill everything within the guard's time."""
        self.is_daemon_dead = True
        if self.phase is Phase.STARTING:
            self.phase = Phase.STOPPED
            self._forget()
        elif self.is_running:
            self._later(self.world.between(0.0005, 0.95 * GUARD_SECONDS), "killed")

    def host_died(self) -> None:
        """The machine is gone, and all of it with it."""
        if self.is_running:
            self._gone("killed", is_reported=False)
        self.phase = Phase.STOPPED
        self._forget()

    def suspend(self) -> None:
        """The whole machine stands still, and what it would have done waits."""
        now, old = self.world.now, [*self._timers, *self._lease_timers]
        self._timers = [attrs.evolve(t) for t in self._timers if t.when > now]
        self._lease_timers = [attrs.evolve(t) for t in self._lease_timers if t.when > now]
        self._is_suspended = True
        for timer in old:
            timer.cancel()

    def resume(self) -> bool:
        """The machine goes on; return whether its controllee does too, its lease not being over."""
        if not self._is_suspended:
            return False
        self._is_suspended = False
        is_over = self.lease_until is not None and self.clock.local(self.world.now) >= self.lease_until
        self._timers = [] if is_over else [self._again(t) for t in self._timers if t.act]
        self._lease_timers = [] if is_over else [self._again(t) for t in self._lease_timers if t.act]
        if is_over:
            self._lapse()
        return self.is_running

    def _again(self, timer: Timer) -> Timer:
        assert timer.act is not None
        return self.world.at(timer.when, timer.act, *timer.arguments)

    def _later(self, delay: float, reason: str) -> None:
        self._timers.append(self.world.after(delay, self._gone, reason))

    def _started(self) -> None:
        habits = self.habits
        if habits.breaks and self.world.chance(habits.start_fails):
            self.phase = Phase.STOPPED
            self._report(events.ControlleeExited("start_failed", "no such file"))
            return
        self.phase = Phase.RUNNING
        self.runs += 1
        if self.lease_until is None or self.clock.local(self.world.now) > self.lease_until:
            raise Violation(f"{self.name}: the controllee runs without a lease")
        self._on_run(self.epoch)
        self._report(events.ControlleeStarted(1000 + self.runs))
        if habits.breaks:
            self._timers.append(self.world.after(self.world.between(*habits.breaks), self.die_by_itself))
        if self._is_stop_wanted is not None:
            self.stop(self._is_stop_wanted)

    def _lapse_softly(self) -> None:
        if self.phase in (Phase.RUNNING, Phase.STOPPING) and not self.world.chance(self.habits.stubborn):
            self._later(self.world.between(*self.habits.stop), "signalled")

    def _lapse(self) -> None:
        if self.is_running:
            self._gone("killed")
        elif self.phase is Phase.STARTING:
            self.phase = Phase.STOPPED
            self._forget()
            self._report(events.ControlleeExited("killed", "the lease ran out"))

    def _gone(self, reason: str, *, is_reported: bool = True) -> None:
        if not self.is_running:
            return
        if self.phase is Phase.STOPPING and reason == "signalled":
            reason = "requested"
        self.phase = Phase.STOPPED
        self._forget()
        self._on_gone(reason)
        if is_reported and not self.is_daemon_dead:
            self._report(events.ControlleeExited(reason))

    def _forget(self) -> None:
        for timer in (*self._timers, *self._lease_timers):
            timer.cancel()
        self._timers, self._lease_timers = [], []
