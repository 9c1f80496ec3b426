"""Looks at the state, with the name of the bytes that they find; on the store's thread."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

import attrs

from daemoncore.durable import DurableError
from replication.disk import Source
from replication.manifest import FileRecord, Held, fingerprint
from replication.snapshot import Missing, Snapshot, Tracker
from replication.staging import RefusedError, Start
from replication.tracked_file import Changing

#: A state that is being written is waited for so long where something has to be kept before it is replaced.
PATIENCE_SECONDS: Final = 2.0

#: Up to this size the last look of a leadership reads everything: some 50 ms of SHA-256.
THOROUGH_LIMIT_BYTES: Final = 32 << 20


@attrs.frozen
class Refused:
    """The state is none: a link, a device, or too many files; the text says which."""

    text: str


@attrs.frozen
class Look:
    """What one look found; whoever has it closes it.

    Attributes:
        found: the state, or why it cannot be had.
        fingerprint: of a snapshot, the name of its bytes; else empty.
        signature: another one whenever somebody wrote in between.
        held: what the pair holds.
    """

    found: Snapshot | Changing | Missing | Refused
    fingerprint: str = ""
    signature: object = None
    held: Held | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """The state, if it could be had."""
        return self.found if isinstance(self.found, Snapshot) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the snapshot, if there is one."""
        if self.snapshot is not None:
            self.snapshot.close()


class Sight:
    """Looks at one state. Blocks on the disk; raises `DurableError` when it fails."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        # Of the last snapshot, which a look that finds nothing new need not make again.
        self._fingerprint = ""

    def look(self, *, is_last: bool = False) -> Look:
        """Look at the state.

        Args:
            is_last: nobody writes any more, and what ended is a leadership of this node. Then everything is read, but
                for a large state of which nothing speaks for more than growth (see `_is_thorough`).
        """
        is_thorough = is_last and self._is_thorough()
        try:
            return self._seen(self._tracker.look(time.monotonic(), is_thorough=is_thorough, is_quiet=is_last))
        except RefusedError as error:
            return self._seen(Refused(str(error)))

    def patiently(self, *, is_partial: bool = False) -> Look:
        """Look at a state that somebody may be writing at this moment: what is found is a snapshot, or missing.

        Args:
            is_partial: some files of the list may be missing.

        Raises:
            DurableError: it did not get quiet, or cannot be read.
            RefusedError: it is none.
        """
        ends = time.monotonic() + PATIENCE_SECONDS
        while isinstance(found := self._tracker.look(time.monotonic(), is_partial=is_partial), Changing):
            if time.monotonic() + found.retry_seconds > ends:
                raise DurableError(f"{found.path}: still changing, so it cannot be kept", path=found.path)
            time.sleep(found.retry_seconds)
        return self._seen(found)

    def adopt(self, records: tuple[FileRecord, ...], starts: tuple[Start, ...]) -> None:
        """Take for seen what was installed a moment ago (`Tracker.adopt`); what cannot be looked at is read later."""
        try:
            self._tracker.adopt(records, starts)
            self._fingerprint = fingerprint(records)
        except (DurableError, RefusedError):
            self._fingerprint = ""

    def _is_thorough(self) -> bool:
        """Whether the last look of a leadership reads everything.

        What an ordinary look may miss is a head that was rewritten where no sample is, in a file that also grew. Reading
        10 GiB to find that out takes half a minute, for which a handover would wait (hard case 20). So a large state is
        not read again if every one of its files was only ever seen to grow, or to be replaced by another one, which is
        then read whole: a ClassAd log is written in no other way. A file that was once seen to be rewritten in place
        may have been rewritten and have grown between two looks as well; it is read, whatever that takes.
        """
        sizes = [seen.size_bytes for _, seen in self._tracker.signature if seen is not None]
        return sum(sizes) <= THOROUGH_LIMIT_BYTES or not self._tracker.is_append_only

    def _seen(self, found: Snapshot | Changing | Missing | Refused) -> Look:
        name = ""
        if isinstance(found, Snapshot):
            if not (found.is_same and self._fingerprint):
                self._fingerprint = fingerprint(found.records)
            name = self._fingerprint
        return Look(found, name, self._tracker.signature)


def sources_of(snapshot: Snapshot) -> dict[str, Source]:
    """Whence the bytes of a snapshot can be read, by name."""
    return {one.record.name: one.descriptor if one.descriptor >= 0 else one.path for one in snapshot.files}
