"""A simulated host that runs our election daemon: clock, disk, process, guard and the real `Election`.

The node plays the daemon's driver: it hands events to the machine one by one, wakes it at its deadline, and performs
its effects. A process can be killed, stopped and continued, or merely slow; what arrives meanwhile waits in its
inbox, as it would in the kernel and in the loop of a real daemon. The record survives everything except the loss of
the disk.
"""

from __future__ import annotations

from collections import deque

import attrs

import had.election
from had import election_settings, events
from had.transitions import State
from tests.simulation.controllee import Guard
from tests.simulation.invariants import Watch
from tests.simulation.network import PROCESS_DOWN, PROCESS_FROZEN, PROCESS_UP, Network
from tests.simulation.world import Clock, Timer, Violation, World

SPIN_LIMIT = 200
"""So many deadlines at one instant mean that the machine will never let time pass."""


@attrs.define(slots=True)
class Disk:
    """The durable record, and how the disk behaves; times in seconds."""

    record: events.Record = attrs.field(factory=events.Record)
    delay: tuple[float, float] = (0.001, 0.05)
    failure: float = 0.0
    #: The end of the last write under way: writes complete in order.
    busy_until: float = 0.0
    pending: list[events.Record] = attrs.field(factory=list)
    #: The ends of these writes.
    timers: list[Timer] = attrs.field(factory=list)
    losses: int = 0


