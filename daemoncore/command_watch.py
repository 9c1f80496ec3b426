"""Observes the command port for the log and the metrics.

What it tells must be in the daemon's table of events: `connection_refused` and `handler_failed`.
"""

from __future__ import annotations

from collections.abc import Callable

from daemoncore.cedar.commands import command_name
from daemoncore.cedar.handshake import Peer
from daemoncore.event_log import Tell


class CommandWatch:
    """A `ServerObserver`.

    Args:
        tell: is told of what is worth a line.
        count_refused: counts by reason.
    """

    def __init__(self, tell: Tell, count_refused: Callable[[str], None]) -> None:
        self._tell = tell
        self._count_refused = count_refused

    def command_received(self, command: int, peer: Peer, address: str) -> None:
        """A command reaches its handler; that is no news yet."""

    def connection_refused(self, reason: str, address: str, sentence: str, *, is_repeated: bool) -> None:
        """A connection was ended against its peer's will."""
        self._count_refused(reason)
        if not is_repeated:
            self._tell("connection_refused", reason=reason, address=address, text=sentence)

    def handler_failed(self, command: int, address: str, error: Exception) -> None:
        """A handler raised: a defect of ours, which ends one connection and not the daemon."""
        self._tell("handler_failed", command=command_name(command), address=address, error=repr(error))
