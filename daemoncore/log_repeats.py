"""Keeps a line that repeats itself from filling the log: a few are shown, the rest are counted.

A peer that is refused every second says the same each time. The first lines of a window pass; the others
are counted, and when the window is over one line says how many there were. Nothing is lost in silence.
"""

from collections.abc import Iterator
from typing import Final

import attrs

#: How many equal lines pass in one window.
BURST: Final = 5

#: How long a window lasts, in seconds.
WINDOW_SECONDS: Final = 60.0

#: Different lines remembered at a time. The oldest is told and forgotten first.
REMEMBERED_LINES: Final = 512


@attrs.define
class _Window:
    began: float
    seen: int = 0


class RepeatLimiter:
    """Decides for each line whether it is shown. Times are seconds on any clock that never goes back."""

    def __init__(
        self,
        *,
        burst: int = BURST,
        window_seconds: float = WINDOW_SECONDS,
        remembered_lines: int = REMEMBERED_LINES,
    ) -> None:
        self._burst = burst
        self._window_seconds = window_seconds
        self._remembered_lines = remembered_lines
        # In the order in which the windows began, so the oldest is always first.
        self._windows: dict[str, _Window] = {}

    def admit(self, text: str, now: float) -> bool:
        """Say whether this line is shown now. Ask `overdue` first, or an old window may still hold."""
        window = self._windows.setdefault(text, _Window(now))
        window.seen += 1
        return window.seen <= self._burst

    def overdue(self, now: float) -> Iterator[str]:
        """Forget windows that are over; yield a summary line for each that hid something."""
        while self._windows:
            text, window = next(iter(self._windows.items()))
            is_over = now - window.began >= self._window_seconds
            if not is_over and len(self._windows) <= self._remembered_lines:
                return
            del self._windows[text]
            yield from _summary(text, window, self._burst)

    def drain(self) -> Iterator[str]:
        """Forget everything; yield a summary line for each window that hid something."""
        windows, self._windows = self._windows, {}
        for text, window in windows.items():
            yield from _summary(text, window, self._burst)


def _summary(text: str, window: _Window, burst: int) -> Iterator[str]:
    if window.seen > burst:
        yield f"{text} ... repeated {window.seen - burst} times"
