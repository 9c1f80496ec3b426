"""A log file whose disk work is done by a thread, so that a disk that stands still stops no daemon.

A file system may take no write for seconds (a snapshot freezes it, a controller resets, a file server is away), and a
process that writes then sleeps until it does. The loop must not: its leader's heartbeats would cease with it. So the
thread writes, and whoever logs waits for it only as long as `PATIENCE_SECONDS`. On a disk that works, which is always, a
line is in the file when the call returns, as if there were no thread. On one that does not, the first line costs that
much and the later ones nothing: they wait in order, with the time at which they were said, until the disk is back.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs

from daemoncore.log_file import LogFile

PATIENCE_SECONDS: Final = 0.02
"""A line takes a tenth of a millisecond. T is 0.05 s at least, and a heartbeat may be late by a quarter of it."""

MOST_WAITING: Final = 10_000
"""So many lines may wait for the disk, about 2 MB; what is said beyond them goes to the fallback and counts as lost."""


@attrs.define(eq=False)
class _Act:
    perform: Callable[[], None]
    done: threading.Event = attrs.field(factory=threading.Event)


class LogThread:
    """Has a `LogFile` opened and written by a thread; to be called from one thread at a time, and never raises.

    Args:
        open_file: makes the file, on the thread.
        fallback: takes the lines that are too many.
        patience_seconds: how long a call may wait for the thread.
        most_waiting: how many lines may wait for it.
    """

    def __init__(
        self,
        open_file: Callable[[], LogFile],
        fallback: Callable[[bytes], None],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._fallback = fallback
        self._patience_seconds = patience_seconds
        self._most_waiting = most_waiting
        self._file: LogFile | None = None
        self._dropped_count = 0
        self._acts: queue.SimpleQueue[_Act | None] = queue.SimpleQueue()
        self._last = _Act(lambda: None)
        self._last.done.set()
        # A daemon thread: a disk that never answers must not keep the process from exiting.
        threading.Thread(target=self._run, name="log", daemon=True).start()
        self._do(partial(self._open, open_file))

    @property
    def lost_count(self) -> int:
        """Lines that the file could not take, or that were too many to wait for it."""
        return self._dropped_count + (self._file.lost_count if self._file else 0)

    @property
    def failure(self) -> str | None:
        """What keeps lines out of the file now, None while it works."""
        return self._file.failure if self._file else None

    def write(self, header: str, text: str) -> None:
        """Append one line, as `LogFile.write`."""
        if self._acts.qsize() >= self._most_waiting:
            self._dropped_count += 1
            self._fallback((header + text + "\n").encode("utf-8", "backslashreplace"))
        else:
            self._do(lambda: self._file.write(header, text) if self._file else None)

    def touch(self) -> None:
        """Give the file its sign of life, as `LogFile.touch`."""
        self._do(lambda: self._file.touch() if self._file else None)

    def close(self, wait_seconds: float = 0.0) -> None:
        """Close the file and end the thread when all is written; wait for that, but not longer than this."""
        self._do(lambda: self._file.close() if self._file else None)
        self._acts.put(None)
        self._last.done.wait(wait_seconds)

    def _open(self, open_file: Callable[[], LogFile]) -> None:
        self._file = open_file()

    def _do(self, perform: Callable[[], None]) -> None:
        """Have it done after all that was asked for before; do not wait where somebody waits already."""
        is_behind = not self._last.done.is_set()
        self._last = _Act(perform)
        self._acts.put(self._last)
        if not is_behind:
            self._last.done.wait(self._patience_seconds)

    def _run(self) -> None:
        """Do what is asked for, in order; runs on the thread."""
        while (act := self._acts.get()) is not None:
            try:
                act.perform()
            except Exception as error:  # noqa: BLE001 -- a defect in the log must not end it
                self._fallback(f"log_thread_failed error={error!r}\n".encode())
            act.done.set()
