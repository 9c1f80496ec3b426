"""What the store is given and what it says: its settings, its observer, and what it found at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import attrs

from replication.conflicts import Keeping
from replication.events import Event
from replication.manifest import Held
from replication.tracked_file import QUIET_SECONDS


@attrs.frozen
class StoreSettings:
    """What the configuration says; times in seconds.

    Attributes:
        keep_conflicts: REPLICATION_KEEP_CONFLICTS.
        interval_seconds: REPLICATION_INTERVAL, the longest time between two looks at the state.
        half_life_seconds: PRIORITY_HALFLIFE, for merging Accountants' logs.
        quiet_seconds: a file that is no ClassAd log counts when nobody wrote to it for so long. Only at the start.
    """

    keep_conflicts: int = 8
    interval_seconds: float = 300.0
    half_life_seconds: float = 86400.0
    quiet_seconds: float = QUIET_SECONDS


@attrs.frozen
class Opening:
    """What was found at the start.

    Attributes:
        held: what this node holds, None if it holds nothing that has a version.
        events: what the machine is to be told before anything else, in this order.
        sentences: for the log; what was not as it should be, and what was done about it.
    """

    held: Held | None
    events: tuple[Event, ...]
    sentences: tuple[str, ...]


@attrs.frozen
class StandingFile:
    """One file of the state as the last look found it.

    Attributes:
        name: in a version.
        path: where it is.
        size_bytes: as much of it as counts.
        modified_at: Unix time, by its own time of modification.
    """

    name: str
    path: Path
    size_bytes: int
    modified_at: float


class StoreObserver(Protocol):
    """Who is told what happens on the disk side; on the loop."""

    def fault_changed(self, fault: str | None) -> None:
        """Why changes are not noticed at once, or the state cannot be read; None when that is over."""

    def conflict_kept(self, keeping: Keeping) -> None:
        """A conflict was kept; `is_over_limit` is worth an alarm."""

    def conflict_not_kept(self, error: str) -> None:
        """What somebody changed who must not could not be kept. It will be before it is replaced."""

    def ancestor_not_kept(self, error: str) -> None:
        """What a leadership began with could not be kept: a merge may have to do without."""

    def conflict_not_usable(self, identifier: str, reason: str) -> None:
        """A conflict that was scheduled can be neither merged nor restored, and waits no more."""

    def background_failed(self, error: str) -> None:
        """Something that was asked of the disk in passing failed."""
