"""The clock of leases, CLOCK_BOOTTIME, and an alarm on it.

It never jumps with the wall clock, and unlike CLOCK_MONOTONIC it goes on while the machine is suspended, so a lease
that ran out during a suspension is over when the machine wakes. Sleeping in select or poll counts CLOCK_MONOTONIC and
would oversleep by the length of the suspension; a timerfd on CLOCK_BOOTTIME rings at once. Python has timerfd from
3.13 on, hence ctypes. The guard process imports this module: standard library only.
"""

from __future__ import annotations

import ctypes
import math
import os
import time

_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_NONBLOCK = os.O_NONBLOCK
#: timerfd_settime(2): the time given is a point in time, not a duration.
_TFD_TIMER_ABSTIME = 1

_libc = ctypes.CDLL(None, use_errno=True)


def now() -> float:
    """Seconds since the machine started, time asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Alarm:
    """A descriptor that becomes readable at a point in time."""

    def __init__(self) -> None:
        self._descriptor = _checked(_libc.timerfd_create(time.CLOCK_BOOTTIME, _TFD_CLOEXEC | _TFD_NONBLOCK))

    def fileno(self) -> int:
        """The descriptor, for select."""
        return self._descriptor

    def set(self, deadline: float) -> None:
        """Ring at `deadline` (seconds on this clock; the past rings at once, infinity never)."""
        if math.isinf(deadline):
            seconds = nanoseconds = 0
        else:
            # All zero would disarm the timer.
            whole = max(1, math.ceil(deadline * 1e9))
            seconds, nanoseconds = divmod(whole, 1_000_000_000)
        # struct itimerspec: interval (seconds, nanoseconds), then the first ring.
        setting = (ctypes.c_long * 4)(0, 0, seconds, nanoseconds)
        _checked(_libc.timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, setting, None))

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"timerfd: {os.strerror(number)}")
    return result
