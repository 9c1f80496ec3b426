"""Merging and restoring kept conflicts into the state: what would come of it, and the new state ready to be installed.

An operator schedules a conflict (`hadctl conflicts merge`, `restore`), or REPLICATION_MERGE does. It is done on the node
that leads, in the moment in which its controllee is stopped, since a controllee reads its state only when it starts. A
conflict of another node is borrowed from there before, with the ancestor that a merge starts from.

*Merge* is for Accountant's logs (`replication.accountant`): what either side charged is charged once. *Restore* lets
the conflict be the state; what stood there is kept as a conflict in turn.

One partition may leave several conflicts of one history, each where somebody gave it up: a follower's, and its leader's,
which holds all of the follower's and more. Or both sides merged the same conflict, and the loser's state holds it too.
What one conflict holds of another is merged once (`replication.overlaps`).

A conflict is merged once, whatever crashes: before the pair changes, each conflict notes the version that will hold it
(`merging_into`), and the first thing at every start is to see whether that version came to be (`resolve`).

All of it blocks on the disk; the store's thread calls it. What the machine knows of it: `replication.revisions`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from daemoncore.classad_log import CorruptLogError, LogContents, is_log, parse
from replication.accountant import Merged, Row, merge
from replication.ancestors import ANCESTOR_LIMIT_BYTES, Ancestors
from replication.archive import Archive, ArchiveError, Copy
from replication.disk import Disk, RealDisk
from replication.events import IDENTIFIERS_LIMIT
from replication.manifest import FileRecord, Held, total_bytes
from replication.overlaps import covers, grew_out_of, holds, is_in, merged_in, point_of
from replication.places import Places
from replication.staging import Start
from replication.version import Point, Version

BORROWED_LIMIT: Final = 16
"""So many conflicts of others are kept after they were merged here; their owners have their own copies."""


class RevisionError(Exception):
    """A conflict cannot be merged or restored; the sentence says why, and what can be done instead."""


class Act(enum.Enum):
    """What is done with a conflict."""

    MERGE = "merge"
    RESTORE = "restore"


@attrs.frozen
class Revision:
    """One conflict that waits, and where it is kept."""

    act: Act
    copy: Copy
    archive: Archive


@attrs.frozen
class Staged:
    """A new state beside the present one, for `Pair.commit`.

    Attributes:
        files: what it holds.
        starts: where the staged bytes begin.
        done: the conflicts that went into it.
        replaces: it does not hold what stands there, which has to be kept as a conflict first.
        problems: identifiers of conflicts that could not be used, with the reason.
    """

    files: tuple[FileRecord, ...]
    starts: tuple[Start, ...]
    done: tuple[Revision, ...]
    replaces: bool
    problems: tuple[tuple[str, str], ...] = ()


class Reviser:
    """Revises the state of one node.

    Args:
        places: where the state is.
        kept: the conflicts of this node.
        ancestors: the states that leaderships began from.
        borrowed: conflicts of others, fetched to be merged or restored here.
        half_life_seconds: gives PRIORITY_HALFLIFE, which can change.
        wall_clock: Unix time.
        disk: where.
    """

    def __init__(
        self,
        places: Places,
        kept: Archive,
        ancestors: Ancestors,
        borrowed: Archive,
        half_life_seconds: Callable[[], float],
        wall_clock: Callable[[], float],
        disk: Disk | None = None,
    ) -> None:
        self._places = places
        self._archives = (kept, borrowed)
        self._ancestors = ancestors
        self._borrowed = borrowed
        self._half_life_seconds = half_life_seconds
        self._wall_clock = wall_clock
        self._disk: Disk = RealDisk() if disk is None else disk

    # --- what waits -------------------------------------------------------------------------------------------

    def waiting(self) -> list[Revision]:
        """Give what is scheduled: a restore first, since it makes merges before it void; then the oldest first."""
        found = [
            Revision(Act(copy.notes["scheduled"]["act"]), copy, archive)
            for archive, copy in self._copies()
            if copy.notes.get("scheduled") and not copy.notes.get("merged_into")
        ]
        merges = [one.copy for one in found if one.act is Act.MERGE]
        found = [
            one
            for one in found
            if one.act is Act.RESTORE or not any(covers(other, one.copy) for other in merges)
        ]
        return sorted(
            found, key=lambda one: (one.act is Act.MERGE, float(one.copy.notes.get("kept_at") or 0.0))
        )

    def merged(self, held: Held | None) -> tuple[str, ...]:
        """Give the conflicts that went into what is held, the newest last."""
        if held is None:
            return ()
        done = [copy for _, copy in self._copies() if is_in(copy, held.version)]
        done.sort(key=lambda copy: float(copy.notes.get("merged_at") or 0.0))
        names = [name for copy in done for name in (*holds(copy), copy.identifier)]
        return tuple(dict.fromkeys(names))[-IDENTIFIERS_LIMIT:]

    def merged_in(self, version: Version) -> tuple[str, ...]:
        """Name all conflicts that a version of this node's holds."""
        return tuple(merged_in((copy for _, copy in self._copies()), version))

    def lacks(self, identifier: str) -> tuple[str, ...]:
        """Name the conflicts that another one holds and that are not here, so that it cannot be merged."""
        return tuple(name for name in holds(self._known(identifier)[1]) if self.find(name) is None)

    def _copies(self) -> list[tuple[Archive, Copy]]:
        return [(archive, copy) for archive in self._archives for copy in archive.copies()]

    def find(self, identifier: str) -> tuple[Archive, Copy] | None:
        """Find a conflict by its whole name, this node's own first."""
        for archive in self._archives:
            copy = archive.find_or_none(identifier)
            if copy is not None:
                return archive, copy
        return None

    def has_base(self, held: Held, conflict: Copy) -> bool:
        """Whether the state that a merge starts from is kept here."""
        return self._base(held, conflict) is not None

    def schedule(self, identifier: str, act: Act, by: str) -> None:
        """Have it done at the next stop of the controllee; durable on return.

        Raises:
            RevisionError: there is no such conflict here, or all of it was merged before.
        """
        archive, copy = self._known(identifier)
        if copy.notes.get("merged_into"):
            raise RevisionError(f"{identifier} is in version {copy.notes['merged_into']} already")
        for _, other in self._copies():
            if act is Act.MERGE and other.notes.get("merged_into") and covers(other, copy):
                raise RevisionError(f"{identifier} is a part of {other.identifier}, which was merged before")
        archive.note(copy, scheduled={"act": act.value, "by": by, "since": self._wall_clock()}, failure=None)

    def cancel(self, identifier: str) -> None:
        """Take it back.

        Raises:
            RevisionError: there is no such conflict here.
        """
        archive, copy = self._known(identifier)
        archive.note(copy, scheduled=None)

    def _known(self, identifier: str) -> tuple[Archive, Copy]:
        found = self.find(identifier)
        if found is None:
            raise RevisionError(f"no conflict {identifier} is kept here")
        return found

    # --- what would come of it --------------------------------------------------------------------------------

    def plan(self, held: Held, identifier: str, act: Act) -> dict[str, Any]:
        """Say what would come of it, for people, without changing anything.

        Raises:
            RevisionError: it cannot be done.
        """
        archive, copy = self._known(identifier)
        if act is Act.RESTORE:
            self._check_names(copy)
            files = [record.to_document() for record in copy.files]
            return _plan(act, None, files=files, bytes=total_bytes(copy.files))
        base = self._base(held, copy)
        merged = self._merge(held, self._present(held), archive, copy)
        return _plan(
            act,
            None if base is None else str(base[1].version.point),
            rows=[_row(row) for row in merged.rows],
            warnings=list(merged.warnings),
            bytes=len(merged.contents.render()),
        )

    # --- doing it ---------------------------------------------------------------------------------------------

    def stage(self, held: Held, number: int) -> Staged | None:
        """Put the new state beside the present one; None if nothing waits, or nothing of it can be done.

        Args:
            held: what stands there.
            number: in the names of the staged files.

        Raises:
            DurableError: the disk failed.
            RevisionError: the present state is none that can be merged into.
        """
        waiting = self.waiting()
        if not waiting:
            return None
        if waiting[0].act is Act.RESTORE:
            return self._stage_restore(waiting[0], number)
        return self._stage_merge(held, waiting, number)

    def _stage_restore(self, one: Revision, number: int) -> Staged | None:
        try:
            self._check_names(one.copy)
            one.archive.stage(one.copy, self._places, number)
        except (ArchiveError, RevisionError) as error:
            self._give_up(one, str(error))
            return None
        starts: tuple[Start, ...] = (0,) * len(self._places.paths)
        return Staged(one.copy.files, starts, (one,), replaces=True)

    def _stage_merge(self, held: Held, waiting: list[Revision], number: int) -> Staged | None:
        contents = self._present(held)
        done: list[Revision] = []
        problems: list[tuple[str, str]] = []
        for one in waiting:
            try:
                contents = self._merge(held, contents, one.archive, one.copy).contents
                done.append(one)
            except (ArchiveError, RevisionError) as error:
                self._give_up(one, str(error))
                problems.append((one.copy.identifier, str(error)))
        if not done:
            return None
        data, mode = contents.render(), held.files[0].mode
        self._disk.replace(self._places.staged(number)[0], data, mode=mode, owner=None)
        record = FileRecord("0", len(data), hashlib.sha256(data).hexdigest(), mode)
        return Staged((record,), (0,), tuple(done), replaces=False, problems=tuple(problems))

    def _give_up(self, one: Revision, text: str) -> None:
        """It cannot be done, now or later: it waits no more, and says why."""
        one.archive.note(one.copy, scheduled=None, failure=text)

    def begin(self, staged: Staged, point: Point) -> None:
        """Note in each conflict which version will hold it; durable on return, before the pair changes."""
        self._note(staged.done, merging_into=str(point))

    def succeeded(self, staged: Staged, point: Point) -> None:
        """The version holds them, and what they hold of other conflicts."""
        self._note(staged.done, merging_into=None, **self._settled(point))
        merged = [one.copy for one in staged.done if one.act is Act.MERGE]
        for archive, copy in self._copies():
            if not copy.notes.get("merged_into") and any(covers(one, copy) for one in merged):
                archive.note(copy, **self._settled(point))
        self._make_room()

    def failed(self, staged: Staged) -> None:
        """The pair is what it was; they wait for the next stop."""
        self._note(staged.done, merging_into=None)

    def resolve(self, held: Held | None) -> None:
        """Finish the notes of a revision that a crash interrupted; before anything else is written down."""
        for archive in self._archives:
            for copy in archive.copies():
                text = copy.notes.get("merging_into")
                if not text:
                    continue
                is_held = held is not None and held.version.has(point_of(text))
                notes = self._settled(point_of(text)) if is_held else {}
                archive.note(copy, merging_into=None, **notes)

    def _settled(self, point: Point) -> dict[str, Any]:
        return {"scheduled": None, "merged_into": str(point), "merged_at": self._wall_clock()}

    def _note(self, done: tuple[Revision, ...], **notes: Any) -> None:
        for one in done:
            one.archive.note(one.archive.find(one.copy.identifier), **notes)

    def _make_room(self) -> None:
        """Remove the oldest borrowed conflicts that are merged."""
        settled = [copy for copy in self._borrowed.copies() if copy.notes.get("merged_into")]
        settled.sort(key=lambda copy: float(copy.notes.get("merged_at") or 0.0))
        for copy in settled[: max(0, len(settled) - BORROWED_LIMIT)]:
            self._borrowed.remove(copy)

    # --- reading ----------------------------------------------------------------------------------------------

    def _check_names(self, copy: Copy) -> None:
        """Refuse to restore a state of other files than STATE_FILE names now."""
        wanted = {str(place) for place in range(len(self._places.paths))}
        if not self._places.is_folder and {record.name for record in copy.files} != wanted:
            raise RevisionError(
                f"{copy.identifier} has other files than STATE_FILE names now; export it instead"
            )

    def _present(self, held: Held) -> LogContents:
        if self._places.is_folder or len(self._places.paths) != 1 or len(held.files) != 1:
            raise RevisionError("only an Accountant's log can be merged into, and STATE_FILE is not one file")
        return self._contents(self._places.paths[0], held.files[0])

    def _merge(self, held: Held, present: LogContents, archive: Archive, copy: Copy) -> Merged:
        """Merge one conflict into what is there."""
        other = self._log_of(archive, copy)
        base = self._base(held, copy)
        before = None if base is None or len(base[1].files) != 1 else self._log_of(*base)
        if base is not None and before is not None:
            for one in self._common(held, base[1], copy):
                # It is on both sides, so it is part of what a merge starts from.
                before = self._merge(held, before, *one).contents
        return merge(before, present, other, self._half_life_seconds())

    def _log_of(self, archive: Archive, copy: Copy) -> LogContents:
        if len(copy.files) != 1:
            raise RevisionError(f"{copy.identifier} is not one file, so no Accountant's log; export it")
        return self._contents(archive.path_of(copy, copy.files[0].name), copy.files[0])

    def _common(self, held: Held, base: Copy, copy: Copy) -> list[tuple[Archive, Copy]]:
        """Find the conflicts that were merged into what is held and into another one, and are not in their base."""
        found: dict[str, tuple[Archive, Copy]] = {}
        copies = self._copies()
        points = merged_in((one for _, one in copies), held.version)
        for name in holds(copy):
            known = self.find(name)
            if known is None:
                raise RevisionError(
                    f"{copy.identifier} holds {name}, which is not kept here: what of it is charged already"
                    " cannot be told; export it instead"
                )
            parts = [(archive, one) for archive, one in copies if grew_out_of(known[1], one)]
            found |= {one.identifier: (archive, one) for archive, one in (*parts, known)}
        in_base = {name for name, point in points.items() if base.version.has(point)} | {*holds(base)}
        common = [one for name, one in found.items() if name in points and name not in in_base]
        return sorted(common, key=lambda one: one[1].version.point)

    def _base(self, held: Held, copy: Copy) -> tuple[Archive, Copy] | None:
        """Find what is held already of a conflict: an earlier part of it that was merged, else the common ancestor."""
        parts = [one for one in self._copies() if is_in(one[1], held.version) and grew_out_of(copy, one[1])]
        if parts:
            return max(parts, key=lambda one: one[1].version.point)
        ancestor = self._ancestors.base_of(held.version, copy.version)
        return None if ancestor is None else (self._ancestors.archive, ancestor)

    def _contents(self, path: Path, record: FileRecord) -> LogContents:
        """Read one log as far as it belongs to a version."""
        if record.size_bytes > ANCESTOR_LIMIT_BYTES:
            raise RevisionError(f"{path}: {record.size_bytes} bytes are more than an Accountant's log has")
        data = self._disk.read(path, 2 * ANCESTOR_LIMIT_BYTES)[: record.size_bytes]
        if not is_log(data):
            raise RevisionError(
                f"{path}: no Accountant's log, so nothing can be merged; restore or export it"
            )
        try:
            return parse(data)
        except CorruptLogError as error:
            raise RevisionError(f"{path}: {error}") from error


def _plan(act: Act, base: str | None, **more: Any) -> dict[str, Any]:
    """Make the document of a plan; every key is always there."""
    return {"kind": act.value, "base": base, "rows": [], "warnings": [], "files": [], "bytes": 0, **more}


def _row(row: Row) -> dict[str, Any]:
    return {
        "customer": row.customer,
        "usage_seconds": list(row.usage_seconds),
        "weighted_seconds": list(row.weighted_seconds),
        "priority": list(row.priority),
        "notes": list(row.notes),
    }
