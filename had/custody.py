"""The custody of the state: what stands between the election and the controllee where a replica looks after the state.

The election says that the controllee is to start or to stop; the controllee says that it started or ended. Both go
through here, because a start waits for the state and the end of a handover waits until the state was handed on. Like the
election it does no I/O and knows no clock: `handle(event, now)` returns what to do, `deadline` says when to call again.

What this file answers for:

- **Before every start** the replica is asked whether the state here is current. Its answer is good for a time counted
  from the question. Before the order to start it is told that this node leads, so that it installs nothing under a
  running controllee. One that cannot be reached is waited for for T, one that can for MAX_TRANSFER_LIFETIME, or for a
  moment where the controllee ran before; then it starts on a state that is called stale, or is what it left itself.
  HAD_MISSING_STATE decides where there is none at all.
- **After a handover's stop** the last version is flushed to the successor, as long as the stop may take. Only then
  does the election hear that the controllee is gone. When the time is over, a leader that may go on does so
  (`HandoverCalledOff`); else it is said who lacks what.
- **While another leads** the replica is asked to be as new as that leader's, which takes as long as it takes. Until it
  has answered this node is not ready (`StateReady`): it does not ask for leadership, and others prefer ready ones.
- **Each T/2** the replica hears whether this node leads, and at once when it is reached again.

A real condor_replication is only ever told things; nothing is awaited of it.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

from had import replica_words as words
from had.custody_events import (
    CustodyChanged,
    CustodySettings,
    Deliver,
    EpochKnown,
    HandoverCalledOff,
    Incumbent,
    LookForState,
    MissingState,
    Replica,
    ReplicaAnswered,
    ReplicaFound,
    ReplicaLost,
    StartOnState,
    StartPostponed,
    StateSeen,
    Tell,
)
from had.custody_waits import RESTART_SECONDS, Flush, Start
from had.events import (
    ControlleeExited,
    ControlleeStarted,
    Note,
    PublishEpoch,
    StartControllee,
    StopControllee,
    Tick,
    Transition,
)
from had.readiness import Readiness
from had.replica_words import Currency, ReplicaAnswer
from had.transitions import CAN_BE_CALLED_OFF, IS_WAITED_FOR, State

Entrusted: TypeAlias = StartControllee | StopControllee | PublishEpoch | Transition
"""Effects of the election that go through the custody."""

Informed: TypeAlias = (
    ControlleeStarted
    | ControlleeExited
    | ReplicaFound
    | ReplicaLost
    | ReplicaAnswered
    | StateSeen
    | CustodyChanged
)
"""Events that the driver hands to the custody and not to the election."""

Outcome: TypeAlias = (
    Tell | LookForState | StartOnState | Deliver | StopControllee | PublishEpoch | Transition | Note
)

ANSWER_SECONDS: Final = 1.0
"""So much longer than its own bound a reachable replica is given to answer: it says so itself when that is over."""

_WORDS: Final = {
    Currency.CURRENT: "state_ready",
    Currency.STALE: "state_stale",
    Currency.MISSING: "state_missing",
}

REQUESTS_OF_A_LIFE: Final = 2**20
"""Questions are numbered anew in each life of the daemon, and never twice."""


class Custody:
    """One node's custody of the state.

    Args:
        settings: What the configuration says.
        instance: Counts the starts of this node's daemon.
        now: Seconds on the machine's clock.
    """

    def __init__(self, settings: CustodySettings, instance: int, now: float) -> None:
        self.settings = settings
        self.replica = Replica.UNREACHABLE
        self.readiness = Readiness()
        #: On what the controllee was started last in this leadership; None if it was not.
        self.currency: Currency | None = None
        self.start: Start | None = None
        self.flush: Flush | None = None
        self._is_leading = False
        self._epoch = 0
        #: With which epoch the replica was told that this node leads; None if it was not.
        self._told: int | None = None
        self._has_controllee = False
        self._stop: StopControllee | None = None
        self._incumbent: int | None = None
        self._requests = instance * REQUESTS_OF_A_LIFE
        self._lost_at = self._next_word = self._now = now
        self._out: list[Outcome] = []

    # --- the outside ------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """When to call `handle(Tick(), ...)` at the latest; infinity is never."""
        return min((d for d in self._deadlines() if d > self._now), default=math.inf)

    def handle(self, event: Entrusted | Informed | Incumbent | Tick, now: float) -> list[Outcome]:
        """Take one event and return what to do about it, in order."""
        self._now, self._out = max(now, self._now), []
        self._dispatch(event)
        self._speak()
        self._look_after_start()
        self._look_after_flush()
        incumbent = None if self._is_leading else self._incumbent
        self._out += self.readiness.advance(
            self.replica, incumbent, self._now, self._number, is_leading=self._is_leading
        )
        return self._out

    def _dispatch(self, event: Entrusted | Informed | Incumbent | Tick) -> None:
        match event:
            case StartControllee() | StopControllee() | PublishEpoch() | Transition():
                self._of_the_election(event)
            case ControlleeStarted():
                self._out.append(Deliver(event))
            case ControlleeExited():
                self._has_controllee = False
                self._withdraw_start()
                self._gone(event)
            case ReplicaFound() | ReplicaLost():
                self._reached(event)
            case ReplicaAnswered(answer):
                self._answered(answer)
            case StateSeen():
                self._state_seen(event)
            case Incumbent(epoch):
                self._incumbent = epoch
            case CustodyChanged(settings):
                self.settings = settings

    # --- what the election wants ------------------------------------------------------------------------------

    def _of_the_election(self, effect: Entrusted) -> None:
        match effect:
            case StartControllee(epoch):
                self._epoch, self._stop = epoch, None
                self.start = Start(self._now, self._now)
            case StopControllee():
                self._stop_ordered(effect)
            case PublishEpoch(epoch):
                self._out.append(effect)
                self._epoch = epoch
                if self._told is not None:
                    # A leader took a later epoch without a stop: the history branches there too.
                    self._told = epoch
                    self._next_word = self._now
            case Transition(source, target):
                self._out.append(effect)
                self._is_leading = target is State.LEADER
                if self._is_leading:
                    self.currency = None
                if source is State.LEADER:
                    self._withdraw_start()
                    self._told = None
                    self._next_word = self._now + self._pace_seconds
                    self._out.append(Tell(words.LeadershipEnded()))

    def _stop_ordered(self, stop: StopControllee) -> None:
        self._stop = stop
        if self._has_controllee:
            self._out.append(stop)
        elif self.flush is not None:
            self._hasten(self.flush, stop)
        else:
            self._withdraw_start()
            self._gone(ControlleeExited("requested", "it had not been started"))

    def _gone(self, exited: ControlleeExited) -> None:
        """Tell the election that the controllee is gone, but in a handover only when its last words were passed on."""
        stop = self._stop
        can_flush = self._told is not None and self.replica is not Replica.CONDOR
        if can_flush and stop is not None and stop.reason in IS_WAITED_FOR and stop.timeout_seconds > 0:
            self.flush = Flush(exited, stop, self._now)
        else:
            self._out.append(Deliver(exited))

    # --- the replica ------------------------------------------------------------------------------------------

    def _reached(self, event: ReplicaFound | ReplicaLost) -> None:
        """The connection is new, or gone; either way, what was asked on the old one is not answered any more."""
        if isinstance(event, ReplicaFound):
            self.replica = Replica.OURS if event.is_ours else Replica.CONDOR
        elif self.replica is not Replica.UNREACHABLE:
            self.replica, self._lost_at = Replica.UNREACHABLE, self._now
        self.readiness.forget()
        for wait in (self.start, self.flush):
            if wait is not None:
                wait.forget_question()
        self._next_word = self._now

    def _speak(self) -> None:
        """Say whether this node leads; silence while an answer may be on its way that lets the controllee start."""
        if self._now < self._next_word:
            return
        self._next_word = self._now + self._pace_seconds
        if self.start is not None:
            self._out.append(Deliver(StartPostponed()))
        if self.replica is Replica.UNREACHABLE:
            return
        if self._told is not None:
            self._out.append(Tell(words.LeadershipConfirmed(self._told)))
        elif self.replica is Replica.OURS and (self.start is None or not self.start.request):
            self._out.append(Tell(words.LeadershipEnded()))

    @property
    def _pace_seconds(self) -> float:
        if self.replica is Replica.CONDOR and self.start is None:
            return self.settings.condor_interval_seconds
        return self.settings.timeout_seconds / 2

    def _number(self) -> int:
        self._requests += 1
        return self._requests

    def _withdraw(self, request: int) -> None:
        if request and self.replica is Replica.OURS:
            self._out.append(Tell(words.Withdrawn(request)))

    def _answered(self, answer: ReplicaAnswer) -> None:
        start, flush = self.start, self.flush
        if start is not None and answer.request == start.request:
            self._may_start(start, answer)
        elif flush is not None and answer.request == flush.request:
            self._flushed(flush, answer)
        else:
            self.readiness.answered(answer, self._now, self._pace_seconds)

    # --- a start, which waits for the state -------------------------------------------------------------------

    def _look_after_start(self) -> None:
        start = self.start
        if start is None:
            return
        if self.replica is Replica.OURS and not start.request and self._now >= start.ask_at:
            start.request, start.asked_at = self._number(), self._now
            refuses = self._is_waited_for(Currency.MISSING)
            self._out.append(Tell(words.CurrentAsked(start.request, is_missing_refused=refuses)))
        if self._now >= self._patience_ends_at(start) and self._now >= start.look_at and not start.looking:
            start.looking = self._number()
            self._out.append(LookForState(start.looking))
        if start.is_worth_saying(self._now):
            self._note("state_awaited", replica=self.replica.value, seconds=round(self._now - start.since, 1))

    def _patience_ends_at(self, start: Start) -> float:
        """When the controllee starts without a word of the replica."""
        if self.replica is Replica.OURS:
            seconds = self.settings.lifetime_seconds if self._told is None else RESTART_SECONDS
            return start.since + seconds + ANSWER_SECONDS
        if self.replica is Replica.CONDOR or self._told is not None:
            return start.since
        return max(start.since, self._lost_at) + self.settings.timeout_seconds

    def _may_start(self, start: Start, answer: ReplicaAnswer) -> None:
        start.request = 0
        if self._now - start.asked_at >= answer.good_for_seconds > 0:
            # It may have gone on to install something: it is asked once more.
            return
        if self._is_waited_for(answer.currency) and not answer.is_missing_everywhere:
            start.ask_at = self._now + self._pace_seconds
            return
        if answer.known_gid > self._epoch:
            self._out.append(Deliver(EpochKnown(answer.known_gid)))
        self._begin(start, answer.currency, answer.text)

    def _state_seen(self, event: StateSeen) -> None:
        """Nobody says how good the state is: go by what stands there."""
        start = self.start
        if start is None or event.request != start.looking:
            return
        start.looking = 0
        if self._now < self._patience_ends_at(start):
            # The replica was reached meanwhile.
            return
        was_current = self.replica is Replica.CONDOR or self.currency is Currency.CURRENT
        found = Currency.CURRENT if was_current else Currency.STALE
        currency = found if event.is_there else Currency.MISSING
        if self._is_waited_for(currency):
            start.look_at = self._now + self.settings.timeout_seconds
            return
        self._begin(start, currency, f"the replica of this node is {self.replica.value}")

    def _is_waited_for(self, currency: Currency) -> bool:
        """HAD_MISSING_STATE = wait; what a controllee had at its last start is good enough for the next."""
        waits = self.settings.missing_state is MissingState.WAIT and self.replica is not Replica.CONDOR
        return waits and self._told is None and currency is Currency.MISSING

    def _begin(self, start: Start, currency: Currency, text: str) -> None:
        """Tell the replica that this node leads, and let the controllee start."""
        self._withdraw(start.request)
        self.start = None
        self.currency = currency
        is_disaster = currency is Currency.MISSING and self.settings.missing_state is MissingState.DISASTER
        if self._told is None or self.replica is Replica.OURS:
            self._out.append(Tell(words.LeadershipBegan(self._epoch)))
            self._next_word = self._now + self._pace_seconds
        self._told = self._epoch
        self._note(_WORDS[currency], epoch=self._epoch, seconds=round(self._now - start.since, 3), text=text)
        self._out.append(Deliver(StartPostponed()))
        self._has_controllee = True
        self._out.append(StartOnState(self._epoch, currency, is_disaster))

    def _withdraw_start(self) -> None:
        if self.start is not None:
            self._withdraw(self.start.request)
            self.start = None

    # --- a flush, for which a handover waits ------------------------------------------------------------------

    def _look_after_flush(self) -> None:
        flush = self.flush
        if flush is None:
            return
        if self.replica is Replica.OURS and not flush.request:
            flush.request = self._number()
            seconds = max(0.0, flush.until - self._now)
            successor = self.settings.replica_of(flush.successor)
            self._out.append(Tell(words.FlushAsked(flush.request, seconds, successor)))
        if self._now >= self._flush_ends_at(flush):
            self._flushed(flush, None)

    def _flush_ends_at(self, flush: Flush) -> float:
        if self.replica is Replica.OURS:
            return flush.until + ANSWER_SECONDS
        if self.replica is Replica.CONDOR:
            return flush.since
        return min(flush.until, max(flush.since, self._lost_at) + self.settings.timeout_seconds)

    def _flushed(self, flush: Flush, answer: ReplicaAnswer | None) -> None:
        self.flush = None
        if answer is not None and answer.is_complete:
            self._note("state_flushed", peer=flush.successor, seconds=round(self._now - flush.since, 3))
            self._out.append(Deliver(flush.exited))
            return
        if answer is None:
            self._withdraw(flush.request)
        text = f"the replica of this node is {self.replica.value}" if answer is None else answer.text
        behind = " ".join(answer.behind) if answer is not None else ""
        self._note("flush_incomplete", peer=flush.successor, behind=behind, text=text)
        if flush.reason in CAN_BE_CALLED_OFF:
            self._out.append(Deliver(HandoverCalledOff(text)))
        else:
            self._out.append(Deliver(flush.exited))

    def _hasten(self, flush: Flush, stop: StopControllee) -> None:
        """The daemon is to end while the state is being handed on: to somebody else perhaps, or without waiting."""
        if stop.timeout_seconds <= 0:
            self.flush = None
            self._withdraw(flush.request)
            self._out.append(Deliver(flush.exited))
        elif flush.goes_to(stop):
            self._withdraw(flush.request)
            flush.forget_question()

    # --- saying and timing ------------------------------------------------------------------------------------

    def _note(self, name: str, **fields: str | float | None) -> None:
        self._out.append(Note(name, tuple(fields.items())))

    def _deadlines(self) -> list[float]:
        found = [self.readiness.retry_at]
        if self.replica is Replica.OURS or self._told is not None or self.start is not None:
            found.append(self._next_word)
        if self.start is not None:
            found += [self._patience_ends_at(self.start), *self.start.deadlines()]
        if self.flush is not None:
            found.append(self._flush_ends_at(self.flush))
        return found