class Node:
    """One host with our daemon on it."""

    is_ours = True
    #: Ours answers whatever else it does.
    is_busy = False

    def __init__(
        self,
        world: World,
        network: Network,
        watch: Watch,
        settings: election_settings.ElectionSettings,
        clock: Clock,
    ):
        self.world, self.network, self.watch = world, network, watch
        self.name = settings.me
        self.settings = settings
        self.clock = clock
        self.label = settings.me.partition(":")[0]
        self.disk = Disk()
        self.is_host_up = True
        self.process = PROCESS_DOWN
        self.machine: had.election.Election | None = None
        self.instance = 0
        self.guard = self._new_guard()
        #: Largest delay of the loop between two events, 0 for a healthy node.
        self.lag_seconds = 0.0
        self.last_sent: events.Message | None = None
        self.is_restarting = False
        #: Taken out of HAD_LIST, or replaced by condor_had: its daemon is not started again before that is undone.
        self.is_retired = False
        self._inbox: deque[events.Event] = deque()
        self._is_tick_due = False
        self._busy: Timer | None = None
        self._deadline: tuple[float, Timer] | None = None
        self._last_local = 0.0
        self._spins = (0.0, 0)
        network.nodes[self.name] = self

    @property
    def timeout_seconds(self) -> float:
        """T as this node has it."""
        return self.settings.timeout_seconds

    @property
    def is_up(self) -> bool:
        """Tell whether the daemon exists, frozen or not."""
        return self.process != PROCESS_DOWN

    @property
    def is_leading(self) -> bool:
        """Tell whether the machine says LEADER."""
        return self.machine is not None and self.machine.state is State.LEADER

    @property
    def is_empty(self) -> bool:
        """Tell whether neither the daemon nor its controllee runs."""
        return not self.is_up and not self.guard.is_running

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon, once the guard of an earlier one is done (it holds a lock)."""
        if self.is_up or not self.is_host_up or self.is_retired:
            return
        if self.guard.is_running:
            self.is_restarting = True
            self.world.after(0.01, self._start_when_free)
            return
        self.is_restarting = False
        self.instance += 1
        self.guard = self._new_guard(self.guard)
        self.process = PROCESS_UP
        self.world.tell(self.label, "daemon started")
        local = self._local_now()
        self.machine = self._new_machine(local)
        self.watch.started(self)
        self._inbox.clear()
        self._is_tick_due = False
        self.network.open_all(self.name, self.settings.others)
        self._handle(events.Tick())

    def _new_machine(self, local: float) -> had.election.Election:
        return had.election.Election(self.settings, self.disk.record, self.instance, local)

    def _start_when_free(self) -> None:
        if self.is_restarting:
            self.start()

    def kill(self) -> None:
        """SIGKILL: the process is gone, the guard and the kernel react."""
        if not self.is_up:
            return
        if self.guard.resume():
            self.watch.resume(self.name)
        self.world.tell(self.label, "daemon killed")
        self._end_process()
        self.guard.daemon_killed()
        self.network.process_ended(self.name)

    def host_death(self) -> None:
        """Power is cut."""
        if not self.is_host_up:
            return
        self.world.tell(self.label, "host died")
        self._end_process()
        self.is_host_up = False
        self.is_restarting = False
        self.guard.host_died()
        self.network.host_died(self.name)

    def host_return(self, *, is_disk_lost: bool = False) -> None:
        """The machine boots and starts the daemon."""
        if self.is_host_up:
            return
        self.is_host_up = True
        if is_disk_lost:
            self.world.tell(self.label, "host returns with an empty disk")
            self.disk.record = events.Record()
            self.disk.losses += 1
        self.network.host_returned(self.name)
        self.world.after(self.world.between(0.01, 0.5), self.start)

    def freeze(self) -> None:
        """SIGSTOP of the daemon only."""
        if self.process == PROCESS_UP:
            self.world.tell(self.label, "daemon frozen")
            self.process = PROCESS_FROZEN
            self.network.process_froze(self.name)

    def suspend(self) -> None:
        """The whole host stands still: daemon, guard and controllee."""
        if self.process == PROCESS_UP:
            self.freeze()
            self.guard.suspend()
            self.watch.suspend(self.name)

    def thaw(self) -> None:
        """SIGCONT: the daemon wakes with a full inbox and a deadline long past, a suspended host's guard before it."""
        if self.guard.resume():
            self.watch.resume(self.name)
        if self.process == PROCESS_FROZEN:
            self.world.tell(self.label, "daemon continued")
            self.process = PROCESS_UP
            self._drain()
            self.network.process_thawed(self.name)

    def stop(self, *, is_fast: bool = False) -> None:
        """SIGTERM or SIGQUIT."""
        self.world.tell(self.label, "asked to stop")
        self.receive(events.StopRequested(is_fast=is_fast))

    def reconfigure(self, settings: election_settings.ElectionSettings, *, is_hard: bool = False) -> None:
        """SIGHUP with new settings."""
        self.settings = settings
        if self.is_up:
            self.world.tell(self.label, "reconfigured")
            self.network.close_all(self.name, keep=settings.others)
            self.network.open_all(self.name, settings.others)
            self.receive(events.Reconfigured(settings, is_hard))

    def _end_process(self) -> None:
        self.process = PROCESS_DOWN
        self.machine = None
        self.last_sent = None
        self._inbox.clear()
        for timer in (self._busy, self._deadline[1] if self._deadline else None):
            if timer:
                timer.cancel()
        self._busy = self._deadline = None
        self.disk.busy_until = self.world.now
        if self.disk.pending and self.world.chance(0.5):
            # The write reached the disk although nobody will be told; a torn one leaves the older slot.
            self._commit(self.disk.pending[0])
        self.disk.pending.clear()

    def _new_guard(self, old: Guard | None = None) -> Guard:
        guard = Guard(
            self.world,
            self.clock,
            self.label,
            self.receive,
            lambda epoch: self.watch.controllee_runs(self, epoch),
            lambda reason: self.watch.controllee_gone(self, reason),
        )
        if old:
            guard.habits, guard.runs = old.habits, old.runs
        return guard

    # --- events in --------------------------------------------------------------------------------------------

    def receive(self, event: events.Event) -> None:
        """Take an event: at once, or when the loop gets round to it."""
        if self.process == PROCESS_DOWN:
            return
        if self.process == PROCESS_FROZEN or self._busy is not None or self._inbox:
            self._inbox.append(event)
            return
        self._handle(event)

    def _drain(self) -> None:
        """Catch up after having been stopped or busy; nobody knows whether the timer or the inbox comes first."""
        if self.process != PROCESS_UP:
            return
        self._busy = None
        if self._is_tick_due and self.world.chance(0.5):
            self._tick()
        while self._inbox and self._busy is None and self.process == PROCESS_UP:
            self._handle(self._inbox.popleft())
        if self._is_tick_due and self._busy is None and self.process == PROCESS_UP:
            self._tick()

    def _tick(self) -> None:
        self._is_tick_due = False
        self._handle(events.Tick())

    def _deadline_reached(self) -> None:
        self._deadline = None
        if self.process == PROCESS_FROZEN or self._busy is not None:
            self._is_tick_due = True
        elif self.process == PROCESS_UP:
            self._handle(events.Tick())

    def _local_now(self) -> float:
        self._last_local = max(self._last_local, self.clock.local(self.world.now))
        return self._last_local

    def _handle(self, event: events.Event) -> None:
        local, due = self._local_now(), self._due
        if type(event) is events.Tick and due is not None and 0 < due - local < 1e-6:
            local = self._last_local = due
        effects = self._decide(event, local)
        if self.world.is_tracing:
            self._trace(event, effects)
        for effect in effects:
            self._perform(effect, local)
        self.watch.done(self)
        if self.process == PROCESS_UP:
            self._arm(self._due, local)
            if self.lag_seconds:
                self._busy = self.world.after(self.world.between(0, self.lag_seconds), self._drain)

    @property
    def _due(self) -> float | None:
        assert self.machine is not None
        return self.machine.deadline

    def _decide(self, event: events.Event, local: float) -> list[events.Effect]:
        """Ask the machine, with the watch looking on."""
        assert self.machine is not None
        self.watch.before(self, event, local)
        effects = self.machine.handle(event, local)
        self.watch.after(self, effects, local)
        return effects

    def _trace(self, event: events.Event, effects: list[events.Effect]) -> None:
        from tests.simulation.printing import describe

        self.world.trace(self.label, describe(event) + "".join(f"\n{'':23}=> {describe(e)}" for e in effects))

    def _arm(self, deadline: float | None, local: float) -> None:
        if self._deadline:
            if self._deadline[0] == deadline:
                return
            self._deadline[1].cancel()
            self._deadline = None
        if deadline is None:
            return
        if deadline <= local:
            since, count = self._spins
            self._spins = (local, count + 1 if since == local else 0)
            if count > SPIN_LIMIT:
                raise Violation(
                    f"{self.label}: the machine's deadline {deadline} is never later than now {local}"
                )
        self._deadline = (deadline, self.world.at(self.clock.true(deadline), self._deadline_reached))

    # --- effects out ------------------------------------------------------------------------------------------

    def _perform(self, effect: events.Effect, local: float) -> None:
        kind = type(effect)
        if kind is events.Send:
            self.last_sent = effect.message
            self.network.send(self.name, effect.to, events.Heard(effect.message, effect.kind))
        elif kind is events.RenewLease:
            self.guard.renew(effect.until, local)
        elif kind is events.Persist:
            self._write(effect.record)
        elif kind is events.StartControllee:
            self.guard.start(effect.epoch)
        elif kind is events.StopControllee:
            self.guard.stop(effect.timeout_seconds)
        elif kind is events.Finished:
            self.world.tell(self.label, "daemon finished")
            self._end_process()
            self.network.process_ended(self.name)

    def _write(self, record: events.Record) -> None:
        disk = self.disk
        disk.pending.append(record)
        disk.busy_until = max(disk.busy_until, self.world.now) + self.world.between(*disk.delay)
        disk.timers = [t for t in disk.timers if t.when > self.world.now]
        disk.timers.append(self.world.at(disk.busy_until, self._written, record, self.instance))

    def mend_disk(self, delay: tuple[float, float]) -> None:
        """Let the disk be well again: what waits for it is written soon, and no longer at the pace of before."""
        disk = self.disk
        disk.failure, disk.delay, disk.busy_until = 0.0, delay, self.world.now
        waiting = [t for t in disk.timers if t.when > self.world.now]
        disk.timers = []
        for timer in waiting:
            disk.busy_until += delay[0]
            if timer.act is not None:
                disk.timers.append(self.world.at(disk.busy_until, timer.act, *timer.arguments))
            timer.cancel()

    def _written(self, record: events.Record, instance: int) -> None:
        if instance != self.instance or self.process == PROCESS_DOWN:
            return
        self.disk.pending.remove(record)
        if self.world.chance(self.disk.failure):
            self.receive(events.PersistFailed(record, "No space left on device"))
        else:
            self._commit(record)
            self.receive(events.Persisted(record))

    def _commit(self, record: events.Record) -> None:
        if record.epoch < self.disk.record.epoch:
            raise Violation(
                f"{self.label}: the epoch on disk falls from {self.disk.record.epoch} to {record.epoch}"
            )
        self.disk.record = record
