"""Three members, and short ways to say what one of them said, for the tests of the election's pure parts."""

import attrs

from had.election_settings import ElectionSettings
from had.events import Message, Sighting
from had.peers import Peer
from had.transitions import State

A, B, C = "127.0.0.1:9620", "127.0.0.2:9620", "127.0.0.3:9620"
MEMBERS = (A, B, C)
IDS = {A: 2, B: 1, C: 0}

T = 4.0

#: This node is B: A ranks above it, C below.
SETTINGS = ElectionSettings(me=B, members=MEMBERS, timeout_seconds=T)


def settings(**changes):
    """The settings of B, changed."""
    return attrs.evolve(SETTINGS, **changes)


def said(sender, state=State.PASSIVE, **fields):
    """A message of one of our daemons that has been up for long."""
    plain = {"members": MEMBERS, "instance": 1, "sequence": 1, "validity_seconds": T, "up_seconds": 100.0}
    return Message(
        sender, fields.pop("rank_id", IDS.get(sender, -1)), "negotiator", state, **(plain | fields)
    )


def saw(member, state=State.PASSIVE, *, age=0.0, remaining=T, **fields):
    """What a sender of a message says of a third member."""
    return Sighting(
        member, age, remaining, state, rank_id=fields.pop("rank_id", IDS.get(member, -1)), **fields
    )


def heard(sender, at, state=State.PASSIVE, *, validity=T, is_ours=True, **fields):
    """A peer whose message came in at a time."""
    peer = Peer(sender)
    peer.take(said(sender, state, is_ours=is_ours, **fields), at, validity)
    peer.is_ours = is_ours
    return peer


def by_member(*peers):
    """The mapping that the readings take; members that were not mentioned were never heard."""
    return {member: Peer(member) for member in MEMBERS if member != B} | {p.member: p for p in peers}
