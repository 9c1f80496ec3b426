"""Consistent snapshots of the whole state, which may be one file, several, or a folder.

One version covers all of it, so a snapshot of several files is taken only when all those that are no ClassAd logs
are quiet together and none of them changed while the others were read. Nothing is copied: a snapshot is a size and a
digest for each file, with an open descriptor where the state is files of a list. Reading is bounded by the size, so
that what is appended meanwhile is not sent; and who sends checks the digest, so that what was overwritten meanwhile is
noticed there.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from replication.disk import Kind, RealDisk, walk
from replication.manifest import FILES_LIMIT, FileRecord
from replication.staging import RefusedError
from replication.tracked_file import QUIET_SECONDS, Change, Changing, FileSnapshot, TrackedFile


@attrs.frozen
class Snapshot:
    """The state at one moment; the caller closes it.

    Attributes:
        files: in the order of the list, or by name.
        removed: names that the snapshot before had.
    """

    files: tuple[FileSnapshot, ...]
    removed: tuple[str, ...] = ()

    @property
    def records(self) -> tuple[FileRecord, ...]:
        """What a version covers that is made of this."""
        return tuple(file.record for file in self.files)

    @property
    def is_same(self) -> bool:
        """Whether no byte differs from the snapshot before."""
        return not self.removed and all(file.change is Change.SAME for file in self.files)

    def close(self) -> None:
        """Close all descriptors."""
        for file in self.files:
            file.close()


@attrs.frozen
class Missing:
    """There is no state, or not all of it."""

    path: Path


class Tracker:
    """Takes snapshots of one state and remembers the last one, so that only what changed is read.

    Changes are named as since the last snapshot that `look` gave. Whether they were *published* is the caller's to
    know: it compares `Snapshot.records` with what this node holds.
    """

    def __init__(
        self, paths: tuple[Path, ...], *, is_folder: bool = False, quiet_seconds: float = QUIET_SECONDS
    ) -> None:
        assert len(paths) == 1 or not is_folder
        self._paths = paths
        self._is_folder = is_folder
        self._quiet_seconds = quiet_seconds
        self._files: dict[str, TrackedFile] = {}
        #: The names of the last whole snapshot.
        self._names: tuple[str, ...] = ()

    def look(self, now: float, *, is_thorough: bool = False) -> Snapshot | Changing | Missing:
        """Take a snapshot, if that is possible. Blocks on the disk.

        Args:
            now: seconds on a clock that never steps.
            is_thorough: read everything, whatever looks as it did.

        Raises:
            RefusedError: something is no plain file, or there are too many.
            DurableError: something cannot be read.
        """
        present = self._present()
        if isinstance(present, Missing):
            return present
        self._files = {
            name: self._files.get(name) or TrackedFile(name, path, self._quiet_seconds)
            for name, path in present.items()
        }
        taken: list[FileSnapshot] = []
        outcome: Snapshot | Changing | Missing | None = None
        try:
            outcome = self._take(now, is_thorough, taken)
        finally:
            if not isinstance(outcome, Snapshot):
                for file in taken:
                    file.close()
        return outcome

    def _present(self) -> dict[str, Path] | Missing:
        """Give the state's files by their names in a version."""
        if not self._is_folder:
            return {str(place): path for place, path in enumerate(self._paths)}
        folder = self._paths[0]
        disk = RealDisk()
        facts = disk.facts(folder)
        if facts is None:
            return Missing(folder)
        if facts.kind is not Kind.FOLDER:
            raise RefusedError(f"{folder}: the state is a folder; a {facts.kind.value} stands there")
        entries = walk(disk, folder)
        odd = [name for name, found in entries if found.kind not in {Kind.FILE, Kind.FOLDER}]
        if odd:
            raise RefusedError(f"{folder / odd[0]}: the state is plain files and folders; this is neither")
        names = [name for name, found in entries if found.kind is Kind.FILE]
        if len(names) > FILES_LIMIT:
            raise RefusedError(f"{folder}: {len(names)} files; at most {FILES_LIMIT} are one state")
        return {name: folder / name for name in names}

    def _take(
        self, now: float, is_thorough: bool, taken: list[FileSnapshot]
    ) -> Snapshot | Changing | Missing:
        """Look at every file, and at all again: none may have changed while the others were read."""
        changing: list[Changing] = []
        for file in self._files.values():
            found = file.look(now, is_thorough=is_thorough, has_descriptor=not self._is_folder)
            if found is None:
                return Missing(file.path)
            if isinstance(found, Changing):
                changing.append(found)
            else:
                taken.append(found)
        # The signature of every file that is not quiet has now been seen, so that all grow quiet together.
        if changing:
            return max(changing, key=lambda one: one.retry_seconds)
        if len(self._files) > 1:
            disturbed = [file for file in self._files.values() if not file.is_as_read()]
            if disturbed:
                return Changing(disturbed[0].path, self._quiet_seconds)
        removed = tuple(sorted(set(self._names) - set(self._files)))
        self._names = tuple(self._files)
        for file in self._files.values():
            file.accept()
        return Snapshot(tuple(taken), removed)
