"""A host with both daemons: the real election and the real custody of the state, driven as `had` drives them.

Between had and its replica is a connection of the host's own: it is made when both are awake, keeps the order of what
is said, and ends with either process. A frozen replica keeps a connection that it has and takes no new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from had import custody_events, events, replica_words
from had.custody import Custody, Informed
from had.custody_events import CustodySettings
from had.election import Election
from had.tandem import Act, Tandem
from replication import effects as replica_effects
from replication import events as replica_events
from replication.effects import Currency
from tests.simulation.controllee import Guard, Phase
from tests.simulation.network import PROCESS_UP
from tests.simulation.node import Node
from tests.simulation.replicas import ReplicaNode
from tests.simulation.world import Timer

if TYPE_CHECKING:
    from tests.simulation.replicated import ReplicatedPool

HOP_SECONDS = 0.0005
"""A word between two processes of a host takes so long."""

LOOK_SECONDS = 0.001
"""And a look at a file."""


class WatchedTandem(Tandem):
    """Both machines of a node, with the watch looking at every step of the election."""

    def __init__(self, node: TandemNode, election: Election, custody: Custody) -> None:
        super().__init__(election, custody)
        self._node = node

    def _decide(self, event: events.Event) -> list[events.Effect]:
        self._node.watch.before(self._node, event, self._now)
        effects = super()._decide(event)
        self._node.watch.after(self._node, effects, self._now)
        return effects


class LinkedReplica(ReplicaNode):
    """A replica whose connection to had ends with its process."""

    host: TandemNode

    def _end(self) -> None:
        was_up = self.is_up
        super()._end()
        if was_up:
            self.world.after(HOP_SECONDS, self.host.line_broken)


def to_replica(message: replica_words.ToReplica) -> replica_events.Event:
    """Translate a word of had's for the replica, as the wire does."""
    match message:
        case replica_words.LeadershipBegan(epoch):
            return replica_events.LeadershipBegan(epoch)
        case replica_words.LeadershipConfirmed(epoch):
            return replica_events.LeadershipConfirmed(epoch)
        case replica_words.LeadershipEnded():
            return replica_events.LeadershipEnded(is_stopped=True)
        case replica_words.CurrentAsked(request, epoch, is_missing_refused):
            return replica_events.CurrentAsked(request, epoch, is_missing_refused)
        case replica_words.FlushAsked(request, seconds, successor):
            return replica_events.FlushAsked(request, seconds, successor)
        case replica_words.Withdrawn(request):
            return replica_events.Withdrawn(request)


def from_replica(answer: replica_effects.Answer) -> replica_words.ReplicaAnswer:
    """Translate an answer of the replica's for had, as the wire does."""
    return replica_words.ReplicaAnswer(
        answer.request,
        replica_words.Currency(answer.currency.value),
        answer.good_for_seconds,
        answer.is_missing_everywhere,
        answer.known_gid,
        answer.is_complete,
        answer.behind,
        answer.text,
    )


