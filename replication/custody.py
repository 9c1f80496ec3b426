"""State and version of this node as the store's thread has them: looked at, written down, and replaced.

Everything here blocks on the disk and is called on that thread only, one call at a time, so no look sees half of
anything. What may fail raises one of `disk_thread.FAILURES`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from daemoncore.durable import DurableError
from replication.bases import Bases
from replication.disk import Disk, Source
from replication.disk_thread import FAILURES
from replication.keeping import Keepsakes, Tidings
from replication.manifest import Held, fingerprint
from replication.pair import Outcome, Pair
from replication.places import Places
from replication.recovering import recover, sentences
from replication.revising import RevisionError, Staged
from replication.safekeeping import Safekeeping
from replication.sendable import Arrival
from replication.sight import Look, Sight
from replication.snapshot import Snapshot, Tracker
from replication.staging import RefusedError, Start
from replication.version import Version

#: What was adopted is read in such pieces, so that a note never waits longer than for one of them.
WARM_BYTES: Final = 8 << 20


class TornError(DurableError):
    """The disk failed in the middle of a commit, and again when that was to be mended: nobody knows yet what is held."""


class Custody:
    """The state and its version.

    Args:
        places: where everything lies.
        tracker: looks at the state.
        keepsakes: the copies that are kept.
        disk: where version and state are changed.
    """

    def __init__(
        self, places: Places, tracker: Tracker, keepsakes: Keepsakes, disk: Disk | None = None
    ) -> None:
        self._places = places
        self._tracker = tracker
        self._keepsakes = keepsakes
        self._pair = Pair(places, disk)
        self._sight = Sight(tracker)
        self._safekeeping = Safekeeping(places, self._sight, keepsakes)
        self._is_controllee_running: Callable[[], bool] = lambda: False
        self._is_torn = False

    @property
    def held(self) -> Held | None:
        """What is held."""
        return self._pair.held

    def tidings(self) -> Tidings | None:
        """What is new of the copies."""
        return self._keepsakes.tidings(self._pair.held)

    def open(self, is_controllee_running: Callable[[], bool]) -> tuple[Look, tuple[str, ...]]:
        """Bring everything in order at the start; return the first look, and sentences for the log."""
        self._is_controllee_running = is_controllee_running
        self._keepsakes.sweep()
        recovery = recover(self._pair, self._safekeeping, is_controllee_running)
        self._keepsakes.reviser.resolve(self._pair.held)
        try:
            look = self._sight.patiently()
        except FAILURES:
            # It is being written all the time, or cannot be read: later looks go on trying, and say so.
            look = self._sight.look()
        self._number(look)
        return attrs.evolve(look, held=self._pair.held), sentences(recovery)

    def _number(self, look: Look) -> None:
        """Note which bytes a version of HTCondor's covers: those that stand here when it is adopted."""
        held = self._pair.held
        if held is None or held.files or held.is_leading or look.snapshot is None:
            return
        if held.version == Version.adopted(held.version.point):
            self._pair.note(attrs.evolve(held, files=look.snapshot.records))

    def look(self, *, is_last: bool = False) -> Look:
        """Look at the state; see `Sight.look`."""
        self._mend()
        # It is for HTCondor only, and the next look tries again.
        with contextlib.suppress(DurableError):
            self._pair.restore_text()
        return attrs.evolve(self._sight.look(is_last=is_last), held=self._pair.held)

    def warm(self) -> bool:
        """Read a piece of what was installed, so that it can grow cheaply; whether there is more to read."""
        try:
            return self._tracker.warm(WARM_BYTES)
        except (DurableError, RefusedError):
            # The next look says what is wrong.
            return False

    # --- changing the pair ------------------------------------------------------------------------------------

    def note(self, held: Held, sources: Mapping[str, Source]) -> str:
        """Write down what is held; return the name of its bytes.

        The parent of a new leadership is kept before, since from now on the controllee writes over it.

        Args:
            held: what is held.
            sources: whence the bytes that were held before can be read.
        """
        self._mend()
        parent = self._pair.held
        if parent is None or parent.version.gid != held.version.gid:
            # Whether it grew out of what was merged is another question now.
            self._keepsakes.is_stale = True
            is_child = parent is not None and held.version.has(parent.version.point)
            if parent is not None and parent.files and held.is_leading and is_child:
                self._safekeeping.keep_parent(parent, sources)
        self._pair.note(held)
        return fingerprint(held.files)

    def keep_altered(self, version: Version, sources: Mapping[str, Source]) -> None:
        """Keep what stands here: somebody changed it who must not."""
        self._mend()
        self._safekeeping.keep_altered(version, self._pair.held, sources)

    def install(
        self, held: Held, arrival: Arrival, *, is_conflict: bool, sources: Mapping[str, Source]
    ) -> Look:
        """Let what has arrived replace what stands here; see `effects.Install`. Return the look at it.

        What the new state lacks is kept before, durably. If anything fails the pair is what it was, and what has
        arrived is removed; unless it is a `TornError`.
        """
        self._mend()
        before = self._pair.held
        try:
            with self._safekeeping.keep_standing(
                before, held, is_conflict=is_conflict, sources=sources
            ) as look:
                spare = Bases(self._places, self._tracker, before, look.snapshot).check(held, arrival)
                self._replace(arrival.number, held, arrival.starts, spare)
        except FAILURES as error:
            self._sweep_after(error, arrival.number)
            raise
        return self.look()

    def revise(self, version: Version) -> Look:
        """Merge and restore what is scheduled, as this version; see `effects.Revise`. Return the look at it."""
        self._mend()
        held = self._pair.held
        with self._sight.patiently() as look:
            if held is None or look.snapshot is None or look.fingerprint != fingerprint(held.files):
                raise RefusedError("what stands here is not what is held")
            staged = self._keepsakes.reviser.stage(held, os.getpid())
            if staged is None:
                raise RevisionError("nothing of what is scheduled can be done")
            self._keepsakes.could_not_revise(staged.problems)
            self._revise(staged, held, version, look.snapshot)
        return self.look()

    def _revise(self, staged: Staged, held: Held, version: Version, snapshot: Snapshot) -> None:
        reviser, new = self._keepsakes.reviser, attrs.evolve(held, version=version, files=staged.files)
        try:
            if staged.replaces:
                reason = "a kept conflict was restored in its place"
                self._safekeeping.keep(held.version, snapshot, reason, version, is_version=True)
            reviser.begin(staged, version.point)
            self._replace(os.getpid(), new, staged.starts)
        except FAILURES as error:
            if not isinstance(error, TornError):
                reviser.failed(staged)
            self._sweep_after(error, os.getpid())
            raise
        # What cannot be written down now is found out at the next start.
        with contextlib.suppress(DurableError):
            reviser.succeeded(staged, version.point)

    def _replace(
        self, number: int, held: Held, starts: tuple[Start, ...], spare: tuple[int, ...] = ()
    ) -> None:
        """Commit what is staged, mend that if the disk failed on the way, and let the tracker know the new bytes."""
        if self._is_controllee_running():
            raise RefusedError("a controllee runs on what stands here")
        try:
            self._pair.commit(
                number, held, starts, spare=spare, is_controllee_running=self._is_controllee_running
            )
        except DurableError as error:
            self._is_torn = True
            try:
                self._mend()
            except FAILURES as again:
                raise TornError(f"{error}; and then: {again}", path=error.path, errno=error.errno) from again
            if self._pair.held != held:
                raise
        self._keepsakes.is_stale = True
        self._sight.adopt(held.files, starts)

    def _mend(self) -> None:
        """After a commit that failed: leave one complete pair before anything else is done."""
        if not self._is_torn:
            return
        recovery = recover(self._pair, self._safekeeping, self._is_controllee_running)
        self._keepsakes.reviser.resolve(recovery.held)
        if recovery.outcome is Outcome.FINISHED and recovery.held is not None:
            self._sight.adopt(recovery.held.files, (0,) * len(self._places.paths))
        self._is_torn = False

    def _sweep_after(self, error: BaseException, number: int) -> None:
        """Remove what was staged and is of no use; a commit that is to be mended still needs it."""
        if not isinstance(error, TornError):
            with contextlib.suppress(DurableError):
                self._pair.sweep(number)
