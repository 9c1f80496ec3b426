"""The one thread that touches the disk, as the loop sees it: acts go in, what came of each comes back in their order.

It is the durable writer's thread. What an act returns or how it failed is handed to the loop with it, and before that
whatever the act's epilogue had to say, so that the loop hears of things in the order in which they happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

import trio

from daemoncore.durable import DurableError
from daemoncore.durable_writer import DurableWriter
from replication.archive import ArchiveError
from replication.revising import RevisionError
from replication.staging import RefusedError

Failure: TypeAlias = DurableError | RefusedError | ArchiveError | RevisionError
"""How an act may fail; anything else is a programmer's error and ends the daemon."""

FAILURES = (DurableError, RefusedError, ArchiveError, RevisionError)

Result = TypeVar("Result")
News = TypeVar("News")


class _Act(Generic[Result, News]):
    """One act, and what came of it."""

    def __init__(
        self,
        act: Callable[[], Result],
        done: Callable[[Result], None],
        failed: Callable[[Failure], None],
        epilogue: Callable[[], News | None],
    ) -> None:
        self._act, self._done, self._failed, self._epilogue = act, done, failed, epilogue
        self.results: list[Result] = []
        self.news: News | None = None
        self._error: Failure | None = None

    def perform(self) -> None:
        """Do it; on the thread."""
        try:
            self.results.append(self._act())
        except FAILURES as error:
            self._error = error
        self.news = self._epilogue()

    def deliver(self) -> None:
        """Hand over what came of it; on the loop."""
        if self._error is not None:
            self._failed(self._error)
        else:
            self._done(self.results.pop())


class DiskThread(Generic[News]):
    """Performs acts in the order in which they are submitted.

    Args:
        epilogue: called on the thread after each act, for what it has to say beside its result.
        hear: called on the loop with what the epilogue said, before the result.
    """

    def __init__(self, epilogue: Callable[[], News | None], hear: Callable[[News], None]) -> None:
        self._epilogue = epilogue
        self._hear = hear
        self._writer = DurableWriter()
        self._acts: deque[_Act[Any, News]] = deque()

    def submit(
        self, act: Callable[[], Result], done: Callable[[Result], None], failed: Callable[[Failure], None]
    ) -> None:
        """Queue an act; one of the others is called on the loop when it is over."""
        queued = _Act(act, done, failed, self._epilogue)
        self._acts.append(queued)
        self._writer.submit(None, queued.perform)

    async def perform(self, act: Callable[[], Result]) -> Result:
        """Have an act done and wait for it; raises what it raises. Whoever waits no more does not stop it."""
        is_over, results, errors = trio.Event(), list[Result](), list[Failure]()

        def done(result: Result) -> None:
            results.append(result)
            is_over.set()

        def failed(error: Failure) -> None:
            errors.append(error)
            is_over.set()

        self.submit(act, done, failed)
        await is_over.wait()
        if errors:
            raise errors[0]
        return results[0]

    async def serve(self) -> None:
        """Hand over what comes, until closed or cancelled."""
        async for _ in self._writer:
            act = self._acts.popleft()
            if act.news is not None:
                self._hear(act.news)
            act.deliver()

    def close(self) -> list[object] | None:
        """Let queued acts end, for a second at most; blocks.

        Returns:
            Results that nobody took; None if the thread is still busy.
        """
        if not self._writer.close():
            return None
        return [result for act in self._acts for result in act.results]
