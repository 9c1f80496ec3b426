"""Whether this node could take over, or hand over, with nothing lost of what the controllee wrote.

While another node leads, the replica is asked whether the state here is as new as that leader's, until it is. Whoever
leads is ready as soon as its replica answers at all. While nobody leads nobody asks: the last word stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from had.custody_events import Deliver, Replica, StateReady, Tell
from had.events import Note
from had.replica_words import Currency, CurrentAsked, ReplicaAnswer, Withdrawn


@attrs.define
class Readiness:
    """What is known of it; times are on the machine's clock."""

    is_ready: bool = False
    #: Whose state ours is compared with: the incumbent's epoch.
    epoch: int | None = None
    #: The question that is out to the replica, 0 for none.
    request: int = 0
    is_answered: bool = False
    retry_at: float = -math.inf

    def forget(self) -> None:
        """The connection to the replica is another: what was asked on the old one counts for nothing."""
        self.epoch, self.request, self.is_answered, self.retry_at = None, 0, False, -math.inf

    def answered(self, answer: ReplicaAnswer, now: float, pace_seconds: float) -> None:
        """Take the answer, if it is to our question; one that is not good enough is asked for again."""
        if answer.request == self.request:
            self.request = 0
            self.is_answered = answer.currency is not Currency.STALE
            self.retry_at = now + pace_seconds

    def advance(
        self,
        replica: Replica,
        incumbent: int | None,
        now: float,
        number: Callable[[], int],
        *,
        is_leading: bool,
    ) -> list[Tell | Deliver | Note]:
        """Ask what is to be asked, and tell the election what is news.

        Args:
            replica: what answers here.
            incumbent: the epoch of the leader that serves; None if there is none, or it is this node.
            now: the time.
            number: gives the number of a new question.
            is_leading: this node leads.
        """
        found: list[Tell | Deliver | Note] = []
        if replica is Replica.OURS:
            if self.epoch != incumbent:
                if self.request:
                    found.append(Tell(Withdrawn(self.request)))
                self.forget()
                self.epoch = incumbent
            if incumbent is not None and not (self.request or self.is_answered) and now >= self.retry_at:
                self.request = number()
                found.append(Tell(CurrentAsked(self.request, incumbent)))
        is_ready = self._judge(replica, is_leading=is_leading)
        if is_ready is not self.is_ready:
            self.is_ready = is_ready
            found += [Note("readiness", (("ready", is_ready),)), Deliver(StateReady(is_ready))]
        return found

    def _judge(self, replica: Replica, *, is_leading: bool) -> bool:
        if replica is not Replica.OURS:
            return replica is Replica.CONDOR
        if is_leading:
            return True
        return self.is_ready if self.epoch is None else self.is_answered
