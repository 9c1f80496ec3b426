"""Watches the state and tells the machine what changed, and people why it cannot be watched; on the loop.

It decides with `replication.looking` when to look, has the looks taken on the store's thread, and remembers what the
machine was told, so that only a difference is news.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from replication.custody import Custody
from replication.disk_thread import DiskThread, Failure
from replication.events import Event, Settled, StateChanged
from replication.holdings import Holdings
from replication.keeping import Tidings
from replication.looking import STILL_CHANGING_SECONDS, Looking
from replication.manifest import Held, fingerprint
from replication.places import Places
from replication.sight import Look, Refused
from replication.snapshot import Missing, Snapshot
from replication.store_terms import StandingFile
from replication.tracked_file import Changing
from replication.watch import Watcher

_NOTHING = fingerprint(())


class Vigil:
    """Looks at one state for as long as `run` does.

    Args:
        places: where the state is.
        interval_seconds: REPLICATION_INTERVAL.
        custody: takes the looks, on `thread`.
        thread: the store's.
        holdings: takes the snapshots that are told.
        post: takes events.
        looked: called with each look before anything is told of it.
        say_fault: called when the fault is another.
    """

    def __init__(
        self,
        places: Places,
        interval_seconds: float,
        custody: Custody,
        thread: DiskThread[Tidings],
        holdings: Holdings,
        post: Callable[[Event], None],
        looked: Callable[[Look], None],
        say_fault: Callable[[str | None], None],
    ) -> None:
        self._places = places
        self._custody = custody
        self._thread = thread
        self._holdings = holdings
        self._post = post
        self._looked_first = looked
        self._say = say_fault
        self._looking = Looking(interval_seconds)
        self._woken = trio.Event()
        self._watcher: Watcher | None = None
        self._held: Held | None = None
        #: The name of the bytes of which the machine knows that they stand here.
        self._told: str | None = None
        self._trouble: str | None = None
        self._said: str | None = None
        #: What stood here at the last look that found something.
        self.files: tuple[StandingFile, ...] = ()

    @property
    def fault(self) -> str | None:
        """Why changes are not noticed at once, or the state cannot be read; None if all is well."""
        watching = None if self._watcher is None else self._watcher.fault
        return self._trouble or (None if watching is None else f"inotify is not used: {watching}")

    async def run(self) -> None:
        """Watch, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_state)
            nursery.start_soon(self._look_in_time)

    # --- orders -----------------------------------------------------------------------------------------------

    def want(self) -> None:
        """Look as soon as possible."""
        self._looking.want()
        self._woken.set()

    def watch(self) -> None:
        """A controllee writes here from now on."""
        self._looking.watch()
        self._woken.set()

    def settle(self, quiet_seconds: float) -> None:
        """Look a last time, then tell `Settled`; see `effects.Settle`."""
        self._looking.settle(quiet_seconds, trio.current_time())
        self._woken.set()

    def change(self, interval_seconds: float) -> None:
        """Look that often from now on."""
        self._looking.interval_seconds = interval_seconds
        self._woken.set()

    def noted(self, held: Held) -> None:
        """This is held. The machine goes on knowing what it was told, which may be newer."""
        self._held = held

    def replaced(self, held: Held | None, name: str | None) -> None:
        """This is held and stands here, as the machine is told by another event."""
        self._held, self._told = held, name

    # --- looks ------------------------------------------------------------------------------------------------

    def take(self, look: Look) -> None:
        """Tell what a look found, if it is news."""
        for event in self.news_of(look):
            self._post(event)
        self.say_fault()

    def news_of(self, look: Look) -> list[Event]:
        """Take a look over and return what the machine has to hear of it."""
        self._trouble = self._trouble_of(look.found)
        snapshot = look.snapshot
        if snapshot is None:
            if not (isinstance(look.found, Missing) and self._is_lost()):
                return []
            self._told, self.files = _NOTHING, ()
            return [StateChanged(())]
        self._list(snapshot)
        if look.fingerprint == self._told and not self._holdings.lacks(look.fingerprint):
            look.close()
            return []
        self._holdings.put(snapshot, look.fingerprint)
        is_news, self._told = look.fingerprint != self._told, look.fingerprint
        return [StateChanged(snapshot.records)] if is_news else []

    def say_fault(self) -> None:
        """Tell people, if it is another one than they know."""
        if self.fault != self._said:
            self._said = self.fault
            self._say(self._said)

    def _is_lost(self) -> bool:
        """Whether a state that is missing is one that was held by a node that follows (see `replication.store`)."""
        held = self._held
        if held is None or held.is_leading or self._looking.is_led_here:
            return False
        return bool(held.files) and self._told != _NOTHING

    def _trouble_of(self, found: Snapshot | Changing | Missing | Refused) -> str | None:
        match found:
            case Missing(path):
                return f"{path}: there is no state"
            case Refused(text):
                return text
            case Changing(path) if self._looking.is_still_changing:
                return f"{path}: still changing, at every look for more than {STILL_CHANGING_SECONDS:g} s"
        return None

    def _list(self, snapshot: Snapshot) -> None:
        if not (snapshot.is_same and self.files):
            self.files = tuple(
                StandingFile(
                    file.record.name, file.path, file.record.size_bytes, file.modified_nanoseconds / 1e9
                )
                for file in snapshot.files
            )

    async def _watch_state(self) -> None:
        watcher = Watcher(
            self._places.paths,
            is_folder=self._places.is_folder,
            interval_seconds=self._looking.interval_seconds,
            perform=self._thread.perform,
        )
        try:
            await self._thread.perform(watcher.begin)
            self._watcher = watcher
            # It may have changed between the look at the start and this moment.
            while True:
                self.want()
                self.say_fault()
                await watcher.changed()
        finally:
            watcher.end()

    async def _look_in_time(self) -> None:
        while True:
            if self._looking.deadline <= trio.current_time():
                self._look()
            self._woken = trio.Event()
            with trio.move_on_at(self._looking.deadline):
                await self._woken.wait()

    def _look(self) -> None:
        is_last = self._looking.begin(trio.current_time())
        self._thread.submit(lambda: self._custody.look(is_last=is_last), self._looked, self._not_looked)

    def _looked(self, look: Look) -> None:
        self._looked_first(look)
        retry_seconds = look.found.retry_seconds if isinstance(look.found, Changing) else None
        is_settled = self._looking.ended(trio.current_time(), look.signature, retry_seconds)
        self.take(look)
        if is_settled:
            self._post(Settled())
        self._woken.set()

    def _not_looked(self, error: Failure) -> None:
        self._looking.failed(trio.current_time())
        self._trouble = str(error)
        self.say_fault()
        self._woken.set()
