"""Writes a daemon's events as log lines; each event is a row of the daemon's own table, which gives its weight."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from daemoncore.log import log_event
from daemoncore.log_levels import Level


class Tell(Protocol):
    """Who is told of an event that is worth a line."""

    def __call__(self, event: str, **fields: object) -> None:
        """Something happened; `event` is a name of the daemon's table."""


class EventLog:
    """A `Tell` that writes lines.

    Args:
        logger: where they go.
        events: weight and meaning of each event by its name.
    """

    def __init__(self, logger: logging.Logger, events: Mapping[str, tuple[Level, str]]) -> None:
        self._logger = logger
        self._events = events

    def __call__(self, event: str, **fields: object) -> None:
        """Write one."""
        level, _meaning = self._events[event]
        log_event(self._logger, level, event, **fields)
