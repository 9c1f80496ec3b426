"""What a node knows of each other member: the last message, how long it is good, and how its machine answers.

`Peer` is the only mutable record beside the election machine itself, which alone writes it. The functions below it
are pure readings: who is alive, and which leaders exist, heard directly or through one other member (hard case 3:
hearsay of hearsay counts for nothing, and hearsay dies when the hearing it reports would have died).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import attrs

from had.election_settings import Member
from had.events import Denied, Linked, Message, Refused, Sighting
from had.overheard import Overheard
from had.ranking import Standing, standing_of
from had.transitions import State


@attrs.define
class Peer:
    """One other member; times are on this node's clock, minus infinity for never."""

    member: Member
    message: Message | None = None
    heard_at: float = -math.inf
    #: The last message is good until then.
    expires_at: float = -math.inf
    refused_at: float = -math.inf
    denied_at: float = -math.inf
    #: When a real condor_had there last said that it leads, and could not be understood.
    overheard_at: float = -math.inf
    #: What our own connection found there: our daemon, HTCondor's, or unknown.
    is_ours: bool | None = None
    #: When our own connection to it was last made.
    linked_at: float = -math.inf
    #: It leads or wants to, and lists us, but our own list does not have it (hard case 9): never elected over.
    is_stranger: bool = False
    #: Sightings in the last message that may change what we do, picked out once on arrival.
    notable: tuple[Sighting, ...] = ()
    #: Whether the last message itself may: most are a follower's that wants nothing.
    is_notable: bool = False
    #: The hearing after which its silence was noted, so that it is noted once.
    noted_silent_at: float = -math.inf
    #: The epoch of its leadership that was noted as a conflict with ours.
    noted_conflict_epoch: int = 0

    def take(self, message: Message, now: float, validity_seconds: float) -> None:
        """Believe a message."""
        self.message = message
        self.heard_at = now
        self.expires_at = now + validity_seconds
        is_concerned = message.state in {State.LEADER, State.ELECTION}
        self.is_notable = is_concerned or message.wants or message.successor is not None
        self.notable = tuple(
            s
            for s in message.sightings
            if s.state is State.LEADER or s.wants or s.successor is not None or s.candidacy
        )

    def reached(
        self, event: Linked | Refused | Denied | Overheard, now: float, timeout_seconds: float
    ) -> str | None:
        """Take what a connection told us of it; return the name of the news, if it is news."""
        news = None
        match event:
            case Linked(_, is_ours):
                self.is_ours = is_ours
                self.linked_at = now
            case Refused():
                news = "peer_gone" if self.is_alive(now) else None
                self.refused_at = now
            case Denied():
                news = None if self.is_denied(now, timeout_seconds) else "peer_denied"
                self.denied_at = now
            case Overheard():
                self.overheard_at = now
        return news

    @property
    def names_successor(self) -> bool:
        """Whether its last message tells of a handover, its own or another's."""
        own = self.message is not None and self.message.successor is not None
        return own or any(s.successor is not None for s in self.notable)

    @property
    def gone_at(self) -> float:
        """When its machine last proved that its daemon is gone, and with it its controllee; minus infinity for never.

        A real condor_had's negotiator does not die with it: that nobody listens there ends no leadership of its, only
        time does.
        """
        is_condor_leader = self.message is not None and is_condor_leadership(self.message)
        return -math.inf if is_condor_leader else self.refused_at

    def is_alive(self, now: float) -> bool:
        """Whether its last message is still good and nothing since then proved it gone."""
        return now < self.expires_at and self.gone_at < self.heard_at

    def falls_silent(self, now: float) -> bool:
        """Whether its last message has just run out, nothing else being known of it; it is asked once of each."""
        is_silent = self.expires_at <= now and self.gone_at < self.heard_at
        if not is_silent or self.noted_silent_at == self.heard_at:
            return False
        self.noted_silent_at = self.heard_at
        return True

    def is_denied(self, now: float, timeout_seconds: float) -> bool:
        """Whether it answers us, but does not let us in."""
        is_fresh = now < self.denied_at + timeout_seconds
        return is_fresh and self.denied_at > max(self.heard_at, self.refused_at)

    def is_news(self, sighting: Sighting, heard_at: float) -> bool:
        """Whether another member heard a later message of this one than we did; by the count, or else by the clock."""
        last = self.message
        if last is None:
            return True
        if last.instance and sighting.instance:
            return (sighting.instance, sighting.sequence) > (last.instance, last.sequence)
        return heard_at > self.heard_at

    def is_late(self, message: Message) -> bool:
        """Whether a message is one that its sender's daemon left on the way when it was killed.

        Its machine has refused us since, so nothing that the same start of the daemon said as a leader counts,
        unless we have reached it again.
        """
        return (
            message.is_ours
            and self.refused_at >= max(self.heard_at, self.linked_at)
            and self.message is not None
            and self.message.instance == message.instance
            and message.state is State.LEADER
        )

    def sees(self, member: Member) -> Sighting | None:
        """What its last message says of a member, None if it does not hear it."""
        if self.message is None:
            return None
        return next((s for s in self.message.sightings if s.member == member), None)


