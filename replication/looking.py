"""When the state is looked at, as a pure policy: on news, when a change has had time to settle, and now and then.

One look is under way at a time. News that come meanwhile ask for one more, whatever they were. A state that is being
written is looked at again when it may be quiet, one that cannot be read each second.

A leadership that ends asks for a *last* look. If its controllee is known to be gone that is the very next one; else
looks go on until the state was quiet for so long, judged by its signature, and the last one finds it as the one
before.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

#: An interval of 0 means this: a look costs little, and is not free.
FLOOR_SECONDS: Final = 0.25

#: What cannot be read is tried again after this.
FAILED_RETRY_SECONDS: Final = 1.0

#: A state that was being written at every look for so long is worth a word to people.
STILL_CHANGING_SECONDS: Final = 2.0


@attrs.define
class _Settling:
    """The last look that was asked for."""

    quiet_seconds: float
    quiet_since: float

    @property
    def due_at(self) -> float:
        return self.quiet_since + self.quiet_seconds


class Looking:
    """Times are seconds on one clock that never steps.

    Args:
        interval_seconds: REPLICATION_INTERVAL, the longest time between two looks.
    """

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        #: A controllee writes here, or has been told to stop and its last bytes were not looked at.
        self.is_led_here = False
        #: The state was being written at every look for too long.
        self.is_still_changing = False
        self._is_wanted = False
        self._is_under_way = False
        self._is_last = False
        self._looked_at = -math.inf
        self._retry_at = math.inf
        self._changing_since: float | None = None
        self._signature: object = None
        self._settling: _Settling | None = None

    @property
    def deadline(self) -> float:
        """When the next look is due; infinity while one is under way."""
        if self._is_under_way:
            return math.inf
        if self._is_wanted:
            return -math.inf
        if self._retry_at < math.inf:
            return self._retry_at
        floor = self._looked_at + max(self.interval_seconds, FLOOR_SECONDS)
        return floor if self._settling is None else min(floor, self._settling.due_at)

    def want(self) -> None:
        """Something may have changed."""
        self._is_wanted = True

    def watch(self) -> None:
        """A controllee writes here from now on."""
        self.is_led_here, self._settling, self._is_wanted = True, None, True

    def settle(self, quiet_seconds: float, now: float) -> None:
        """Look a last time when the state was quiet for so long; 0 if its controllee is gone."""
        self.is_led_here, self._settling, self._is_wanted = True, _Settling(quiet_seconds, now), True
        # One that is under way began before.
        self._is_last = False

    def begin(self, now: float) -> bool:
        """A look begins; return whether it is the last one that was asked for."""
        assert not self._is_under_way, "one look at a time"
        self._is_under_way, self._is_wanted, self._retry_at = True, False, math.inf
        self._looked_at = now
        self._is_last = self._settling is not None and now >= self._settling.due_at
        return self._is_last

    def ended(self, now: float, signature: object, retry_seconds: float | None = None) -> bool:
        """A look is over; return whether it was the last one, and good.

        Args:
            now: seconds.
            signature: what it saw, another one whenever somebody wrote in between.
            retry_seconds: somebody is writing, so that it has to be repeated.
        """
        self._is_under_way = False
        is_disturbed, self._signature = signature != self._signature, signature
        if retry_seconds is None:
            self._changing_since = None
        else:
            self._retry_at = now + retry_seconds
            self._changing_since = now if self._changing_since is None else self._changing_since
        since = self._changing_since
        self.is_still_changing = since is not None and now - since >= STILL_CHANGING_SECONDS
        settling = self._settling
        if settling is None:
            return False
        is_disturbed = is_disturbed and settling.quiet_seconds > 0
        if is_disturbed:
            settling.quiet_since = now
        if not self._is_last or retry_seconds is not None or is_disturbed:
            return False
        self._settling, self.is_led_here = None, False
        return True

    def failed(self, now: float) -> None:
        """The state could not be read; whatever was to be settled is not."""
        self._is_under_way = False
        self._retry_at = now + FAILED_RETRY_SECONDS
