"""Whether what was received continues what stands here: no tail is ever put behind another head.

A transferer compares what stands here with what comes, and brings only what is new. Until that is installed somebody may
have changed the state. Then it would become neither the old nor the new one.
"""

from __future__ import annotations

import attrs

from replication.manifest import FileRecord, Held
from replication.places import Places
from replication.sendable import Arrival
from replication.snapshot import Snapshot, Tracker
from replication.staging import RefusedError, Start


@attrs.frozen
class Bases:
    """What stands here, for one arrival.

    Attributes:
        places: where it stands.
        tracker: has looked at it.
        before: what is held.
        snapshot: what stands there; None if nothing does.
    """

    places: Places
    tracker: Tracker
    before: Held | None
    snapshot: Snapshot | None

    def check(self, held: Held, arrival: Arrival) -> tuple[int, ...]:
        """Refuse what continues something else.

        Args:
            held: what will be held.
            arrival: what was received.

        Returns:
            For each path how many bytes at the end of what stands there count for nothing: half a transaction of a
            controllee that was killed. A tail takes their place.

        Raises:
            RefusedError: a tail, or a file that is to stay, does not fit what stands here.
            DurableError: the disk failed.
        """
        if self.places.is_folder or not held.files:
            return ()
        wanted = {record.name: record for record in held.files}
        standing = self._standing()
        for place, start in enumerate(arrival.starts):
            present, new = standing.get(str(place)), wanted.get(str(place))
            if start != 0 and not self._is_continued(present, new, start, arrival):
                raise RefusedError(f"{self.places.paths[place]}: is not what was received continues")
        sizes = {name: seen.size_bytes for name, seen in self.tracker.signature if seen is not None}
        names = [str(place) for place in range(len(self.places.paths))]
        return tuple(sizes[name] - standing[name].size_bytes if name in standing else 0 for name in names)

    def _standing(self) -> dict[str, FileRecord]:
        files = () if self.snapshot is None else self.snapshot.records
        return {record.name: record for record in files}

    def _is_continued(
        self, present: FileRecord | None, new: FileRecord | None, start: Start, arrival: Arrival
    ) -> bool:
        if present is None or new is None:
            return False
        if start is None:
            return present.sha256 == new.sha256
        if present.size_bytes != start:
            return False
        # The transferer knew what is held; what else stands here it has read, and its digest has to come out right.
        before = () if self.before is None else self.before.files
        if any((one.name, one.sha256) == (present.name, present.sha256) for one in before):
            return True
        tail = self.places.staged(arrival.number)[int(present.name)]
        return self.tracker.digest_with(present.name, tail) == new.sha256
