"""The durable pair: state and version of this node change together or not at all, wherever the power fails.

The state lies where the controllee wants it (STATE_FILE: one file, several, or a folder). Its version lies in our own
folder in HAD_DIR, as the *truth*: version, lineage, and size and digest of every file. `$(SPOOL)/Version`, HTCondor's
two lines, is written after it and is for HTCondor only: should condor_preen delete it, it is written again.

Two things change the pair. The leader's controllee writes its file as it likes, and `note` records the version of
what was published; the truth is one file and is replaced in one step. A follower receives a new state, and `commit`
replaces several files and the truth as if they were one:

1. The new files are whole beside their targets (`<file>.<number>.down`, number being the pid of the transferer) and
   are synced with their names.
2. The journal is written: what will be held, and how the targets looked. **From here on the new state holds.**
3. Each new file is renamed over its target; a folder changes places with its target (RENAME_EXCHANGE); a tail is
   appended to its target.
4. The truth is written, then `$(SPOOL)/Version`.
5. The journal is removed, then what the folder used to be, and staged tails.

`recover`, at every start, finds no journal: then nothing happened, and staged files are swept. Or it finds one: then
steps 3 to 5 are done again, and each finds out whether it was done before: a staged file that is gone was renamed, a
folder is the new one if its inode is, a tail stands in its target or does not. So one complete pair is left after any
crash, and after a crash of the recovery.

Nothing is ever renamed over the state of a running controllee: it would keep writing to a file without a name.
Callers pass `is_controllee_running`; it is asserted before every rename. A journal that is found while one runs, or
whose targets were written to since, is rolled back if nothing was renamed yet. If some of several files were, there
is no way back or on (`Outcome.MIXED`): the caller keeps what is there as a conflict and calls `recover` with `is_kept`,
which then finishes; or, if a tail has lost the head that it belongs to, or a controllee runs on what is there, nothing
is held.

Symbolic links, devices and anything beside the configured paths are refused. New files get the permissions and the
owner of what they replace; where nothing was, those that the leader's have, and the configured owner.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs

from daemoncore.durable import DurableError
from replication.disk import Disk, RealDisk
from replication.journal import (
    Decoded,
    DocumentError,
    Journal,
    Move,
    decode_held,
    decode_journal,
    encode_held,
    encode_journal,
    read_document,
    signature,
)
from replication.manifest import Held
from replication.moves import Progress, is_removal, perform, progress, tidy
from replication.places import Places
from replication.staging import RefusedError, Start, check_staged, check_targets, make_durable
from replication.version import Point, Version, VersionError, parse_text_untrusted

#: A version file that is longer is not HTCondor's.
_TEXT_LIMIT_BYTES: Final = 4096


class Outcome(enum.Enum):
    """What `Pair.recover` found."""

    #: Nothing was under way.
    CLEAN = "clean"
    #: A replacement was under way, and is now done.
    FINISHED = "finished"
    #: A replacement was under way, had changed nothing, and was given up.
    ABANDONED = "abandoned"
    #: A replacement of several files was under way, and somebody has written to them since; nothing was done.
    MIXED = "mixed"
    #: The same, and what was there was kept; but a tail has lost its head, or a controllee runs on the mixture, so that
    #: nothing is held any more.
    UNUSABLE = "unusable"


@attrs.frozen
class Recovery:
    """What was found at the start.

    Attributes:
        outcome: what became of a replacement that was under way.
        held: what this node holds, None if it holds nothing that it knows of.
        htcondor: the version that HTCondor left in `$(SPOOL)/Version` while it ran in between; it was adopted.
        older: an ancestor of ours stood there. After a crash of the host that means nothing; if the state is not ours
            either, somebody put both back.
        swept: leftovers that were removed.
        damage: sentences about documents that were unreadable and are taken for absent.
    """

    outcome: Outcome
    held: Held | None
    htcondor: Point | None = None
    older: Point | None = None
    swept: tuple[Path, ...] = ()
    damage: tuple[str, ...] = ()


class Pair:
    """State and version of one node. Every method blocks on the disk; one thread at a time calls them.

    All raise `DurableError` when the disk fails; memory and disk then agree on the older pair, or `recover` is due.
    """

    def __init__(self, places: Places, disk: Disk | None = None) -> None:
        self.places = places
        self._disk: Disk = RealDisk() if disk is None else disk
        self._truth = places.truth
        self._journal = places.journal
        self._held: Held | None = None

    @property
    def held(self) -> Held | None:
        """What this node holds, as of the last `recover`, `note` or `commit`."""
        return self._held

    def note(self, held: Held) -> None:
        """Record the version of the state that is there, or that another node has it; durable on return."""
        self._retire_text(held.version)
        self._disk.replace(self._truth, encode_held(held), mode=0o600, owner=self.places.owner)
        self._held = held
        self._write_text(held.version)

    def commit(
        self,
        number: int,
        held: Held,
        starts: Sequence[Start] = (),
        *,
        spare: Sequence[int] = (),
        is_controllee_running: Callable[[], bool],
    ) -> None:
        """Replace the state by what is staged, and the version with it; durable on return.

        Args:
            number: in the names of the staged files.
            held: what this node holds afterwards; its files are those that are staged. If it has none, and the state
                is no folder, nothing is staged and the state is removed.
            starts: for each file where its staged bytes begin (see `staging.Start`); left out, all are whole.
            spare: for each file how many bytes at its end count for nothing, such as half a transaction; a tail takes
                their place. Left out, none do.
            is_controllee_running: asked before every rename, which is not done then.

        Raises:
            RefusedError: what is staged is not what `held` says, or may not stand there, or a controllee runs; nothing
                was changed.
            DurableError: the disk failed, or a controllee was started meanwhile. Before the journal was written nothing has changed; afterwards `recover`
                finishes the work, and must run before anything else does.
        """
        count = len(self.places.paths)
        starts = starts or (0,) * count
        check_targets(self._disk, self.places)
        if is_removal(held, self.places):
            inodes, starts = [0] * count, (0,) * count
        else:
            inodes = check_staged(self._disk, self.places, number, held.files, starts, spare)
            make_durable(self._disk, self.places, number, held.files, starts)
        signatures = [signature(self._disk, path) for path in self.places.paths]
        heads = [self._digest_of(str(place), start) for place, start in enumerate(starts)]
        moves = tuple(itertools.starmap(Move, zip(inodes, signatures, starts, heads, strict=True)))
        journal = Journal(held, number, moves)
        if is_controllee_running():
            # Had goes by its own clock: it may have started one while this was being synced.
            raise RefusedError("nothing is renamed over the state of a running controllee")
        self._disk.replace(self._journal, encode_journal(journal), mode=0o600, owner=self.places.owner)
        self._finish(journal, is_controllee_running)

    def recover(self, *, is_controllee_running: Callable[[], bool], is_kept: bool = False) -> Recovery:
        """Leave one complete pair, whatever happened before; the first call of every start.

        Args:
            is_controllee_running: see `commit`.
            is_kept: what stands at the targets was kept as a conflict, so that it may be replaced (see `Outcome`).
        """
        damage: list[str] = []
        journal = self._read(self._journal, decode_journal, damage)
        outcome = Outcome.CLEAN
        if journal is not None:
            outcome = self._resume(journal, is_controllee_running, is_kept)
        elif damage:
            self._forget_journal()
        if outcome is not Outcome.FINISHED:
            self._held = self._read(self._truth, decode_held, damage)
        # The staged files of a mixture are still wanted.
        swept = self.sweep() if outcome is not Outcome.MIXED else ()
        htcondor, older = self._meet_htcondor(damage)
        return Recovery(outcome, self._held, htcondor, older, swept, tuple(damage))

    def restore_text(self) -> bool:
        """Write `$(SPOOL)/Version` again if somebody removed it, as condor_preen does; whether that was so."""
        if self._held is None or self._disk.facts(self.places.version_file) is not None:
            return False
        self._write_text(self._held.version)
        return True

    def sweep(self, number: int | None = None) -> tuple[Path, ...]:
        """Remove what killed transfers and interrupted replacements left; of one transferer only, if it is named.

        Without a number no transfer may be running.
        """
        return self.places.sweep(self._disk, number)

    def _digest_of(self, name: str, start: Start) -> str | None:
        """Give the digest of the head that a tail continues, if that is what this node holds."""
        files = () if self._held is None else self._held.files
        return next((file.sha256 for file in files if file.name == name and file.size_bytes == start), None)

    def _read(self, path: Path, decode: Callable[[bytes], Decoded], damage: list[str]) -> Decoded | None:
        """Read a document; a damaged one is said to be, and counts as absent."""
        try:
            return read_document(self._disk, path, decode)
        except DocumentError as error:
            damage.append(str(error))
            return None

    def _resume(self, journal: Journal, is_controllee_running: Callable[[], bool], is_kept: bool) -> Outcome:
        """Decide about a replacement that was under way, and do it."""
        done = [progress(self._disk, self.places, journal, place) for place in range(len(journal.moves))]
        is_headless = any(
            one is Progress.TOUCHED and move.start for one, move in zip(done, journal.moves, strict=True)
        )
        is_touched = Progress.TOUCHED in done and not is_kept
        is_blocked = is_touched or is_controllee_running()
        if not is_blocked and is_headless:
            self._hold_nothing()
            return Outcome.UNUSABLE
        if not is_blocked or all(one is Progress.DONE for one in done):
            self._finish(journal, is_controllee_running)
            return Outcome.FINISHED
        is_begun = any(
            one is Progress.HALF or (one is Progress.DONE and move.start is not None)
            for one, move in zip(done, journal.moves, strict=True)
        )
        # Between the two renames of a file system that cannot exchange, the old folder stands aside.
        outgoing = self.places.outgoing(journal.number)
        is_away = self.places.is_folder and self._disk.facts(outgoing) is not None
        if is_away and self._disk.facts(self.places.paths[0]) is None:
            self._disk.rename(outgoing, self.places.paths[0])
            self._disk.sync(outgoing.parent)
        elif is_away or is_begun:
            if not is_kept:
                return Outcome.MIXED
            self._hold_nothing()
            return Outcome.UNUSABLE
        self._forget_journal()
        return Outcome.ABANDONED

    def _finish(self, journal: Journal, is_controllee_running: Callable[[], bool]) -> None:
        """Do what the journal says, whatever part of it is done."""
        for place in range(len(journal.moves)):
            if progress(self._disk, self.places, journal, place) is not Progress.DONE:
                if is_controllee_running():
                    text = f"{self._journal}: was left undone for a running controllee"
                    raise DurableError(text, path=self._journal)
                perform(self._disk, self.places, journal, place)
        # An append in place changes no name.
        moved = [one for one, move in zip(self.places.paths, journal.moves, strict=True) if not move.start]
        for folder in {path.parent: None for path in moved}:
            self._disk.sync(folder)
        self._retire_text(journal.held.version)
        self._disk.replace(self._truth, encode_held(journal.held), mode=0o600, owner=self.places.owner)
        self._held = journal.held
        self._write_text(journal.held.version)
        self._forget_journal()
        tidy(self._disk, self.places, journal)

    def _hold_nothing(self) -> None:
        """Forget every version; the journal goes last, so that a crash on the way leads back here."""
        for path in (self.places.version_file, self._truth):
            self._disk.remove(path)
            self._disk.sync(path.parent)
        self._forget_journal()

    def _forget_journal(self) -> None:
        self._disk.remove(self._journal)
        self._disk.sync(self._journal.parent)

    def _retire_text(self, version: Version) -> None:
        """Durably remove a text that a power cut must not leave beside this version.

        An ancestor's would be put right. One that diverged would pass for HTCondor's, which ran in between.
        """
        point = self._read_text([])
        if point is not None and not version.has(point):
            self._disk.remove(self.places.version_file)
            self._disk.sync(self.places.version_file.parent)

    def _write_text(self, version: Version) -> None:
        """Tell HTCondor, should it ever run here again.

        It does not wait for the disk: an older version, or none, that stands there after a power cut is put right.
        """
        path, owner = self.places.version_file, self.places.owner
        self._disk.replace(path, version.text, mode=0o644, owner=owner, is_durable=False)

    def _meet_htcondor(self, damage: list[str]) -> tuple[Point | None, Point | None]:
        """Compare `$(SPOOL)/Version` with the truth: adopt what HTCondor left, write ours where it is missing."""
        point = self._read_text(damage)
        version = None if self._held is None else self._held.version
        if point is not None and (version is None or not version.has(point)):
            self.note(Held(Version.adopted(point)))
            return point, None
        if version is not None and point != version.point:
            self._write_text(version)
            return None, point
        return None, None

    def _read_text(self, damage: list[str]) -> Point | None:
        """Read `$(SPOOL)/Version`, None if it is missing or makes no sense."""
        path = self.places.version_file
        if self._disk.facts(path) is None:
            return None
        try:
            return parse_text_untrusted(self._disk.read(path, _TEXT_LIMIT_BYTES))
        except (VersionError, DurableError) as error:
            damage.append(f"{path}: {error}")
            return None
