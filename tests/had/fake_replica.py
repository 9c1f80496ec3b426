"""A replication daemon as had sees it: a real command server on loopback that keeps what it hears, and answers."""

import attrs
import trio

from daemoncore.address import Address
from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.security import read_security
from daemoncore.server import CommandServer
from tests.daemoncore.command_ports import Observer

CONDOR_COMMANDS = (
    Command.HAD_AFTER_ELECTION_STATE,
    Command.HAD_AFTER_LEADER_STATE,
    Command.HAD_IN_LEADER_STATE,
)


def answer_to(ad, **fields):
    """The ad that answers a question well."""
    good = {
        "HadProtocol": 1,
        "Request": ad.get_int("Request"),
        "Currency": "current",
        "GoodForSeconds": 1.0,
        "IsMissingEverywhere": False,
        "KnownGid": 0,
        "IsComplete": True,
        "Behind": "",
        "Text": "",
    }
    return ClassAd(good | fields)


class FakeReplica:
    """Listens on a port of loopback while it runs.

    Args:
        values: its security settings.
        is_ours: whether it shows the marker; a real condor_replication does not.
        reply: makes the answer to a question; None is no answer.
    """

    def __init__(self, values, *, is_ours=True, reply=answer_to):
        security = read_security(values.get, subsystem="REPLICATION")
        ourselves = attrs.evolve(security.ourselves, is_marked=is_ours)
        self.observer = Observer()
        self.server = CommandServer(attrs.evolve(security, ourselves=ourselves), self.observer, host="cm1")
        for command in CONDOR_COMMANDS:
            self.server.register(command, Level.DAEMON, self._told)
        if is_ours:
            self.server.register(Command.REPLICATION_ATTEND, Level.DAEMON, self._attended, is_kept_open=True)
            self.server.register(Command.REPLICATION_STATUS, Level.READ, self._told)
        self.reply = reply
        self.port = 0
        self._scope = trio.CancelScope()
        self._send, self._receive = trio.open_memory_channel(1000)

    @property
    def address(self):
        """Where it listens, or did."""
        return str(Address("127.0.0.1", self.port))

    async def run(self, *, task_status=trio.TASK_STATUS_IGNORED):
        """Listen, on the same port each time, until it is stopped."""
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        with trio.CancelScope() as self._scope:
            task_status.started()
            await self.server.serve(listeners)

    def stop(self):
        """End it with all its connections."""
        self._scope.cancel()

    async def next_word(self):
        """Wait for the next thing that it is told: an ad of ours, or HTCondor's command with its string."""
        with trio.fail_after(10):
            return await self._receive.receive()

    async def next_what(self, what):
        """Wait for the next ad that says this."""
        while True:
            word = await self.next_word()
            if isinstance(word, ClassAd) and word.get_string("What") == what:
                return word

    async def _told(self, request):
        text = request.reader.get_string()
        request.reader.end()
        self._send.send_nowait((request.command, text))

    async def _attended(self, request):
        await self._take(request, request.reader)
        async for command, reader in request.messages():
            assert command == Command.REPLICATION_ATTEND
            await self._take(request, reader)

    async def _take(self, request, reader):
        ad = reader.get_ad()
        reader.end()
        self._send.send_nowait(ad)
        answer = self.reply(ad) if "Request" in ad and ad.get_string("What") != "withdrawn" else None
        if answer is not None:
            await request.reply(request.writer().put_ad(answer))
