"""Whole copies of states that were, each with its version, in folders of their own in HAD_DIR.

Two things need them: the conflicts, which nobody may lose, and the ancestors, which a merge starts from. A copy is
made beside its place and renamed when it is whole and synced, so that a copy that is listed is complete, whatever
instruction the power fails at. It is always a copy and never a hard link: a follower's file is appended to in place.

Inside a copy the files are numbered; their names in the state stand in its record. So a name from elsewhere never
becomes a path here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from daemoncore.durable import DurableError
from replication.disk import Disk, Kind, RealDisk, Source, remove_tree
from replication.manifest import FileRecord, ManifestError, records_from_document_untrusted
from replication.places import Places
from replication.version import Version, VersionError

_RECORD_NAME: Final = "record.json"
_RECORD_LIMIT_BYTES: Final = 256 << 20
_MODE: Final = 0o600


class ArchiveError(Exception):
    """A copy is not there, or is damaged; the text says which and how."""


@attrs.frozen
class Copy:
    """One copy.

    Attributes:
        identifier: its name, which people type.
        version: of the state.
        files: what it holds.
        notes: what the owner of the archive wants to remember with it; JSON.
    """

    identifier: str
    version: Version
    files: tuple[FileRecord, ...]
    notes: Mapping[str, Any] = attrs.field(factory=dict)


class Archive:
    """The copies in one folder. Blocks on the disk; raises `DurableError` when it fails."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk: Disk = RealDisk() if disk is None else disk

    def keep(
        self,
        version: Version,
        files: tuple[FileRecord, ...],
        sources: Mapping[str, Source],
        notes: Mapping[str, Any],
    ) -> Copy:
        """Copy a state; durable on return. Keeping the same state again gives the copy that is there.

        Args:
            version: of the state.
            files: what to copy; no more than these bytes of each.
            sources: where each of them is, by name.
            notes: see `Copy`.

        Raises:
            DurableError: it could not be copied: the disk is full, or a file is not what its record says. Nothing is
                left; whoever was about to overwrite the original must not.
        """
        identifier = self._identifier(version, files)
        known = self.find_or_none(identifier)
        if known is not None:
            return known
        temporary = self.folder / f".{identifier}.new"
        self._disk.make_folder(self.folder, 0o700)
        self._disk.sync(self.folder.parent)
        remove_tree(self._disk, temporary)
        copy = Copy(identifier, version, files, dict(notes))
        try:
            self._fill(temporary, copy, sources)
        except BaseException:
            remove_tree(self._disk, temporary)
            raise
        self._disk.rename(temporary, self.folder / identifier)
        self._disk.sync(self.folder)
        return copy

    def copies(self) -> list[Copy]:
        """Give all whole copies, those of older versions first; a damaged one is left out (see `damaged`)."""
        found = [
            self.find_or_none(name) for name in self._disk.names(self.folder) if not name.startswith(".")
        ]
        return sorted((copy for copy in found if copy is not None), key=lambda copy: copy.version.point)

    def damaged(self) -> list[str]:
        """Give the names of copies whose record cannot be read; their files may still be good."""
        names = [name for name in self._disk.names(self.folder) if not name.startswith(".")]
        return [name for name in names if self.find_or_none(name) is None]

    def find(self, identifier: str) -> Copy:
        """Give one copy.

        Raises:
            ArchiveError: there is none of this name.
        """
        copy = self.find_or_none(identifier)
        if copy is None:
            raise ArchiveError(f"{self.folder}: there is no {identifier!r:.80}")
        return copy

    def find_or_none(self, identifier: str) -> Copy | None:
        """Give one copy, None if there is none that can be read."""
        if "/" in identifier or identifier.startswith(".") or not identifier or "\0" in identifier:
            return None
        path = self.folder / identifier / _RECORD_NAME
        if self._disk.facts(path) is None:
            return None
        try:
            return _decode(identifier, self._disk.read(path, _RECORD_LIMIT_BYTES))
        except ArchiveError:
            return None

    def note(self, copy: Copy, **notes: Any) -> Copy:
        """Remember something more with a copy; durable on return."""
        noted = attrs.evolve(copy, notes={**copy.notes, **notes})
        self._disk.replace(
            self.folder / copy.identifier / _RECORD_NAME, _encode(noted), mode=_MODE, owner=None
        )
        return noted

    def remove(self, copy: Copy) -> None:
        """Remove a copy. It is no copy any more before the first of its files is gone."""
        going = self.folder / f".{copy.identifier}.old"
        remove_tree(self._disk, going)
        self._disk.rename(self.folder / copy.identifier, going)
        self._disk.sync(self.folder)
        remove_tree(self._disk, going)

    def sweep(self) -> None:
        """Remove what interrupted keeping and removing left."""
        for name in self._disk.names(self.folder):
            if name.startswith(".") and name.endswith((".new", ".old")):
                remove_tree(self._disk, self.folder / name)

    def path_of(self, copy: Copy, name: str) -> Path:
        """Where the bytes of one file of a copy are; nobody writes there."""
        place = next((place for place, record in enumerate(copy.files) if record.name == name), None)
        if place is None:
            raise ArchiveError(f"{self.folder / copy.identifier}: holds no file {name!r:.80}")
        return self.folder / copy.identifier / str(place)

    def stage(self, copy: Copy, places: Places, number: int) -> None:
        """Put a copy beside the targets as if a transferer had received it, for `Pair.commit`.

        Raises:
            ArchiveError: the state was one file and is now a folder, or the like; or the copy is damaged.
            DurableError: the disk failed. What was staged is for `Places.sweep`.
        """
        staged = places.staged(number)
        if not places.is_folder and {record.name for record in copy.files} != {
            str(n) for n in range(len(staged))
        }:
            raise ArchiveError(
                f"{copy.identifier} has other files than STATE_FILE names now; export it instead"
            )
        if places.is_folder:
            self.write_out(copy, staged[0])
            return
        for record in copy.files:
            self._copy_checked(copy, record, staged[int(record.name)])

    def write_out(self, copy: Copy, folder: Path) -> None:
        """Write all files of a copy into a new folder, under their own names; durable on return.

        Raises:
            ArchiveError: the folder is there already, or the copy is damaged.
            DurableError: the disk failed.
        """
        if self._disk.facts(folder) is not None:
            raise ArchiveError(f"{folder} is there already; nothing is overwritten")
        self._disk.make_folder(folder, 0o700)
        folders = {folder}
        for record in copy.files:
            target = folder / record.name
            for parent in reversed(target.relative_to(folder).parents[:-1]):
                self._disk.make_folder(folder / parent, 0o700)
                folders.add(folder / parent)
            self._copy_checked(copy, record, target)
        for path in sorted(folders, reverse=True):
            self._disk.sync(path)
        self._disk.sync(folder.parent)

    def _copy_checked(self, copy: Copy, record: FileRecord, target: Path) -> None:
        self._disk.copy(self.path_of(copy, record.name), target, record.size_bytes, record.mode)
        if self._disk.digest(target, record.size_bytes) != record.sha256:
            self._disk.remove(target)
            raise ArchiveError(
                f"{copy.identifier}: {record.name} is damaged, its SHA-256 is not {record.sha256}"
            )
        self._disk.sync(target)

    def _fill(self, folder: Path, copy: Copy, sources: Mapping[str, Source]) -> None:
        """Write the files and the record of a copy, and sync all of them."""
        self._disk.make_folder(folder, 0o700)
        for place, record in enumerate(copy.files):
            target, source = folder / str(place), sources[record.name]
            if isinstance(source, Path):
                found = self._disk.facts(source)
                if found is None or found.kind is not Kind.FILE:
                    raise DurableError(f"{source}: is to be kept and is no plain file", path=source)
            self._disk.copy(source, target, record.size_bytes, _MODE)
            if self._disk.digest(target, record.size_bytes) != record.sha256:
                name = source if isinstance(source, Path) else f"file {record.name} of the state"
                raise DurableError(f"{name}: changed while it was kept", path=target)
            self._disk.sync(target)
        # This syncs the folder, and so the names of the files in it.
        self._disk.replace(folder / _RECORD_NAME, _encode(copy), mode=_MODE, owner=None)

    @staticmethod
    def _identifier(version: Version, files: tuple[FileRecord, ...]) -> str:
        """Name a state by its version and its bytes: two states of one version are two copies."""
        text = json.dumps([record.to_document() for record in files])
        return f"{version.point}-{hashlib.sha256(text.encode('ascii')).hexdigest()[:8]}"


def _encode(copy: Copy) -> bytes:
    document = {
        "version": copy.version.to_document(),
        "files": [record.to_document() for record in copy.files],
        "notes": dict(copy.notes),
    }
    return json.dumps(document).encode("ascii") + b"\n"


def _decode(identifier: str, data: bytes) -> Copy:
    """Read a record.

    Raises:
        ArchiveError: it is damaged.
    """
    try:
        document = json.loads(data)
        version = Version.from_document_untrusted(document["version"])
        files = records_from_document_untrusted(document["files"])
        return Copy(identifier, version, files, dict(document["notes"]))
    except (ValueError, KeyError, TypeError, RecursionError, VersionError, ManifestError) as error:
        raise ArchiveError(f"the record of {identifier} is damaged: {error}") from error
