"""The states from which leaderships began: what a three-way merge of diverged logs starts from.

A node keeps a copy of its state at the moment it begins to lead, since from then on its controllee writes over it. If
the leader before goes on elsewhere, behind a partition, this copy is the newest state that both grew out of. Only the
last few are kept, and no large ones: what can be merged are the Accountant's logs, which HTCondor keeps near a
megabyte (MAX_ACCOUNTANT_DATABASE_SIZE).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from replication.archive import Archive, Copy
from replication.disk import Disk, Source
from replication.manifest import FileRecord, total_bytes
from replication.version import Version, common_ancestor

#: Leaderships to look back. A divergence is found when the partition heals, a few leaderships later at most.
ANCESTORS_LIMIT: Final = 8

#: A larger state is not kept: nothing of that size is merged, and every change of leader would copy it.
ANCESTOR_LIMIT_BYTES: Final = 64 << 20

#: Nor is one of more files: each costs a sync, for which a new leadership would wait.
ANCESTOR_LIMIT_FILES: Final = 16


class Ancestors:
    """The kept states of one node. Blocks on the disk; raises `DurableError` when it fails."""

    def __init__(self, folder: Path, disk: Disk | None = None, limit: int = ANCESTORS_LIMIT) -> None:
        self.archive = Archive(folder, disk)
        self._limit = limit

    def keep(
        self,
        version: Version,
        files: tuple[FileRecord, ...],
        sources: Mapping[str, Source],
        *,
        kept_at_seconds: float,
    ) -> Copy | None:
        """Keep the state that a leadership begins with; durable on return.

        Args:
            version: the leadership's parent.
            files: what the state holds.
            sources: where each file is, by name.
            kept_at_seconds: Unix time.

        Returns:
            None if it is too large to be merged, ever.
        """
        if total_bytes(files) > ANCESTOR_LIMIT_BYTES or len(files) > ANCESTOR_LIMIT_FILES:
            return None
        copy = self.archive.keep(version, files, sources, {"kept_at": kept_at_seconds})
        others = [one for one in self.archive.copies() if one.identifier != copy.identifier]
        others.sort(key=lambda one: float(one.notes.get("kept_at", 0.0)))
        for old in others[: max(0, len(others) + 1 - self._limit)]:
            self.archive.remove(old)
        return copy

    def base_of(self, one: Version, other: Version) -> Copy | None:
        """Find the state that a merge of two diverged versions starts from; None if it was not kept."""
        point = common_ancestor(one, other)
        return next((copy for copy in self.archive.copies() if copy.version.point == point), None)
