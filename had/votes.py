"""Votes and leases: what HAD_REQUIRE_MAJORITY adds, so that there are never two controllees (promise P9).

A *vote* is a member's promise to one other, or to itself: until this time I give no vote to anybody else. A *lease* is
a leader's right to let its controllee live, and ends when too few of the promises still hold. docs/internals/majority.md
argues why there are never two; this module is the whole of it, and does no I/O.

Asking. A candidate that has won, a successor whose turn has come, and a leader as long as its controllee may live,
mark each of their messages as a request: `lease_epoch`, `lease_seconds`, and the message's own number. A message without
the mark says that its sender's controllee is gone and that it gives back what it held.

Granting. A voter answers with its next message: `grant` names the request. It is bound for `lease_seconds` from when it
heard the last request, by its own clock. A new vote is on disk before it is told; a renewal needs no write, since the
disk names whom the voter is bound to, and not until when: a voter that starts again is bound for as long as it can have
promised. One whose disk is empty, which may have promised anything, gives no vote for one lease.

Counting. The leader counts a grant from the moment before the request left, for `lease_seconds` less twice
HAD_CLOCK_DRIFT: on any two clocks that is over before the voter is free. Its lease ends with the last moment at which a
majority is still bound, and no lease of the guard's ends later.

Who may not give back a vote for another: nobody. A machine that refuses connections proves nothing here, since a firewall
refuses them too; only the holder's own later word counts, or that of the next start of its daemon.

The *electorate*, of which a majority is needed, is not what each node's configuration says at the moment but what the
last leader had on disk at a majority. A leader brings it to what its own lists say one member at a time, each
after the last is acknowledged, so that the majorities of any two that are in use have a member in common (hard case 9).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from had.ballots import Electorate, Grant, Vote
from had.election_settings import ElectionSettings, Member
from had.events import Message, Record
from had.pool import has_no_votes
from had.ranking import Standing, standing_of
from had.transitions import Reason, State

if TYPE_CHECKING:
    from had.election import Election

RESTART_SECONDS = 0.25
"""What a daemon promised ends so soon after its next start speaks: the earlier guard needs up to 0.2 s (P4)."""

RESERVE_SHARE = 1 / 3
"""A leader steps down when only this share of a lease is left, so that its controllee can stop in good order."""


STARVING_TIMEOUTS = 3
"""A voter that starts with an empty disk withholds its vote for T, and may start T after the candidate."""


@attrs.frozen
class Asker:
    """Somebody who asks for a lease, this node perhaps; times are on this node's clock."""

    member: Member
    instance: int
    sequence: int
    epoch: int
    seconds: float
    #: When the request was heard.
    at: float
    is_leader: bool
    standing: Standing
    electorate: Electorate


@attrs.frozen
class Bond:
    """What this node's vote is bound to."""

    #: As it must be on disk before it is told.
    vote: Vote
    #: The last request that was granted.
    sequence: int
    #: For how long that one asked.
    seconds: float
    #: Infinity for this node's own, which ends when it no longer asks.
    until: float

    def is_of(self, asker: Asker) -> bool:
        """Whether this is the bond to the one who asks."""
        return (self.vote.member, self.vote.instance) == (asker.member, asker.instance)