def is_condor_leadership(claim: Message | Sighting) -> bool:
    """Whether a member said as a real condor_had that it leads; in a report it shows by counting no starts."""
    is_ours = claim.is_ours if isinstance(claim, Message) else claim.instance > 0
    return claim.state is State.LEADER and not is_ours


def relisted(peers: Mapping[Member, Peer], members: Iterable[Member]) -> dict[Member, Peer]:
    """Return the peers under a new list: known ones are kept, and those that it lacks become strangers."""
    kept = {m: peers.get(m) or Peer(m) for m in members}
    for member, peer in peers.items():
        peer.is_stranger = member not in kept
    return kept | {m: p for m, p in peers.items() if p.is_stranger}


def new_conflicts(peers: Mapping[Member, Peer], rivals: Iterable[Report]) -> list[Report]:
    """Return the leaders that were not yet noted as rivals under their epoch, and note them."""
    found = []
    for rival in rivals:
        peer = peers.get(rival.member)
        if peer is not None and peer.noted_conflict_epoch != rival.claim.epoch:
            peer.noted_conflict_epoch = rival.claim.epoch
            found.append(rival)
    return found


def forget_strangers(peers: dict[Member, Peer], now: float) -> None:
    """Keep in mind a leader or candidate that our list does not have only while it is one (hard case 9)."""
    for peer in [p for p in peers.values() if p.is_stranger]:
        is_concerned = peer.message is not None and peer.message.state in {State.LEADER, State.ELECTION}
        if not (is_concerned and peer.is_alive(now)):
            del peers[peer.member]


@attrs.frozen
class Report:
    """What one member says of another: first hand if `via` is None, else seen by `via`."""

    member: Member
    claim: Message | Sighting
    #: When the member was heard, by us or by `via`.
    heard_at: float
    expires_at: float
    via: Member | None = None
    #: It is taken to lead only because it answers TCP and denies us (hard case 5).
    is_denied: bool = False

    def standing(self, now: float) -> Standing:
        """Where the member stands."""
        reported = self.heard_at if self.via is None else self.heard_at + _age(self.claim)
        return standing_of(self.claim, now - reported)


def _age(claim: Message | Sighting) -> float:
    return claim.age_seconds if isinstance(claim, Sighting) else 0.0


def _from_sightings(
    peers: Mapping[Member, Peer], peer: Peer, sightings: Iterable[Sighting], now: float
) -> Iterator[Report]:
    """Yield what `peer` reports of members that it heard later than we did."""
    for sighting in sightings:
        subject = peers.get(sighting.member)
        heard_at = peer.heard_at - sighting.age_seconds
        expires_at = peer.heard_at + sighting.remaining_seconds
        if now >= expires_at:
            continue
        if subject is None:
            if sighting.state is State.LEADER:  # a leader that our own list does not have (hard case 9)
                yield Report(sighting.member, sighting, heard_at, expires_at, via=peer.member)
            continue
        gone_at = -math.inf if is_condor_leadership(sighting) else subject.gone_at
        if heard_at <= gone_at or not subject.is_news(sighting, heard_at):
            continue
        yield Report(sighting.member, sighting, heard_at, expires_at, via=peer.member)


def reports(
    peers: Mapping[Member, Peer], now: float, *, notable_only: bool, with_last_words: bool = False
) -> Iterator[Report]:
    """Yield first-hand and second-hand knowledge of every member.

    A member's report of others outlives the member: what it heard was true, and dies on its own date.

    Args:
        peers: everybody else.
        now: the time.
        notable_only: skip messages and sightings that change nothing.
        with_last_words: also what a member said before its machine told us that its daemon is gone.
    """
    for peer in peers.values():
        if peer.message is None:
            continue
        is_wanted = peer.is_notable or not notable_only
        if is_wanted and (peer.is_alive(now) or (with_last_words and now < peer.expires_at)):
            yield Report(peer.member, peer.message, peer.heard_at, peer.expires_at)
        sightings = peer.notable if notable_only else peer.message.sightings
        if sightings:
            yield from _from_sightings(peers, peer, sightings, now)


def live_leaders(peers: Mapping[Member, Peer], me: Member, now: float) -> dict[Member, Report]:
    """Return the other leaders that exist as far as we can know, each by the latest report of it."""
    leaders: dict[Member, Report] = {}
    for report in reports(peers, now, notable_only=True):
        if report.claim.state is not State.LEADER or report.member == me:
            continue
        known = leaders.get(report.member)
        if known is None or report.heard_at > known.heard_at:
            leaders[report.member] = report
    return leaders
