"""How far a replica lags: when each recent version of the leader's became known here, and which of them it lacks.

On the leader a version becomes known when it is durable, so its age is its own. Elsewhere it becomes known with the
report that names it, which comes at once; but what is heard of first after a silence may be as old as the silence, and
is taken to be. Where this daemon knew nothing before, an age is only the least that it can be, and says so.

A state without a leader grows no older by itself, but a leader that is out of reach may go on writing. So this node's
own lag counts, once the leader's last word is no longer good, from that word on.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable

import attrs

from replication.version import Point, Version, common_ancestor

GRAIN_SECONDS = 0.1
"""Versions that follow each other faster than this count as of one age: a busy state has a hundred in a second."""

ENTRIES_LIMIT = 1024
"""More ages than this are not kept apart; the oldest are put together then, as far as `PRECISION` allows."""

PRECISION = 0.05
"""What is put together is within this fraction of its age. A month of changes is some 350 ages then."""


@attrs.frozen
class Age:
    """How old the oldest version is that a replica lacks; 0 if it lacks none."""

    seconds: float
    #: It is older than what this daemon knows of, so at least so old.
    is_at_least: bool = False


@attrs.frozen
class _Known:
    """The versions up to `last`, from the last of the entry before on, which became known from `since` to `until`."""

    last: Point
    since: float
    until: float
    is_at_least: bool = False


class Lag:
    """What became known when, of the history of whoever leads; times are seconds on the machine's clock."""

    def __init__(self) -> None:
        self._newest: Version | None = None
        # The oldest first; all of them are in the history of `_newest`, or were when it still named them.
        self._known: list[_Known] = []
        self._heard_at = -math.inf
        self._good_until = -math.inf

    def heard(self, newest: Version, at: float, good_until: float) -> None:
        """The leader said, or this node knows of itself, that it holds `newest`; call it as often as you like.

        Args:
            newest: what the leader holds.
            at: when that was said.
            good_until: how long that is good for: a later version would have been heard of by then.
        """
        if at < self._heard_at:
            return
        if newest != self._newest:
            self._add(newest, at)
        self._heard_at, self._good_until = at, good_until

    def _add(self, newest: Version, at: float) -> None:
        former, self._newest = self._newest, newest
        since = self._heard_at if former is not None and at > self._good_until else at
        if former is not None and not newest.has(former.point):
            self._known = _within(newest, self._known)
        last = self._known[-1] if self._known else None
        if last is not None and last.last == newest.point:
            return
        if last is not None and last.last.gid == newest.gid and self._is_of_one_age(last, since):
            self._known[-1] = attrs.evolve(last, last=newest.point, until=at)
        else:
            # Of a history of which nothing was known, what came before may be much older.
            self._known.append(_Known(newest.point, since, at, last is None))
        if len(self._known) > ENTRIES_LIMIT:
            self._known = list(_put_together(self._known, at))

    @staticmethod
    def _is_of_one_age(known: _Known, since: float) -> bool:
        return not known.is_at_least and since - known.since < GRAIN_SECONDS

    def age(self, version: Version | None, now: float) -> Age | None:
        """Say how old the oldest version is that a replica lacks.

        Args:
            version: what it holds; None is nothing that is known.
            now: seconds.

        Returns:
            None while no leader was ever heard of.
        """
        if self._newest is None:
            return None
        base = None if version is None else common_ancestor(self._newest, version)
        place = 0 if base is None else self._first_after(base)
        if place == len(self._known):
            return Age(0.0)
        lacked = self._known[place]
        return Age(max(0.0, now - lacked.since), lacked.is_at_least)

    def own_age(self, version: Version | None, now: float) -> Age | None:
        """Say the same of this node, which may lack what a leader wrote that is not heard any more."""
        age = self.age(version, now)
        if age is None or now <= self._good_until:
            return age
        return max(age, Age(now - self._heard_at), key=lambda one: one.seconds)

    def _first_after(self, base: Point) -> int:
        """The place of the first entry that holds something later than a point of the leader's history."""
        assert self._newest is not None, "points are compared along a history"
        ages = {point.gid: -place for place, point in enumerate(self._newest.history)}

        def moment(point: Point) -> tuple[float, int]:
            # What a lineage of many leaderships names no more was before all that it names.
            return ages.get(point.gid, -math.inf), point.clock

        return bisect.bisect_right(self._known, moment(base), key=lambda known: moment(known.last))


def _within(newest: Version, known: list[_Known]) -> list[_Known]:
    """Leave out what is no part of a version's history; what goes with it from the beginning leaves an age unknown."""
    kept = [one for one in known if newest.has(one.last)]
    if kept and kept[0] is not known[0]:
        kept[0] = attrs.evolve(kept[0], is_at_least=True)
    return kept


def _put_together(known: Iterable[_Known], now: float) -> Iterable[_Known]:
    """Put neighbours together that are of almost the same age."""
    earlier: _Known | None = None
    for one in known:
        if earlier is not None and not earlier.is_at_least and _are_alike(earlier, one, now):
            earlier = attrs.evolve(earlier, last=one.last, until=one.until)
            continue
        if earlier is not None:
            yield earlier
        earlier = one
    if earlier is not None:
        yield earlier


def _are_alike(earlier: _Known, later: _Known, now: float) -> bool:
    return later.until - earlier.since <= PRECISION * (now - later.until)
