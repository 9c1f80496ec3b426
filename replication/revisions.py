"""Kept conflicts as the replica machine sees them: what waits to be merged or restored here, and what was merged where.

People schedule that a kept conflict be merged into the state, or restored. That is done on the node that leads, between
two runs of the controllee: before a handover is flushed, and before a controllee is started again in its place. It is
tried once each time, so that what cannot be done delays nothing for ever.

Wherever a conflict is kept, it has to be learned that it was merged: nobody may merge it again, and its copy may go when
room is needed. So replicas report what they merged, and believe it of others when what stands here grew out of what those
hold. What they believe they report too: whoever merged may be dead when the conflict's owner comes back, and whoever leads
then may have borrowed it for a merge of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from replication.events import IDENTIFIERS_LIMIT, Archived, Report
from replication.version import Point, Version

if TYPE_CHECKING:
    from replication.replica import Replica

CLAIMS_LIMIT: Final = 2 * IDENTIFIERS_LIMIT
"""So much is remembered of what others say is merged, the newest."""


@attrs.define
class Revisions:
    """What one node knows of conflicts: its own, by their identifiers, and those that it merged."""

    #: So many are scheduled here.
    waiting: int = 0
    #: One was asked for since a controllee wrote here last, whatever came of it.
    is_tried: bool = False
    _conflicts: tuple[str, ...] = ()
    #: Copies of others' conflicts that were fetched to be merged here, and were not yet.
    _borrowed: tuple[str, ...] = ()
    #: What was merged here, and a version that holds it: the one that stood here when it was told.
    _merged: dict[str, Point] = attrs.field(factory=dict)
    #: What others merged into what stands here, and a version that holds it.
    _heard: dict[str, Point] = attrs.field(factory=dict)
    #: What was told of it while the state was being changed.
    _news: tuple[str, ...] | None = None
    #: Those kept or borrowed here that were found merged elsewhere, so that it is said once.
    _found: set[str] = attrs.field(factory=set)
    #: What others say is merged, and the first version of each leadership that said so, as far as it is not known here.
    _claims: dict[str, dict[int, Point]] = attrs.field(factory=dict)

    @property
    def reported(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The conflicts kept here and those merged, as they are reported: of the former the oldest."""
        merged = dict.fromkeys((*self._heard, *self._merged))
        return self._conflicts[:IDENTIFIERS_LIMIT], tuple(merged)[-IDENTIFIERS_LIMIT:]

    @property
    def kept_gids(self) -> set[int]:
        """The leaderships of the conflicts that are kept here, as far as their identifiers begin with a version."""
        named = (identifier.partition(".") for identifier in self._conflicts)
        return {int(gid) for gid, dot, _ in named if dot and gid.isascii() and gid.isdigit()}

    @property
    def merged(self) -> dict[str, Point]:
        """All conflicts that are merged into what stands here, by whomever, each with a version that holds it."""
        return self._heard | self._merged

    def archived(self, event: Archived) -> None:
        """Take what the archive says; what was found merged and is listed all the same is found anew."""
        self._conflicts, self._borrowed, self._news = event.conflicts, event.borrowed, event.merged
        self._found.clear()
        self._heard = dict(event.remembered) | self._heard

    def take_up(self, standing: Version | None, *, is_changing: bool) -> None:
        """Take what was merged for part of this version, unless it is about to change; forget what is no part of it.

        A merge is told before its version is held, or after; and another's version may stand here before it is told
        that this one lacks what was merged.
        """
        if standing is None:
            return
        if self._news is not None and not is_changing:
            self._merged = {one: self._merged.get(one, standing.point) for one in self._news}
            self._news = None
        self._merged = {one: point for one, point in self._merged.items() if standing.has(point)}
        self._heard = {one: point for one, point in self._heard.items() if standing.has(point)}

    def found_merged(self, report: Report, standing: Version | None) -> dict[Point, tuple[str, ...]]:
        """Return which conflicts that are kept or borrowed here others said are merged, by the version that holds them.

        Only what stands here counts: it has to hold what they held.

        Args:
            report: what another replica said.
            standing: the version that stands here.
        """
        if report.version is not None:
            self._claim(report.merged, report.version.point)
        if standing is not None:
            self._believe(standing)
        found: dict[Point, tuple[str, ...]] = {}
        for one in dict.fromkeys((*self._conflicts, *self._borrowed)):
            point = self._heard.get(one)
            if point is not None and one not in self._found:
                found[point] = (*found.get(point, ()), one)
                self._found.add(one)
        return found

    def _claim(self, merged: tuple[str, ...], point: Point) -> None:
        """Remember since when a leadership says so: while its controllee writes we are always a version behind it."""
        for one in merged:
            if one not in self._heard:
                points = self._claims.setdefault(one, {})
                points.setdefault(point.gid, point)
                _forget_oldest(points, CLAIMS_LIMIT)
        _forget_oldest(self._claims, CLAIMS_LIMIT)

    def _believe(self, standing: Version) -> None:
        """Take for merged what the present version grew out of."""
        for one, points in tuple(self._claims.items()):
            point = next((p for p in points.values() if standing.has(p)), None)
            if point is not None:
                self._heard[one] = point
                del self._claims[one]
        _forget_oldest(self._heard, CLAIMS_LIMIT)


def _forget_oldest(known: dict[Any, Any], limit: int) -> None:
    while len(known) > limit:
        del known[next(iter(known))]


def may_begin(replica: Replica) -> bool:
    """Whether what is scheduled may be done once the controllee is gone and its last bytes have a version."""
    is_good = replica.is_leading and not replica.ledger.is_altered and replica.now >= replica.ledger.retry_at
    return is_good and replica.revisions.waiting > 0 and not replica.revisions.is_tried


def is_due(replica: Replica) -> bool:
    """Whether what is scheduled is to be done before had is answered; its time must not be up."""
    is_asked = any(q.is_of_a_stop and replica.now < q.deadline for q in replica.questions)
    return is_asked and not replica.is_watching and may_begin(replica)