class Votes:
    """One node's vote, and the votes that it was given; times are on its own clock.

    Args:
        settings: What the configuration says.
        record: What this node kept on disk.
        now: the time of its start.
    """

    def __init__(self, settings: ElectionSettings, record: Record, now: float) -> None:
        self.settings = settings
        self.started_at = now
        # The voter. An own vote binds nobody after a restart: the controllee that it was for is gone.
        vote = record.vote
        is_bound = vote is not None and vote.member != settings.me
        self.bond = Bond(vote, vote.sequence, vote.seconds, now + vote.seconds) if vote and is_bound else None
        self.is_new = vote is None
        self.withheld_until = now + settings.timeout_seconds if self.is_new else -math.inf
        self._told: Grant | None = None
        self._told_number = record.electorate.number
        # The one who asks.
        self.asked_epoch = 0
        self.asked_since = now
        #: When each request that may still be granted was made, and for how long it asked.
        self.requests: dict[int, tuple[float, float]] = {}
        #: When each voter's promise ends, as this node may count it.
        self.ends: dict[Member, float] = {}
        #: The electorate that each voter had on its disk when it granted last.
        self.acknowledged: dict[Member, tuple[int, int]] = {}
        #: Since when a majority has failed this node: it lets others go first.
        self.starved_since: float | None = None

    # --- what is heard ----------------------------------------------------------------------------------------

    def heard(self, node: Election, message: Message) -> None:
        """Take the electorate and the grant of a message that is believed."""
        if not (self.settings.require_majority and message.is_ours):
            return
        ledger, theirs = node.ledger, message.electorate
        if theirs.number > ledger.wanted.electorate.number and ledger.is_plausible(theirs.number[0]):
            ledger.keep(attrs.evolve(ledger.wanted, electorate=theirs))
        if self.is_new and message.lease_seconds <= self._longest_seconds:
            self.withheld_until = max(self.withheld_until, self.started_at + message.lease_seconds)
        grant = message.grant
        if grant is None or (grant.member, grant.instance) != (self.settings.me, node.instance):
            return
        asked = self.requests.get(grant.sequence)
        if asked is not None:
            seconds = min(asked[1], grant.seconds)
            end = asked[0] + seconds * (1 - 2 * self.settings.clock_drift)
            self.ends[message.sender] = max(end, self.ends.get(message.sender, -math.inf))
            self.acknowledged[message.sender] = theirs.number

    @property
    def _longest_seconds(self) -> float:
        """Nobody asks for a longer lease than this: a T that is being changed differs by less."""
        return self.settings.condor_interval_seconds

    # --- the voter --------------------------------------------------------------------------------------------

    def review(self, node: Election, now: float) -> None:
        """Free the vote if it is given back or over, bind it if it may be, and have the holder told."""
        if not self.settings.require_majority:
            return
        self._release(node, now)
        if now >= self.withheld_until:
            chosen = self._chosen(node, now)
            if chosen is not None:
                self._bind(node, chosen)
        told, self._told = self._told, self.grant(node.record)
        if self._told is not None and self._told != told:
            node.voice.replies.add(self._told.member)
        number, self._told_number = self._told_number, node.record.electorate.number
        if self._told_number != number and self.asked_epoch:
            # Voters that know of it already grant nothing to a request that does not.
            node.voice.has_news = True

    def grant(self, record: Record) -> Grant | None:
        """What may be told of this node's vote: what is on disk, and is not its own."""
        bond, vote = self.bond, record.vote
        if bond is None or vote is None or vote.member == self.settings.me or not bond.vote.is_same(vote):
            return None
        return Grant(vote.member, vote.instance, bond.sequence, min(vote.seconds, bond.seconds))

    def _release(self, node: Election, now: float) -> None:
        bond = self.bond
        if bond is None:
            return
        if bond.vote.member == self.settings.me:
            is_over = not self.asked_epoch
        else:
            peer = node.peers.get(bond.vote.member)
            if peer is not None and peer.message is not None and peer.message.is_ours:
                bond = _after(bond, peer.message, peer.heard_at)
            is_over = now >= bond.until
        self.bond = None if is_over else bond

    def _chosen(self, node: Election, now: float) -> Asker | None:
        """Who gets the vote now, again or anew; None if it is not to be given, or not to be renewed."""
        askers = [a for a in self._askers(node, now) if self._is_eligible(node, a)]
        bond = self.bond
        if bond is None:
            known = node.ledger.wanted.epoch
            fresh = [a for a in askers if a.epoch >= known]
            return max(fresh, key=lambda a: (a.is_leader, a.standing), default=None)
        holder = next((a for a in askers if bond.is_of(a)), None)
        if holder is None or holder.is_leader or holder.member == self.settings.me:
            return holder
        # Two candidates that do not hear each other would share the votes for ever.
        return None if any(a.standing > holder.standing for a in askers) else holder

    def _askers(self, node: Election, now: float) -> Iterator[Asker]:
        s = self.settings
        if self.asked_epoch:
            is_leader, own = node.state is State.LEADER, node.ledger.wanted.electorate
            request = (s.me, node.instance, node.sequence, self.asked_epoch, s.timeout_seconds)
            yield Asker(*request, now, is_leader, node.standing(), own)
        for peer in node.peers.values():
            m = peer.message
            if m is None or not (m.is_ours and m.lease_epoch and peer.is_alive(now)):
                continue
            request = (peer.member, m.instance, m.sequence, m.lease_epoch, m.lease_seconds)
            place = standing_of(m, now - peer.heard_at)
            yield Asker(*request, peer.heard_at, m.state is State.LEADER, place, m.electorate)

    def _is_eligible(self, node: Election, asker: Asker) -> bool:
        """Whether an asker counts its votes among the right members: as many leaders ago as we, or fewer."""
        mine, theirs = node.ledger.wanted.electorate, asker.electorate
        if asker.member == self.settings.me:
            return True
        if theirs.number < mine.number or asker.seconds > self._longest_seconds:
            return False
        return theirs.number != (0, 0) or set(theirs.members) == set(self.settings.voters)

    def _bind(self, node: Election, asker: Asker) -> None:
        is_mine = asker.member == self.settings.me
        until = math.inf if is_mine else asker.at + asker.seconds
        if self.bond is not None:
            vote = self.bond.vote
            if asker.seconds > vote.seconds:
                vote = attrs.evolve(vote, seconds=asker.seconds)
            until = max(until, self.bond.until)
        else:
            vote = Vote(asker.member, asker.instance, asker.sequence, asker.epoch, asker.seconds)
        self.bond = Bond(vote, asker.sequence, asker.seconds, until)
        if vote != node.ledger.wanted.vote:
            node.ledger.keep(attrs.evolve(node.ledger.wanted, vote=vote))

    # --- the one who asks -------------------------------------------------------------------------------------

    def allow(self, node: Election, now: float) -> bool:
        """Whether this node may lead with the claim that it has on disk; where a majority is needed, it asks for it."""
        if not self.settings.require_majority:
            return True
        self._ask(node, node.ledger.claim, now)
        if now >= self._starves_at and self.starved_since is None:
            # Others go before it: it may be deaf, or have no way out. The next heartbeat says so.
            self.starved_since = now
        return now < self.steps_down_at(node)

    def begin(self, node: Election) -> None:
        """Lead: the electorate is this leadership's from now on."""
        self.starved_since = None
        if self.settings.require_majority:
            self._keep(node, Electorate((node.leadership_epoch, 0), self.electorate(node).members))

    def lead(self, node: Election, now: float) -> Reason | None:
        """Ask on while this node leads; return why it must stop, None if it need not."""
        self._ask(node, node.leadership_epoch, now)
        if has_no_votes(node.peers, self.settings):
            return Reason.condor_member
        if now >= self.steps_down_at(node):
            return Reason.majority_lost
        present = self.electorate(node)
        members = self._next_members(node, present, now)
        if members is not None:
            self._keep(node, Electorate((present.number[0], present.number[1] + 1), members))
        return None

    def _ask(self, node: Election, epoch: int, now: float) -> None:
        if self.asked_epoch != epoch:
            node.voice.has_news = True
        if not self.asked_epoch:
            self.asked_since = now
        self.asked_epoch = epoch

    def cease(self, node: Election) -> None:
        """Give back every vote: this node's controllee is gone, or never started; others are told at once."""
        node.voice.has_news |= self.asked_epoch != 0
        self.asked_epoch = 0
        self.requests.clear()
        self.ends.clear()
        self.acknowledged.clear()

    def spoke(self, sequence: int, now: float) -> None:
        """Note a request that is about to leave."""
        if self.asked_epoch:
            old = [n for n, (at, seconds) in self.requests.items() if now >= at + seconds]
            for number in old:
                del self.requests[number]
            self.requests[sequence] = (now, self.settings.timeout_seconds)

    def electorate(self, node: Election) -> Electorate:
        """Of whom a majority is needed."""
        return _or_listed(node.ledger.wanted.electorate, self.settings)

    def told_electorate(self, record: Record) -> Electorate:
        """The electorate as others are told of it: what is on disk."""
        return _or_listed(record.electorate, self.settings)

    def needed(self, node: Election) -> int:
        """How many votes a leader needs."""
        return majority_of(self.electorate(node).members)

    def lease_end(self, node: Election, voters: tuple[Member, ...] | None = None) -> float:
        """The last moment at which a majority is still bound to this node; minus infinity if none is."""
        members = self.electorate(node).members if voters is None else voters
        ends = sorted((self._end_of(node, member) for member in members), reverse=True)
        return ends[majority_of(members) - 1]

    def lease_until(self, node: Election) -> float:
        """Until when votes let this node's controllee live: for ever, where none are needed."""
        return self.lease_end(node) if self.settings.require_majority else math.inf

    def voters(self, node: Election, now: float) -> list[Member]:
        """Who grants this node its lease, itself included."""
        return [m for m in self.electorate(node).members if self._end_of(node, m) > now]

    def _end_of(self, node: Election, member: Member) -> float:
        if member != self.settings.me:
            return self.ends.get(member, -math.inf)
        bond = self.bond
        is_mine = bond is not None and bond.vote.member == member and bond.vote.is_same(node.record.vote)
        return math.inf if is_mine and self.asked_epoch else -math.inf

    def steps_down_at(self, node: Election) -> float:
        """When a leader gives up for want of a majority."""
        return self.lease_end(node) - self.settings.lease_seconds * RESERVE_SHARE

    @property
    def _starves_at(self) -> float:
        return self.asked_since + STARVING_TIMEOUTS * self.settings.timeout_seconds

    # --- the electorate ---------------------------------------------------------------------------------------

    def _keep(self, node: Election, electorate: Electorate) -> None:
        node.ledger.keep(attrs.evolve(node.ledger.wanted, electorate=electorate))
        node.voice.has_news = True

    def _next_members(self, node: Election, present: Electorate, now: float) -> tuple[Member, ...] | None:
        """Return the electorate that comes next as our lists say, once the present one is acknowledged."""
        listed, is_ours = self.settings.voters, node.record.electorate == node.ledger.wanted.electorate
        if set(listed) == set(present.members) or not is_ours:
            return None
        agreed = [m for m in present.members if m == self.settings.me or self._has(m, present)]
        if len(agreed) < majority_of(present.members):
            return None
        members = one_step(present.members, listed)
        reserve = self.settings.lease_seconds * RESERVE_SHARE
        return members if self.lease_end(node, members) - reserve > now else None

    def _has(self, member: Member, electorate: Electorate) -> bool:
        return self.acknowledged.get(member) == electorate.number

    # --- time -------------------------------------------------------------------------------------------------

    def deadlines(self, node: Election) -> list[float]:
        """When something of this may change by itself."""
        found = [self.withheld_until, self.bond.until if self.bond is not None else math.inf]
        if node.state is State.LEADER:
            found.append(self.steps_down_at(node))
        return found


def majority_of(members: tuple[Member, ...]) -> int:
    """How many of so many are a majority."""
    return len(members) // 2 + 1


def one_step(present: tuple[Member, ...], wanted: tuple[Member, ...]) -> tuple[Member, ...]:
    """Return the members with one of those missing added or, if none is missing, one of those gone left out."""
    missing = [m for m in wanted if m not in present]
    if missing:
        return (*present, missing[0])
    gone = next(m for m in present if m not in wanted)
    return tuple(m for m in present if m != gone)


def _or_listed(electorate: Electorate, settings: ElectionSettings) -> Electorate:
    return electorate if electorate.number != (0, 0) else Electorate((0, 0), settings.voters)


def _after(bond: Bond, message: Message, heard_at: float) -> Bond:
    """What is left of a bond when its holder has said this: less if it gave it back, or its daemon is a later one."""
    if message.instance > bond.vote.instance:
        return attrs.evolve(bond, until=min(bond.until, heard_at + RESTART_SECONDS))
    is_later = (message.instance, message.sequence) > (bond.vote.instance, bond.sequence)
    if is_later and not message.lease_epoch:
        return attrs.evolve(bond, until=-math.inf)
    return bond
