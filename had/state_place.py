"""Where the controllee's state is on this host: one file, several, or a folder (STATE_FILE, hard case 21)."""

from __future__ import annotations

import os

import attrs


@attrs.frozen
class StatePlace:
    """The entries of STATE_FILE; a folder is the only one."""

    paths: tuple[str, ...] = ()

    @property
    def spelled(self) -> str:
        """HAD_STATE_FILE for the controllee: the paths, separated by blanks."""
        return " ".join(self.paths)

    def is_there(self) -> bool:
        """Whether any of it exists; an empty folder holds no state. What may not be looked at is not there."""
        return any(map(_is_there, self.paths))


def _is_there(path: str) -> bool:
    # (os.path and not pathlib, which raises for a folder that we may not search.)
    if not os.path.isdir(path):  # noqa: PTH112
        return os.path.exists(path)  # noqa: PTH110
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
