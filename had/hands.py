"""Performs the election's effects: the only place where a decision becomes a message, a write or a process.

Every act here only queues: messages go to the links, writes to the durable writer's thread, orders to the guard.
What comes back comes as an event, through `post`. The one order that matters is kept here: a controllee is not
started before the file that names its epoch was replaced, so that it never reads an older one. Its environment is made
on the writer's thread too, and its state looked for, since that may take as long as a file system pleases.

A disk that hangs must not hold up the pool. What waits for it too long has failed as far as the machine is concerned:
a record is not written, a start has failed, and so another node comes to lead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import attrs

from daemoncore.durable import DurableError, SlotStore
from daemoncore.durable_writer import Finished as WriteFinished
from daemoncore.patient_writer import PatientWriter
from daemoncore.state_folder import publish_epoch
from had import record_file
from had.controllee import Controllee
from had.custody import Informed
from had.custody_events import LookForState, StartOnState, StateSeen, Tell
from had.election_settings import Member
from had.events import (
    Answer,
    ControlleeExited,
    Event,
    Kind,
    Message,
    Note,
    Persist,
    Persisted,
    PersistFailed,
    PublishEpoch,
    Record,
    RenewLease,
    Send,
    StartControllee,
    StopControllee,
    Transition,
)
from had.replica_words import Currency, ToReplica
from had.tandem import Act


class Sender(Protocol):
    """What carries messages to the other members."""

    def send(self, to: Member, message: Message, kind: Kind) -> None:
        """Send it now or drop it; never waits."""


class ReplicaSpeaker(Protocol):
    """What carries words to this node's own replica."""

    def say(self, message: ToReplica) -> None:
        """Say it in its turn or drop it; never waits."""


class Observer(Protocol):
    """Who is told what happened: log, metrics, history, HAD_ON_CHANGE."""

    def transition(self, transition: Transition) -> None:
        """The state changed."""

    def note(self, note: Note) -> None:
        """Something happened without a change of state."""

    def controllee_wanted(self, *, is_wanted: bool) -> None:
        """The controllee was asked to run, or to stop."""

    def lease_renewed(self, until: float) -> None:
        """The lease was renewed."""


@attrs.frozen
class _Publication:
    """The tag of a write of the epoch file."""

    epoch: int


@attrs.define(eq=False)
class _Preparation:
    """A start that waits for its environment: the tag of the act that makes it."""

    is_disaster: bool = False
    environment: Mapping[str, str] = attrs.field(factory=dict)


@attrs.define(eq=False)
class _Look:
    """A look for the state file: the tag of the act that takes it."""

    request: int
    is_there: bool = False


_STUCK = "the disk does not answer"


