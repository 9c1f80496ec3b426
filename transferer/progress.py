"""How far a copy is, told twice a second and no more often."""

import time
from collections.abc import Callable
from typing import Final

INTERVAL_SECONDS: Final = 0.5


class Progress:
    """Counts the bytes of one version."""

    def __init__(self, tell: Callable[..., None], total_bytes: int) -> None:
        """Begin to count.

        Args:
            tell: takes the event's name and its fields.
            total_bytes: of the whole version; a tail is less.
        """
        self._tell = tell
        self._total_bytes = total_bytes
        self._before_bytes = 0
        self.began = time.monotonic()
        self._told_at = self.began
        self._told_bytes = 0
        self.bytes = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began

    def moved_by(self, count: int) -> None:
        """Add bytes that were moved."""
        self.bytes += count
        now = time.monotonic()
        if now - self._told_at < INTERVAL_SECONDS:
            return
        rate = (self.bytes - self._told_bytes) / (now - self._told_at)
        self._told_at, self._told_bytes = now, self.bytes
        self._tell(
            "progress",
            bytes=self.bytes,
            total_bytes=self._total_bytes,
            seconds=round(now - self.began, 3),
            bytes_per_second=round(rate),
        )

    def moved_to(self, position: int) -> None:
        """Take note of how many bytes of the present file were moved."""
        self.moved_by(self._before_bytes + position - self.bytes)

    def finish_file(self, size: int) -> None:
        """Take note that a file of that many moved bytes is through."""
        self._before_bytes += size
