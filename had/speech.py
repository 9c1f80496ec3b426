"""How a node puts into a message what it knows at first hand.

Ages and remaining times are relative to the moment of speaking, since members share no clock.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from had.events import Directive, Message, Sighting
from had.peers import Peer
from had.transitions import Run, State

if TYPE_CHECKING:
    from had.election import Election


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
        wants=node.is_asking,
        is_yielding=node.handing_over is not None,
        successor=node.successor if names_successor else None,
        offer_epoch=node.offer_epoch if names_successor and node.successor else 0,
        abstains_seconds=node.abstains_seconds,
        awaits=node.awaits if is_awaiting else None,
        directive=spoken(node.record.directive, node.pause_ends_at, now),
        shared_hash=settings.shared_hash,
        version=settings.version,
    )


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
    """The directive as told to others: the pause's remaining time counted from now."""
    if directive.pause is None or directive.pause.seconds_left is None:
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
