"""What a replica knows of each other replica, and pure readings of it: who leads, whence to fetch what, who lags."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import attrs

from replication.events import Report, State
from replication.manifest import Held, fingerprint
from replication.replica_settings import Member, ReplicaSettings
from replication.version import INTEGER_LIMIT, LINEAGE_LIMIT, Point, Relation, Version, compare

FIRST_RETRY_SECONDS = 0.2
"""After a failed download from a replica the next try there comes so soon, then after twice as long each time."""

LAST_RETRY_SECONDS = 10.0
"""And never later than this: a failed transfer is tried again for as long as it is needed."""

PLACES = 128
"""Epochs are a counter times this plus an id (hard case 2), so that no two nodes ever make the same one."""


@attrs.frozen
class Own:
    """What this node holds, with the name of its bytes, which is not made anew for every look."""

    held: Held
    fingerprint: str

    @classmethod
    def of(cls, held: Held) -> Own:
        """Name the bytes."""
        return cls(held, fingerprint(held.files))

    @property
    def version(self) -> Version:
        """The version held."""
        return self.held.version


@attrs.define
class Peer:
    """One other replica; times are on this node's clock, minus infinity for never."""

    member: Member
    is_ours: bool | None = None
    report: Report | None = None
    heard_at: float = -math.inf
    #: What was heard last is good until then.
    expires_at: float = -math.inf
    gone_at: float = -math.inf
    linked_at: float = -math.inf
    #: What it held when it spoke last.
    version: Version | None = None
    fingerprint: str = ""
    is_leading: bool = False
    failures: int = 0
    retry_at: float = -math.inf
    #: Of a real one: when it is told the leader's version, and asked what it holds; infinity for not at all.
    tell_at: float = math.inf
    ask_at: float = math.inf
    #: Of a real one: the gid under which it was heard to lead, and that of what was fetched from it last.
    led_gid: int | None = None
    gave_gid: int | None = None
    #: Of a real one: under this gid it writes a history of its own, which began before our state (`take_condor`).
    parted_gid: int | None = None
    #: Of a real one: what it last said that it holds as a backup, or what was fetched from it.
    backed: Point | None = None

    def is_news(self, report: Report) -> bool:
        """Whether a report is later than the last one of the same replica."""
        last = self.report
        return last is None or (report.instance, report.sequence) > (last.instance, last.sequence)

    def take(self, report: Report, now: float) -> None:
        """Believe a report."""
        self.report, self.is_ours = report, True
        self.heard_at, self.expires_at = now, now + report.validity_seconds
        self.version, self.fingerprint = report.version, report.fingerprint
        self.is_leading = report.state is State.LEADER

    def take_condor(
        self, point: Point, now: float, own: Own | None, *, is_leading: bool, settings: ReplicaSettings
    ) -> None:
        """Believe a real condor_replication, which says what it holds only when that changes or when it is asked.

        It goes on under the gid that it finds. One that leads under the gid of our state, and counts from no more than
        our clock, has not got our state: it came back with an older one and writes another history
        (`replication/condors.py` says why it can).
        """
        self.heard_at, self.expires_at = now, now + 2 * settings.condor_interval_seconds
        self.version, self.fingerprint = Version.adopted(point), ""
        self.is_leading = is_leading
        if not is_leading:
            self.backed = point
            return
        if own is not None and own.version.gid == point.gid != self.gave_gid:
            is_ours = own.version.point == point and own.held.is_acknowledged
            if point.clock <= own.version.clock and not is_ours:
                self.parted_gid = point.gid
        self.led_gid = point.gid

    def has_parted_from(self, version: Version) -> bool:
        """Whether this real one writes a history of its own under the gid of a version."""
        return self.parted_gid == version.gid

    def has_lacked(self, version: Version) -> bool:
        """Whether this real one is known to have had less of a version's leadership before it went on under its gid."""
        backed = self.backed
        return backed is not None and backed.gid == version.gid and backed.clock < version.clock

    def gave(self, version: Version) -> None:
        """What stands here came from it, or is what it has."""
        self.succeeded()
        self.gave_gid, self.parted_gid, self.backed = version.gid, None, version.point

    def is_gone(self, now: float) -> None:
        """Nobody listens there: whoever speaks next from there may have lost its memory, its count of starts too."""
        self.gone_at = now
        self.report = None

    def failed(self, now: float) -> float:
        """Count a failed download from there; return the seconds until the next try."""
        delay = min(FIRST_RETRY_SECONDS * 2.0 ** min(self.failures, 16), LAST_RETRY_SECONDS)
        self.failures += 1
        self.retry_at = now + delay
        return delay

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failures, self.retry_at = 0, -math.inf

    def is_alive(self, now: float) -> bool:
        """Whether what it said last is still good, and its daemon has not been found gone since."""
        return now < self.expires_at and self.gone_at < self.heard_at

    def has_answered(self, now: float, started_at: float, settings: ReplicaSettings) -> bool:
        """Whether it reported, or is known to be gone, or was silent for T; a real one for HTCondor's wait."""
        wait = settings.joining_seconds if self.is_ours is False else settings.timeout_seconds
        return (
            self.heard_at >= started_at
            or self.gone_at > max(self.linked_at, started_at)
            or now >= started_at + wait
        )

    def holds(self, own: Own) -> bool:
        """Whether it reported these bytes durable, or a state that grew out of them."""
        if self.version is None or not self.version.has(own.version.point):
            return False
        if self.is_ours is False:
            # A larger clock may count something else (`take_condor`). A backup has this version from whoever made it.
            is_backup = not self.is_leading and self.led_gid != own.version.gid
            return is_backup and self.version.point == own.version.point
        if self.version.point == own.version.point:
            return self.fingerprint == own.fingerprint
        # Of a name that HTCondor gave, or nobody, there may be several states: theirs may have grown out of another.
        return own.version.is_rooted or bool(own.version.lineage)


