"""How a node puts into a message what it knows at first hand.

Ages and remaining times are relative to the moment of speaking, since members share no clock.
"""

from __future__ import annotations

import math

import attrs

from had.events import Directive, Sighting
from had.peers import Peer


def sighting_of(peer: Peer, now: float) -> Sighting:
    """What to tell others of a peer that is alive."""
    message = peer.message
    assert message is not None, "only a peer that was heard is reported"
    return Sighting(
        member=peer.member,
        age_seconds=now - peer.heard_at,
        remaining_seconds=peer.expires_at - now,
        state=message.state,
        epoch=message.epoch,
        rank_id=message.rank_id,
        candidacy=message.candidacy,
        wants=message.wants,
        abstains_seconds=message.abstains_seconds,
        successor=message.successor,
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
