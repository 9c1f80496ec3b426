"""What a running replica looks like from outside, read from memory when somebody asks: the status, and how fresh it is.

A pure reading of the machine and of what its neighbours say of themselves; nothing here is remembered or decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from replication import status
from replication.events import State
from replication.lag import Lag
from replication.manifest import total_bytes
from replication.peers import Own, Peer, leader_of
from replication.places import Places
from replication.replica import Replica
from replication.replica_settings import Member
from replication.transfer_figures import Figure
from replication.version import Point, Version

Names = Callable[[Member], str]
"""How the configuration spells a member."""

FILES_LIMIT = 1000
"""A state that is a folder may hold a hundred thousand files; the status names the first of them."""


@attrs.frozen
class Word:
    """What the leader holds, as far as this node knows.

    Attributes:
        member: the leader.
        version: what it holds; None is nothing.
        fingerprint: of its bytes; empty if it is a real condor_replication, which says none.
        said_at: when it was heard, on the machine's clock.
        good_until: how long that is good for.
    """

    member: Member
    version: Version | None
    fingerprint: str
    said_at: float
    good_until: float


def leaders_word(replica: Replica, now: float) -> Word | None:
    """Return what the leader holds; None if no leader is known.

    This node's own word counts while had leads here, and after it until another leader is heard.
    """
    other = None if replica.is_leading else leader_of(replica.peers.values(), now)
    if other is not None:
        return Word(other.member, other.version, other.fingerprint, other.heard_at, other.expires_at)
    if replica.state is not State.LEADER:
        return None
    own, settings = replica.ledger.own, replica.settings
    version, name = (None, "") if own is None else (own.version, own.fingerprint)
    return Word(settings.me, version, name, now, now + settings.timeout_seconds)


def version_of(peer: Peer, sent: Mapping[Member, Point]) -> Version | None:
    """Return what a replica holds as far as is known.

    Ours report it. A real condor_replication does not say what it holds after it has fetched that, so what it was sent
    whole counts.

    Args:
        peer: the replica.
        sent: what each was sent last.
    """
    point = sent.get(peer.member)
    if peer.is_ours is not False or point is None:
        return peer.version
    return Version.adopted(point) if peer.version is None or peer.version.point < point else peer.version


def is_in_sync(peer: Peer, version: Version | None, word: Word | None) -> bool:
    """Whether a replica, which holds this version, holds the leader's; where no digest is told the name counts."""
    if word is None or word.version is None or version is None:
        return False
    fingerprint = "" if peer.is_ours is False else peer.fingerprint
    is_same_name = version.point == word.version.point
    return is_same_name and (fingerprint == word.fingerprint or "" in {fingerprint, word.fingerprint})


def peer_state(peer: Peer, now: float) -> str:
    """One word for how a replica stands: alive, gone (nobody listens there), silent or unknown (never heard)."""
    if peer.is_alive(now):
        return "alive"
    if peer.heard_at <= peer.gone_at > peer.linked_at:
        return "gone"
    return "silent" if is_known(peer) else "unknown"


def is_known(peer: Peer) -> bool:
    """Whether a replica was ever heard."""
    return math.isfinite(peer.heard_at)


# --- how fresh --------------------------------------------------------------------------------------------------


@attrs.frozen
class Freshness:
    """How far this node's own replica may lag behind the leader.

    Attributes:
        lag_seconds: at most so far; None if nobody can say.
        reason: why nobody can; else why it is as it is, a sentence without its full stop.
    """

    lag_seconds: float | None
    reason: str


def freshness(replica: Replica, lag: Lag, now: float) -> Freshness:
    """Say how far this node's replica may lag behind the leader.

    A leader lags behind nobody. Elsewhere it is the age of the oldest version of the leader's that is known of and
    lacked; once the leader is not heard any more it is at least the time since its last word, since it may have written
    on. So a failover of seconds leaves a follower as fresh as it is. Where no leader was heard since the daemon's
    start, or what is lacked is from before it, nobody can say, and that is not fresh.
    """
    if replica.state is State.LEADER:
        return Freshness(0.0, "this node leads")
    if replica.ledger.is_altered:
        return Freshness(None, "what stands here was changed by somebody who must not")
    if replica.version is None:
        return Freshness(None, "there is no state here")
    age = lag.own_age(replica.version, now)
    if age is None:
        return Freshness(None, "no leader was heard of since this daemon started")
    if age.is_at_least:
        return Freshness(None, "it lacks a version that is older than this daemon's knowledge")
    word = leaders_word(replica, now)
    if word is None:
        return Freshness(age.seconds, "the leader is not heard any more")
    return Freshness(
        age.seconds, "it lacks a version of the leader's" if age.seconds else "it holds what the leader holds"
    )


