"""Tells people what happens on the disk side: the log and the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from daemoncore.event_log import Tell
from replication.conflicts import Keeping
from replication.manifest import total_bytes
from replication.metrics import ReplicationMetrics
from replication.places import Places
from replication.store_terms import StandingFile


class StoreTelling:
    """A `store_terms.StoreObserver`.

    Args:
        tell: is told of what is worth a line.
        metrics: the numbers.
    """

    def __init__(self, tell: Tell, metrics: ReplicationMetrics) -> None:
        self._tell = tell
        self._metrics = metrics

    def fault_changed(self, fault: str | None) -> None:
        """Why changes are not noticed at once, or the state cannot be read; None when that is over."""
        if fault is None:
            self._tell("state_watched")
        else:
            self._tell("state_not_watched", text=fault)

    def conflict_kept(self, keeping: Keeping) -> None:
        """A conflict was kept."""
        conflict = keeping.conflict
        fields = {"version": conflict.version.point, "bytes": total_bytes(conflict.files)}
        self._tell("conflict_kept", id=conflict.identifier, **fields, reason=conflict.notes.get("reason"))
        for identifier in keeping.removed:
            self._tell("conflict_made_room", id=identifier)
        if keeping.is_over_limit:
            self._tell("conflicts_over_limit")

    def conflict_not_kept(self, error: str) -> None:
        """What somebody changed who must not could not be kept yet."""
        self._tell("conflict_not_kept", error=error)

    def ancestor_not_kept(self, error: str) -> None:
        """What a leadership began with could not be kept."""
        self._tell("ancestor_not_kept", error=error)

    def conflict_not_usable(self, identifier: str, reason: str) -> None:
        """A conflict that was scheduled can be neither merged nor restored."""
        self._tell("conflict_not_usable", id=identifier, reason=reason)

    def background_failed(self, error: str) -> None:
        """Something that was asked of the disk in passing failed."""
        self._tell("background_failed", error=error)

    def measure(
        self, places: Places, files: Iterable[StandingFile], conflicts: Iterable[Mapping[str, Any]]
    ) -> None:
        """Say what stands here and what is kept; to be called before each scrape.

        Args:
            places: where the state lies. A folder is one entry, with the sum of its files and the time of the newest.
            files: what stands there.
            conflicts: what is kept, as documents.
        """
        sizes, moments = dict.fromkeys(map(str, places.paths), 0), dict.fromkeys(map(str, places.paths), 0.0)
        for file in files:
            entry = str(places.paths[0] if places.is_folder else file.path)
            sizes[entry] = sizes.get(entry, 0) + file.size_bytes
            moments[entry] = max(moments.get(entry, 0.0), file.modified_at)
        for entry, size_bytes in sizes.items():
            self._metrics.file(entry, size_bytes, moments[entry])
        is_settled = [bool(one.get("exported_to") or one.get("merged_into")) for one in conflicts]
        self._metrics.conflicts(is_settled.count(False))
