"""How far each transfer is, for people who watch: the `transfers` of /status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from replication.replica_settings import Member
from replication.transfer_terms import Direction
from replication.version import Point

_LARGEST: Final = 1 << 63


@attrs.frozen
class Figure:
    """One transfer at one moment.

    Attributes:
        direction: which way.
        peer: with whom.
        state: `starting`, `moving`, `waiting` or `installing`.
        version: what is moved, or was last.
        bytes: of it that were moved.
        total_bytes: of the whole version; where a tail is enough, fewer move.
        bytes_per_second: at present.
        seconds_left: at this rate, if everything has to move; None if nobody can say.
        since: Unix time of the start.
    """

    direction: Direction
    peer: Member
    state: str
    version: Point | None
    bytes: int
    total_bytes: int
    bytes_per_second: float
    seconds_left: float | None
    since: float


@attrs.define
class Gauge:
    """Follows one transfer."""

    direction: Direction
    peer: Member
    since: float
    state: str = "starting"
    version: Point | None = None
    bytes: int = 0
    total_bytes: int = 0
    bytes_per_second: float = 0.0

    def begin(self, version: Point | None, total_bytes: int, state: str) -> None:
        """A version is to be moved."""
        self.version, self.total_bytes, self.state = version, total_bytes, state
        self.bytes, self.bytes_per_second = 0, 0.0

    def progressed(self, event: Mapping[str, Any]) -> None:
        """Read what a transferer says of its progress; odd numbers are passed over, since nothing depends on them."""
        self.bytes = _count(event.get("bytes"), self.bytes)
        self.total_bytes = _count(event.get("total_bytes"), self.total_bytes)
        self.bytes_per_second = float(_count(event.get("bytes_per_second"), 0))

    def moved(self, moved_bytes: int, state: str) -> None:
        """All of a version was moved."""
        self.bytes, self.bytes_per_second, self.state = moved_bytes, 0.0, state

    def figure(self) -> Figure:
        """Read it."""
        left = None
        if self.state == "moving" and self.bytes_per_second > 0:
            left = max(0, self.total_bytes - self.bytes) / self.bytes_per_second
        return Figure(
            self.direction,
            self.peer,
            self.state,
            self.version,
            self.bytes,
            self.total_bytes,
            self.bytes_per_second,
            left,
            self.since,
        )


def _count(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and 0 <= value < _LARGEST else otherwise
