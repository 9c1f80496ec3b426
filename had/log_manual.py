"""Writes the table of log events for the manual, from the table by which the daemon logs.

`python -m had.log_manual` prints the generated part of docs/reference/log-events.md; a test compares the two, so that
the manual has every event and no other.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from had.log_events import EVENTS


def _rows() -> Iterator[str]:
    yield "| event | weight | meaning |"
    yield "|---|---|---|"
    for name, (level, meaning) in EVENTS.items():
        yield f"| `{name}` | {logging.getLevelName(level.number).lower()} | {meaning} |"


def manual() -> str:
    """Return the generated part of the manual: each event with its weight and its sentence."""
    return "\n".join(_rows())


if __name__ == "__main__":
    print(manual())  # noqa: T201 -- printing is what it was started for
