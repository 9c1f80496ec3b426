"""Says when the loop comes so late that heartbeats do: the machine is too busy for this HAD_CONNECTION_TIMEOUT.

A deadline that is missed by more than T/4 cost others a heartbeat, and a leader has T for four of them: what comes next
is a lease that lapses. The first such turn is told at once, later ones once a minute, with their number and the worst.
The figures behind it are the metric `had_loop_lag_seconds`.
"""

from __future__ import annotations

import math
from typing import Final

from daemoncore.event_log import Tell

LATE_SHARE: Final = 1 / 4
"""Later than by this share of T is late: so often a heartbeat is due (`ElectionSettings.heartbeat_seconds`)."""

PAUSE_SECONDS: Final = 60.0
"""A line a minute at most, since a starved machine has no time for lines either."""


class Lateness:
    """Watches the turns of one loop.

    Args:
        tell: is told of `loop_late`.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told_at = -math.inf
        self._times = 0
        self._worst_seconds = 0.0

    def turned(self, now: float, lag_seconds: float, timeout_seconds: float) -> None:
        """The loop turned at `now`, so much later than it had to, under this HAD_CONNECTION_TIMEOUT."""
        if lag_seconds > timeout_seconds * LATE_SHARE:
            self._times += 1
            self._worst_seconds = max(self._worst_seconds, lag_seconds)
        if self._times and now >= self._told_at + PAUSE_SECONDS:
            limit_seconds = timeout_seconds * LATE_SHARE
            worst = round(self._worst_seconds, 3)
            self._tell("loop_late", seconds=worst, limit=limit_seconds, times=self._times)
            self._told_at, self._times, self._worst_seconds = now, 0, 0.0
