"""Whether a node may be a candidate, is the best one and has won: pure readings of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from had import pool
from had.ledger import owner
from had.transitions import Reason

if TYPE_CHECKING:
    from had.election import Election


def may_elect(node: Election, now: float) -> bool:
    """Whether anything but a leader keeps this node from being a candidate."""
    s = node.settings
    if not node.is_able or now < node.awaits_successor_until:
        return False
    if pool.is_successor_due(node.peers, now, s, node.epoch) or must_listen(node, now):
        return False
    return not node.is_paused or owner(_last_leadership(node), s.members) == s.me


def _last_leadership(node: Election) -> int:
    """The epoch of the last leadership; where a majority is needed, many an epoch is claimed and never led by."""
    if node.settings.require_majority:
        return node.ledger.wanted.electorate.number[0]
    return node.ledger.wanted.epoch


def is_best(node: Election, now: float) -> bool:
    """Whether this node goes before every candidate it hears, or hears of."""
    if node.awaits is not None and now < node.awaits_until:
        return False
    mine, candidates = node.standing(), pool.candidates(node.peers, now)
    awaited = pool.awaited(node.peers, now)
    # Whoever is awaited and has come back goes first, also for a member that has not known the last leader.
    first = [r for r in candidates if r.member in awaited]
    if node.settings.me in awaited:
        candidates = first
    elif first:
        return False
    return all(mine > r.standing(now) for r in candidates)


def must_listen(node: Election, now: float) -> bool:
    """Whether a real leader may be there that this node has had no time to hear, or its negotiator without it."""
    if pool.has_orphan(node.peers, now, node.settings):
        return True
    return node.last_leader is None and now < pool.listens_until(node.peers, node.started_at, node.settings)


def reason_to_lead(node: Election, now: float) -> Reason | None:
    """Why this candidate has won among those that it hears; None if it has not."""
    if must_listen(node, now):
        return None
    is_proved_gone = node.leaderless is Reason.leader_gone
    # Whether a real leader's machine refuses us shows only when a candidate calls there.
    if not pool.condor_leaders(node.peers, now, node.settings) and pool.is_answered(
        node.peers, now, node.settings.me, node.candidacy, is_proved_gone
    ):
        return Reason.won_by_answers
    if now >= node.candidacy_since + node.settings.timeout_seconds / 4:
        return Reason.won_by_waiting
    return None
