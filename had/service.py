"""What the daemon answers on its command port: peers' messages, operators' requests, DaemonCore's own commands.

A handler decodes, checks that the sender is where it claims to be, and posts an event; it never decides. A message is
answered by the machine's own next message, not here. The levels are HTCondor's: DAEMON for members,
ADMINISTRATOR for who changes something, READ for who looks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable

import attrs
import trio

from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command, command_name
from daemoncore.payloads import ad_of, operator_of, reason_of
from daemoncore.server import CommandServer
from daemoncore.server_connection import Request
from daemoncore.standing_commands import LogCommand, StandingCommands
from daemoncore.streams import Streams
from had import messages
from had.election_settings import Member
from had.events import (
    Answer,
    Event,
    Heard,
    Kind,
    Message,
    Pause,
    PauseRequested,
    RestartRequested,
    ResumeRequested,
    SwitchoverRequested,
)
from had.overheard import Overheard

ANSWER_SECONDS = 5.0
"""The machine answers a request in its next turn; a loop slower than this is stuck."""

SILENT_TIMEOUTS = 4
"""A member's stream that is silent for so many T is a dead host's; it speaks each T/4, and dials anew if it lives."""


@attrs.frozen
class Reins:
    """What the handlers may do with the daemon."""

    post: Callable[[Event], None]
    #: Where the machine's answers to numbered requests go.
    answers: dict[int, Callable[[Answer], None]]
    #: All other members.
    members: Callable[[], Iterable[Member]]
    #: A member of ours reached us.
    heard: Callable[[Member], None]
    #: Whether our connection to a member is open and one of ours answered it.
    is_ours: Callable[[Member], bool]
    status: Callable[[], str]
    #: HAD_CONNECTION_TIMEOUT, which can change.
    timeout_seconds: Callable[[], float]
    reload: Callable[[], None]
    stop: Callable[[bool], None]
    wall_clock: Callable[[], float]
    reject: Callable[[Member, str, str], None]
    #: The member whose entry, as the configuration spells it or as a number, is this text.
    find: Callable[[str], Member | None]
    log_command: LogCommand


class Service:
    """The command handlers of one daemon."""

    def __init__(self, reins: Reins) -> None:
        self._reins = reins
        self._numbers = itertools.count(1)
        self._streams = Streams(reins.heard, lambda: SILENT_TIMEOUTS * reins.timeout_seconds())
        self._standing = StandingCommands(reins.reload, reins.stop, reins.log_command)

    def register(self, server: CommandServer) -> None:
        """Offer every command."""
        server.register(Command.HAD_ALIVE_CMD, Level.DAEMON, self._alive, when_lost=self._alive_lost)
        server.register(Command.HAD_SEND_ID_CMD, Level.DAEMON, self._send_id)
        server.register(Command.HAD_HEARTBEAT, Level.DAEMON, self._heartbeats, is_kept_open=True)
        server.register(Command.HAD_STATUS, Level.READ, self._status)
        server.register(Command.HAD_SWITCHOVER, Level.ADMINISTRATOR, self._switchover)
        server.register(Command.HAD_PAUSE, Level.ADMINISTRATOR, self._pause)
        server.register(Command.HAD_RESUME, Level.ADMINISTRATOR, self._resume)
        server.register(Command.HAD_RESTART, Level.ADMINISTRATOR, self._restart)
        self._standing.register(server)

    # --- members ----------------------------------------------------------------------------------------------

    async def _alive(self, request: Request) -> None:
        self._take(request, ad_of(request), Kind.ALIVE)

    def _alive_lost(self, address: str) -> None:
        """A real leader spoke to the daemon that ran here before us."""
        for member in self._reins.members():
            if member.rpartition(":")[0].strip("[]") == address:
                self._reins.post(Overheard(member))

    async def _send_id(self, request: Request) -> None:
        self._take(request, ad_of(request), Kind.SEND_ID)

    async def _heartbeats(self, request: Request) -> None:
        """A member's stream: the first message came with the command, each other one brings its own."""
        await self._streams.follow(
            request, Command.HAD_HEARTBEAT, lambda ad: self._take(request, ad, Kind.HEARTBEAT)
        )

    def is_streaming(self, member: Member) -> bool:
        """Whether a connection of this member's is open."""
        return self._streams.is_streaming(member)

    def _take(self, request: Request, ad: ClassAd, kind: Kind) -> Member | None:
        """Hand a message to the machine and return its sender; None if it does not come from there."""
        message = messages.decode_untrusted(ad, kind)
        trouble = self._impostor(request, message)
        if trouble is not None:
            self._reins.reject(message.sender, "wrong_address", trouble)
            return None
        if message.is_ours:
            self._reins.heard(message.sender)
        self._reins.post(Heard(message, kind))
        return message.sender

    def _impostor(self, request: Request, message: Message) -> str | None:
        """Return why the sender cannot be who it says it is, or None.

        Our daemons speak from the address that they listen on. A real condor_had need not, but none can be where our own
        connection has found one of ours.
        """
        host = message.sender.rpartition(":")[0].strip("[]")
        if message.is_ours:
            return (
                None if host == request.address else f"{message.sender} does not speak from {request.address}"
            )
        if self._reins.is_ours(message.sender):
            return (
                f"{message.sender} is a daemon of ours, and {request.address} speaks for it as a condor_had"
            )
        return None

    # --- operators --------------------------------------------------------------------------------------------

    async def _status(self, request: Request) -> None:
        ad_of(request)
        await request.reply(request.writer().put_string(self._reins.status()))

    async def _switchover(self, request: Request) -> None:
        ad, by = operator_of(request)
        entry = ad.get_string("To", "")
        to = self._reins.find(entry) if entry else None
        if entry and to is None:
            await self._reply(request, by, is_accepted=False, text=f"{entry} is no member of HAD_LIST")
            return
        reason, since = reason_of(ad), self._reins.wall_clock()
        await self._ask(request, by, lambda n: SwitchoverRequested(n, to, by, reason, since))

    async def _pause(self, request: Request) -> None:
        ad, by = operator_of(request)
        seconds, now = ad.get_float("Seconds"), self._reins.wall_clock()
        if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
            await self._reply(
                request, by, is_accepted=False, text=f"a pause lasts more than 0 s (got {seconds})"
            )
            return
        until = None if seconds is None else now + seconds
        pause = Pause(by, reason_of(ad), now, until, seconds)
        await self._ask(request, by, lambda n: PauseRequested(n, pause))

    async def _resume(self, request: Request) -> None:
        _, by = operator_of(request)
        await self._ask(request, by, ResumeRequested)

    async def _restart(self, request: Request) -> None:
        _, by = operator_of(request)
        await self._ask(request, by, RestartRequested)

    async def _ask(self, request: Request, by: str, make: Callable[[int], Event]) -> None:
        """Put a request to the machine and send its answer back."""
        number = next(self._numbers)
        send, receive = trio.open_memory_channel[Answer](1)
        self._reins.answers[number] = send.send_nowait
        self._reins.post(make(number))
        with trio.move_on_after(ANSWER_SECONDS):
            answer = await receive.receive()
            await self._reply(request, by, is_accepted=answer.is_accepted, text=answer.text)
            return
        self._reins.answers.pop(number, None)
        await self._reply(request, by, is_accepted=False, text="the daemon's loop did not answer")

    async def _reply(self, request: Request, by: str, *, is_accepted: bool, text: str) -> None:
        self._reins.log_command(command_name(request.command), by, text, is_accepted=is_accepted)
        ad = ClassAd({"Accepted": is_accepted, "Text": text})
        await request.reply(request.writer().put_ad(ad))
