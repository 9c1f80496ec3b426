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
from replication.reading import Signature
from replication.staging import RefusedError, Start
from replication.tracked_file import QUIET_SECONDS, Change, Changing, FileSnapshot, TrackedFile


@attrs.frozen
class Snapshot:
    """The state at one moment; the caller closes it.

    Attributes:
        files: in the order of the list, or by name.
        removed: names that the snapshot before had.
        folders: those inside a state that is a folder, with their permission bits, each before what is in it.
    """

    files: tuple[FileSnapshot, ...]
    removed: tuple[str, ...] = ()
    folders: tuple[tuple[str, int], ...] = ()

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
        self._folders: tuple[tuple[str, int], ...] = ()
        #: The names of the last whole snapshot.
        self._names: tuple[str, ...] = ()

    @property
    def signature(self) -> tuple[tuple[str, Signature | None], ...]:
        """What the last look saw of every file; another one whenever somebody wrote in between."""
        return tuple((name, file.signature) for name, file in self._files.items())

    @property
    def is_append_only(self) -> bool:
        """Whether every file was only ever seen to grow, or to be replaced as a whole, so that samples tell enough."""
        return not any(file.was_rewritten for file in self._files.values())

    def look(
        self, now: float, *, is_thorough: bool = False, is_quiet: bool = False, is_partial: bool = False
    ) -> Snapshot | Changing | Missing:
        """Take a snapshot, if that is possible. Blocks on the disk.

        Args:
            now: seconds on a clock that never steps.
            is_thorough: read everything, whatever looks as it did.
            is_quiet: nobody writes any more, so that no quiet has to be waited for.
            is_partial: some files of the list may be missing.

        Raises:
            RefusedError: something is no plain file, or there are too many.
            DurableError: something cannot be read.
        """
        present = self._present()
        if isinstance(present, Missing):
            return present
        self._files = {
            name: self._files.get(name) or self._tracked(name, path) for name, path in present.items()
        }
        taken: list[FileSnapshot] = []
        outcome: Snapshot | Changing | Missing | None = None
        try:
            outcome = self._take(
                now, taken, is_thorough=is_thorough, is_quiet=is_quiet, is_partial=is_partial
            )
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
        self._folders = tuple((name, found.mode) for name, found in entries if found.kind is Kind.FOLDER)
        names = [name for name, found in entries if found.kind is Kind.FILE]
        if len(names) > FILES_LIMIT:
            raise RefusedError(f"{folder}: {len(names)} files; at most {FILES_LIMIT} are one state")
        return {name: folder / name for name in names}

    def adopt(self, records: tuple[FileRecord, ...], starts: tuple[Start, ...]) -> None:
        """Take for read what was installed a moment ago; the next look names changes as since then.

        Args:
            records: what was installed.
            starts: for each path where what was installed there began (`staging.Start`).

        Raises:
            RefusedError: something is no plain file.
            DurableError: something cannot be read.
        """
        present = self._present()
        known, self._files, self._names = self._files, {}, ()
        if isinstance(present, Missing):
            return
        for record in records:
            if record.name in present:
                file = known.get(record.name) or self._tracked(record.name, present[record.name])
                self._files[record.name] = file
                start = 0 if self._is_folder else starts[int(record.name)]
                if start is not None:
                    file.adopt(record, start)
        self._names = tuple(self._files)

    def warm(self, limit_bytes: int) -> bool:
        """Read more of what was adopted (`TrackedFile.warm`); whether there may be more to read.

        Raises:
            RefusedError: something is no plain file any more.
            DurableError: something cannot be read.
        """
        for file in self._files.values():
            limit_bytes -= file.warm(limit_bytes)
            if limit_bytes <= 0:
                return True
        return False

    def digest_with(self, name: str, tail: Path) -> str | None:
        """Give the digest that a file will have with a tail behind what the last look saw; None if it is not known.

        Raises:
            RefusedError: one of them is no plain file.
            DurableError: one of them cannot be read.
        """
        return self._files[name].digest_with(tail) if name in self._files else None

    def _tracked(self, name: str, path: Path) -> TrackedFile:
        return TrackedFile(name, path, self._quiet_seconds)

    def _take(
        self, now: float, taken: list[FileSnapshot], *, is_thorough: bool, is_quiet: bool, is_partial: bool
    ) -> Snapshot | Changing | Missing:
        """Look at every file, and at all again: none may have changed while the others were read."""
        changing: list[Changing] = []
        present: list[TrackedFile] = []
        for file in self._files.values():
            found = file.look(
                now, is_thorough=is_thorough, has_descriptor=not self._is_folder, is_quiet=is_quiet
            )
            if found is None and is_partial:
                continue
            if found is None:
                # Inside a folder it was there a moment ago.
                return Changing(file.path, self._quiet_seconds) if self._is_folder else Missing(file.path)
            present.append(file)
            if isinstance(found, Changing):
                changing.append(found)
            else:
                taken.append(found)
        # The signature of every file that is not quiet has now been seen, so that all grow quiet together.
        if changing:
            return max(changing, key=lambda one: one.retry_seconds)
        if len(present) > 1:
            disturbed = [file for file in present if not file.is_as_read()]
            if disturbed:
                return Changing(disturbed[0].path, self._quiet_seconds)
        names = tuple(file.record.name for file in taken)
        removed = tuple(sorted(set(self._names) - set(names)))
        self._names = names
        for file in present:
            file.accept()
        return Snapshot(tuple(taken), removed, self._folders)
