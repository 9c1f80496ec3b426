"""Readings of the whole pool: pure functions of what a node knows of its peers.

They answer the questions on which `had.election` decides: who could lead, who asks to, who could take over from us,
whether anybody hears us. None of them changes anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from had.election_settings import ElectionSettings, Member
from had.events import Directive, Hold, Message, Record
from had.ledger import MAXIMUM_EPOCH_JUMP, owner
from had.peers import Peer, Report, is_condor_leadership, reports
from had.transitions import Reason, State

Peers = Mapping[Member, Peer]

MAXIMUM_COUNT_JUMP = 2**20
"""Nor were so many directives given without us."""

CONDOR_TAKEOVER_INTERVALS = 3
"""A real member takes over two to three of HTCondor's intervals after a leader's last ALIVE."""

FORGET_SEQUENCE_TIMEOUTS = 10
"""A member silent for this many T may start its count of messages anew (its HAD_DIR was lost)."""


def rejection(message: Message, peers: Peers, settings: ElectionSettings, now: float) -> str | None:
    """Return why a message is not believed (a label of had_peer_messages_rejected_total), None if it is."""
    if message.sender == settings.me:
        return "own_identity"
    if message.sender not in peers and not is_relevant_stranger(message, settings):
        return "not_a_member"
    if message.controllee.casefold() != settings.controllee.casefold():
        return "controllee_mismatch"
    peer = peers.get(message.sender)
    last = peer.message if peer is not None else None
    if peer is None or last is None or not (last.is_ours and message.is_ours):
        return None
    if peer.is_late(message):
        return "replayed"
    is_newer = (message.instance, message.sequence) > (last.instance, last.sequence)
    if is_newer or now - peer.heard_at > FORGET_SEQUENCE_TIMEOUTS * settings.timeout_seconds:
        return None
    return "replayed"


def is_plausible(directive: Directive, known: Record) -> bool:
    """Whether a directive replaces the one known: it is later, and not by more than operators could have done."""
    epoch, count = directive.version
    is_later = directive.version > known.directive.version
    return (
        is_later
        and epoch - known.epoch <= MAXIMUM_EPOCH_JUMP
        and count - known.directive.version[1] <= MAXIMUM_COUNT_JUMP
    )


def is_relevant_stranger(message: Message, settings: ElectionSettings) -> bool:
    """Whether the sender leads, or wants to, and has us in its list, though ours lacks it.

    Then a list is being changed, and there must not be two leaders for it (hard case 9).
    """
    is_concerned = message.state in {State.LEADER, State.ELECTION}
    return message.is_ours and is_concerned and settings.me in message.members


def validity_seconds(message: Message, settings: ElectionSettings) -> float:
    """How long a message is good: its own word, never more than HTCondor's formula (hard case 7)."""
    formula = settings.condor_interval_seconds
    if message.validity_seconds is None:
        return formula
    return min(max(message.validity_seconds, 0.0), formula)


def listening_seconds(peers: Peers, settings: ElectionSettings) -> float:
    """How long a node listens after its start before it wants anything: T, or a real condor_had's own interval."""
    has_condor = any(p.is_ours is False for p in peers.values())
    return settings.condor_interval_seconds if has_condor else settings.timeout_seconds


def listens_until(peers: Peers, started_at: float, settings: ElectionSettings) -> float:
    """Until when a node that has known no leader since its start must listen before it leads.

    A real condor_had that waits for a dead member answers nobody for T, so that it may be found late. Its first word may
    be lost, for it speaks on the session that it had with the daemon before ours; two more fit into an interval after
    that. Whoever only pretends that delays us by no more than a second interval.
    """
    interval = settings.condor_interval_seconds
    overheard_at = max((p.overheard_at for p in peers.values()), default=-math.inf)
    if overheard_at == -math.inf and not any(p.is_ours is False for p in peers.values()):
        return -math.inf
    return min(max(started_at, overheard_at), started_at + interval) + interval


def condor_leaders(peers: Peers, now: float, settings: ElectionSettings) -> list[Peer]:
    """Members whose last word was that they lead, as a real condor_had, until a real member would lead in their place."""
    seconds = CONDOR_TAKEOVER_INTERVALS * settings.condor_interval_seconds
    return [
        p
        for p in peers.values()
        if p.message is not None and is_condor_leadership(p.message) and now < p.heard_at + seconds
    ]


def has_orphan(peers: Peers, now: float, settings: ElectionSettings) -> bool:
    """Whether a negotiator may run whose condor_had is gone: its machine answers, and so its condor_master lives.

    That one starts condor_had again, which has the negotiator stopped.
    """
    return any(p.refused_at > p.heard_at for p in condor_leaders(peers, now, settings))


