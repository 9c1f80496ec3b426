"""The status document of a running daemon, read from the machine's memory when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Callable

from had.custody import Custody
from had.custody_events import Replica as ReplicaKind
from had.election import Election
from had.election_settings import Member
from had.peers import Peer
from had.status import Change, Controllee, Hold, Majority, Paused, Replica, Status
from had.status import Peer as PeerStatus
from had.transitions import Run, State

Names = Callable[[Member | None], str | None]


def status_of(
    election: Election,
    now: float,
    *,
    names: Names,
    pid: int | None,
    restarts: int,
    controllee_since: float,
    history: tuple[Change, ...],
    custody: Custody | None = None,
) -> Status:
    """Make the document.

    Args:
        election: the machine.
        now: seconds on the machine's clock.
        names: how the configuration spells a member.
        pid: the controllee's process, if it runs as a program of ours.
        restarts: how often it was started again after it died.
        controllee_since: Unix time of its last change.
        history: the last transitions.
        custody: what minds the state, where a replica looks after it.
    """
    settings = election.settings
    pause, hold = election.directive.pause, election.hold
    controllee = Controllee()
    if election.state is not State.WITNESS:
        controllee = Controllee(
            settings.controllee, _controllee_state(election), pid, restarts, controllee_since
        )
    return Status(
        node=_required(names, settings.me),
        state=election.state.value,
        leader=names(election.leader),
        epoch=election.epoch,
        primary=settings.is_primary,
        majority=_majority(election, now, names) if settings.require_majority else None,
        paused=Paused(pause.by, pause.reason, pause.since, pause.until) if pause is not None else None,
        hold=Hold(_required(names, hold.member), hold.by, hold.reason, hold.since)
        if hold is not None
        else None,
        controllee=controllee,
        peers=tuple(_peer(p, now, names, settings.timeout_seconds) for p in election.peers.values()),
        history=history,
        version=settings.version or None,
        time=round(time.time(), 3),
        configuration=f"{settings.shared_hash:012x}",
        abstains_seconds=_abstains_seconds(election),
        replica=Replica() if custody is None else _replica(custody, now),
    )


def _replica(custody: Custody, now: float) -> Replica:
    currency = None if custody.currency is None else custody.currency.value
    return Replica(custody.replica.value, currency, custody.readiness.is_ready, _waiting(custody, now))


def _waiting(custody: Custody, now: float) -> str | None:
    """What the custody of the state waits for, as a sentence."""
    start, flush = custody.start, custody.flush
    is_lost = custody.replica is ReplicaKind.UNREACHABLE
    if flush is not None:
        return f"it hands on what its controllee wrote last ({now - flush.since:.1f} s so far)"
    if start is not None and is_lost:
        return f"its replication daemon does not answer, so the start waits for it ({now - start.since:.1f} s so far)"
    if start is not None:
        most = custody.settings.lifetime_seconds
        return (
            f"its replica brings the state up to date ({now - start.since:.1f} s so far, {most:g} s at most)"
        )
    if custody.readiness.is_ready:
        return None
    if is_lost:
        return "its replication daemon does not answer"
    return (
        None if custody.readiness.epoch is None else "its replica still lacks something of the leader's state"
    )


def _abstains_seconds(election: Election) -> float | None:
    """How long the node has been unfit; one that only gets no votes is fit, though it lets others go first."""
    is_unfit = election.fitness.abstains_since is not None or election.ledger.is_broken
    return election.abstains_seconds if is_unfit else None


def _majority(election: Election, now: float, names: Names) -> Majority:
    votes = election.votes
    voters = tuple(_required(names, member) for member in votes.voters(election, now))
    left = min(votes.lease_end(election) - now, election.settings.lease_seconds)
    holder = names(votes.bond.vote.member) if votes.bond is not None else None
    return Majority(votes.needed(election), len(voters), round(max(0.0, left), 3), voters, holder)


def _controllee_state(election: Election) -> str:
    if election.state is State.LEADER and election.run is Run.STOPPED:
        return "backoff"
    return election.run.value


def _peer(peer: Peer, now: float, names: Names, timeout_seconds: float) -> PeerStatus:
    message = peer.message
    implementation = {True: "ours", False: "condor", None: "unknown"}[peer.is_ours]
    return PeerStatus(
        address=_required(names, peer.member),
        state=peer_state(peer, now, timeout_seconds),
        last_heard_seconds=round(now - peer.heard_at, 3) if message is not None else None,
        follows=names(message.follows) if message is not None else None,
        version=message.version or None if message is not None else None,
        implementation=implementation,
    )


def peer_state(peer: Peer, now: float, timeout_seconds: float) -> str:
    """One word for how a member stands: alive, denied, refused, silent or unknown (never heard of)."""
    is_refused = peer.refused_at > peer.heard_at
    if peer.is_alive(now) and not is_refused:
        return "alive"
    if peer.is_denied(now, timeout_seconds):
        return "denied"
    if is_refused:
        return "refused"
    return "silent" if peer.message is not None else "unknown"


def _required(names: Names, member: Member) -> str:
    return names(member) or member
