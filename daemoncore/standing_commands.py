"""DaemonCore's commands that every daemon takes: read the configuration again, stop, obey a signal, say who you are.

They are what HTCondor's tools send to a daemon: condor_reconfig, condor_off with its -peaceful and -force, condor_restart's
announcements, and a master that signals by message. The levels are HTCondor's (daemon_core_main.cpp): an ADMINISTRATOR
may have the configuration read and a daemon stopped, and a DAEMON may signal. How gently a daemon stops makes no difference to ours, so what only announces that is taken and does nothing.

What would read or change settings from afar (DC_CONFIG_VAL, DC_CONFIG_PERSIST, DC_CONFIG_RUNTIME) is no command of ours
and refused like any other that is none: the tool hears CMD_NOT_FOUND.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable
from typing import Final, Protocol

from daemoncore.authorization import Level
from daemoncore.cedar.commands import Command, command_name
from daemoncore.server import CommandServer
from daemoncore.server_connection import Request

INSTANCE_BYTES: Final = 16
"""The length of what DC_QUERY_INSTANCE is answered with (daemon_core_main.cpp, `handle_dc_query_instance`)."""

_FAST: Final = (Command.DC_OFF_FAST, Command.DC_OFF_FORCE)


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
        self._instance = secrets.token_hex(INSTANCE_BYTES // 2).encode("ascii")

    def register(self, server: CommandServer) -> None:
        """Offer every command."""
        for command in (Command.DC_RECONFIG, Command.DC_RECONFIG_FULL):
            server.register(command, Level.ADMINISTRATOR, self._reconfig, has_payload=False)
        for command in (Command.DC_OFF_GRACEFUL, Command.DC_OFF_PEACEFUL, *_FAST):
            server.register(command, Level.ADMINISTRATOR, self._off, has_payload=False)
        for command in (Command.DC_SET_PEACEFUL_SHUTDOWN, Command.DC_SET_FORCE_SHUTDOWN):
            server.register(command, Level.ADMINISTRATOR, self._announced, has_payload=False)
        server.register(Command.DC_RAISESIGNAL, Level.DAEMON, self._signal)
        server.register(Command.DC_QUERY_INSTANCE, Level.ALLOW, self._instance_asked, has_payload=False)

    async def _reconfig(self, request: Request) -> None:
        self._carried_out(request, "reading the configuration again")
        self._reload()

    async def _off(self, request: Request) -> None:
        self._carried_out(request, "stopping")
        self._stop(request.command in _FAST)

    async def _announced(self, request: Request) -> None:
        self._carried_out(request, "nothing to do: every stop is as gentle as it can be")

    async def _signal(self, request: Request) -> None:
        """Obey a signal that comes as a message; one that a daemon has no use for is ignored."""
        assert request.reader is not None, "the command has a payload"
        number = request.reader.get_int()
        request.reader.end()
        if number == signal.SIGHUP:
            self._carried_out(request, "SIGHUP: reading the configuration again")
            self._reload()
        elif number in {signal.SIGTERM, signal.SIGQUIT}:
            self._carried_out(request, f"{signal.Signals(number).name}: stopping")
            self._stop(number == signal.SIGQUIT)
        else:
            self._log_command(
                command_name(request.command),
                request.peer.identity.user,
                f"signal {number} is none that this daemon obeys",
                is_accepted=False,
            )

    async def _instance_asked(self, request: Request) -> None:
        """Tell the number that this process drew when it started: another one answers with another number."""
        await request.reply(request.writer().put_bytes(self._instance))

    def _carried_out(self, request: Request, text: str) -> None:
        user = request.peer.identity.user
        self._log_command(command_name(request.command), user, text, is_accepted=True)
