"""Which snapshot is the version that is held: the descriptors of what can be sent, open for as long as it is held.

A look finds a state and tells it; a moment later the machine has it written down as a version. By then the controllee may
have written on, or a compacted log may have its name. So each snapshot that was told stays open until it is clear whether
it becomes a version. All descriptors are closed on the loop, so whoever uses a `Sendable` between two of its turns, or
duplicates what it needs for longer, never finds a number that means another file by now.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from replication.disk import Source
from replication.manifest import FileRecord, Held
from replication.places import Places
from replication.sendable import Sendable, SendableFile
from replication.snapshot import Snapshot
from replication.tracked_file import FileSnapshot

#: Snapshots that may still become a version. The machine writes down the last one that it was told, so more than two
#: wait only where the disk does not take them, and then the older ones are of no use.
WAITING_LIMIT: Final = 8


@attrs.frozen
class _Entry:
    """A snapshot and the name of its bytes."""

    snapshot: Snapshot
    fingerprint: str


class Holdings:
    """Owns the descriptors of all snapshots that are put here; used on the loop only."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.sendable: Sendable | None = None
        self._current: _Entry | None = None
        self._waiting: deque[_Entry] = deque()
        #: What is held, and the name of its bytes.
        self._held: tuple[Held, str] | None = None
        #: For each file that was sendable last: its stem and size.
        self._stems: dict[str, tuple[int, int]] = {}

    def lacks(self, fingerprint: str) -> bool:
        """Whether these are the bytes of what is held, and are not here."""
        return self._current is None and self._held is not None and self._held[1] == fingerprint

    def put(self, snapshot: Snapshot, fingerprint: str) -> None:
        """Take a snapshot over; it becomes what can be sent when its bytes are, or are already, what is held."""
        entry = _Entry(snapshot, fingerprint)
        if self.lacks(fingerprint):
            self._become(entry)
            return
        self._waiting.append(entry)
        if len(self._waiting) > WAITING_LIMIT:
            self._waiting.popleft().snapshot.close()

    def hold(self, held: Held, fingerprint: str) -> None:
        """This version is held from now on; it can be sent if its bytes are here, or as soon as they are `put` here."""
        self._held = (held, fingerprint)
        before = self._current
        if before is None or before.fingerprint != fingerprint:
            self._current = None
            if before is not None:
                before.snapshot.close()
            found = self._taken(fingerprint)
            if found is None and not held.files:
                # A leadership that began with no state: nothing has to be open for it.
                found = _Entry(Snapshot(()), fingerprint)
            self._become(found)
        elif self.sendable is None or self.sendable.version != held.version:
            self._become(before)

    def sources(self) -> dict[str, Source]:
        """Whence the bytes of what is held can be read, by name; good until the next `hold`."""
        if self._current is None:
            return {}
        files = self._current.snapshot.files
        return {file.record.name: file.descriptor if file.descriptor >= 0 else file.path for file in files}

    def close(self) -> None:
        """Close everything."""
        for entry in (self._current, *self._waiting):
            if entry is not None:
                entry.snapshot.close()
        self._waiting.clear()
        self._current = self.sendable = None

    def _taken(self, fingerprint: str) -> _Entry | None:
        """Take the last waiting snapshot of these bytes; those that are older than it will never be a version."""
        if all(entry.fingerprint != fingerprint for entry in self._waiting):
            return None
        found: _Entry | None = None
        while any(entry.fingerprint == fingerprint for entry in self._waiting):
            if found is not None:
                found.snapshot.close()
            found = self._waiting.popleft()
        return found

    def _become(self, entry: _Entry | None) -> None:
        self._current = entry
        if entry is None or self._held is None:
            self.sendable = None
            return
        files = [self._sendable_file(file) for file in entry.snapshot.files]
        if self._places.is_folder:
            root = self._places.paths[0]
            files += [
                SendableFile(FileRecord(name, 0, "", mode), root / name, is_folder=True)
                for name, mode in entry.snapshot.folders
            ]
            files.sort(key=lambda file: file.record.name.split("/"))
        self.sendable = Sendable(self._held[0].version, self._places.is_folder, tuple(files))
        self._stems = {file.record.name: (file.stem, file.record.size_bytes) for file in entry.snapshot.files}

    def _sendable_file(self, file: FileSnapshot) -> SendableFile:
        stem, size_bytes = self._stems.get(file.record.name, (0, 0))
        is_append = stem == file.stem and size_bytes <= file.record.size_bytes
        return SendableFile(file.record, file.path, file.descriptor, is_append)
