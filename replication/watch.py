"""Notices at once that the state was written to: inotify, with a look at the files now and then as the floor.

`changed` returns when something is different: at once after a quiet time, and then no more often than every
`spacing_seconds`, so that a burst of writes is a few reports and the last of them comes after the last write. It says
only *that*; what changed, and whether it can be taken, is the tracker's business.

The floor is a comparison of inode, size and nanosecond times every REPLICATION_INTERVAL. Where the kernel gives no
news (no instances or watches left, a folder that is not there yet, a file system without them) the look is taken every
`FAST_POLL_SECONDS` instead, and less often where a single look takes long.

Whatever may wait for a disk is handed to `perform`, which has it done on a thread.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

import trio

from daemoncore.durable import DurableError
from replication.disk import Facts, Kind, RealDisk, walk
from replication.inotify import Inotify, News

#: Twenty reports a second, whatever the controllee writes.
SPACING_SECONDS: Final = 0.05

#: Where there are no news: well within the second that a change may take to the replicas (R1).
FAST_POLL_SECONDS: Final = 0.25

#: A look may use this part of the time.
_POLL_SHARE: Final = 0.02

Perform: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Has something done that may wait for a disk, and waits for it."""


async def perform_here(act: Callable[[], None]) -> None:
    """Do it on the spot, for who has no other thread."""
    act()


class Watcher:
    """Watches the files of one state, or its folder. Use it as a context; one task calls `changed`.

    Args:
        paths: the files, or the one folder.
        is_folder: which of both.
        interval_seconds: the longest time between two looks.
        spacing_seconds: the shortest time between two reports.
        has_inotify: whether the kernel is asked for news.
        perform: has done what may wait for a disk.
    """

    def __init__(
        self,
        paths: tuple[Path, ...],
        *,
        is_folder: bool = False,
        interval_seconds: float = 300.0,
        spacing_seconds: float = SPACING_SECONDS,
        has_inotify: bool = True,
        perform: Perform = perform_here,
    ) -> None:
        self._paths = paths
        self._is_folder = is_folder
        self._interval_seconds = interval_seconds
        self._spacing_seconds = spacing_seconds
        self._has_inotify = has_inotify
        self._perform = perform
        self._names = {(path.parent, path.name) for path in paths}
        self._inotify: Inotify | None = None
        self._fault: str | None = None
        self._known: object = None
        self._found: object = None
        self._look_seconds = 0.0
        self._next_report = 0.0

    @property
    def fault(self) -> str | None:
        """Why the kernel gives no news, so that the files are looked at instead; None while it does."""
        return self._fault

    def __enter__(self) -> Self:
        """Begin to watch, as `begin` does."""
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self) -> None:
        """Begin to watch: what changes from now on will be reported. Blocks on the disk."""
        self._connect()
        self._look()
        self._known = self._found

    def end(self) -> None:
        """Watch no more."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    async def changed(self) -> None:
        """Wait until the state is different from what it was when this returned last (or the watch began)."""
        await trio.sleep(max(0.0, self._next_report - trio.current_time()))
        while True:
            is_told = await self._wait_for_news()
            if self._inotify is None or self._fault is not None:
                await self._perform(self._connect)
            # A large folder is not looked through for every piece of news.
            if is_told and self._is_folder:
                break
            await self._perform(self._look)
            if self._found != self._known:
                self._known = self._found
                break
        self._next_report = trio.current_time() + self._spacing_seconds

    async def _wait_for_news(self) -> bool:
        """Wait for news of our names, True, or until it is time to look without, False."""
        limit_seconds = self._interval_seconds if self._fault is None else FAST_POLL_SECONDS
        limit_seconds = max(
            min(limit_seconds, self._interval_seconds) or FAST_POLL_SECONDS, self._spacing_seconds
        )
        limit_seconds = max(limit_seconds, self._look_seconds / _POLL_SHARE)
        with trio.move_on_after(limit_seconds):
            if self._inotify is None:
                await trio.sleep_forever()
            while self._inotify is not None:
                await trio.lowlevel.wait_readable(self._inotify.descriptor)
                news = self._inotify.read()
                if news.has_new_folders:
                    await self._perform(self._watch_folders)
                if news.has_new_folders or self._is_ours(news):
                    return True
        return False

    def _is_ours(self, news: News) -> bool:
        """Whether the news are about the state."""
        if not self._is_folder:
            return bool(news.changed & self._names)
        folder = self._paths[0]
        return any((parent, name) in self._names or parent != folder.parent for parent, name in news.changed)

    def _connect(self) -> None:
        """Ask for news of everything; where that fails, say why and try again at the next look."""
        if not self._has_inotify:
            self._fault = "not asked for"
            return
        try:
            if self._inotify is None:
                self._inotify = Inotify()
        except OSError as error:
            self._fault = f"inotify: {error.strerror}"
            return
        self._watch_folders()

    def _watch_folders(self) -> None:
        """Watch the folders that hold our names, and all folders of a state that is one."""
        assert self._inotify is not None, "there is a queue of news"
        self._fault = None
        folders = list(dict.fromkeys(path.parent for path in self._paths))
        try:
            if self._is_folder and self._paths[0].is_dir():
                entries = walk(RealDisk(), self._paths[0])
                inside = [self._paths[0] / name for name, facts in entries if facts.kind is Kind.FOLDER]
                folders += [self._paths[0], *inside]
        except (DurableError, OSError) as error:
            self._fault = str(error)
        for folder in folders:
            try:
                self._inotify.watch(folder)
            except OSError as error:
                self._fault = f"{folder}: {error.strerror}"

    def _look(self) -> None:
        """Look at all files; what is found is different from what was if anything was written."""
        disk = RealDisk()
        began = time.perf_counter()
        try:
            found: list[tuple[str, Facts | None]] = [(str(path), disk.facts(path)) for path in self._paths]
            if self._is_folder:
                found += walk(disk, self._paths[0])
        except DurableError as error:
            # Why it cannot be looked at is found out by who reads it.
            found = [(str(error), None)]
        self._found = found
        self._look_seconds = time.perf_counter() - began
