"""Which state is newer: versions as pure values, and their order.

A version is HTCondor's pair, a gid and a logical clock, and what HTCondor lacks: its lineage. The gid names one
leadership and is its epoch, so no two leaderships share one; the clock counts the changes that this leadership
published, starting at 0 with the state it began from. The lineage says where it began: the parent is the point (gid,
clock) that its leader held at the time, behind it stands the parent's parent, and so on.

From two lineages alone anybody can tell whether one state grew out of the other (*newer* and *older*), or whether both
grew apart from a common ancestor (*diverged*). HTCondor compares clocks of one gid, which both sides of a partition
keep bumping, so that there the larger clock wins in silence (its ReplicatorStateMachine.cpp and HAD_Version.cpp).

A lineage may end in the dark: what a real condor_replication wrote has no parent, and a long lineage is cut at
`LINEAGE_LIMIT`. `is_rooted` says that it does not: its oldest leadership began with nothing. Where the dark end
matters the answer is *unknown*, never a guess.

What is not promised: two writers who use one gid cannot be told apart. Ours never do; HTCondor's do, and towards them
its own rule holds, the larger clock is newer.
"""

from __future__ import annotations

import enum
import re
from typing import Any, Final, Self

import attrs

#: The largest gid or clock that HTCondor's 32-bit integers hold.
INTEGER_LIMIT: Final = 2**31 - 1

#: Our clocks stop here: condor_replication exits when one reaches `INTEGER_LIMIT`, again after every restart
#: (HAD_Version.cpp, increaseLogicalClock).
CLOCK_LIMIT: Final = INTEGER_LIMIT - 1

#: Ancestors that a version remembers. Divergence is looked for among recent leaderships; a thousand handovers ago is
#: history, and a version is sent with every heartbeat.
LINEAGE_LIMIT: Final = 128

_TEXT: Final = re.compile(rb"\s*(\d{1,10})\s*\n\s*(\d{1,10})\s*")


class VersionError(Exception):
    """Bytes or a document that somebody else wrote hold no version; the text says why and shows the values."""


class Relation(enum.Enum):
    """What one version is to another."""

    SAME = "same"
    #: It grew out of the other, and holds all that the other holds.
    NEWER = "newer"
    #: The other grew out of it.
    OLDER = "older"
    #: Each holds something that the other lacks.
    DIVERGED = "diverged"
    #: A lineage ends before it could tell.
    UNKNOWN = "unknown"


@attrs.frozen(order=True)
class Point:
    """One published state: the leadership that published it, and its number there."""

    gid: int
    clock: int

    def __str__(self) -> str:
        return f"{self.gid}.{self.clock}"


@attrs.frozen
class Version:
    """A point and how it came to be.

    Attributes:
        gid: the leadership that wrote it, which is its epoch; any positive number if HTCondor wrote it.
        clock: how many changes that leadership published before, 0 to `INTEGER_LIMIT`.
        lineage: the parent that this leadership began from, its parent, and so on; the newest first.
        is_rooted: the oldest leadership of all these began with nothing. Otherwise what was before is unknown.
    """

    gid: int
    clock: int
    lineage: tuple[Point, ...] = ()
    is_rooted: bool = False

    @classmethod
    def first(cls, gid: int) -> Self:
        """Give the version of a leadership that begins with no state at all."""
        return cls(gid, 0, (), is_rooted=True)

    @classmethod
    def adopted(cls, point: Point) -> Self:
        """Give the version of a state that HTCondor left here: whatever it grew out of is unknown."""
        return cls(point.gid, point.clock)

    @property
    def point(self) -> Point:
        """The version without its lineage."""
        return Point(self.gid, self.clock)

    @property
    def history(self) -> tuple[Point, ...]:
        """The point itself and the points of its ancestors; the newest first, one for each leadership."""
        return (self.point, *self.lineage)

    @property
    def text(self) -> bytes:
        """HTCondor's `$(SPOOL)/Version`: two decimal lines, the second without a newline."""
        return f"{self.gid}\n{self.clock}".encode("ascii")

    @property
    def is_exhausted(self) -> bool:
        """Whether the clock cannot advance any more; the leader then goes on under a new gid."""
        return self.clock >= CLOCK_LIMIT

    def advanced(self) -> Version:
        """Give the version of the next change that the same leadership publishes."""
        assert not self.is_exhausted, f"the clock of {self.point} is at its limit"
        return attrs.evolve(self, clock=self.clock + 1)

    def led_by(self, gid: int) -> Version:
        """Give the version with which the new leadership `gid` begins, this one being its parent."""
        assert gid not in {point.gid for point in self.history}, f"leadership {gid} would be its own ancestor"
        lineage = self.history
        is_rooted = self.is_rooted and len(lineage) <= LINEAGE_LIMIT
        return Version(gid, 0, lineage[:LINEAGE_LIMIT], is_rooted)

    def has(self, point: Point) -> bool:
        """Whether this state is, or is known to have grown out of, the state that `point` names."""
        return any(own.gid == point.gid and own.clock >= point.clock for own in self.history)

    def to_document(self) -> dict[str, Any]:
        """Give a JSON object, for HAD_DIR and for our own peers."""
        lineage = [[point.gid, point.clock] for point in self.lineage]
        return {"gid": self.gid, "clock": self.clock, "lineage": lineage, "rooted": self.is_rooted}

    @classmethod
    def from_document_untrusted(cls, document: object) -> Self:
        """Read what `to_document` gave, and whatever else a peer or a damaged disk may hold.

        Raises:
            VersionError: it is no version; nothing else is ever raised.
        """
        if not isinstance(document, dict):
            raise VersionError(f"a version is a JSON object (got {document!r:.80})")
        lineage, is_rooted = document.get("lineage"), document.get("rooted")
        if not isinstance(lineage, list) or len(lineage) > LINEAGE_LIMIT or not isinstance(is_rooted, bool):
            raise VersionError(
                f"a version has a lineage of at most {LINEAGE_LIMIT} points and says if it is rooted"
            )
        points = [point_untrusted([document.get("gid"), document.get("clock")])]
        points += [point_untrusted(pair) for pair in lineage]
        if len({point.gid for point in points}) != len(points):
            raise VersionError(f"a leadership is its own ancestor in the lineage of {points[0]}")
        return cls(points[0].gid, points[0].clock, tuple(points[1:]), is_rooted)


