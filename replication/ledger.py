"""What this node durably holds, and what is to be written down next.

One thing is written at a time; what comes meanwhile is in the next one, so a burst of changes is few versions. The
rules are here, the moments at which they count are the machine's (`replication.replica`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from replication.events import Report
from replication.manifest import FileRecord, Held, fingerprint
from replication.peers import Own, Peer, next_gid
from replication.version import LINEAGE_LIMIT, Point, Version

LED_LIMIT = LINEAGE_LIMIT
"""So many leaderships of this node are remembered beside those in the lineage: had does not come back from further away."""

NOTE_RETRY_SECONDS = 1.0
"""What could not be written down is tried again so much later."""


class Ledger:
    """Held and pending versions of one node.

    Args:
        held: What is durable; None is no state that has a version.
    """

    def __init__(self, held: Held | None) -> None:
        self.own = None if held is None else Own.of(held)
        #: What is being written.
        self.pending: Held | None = None
        #: The version that the state is given which is being made of what stands here and of kept conflicts.
        self.revising: Version | None = None
        #: The gid of a leadership whose first version is not written yet.
        self.claim: int | None = None
        #: What stands here, if it is not what is held.
        self.files: tuple[FileRecord, ...] | None = None
        #: It was changed by somebody who must not: no version stands here.
        self.is_altered = False
        #: Leaderships of this node of which something was written since this daemon's start, the last `LED_LIMIT`.
        self.led: dict[int, None] = {}
        self.retry_at = -math.inf
        # Numbers up to this one were given before, by this node before its disk was put back.
        self._clock_floor = -1

    @property
    def held(self) -> Held | None:
        """What is durable."""
        return None if self.own is None else self.own.held

    @property
    def standing(self) -> Own | None:
        """What is durable and stands here, so that it can be fetched."""
        return None if self.is_altered else self.own

    @property
    def is_leading(self) -> bool:
        """Whether what is held belongs to a leadership of this node that has not ended in order."""
        return self.own is not None and self.own.held.is_leading

    @property
    def is_busy(self) -> bool:
        """Whether something is being written, so that nothing else may be."""
        return self.pending is not None or self.revising is not None

    @property
    def is_written(self) -> bool:
        """Whether everything that is known of has a version, durably."""
        return not self.is_busy and self.claim is None and self.files is None

    def changed(self, files: tuple[FileRecord, ...]) -> None:
        """What stands here was looked at."""
        last = self.pending or self.held
        is_as_held = last is not None and fingerprint(files) == fingerprint(last.files)
        self.files = None if is_as_held else files
        self.is_altered &= not is_as_held

    def noted(self, held: Held) -> bool:
        """It is durable; return whether the version is another than before."""
        is_new = self.own is None or held.version != self.own.version
        self.pending = self.revising = None
        if held.is_leading:
            self._led(held.version.gid)
        if self.claim == held.version.gid:
            self.claim = None
        self._hold(held)
        return is_new

    def _led(self, gid: int) -> None:
        self.led[gid] = None
        if len(self.led) > LED_LIMIT:
            del self.led[next(iter(self.led))]

    def failed(self, now: float) -> None:
        """It could not be written; it is still to be."""
        pending, self.pending = self.pending, None
        self.retry_at = now + NOTE_RETRY_SECONDS
        if (
            self.files is None
            and pending is not None
            and (self.held is None or pending.files != self.held.files)
        ):
            self.files = pending.files

    def installed(self, held: Held) -> None:
        """A version from elsewhere stands here now."""
        self.files = None
        self._hold(held)

    def _hold(self, held: Held) -> None:
        self.own = Own.of(held)
        self.is_altered = False
        if self.files == held.files:
            self.files = None

    def acknowledge(self, peers: Iterable[Peer]) -> None:
        """Remember that somebody else reported our very bytes."""
        own = self.standing
        if own is not None and not own.held.is_acknowledged and any(p.holds(own) for p in peers):
            self.own = attrs.evolve(own, held=attrs.evolve(own.held, acknowledged=own.version.point))

    def stay_ahead_of(self, report: Report) -> bool:
        """Give no number again that somebody has had from this leadership; return whether that was news.

        It happens when this node's disk was put back. Where the controllee writes is the truth, so its next version
        gets a number that nobody has.
        """
        own = self.own
        if own is None or report.version is None:
            return False
        version = own.version
        theirs = max((p.clock for p in report.version.history if p.gid == version.gid), default=-1)
        is_other = report.version.point == version.point and report.fingerprint != own.fingerprint
        if theirs <= self._clock_floor or not (theirs > version.clock or is_other):
            return False
        self._clock_floor = theirs
        return True

    def next(self, *, is_writing: bool, is_resting: bool, gids: Iterable[int]) -> Held | None:
        """Return what is to be written now; None if what is durable is as it should be, or while something is.

        Args:
            is_writing: this node leads, so what changes is a controllee's.
            is_resting: nobody writes, and everything was looked at.
            gids: all that are known.
        """
        if not self.is_busy:
            self.pending = self._next(is_writing=is_writing, is_resting=is_resting, gids=gids)
            return self.pending
        return None

    def revise(self, gids: Iterable[int]) -> Version:
        """Return the version that this leadership's next state gets, which is not of the controllee's making."""
        assert self.is_written, "one thing is written at a time"
        assert self.held is not None, "a state that nobody has is not revised"
        self.revising = self._advanced(self.held.version, gids)
        return self.revising

    def _next(self, *, is_writing: bool, is_resting: bool, gids: Iterable[int]) -> Held | None:
        held, files = self.held, self.files
        if self.claim is not None:
            if is_writing or files is not None or not is_resting:
                return self._claimed(self.claim)
            # It ended before anything of it was written down, and nothing was changed in it.
            self.claim = None
        if held is None:
            # A state that nobody numbered: HTCondor's number for it is 0.
            return None if files is None else Held(Version.adopted(Point(0, 0)), files)
        if is_writing and not held.is_leading:
            return attrs.evolve(held, is_leading=True)
        if self.is_altered or not held.is_leading:
            return None
        is_repeated = is_writing and self._clock_floor >= held.version.clock
        if is_repeated or files is not None:
            files = held.files if files is None else files
            return attrs.evolve(held, version=self._advanced(held.version, gids), files=files)
        return attrs.evolve(held, is_leading=False) if is_resting and not is_writing else None

    def _claimed(self, gid: int) -> Held:
        """The first version of a new leadership: its parent's bytes under a new name."""
        held = self.held
        self._clock_floor = -1
        if held is None:
            return Held(Version.first(gid), is_leading=True)
        if self.is_altered:
            # What stands here did not grow out of the version that was held.
            return Held(Version.adopted(Point(gid, 0)), self.files or (), is_leading=True)
        return attrs.evolve(held, version=held.version.led_by(gid), is_leading=True)

    def _advanced(self, version: Version, gids: Iterable[int]) -> Version:
        """The next version of a leadership; where its numbers are used up it goes on under a gid made here."""
        ahead = attrs.evolve(version, clock=max(self._clock_floor, version.clock))
        if ahead.is_exhausted:
            self._clock_floor = -1
            # Clock 0 is for the parent's bytes.
            return version.led_by(next_gid(gids, version.gid)).advanced()
        return ahead.advanced()
