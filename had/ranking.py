"""Who ranks before whom: pure functions of what members say of themselves.

Members agree on an order without talking about it because every comparison uses only the two members' own claims
(hard case 9): the id that each one claims, ties broken by address. A member that abstains, since its controllee
keeps dying there, ranks after all that do not; among abstaining ones the one that began longest ago comes first
(hard case 10), so that the tries go round.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from had.election_settings import Member
from had.events import Message, Sighting


class Standing(NamedTuple):
    """A member's place in the order; the larger one goes before the smaller."""

    is_fit: bool
    #: How long it has abstained, 0 for a fit one.
    abstains_seconds: float
    rank_id: int
    member: Member


def standing_of(claim: Message | Sighting, elapsed_seconds: float) -> Standing:
    """Where a member stands by its own words, or by another's report of them, heard that long ago."""
    member = claim.sender if isinstance(claim, Message) else claim.member
    return standing(member, claim.rank_id, claim.abstains_seconds, elapsed_seconds)


def standing(
    member: Member, rank_id: int, abstains_seconds: float | None, elapsed_seconds: float = 0.0
) -> Standing:
    """Where a member with these claims stands."""
    if abstains_seconds is None:
        return Standing(is_fit=True, abstains_seconds=0.0, rank_id=rank_id, member=member)
    return Standing(False, abstains_seconds + elapsed_seconds, rank_id, member)


def outranks(one: Standing, other: Standing) -> bool:
    """Whether the first of two *leaders* keeps leading: a fit one before an abstaining one, then the higher id.

    How long they abstain plays no part here: it changes while they talk, and both must come to one answer.
    """
    return (one.is_fit, one.rank_id, one.member) > (other.is_fit, other.rank_id, other.member)


def backoff_seconds(tries: int, constant: float, factor: float, ceiling: float) -> float:
    """HTCondor's delay before restart number `tries`: constant + ceil(factor ** tries), capped.

    Source: condor_master's masterDaemon.cpp, daemon::NextStart.
    """
    try:
        growth = factor**tries if factor > 0 else 0.0
    except OverflowError:
        growth = ceiling
    return min(ceiling, constant + math.ceil(min(growth, ceiling)))
