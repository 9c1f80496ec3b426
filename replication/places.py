"""Where the state of this node lies, and what staged and left-over files beside it are called.

All of it follows from this node's own configuration and a transferer's pid; no peer has a say in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import attrs

from replication.disk import Disk, Kind, remove_tree

TRUTH_NAME: Final = "version.json"
JOURNAL_NAME: Final = "commit.json"

#: What a transferer, an interrupted commit or an interrupted replacement may leave beside a file.
_LEFTOVER: Final = re.compile(r"\.\d+\.(down|up|old|tmp)")


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

    @property
    def kind(self) -> Kind:
        """What stands at each of `paths`."""
        return Kind.FOLDER if self.is_folder else Kind.FILE

    def staged(self, number: int) -> tuple[Path, ...]:
        """Where a transferer with this pid puts what it receives: beside the targets, on the same file system."""
        return tuple(path.with_name(f"{path.name}.{number}.down") for path in self.paths)

    def outgoing(self, number: int) -> Path:
        """Where a folder goes for a moment if the file system cannot exchange two names."""
        return self.paths[0].with_name(f"{self.paths[0].name}.{number}.old")

    @property
    def truth(self) -> Path:
        """Our own record of what this node holds."""
        return self.folder / TRUTH_NAME

    @property
    def journal(self) -> Path:
        """The record of a replacement that is under way."""
        return self.folder / JOURNAL_NAME

    def sweep(self, disk: Disk, number: int | None = None) -> tuple[Path, ...]:
        """Remove what killed transfers and interrupted replacements left, and say what it was.

        Args:
            disk: where.
            number: only what the transferer with this pid left; None for everything, when no transfer is running.
        """
        stems = {path: path.name for path in self.paths}
        stems |= {path: f".{path.name}" for path in (self.version_file, self.truth, self.journal)}
        swept = []
        for path, stem in stems.items():
            for name in disk.names(path.parent):
                rest = name.removeprefix(stem)
                is_ours = rest != name and _LEFTOVER.fullmatch(rest) is not None
                if is_ours and (number is None or rest.split(".")[1] == str(number)):
                    remove_tree(disk, path.with_name(name))
                    swept.append(path.with_name(name))
        return tuple(swept)
