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
3. Each new file is renamed over its target; a folder changes places with its target (RENAME_EXCHANGE).
4. The truth is written, then `$(SPOOL)/Version`.
5. The journal is removed, then what the folder used to be.

`recover`, at every start, finds no journal: then nothing happened, and staged files are swept. Or it finds one: then
steps 3 to 5 are done again, and each finds out whether it was done before: a staged file that is gone was renamed; a
folder is the new one if its inode is. So one complete pair is left after any crash, and a crash of the recovery.

Nothing is ever renamed over the state of a running controllee: it would keep writing to a file without a name.
Callers pass `is_controllee_running`; it is asserted before every rename. A journal that is found while one runs, or
whose targets were written to since, is rolled back if nothing was renamed yet. If some of several files were, there
is no way back or on (`Outcome.MIXED`): the caller stops the controllee, keeps what is there as a conflict, and calls
`recover` with `is_kept`, which then finishes.

Symbolic links, devices and anything beside the configured paths are refused. New files get the permissions and the
owner of what they replace; where nothing was, those that the leader's have, and the configured owner.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import attrs

from daemoncore.durable import DurableError
from replication.disk import Disk, Kind, RealDisk, remove_tree, walk
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
from replication.manifest import FileRecord, Held
from replication.version import Point, Version, VersionError, parse_text_untrusted

TRUTH_NAME: Final = "version.json"
JOURNAL_NAME: Final = "commit.json"

#: What a transferer, an interrupted commit or an interrupted replacement may leave beside a file.
_LEFTOVER: Final = re.compile(r"\.\d+\.(down|up|old|tmp)")

#: A version file that is longer is not HTCondor's.
_TEXT_LIMIT_BYTES: Final = 4096


class RefusedError(Exception):
    """A state is not taken: a link, a device, a wrong size, or something beside the configured paths."""


