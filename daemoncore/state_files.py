"""The paths that STATE_FILE names: one file, several, or a folder."""

from __future__ import annotations

import re
from typing import Final

from daemoncore.config import Configuration

_BETWEEN: Final = re.compile(r"[,\s]+(?=/)")
"""Between two paths. All are absolute, so a blank that no slash follows belongs to a path, as it does in HTCondor."""


def state_paths(configuration: Configuration) -> tuple[str, ...]:
    """Return the entries of STATE_FILE as they are spelled, a folder's perhaps with its slash; none if it is not set."""
    text = (configuration.text("STATE_FILE") or "").strip(" \t,")
    return tuple(_BETWEEN.split(text)) if text else ()
