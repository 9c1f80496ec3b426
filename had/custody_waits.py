"""What the custody waits for: a start for the state, and the end of a handover for the flush.

`had.custody` alone writes these; times are on the machine's clock.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from had.election_settings import Member
from had.events import ControlleeExited, StopControllee
from had.transitions import Reason

FIRST_WORD_SECONDS: Final = 1.0
"""A start that waits for so long is mentioned in the log."""

NEXT_WORD_SECONDS: Final = 10.0
"""And then after so long each time."""

RESTART_SECONDS: Final = 10.0
"""A controllee that is started where it ran waits no longer for a replica that does not answer: what it left there is
current, and all that may be done with it meanwhile is to merge what is scheduled."""


@attrs.define
class Start:
    """A start of the controllee that waits for the state."""

    since: float
    #: When the replica is to be asked.
    ask_at: float
    #: The question that is out to it, 0 for none, and when that was asked.
    request: int = 0
    asked_at: float = -math.inf
    #: The look for the state file that is under way, 0 for none, and when one may be taken.
    looking: int = 0
    look_at: float = -math.inf
    #: When it was mentioned last.
    said_at: float | None = None

    def forget_question(self) -> None:
        """Ask again, at once."""
        self.request = 0
        self.ask_at = -math.inf

    @property
    def say_at(self) -> float:
        """When the wait is worth a line in the log."""
        return self.since + FIRST_WORD_SECONDS if self.said_at is None else self.said_at + NEXT_WORD_SECONDS

    def is_worth_saying(self, now: float) -> bool:
        """Whether the wait has lasted so long that it is to be mentioned now; it is asked once."""
        if now < self.say_at:
            return False
        self.said_at = now
        return True

    def deadlines(self) -> tuple[float, ...]:
        """When something may be done about it though nothing happened."""
        return self.ask_at, self.look_at, self.say_at


@attrs.define
class Flush:
    """The end of a controllee, which the election hears of when the state has been handed on."""

    exited: ControlleeExited
    stop: StopControllee
    since: float
    #: The question that is out to the replica, 0 for none.
    request: int = 0

    @property
    def until(self) -> float:
        """When the handover waits no longer: as long as the stop might have taken."""
        return self.since + self.stop.timeout_seconds

    @property
    def reason(self) -> Reason | None:
        """Why leadership is handed over."""
        return self.stop.reason

    @property
    def successor(self) -> Member | None:
        """To whom."""
        return self.stop.successor

    def forget_question(self) -> None:
        """Ask again, at once."""
        self.request = 0

    def goes_to(self, stop: StopControllee) -> bool:
        """Take a later order; return whether the state now has to reach somebody else."""
        is_another = stop.successor != self.stop.successor
        self.stop = attrs.evolve(stop, timeout_seconds=self.stop.timeout_seconds)
        return is_another
