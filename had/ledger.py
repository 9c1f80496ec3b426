"""What a node keeps on disk, what it wants kept, and its claim to an epoch of its own.

The rule it serves: durable before visible. `record` is what the disk has said it holds; `wanted` is what was last
handed to the writer. Nothing may depend on `wanted` that others could see.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from had.events import EPOCH_STRIDE, Effect, Member, Persist, Record

MAXIMUM_EPOCH = 2**31 - 1
"""Epochs are replication's gids, which HTCondor keeps in a signed 32-bit integer."""

DISK_RETRY_SECONDS = 1.0
"""How long to wait before writing again after the disk refused."""


@attrs.define
class Ledger:
    """The durable record of one node."""

    record: Record
    wanted: Record
    emit: Callable[[Effect], None]
    #: When the disk last refused, None while it works.
    failed_at: float | None = None
    #: The epoch that this node made and had written, to lead with; 0 for none.
    claim: int = 0

    def keep(self, record: Record) -> None:
        """Have a record written; it counts when `Persisted` comes back."""
        if record != self.wanted:
            self.wanted = record
            self.emit(Persist(record))

    def persisted(self, record: Record) -> None:
        """Believe the disk."""
        self.record = record
        self.failed_at = None

    def refused(self, now: float, heard_epoch: int) -> None:
        """Take back what the disk refused; an epoch that others hold stays wanted."""
        self.failed_at = now
        self.wanted = attrs.evolve(self.record, epoch=max(self.record.epoch, heard_epoch))
        self.claim = 0

    def retry(self, now: float) -> None:
        """Try the disk again when it is time."""
        if self.failed_at is not None and now >= self.failed_at + DISK_RETRY_SECONDS:
            self.failed_at = now
            self.emit(Persist(self.wanted))

    @property
    def is_broken(self) -> bool:
        """Whether the last write failed: this node can promise nothing."""
        return self.failed_at is not None

    def make_claim(self, my_id: int) -> bool:
        """Have an epoch of our own written that is above every one we know; False if they are used up."""
        if self.claim != 0 and self.claim == self.wanted.epoch:
            return True
        claim = (self.wanted.epoch // EPOCH_STRIDE + 1) * EPOCH_STRIDE + my_id
        if claim > MAXIMUM_EPOCH:
            return False
        self.claim = claim
        self.keep(attrs.evolve(self.wanted, epoch=claim))
        return True

    @property
    def has_claim(self) -> bool:
        """Whether our claim is on disk and nothing larger was heard since."""
        return self.claim != 0 and self.record.epoch == self.claim == self.wanted.epoch


def owner(epoch: int, members: tuple[Member, ...]) -> Member | None:
    """Whose leadership an epoch was, by our own HAD_LIST; None for nobody's."""
    index = len(members) - 1 - epoch % EPOCH_STRIDE
    return members[index] if epoch > 0 and index >= 0 else None