@attrs.frozen
class Wanted:
    """A version that this node should have, and who holds it."""

    version: Version
    #: The leader first, if it is the leader's; the others hold it too.
    holders: tuple[Member, ...]
    #: It goes over ours, whatever ours is.
    is_leaders: bool


def leader_of(peers: Iterable[Peer], now: float) -> Peer | None:
    """Return the replica whose had leads: of several the one with the largest gid, which is the latest epoch."""
    leading = [
        (p.version.point, p) for p in peers if p.is_alive(now) and p.is_leading and p.version is not None
    ]
    return max(leading, key=lambda pair: pair[0], default=(None, None))[1]


def relation_to(own: Own | None, version: Version, its_fingerprint: str = "") -> Relation:
    """Say what a version is to ours; two states under one name are no better than diverged ones."""
    if own is None:
        return Relation.NEWER
    relation = compare(version, own.version)
    if relation is Relation.SAME and its_fingerprint and its_fingerprint != own.fingerprint:
        return Relation.DIVERGED
    if relation in {Relation.DIVERGED, Relation.UNKNOWN} and _is_more(own.version, version):
        return Relation.NEWER
    # HTCondor calls a state 0 of which it knows nothing, and takes any other for newer.
    if relation is Relation.UNKNOWN and own.version.gid == 0:
        return Relation.NEWER
    return relation


def _is_more(own: Version, version: Version) -> bool:
    """Whether a version holds all that ours holds, and more, though their leaderships grew apart.

    It is so where ours changed nothing since they parted: a leader that died before its controllee wrote a byte.
    """
    mine, theirs = content_point(own), content_point(version)
    return theirs not in {mine, None} and (mine is None or version.has(mine))


def wanted(own: Own | None, peers: Iterable[Peer], now: float, *, is_fenced: bool) -> Wanted | None:
    """Return what this node should fetch; None if nobody reachable has anything better.

    While somebody leads its word counts alone: its version goes even over one of ours that diverged. Without a leader
    it is the newest of those that are newer than ours, which a lineage proves.

    Args:
        own: what this node holds.
        peers: the others.
        now: seconds.
        is_fenced: a leader with a later epoch was heard not long ago, so that one with an earlier epoch than that of
            what we hold may be one that was woken up; ours is not given up for it yet.
    """
    alive = [p for p in peers if p.is_alive(now) and p.version is not None]
    leader = leader_of(alive, now)
    if leader is None:
        return _newest(own, alive)
    assert leader.version is not None, "a leader was chosen among those that have a version"
    relation = relation_to(own, leader.version, leader.fingerprint)
    if own is not None and leader.has_parted_from(own.version):
        relation = Relation.DIVERGED
    if relation in {Relation.SAME, Relation.OLDER}:
        return None
    is_earlier = own is not None and leader.version.gid < own.version.gid
    if is_fenced and is_earlier and relation is not Relation.NEWER:
        return None
    point = leader.version.point
    others = [p for p in alive if p is not leader and p.is_ours and p.version and p.version.point == point]
    return Wanted(leader.version, (leader.member, *(p.member for p in others)), is_leaders=True)


