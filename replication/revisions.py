"""Kept conflicts as the replica machine sees them: what waits to be merged or restored here, and what was merged where.

People schedule that a kept conflict be merged into the state, or restored. That is done on the node that leads, between
two runs of the controllee: before a handover is flushed, and before a controllee is started again in its place. It is
tried once each time, so that what cannot be done delays nothing for ever.

Wherever a conflict is kept, its owner has to learn that it was merged: nobody may merge it again, and its copy may go
when room is needed. So replicas report what they merged, and the owner believes it when what stands there grew out of what
they hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replication.events import IDENTIFIERS_LIMIT, Archived, Report
from replication.version import Point, Version

if TYPE_CHECKING:
    from replication.replica import Replica


@attrs.define
class Revisions:
    """What one node knows of conflicts: its own, by their identifiers, and those that it merged."""

    #: So many are scheduled here.
    waiting: int = 0
    #: One was asked for since a controllee wrote here last, whatever came of it.
    is_tried: bool = False
    _conflicts: tuple[str, ...] = ()
    #: What was merged here, and a version that holds it: the one that stood here when it was told.
    _merged: dict[str, Point] = attrs.field(factory=dict)
    #: What was told of it while the state was being changed.
    _news: tuple[str, ...] | None = None
    #: Those of our own that were found merged elsewhere, so that it is said once.
    _found: set[str] = attrs.field(factory=set)
    #: Those of our own that others say are merged, and the first version of each leadership that said so.
    _claims: dict[str, dict[int, Point]] = attrs.field(factory=dict)

    @property
    def reported(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The conflicts kept here and those merged here, as they are reported: of the former the oldest."""
        return self._conflicts[:IDENTIFIERS_LIMIT], tuple(self._merged)[-IDENTIFIERS_LIMIT:]

    def archived(self, event: Archived) -> None:
        """Take what the archive says; what was found merged and is listed all the same is found anew."""
        self._conflicts, self._news = event.conflicts, event.merged
        self._found.clear()
        self._claims = {one: points for one, points in self._claims.items() if one in event.conflicts}

    def take_up(self, standing: Version | None) -> None:
        """Take what was merged for part of this version, which is not about to change; forget what is no part of it.

        A merge is told before its version is held, or after; and another's version may stand here before it is told
        that this one lacks what was merged.
        """
        if standing is None:
            return
        if self._news is not None:
            self._merged = {one: self._merged.get(one, standing.point) for one in self._news}
            self._news = None
        self._merged = {one: point for one, point in self._merged.items() if standing.has(point)}

    def found_merged(self, report: Report, standing: Version | None) -> dict[Point, tuple[str, ...]]:
        """Return which of our own conflicts others said are merged, by the version that holds them.

        Only what stands here counts: it has to hold what they held.

        Args:
            report: what another replica said.
            standing: the version that stands here.
        """
        if report.version is not None:
            self._claim(report.merged, report.version.point)
        found: dict[Point, tuple[str, ...]] = {}
        for one, points in self._claims.items():
            point = next((p for p in points.values() if standing is not None and standing.has(p)), None)
            if point is not None:
                found[point] = (*found.get(point, ()), one)
        self._found.update(one for merged in found.values() for one in merged)
        self._claims = {one: points for one, points in self._claims.items() if one not in self._found}
        return found

    def _claim(self, merged: tuple[str, ...], point: Point) -> None:
        """Remember since when a leadership says so: while its controllee writes we are always a version behind it."""
        for one in self._conflicts:
            if one in merged and one not in self._found:
                self._claims.setdefault(one, {}).setdefault(point.gid, point)


def may_begin(replica: Replica) -> bool:
    """Whether what is scheduled may be done once the controllee is gone and its last bytes have a version."""
    is_good = replica.is_leading and not replica.ledger.is_altered and replica.now >= replica.ledger.retry_at
    return is_good and replica.revisions.waiting > 0 and not replica.revisions.is_tried


def is_due(replica: Replica) -> bool:
    """Whether what is scheduled is to be done before had is answered; its time must not be up."""
    is_asked = any(q.is_of_a_stop and replica.now < q.deadline for q in replica.questions)
    return is_asked and not replica.is_watching and may_begin(replica)
