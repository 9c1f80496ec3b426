"""What a node keeps on disk, what it wants kept, and its claim to an epoch of its own.

The rule it serves: durable before visible. `record` is what the disk has said it holds; `wanted` is what was last
handed to the writer. Nothing may depend on `wanted` that others could see.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from had.election_settings import EPOCH_STRIDE, Member
from had.events import Effect, Persist, Record

MAXIMUM_EPOCH = 2**31 - 1
"""Epochs are replication's gids, which HTCondor keeps in a signed 32-bit integer."""

MAXIMUM_EPOCH_JUMP = 2**20 * EPOCH_STRIDE
"""A heard epoch further ahead than this is a broken peer's, not the pool's (hard case 2)."""

DISK_RETRY_SECONDS = 1.0
"""How long to wait before writing again after the disk refused."""

DISK_PATIENCE_SECONDS = 1.0
"""A disk that has not written everything for so long, and for T, hangs: nobody may wait for this node meanwhile."""


@attrs.define
class Ledger:
    """The durable record of one node."""

    record: Record
    wanted: Record
    emit: Callable[[Effect], None]
    #: When the disk last refused, None while it works.
    failed_at: float | None = None
    #: Since when the disk has something to write, None while it has nothing; as of the end of a turn.
    awaited_since: float | None = None
    #: It was given up to wait for the disk, though its answer still counts.
    is_hanging: bool = False
    #: The epoch that this node made and had written, to lead with; 0 for none.
    claim: int = 0
    #: The largest epoch known when the claim was made.
    claimed_above: int = 0

    def keep(self, record: Record) -> None:
        """Have a record written; it counts when `Persisted` comes back."""
        if record != self.wanted:
            self.wanted = record
            self.emit(Persist(record))

    def is_plausible(self, epoch: int) -> bool:
        """Whether an epoch that was heard of can be the pool's: it is no larger than leaderships could have made it."""
        return epoch - self.wanted.epoch <= MAXIMUM_EPOCH_JUMP and epoch <= MAXIMUM_EPOCH

    def learn(self, epoch: int) -> None:
        """Have an epoch that was heard of written if it is the largest."""
        if epoch > self.wanted.epoch:
            self.keep(attrs.evolve(self.wanted, epoch=epoch))

    def persisted(self, record: Record) -> None:
        """Believe the disk."""
        self.record = record
        self.failed_at = None
        if record == self.wanted:
            self._answered()

    def refused(self, now: float) -> None:
        """Give up the claim; what was wanted stays wanted, since a later write may have succeeded already."""
        self.failed_at = now
        self.claim = 0
        self._answered()

    def _answered(self) -> None:
        self.awaited_since, self.is_hanging = None, False

    def retry(self, now: float) -> None:
        """Try the disk again when it is time."""
        if self.failed_at is not None and now >= self.failed_at + DISK_RETRY_SECONDS:
            self.failed_at = now
            self.emit(Persist(self.wanted))

    def turned(self, now: float) -> None:
        """A turn ended: what it wants written is waited for from now on."""
        if self.awaited_since is None and self.failed_at is None and self.record != self.wanted:
            self.awaited_since = now

    def patience_ends_at(self, timeout_seconds: float) -> float:
        """When the disk will have hung for too long; infinite if it owes nothing, or is given up already."""
        if self.awaited_since is None or self.is_hanging:
            return math.inf
        return self.awaited_since + max(DISK_PATIENCE_SECONDS, timeout_seconds)

    def gives_up(self, now: float, timeout_seconds: float) -> bool:
        """Whether the disk has hung for too long by now, told once; the claim is given up with it."""
        if now < self.patience_ends_at(timeout_seconds):
            return False
        self.is_hanging, self.claim = True, 0
        return True

    @property
    def is_broken(self) -> bool:
        """Whether the last write failed or does not come back: this node can promise nothing."""
        return self.failed_at is not None or self.is_hanging

    def make_claim(self, my_id: int, above: int = 0) -> bool:
        """Have an epoch of our own written that is above every one we know; False if they are used up.

        A claim that is still the largest is kept, unless it has to be larger than `above` too.
        """
        if self.claim > above and self.claim == self.wanted.epoch:
            return True
        claim = (self.wanted.epoch // EPOCH_STRIDE + 1) * EPOCH_STRIDE + my_id
        if claim > MAXIMUM_EPOCH:
            return False
        self.claimed_above = self.wanted.epoch
        self.claim = claim
        self.keep(attrs.evolve(self.wanted, epoch=claim))
        return True

    @property
    def others_epoch(self) -> int:
        """The largest epoch known, our own unused claim aside."""
        return self.claimed_above if 0 < self.claim == self.wanted.epoch else self.wanted.epoch

    @property
    def has_claim(self) -> bool:
        """Whether our claim is on disk and nothing larger was heard since."""
        return self.claim != 0 and self.record.epoch == self.claim == self.wanted.epoch


def owner(epoch: int, members: tuple[Member, ...]) -> Member | None:
    """Whose leadership an epoch was, by our own HAD_LIST; None for nobody's."""
    index = len(members) - 1 - epoch % EPOCH_STRIDE
    return members[index] if epoch > 0 and index >= 0 else None
