"""Whether a node can keep a controllee alive: its deaths, the waits between tries, and abstention (P5).

The first death is answered by an immediate restart. After `QUICK_DEATHS` in a row, each within the recover time,
the node abstains for HTCondor's backoff, longer each time, so that a broken primary cannot churn the pool
(MASTER_HAD_BACKOFF_CONSTANT in HTCondor's manual, section 3.11.2.3). A leader that had to call off handing over, since the
state could not follow, lets the primary wait for the same growing times.
"""

from __future__ import annotations

import math

import attrs

from had.election_settings import ElectionSettings
from had.ranking import backoff_seconds

QUICK_DEATHS = 2
"""So many deaths in a row, each within the recover time, make a leader abstain."""

START_SECONDS = 10.0
"""A fork and an exec take milliseconds; a program on a dead file system takes for ever."""


@attrs.define
class Fitness:
    """The history of one node's controllee; times are on the machine's clock."""

    quick_deaths: int = 0
    abstentions: int = 0
    abstains_since: float | None = None
    abstains_until: float = -math.inf
    #: When the next start is due; infinity for never.
    restart_at: float = math.inf
    #: How often in this leadership handing over was called off, and when it may be tried again.
    calls_off: int = 0
    yields_from: float = -math.inf

    def died(self, ran_seconds: float, now: float, settings: ElectionSettings) -> bool:
        """Count a death, set the time of the next start, and return whether the node should abstain."""
        if ran_seconds >= settings.recover_seconds:
            self.quick_deaths = self.abstentions = 0
        else:
            self.quick_deaths += 1
        if self.quick_deaths < QUICK_DEATHS:
            self.restart_at = now
            return False
        self.restart_at = now + _backoff(self.quick_deaths, settings)
        return True

    def abstain(self, now: float, settings: ElectionSettings) -> float:
        """Begin to abstain and return for how many seconds."""
        seconds = _backoff(self.abstentions, settings)
        self.abstentions += 1
        self.abstains_since = now
        self.abstains_until = now + seconds
        return seconds

    def called_off(self, now: float, settings: ElectionSettings) -> None:
        """Start the controllee again at once, and give the primary another try only after a while."""
        self.restart_at = now
        self.yields_from = now + _backoff(self.calls_off, settings)
        self.calls_off += 1

    def leads_no_more(self) -> None:
        """Forget what was due in a leadership that is over."""
        self.restart_at = math.inf
        self.calls_off, self.yields_from = 0, -math.inf

    def is_abstention_over(self, now: float) -> bool:
        """Whether an abstention has just run out; it is ended by asking."""
        if self.abstains_since is None or now < self.abstains_until:
            return False
        self.abstains_since = None
        self.quick_deaths = 0
        return True

    def forgive(self, now: float) -> None:
        """Begin anew, as after a hard reconfiguration (hard case 10)."""
        self.quick_deaths = self.abstentions = 0
        self.abstains_since = None
        if self.restart_at < math.inf:
            self.restart_at = now


def start_ends_at(began: float, settings: ElectionSettings) -> float:
    """When a start that is still not reported hangs: after `START_SECONDS`, or 2 T if that is longer."""
    return began + max(START_SECONDS, 2 * settings.timeout_seconds)


def _backoff(tries: int, settings: ElectionSettings) -> float:
    return backoff_seconds(
        tries,
        settings.backoff_constant_seconds,
        settings.backoff_factor,
        settings.backoff_ceiling_seconds,
    )
