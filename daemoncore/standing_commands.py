"""DaemonCore's commands that every daemon takes: read the configuration again, and stop.

The levels are HTCondor's: whoever may WRITE may have the configuration read, and an ADMINISTRATOR may stop a daemon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from daemoncore.authorization import Level
from daemoncore.cedar.commands import Command, command_name
from daemoncore.server import CommandServer
from daemoncore.server_connection import Request


class LogCommand(Protocol):
    """Who is told of operators' commands."""

    def __call__(self, command: str, by: str, answer: str, *, is_accepted: bool) -> None:
        """A command was answered."""


class StandingCommands:
    """Their handlers.

    Args:
        reload: has the configuration read again, soon.
        stop: ends the daemon, at once if told so.
        log_command: is told.
    """

    def __init__(
        self, reload: Callable[[], None], stop: Callable[[bool], None], log_command: LogCommand
    ) -> None:
        self._reload = reload
        self._stop = stop
        self._log_command = log_command

    def register(self, server: CommandServer) -> None:
        """Offer every command."""
        for command in (Command.DC_RECONFIG, Command.DC_RECONFIG_FULL):
            server.register(command, Level.WRITE, self._reconfig, has_payload=False)
        for command in (Command.DC_OFF_GRACEFUL, Command.DC_OFF_FAST):
            server.register(command, Level.ADMINISTRATOR, self._off, has_payload=False)

    async def _reconfig(self, request: Request) -> None:
        self._carried_out(request, "reading the configuration again")
        self._reload()

    async def _off(self, request: Request) -> None:
        self._carried_out(request, "stopping")
        self._stop(request.command == Command.DC_OFF_FAST)

    def _carried_out(self, request: Request, text: str) -> None:
        user = request.peer.identity.user
        self._log_command(command_name(request.command), user, text, is_accepted=True)