def has_resigned(peers: Peers, now: float, report: Report) -> bool:
    """Whether a leader that vanished before its time said so itself, its controllee being stopped then.

    If not, its daemon crashed, and its guard may still be killing the controllee.
    """
    peer = peers.get(report.member)
    if peer is None or peer.gone_at >= report.heard_at:
        return False
    if peer.message is not None and peer.heard_at >= report.heard_at:
        led = report.claim.instance if isinstance(report.claim, Message) else peer.message.instance
        return peer.message.instance == led
    return any(
        r.member == peer.member and r.claim.state is not State.LEADER
        for r in reports(peers, now, notable_only=False)
    )


def end_of_leader(peers: Peers, now: float, report: Report, slack_seconds: float) -> Reason:
    """What the end of a leader means: silence, an orderly step down, or a crash.

    Args:
        peers: everybody else.
        now: the time.
        report: the last that was known of it.
        slack_seconds: how much sooner than it says the report may have run out.
    """
    peer = peers.get(report.member)
    is_refused = peer is not None and peer.gone_at >= report.heard_at
    if peer is None or (now >= report.expires_at - slack_seconds and not is_refused):
        return Reason.leader_silent
    return Reason.leader_resigned if has_resigned(peers, now, report) else Reason.leader_gone


def best_leader(leaders: Iterable[Report], now: float) -> Report | None:
    """Return the leader to follow: one that is not handing over, fit, of the highest rank; None if there is none."""

    def order(report: Report) -> tuple[bool, bool, int, Member]:
        place = report.standing(now)
        return (not report.claim.is_yielding, place.is_fit, place.rank_id, place.member)

    return max(leaders, key=order, default=None)


def rivals(peers: Peers, leaders: Iterable[Report], settings: ElectionSettings) -> list[Report]:
    """Return the leaders that a leader must give way to, or take an epoch above.

    Who leads by votes knows that whoever else needs them has lost them: its claim was long on the way.
    """
    return [
        r
        for r in leaders
        if not (r.claim.is_yielding or r.is_denied or (settings.require_majority and _needs_votes(peers, r)))
    ]


def _needs_votes(peers: Peers, report: Report) -> bool:
    peer = peers.get(report.member)
    return peer is not None and peer.message is not None and bool(peer.message.electorate.members)


def candidates(peers: Peers, now: float) -> list[Report]:
    """Every other member that could lead; a stranger or a real condor_had only while it says that it wants to."""
    found = []
    for report in reports(peers, now, notable_only=False):
        claim, peer = report.claim, peers.get(report.member)
        if claim.rank_id < 0 or claim.state is State.WITNESS or peer is None:
            continue
        is_expected = peer.is_ours is not False and not peer.is_stranger
        if is_expected or claim.state in {State.ELECTION, State.LEADER}:
            found.append(report)
    return found


def successors(peers: Peers, now: float, hold: Hold | None) -> list[Member]:
    """Members of ours that could lead in our place at once, best first.

    One that is held comes after the others, and one whose replica lacks something of the state after all of these.
    """
    found = [
        (p.message.is_ready, hold is None or hold.member != p.member, p.message.rank_id, p.member)
        for p in peers.values()
        if p.message
        and p.is_ours
        and not p.is_stranger
        and p.is_alive(now)
        and p.message.rank_id >= 0
        and p.message.abstains_seconds is None
    ]
    return [member for *_, member in sorted(found, reverse=True)]


def is_ready(peers: Peers, member: Member) -> bool:
    """Whether a member says that it has all of the state."""
    peer = peers.get(member)
    return peer is not None and peer.message is not None and peer.message.is_ready


def successor_wait_seconds(peers: Peers, successor: Member | None, settings: ElectionSettings) -> float:
    """How long a leader that stepped down leaves the field to its successor before it elects again itself."""
    if successor is None:
        return 0.0
    if successor in peers and peers[successor].is_ours is False:
        return 1.5 * settings.condor_interval_seconds
    return succession_seconds(settings)


def succession_seconds(settings: ElectionSettings) -> float:
    """How long a successor of ours may take to lead: T/2, and T where it has to be voted for, each vote being written first."""
    return settings.timeout_seconds / (1 if settings.require_majority else 2)


def claimant(
    peers: Peers, now: float, settings: ElectionSettings, hold: Hold | None, *, can_wait: bool = False
) -> Member | None:
    """Return the primary that asks for leadership, itself or through another member; None if there is none.

    Args:
        peers: everybody else.
        now: the time.
        settings: our own.
        hold: the switchover's hold.
        can_wait: leave out one that waits until it gets it; a real condor_had does not.
    """
    for report in reports(peers, now, notable_only=True):
        claim = report.claim
        is_held = hold is not None and hold.member == report.member
        if is_held or claim.rank_id <= settings.my_id or report.member not in peers:
            continue
        if claim.wants and claim.abstains_seconds is None and not can_wait:
            return report.member
        if _is_condor_primary(peers, report, settings):
            return report.member
    return None


