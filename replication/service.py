"""What the replication daemon answers on its command port: replicas, transferers, had, and operators.

A handler decodes, checks that the sender is where it claims to be, and posts an event; it never decides. Who wants the
state hands its connection over with the question: the machine's answer is a transferer that goes on with it, or its end.
The levels are HTCondor's: DAEMON for replicas, transferers and had, ADMINISTRATOR for who changes something, READ for who
looks.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs

from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.stream_state import StreamState
from daemoncore.payloads import ad_of, operator_of, payload
from daemoncore.server import CommandServer
from daemoncore.server_connection import Request
from daemoncore.streams import Streams
from replication import messages
from replication.attendance import Attendance
from replication.events import (
    CondorCommand,
    Event,
    Heard,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
)
from replication.replica_settings import Member

SILENT_TIMEOUTS: Final = 4
"""A replica's stream that is silent for so many T is a dead host's; it speaks three times in each T."""

#: What a real condor_had says, and what that means. It is not answered (hard case 17).
_CONDOR_HAD: Final[dict[int, Event | None]] = {
    Command.HAD_BEFORE_PASSIVE_STATE: None,
    Command.HAD_AFTER_ELECTION_STATE: LeadershipBegan(None),
    Command.HAD_IN_LEADER_STATE: LeadershipConfirmed(None),
    Command.HAD_AFTER_LEADER_STATE: LeadershipEnded(is_stopped=False),
}


@attrs.frozen
class Asked:
    """Somebody who wants the state, with the connection on which it is to be sent.

    Attributes:
        peer: the replica it asks for.
        protocol: `ours`, `condor` or `callback`.
        stream: what has been agreed on the connection, None where the uploader calls back.
        descriptor: of the socket, to be closed by whoever takes this; -1 where the uploader calls back.
        call_back_address: where it does.
        archive: which kept copy is wanted instead of the state: `conflicts` or `ancestors`, with its identifier.
    """

    peer: Member
    protocol: str
    stream: StreamState | None = None
    descriptor: int = -1
    call_back_address: str = ""
    archive: tuple[str, str] | None = None


@attrs.frozen
class Reins:
    """What the handlers may do with the daemon."""

    post: Callable[[Event], None]
    #: Takes who wants the state.
    upload: Callable[[Asked], None]
    #: The members as they are at present.
    members: Callable[[], Sequence[Member]]
    #: Whether a numeric address is this host's own.
    is_own_host: Callable[[str], bool]
    #: This node's own address.
    me: Member
    #: Whether our connection to a member is open and one of ours answered it.
    is_ours: Callable[[Member], bool]
    #: HAD_CONNECTION_TIMEOUT, which can change.
    timeout_seconds: Callable[[], float]
    #: A member reached us.
    heard: Callable[[Member], None]
    status: Callable[[], str]
    #: What an operator wants of a conflict: whether it was done, a sentence, and a document if there is one.
    conflict: Callable[[ClassAd, str], Awaitable[tuple[bool, str, str | None]]]
    reject: Callable[[Member, str, str], None]


class Service:
    """The command handlers of one daemon."""

    def __init__(self, reins: Reins, attendance: Attendance) -> None:
        self._reins = reins
        self._attendance = attendance
        self._streams = Streams(reins.heard, lambda: SILENT_TIMEOUTS * reins.timeout_seconds())

    def register(self, server: CommandServer) -> None:
        """Offer every command."""
        for said in CondorCommand:
            server.register(said.value, Level.DAEMON, self._condor_said)
        for command in _CONDOR_HAD:
            server.register(command, Level.DAEMON, self._condor_had)
        server.register(Command.REPLICATION_TRANSFER_FILE, Level.DAEMON, self._asked_to_call_back)
        server.register(Command.REPLICATION_TRANSFER_FILE_NEW, Level.DAEMON, self._asked_by_condor)
        server.register(Command.REPLICATION_FETCH, Level.DAEMON, self._asked_by_ours)
        server.register(Command.REPLICATION_REPORT, Level.DAEMON, self._reports, is_kept_open=True)
        server.register(Command.REPLICATION_ATTEND, Level.DAEMON, self._attend, is_kept_open=True)
        server.register(Command.REPLICATION_STATUS, Level.READ, self._status)
        server.register(Command.REPLICATION_CONFLICT, Level.ADMINISTRATOR, self._conflict)

    def is_streaming(self, member: Member) -> bool:
        """Whether a connection of this member's is open."""
        return self._streams.is_streaming(member)

    # --- replicas ---------------------------------------------------------------------------------------------

    async def _reports(self, request: Request) -> None:
        """A replica's stream of reports."""

        def take(ad: ClassAd) -> Member | None:
            report = messages.decode_report_untrusted(ad)
            if not self._is_from(request, report.sender):
                return None
            self._reins.heard(report.sender)
            self._reins.post(Heard(report))
            return report.sender

        await self._streams.follow(request, Command.REPLICATION_REPORT, take)

    def _is_from(self, request: Request, sender: Member) -> bool:
        """Whether a daemon of ours speaks from the address that it listens on, as they do."""
        if sender.rpartition(":")[0].strip("[]") == request.address:
            return True
        self._reins.reject(sender, "wrong_address", f"{sender} does not speak from {request.address}")
        return False

    async def _condor_said(self, request: Request) -> None:
        said = messages.read_condor_untrusted(payload(request), CondorCommand(request.command))
        if self._reins.is_ours(said.peer):
            text = f"{said.peer} is a daemon of ours, and {request.address} speaks for it as a condor_replication"
            self._reins.reject(said.peer, "wrong_address", text)
            return
        self._reins.heard(said.peer)
        self._reins.post(said)

    # --- who wants the state ----------------------------------------------------------------------------------

    async def _asked_by_ours(self, request: Request) -> None:
        ad = ad_of(request)
        sender = messages.member_untrusted(ad.get_string("ReplicationSender", ""))
        if not self._is_from(request, sender):
            _hang_up(request)
            return
        archive = ad.get_string("ReplicationArchive")
        wanted = None if archive is None else (archive, ad.get_string("ReplicationIdentifier", ""))
        stream, descriptor = request.hand_over()
        self._reins.upload(Asked(sender, "ours", stream, descriptor, archive=wanted))

    async def _asked_by_condor(self, request: Request) -> None:
        """A real condor_transferer says an empty string, and nothing of who it is but its address."""
        reader = payload(request)
        reader.get_string()
        reader.end()
        peer = self._member_at(request.address)
        if peer is None:
            self._reins.reject(request.address, "not_a_member", "no replica has this address")
            _hang_up(request)
            return
        stream, descriptor = request.hand_over()
        self._reins.upload(Asked(peer, "condor", stream, descriptor))

    async def _asked_to_call_back(self, request: Request) -> None:
        """The transfer of HTCondor before 8.7.4: the uploader calls the address that the message names."""
        reader = payload(request)
        address = messages.sender_untrusted(reader)
        reader.end()
        host = address.rpartition(":")[0].strip("[]")
        peer = self._member_at(host)
        if host != request.address or peer is None:
            self._reins.reject(address, "wrong_address", f"{request.address} asks for a call to {address}")
            return
        self._reins.upload(Asked(peer, "callback", call_back_address=address))

    def _member_at(self, host: str) -> Member | None:
        """The replica at a host that is not one of ours, or none."""
        found = [m for m in self._reins.members() if m.rpartition(":")[0].strip("[]") == host]
        strangers = [m for m in found if not self._reins.is_ours(m)]
        return next(iter((*strangers, *found)), None)

    # --- had --------------------------------------------------------------------------------------------------

    async def _attend(self, request: Request) -> None:
        if request.address != self._reins.me.rpartition(":")[0].strip("[]"):
            self._reins.reject(request.address, "wrong_address", "had attends from its own host only")
            return
        await self._attendance.attend(request)

    async def _condor_had(self, request: Request) -> None:
        reader = payload(request)
        messages.sender_untrusted(reader)
        reader.end()
        if not self._reins.is_own_host(request.address):
            self._reins.reject(request.address, "wrong_address", "had speaks from its own host only")
            return
        event = _CONDOR_HAD[request.command]
        # Beside a had of ours nobody else has a say in who leads here.
        if event is not None and not self._attendance.is_present:
            self._attendance.heard(event)

    # --- operators --------------------------------------------------------------------------------------------

    async def _status(self, request: Request) -> None:
        ad_of(request)
        await request.reply(request.writer().put_string(self._reins.status()))

    async def _conflict(self, request: Request) -> None:
        ad, by = operator_of(request)
        is_accepted, text, document = await self._reins.conflict(ad, by)
        answer = ClassAd({"Accepted": is_accepted, "Text": text})
        if document is not None:
            answer = ClassAd({"Accepted": is_accepted, "Text": text, "Document": document})
        await request.reply(request.writer().put_ad(answer))


def _hang_up(request: Request) -> None:
    """End the connection of a transferer that gets nothing, as HTCondor does it; else it would wait for its answer."""
    _, descriptor = request.hand_over()
    os.close(descriptor)
