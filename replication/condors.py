"""What is said to a real condor_replication, and what its words mean: pure readings and notes of the replica machine.

A real one speaks when something happens and is silent otherwise. It fetches nothing when it joins, and does not repeat a
download that failed (HTCondor of 23.5 and later; ReplicatorStateMachine.cpp). It listens to a leader only as a backup, that is
after its own wait for the others' versions. So a leader of ours tells it again when that wait is over, and in each of
HTCondor's intervals; and asks it what it holds, since nobody else counts as having acknowledged a version.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from replication.events import CondorCommand, CondorSaid, State
from replication.replica_settings import Member
from replication.version import Relation

if TYPE_CHECKING:
    from replication.download import Download
    from replication.objections import Objection
    from replication.peers import Peer
    from replication.replica import Replica

RENAMING_SECONDS: Final = 0.3
"""A real backup holds what it was sent when its daemon has noticed the end of its transferer, a moment after the upload."""


def hear(replica: Replica, peer: Peer, said: CondorSaid) -> CondorCommand | None:
    """Take note of what a real one says; return what it is answered, if anything."""
    peer.is_ours = False
    settings, now = replica.settings, replica.now
    match said.command:
        case CondorCommand.NEWLY_JOINED_VERSION:
            # What it is told before its wait is over it ignores, but its wait may be a shorter one than ours.
            peer.is_leading = False
            found(replica, peer)
            return CondorCommand.LEADER_VERSION if replica.state is State.LEADER else None
        case CondorCommand.SOLICIT_VERSION if replica.state in {State.BACKUP, State.LEADER}:
            return CondorCommand.SOLICIT_VERSION_REPLY
        case CondorCommand.LEADER_VERSION | CondorCommand.SOLICIT_VERSION_REPLY if said.point:
            leads = said.command is CondorCommand.LEADER_VERSION or said.state == State.LEADER.number
            peer.take_condor(said.point, now, replica.ledger.standing, is_leading=leads, settings=settings)
            if replica.state is State.LEADER and not leads:
                _see_whether_it_lags(replica, peer, said)
        case CondorCommand.GIVING_UP_VERSION:
            peer.is_leading = False
    return None


def found(replica: Replica, peer: Peer) -> None:
    """A real one has just started, or may have: what it says at its start is lost where nobody listens yet."""
    peer.tell_at = replica.now + replica.settings.joining_seconds + replica.settings.timeout_seconds


def _see_whether_it_lags(replica: Replica, peer: Peer, said: CondorSaid) -> None:
    """A backup that was told of a version while it fetched the one before has missed it: tell it again, not too often."""
    if replica.version is None or said.point == replica.version.point:
        peer.succeeded()
    else:
        peer.tell_at = min(peer.tell_at, replica.now + peer.failed(replica.now))


def was_sent(replica: Replica, member: Member) -> None:
    """An upload has ended: ask a real one soon whether it holds that now."""
    peer = replica.peers.get(member)
    if peer is not None and peer.is_ours is False:
        peer.ask_at = replica.now + RENAMING_SECONDS


def was_refused(replica: Replica, download: Download, objection: Objection) -> None:
    """What a real one sent is not taken: if that is because it is what stands here, it has not parted from us."""
    peer = replica.peers.get(download.peer)
    if (
        peer is not None
        and not download.is_ours
        and download.received
        and objection.label == Relation.SAME.value
    ):
        peer.gave(download.received.version)


def due(replica: Replica) -> list[tuple[Member, CondorCommand]]:
    """Return what is to be said to single real ones now, and forget it."""
    letters = []
    for member, peer in replica.peers.items():
        if peer.tell_at <= replica.now:
            peer.tell_at = math.inf
            if replica.state is State.LEADER and peer.is_ours is False:
                letters.append((member, CondorCommand.LEADER_VERSION))
        if peer.ask_at <= replica.now:
            peer.ask_at = math.inf
            if peer.is_ours is False:
                letters.append((member, CondorCommand.SOLICIT_VERSION))
    return letters