class Hands:
    """Performs effects.

    Args:
        sender: carries messages.
        controllee: takes orders.
        store: holds the durable record.
        epoch_file: HAD_EPOCH_FILE.
        environment: gives the controllee's environment for an epoch and a HAD_STATE, which it finds out itself if that is
            None; called on the writer's thread.
        observer: is told.
        instance: this start's number, kept beside the record.
        owner: user and group ids of the epoch file, if they are not the daemon's.
        replica: carries words to this node's replica, if one looks after the state.
        has_state: tells whether STATE_FILE is there; called on the writer's thread.
    """

    def __init__(
        self,
        sender: Sender,
        controllee: Controllee,
        store: SlotStore,
        epoch_file: Path,
        environment: Callable[[int, Currency | None], Mapping[str, str]],
        observer: Observer,
        instance: int,
        owner: tuple[int, int] | None = None,
        replica: ReplicaSpeaker | None = None,
        has_state: Callable[[], bool] = lambda: False,
    ) -> None:
        self._sender = sender
        self.controllee = controllee
        self._store = store
        self._epoch_file = epoch_file
        self._environment = environment
        self._observer = observer
        self._instance = instance
        self._owner = owner
        self._replica = replica
        self._has_state = has_state
        self._writer = PatientWriter()
        self._preparation: _Preparation | None = None
        self._looks: set[_Look] = set()
        self._postponed: Record | None = None
        self._unposted: list[Event | Informed] = []
        self._post: Callable[[Event | Informed], None] = self._unposted.append
        self.answers: dict[int, Callable[[Answer], None]] = {}

    def perform(self, effect: Act) -> None:
        """Do one effect."""
        match effect:
            case Send(to, message, kind):
                self._sender.send(to, message, kind)
            case Persist(record):
                self._persist(record)
            case StartControllee() | StartOnState() | StopControllee() | RenewLease() | PublishEpoch():
                self._order(effect)
            case Tell(message) if self._replica is not None:
                self._replica.say(message)
            case LookForState(request):
                self._look(_Look(request))
            case Answer(request):
                answered = self.answers.pop(request, None)
                if answered is not None:
                    answered(effect)
            case Transition():
                self._observer.transition(effect)
            case Note():
                self._observer.note(effect)

    def _persist(self, record: Record) -> None:
        if self._writer.is_stuck:
            # One of them will do when the disk is back; until then none may pile up.
            self._postponed = record
            self._post(PersistFailed(record, _STUCK))
            return
        payload = record_file.encode(record_file.Stored(record, self._instance))
        self._writer.submit(record, lambda: self._store.write(payload))

    def _order(
        self, effect: StartControllee | StartOnState | StopControllee | RenewLease | PublishEpoch
    ) -> None:
        match effect:
            case PublishEpoch(epoch):
                path, owner = self._epoch_file, self._owner
                self._writer.submit(_Publication(epoch), lambda: publish_epoch(path, epoch, owner=owner))
            case StartControllee(epoch):
                self._prepare(epoch, None, _Preparation())
            case StartOnState(epoch, currency, is_disaster):
                self._prepare(epoch, currency, _Preparation(is_disaster))
            case StopControllee(timeout_seconds):
                self._observer.controllee_wanted(is_wanted=False)
                self._stop(timeout_seconds)
            case RenewLease(until):
                self.controllee.renew(until)
                self._observer.lease_renewed(until)

    def _prepare(self, epoch: int, currency: Currency | None, preparation: _Preparation) -> None:
        """Make the environment, after the publication that may be under way; then the controllee is started."""
        self._observer.controllee_wanted(is_wanted=True)
        if self._writer.is_stuck:
            self._post(ControlleeExited("start_failed", _STUCK))
            return
        self._preparation = preparation

        def prepare() -> None:
            preparation.environment = self._environment(epoch, currency)

        self._writer.submit(preparation, prepare)

    def _look(self, look: _Look) -> None:
        """See whether there is a state; what cannot be seen in time cannot be started on."""
        if self._writer.is_stuck:
            self._post(ControlleeExited("start_failed", _STUCK))
            return

        def see() -> None:
            look.is_there = self._has_state()

        self._looks.add(look)
        self._writer.submit(look, see)

    def _stop(self, timeout_seconds: float) -> None:
        """Stop it; a start that still waits for a slow disk is taken back, so nothing runs even for an instant."""
        if self._preparation is None:
            self.controllee.stop(timeout_seconds)
        else:
            self._preparation = None
            self._post(ControlleeExited("requested", "it had not been started"))

    async def report_writes(self, post: Callable[[Event | Informed], None]) -> None:
        """Turn finished writes into events, until cancelled."""
        self._post = post
        for event in self._unposted:
            post(event)
        await self._writer.run(self._written, self._stuck)

    def _written(self, finished: WriteFinished) -> None:
        match finished.tag:
            case Record() as record:
                self._post(_outcome(record, finished.error))
            case _Publication(epoch) if finished.error is not None:
                # The controllee has HAD_EPOCH in any case.
                fields = (("epoch", epoch), ("error", str(finished.error)))
                self._observer.note(Note("epoch_file_not_written", fields))
            case _Preparation() as preparation if preparation is self._preparation:
                self._preparation = None
                self.controllee.start(preparation.environment, is_disaster=preparation.is_disaster)
            case _Look(request, is_there) as look if look in self._looks:
                self._looks.remove(look)
                self._post(StateSeen(request, is_there))
        if self._postponed is not None:
            record, self._postponed = self._postponed, None
            self._persist(record)

    def _stuck(self, waiting: tuple[object, ...]) -> None:
        """Fail what waits for a disk that hangs; should a record be written after all, that is told as ever."""
        records = [tag for tag in waiting if isinstance(tag, Record)]
        if records:
            self._post(PersistFailed(records[-1], _STUCK))
        if self._preparation is not None or self._looks:
            self._preparation = None
            self._looks.clear()
            self._post(ControlleeExited("start_failed", _STUCK))

    def close(self) -> None:
        """Let queued writes finish, for a second at most."""
        self._writer.close()


def _outcome(record: Record, error: DurableError | None) -> Persisted | PersistFailed:
    return Persisted(record) if error is None else PersistFailed(record, str(error))
