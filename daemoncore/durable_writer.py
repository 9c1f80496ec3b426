"""Writes to disk without stopping the loop: one thread, started at start-up, that performs acts in order.

A disk may take seconds to answer an fsync, or never. The loop must go on hearing its peers meanwhile, and
the path from silence to a running controllee must start no thread (starting one can hang when memory is
short, cpython issue 140746). So the thread exists from the first second and takes its work from a queue;
a finished act wakes the loop through an eventfd.

    writer = DurableWriter()
    writer.submit("epoch 385", lambda: store.write(payload))
    async for finished in writer: ...       # Finished(tag="epoch 385", error=None)

A failed act is a value like any other, and the thread lives on: whether a node whose disk fails may lead
is for the state machine to decide.
"""

import contextlib
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Self

import attrs
import trio

from daemoncore.durable import DurableError


@attrs.frozen
class Finished:
    """One act that ended.

    Attributes:
        tag: what `submit` was given, to tell acts apart.
        error: None when the act succeeded.
        duration_seconds: how long the act itself took.
    """

    tag: object
    error: DurableError | None
    duration_seconds: float


@attrs.frozen
class _Act:
    tag: object
    perform: Callable[[], object]


class DurableWriter:
    """Performs blocking acts one after another on its own thread and reports each to the loop.

    Acts may raise `DurableError` and nothing else; any other exception is a programmer's error, and is
    raised in the task that iterates. Iterate from one task only.
    """

    def __init__(self) -> None:
        self._acts: queue.SimpleQueue[_Act | None] = queue.SimpleQueue()
        self._finished: deque[Finished | BaseException] = deque()
        self._pending_count = 0
        self._is_closed = False
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # A daemon thread: a disk that never answers must not keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name="durable-writer", daemon=True)
        self._thread.start()

    @property
    def pending_count(self) -> int:
        """Acts that were submitted and whose end the loop has not yet seen."""
        return self._pending_count

    def submit(self, tag: object, perform: Callable[[], object]) -> None:
        """Queue one act; returns at once. Acts run in the order of submission."""
        assert not self._is_closed, f"submit of {tag!r} after close"
        self._pending_count += 1
        self._acts.put(_Act(tag, perform))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Finished:
        """Wait for the next act to end, in the order of submission."""
        while not self._finished:
            if self._is_closed:
                raise StopAsyncIteration
            # `close` ends the wait; what had finished by then is still delivered.
            with contextlib.suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(self._wakeup)
                os.eventfd_read(self._wakeup)
        await trio.lowlevel.checkpoint()
        self._pending_count -= 1
        outcome = self._finished.popleft()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def close(self, *, timeout_seconds: float = 1.0) -> bool:
        """Let queued acts end, for at most `timeout_seconds`, and give the thread back.

        Returns:
            Whether all of them ended. Call it when the loop has nothing else to do: it blocks.
        """
        if not self._is_closed:
            self._is_closed = True
            self._acts.put(None)
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            return False
        if self._wakeup >= 0:
            with contextlib.suppress(RuntimeError):  # no loop runs any more, so none can be waiting
                trio.lowlevel.notify_closing(self._wakeup)
            os.close(self._wakeup)
            self._wakeup = -1
        return True

    def _run(self) -> None:
        """Perform acts until told to end; runs on the thread."""
        while (act := self._acts.get()) is not None:
            self._finished.append(_perform(act))
            os.eventfd_write(self._wakeup, 1)


def _perform(act: _Act) -> Finished | BaseException:
    """Perform one act and say how it ended; nothing escapes."""
    began = time.monotonic()
    try:
        act.perform()
    except DurableError as error:
        return Finished(act.tag, error, time.monotonic() - began)
    except BaseException as error:  # noqa: BLE001 - handed to the loop, which raises it
        return error
    return Finished(act.tag, None, time.monotonic() - began)