def _is_condor_primary(peers: Peers, report: Report, settings: ElectionSettings) -> bool:
    """A real primary that sends its id will start without asking: stop before it does (hard case 7)."""
    return (
        peers[report.member].is_ours is False
        and report.claim.state is State.ELECTION
        and settings.use_primary
        and settings.members[0] == report.member
    )


def is_answered(peers: Peers, now: float, me: Member, candidacy: int, is_leader_proved_gone: bool) -> bool:
    """Whether all of ours that are alive have answered a candidacy by repeating its number.

    Nobody's silence is an answer, unless nobody at all is alive and the last leader's daemon is known to be gone.
    """
    voters = [p for p in peers.values() if p.is_ours and p.is_alive(now)]
    if not voters:
        return is_leader_proved_gone and not any(p.is_alive(now) for p in peers.values())
    seen = (p.sees(me) for p in voters)
    return all(s is not None and s.candidacy == candidacy for s in seen)


def offers(peers: Peers, now: float, me: Member) -> list[Report]:
    """Reports of leaders, past or present, that name this node their successor.

    One that stopped in good order may be gone by now; its offer stands (P3). One that died while it was
    still stopping its controllee offers nothing.
    """
    return [
        r
        for r in reports(peers, now, notable_only=True, with_last_words=True)
        if r.claim.successor == me and (r.claim.state is not State.LEADER or not is_gone(peers, r.member))
    ]


def is_successor_due(peers: Peers, now: float, settings: ElectionSettings, epoch: int) -> bool:
    """Whether a leader that just stepped down named another member, which is given its time to start.

    The successor's claim to an epoch may have come round already; nobody else's may.
    """
    return any(
        r.claim.successor not in {None, settings.me}
        and r.claim.state is not State.LEADER
        and (r.claim.offer_epoch >= epoch or owner(epoch, settings.members) == r.claim.successor)
        and now < r.heard_at + succession_seconds(settings)
        and not is_gone(peers, r.claim.successor)
        for r in reports(peers, now, notable_only=True, with_last_words=True)
    )


def is_gone(peers: Peers, member: Member | None) -> bool:
    """Whether a member's machine said, since we last heard it, that its daemon is gone."""
    peer = peers.get(member) if member is not None else None
    return peer is not None and peer.gone_at > peer.heard_at


def has_no_votes(peers: Peers, settings: ElectionSettings) -> bool:
    """Whether a majority is needed and a member is a real condor_had, which leads without asking and gives no votes."""
    return settings.require_majority and any(p.is_ours is False and not p.is_stranger for p in peers.values())


def awaited(peers: Peers, now: float) -> set[Member]:
    """Members that others give time to come back and lead (HAD_DAEMON_RESTART_WINDOW)."""
    return {p.message.awaits for p in peers.values() if p.message and p.message.awaits and p.is_alive(now)}


def is_unheard(peers: Peers, now: float, settings: ElectionSettings) -> bool:
    """Whether all that we hear say that they do not hear us, though they hear each other (P8).

    Only a peer that has been up for longer than T counts: a younger one may not have heard us yet (hard case 4).
    """
    hearing = [
        p
        for p in peers.values()
        if p.is_ours
        and not p.is_stranger
        and p.is_alive(now)
        and p.message
        and p.message.up_seconds > settings.timeout_seconds
    ]
    names = {p.member for p in hearing}
    for peer in hearing:
        seen = {s.member for s in peer.message.sightings} if peer.message else set()
        if settings.me in seen or (len(names) > 1 and not seen & names):
            return False
    return bool(hearing)


def denied_leader(
    peers: Peers, now: float, settings: ElectionSettings, last_leader: Member | None, epoch: int
) -> Report | None:
    """Return the last known leader if it answers TCP but denies us: alive, never elected over (hard case 5).

    A node that hears nobody at all and is denied by somebody is itself the odd one: it too must not elect.
    """
    nobody = not any(p.is_alive(now) for p in peers.values())
    for peer in peers.values():
        if peer.is_alive(now) or not peer.is_denied(now, settings.timeout_seconds):
            continue
        led_last = peer.member in {last_leader, owner(epoch, settings.members)}
        if (led_last or nobody) and peer.member in settings.members:
            until = peer.denied_at + settings.timeout_seconds
            claim = peer.message or Message(peer.member, -1, settings.controllee, State.LEADER)
            return Report(peer.member, claim, peer.denied_at, until, is_denied=True)
    return None
