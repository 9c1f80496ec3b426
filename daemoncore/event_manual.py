"""Writes a daemon's table of log events for the manual, from the table by which it logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from daemoncore.log_levels import Level


def manual_of(events: Mapping[str, tuple[Level, str]]) -> str:
    """Return the generated part of the manual: each event with its weight and its sentence."""
    return "\n".join(_rows(events))


def _rows(events: Mapping[str, tuple[Level, str]]) -> Iterator[str]:
    yield "| event | weight | meaning |"
    yield "|---|---|---|"
    for name, (level, meaning) in events.items():
        yield f"| `{name}` | {logging.getLevelName(level.number).lower()} | {meaning} |"
