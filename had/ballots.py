"""The values of majority mode: what a vote is on disk and in a message, and of whom a majority is needed (`had.votes`)."""

from __future__ import annotations

import attrs

from had.election_settings import Member


@attrs.frozen
class Vote:
    """To whom a node gave its vote: on disk before anybody is told (HAD_REQUIRE_MAJORITY)."""

    member: Member
    #: The request that was granted first: that member's start and its count of messages.
    instance: int
    sequence: int
    #: The epoch under which it asked.
    epoch: int
    #: For how long the vote binds after each request; the longest that was granted.
    seconds: float

    def is_same(self, other: Vote | None) -> bool:
        """Whether this is the other vote, though perhaps for longer."""
        if other is None or other is self:
            return other is self
        asked = (other.member, other.instance, other.sequence, other.epoch)
        return (self.member, self.instance, self.sequence, self.epoch) == asked


@attrs.frozen
class Electorate:
    """The members of whom a majority is needed; the larger number replaces the smaller everywhere."""

    #: (epoch of the leadership that made it, count within that leadership); zeros are nobody's: one's own lists.
    number: tuple[int, int] = (0, 0)
    members: tuple[Member, ...] = ()


@attrs.frozen
class Grant:
    """A vote as it is told: this message of that member's asked for a lease and got it, for so many seconds."""

    member: Member
    instance: int
    sequence: int
    seconds: float


LISTED = Electorate()
"""No electorate is known: one's own lists count."""
