"""Sees negotiators come and go, independently of what the daemons say of themselves.

Every few milliseconds the processes below each manager's daemon are looked at. A negotiator counts from the moment
when its program runs, and until the kernel says that it ended (a pidfd tells at once). So an overlap of two that
lasts longer than one look cannot hide, and a start is seen one look late at most. `longest_look_seconds` says what
the longest time between two looks was, since a busy machine may keep us waiting.
"""

import os
import select
from pathlib import Path

import attrs
import trio

from had.ctl.demo.managers import MANAGERS, Managers, tree
from had.ctl.demo.own_words import OwnWords, own_words
from had.ctl.demo.place import Place

#: How often is looked, in seconds.
LOOK_SECONDS = 0.003

#: What the demo's negotiator writes into its log after each cycle.
_CYCLE = b"\ncycle="
#: What `had` writes into its log once it listens.
_UP = b" daemon_started "


@attrs.define(eq=False)
class Life:
    """One negotiator.

    Attributes:
        manager: whose it is.
        pid: its process.
        began: when it was first seen to run, on trio's clock.
        descriptor: its pidfd.
        log_offset: where its part of the log begins, in bytes.
        ended: when the kernel said that it ended; None while it runs.
    """

    manager: str
    pid: int
    began: float
    descriptor: int
    log_offset: int = 0
    ended: float | None = None


class Watch:
    """Watches the managers of one demo; run `run` beside the story."""

    def __init__(self, managers: Managers, place: Place) -> None:
        self._managers = managers
        self._place = place
        self._news = trio.Event()
        #: Each manager's log, as long as it was at the look before.
        self._log_bytes = dict.fromkeys(MANAGERS, 0)
        self.lives: list[Life] = []
        self.longest_look_seconds = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        async with trio.open_nursery() as nursery:
            last = trio.current_time()
            while True:
                for name in MANAGERS:
                    self._look(name, nursery)
                now = trio.current_time()
                self.longest_look_seconds = max(self.longest_look_seconds, now - last)
                last = now
                await trio.sleep(LOOK_SECONDS)

    def _look(self, name: str, nursery: trio.Nursery) -> None:
        daemon = self._managers.pid(name)
        if daemon is None:
            return
        living = {life.pid for life in self.running}
        for pid in tree(daemon)[1:]:
            if pid not in living and _is_negotiator(pid):
                self._born(name, pid, nursery)
        self._log_bytes[name] = len(_read(self._log(name)))

    def _born(self, name: str, pid: int, nursery: trio.Nursery) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        life = Life(name, pid, trio.current_time(), descriptor, self._log_bytes[name])
        # Whether one that ended since the last look did so before this one began cannot be told; an overlap shorter
        # than a look is none. The end of one that really ran beside it is still to come.
        for older in self.running:
            if is_over(older.descriptor):
                older.ended = life.began
        self.lives.append(life)
        nursery.start_soon(self._until_ended, life)
        self._tell()

    async def _until_ended(self, life: Life) -> None:
        try:
            await trio.lowlevel.wait_readable(life.descriptor)
            if life.ended is None:
                life.ended = trio.current_time()
        finally:
            os.close(life.descriptor)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    @property
    def running(self) -> list[Life]:
        """The negotiators that run now."""
        return [life for life in self.lives if life.ended is None]

    async def started(self, after: float, manager: str | None = None) -> Life:
        """Wait for a negotiator that began after that time, on that manager if one is named."""
        while True:
            for life in self.lives:
                if life.began > after and manager in (None, life.manager):
                    return life
            await self._news.wait()

    async def ended(self, life: Life) -> float:
        """Wait for the end of a negotiator, and return when it was."""
        while life.ended is None:
            await self._news.wait()
        return life.ended

    async def first_cycle(self, life: Life) -> float:
        """Wait until a negotiator has finished a cycle, by its own log, and return when that was seen."""
        while _CYCLE not in _read(self._log(life.manager))[life.log_offset :]:  # noqa: ASYNC110 -- a file
            await trio.sleep(LOOK_SECONDS)
        return trio.current_time()

    async def own_words(self, life: Life) -> OwnWords:
        """Wait until a negotiator has said with what it began; return what it has said until now."""
        while (found := self._own_words(life)) is None:  # noqa: ASYNC110 -- a file
            await trio.sleep(LOOK_SECONDS)
        return found

    def _own_words(self, life: Life) -> OwnWords | None:
        data = _read(self._log(life.manager))[life.log_offset :]
        # A line that is being written says nothing yet.
        return own_words(data[: data.rfind(b"\n") + 1].decode("utf-8", "replace"))

    async def first_daemon(self) -> float:
        """Wait until a daemon takes part, by its own log, and return when that was seen."""
        logs = [self._place.log_folder(name) / "HADLog" for name in MANAGERS]
        while not any(_UP in _read(log) for log in logs):  # noqa: ASYNC110 -- a file
            await trio.sleep(LOOK_SECONDS)
        return trio.current_time()

    def _log(self, name: str) -> Path:
        return self._place.log_folder(name) / "NegotiatorLog"

    def overlap_seconds(self) -> float:
        """Return for how long two negotiators ran at once, all told."""
        total = 0.0
        now = trio.current_time()
        for index, one in enumerate(self.lives):
            for other in self.lives[index + 1 :]:
                both = min(one.ended or now, other.ended or now) - max(one.began, other.began)
                total += max(0.0, both)
        return total


def is_over(descriptor: int) -> bool:
    """Whether the process of a pidfd has ended."""
    look = select.poll()
    look.register(descriptor, select.POLLIN)
    return bool(look.poll(0))


def _is_negotiator(pid: int) -> bool:
    return b"negotiator.py" in _read(Path(f"/proc/{pid}/cmdline"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