class TandemNode(Node):
    """One host with both daemons; `replica` is set by the pool."""

    replica: LinkedReplica
    pool: ReplicatedPool
    tandem: WatchedTandem

    def join(self, pool: ReplicatedPool, replica: LinkedReplica) -> None:
        """Put the two daemons of a host together."""
        self.pool, self.replica = pool, replica
        replica.host = self
        replica.on_answer = self._answered
        replica.on_start = lambda: self.world.after(0.005, self._dial)
        #: Counts connections; `_is_open` tells whether the last one stands.
        self._line = 0
        self._is_open = False
        self._heard_until = 0.0
        self._pen: Timer | None = None
        self._run = 0
        self._records = 0
        self._dial_for_ever()

    @property
    def is_controllee_there(self) -> bool:
        """Tell whether a controllee runs, or begins to."""
        return self.guard.phase is not Phase.STOPPED

    # --- life -------------------------------------------------------------------------------------------------

    def _new_machine(self, local: float) -> Election:
        election = super()._new_machine(local)
        settings = CustodySettings(
            self.timeout_seconds,
            self.pool.lifetime_seconds,
            self.settings.condor_interval_seconds,
            replicas=tuple((m, m) for m in self.settings.members),
        )
        self.tandem = WatchedTandem(self, election, Custody(settings, self.instance, local))
        self.world.after(0.002, self._dial)
        return election

    def _decide(self, event: events.Event | Informed, local: float) -> list[Act]:
        return self.tandem.handle(event, local)

    @property
    def _due(self) -> float | None:
        return self.tandem.deadline

    def host_death(self) -> None:
        """Power is cut."""
        super().host_death()
        self.replica.host_death()

    def host_return(self, *, is_disk_lost: bool = False) -> None:
        """Both daemons are started."""
        super().host_return(is_disk_lost=is_disk_lost)
        self.replica.host_return()

    def _end_process(self) -> None:
        super()._end_process()
        if self._is_open:
            self._say(replica_events.LeadershipEnded(is_stopped=False))
            self._is_open = False

    # --- the connection to the replica --------------------------------------------------------------------------

    def _dial_for_ever(self) -> None:
        self._dial()
        self.world.after(min(self.timeout_seconds / 2, 1.0), self._dial_for_ever)

    def _dial(self) -> None:
        if self._is_open or self.process != PROCESS_UP or self.replica.process != PROCESS_UP:
            return
        self._line += 1
        self._is_open = True
        self.receive(custody_events.ReplicaFound(is_ours=True))

    def line_broken(self) -> None:
        """The replica's process is gone."""
        if self._is_open:
            self._is_open = False
            self.receive(custody_events.ReplicaLost())
            self._dial()

    def _say(self, event: replica_events.Event) -> None:
        """Send on the connection that stands, in order."""
        self._heard_until = max(self._heard_until, self.world.now + HOP_SECONDS)
        self.world.at(self._heard_until, self._heard_by, self.replica.instance, event)

    def _heard_by(self, instance: int, event: replica_events.Event) -> None:
        if self.replica.instance == instance:
            self.replica.receive(event)

    def _answered(self, answer: replica_effects.Answer) -> None:
        self.world.after(HOP_SECONDS, self._deliver, self._line, answer)

    def _deliver(self, line: int, answer: replica_effects.Answer) -> None:
        if self._is_open and line == self._line:
            self.receive(custody_events.ReplicaAnswered(from_replica(answer)))

    # --- acts ---------------------------------------------------------------------------------------------------

    def _perform(self, effect: Act, local: float) -> None:
        match effect:
            case custody_events.Tell(message):
                if self._is_open:
                    self._say(to_replica(message))
            case custody_events.LookForState(request):
                self.world.after(LOOK_SECONDS, self._looked, request)
            case custody_events.StartOnState(epoch, currency):
                self._start(epoch, Currency(currency.value))
            case events.Note(name) if name.startswith(("state_", "flush_", "handover_")):
                shown = " ".join(f"{k}={v}" for k, v in effect.fields)
                self.world.tell(self.label, f"{name} {shown}")
                self._remember_flush(name, dict(effect.fields))
            case _:
                super()._perform(effect, local)

    def _looked(self, request: int) -> None:
        is_there = self.replica.disk.content is not None
        self.receive(custody_events.StateSeen(request, is_there))

    def _start(self, epoch: int, currency: Currency) -> None:
        self.world.tell(self.label, f"starts on a state that is {currency.value}")
        if self.pool.is_quiet:
            self.pool.keeper.starts(self.replica, currency, self.pool.replicas)
        flushed = self.pool.flushed
        if flushed and flushed[0] == self.name and flushed[1] > self.world.now - 1:
            self.pool.keeper.handed_over(self.replica, flushed[2], flushed[1])
        self.pool.flushed = None
        self.guard.start(epoch)

    def _remember_flush(self, name: str, fields: dict[str, object]) -> None:
        successor = fields.get("peer")
        if name == "state_flushed" and isinstance(successor, str):
            self.pool.flushed = (successor, self.world.now, self.replica.disk.content or ())

    # --- the controllee -----------------------------------------------------------------------------------------

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
                self.append()
            on_gone(reason)

        guard._on_run, guard._on_gone = runs, gone
        return guard

    def _keep_writing(self) -> None:
        if not self.pool.is_silent:
            self.append()
        low, high = self.pool.write_seconds
        self._pen = self.world.after(self.world.between(low, high), self._keep_writing)

    def append(self) -> None:
        """Write one record."""
        self._records += 1
        disk = self.replica.disk
        disk.content = (*(disk.content or ()), (self._run, self._records))
        self.replica.written()
