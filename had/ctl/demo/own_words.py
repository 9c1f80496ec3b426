"""What the demo's negotiator says of itself in its log, of one life: what it found, and what it wrote last.

Its lines are `started ... state=current ... used=61 ...` and `cycle=12 ... used=61`; what a cycle's line says is on
the disk by then.
"""

from __future__ import annotations

import re

import attrs

_STARTED = re.compile(r"^started .* state=(\S+) .*?\bused=(\d+) ", re.MULTILINE)
_CYCLE = re.compile(r"^cycle=\d+ .*\bused=(\d+)$", re.MULTILINE)


@attrs.frozen
class OwnWords:
    """One life, so far.

    Attributes:
        state: what `had` said of the accounts that it began with (HAD_STATE).
        found_seconds: what all users were charged for when it began.
        last_seconds: the same as of its last cycle.
    """

    state: str
    found_seconds: float
    last_seconds: float


def own_words(text: str) -> OwnWords | None:
    """Read the first life in a part of a log; None if it has not said anything yet."""
    started = _STARTED.search(text)
    if started is None:
        return None
    next_life = _STARTED.search(text, started.end())
    own = text[started.end() : next_life.start() if next_life else None]
    cycles = _CYCLE.findall(own)
    found = float(started[2])
    return OwnWords(started[1], found, float(cycles[-1]) if cycles else found)
