"""The disk side of the replication daemon: performs the machine's effects on state and version, and says what came of it.

Whatever may wait for a disk is done on one thread, in the order in which it was asked for (`replication.custody`). So no
look sees half of an installation, and what the machine is told comes in the order in which it was so. On the loop are:
when to look and what was told (`replication.vigil`), and which snapshot is the version that can be sent
(`replication.holdings`).

**Before visible, durable**: `Noted`, `Installed` and `Revised` are told when it is on the disk, and by then `sendable`
is that version. What a new state lacks of the present one is a conflict on the disk before the first rename.

**A state that vanished.** No state is never told of a node that leads, or whose last leadership did not end in order:
whoever removes the file of a running negotiator does not want it removed from all managers, and HTCondor does not do that
either. The fault says it, and the state that the controllee writes next is the next version. (So this is how to begin
anew everywhere: remove the file on the leader and restart the controllee.) On a node that follows, a state that is held
and gone is told as one without files. The machine takes it for what it is, a change that nobody should have made: it
fetches what the others hold, and begins no leadership as if the state were here.

**A state that never gets quiet, or is a link or a device**, is told to people as a fault, and to the machine not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio

from replication.archive import Copy
from replication.copy_fetch import Fetched
from replication.custody import Custody, TornError
from replication.disk import Disk, RealDisk
from replication.disk_thread import DiskThread, Failure
from replication.events import (
    Event,
    Installed,
    InstallFailed,
    Noted,
    NoteFailed,
    Revised,
    ReviseFailed,
    RevisionsWaiting,
)
from replication.holdings import Holdings
from replication.keeping import Contents, Keepsakes, Tidings
from replication.manifest import Held, fingerprint
from replication.places import Places
from replication.revising import Reviser
from replication.sendable import Arrival, Sendable
from replication.sight import Look
from replication.snapshot import Tracker
from replication.store_terms import Opening, StandingFile, StoreObserver, StoreSettings
from replication.version import Point, Version
from replication.vigil import Vigil

Result = TypeVar("Result")


@attrs.frozen
class _Replaced:
    """A state that was replaced: the look at the new one, and the name of the bytes that are held."""

    look: Look
    name: str


@attrs.frozen
class _Unanswered:
    """A replacement of which is not known yet whether it happened, and what to say then."""

    version: Version
    good: Callable[[Held], Event]
    bad: Event


class Store:
    """The disk side of one node. Effects are methods, which only queue; events go to `post`.

    Args:
        places: where everything lies.
        settings: what the configuration says.
        post: takes events.
        observer: is told.
        wall_clock: Unix time.
        disk: where version, state and copies are changed.
    """

    def __init__(
        self,
        places: Places,
        settings: StoreSettings,
        post: Callable[[Event], None],
        observer: StoreObserver,
        wall_clock: Callable[[], float] = time.time,
        disk: Disk | None = None,
    ) -> None:
        self._places = places
        self._settings = settings
        self._post = post
        self._observer = observer
        self._wall_clock = wall_clock
        tracker = Tracker(places.paths, is_folder=places.is_folder, quiet_seconds=settings.quiet_seconds)
        self._heard_merged: Mapping[str, Point] = {}
        self._keepsakes = Keepsakes(
            places, settings.keep_conflicts, lambda: self._settings.half_life_seconds, wall_clock, disk
        )
        self._custody = Custody(places, tracker, self._keepsakes, disk)
        self._thread: DiskThread[Tidings] = DiskThread(self._custody.tidings, self._hear)
        self._holdings = Holdings(places)
        self._vigil = Vigil(
            places,
            settings.interval_seconds,
            self._custody,
            self._thread,
            self._holdings,
            post,
            self._answer_at_last,
            observer.fault_changed,
        )
        self._contents = Contents()
        self._version: Version | None = None
        self._unanswered: _Unanswered | None = None
        self._is_warming = False
        #: Unix time at which the version became held here, None if nobody knows.
        self.changed_at: float | None = None

    # --- its life ---------------------------------------------------------------------------------------------

    @property
    def has_journal(self) -> bool:
        """Whether a replacement of the state was under way when the last daemon ended; looks at the disk."""
        return RealDisk().facts(self._places.journal) is not None

    def open(self, *, is_controllee_running: Callable[[], bool]) -> Opening:
        """Bring the pair in order and look at the state; blocks, and is called once, before `run`.

        Args:
            is_controllee_running: called on the store's thread before the state is replaced, which it must not allow.

        Raises:
            DurableError: the disk failed.
            RefusedError: a mixture of old and new files could not be kept.
        """
        look, sentences = self._custody.open(is_controllee_running)
        self._contents = self._keepsakes.read(look.held)
        events: list[Event] = [RevisionsWaiting(len(self._contents.pending)), self._contents.archived]
        held = look.held
        if held is not None:
            name = fingerprint(held.files)
            self._vigil.replaced(held, name)
            self._holdings.hold(held, name)
            facts = RealDisk().facts(self._places.truth)
            self._version = held.version
            self.changed_at = None if facts is None else facts.modified_nanoseconds / 1e9
        events += self._vigil.news_of(look)
        return Opening(held, tuple(events), sentences)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch the state and hand over what the thread has done, until cancelled; `open` comes before."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._vigil.run)
            task_status.started()
            await self._thread.serve()
            nursery.cancel_scope.cancel()

    def change(self, settings: StoreSettings) -> None:
        """Put other settings in force."""
        self._settings = settings
        self._vigil.change(settings.interval_seconds)
        self._keepsakes.conflicts.limit_to(settings.keep_conflicts)

    def close(self) -> None:
        """Let what was asked for be done, for a second at most, and close everything; blocks."""
        results = self._thread.close()
        if results is None:
            # The thread may be reading from what is open here; the process ends anyway.
            return
        for result in results:
            if isinstance(result, _Replaced):
                result.look.close()
            elif isinstance(result, Look):
                result.close()
        self._holdings.close()

    # --- what others see --------------------------------------------------------------------------------------

    @property
    def sendable(self) -> Sendable | None:
        """The version that is held, with its bytes, if they are here; good until the caller lets the loop go on."""
        return self._holdings.sendable

    def sendable_copy(self, archive: str, identifier: str) -> Sendable | None:
        """A copy that is kept: of `conflicts` by its identifier, of `ancestors` by its point; None if there is none."""
        return self._keepsakes.sendable_copy(self._contents, archive, identifier)

    @property
    def conflicts(self) -> tuple[dict[str, Any], ...]:
        """What is kept (`replication.conflicts.document`), the oldest first; no disk is touched."""
        return self._contents.documents

    @property
    def pending(self) -> Mapping[str, str]:
        """Identifiers of conflicts that wait to be merged or restored, with which of both."""
        return self._contents.pending

    @property
    def failed(self) -> Mapping[str, str]:
        """Identifiers of conflicts of others that could not be merged or restored here, with the reason."""
        return self._contents.failed

    @property
    def fault(self) -> str | None:
        """Why changes are not noticed at once, or the state cannot be read; None if all is well."""
        return self._vigil.fault

    @property
    def files(self) -> tuple[StandingFile, ...]:
        """What stands here, as the last look found it."""
        return self._vigil.files

    # --- effects ----------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """See `effects.Watch`."""
        self._vigil.watch()

    def settle(self, quiet_seconds: float) -> None:
        """See `effects.Settle`."""
        self._vigil.settle(quiet_seconds)

    def note(self, held: Held) -> None:
        """See `effects.Note`."""
        sources = self._holdings.sources()

        def noted(name: str) -> None:
            self._vigil.noted(held)
            self._hold(held, name)
            self._post(Noted(held))

        def failed(error: Failure) -> None:
            self._post(NoteFailed(str(error)))

        self._thread.submit(lambda: self._custody.note(held, sources), noted, failed)

    def keep_conflict(self, version: Version) -> None:
        """See `effects.KeepConflict`."""
        sources = self._holdings.sources()
        self._thread.submit(
            lambda: self._custody.keep_altered(version, sources),
            lambda _: None,
            lambda error: self._observer.conflict_not_kept(str(error)),
        )

    def install(self, download: int, held: Held, arrival: Arrival, *, is_conflict: bool) -> None:
        """See `effects.Install`."""
        sources = self._holdings.sources()
        self._replace(
            lambda: self._custody.install(held, arrival, is_conflict=is_conflict, sources=sources),
            held.version,
            lambda now_held: Installed(download, now_held),
            lambda text: InstallFailed(download, text),
        )

    def revise(self, version: Version) -> None:
        """See `effects.Revise`."""
        self._replace(lambda: self._custody.revise(version), version, Revised, ReviseFailed)

    def mark_merged(self, identifiers: tuple[str, ...], point: Point) -> None:
        """See `effects.MarkMerged`."""
        self.run_in_background(lambda: self._keepsakes.mark_merged(identifiers, point))

    def heard_merged(self, merged: Mapping[str, Point]) -> None:
        """These conflicts are merged into what is held, by whomever: it is remembered, and a copy of it that is kept says so."""
        if merged != self._heard_merged:
            self._heard_merged = known = dict(merged)
            self.run_in_background(lambda: self._keepsakes.merged_elsewhere.add(known))

    def _replace(
        self,
        act: Callable[[], Look],
        version: Version,
        good: Callable[[Held], Event],
        bad: Callable[[str], Event],
    ) -> None:
        """Have the state replaced, and answer when it is known whether it was."""

        def perform() -> _Replaced:
            look = act()
            assert look.held is not None, "something was installed"
            return _Replaced(look, fingerprint(look.held.files))

        def done(replaced: _Replaced) -> None:
            self._answer_replaced(replaced.look, replaced.name, good)
            self._vigil.take(replaced.look)
            self._warm()

        def failed(error: Failure) -> None:
            if isinstance(error, TornError):
                self._unanswered = _Unanswered(version, good, bad(str(error)))
            else:
                self._post(bad(str(error)))
            self._vigil.want()

        self._thread.submit(perform, done, failed)

    def _answer_replaced(self, look: Look, name: str, good: Callable[[Held], Event]) -> None:
        assert look.held is not None, "something was installed"
        self._vigil.replaced(look.held, name)
        self._hold(look.held, name)
        self._post(good(look.held))

    def _answer_at_last(self, look: Look) -> None:
        """A look was taken, so the pair is whole: now it is known what became of a replacement that failed halfway."""
        unanswered, self._unanswered = self._unanswered, None
        if unanswered is None:
            return
        if look.held is not None and look.held.version == unanswered.version:
            self._answer_replaced(look, fingerprint(look.held.files), unanswered.good)
        else:
            self._post(unanswered.bad)

    def _hold(self, held: Held, name: str) -> None:
        """This is held now."""
        if held.version != self._version:
            self._version, self.changed_at = held.version, self._wall_clock()
        self._holdings.hold(held, name)

    def _warm(self) -> None:
        """Read what was installed, a piece at a time between other acts, so that it can grow cheaply."""
        if self._is_warming:
            return
        self._is_warming = True

        def warmed(has_more: bool) -> None:
            self._is_warming = False
            if has_more:
                self._warm()
            else:
                self._vigil.want()

        def failed(_: Failure) -> None:
            self._is_warming = False

        self._thread.submit(self._custody.warm, warmed, failed)

    # --- copies, and whatever else waits for the disk -----------------------------------------------------------

    @property
    def reviser(self) -> Reviser:
        """What merges and restores; on the store's thread only."""
        return self._keepsakes.reviser

    @property
    def borrowing_folder(self) -> Path:
        """Where a copy that is fetched may be put until `borrow`; only one at a time."""
        return self._keepsakes.borrowing_folder

    def run_in_background(self, act: Callable[[], object]) -> None:
        """Have something done on the thread, in its turn; returns at once."""
        self._thread.submit(act, lambda _: None, lambda error: self._observer.background_failed(str(error)))

    async def perform(self, act: Callable[[], Result]) -> Result:
        """Have something done on the thread, in its turn, and wait for it; raises what it raises."""
        return await self._thread.perform(act)

    async def read_archives(self) -> None:
        """Look at the archives again and tell the machine what changed."""
        await self._thread.perform(self._keepsakes.expire)

    def export_conflict(self, identifier: str, folder: Path) -> None:
        """Write a conflict of this node into a new folder; on the store's thread."""
        self._keepsakes.export(identifier, folder)

    def drop_conflict(self, identifier: str) -> None:
        """Remove a conflict of this node; on the store's thread."""
        self._keepsakes.drop(identifier)

    def borrow(self, fetched: Fetched, *, is_ancestor: bool) -> Copy:
        """Keep what was fetched from another node; on the store's thread."""
        return self._keepsakes.borrow(fetched, is_ancestor=is_ancestor)

    def _hear(self, tidings: Tidings) -> None:
        for keeping in tidings.kept:
            self._observer.conflict_kept(keeping)
        for error in tidings.ancestors_lost:
            self._observer.ancestor_not_kept(error)
        for identifier, reason in tidings.problems:
            self._observer.conflict_not_usable(identifier, reason)
        before, now = self._contents, tidings.contents
        if now is None:
            return
        self._contents = now
        if len(now.pending) != len(before.pending):
            self._post(RevisionsWaiting(len(now.pending)))
        if now.archived != before.archived:
            self._post(now.archived)