def _newest(own: Own | None, alive: Iterable[Peer]) -> Wanted | None:
    # Nothing proves an order between versions of HTCondor's; and a condor_replication sends only while it leads.
    ours = [(p.member, p.version) for p in alive if p.is_ours and p.version is not None]
    newer = [(m, v) for m, v in ours if relation_to(own, v) is Relation.NEWER]
    heads = [v for _, v in newer if not any(compare(o, v) is Relation.NEWER for _, o in newer)]
    if not heads:
        return None
    # Where the newer ones diverged among themselves everybody takes the later leadership.
    best = max(heads, key=lambda v: v.point)
    return Wanted(best, tuple(m for m, v in newer if v.point == best.point), is_leaders=False)


def is_newer_known(own: Own | None, peers: Iterable[Peer]) -> bool:
    """Whether anybody ever told of a version newer than ours, reachable now or not."""
    return any(p.version is not None and relation_to(own, p.version) is Relation.NEWER for p in peers)


def lacking(own: Own | None, peers: Iterable[Peer], now: float) -> tuple[Member, ...]:
    """Return the replicas of ours that are heard and do not hold what this node holds."""
    if own is None:
        return ()
    return tuple(p.member for p in peers if p.is_ours and p.is_alive(now) and not p.holds(own))


def is_overtaken(
    own: Own | None, epoch: int | None, versions: Iterable[Version], led: Collection[int], *, is_late: bool
) -> bool:
    """Whether had leads with an epoch that is over: it, or this daemon, was stopped for a long time.

    Its controllee is dead by then (had's guard sees to that), and something later may have been installed.

    Args:
        own: what this node holds.
        epoch: had's; None if it knows none.
        versions: all that are known.
        led: the leaderships of this node of which something was written.
        is_late: the beginning was missed, so the epoch need not be larger than all that are known.
    """
    if epoch is None or own is None or own.version.gid == epoch or own.held.is_leading:
        return False
    if epoch in led or any(epoch == point.gid for version in versions for point in version.history):
        # Somebody's history has it already, or ours has gone on from it, or was given up for another leader's.
        return True
    # Where the beginning was missed an epoch is still later than all before it. (HTCondor's gids are no epochs.)
    return is_late and epoch < own.version.gid and (own.version.is_rooted or own.version.lineage != ())


def content_point(version: Version) -> Point | None:
    """Name the state that a version's bytes were first published as; None if they never were.

    A leadership begins with its parent's bytes at clock 0.
    """
    changed = next((point for point in version.history if point.clock > 0), None)
    if changed is not None or version.is_rooted:
        return changed
    return version.history[-1]


def is_contained(own: Own | None, new: Held, condor: Peer | None = None) -> bool:
    """Whether taking a version loses nothing of ours: it grew out of our bytes (hard case 21).

    What HTCondor numbered may be two states with one name. It counts as contained only if another node was seen to
    hold these very bytes. So does what goes on under a gid of ours at a real condor_replication, unless that one is known
    to have had less of it: then it writes beside what we and others of ours hold.

    Args:
        own: what this node holds.
        new: what takes its place.
        condor: the real condor_replication from which it came; None if it came from one of ours.
    """
    if own is None or own.fingerprint == fingerprint(new.files):
        return True
    if condor is not None and own.version.gid == new.version.gid:
        is_beside = condor.has_parted_from(own.version) or condor.has_lacked(own.version)
        return own.held.is_acknowledged and not is_beside
    # A cut lineage may name our leadership and not any more the one that wrote our bytes, if nothing was written for long.
    is_cut = len(new.version.lineage) == LINEAGE_LIMIT and bool(own.version.lineage)
    if is_cut and own.version.point != new.version.point and new.version.has(own.version.point):
        return True
    content = content_point(own.version)
    if content is None:
        return not own.held.files
    if own.version.point == new.version.point:
        return False
    is_htcondors = not own.version.is_rooted and content == own.version.history[-1]
    return new.version.has(content) and (own.held.is_acknowledged or not is_htcondors)


def next_gid(known: Iterable[int], place: int) -> int:
    """Make a gid where had gave none: above all that are known, and in this node's own place modulo `PLACES`."""
    taken = set(known)
    above = max(taken, default=0)
    gid = (above // PLACES + 1) * PLACES + place % PLACES
    while gid > INTEGER_LIMIT or gid in taken:
        # HTCondor draws its gids from the whole range; then lineage alone says what is newer.
        gid = (
            gid - PLACES if gid <= INTEGER_LIMIT else (INTEGER_LIMIT // PLACES - 1) * PLACES + place % PLACES
        )
    return gid
