"""What stands here is kept before it may be replaced, and whatever a controllee is about to write over; on the thread.

A state that is replaced by one that lacks something of it is a conflict, and so is one that somebody changed who must
not. What a leadership begins with is an ancestor, from which a merge may start one day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from daemoncore.durable import DurableError
from replication.disk import Source
from replication.keeping import Keepsakes
from replication.manifest import Held, fingerprint
from replication.places import Places
from replication.sight import Look, Sight, sources_of
from replication.snapshot import Missing, Snapshot
from replication.version import Point, Version

#: HTCondor's number for a state that nobody has numbered.
UNNUMBERED: Final = Version.adopted(Point(0, 0))

#: A state that changes each time while it is kept is given up after so many copies of it.
_TRIES: Final = 3

_ALTERED: Final = "it was changed while this node did not lead"


class Safekeeping:
    """Keeps states of one node. Raises `DurableError` when the disk fails, `RefusedError` if the state is none.

    Args:
        places: where the state is.
        sight: looks at it.
        keepsakes: where copies are.
    """

    def __init__(self, places: Places, sight: Sight, keepsakes: Keepsakes) -> None:
        self._places = places
        self._sight = sight
        self._keepsakes = keepsakes

    def keep_altered(self, version: Version, held: Held | None, sources: Mapping[str, Source]) -> None:
        """Keep what stands here, if it is not what is held: somebody changed it.

        Args:
            version: what it may have grown from.
            held: what is held.
            sources: whence that can still be read.
        """
        with self._sight.patiently() as look:
            if look.snapshot is None:
                self._salvage(held, sources, None)
            elif held is None or look.fingerprint != fingerprint(held.files):
                self.keep(version, look.snapshot, _ALTERED, None, is_version=False)

    def keep_standing(
        self, held: Held | None, new: Held, *, is_conflict: bool, sources: Mapping[str, Source]
    ) -> Look:
        """Keep what stands here, if `new` lacks it or it is not what is held.

        Returns:
            The look after which nothing has changed, closed by the caller.
        """
        dispensable = {fingerprint(new.files)}
        if held is not None and not is_conflict:
            dispensable.add(fingerprint(held.files))
        reason = f"it holds what version {new.version.point} lacks" if is_conflict else _ALTERED
        for _ in range(_TRIES):
            look = self._sight.patiently()
            if isinstance(look.found, Missing) and is_conflict:
                self._salvage(held, sources, new.version)
            snapshot = look.snapshot
            if snapshot is None or not snapshot.files or look.fingerprint in dispensable:
                return look
            if held is not None and _is_blank(held, look.fingerprint):
                return look
            is_version = held is not None and look.fingerprint == fingerprint(held.files)
            with look:
                version = UNNUMBERED if held is None else held.version
                self.keep(version, snapshot, reason, new.version, is_version=is_version)
            dispensable.add(look.fingerprint)
        raise DurableError("the state changes each time while it is kept", path=self._places.paths[0])

    def keep_mixture(self, held: Held | None) -> None:
        """Keep whatever stands here of old and new files, a controllee's changes among them."""
        with self._sight.patiently(is_partial=True) as look:
            if look.snapshot is not None and look.snapshot.files:
                version = UNNUMBERED if held is None else held.version
                reason = "it was written to while a replacement was under way"
                self.keep(version, look.snapshot, reason, None, is_version=False)

    def keep(
        self,
        version: Version,
        snapshot: Snapshot,
        reason: str,
        replaced_by: Version | None,
        *,
        is_version: bool,
    ) -> None:
        """Keep a snapshot as a conflict."""
        self._keepsakes.keep(
            version,
            snapshot.records,
            sources_of(snapshot),
            reason=reason,
            is_version=is_version,
            replaced_by=replaced_by,
        )

    def keep_parent(self, parent: Held, sources: Mapping[str, Source]) -> None:
        """Keep what a leadership of this node begins with, from the files that are open, whatever is called so now."""
        paths = self._places.paths
        found: dict[str, Source] = {
            one.name: paths[0] / one.name if self._places.is_folder else paths[int(one.name)]
            for one in parent.files
        }
        found |= {name: source for name, source in sources.items() if name in found}
        self._keepsakes.keep_ancestor(parent, found)

    def _salvage(self, held: Held | None, sources: Mapping[str, Source], replaced_by: Version | None) -> None:
        """Keep what was held and was removed, if no other node has it and its files are still open."""
        if held is None or held.is_acknowledged or not held.files:
            return
        found = {name: source for name, source in sources.items() if isinstance(source, int)}
        if found.keys() >= {record.name for record in held.files}:
            reason = "its file was removed"
            self._keepsakes.keep(
                held.version, held.files, found, reason=reason, is_version=True, replaced_by=replaced_by
            )


def _is_blank(held: Held, found: str) -> bool:
    """Whether this is what condor_replication makes where there is no state: empty files, which nobody has numbered."""
    is_empty = not any(record.size_bytes for record in held.files)
    return held.version.point == UNNUMBERED.point and is_empty and found == fingerprint(held.files)
