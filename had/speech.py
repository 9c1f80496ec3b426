"""What a node says, when, and to whom: its messages hold what it knows at first hand.

Ages and remaining times are relative to the moment of speaking, since members share no clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

import attrs

from had.ballots import Electorate, Grant
from had.election_settings import ElectionSettings, Member
from had.events import Directive, Kind, Message, Sighting
from had.peers import Peer
from had.transitions import Run, State

if TYPE_CHECKING:
    from had.election import Election


@attrs.define
class Voice:
    """When a node speaks next, and to whom; times are on the machine's clock."""

    next_beat: float
    next_condor_beat: float
    #: Something changed that others should know before the next heartbeat.
    has_news: bool = False
    #: Members that wait for a word of their own.
    replies: set[Member] = attrs.field(factory=set)

    def is_beat_due(self, now: float) -> bool:
        """Whether all of ours are to be told now."""
        return self.has_news or now >= self.next_beat

    def addressees(
        self,
        peers: Mapping[Member, Peer],
        condor_kind: Kind | None,
        settings: ElectionSettings,
        now: float,
        factor: int,
    ) -> list[tuple[Member, Kind]]:
        """Return who is told something now, and by which command, and begin the next wait.

        All of ours hear a heartbeat each T/4 (times `factor`: a quiet follower's is 2) and on news; a real condor_had
        hears HTCondor's commands at HTCondor's pace of two rounds in an interval. A member that waits for a reply
        gets one in any case.
        """
        is_due = self.is_beat_due(now)
        if is_due:
            self.next_beat = now + settings.heartbeat_seconds * factor
        is_condor_due = self.has_news or now >= self.next_condor_beat
        if condor_kind is not None and is_condor_due:
            self.next_condor_beat = now + settings.condor_interval_seconds / 2
        found = []
        for member, peer in peers.items():
            is_awaited = member in self.replies
            if peer.is_ours and (is_due or is_awaited):
                found.append((member, Kind.HEARTBEAT))
            elif peer.is_ours is False and condor_kind is not None and (is_condor_due or is_awaited):
                found.append((member, condor_kind))
        self.has_news = False
        self.replies.clear()
        return found


def is_quiet(node: Election, now: float) -> bool:
    """Whether this node's heartbeats carry nothing that anybody depends on, so that half of them will do.

    It follows a leader that all others hear themselves. Where one of them does not, our report of the leader keeps
    it from electing itself (P8), and must not be late.
    """
    leader = node.peers.get(node.leader) if node.leader is not None else None
    if node.state not in {State.PASSIVE, State.WITNESS} or leader is None or not leader.is_alive(now):
        return False
    others = (p for p in node.peers.values() if p is not leader and p.is_ours and p.is_alive(now))
    return not is_asking(node) and all(p.sees(leader.member) is not None for p in others)


def is_asking(node: Election) -> bool:
    """Whether this node asks for leadership as the returning primary (P6)."""
    best = node.best_leader
    return (
        node.state is State.PASSIVE
        and node.settings.is_primary
        and best is not None
        and not best.is_denied
        and node.abstains_seconds is None
        and node.is_able
        and node.is_ready
        and not node.is_paused
        and (node.hold is None or node.hold.member != node.settings.me)
    )


def condor_kind(node: Election) -> Kind | None:
    """What a real condor_had is told: only candidates and leaders speak, and a primary that waits for it."""
    if node.state is State.LEADER:
        return Kind.ALIVE
    if node.state is State.ELECTION:
        return Kind.SEND_ID
    if not node.leaders:
        return None
    best = node.best_leader
    peer = node.peers.get(best.member) if best is not None else None
    return Kind.ALIVE if peer is not None and peer.is_ours is False and is_asking(node) else None


def compose(node: Election, now: float) -> Message:
    """Put a node's present state into a message; what must be durable first is taken from the disk's record."""
    settings = node.settings
    names_successor = node.state is State.LEADER or (
        now < node.handed_over_at + settings.timeout_seconds and not node.leaders
    )
    is_awaiting = node.awaits is not None and now < node.awaits_until
    return Message(
        sender=settings.me,
        rank_id=settings.my_id,
        controllee=settings.controllee,
        state=node.state,
        members=settings.members,
        instance=node.instance,
        sequence=node.sequence,
        validity_seconds=settings.timeout_seconds,
        up_seconds=now - node.started_at,
        epoch=node.epoch,
        is_primary=settings.is_primary,
        follows=node.leader,
        is_active=node.run is Run.RUNNING,
        sightings=tuple(sighting_of(p, now) for p in node.peers.values() if p.is_alive(now)),
        candidacy=node.candidacy,
        wants=is_asking(node),
        is_yielding=node.handing_over is not None,
        successor=node.successor if names_successor else None,
        offer_epoch=node.offer_epoch if names_successor and node.successor else 0,
        abstains_seconds=node.abstains_seconds,
        awaits=node.awaits if is_awaiting else None,
        directive=spoken(node.record.directive, node.pause_ends_at, now),
        shared_hash=settings.shared_hash,
        version=settings.version,
        is_ready=node.is_ready,
        **_votes(node),
    )


class _OfVotes(TypedDict, total=False):
    lease_epoch: int
    lease_seconds: float
    grant: Grant | None
    electorate: Electorate


def _votes(node: Election) -> _OfVotes:
    """What majority mode adds to a message."""
    if not node.settings.require_majority:
        return {}
    votes = node.votes
    return {
        "lease_epoch": votes.asked_epoch,
        "lease_seconds": node.settings.timeout_seconds if votes.asked_epoch else 0.0,
        "grant": votes.grant(node.record),
        "electorate": votes.told_electorate(node.record),
    }


def sighting_of(peer: Peer, now: float) -> Sighting:
    """What to tell others of a peer that is alive."""
    message = peer.message
    assert message is not None, "only a peer that was heard is reported"
    return Sighting(
        member=peer.member,
        age_seconds=now - peer.heard_at,
        remaining_seconds=peer.expires_at - now,
        state=message.state,
        instance=message.instance,
        sequence=message.sequence,
        epoch=message.epoch,
        rank_id=message.rank_id,
        candidacy=message.candidacy,
        wants=message.wants,
        is_yielding=message.is_yielding,
        abstains_seconds=message.abstains_seconds,
        successor=message.successor,
        offer_epoch=message.offer_epoch,
    )


def spoken(directive: Directive, pause_ends_at: float, now: float) -> Directive:
    """The directive as told to others: the pause's remaining time counted from now.

    `pause_ends_at` may be a later directive's, which is not written yet and has no end; then the pause's own
    remaining time is all that is known.
    """
    if directive.pause is None or directive.pause.seconds_left is None or not math.isfinite(pause_ends_at):
        return directive
    left = max(0.0, pause_ends_at - now)
    return attrs.evolve(directive, pause=attrs.evolve(directive.pause, seconds_left=left))


def pause_end(directive: Directive, now: float) -> float:
    """When a directive's pause ends on the clock of `now`: infinity for until `resume`, the past for no pause."""
    if directive.pause is None:
        return -math.inf
    if directive.pause.seconds_left is None:
        return math.inf
    return now + directive.pause.seconds_left