# --- the status -------------------------------------------------------------------------------------------------


@attrs.frozen
class Surroundings:
    """What the parts around the machine say of themselves; all of it is in memory.

    Attributes:
        places: where the state lies.
        transfers: the transferers that run.
        sent: what each replica was sent last, whole.
        conflicts: what is kept (`replication.conflicts.document`), the oldest first.
        pending: which conflicts, by identifier, are to be merged or restored.
        failed: which of others' could not be, with the reason.
        watching: why changes are not noticed at once, or the state cannot be read; None if all is well.
        changed: Unix time at which the version became held here, None if nobody knows.
        history: the last transitions.
        program: the version of the program.
        shared_hash: 48 bits over all settings that the members must share.
        time: Unix time.
    """

    places: Places
    transfers: tuple[Figure, ...]
    sent: Mapping[Member, Point]
    conflicts: tuple[Mapping[str, Any], ...]
    pending: Mapping[str, str]
    failed: Mapping[str, str]
    watching: str | None
    changed: float | None
    history: tuple[status.Change, ...]
    program: str
    shared_hash: int
    time: float


def status_of(replica: Replica, lag: Lag, now: float, *, names: Names, around: Surroundings) -> status.Status:
    """Make the document.

    Args:
        replica: the machine.
        lag: what became known when.
        now: seconds on the machine's clock.
        names: how the configuration spells a member.
        around: what is around the machine.
    """
    word = leaders_word(replica, now)
    own = replica.ledger.own
    return status.Status(
        node=names(replica.settings.me),
        state=replica.state.value,
        leader=None if word is None else names(word.member),
        epoch=replica.epoch,
        version=None if own is None else _version(own, around.changed),
        replicas=tuple(
            _replica(peer, version_of(peer, around.sent), word, lag, now, names)
            for peer in replica.peers.values()
        ),
        conflicts=around.conflicts,
        transfers=tuple(_transfer(figure, names) for figure in around.transfers),
        files=tuple(_files(own, around.places)),
        is_folder=around.places.is_folder,
        watching=around.watching,
        pending=(
            *(status.Pending(identifier, act) for identifier, act in around.pending.items()),
            *(status.Pending(identifier, None, reason) for identifier, reason in around.failed.items()),
        ),
        history=around.history,
        program=around.program or None,
        time=round(around.time, 3),
        configuration=f"{around.shared_hash:012x}",
    )


def _version(own: Own, changed: float | None) -> status.Version:
    version = own.version
    return status.Version(
        gid=version.gid,
        clock=version.clock,
        bytes=total_bytes(own.held.files),
        sha256=own.fingerprint,
        changed=None if changed is None else round(changed, 3),
        lineage=tuple((point.gid, point.clock) for point in version.lineage),
        rooted=version.is_rooted,
    )


def _replica(
    peer: Peer, version: Version | None, word: Word | None, lag: Lag, now: float, names: Names
) -> status.Replica:
    age = lag.age(version, now) if is_known(peer) else None
    return status.Replica(
        address=names(peer.member),
        version=None if version is None else status.Point(version.gid, version.clock),
        lag_seconds=None if age is None else round(age.seconds, 3),
        state=peer_state(peer, now),
        implementation={True: "ours", False: "condor", None: "unknown"}[peer.is_ours],
        in_sync=is_in_sync(peer, version, word),
    )


def _transfer(figure: Figure, names: Names) -> status.Transfer:
    point, left = figure.version, figure.seconds_left
    return status.Transfer(
        direction=figure.direction.value,
        peer=names(figure.peer),
        state=figure.state,
        version=None if point is None else status.Point(point.gid, point.clock),
        bytes=figure.bytes,
        total_bytes=figure.total_bytes,
        bytes_per_second=round(figure.bytes_per_second, 1),
        seconds_left=None if left is None else round(left, 1),
        since=round(figure.since, 3),
    )


def _files(own: Own | None, places: Places) -> Iterable[status.File]:
    """Name the files that are held and where each is; of a list also those of which nothing is held yet."""
    held = {} if own is None else {record.name: record.size_bytes for record in own.held.files}
    if places.is_folder:
        for name in sorted(held)[:FILES_LIMIT]:
            yield status.File(name, str(places.paths[0] / name), held[name])
        return
    for place, path in enumerate(places.paths):
        yield status.File(str(place), str(path), held.get(str(place), 0))
