"""State that lost: kept, listed, restored, exported or merged, and never silently gone.

A conflict is a whole copy of a state that is about to be replaced by one that did not grow out of it: the loser's
after a partition, a file that changed while its node did not lead, bytes written as leader that nobody acknowledged.
REPLICATION_KEEP_CONFLICTS limits how many are kept, but only those that people have exported or merged make room,
the oldest first (hard case 21). When none may go all are kept, and whoever kept one too many is told to raise an alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from replication.archive import Archive, Copy
from replication.disk import Disk, Source
from replication.manifest import FileRecord, total_bytes
from replication.version import Version


@attrs.frozen
class Keeping:
    """What came of keeping one conflict.

    Attributes:
        conflict: the copy.
        removed: identifiers of older ones that made room.
        is_over_limit: more are kept than wished, since nobody exported or merged any: worth an alarm.
    """

    conflict: Copy
    removed: tuple[str, ...]
    is_over_limit: bool


class Conflicts:
    """The conflicts of one node. Blocks on the disk; raises `DurableError` when it fails, `ArchiveError` for names."""

    def __init__(self, folder: Path, limit: int, disk: Disk | None = None) -> None:
        """Look at the conflicts in a folder of ours; it is made when the first one is kept.

        Args:
            folder: inside the daemon's own one in HAD_DIR.
            limit: REPLICATION_KEEP_CONFLICTS.
            disk: where.
        """
        self.archive = Archive(folder, disk)
        self._limit = limit

    def limit_to(self, limit: int) -> None:
        """Keep that many from now on."""
        self._limit = limit

    def keep(
        self,
        version: Version,
        files: tuple[FileRecord, ...],
        sources: Mapping[str, Source],
        *,
        reason: str,
        kept_at_seconds: float,
        replaced_by: Version | None = None,
        is_version: bool = False,
        holds: tuple[str, ...] = (),
    ) -> Keeping:
        """Keep a state that is about to be replaced; durable on return. Keeping it again keeps it once.

        Args:
            version: what the state is called; where nobody published it, the version that it was changed from.
            files: what it holds, as a snapshot found it.
            sources: where each file is, by name.
            reason: a sentence for people.
            kept_at_seconds: Unix time.
            replaced_by: what will stand in its place.
            is_version: it is that version to the last byte, so that its lineage says what it holds.
            holds: names of other conflicts that were merged into it.
        """
        notes: dict[str, Any] = {
            "is_version": is_version,
            "reason": reason,
            "kept_at": kept_at_seconds,
            "replaced_by": None if replaced_by is None else replaced_by.to_document(),
        }
        if holds:
            notes["holds"] = list(holds)
        conflict = self.archive.keep(version, files, sources, notes)
        if replaced_by is not None and conflict.notes.get("replaced_by") is None:
            # It was kept when it was found, and is replaced only now.
            conflict = self.archive.note(conflict, replaced_by=notes["replaced_by"])
        removed = self._make_room(conflict)
        return Keeping(conflict, removed, len(self.archive.copies()) > self._limit)

    def export(self, identifier: str, folder: Path) -> None:
        """Write a conflict's files into a new folder; it may then go when room is needed."""
        conflict = self.archive.find(identifier)
        self.archive.write_out(conflict, folder)
        self.archive.note(conflict, exported_to=str(folder))

    def mark_merged(self, identifier: str, result: Version) -> None:
        """Remember that a version holds what the conflict held; it may then go when room is needed."""
        self.archive.note(self.archive.find(identifier), merged_into=str(result.point))

    def documents(self) -> list[dict[str, Any]]:
        """List all conflicts, the oldest first, as `/status` and `hadctl conflicts` show them; all keys always."""
        return [document(conflict) for conflict in self.by_age()]

    def by_age(self) -> list[Copy]:
        """Give all conflicts, the oldest first."""
        return sorted(self.archive.copies(), key=lambda copy: float(copy.notes.get("kept_at", 0.0)))

    def _make_room(self, newest: Copy) -> tuple[str, ...]:
        """Remove the oldest conflicts that may go, while there are too many."""
        conflicts = self.by_age()
        excess = len(conflicts) - self._limit
        going = [one for one in conflicts if is_settled(one) and one.identifier != newest.identifier]
        for conflict in going[: max(0, excess)]:
            self.archive.remove(conflict)
        return tuple(conflict.identifier for conflict in going[: max(0, excess)])


def is_settled(conflict: Copy) -> bool:
    """Whether people have taken what they wanted of a conflict: it was exported or merged."""
    return bool(conflict.notes.get("exported_to") or conflict.notes.get("merged_into"))


def document(conflict: Copy) -> dict[str, Any]:
    """Describe one conflict as a JSON object; the same keys for each."""
    notes = conflict.notes
    return {
        "id": conflict.identifier,
        "version": conflict.version.to_document(),
        "files": [record.to_document() for record in conflict.files],
        "bytes": total_bytes(conflict.files),
        "reason": notes.get("reason"),
        "kept_at": notes.get("kept_at"),
        "replaced_by": notes.get("replaced_by"),
        "exported_to": notes.get("exported_to"),
        "merged_into": notes.get("merged_into"),
        "failure": notes.get("failure"),
    }
