"""One upload: a transferer that sends, a version at a time, to a replica that asked for it.

One that stays sends what is published while it lives. A version that is published while an earlier one is still on its
way waits, and only the newest does: a slow replica gets fewer versions, not a longer queue.
"""

from __future__ import annotations

import contextlib
import os

import attrs

from replication import transferer_words as words
from replication.manifest import total_bytes
from replication.sendable import Sendable
from replication.transfer_ending import Ending, ending_of
from replication.transfer_figures import Gauge
from replication.transfer_terms import TransferObserver
from replication.transferer_process import NonsenseError, TransfererEvent, TransfererProcess
from replication.transferer_words import Exit
from replication.version import Point


@attrs.frozen
class _Waiting:
    """A version with descriptors of its own, since its owner closes his when it is held no more."""

    sendable: Sendable
    #: Ours, for each of the owner's.
    descriptors: dict[int, int]

    @classmethod
    def of(cls, sendable: Sendable) -> _Waiting:
        """Make them; OSError when there is no descriptor left."""
        with contextlib.ExitStack() as on_failure:
            made = {}
            for number in words.descriptors_of(sendable):
                made[number] = os.dup(number)
                on_failure.callback(os.close, made[number])
            on_failure.pop_all()
        return cls(sendable, made)

    def close(self) -> None:
        """Nobody wants it any more."""
        for descriptor in self.descriptors.values():
            os.close(descriptor)


class Outgoing:
    """One upload.

    Args:
        process: the transferer, which has its task.
        gauge: shows how far it is.
        observer: hears of it.
        is_staying: it sends later versions too.
        grace_seconds: it is killed so long after it should have ended.
    """

    def __init__(
        self,
        process: TransfererProcess,
        gauge: Gauge,
        observer: TransferObserver,
        *,
        is_staying: bool,
        grace_seconds: float,
    ) -> None:
        self.process = process
        self.gauge = gauge
        self._observer = observer
        self._is_staying = is_staying
        self._grace_seconds = grace_seconds
        self._waiting: _Waiting | None = None
        self._moving: Point | None = None
        self._end_reason = ""
        self._is_ending = not is_staying
        self._exit: Exit | None = None

    # --- orders -----------------------------------------------------------------------------------------------

    def send(self, sendable: Sendable) -> None:
        """Send a version, once what is being sent is through; it takes the place of one that waits.

        A process that cannot be told of it, because no descriptor is left, is killed.
        """
        if sendable.version.point == self.gauge.version:
            return
        earlier, self._waiting = self._waiting, None
        if earlier is not None:
            sendable = words.continued(sendable, earlier.sendable)
            earlier.close()
        try:
            self._waiting = _Waiting.of(sendable)
        except OSError as error:
            self.process.kill(f"no descriptor for {sendable.version.point}: {error.strerror}")
            return
        if self._moving is None:
            self._send_next()

    def announce(self, sendable: Sendable) -> None:
        """Send a version that was published, if this upload stays for it."""
        if self._is_staying and not self._is_ending:
            self.send(sendable)

    def end(self, reason: str) -> None:
        """Finish what is being sent and what waits, then end."""
        if self._is_ending:
            return
        self._is_ending, self._end_reason = True, reason
        if self._moving is None:
            self._finish()

    def _send_next(self) -> None:
        following, self._waiting = self._waiting, None
        assert following is not None, "there is something to send"
        sendable = following.sendable
        self._moving = sendable.version.point
        size_bytes = total_bytes(file.record for file in sendable.files)
        self.gauge.begin(self._moving, size_bytes, "moving")
        place_of = {number: place for place, number in enumerate(following.descriptors)}
        self.process.tell(words.version(sendable, place_of), following.descriptors.values())

    def _finish(self) -> None:
        self.process.tell(words.end(self._end_reason))
        self.process.expire_within(self._grace_seconds, "it did not end when it was asked to")

    # --- its life ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look after the process until it is dead."""
        try:
            await self.process.run(self._hear)
        finally:
            self._is_staying, self._is_ending = False, True
            if self._waiting is not None:
                self._waiting.close()
                self._waiting = None

    @property
    def in_vain_bytes(self) -> int:
        """How much was moved of a version that did not come through."""
        return self.gauge.bytes if self._moving is not None else 0

    def ending(self) -> Ending:
        """Say how the process ended, which is dead."""
        return ending_of(self.process, self._exit)

    # --- what it says -----------------------------------------------------------------------------------------

    def _hear(self, event: TransfererEvent) -> None:
        """Take an event; whatever is no event of an upload is passed over, since it may be a later version's."""
        match event["event"]:
            case "progress":
                self.gauge.progressed(event)
            case "sent":
                self._sent(event)
            case "exit":
                self._exit = words.read_exit(event)

    def _sent(self, event: TransfererEvent) -> None:
        """One version is through, or is not; then the process ends by itself."""
        if self._moving is None:
            raise NonsenseError("a version was sent that it was not told of")
        moved = words.read_moved(event)
        if moved.result != "ok":
            self.gauge.bytes = moved.bytes
            return
        self._observer.version_sent(self.gauge.peer, self._moving, moved.bytes, moved.seconds)
        self._moving = None
        self.gauge.moved(moved.bytes, "waiting")
        if self._waiting is not None:
            self._send_next()
        elif self._is_ending:
            self._finish()
