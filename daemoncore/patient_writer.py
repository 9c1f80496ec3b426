"""A durable writer that says when the disk does not answer: neither done nor failed is news as well.

A disk that refuses a write says so. One that hangs (a dead network file system, a controller that resets for
minutes) says nothing, and whoever waits for it would hold up everybody else for ever. So an act that has had its turn
for `PATIENCE_SECONDS` without an end is told as stuck, with all that waits behind it; should it end after all, that is
told as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import trio

from daemoncore.durable_writer import DurableWriter, Finished

PATIENCE_SECONDS: Final = 1.0
"""A loaded disk syncs within tens of milliseconds; a false alarm ends by itself when the disk answers."""


@attrs.define(eq=False)
class _Pending:
    tag: object
    done: trio.Event = attrs.field(factory=trio.Event)


class PatientWriter:
    """Performs acts in order on a thread of its own, and reports each end, or that none comes.

    Args:
        patience_seconds: how long one act may take before it counts as stuck.
    """

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._writer = DurableWriter()
        self._pending: deque[_Pending] = deque()
        self._has_work = trio.Event()
        #: Whether the disk owes us an answer for too long.
        self.is_stuck = False

    @property
    def pending_count(self) -> int:
        """Acts that were submitted and whose end was not reported yet."""
        return len(self._pending)

    def submit(self, tag: object, perform: Callable[[], object]) -> None:
        """Queue one act, which raises nothing but DurableError; returns at once."""
        self._pending.append(_Pending(tag))
        self._writer.submit(tag, perform)
        self._has_work.set()

    async def run(
        self, report: Callable[[Finished], None], report_stuck: Callable[[tuple[object, ...]], None]
    ) -> None:
        """Report until cancelled.

        Args:
            report: called with each act that ended, in order.
            report_stuck: called once when an act is stuck, with the tags of all that wait, the oldest first.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, report_stuck)
            async for finished in self._writer:
                self._pending.popleft().done.set()
                self.is_stuck = False
                report(finished)
            nursery.cancel_scope.cancel()

    async def _watch(self, report_stuck: Callable[[tuple[object, ...]], None]) -> None:
        while True:
            # Again and again: a quick act can be over before this task has its turn.
            while not self._pending:
                self._has_work = trio.Event()
                await self._has_work.wait()
            oldest = self._pending[0]
            with trio.move_on_after(self._patience_seconds) as patience:
                await oldest.done.wait()
            if patience.cancelled_caught and not oldest.done.is_set():
                self.is_stuck = True
                report_stuck(tuple(act.tag for act in self._pending))
                await oldest.done.wait()

    def close(self) -> bool:
        """Let queued acts end, for a second at most; whether all did."""
        return self._writer.close()
