"""Signals that come while a daemon starts, before its loop can take them.

Reading a configuration may take seconds (a name server, an included command). Without a handler SIGHUP would end the
daemon then, although whoever sends it only wants the configuration read, and SIGTERM would end it with another exit
status than the one of a daemon that was asked to stop.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Signals that ask a daemon to stop."""


class EarlySignals:
    """Keeps signals until somebody takes them, and ends a process that has nothing to lose yet.

    Args:
        exit_status: that of a daemon that was asked to stop.
    """

    def __init__(self, exit_status: int = 0) -> None:
        self._exit_status = exit_status
        self._has_begun = False
        self._kept: list[int] = []

    def install(self) -> None:
        """From now on SIGHUP is kept, and a signal to stop ends the process at once."""
        for number in (*STOPPING, signal.SIGHUP):
            signal.signal(number, self._take)

    def begin(self) -> None:
        """The daemon proper begins, and has more to do on its way out: signals to stop are kept too."""
        self._has_begun = True

    def take(self, act: Callable[[int], None]) -> None:
        """Act on what was kept, in order."""
        while self._kept:
            act(self._kept.pop(0))

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if number in STOPPING and not self._has_begun:
            raise SystemExit(self._exit_status)
        self._kept.append(number)
