"""All copies of states that this node keeps: conflicts, the ancestors of merges, and conflicts borrowed from others.

They are made, marked and removed on the store's thread. What they are is also kept in memory (`Contents`), read again
after each change, so that whoever asks for a status, or for a copy to be sent, touches no disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from daemoncore.durable import DurableError
from replication.ancestors import Ancestors
from replication.archive import Archive, ArchiveError, Copy
from replication.conflicts import Conflicts, Keeping, document, is_settled
from replication.copy_fetch import Fetched
from replication.disk import Disk, RealDisk, Source, remove_tree
from replication.events import Archived
from replication.manifest import FileRecord, Held
from replication.merged_elsewhere import MergedElsewhere
from replication.overlaps import notes_untrusted, told_notes
from replication.places import Places
from replication.revising import Reviser
from replication.sendable import Sendable, SendableFile
from replication.version import Point, Version

CONFLICTS: Final = "conflicts"
ANCESTORS: Final = "ancestors"
MERGED: Final = "merged.json"
_BORROWED: Final = "borrowed"
_BORROWING: Final = "borrowing"


@attrs.frozen
class Contents:
    """What is kept, as it was read last.

    Attributes:
        conflicts: this node's own, the oldest first.
        ancestors: what merges start from.
        pending: identifiers of conflicts that wait to be merged or restored, with which of both.
        failed: identifiers of borrowed conflicts that could not be, with the reason; this node's own say it themselves.
        archived: for the machine.
    """

    conflicts: tuple[Copy, ...] = ()
    ancestors: tuple[Copy, ...] = ()
    pending: Mapping[str, str] = attrs.field(factory=dict)
    failed: Mapping[str, str] = attrs.field(factory=dict)
    archived: Archived = attrs.field(factory=lambda: Archived(()))

    @property
    def documents(self) -> tuple[dict[str, Any], ...]:
        """The conflicts as `/status` shows them."""
        return tuple(document(conflict) for conflict in self.conflicts)


@attrs.frozen
class Tidings:
    """What happened to the copies during one act, for whoever watches.

    Attributes:
        kept: conflicts that were kept.
        ancestors_lost: why the parent of a new leadership could not be kept.
        problems: conflicts that could not be merged or restored, with the reason.
        contents: what is kept now; None if that is as before.
    """

    kept: tuple[Keeping, ...] = ()
    ancestors_lost: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    contents: Contents | None = None


class Keepsakes:
    """The copies of one node. Blocks on the disk; raises `DurableError` when it fails, `ArchiveError` for names."""

    def __init__(
        self,
        places: Places,
        limit: int,
        half_life_seconds: Callable[[], float],
        wall_clock: Callable[[], float],
        disk: Disk | None = None,
    ) -> None:
        self._disk: Disk = RealDisk() if disk is None else disk
        self._wall_clock = wall_clock
        self._is_folder = places.is_folder
        folder = places.folder
        #: Where what is fetched may be put for a moment.
        self.borrowing_folder = folder / _BORROWING
        self.conflicts = Conflicts(folder / CONFLICTS, limit, disk)
        self.ancestors = Ancestors(folder / ANCESTORS, disk)
        self.borrowed = Archive(folder / _BORROWED, disk)
        self.reviser = Reviser(
            places,
            self.conflicts.archive,
            self.ancestors,
            self.borrowed,
            half_life_seconds,
            wall_clock,
            disk,
        )
        #: What was merged into the state, by others too; no copy of it need be here.
        self.merged_elsewhere = MergedElsewhere(folder / MERGED, self._disk)
        #: Something was kept, marked or removed since `read`.
        self.is_stale = True
        self._kept: list[Keeping] = []
        self._ancestors_lost: list[str] = []
        self._problems: list[tuple[str, str]] = []

    def sweep(self) -> None:
        """Remove what interrupted keeping, removing and borrowing left, and recall what was merged."""
        self.merged_elsewhere.recall()
        for archive in (self.conflicts.archive, self.ancestors.archive, self.borrowed):
            archive.sweep()
        for name in self._disk.names(self.borrowing_folder.parent):
            if name.startswith(_BORROWING):
                remove_tree(self._disk, self.borrowing_folder.with_name(name))

    # --- keeping ----------------------------------------------------------------------------------------------

    def keep(
        self,
        version: Version,
        files: tuple[FileRecord, ...],
        sources: Mapping[str, Source],
        *,
        reason: str,
        is_version: bool,
        replaced_by: Version | None = None,
    ) -> None:
        """Keep a conflict; see `Conflicts.keep`."""
        self.is_stale = True
        keeping = self.conflicts.keep(
            version,
            files,
            sources,
            reason=reason,
            kept_at_seconds=self._wall_clock(),
            replaced_by=replaced_by,
            is_version=is_version,
            holds=self._merged_into(version),
        )
        self._kept.append(keeping)

    def _merged_into(self, version: Version) -> tuple[str, ...]:
        """Name the conflicts that a state holds, of which nobody could tell when it is a conflict itself."""
        heard = (name for name, point in self.merged_elsewhere.points.items() if version.has(point))
        return tuple(dict.fromkeys((*self.reviser.merged_in(version), *heard)))

    def keep_ancestor(self, parent: Held, sources: Mapping[str, Source]) -> None:
        """Keep what a leadership begins with; without it merges are less exact, so a failure is only told."""
        self.is_stale = True
        try:
            self.ancestors.keep(parent.version, parent.files, sources, kept_at_seconds=self._wall_clock())
        except DurableError as error:
            self._ancestors_lost.append(str(error))

    def export(self, identifier: str, folder: Path) -> None:
        """Write a conflict of this node into a new folder."""
        self.is_stale = True
        self.conflicts.export(identifier, folder)

    def drop(self, identifier: str) -> None:
        """Remove a conflict of this node: somebody wants nothing of it."""
        self.is_stale = True
        self.conflicts.archive.remove(self.conflicts.archive.find(identifier))

    def mark_merged(self, identifiers: Sequence[str], point: Point) -> None:
        """Remember of conflicts that a version holds them, of borrowed ones too: they may be scheduled to be merged here."""
        self.is_stale = True
        for archive in (self.conflicts.archive, self.borrowed):
            for identifier in identifiers:
                copy = archive.find_or_none(identifier)
                if copy is not None and not copy.notes.get("merged_into"):
                    archive.note(copy, merged_into=str(point), merged_at=self._wall_clock(), scheduled=None)

    def borrow(self, fetched: Fetched, *, is_ancestor: bool) -> Copy:
        """Keep what was fetched from another node; it is not where it was put any more.

        Raises:
            ArchiveError: it is an ancestor that is too large to be merged.
        """
        self.is_stale = True
        files = self._in_order(fetched.files)
        sources: dict[str, Source] = {record.name: fetched.folder / record.name for record in files}
        now = self._wall_clock()
        try:
            if not is_ancestor:
                notes = {"kept_at": now, **notes_untrusted(fetched.document)}
                return self.borrowed.keep(fetched.version, files, sources, notes)
            copy = self.ancestors.keep(fetched.version, files, sources, kept_at_seconds=now)
        finally:
            remove_tree(self._disk, fetched.folder)
        if copy is None:
            raise ArchiveError(f"the ancestor {fetched.version.point} is too large to be merged")
        return copy

    def expire(self) -> None:
        """Somebody changed something here by other means: look at everything again."""
        self.is_stale = True

    def could_not_revise(self, problems: Iterable[tuple[str, str]]) -> None:
        """These conflicts could not be merged or restored, for these reasons."""
        self.is_stale = True
        self._problems += problems

    def _in_order(self, files: tuple[FileRecord, ...]) -> tuple[FileRecord, ...]:
        """Give the files as a look at the state does, so that a copy has the same identifier everywhere."""
        if self._is_folder:
            return tuple(sorted(files, key=lambda record: record.name.split("/")))
        return tuple(sorted(files, key=lambda record: int(record.name) if record.name.isdecimal() else -1))

    # --- what there is ----------------------------------------------------------------------------------------

    def read(self, held: Held | None) -> Contents:
        """Look at all archives."""
        conflicts = tuple(self.conflicts.by_age())
        pending = {one.copy.identifier: one.act.value for one in self.reviser.waiting()}
        unsettled = tuple(copy.identifier for copy in conflicts if not is_settled(copy))
        self.is_stale = False
        return Contents(
            conflicts,
            tuple(self.ancestors.archive.copies()),
            pending,
            self._failed(),
            Archived(
                unsettled,
                self.reviser.merged(held),
                self._unmerged(),
                tuple(self.merged_elsewhere.points.items()),
            ),
        )

    def _unmerged(self) -> tuple[str, ...]:
        return tuple(copy.identifier for copy in self.borrowed.copies() if not copy.notes.get("merged_into"))

    def _failed(self) -> dict[str, str]:
        copies = [copy for copy in self.borrowed.copies() if copy.notes.get("failure")]
        return {copy.identifier: str(copy.notes["failure"]) for copy in copies}

    def tidings(self, held: Held | None) -> Tidings | None:
        """Give what is new since the last time; None if nothing is."""
        contents = None
        if self.is_stale:
            try:
                contents = self.read(held)
            except DurableError:
                # What is known stays known, and the next act tries again.
                self.is_stale = True
        found = Tidings(tuple(self._kept), tuple(self._ancestors_lost), tuple(self._problems), contents)
        self._kept, self._ancestors_lost, self._problems = [], [], []
        return None if found == Tidings() else found

    def sendable_copy(self, contents: Contents, archive: str, identifier: str) -> Sendable | None:
        """Give a kept copy so that it can be sent, from memory; None if there is none of this name.

        Args:
            contents: what was read last.
            archive: `conflicts`, or `ancestors`, which go by their version's point.
            identifier: which.
        """
        archives = {
            CONFLICTS: (self.conflicts.archive, {copy.identifier: copy for copy in contents.conflicts}),
            ANCESTORS: (
                self.ancestors.archive,
                {str(copy.version.point): copy for copy in contents.ancestors},
            ),
        }
        owner, copies = archives.get(archive, (self.borrowed, {}))
        copy = copies.get(identifier)
        if copy is None:
            return None
        files = [SendableFile(record, owner.path_of(copy, record.name)) for record in copy.files]
        parents = {str(parent) for one in copy.files for parent in Path(one.name).parents} - {"."}
        files += [
            SendableFile(FileRecord(name, 0, "", 0o700), owner.folder, is_folder=True) for name in parents
        ]
        files.sort(key=lambda one: one.record.name.split("/"))
        return Sendable(copy.version, True, tuple(files), told_notes(copy))