@attrs.frozen
class Places:
    """Where everything lies; all of it from this node's own configuration.

    Attributes:
        paths: the files of STATE_FILE in their order, or the one folder.
        is_folder: STATE_FILE is a folder.
        version_file: `$(SPOOL)/Version`.
        folder: our own, claimed in HAD_DIR.
        owner: user and group ids of new files, when started as root; None leaves them.
    """

    paths: tuple[Path, ...]
    is_folder: bool
    version_file: Path
    folder: Path
    owner: tuple[int, int] | None = None

    def __attrs_post_init__(self) -> None:
        assert self.paths, "a state has at least one file"
        assert all(path.is_absolute() for path in (*self.paths, self.version_file, self.folder))
        assert len({*self.paths, self.version_file}) == len(self.paths) + 1, "two files of the state are one"
        assert not self.is_folder or len(self.paths) == 1, "a state is files or one folder"

    def staged(self, number: int) -> tuple[Path, ...]:
        """Where a transferer with this pid puts what it receives: beside the targets, on the same file system."""
        return tuple(path.with_name(f"{path.name}.{number}.down") for path in self.paths)

    def outgoing(self, number: int) -> Path:
        """Where a folder goes for a moment if the file system cannot exchange two names."""
        return self.paths[0].with_name(f"{self.paths[0].name}.{number}.old")


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
        self._truth = places.folder / TRUTH_NAME
        self._journal = places.folder / JOURNAL_NAME
        self._held: Held | None = None

    @property
    def held(self) -> Held | None:
        """What this node holds, as of the last `recover`, `note` or `commit`."""
        return self._held

    def note(self, held: Held) -> None:
        """Record the version of the state that is there, or that another node has it; durable on return."""
        self._disk.replace(self._truth, encode_held(held), mode=0o600, owner=self.places.owner)
        self._held = held
        self._write_text(held.version)

    def commit(self, number: int, held: Held, *, is_controllee_running: Callable[[], bool]) -> None:
        """Replace the state by what is staged, and the version with it; durable on return.

        Args:
            number: in the names of the staged files.
            held: what this node holds afterwards; its files are those that are staged.
            is_controllee_running: asked before every rename, which it must not allow.

        Raises:
            RefusedError: what is staged is not what `held` says, or may not stand there; nothing was changed.
            DurableError: the disk failed. Before the journal was written nothing has changed; afterwards `recover`
                finishes the work, and must run before anything else does.
        """
        staged = self.places.staged(number)
        self._check_targets()
        inodes = self._check_staged(staged, held.files)
        self._prepare(staged, held.files)
        signatures = [signature(self._disk, path) for path in self.places.paths]
        moves = tuple(Move(inode, before) for inode, before in zip(inodes, signatures, strict=True))
        journal = Journal(held, number, moves)
        assert not is_controllee_running(), "a commit under a running controllee"
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

    def sweep(self, number: int | None = None) -> tuple[Path, ...]:
        """Remove what killed transfers and interrupted replacements left; of one transferer only, if it is named.

        Without a number no transfer may be running.
        """
        names = {path: path.name for path in self.places.paths}
        names[self.places.version_file] = f".{self.places.version_file.name}"
        names |= {path: f".{path.name}" for path in (self._truth, self._journal)}
        swept = []
        for path, stem in names.items():
            for name in self._disk.names(path.parent):
                rest = name.removeprefix(stem)
                is_ours = rest != name and _LEFTOVER.fullmatch(rest) is not None
                if is_ours and (number is None or rest.split(".")[1] == str(number)):
                    remove_tree(self._disk, path.with_name(name))
                    swept.append(path.with_name(name))
        return tuple(swept)

    def _read(self, path: Path, decode: Callable[[bytes], Decoded], damage: list[str]) -> Decoded | None:
        """Read a document; a damaged one is said to be, and counts as absent."""
        try:
            return read_document(self._disk, path, decode)
        except DocumentError as error:
            damage.append(str(error))
            return None

    def _check_targets(self) -> None:
        """Refuse to replace what is no plain file, or no plain folder."""
        wanted = Kind.FOLDER if self.places.is_folder else Kind.FILE
        for path in self.places.paths:
            found = self._disk.facts(path)
            if found is not None and found.kind is not wanted:
                raise RefusedError(
                    f"{path}: the state is a {wanted.value}, and a {found.kind.value} stands there"
                )

    def _check_staged(self, staged: Sequence[Path], files: Sequence[FileRecord]) -> list[int]:
        """Refuse what is staged unless it is what the records say, and nothing but plain files and folders.

        Returns:
            The inode of each staged file, or of the folder.
        """
        inodes = []
        wanted = {record.name: record.size_bytes for record in files}
        found: dict[str, int] = {}
        for place, path in enumerate(staged):
            facts = self._disk.facts(path)
            kind = Kind.FOLDER if self.places.is_folder else Kind.FILE
            if facts is None or facts.kind is not kind:
                raise RefusedError(f"{path}: a {kind.value} was to be received and is not there")
            inodes.append(facts.inode)
            entries = walk(self._disk, path) if self.places.is_folder else [(str(place), facts)]
            for name, entry in entries:
                if entry.kind not in {Kind.FILE, Kind.FOLDER}:
                    raise RefusedError(
                        f"{path}: {name} is a {entry.kind.value}; only files and folders are taken"
                    )
                if entry.kind is Kind.FILE:
                    found[name] = entry.size_bytes
        if found != wanted:
            name = min(name for name in found.keys() | wanted if found.get(name) != wanted.get(name))
            sizes = f"received {found.get(name)}, announced {wanted.get(name)} bytes"
            raise RefusedError(f"what was received is not what was announced; {name}: {sizes}")
        return inodes

    def _prepare(self, staged: Sequence[Path], files: Sequence[FileRecord]) -> None:
        """Give the staged files permissions and owners, and make all of them durable."""
        modes = {record.name: record.mode for record in files}
        for place, (new, old) in enumerate(zip(staged, self.places.paths, strict=True)):
            if not self.places.is_folder:
                self._assume(new, old, modes[str(place)])
            else:
                for name, facts in reversed(walk(self._disk, new)):
                    self._assume(new / name, old / name, modes.get(name, facts.mode))
                self._assume(new, old, 0o700)
            self._disk.sync(new.parent)

    def _assume(self, new: Path, old: Path, mode: int) -> None:
        """Make one staged name durable, with permissions and owner of what it replaces, if that is of its kind."""
        found, replaced = self._disk.facts(new), self._disk.facts(old)
        if found is not None and replaced is not None and found.kind is replaced.kind:
            self._disk.assume(new, replaced.mode, replaced.owner)
        else:
            self._disk.assume(new, mode, self.places.owner)
        self._disk.sync(new)

    def _resume(self, journal: Journal, is_controllee_running: Callable[[], bool], is_kept: bool) -> Outcome:
        """Decide about a replacement that was under way, and do it."""
        pending = [place for place in range(len(journal.moves)) if not self._is_moved(journal, place)]
        is_blocked = is_controllee_running() or not (
            is_kept or all(self._is_untouched(journal, place) for place in pending)
        )
        if not pending or not is_blocked:
            self._finish(journal, is_controllee_running)
            return Outcome.FINISHED
        # Between the two renames of a file system that cannot exchange, the old folder stands aside.
        outgoing = self.places.outgoing(journal.number)
        is_away = self.places.is_folder and self._disk.facts(outgoing) is not None
        if is_away and self._disk.facts(self.places.paths[0]) is None:
            self._disk.rename(outgoing, self.places.paths[0])
            self._disk.sync(outgoing.parent)
        elif is_away or len(pending) < len(journal.moves):
            return Outcome.MIXED
        self._forget_journal()
        return Outcome.ABANDONED

    def _is_moved(self, journal: Journal, place: int) -> bool:
        """Whether a target is the new one already. Only we rename what is staged, so gone means renamed."""
        if self.places.is_folder:
            found = self._disk.facts(self.places.paths[place])
            return found is not None and found.inode == journal.moves[place].inode
        return self._disk.facts(self.places.staged(journal.number)[place]) is None

    def _is_untouched(self, journal: Journal, place: int) -> bool:
        """Whether a target that was not replaced yet still is what it was when the journal was written."""
        return signature(self._disk, self.places.paths[place]) == journal.moves[place].before

    def _finish(self, journal: Journal, is_controllee_running: Callable[[], bool]) -> None:
        """Do what the journal says, whatever part of it is done."""
        staged = self.places.staged(journal.number)
        for place, path in enumerate(self.places.paths):
            if not self._is_moved(journal, place):
                assert not is_controllee_running(), "a rename over the state of a running controllee"
                self._move(staged[place], path, journal.number)
        for folder in {path.parent: None for path in self.places.paths}:
            self._disk.sync(folder)
        self._disk.replace(self._truth, encode_held(journal.held), mode=0o600, owner=self.places.owner)
        self._held = journal.held
        self._write_text(journal.held.version)
        self._forget_journal()
        if self.places.is_folder:
            remove_tree(self._disk, staged[0])
            remove_tree(self._disk, self.places.outgoing(journal.number))

    def _move(self, new: Path, old: Path, number: int) -> None:
        """Let a staged file or folder take its place."""
        if not self.places.is_folder or self._disk.facts(old) is None:
            self._disk.rename(new, old)
        elif not self._disk.exchange(new, old):
            remove_tree(self._disk, self.places.outgoing(number))
            self._disk.rename(old, self.places.outgoing(number))
            self._disk.rename(new, old)

    def _forget_journal(self) -> None:
        self._disk.remove(self._journal)
        self._disk.sync(self._journal.parent)

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
