"""What was received, before it becomes the state: checked, given permissions and an owner, and made durable.

A peer's word is not taken for anything here. What is staged must be plain files and folders of exactly the announced
names and sizes, and what stands at the targets must be of the same kind; symbolic links are refused on both sides.
(The digests were verified by the transferer as the bytes came.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from replication.disk import Disk, Facts, Kind, walk
from replication.manifest import FileRecord
from replication.places import Places

#: Where the staged bytes of one file begin: 0, it is the whole file; N, they are appended at byte N; None, nothing is
#: staged and the file stays as it is.
Start: TypeAlias = int | None

_PLAIN: Final = {Kind.FILE, Kind.FOLDER}


class RefusedError(Exception):
    """A state is not taken: a link, a device, a wrong size, or something beside the configured paths."""


def check_targets(disk: Disk, places: Places) -> None:
    """Refuse to replace what is no plain file, or no plain folder.

    Raises:
        RefusedError: something else stands there, which is for the owner of this host to look at.
    """
    for path in places.paths:
        found = disk.facts(path)
        if found is not None and found.kind is not places.kind:
            raise RefusedError(
                f"{path}: the state is a {places.kind.value}; a {found.kind.value} stands there"
            )


def check_staged(
    disk: Disk,
    places: Places,
    number: int,
    files: Sequence[FileRecord],
    starts: Sequence[Start],
    spare: Sequence[int] = (),
) -> list[int]:
    """Refuse what is staged unless it is what the records say.

    Args:
        disk: where.
        places: where everything lies.
        number: in the names of what is staged.
        files: what the state will be.
        starts: where the staged bytes begin.
        spare: for each path how many bytes at the end of what stands there count for nothing; left out, none do.

    Returns:
        The inode of each staged file, or of the folder; 0 where nothing is staged.

    Raises:
        RefusedError: it is not.
    """
    wanted = {record.name: record.size_bytes for record in files}
    found: dict[str, int] = {}
    inodes = []
    for place, (path, start) in enumerate(zip(places.staged(number), starts, strict=True)):
        staged = None if start is None else _plain(disk, path, places.kind)
        inodes.append(0 if staged is None else staged.inode)
        if places.is_folder:
            found |= _sizes_inside(disk, path)
        else:
            excess_bytes = spare[place] if spare else 0
            found[str(place)] = _size_afterwards(disk, places.paths[place], start, staged, excess_bytes)
    if found != wanted:
        name = min(name for name in found.keys() | wanted if found.get(name) != wanted.get(name))
        sizes = f"received {found.get(name)}, announced {wanted.get(name)} bytes"
        raise RefusedError(f"what was received is not what was announced; {name}: {sizes}")
    return inodes


def _plain(disk: Disk, path: Path, kind: Kind) -> Facts:
    """Give the facts of what must be there and of this kind."""
    facts = disk.facts(path)
    if facts is None or facts.kind is not kind:
        raise RefusedError(f"{path}: a {kind.value} was to be received and is not there")
    return facts


def _sizes_inside(disk: Disk, folder: Path) -> dict[str, int]:
    """Give the files of a staged folder; anything but files and folders is refused."""
    entries = walk(disk, folder)
    odd = [f"{name} is a {facts.kind.value}" for name, facts in entries if facts.kind not in _PLAIN]
    if odd:
        raise RefusedError(f"{folder}: {odd[0]}; only files and folders are taken")
    return {name: facts.size_bytes for name, facts in entries if facts.kind is Kind.FILE}


def _size_afterwards(disk: Disk, target: Path, start: Start, staged: Facts | None, excess_bytes: int) -> int:
    """How much of a file will count: what is staged, behind what stays of the present one."""
    staged_bytes = 0 if staged is None else staged.size_bytes
    if start == 0:
        return staged_bytes
    present = _plain(disk, target, Kind.FILE).size_bytes - excess_bytes
    if start is not None and start != present:
        raise RefusedError(f"{target}: has {present} bytes; what was received continues it at byte {start}")
    return present + staged_bytes


def make_durable(
    disk: Disk, places: Places, number: int, files: Sequence[FileRecord], starts: Sequence[Start]
) -> None:
    """Give what is staged permissions and owner, and sync it with its names.

    They are those of what it replaces; where nothing is, the announced mode and the configured owner.
    """
    modes = {record.name: record.mode for record in files}
    for place, (new, old) in enumerate(zip(places.staged(number), places.paths, strict=True)):
        if starts[place] is None:
            continue
        if not places.is_folder:
            _assume(disk, places, new, old, modes[str(place)])
        else:
            for name, facts in reversed(walk(disk, new)):
                _assume(disk, places, new / name, old / name, modes.get(name, facts.mode))
            _assume(disk, places, new, old, 0o700)
        disk.sync(new.parent)


def _assume(disk: Disk, places: Places, new: Path, old: Path, mode: int) -> None:
    """Make one staged name durable, with permissions and owner of what it replaces if that is of its kind."""
    found, replaced = disk.facts(new), disk.facts(old)
    if found is not None and replaced is not None and found.kind is replaced.kind:
        disk.assume(new, replaced.mode, replaced.owner)
    else:
        disk.assume(new, mode, places.owner)
    disk.sync(new)