def point_untrusted(pair: object) -> Point:
    """Check two numbers that somebody else wrote."""
    # JSON's true is an int for Python.
    if not isinstance(pair, list) or len(pair) != 2 or not all(type(number) is int for number in pair):
        raise VersionError(f"a point is a gid and a clock, two whole numbers (got {pair!r:.80})")
    if not all(0 <= number <= INTEGER_LIMIT for number in pair):
        raise VersionError(f"a gid and a clock are between 0 and {INTEGER_LIMIT} (got {pair!r:.80})")
    return Point(*pair)


def parse_text_untrusted(data: bytes) -> Point:
    """Read HTCondor's two-line version file.

    HTCondor itself reads garbage as 0 and so forgets what it knew; here garbage is said to be garbage.

    Raises:
        VersionError: these are not two decimal lines within 31 bits.
    """
    match = _TEXT.fullmatch(data)
    if match is None:
        raise VersionError(f"a version file has two decimal lines, gid and clock (got {data[:40]!r})")
    return point_untrusted([int(number) for number in match.groups()])


def compare(one: Version, other: Version) -> Relation:
    """Say what `one` is to `other`.

    Two lineages that share a leadership agree on everything before it, since a leadership has one parent. So the first
    shared leadership, seen from the newer ends, decides.
    """
    shared = _first_shared(one, other)
    if shared is not None:
        return _relation_at(shared, one, other)
    # Without a shared leadership a rooted lineage, which is whole, rules out that the other is an ancestor.
    if one.is_rooted and other.is_rooted:
        return Relation.DIVERGED
    return Relation.UNKNOWN


def _relation_at(shared: tuple[int, int], one: Version, other: Version) -> Relation:
    """Decide by the first leadership that both lineages hold, at these places of their histories."""
    mine, theirs = shared
    my_clock, their_clock = one.history[mine].clock, other.history[theirs].clock
    if mine == 0 and theirs == 0:
        if my_clock == their_clock:
            return Relation.SAME
        return Relation.NEWER if my_clock > their_clock else Relation.OLDER
    if theirs == 0 and their_clock <= my_clock:
        return Relation.NEWER
    if mine == 0 and my_clock <= their_clock:
        return Relation.OLDER
    return Relation.DIVERGED


def _first_shared(one: Version, other: Version) -> tuple[int, int] | None:
    """Find the newest leadership that both histories hold: its place in each."""
    places = {point.gid: place for place, point in enumerate(other.history)}
    for place, point in enumerate(one.history):
        if point.gid in places:
            return place, places[point.gid]
    return None


def common_ancestor(one: Version, other: Version) -> Point | None:
    """Give the newest state that both grew out of (or are), None when none is known.

    For diverged versions it is the base of a three-way merge.
    """
    shared = _first_shared(one, other)
    if shared is None:
        return None
    return min(one.history[shared[0]], other.history[shared[1]])
