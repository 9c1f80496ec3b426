"""The election and the custody of the state, driven as one machine.

The driver hands in every event; what concerns the controllee or the replica goes to the custody, the rest to the
election. What the one has to tell the other is passed on within the same turn, so that neither ever sees the other's
yesterday. Without a replica the election is driven alone.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TypeAlias

from had.custody import Custody, Entrusted, Informed, Outcome
from had.custody_events import Deliver, Incumbent
from had.election import Election
from had.events import Effect, Event, Tick
from had.transitions import State

Act: TypeAlias = Effect | Outcome
"""What the driver has to do."""


class Tandem:
    """One node's election, and its custody of the state.

    Args:
        election: the machine that decides who leads.
        custody: the machine that minds the state.
    """

    def __init__(self, election: Election, custody: Custody) -> None:
        self.election = election
        self.custody = custody
        self._incumbent: int | None = None
        self._now = math.nan
        self._waiting: deque[Event] = deque()
        self._acts: list[Act] = []

    @property
    def deadline(self) -> float | None:
        """When to call `handle(Tick(), ...)` at the latest; None is never."""
        deadline = self.election.deadline
        return None if deadline is None else min(deadline, self.custody.deadline)

    def handle(self, event: Event | Informed, now: float) -> list[Act]:
        """Take one event and return what to do about it, in order."""
        self._now, self._acts = now, []
        if isinstance(event, Tick):
            self._tick(event)
        elif isinstance(event, Informed):
            self._keep(event)
        else:
            self._waiting.append(event)
        self._pass_on()
        return self._acts

    def _tick(self, tick: Tick) -> None:
        """Wake whichever asked for it."""
        if self._now >= self.custody.deadline:
            self._keep(tick)
        deadline = self.election.deadline
        if deadline is not None and self._now >= deadline:
            self._waiting.append(tick)

    def _pass_on(self) -> None:
        """Let each tell the other, until neither has anything to tell."""
        while self._waiting:
            while self._waiting:
                self._elect(self._waiting.popleft())
            incumbent = self._incumbent_epoch()
            if incumbent != self._incumbent:
                self._incumbent = incumbent
                self._keep(Incumbent(incumbent))

    def _incumbent_epoch(self) -> int | None:
        """The epoch of the leader that serves while this node does not."""
        best = self.election.best_leader
        return None if best is None or self.election.state is State.LEADER else best.claim.epoch

    def _elect(self, event: Event) -> None:
        for effect in self._decide(event):
            if isinstance(effect, Entrusted):
                self._keep(effect)
            else:
                self._acts.append(effect)

    def _decide(self, event: Event) -> list[Effect]:
        return self.election.handle(event, self._now)

    def _keep(self, event: Entrusted | Informed | Incumbent | Tick) -> None:
        for outcome in self.custody.handle(event, self._now):
            if isinstance(outcome, Deliver):
                self._waiting.append(outcome.event)
            else:
                self._acts.append(outcome)
