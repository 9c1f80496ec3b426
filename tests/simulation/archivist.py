"""Kept conflicts of a simulated replica: what people schedule, what a merge makes, and who learns of it.

Merging is a union: the records of a conflict that the state lacks come after those that it has. What is scheduled and
what was merged where is durable, with the conflicts themselves.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, TypeAlias

import attrs

from replication import effects, events
from replication.manifest import Held
from replication.version import Point
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.replicas import ReplicaNode

Content: TypeAlias = tuple[tuple[int, int], ...]


@functools.lru_cache(maxsize=64)
def digest_of(content: Content) -> str:
    """Digest a state; the same one is asked for again and again."""
    return hashlib.sha256(repr(content).encode()).hexdigest()


def name_of(content: Content) -> str:
    """Name a conflict by what it holds, the same wherever it is kept."""
    return digest_of(content)[:12]


@attrs.define(slots=True)
class Archive:
    """What of it survives a crash."""

    conflicts: list[Content] = attrs.field(factory=list)
    #: Conflicts, anybody's, that people want merged here.
    scheduled: list[Content] = attrs.field(factory=list)
    #: What was merged here, by its name, and the version that then held it.
    merged: dict[str, Point] = attrs.field(factory=dict)
    #: What was merged anywhere, as the machine knew it last.
    remembered: dict[str, Point] = attrs.field(factory=dict)


class Archivist:
    """The part of a replication daemon that looks after conflicts."""

    def __init__(self, node: ReplicaNode, archive: Archive):
        self.node, self.archive = node, archive
        self._told: tuple[object, ...] = ()

    # --- what the machine is told -------------------------------------------------------------------------------

    def tell(self) -> None:
        """Tell the machine what there is, if that is news."""
        waiting, conflicts = len(self.archive.scheduled), tuple(map(name_of, self.archive.conflicts))
        merged = self._merged
        told = (waiting, conflicts, merged, self.node.instance)
        if told != self._told:
            self._told = told
            self.node.receive(events.RevisionsWaiting(waiting))
            self.node.receive(
                events.Archived(conflicts, merged, remembered=tuple(self.archive.remembered.items()))
            )

    @property
    def _merged(self) -> tuple[str, ...]:
        """What was merged here and is in what is held."""
        held = self.node.disk.held
        return tuple(n for n, point in self.archive.merged.items() if held and held.version.has(point))

    # --- what the machine wants ---------------------------------------------------------------------------------

    def revise(self, effect: effects.Revise) -> events.Event:
        """Merge what is scheduled and write it down; return what to tell the machine of it."""
        disk, held = self.node.disk, self.node.disk.held
        if held is None or disk.files != held.files:
            return events.ReviseFailed("the state is not what is held")
        old = disk.content or ()
        new = old
        for conflict in self.archive.scheduled:
            here = set(new)
            new += tuple(record for record in conflict if record not in here)
        self.node.keeper.revises(self.node, effect, old, new)
        is_other = new != old
        if is_other:
            self._write(attrs.evolve(held, version=effect.version), new)
        for conflict in self.archive.scheduled:
            self._settle(conflict, effect.version.point if is_other else held.version.point)
        self.archive.scheduled.clear()
        self.tell()
        assert disk.held is not None, "it was held before"
        return events.Revised(disk.held) if is_other else events.ReviseFailed("all of it was here")

    def _write(self, held: Held, content: Content) -> None:
        node = self.node
        node.disk.content = content
        node.disk.held = attrs.evolve(held, files=node.disk.files)
        node.keeper.contents[node.disk.files] = content
        node.keeper.noted(node, held.version, node.disk.files)
        node.has_written(node.disk.held)

    def _settle(self, conflict: Content, point: Point) -> None:
        self.archive.merged[name_of(conflict)] = point
        if conflict in self.archive.conflicts:
            self.archive.conflicts.remove(conflict)

    def mark(self, effect: effects.MarkMerged) -> None:
        """Forget conflicts that are merged elsewhere: somebody else holds what they held, and so does this node."""
        for conflict in list(self.archive.conflicts):
            if name_of(conflict) in effect.identifiers:
                self.node.world.tell(
                    self.node.label, f"{len(conflict)} records are merged into {effect.point}"
                )
                self.archive.conflicts.remove(conflict)
        self.tell()

    # --- people -------------------------------------------------------------------------------------------------

    def schedule(self, conflict: Content) -> None:
        """Somebody wants a conflict merged here, unless it is in what is held."""
        if conflict not in self.archive.scheduled and name_of(conflict) not in self._merged:
            self.node.world.tell(self.node.label, f"{len(conflict)} records are to be merged")
            self.archive.scheduled.append(conflict)
            if self.node.is_up:
                self.tell()


def check_marks(node: ReplicaNode, effect: effects.MarkMerged) -> None:
    """Object to a mark unless the conflict's records are in the state of its owner, too."""
    here = set(node.disk.content or ())
    for conflict in node.disk.archive.conflicts:
        if name_of(conflict) in effect.identifiers and not set(conflict) <= here:
            lost = sorted(set(conflict) - here)
            raise Violation(f"{node.label}: 8: {lost[:5]} count as merged into {effect.point}")
