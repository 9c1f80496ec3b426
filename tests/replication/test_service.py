"""What the replication daemon answers on its command port: who may say what, and who gets the state."""

import contextlib
import json
import os

import pytest
import trio

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.security import read_security
from daemoncore.server import CommandServer
from replication import messages
from replication.attendance import Attendance
from replication.effects import Answer, Currency
from replication.events import (
    CondorCommand,
    CondorSaid,
    CurrentAsked,
    Heard,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
    Report,
    State,
)
from replication.service import Reins, Service
from replication.version import Point, Version
from tests.daemoncore import command_ports

ME, OTHER, STRANGER = "127.0.0.1:51450", "127.0.0.2:9630", "127.0.0.9:9630"
SINFUL = f"<{OTHER}>"
REPORT = Report(OTHER, State.BACKUP, Version.first(130), "f", instance=1, sequence=1, validity_seconds=1.0)


class Desk:
    """A replication daemon reduced to its command port; what its handlers did is remembered."""

    def __init__(self, folder, ours=()):
        self.posted, self.wanted, self.rejected, self.heard, self.asked = [], [], [], [], []
        self.ours = set(ours)
        self.members = (OTHER,)
        self.attendance = Attendance(self.posted.append)
        values = command_ports.settings(folder, ALLOW_ADMINISTRATOR="condor@password")
        self.values = values
        self.observer = command_ports.Observer()
        self.server = CommandServer(read_security(values.get), self.observer, host="cm1", now=lambda: 0.0)
        self.service = Service(
            Reins(
                post=self.posted.append,
                upload=self.wanted.append,
                members=lambda: self.members,
                is_own_host=lambda host: host == "127.0.0.1",
                me=ME,
                is_ours=self.ours.__contains__,
                timeout_seconds=lambda: 1.0,
                heard=self.heard.append,
                status=lambda: json.dumps({"schema": 1}),
                conflict=self.conflict,
                reject=lambda member, reason, _text: self.rejected.append((member, reason)),
            ),
            self.attendance,
        )
        self.service.register(self.server)

    async def conflict(self, ad, by):
        """Take an operator's request."""
        self.asked.append((ad.get_string("Act"), by))
        return ad.get_string("Act") == "show", "a sentence", json.dumps({"id": "1.2-3"})

    @contextlib.asynccontextmanager
    async def call(self, command, address="127.0.0.2"):
        """Open a connection to this port, as if from an address."""
        port = command_ports.Port(self.server, self.observer)
        async with trio.open_nursery() as nursery:
            client = command_ports.client(self.values)
            connection = await port.call(nursery, client, command, address=address)
            async with connection:
                yield connection
            await trio.testing.wait_all_tasks_blocked()

    async def say(self, command, write, address="127.0.0.2"):
        """Give one command."""
        async with self.call(command, address) as connection:
            await connection.send(write(connection.writer()))
            await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def desk(tmp_path):
    """A desk where nobody is known yet to be one of ours."""
    return Desk(tmp_path)


async def test_reports_come_on_a_stream(desk, autojump_clock):
    """A replica's stream brings a report with the command, and another with each command that follows."""
    async with desk.call(Command.REPLICATION_REPORT) as connection:
        ad = messages.encode_report(REPORT)
        await connection.send(connection.writer().put_ad(ad))
        await connection.send(connection.writer().put_int(Command.REPLICATION_REPORT).put_ad(ad))
        await trio.testing.wait_all_tasks_blocked()
        assert desk.service.is_streaming(OTHER)
        assert desk.posted == [Heard(REPORT), Heard(REPORT)]
    assert not desk.service.is_streaming(OTHER)
    assert desk.heard[-1] == OTHER


async def test_a_replica_speaks_from_its_own_address(desk, autojump_clock):
    """A report in somebody else's name is not taken, and is counted."""
    ad = messages.encode_report(REPORT)
    await desk.say(Command.REPLICATION_REPORT, lambda writer: writer.put_ad(ad), address="127.0.0.9")
    assert desk.posted == []
    assert desk.rejected == [(OTHER, "wrong_address")]


async def test_nonsense_ends_a_stream(desk, autojump_clock):
    """A report that is none ends its connection and is counted as the protocol's."""
    await desk.say(Command.REPLICATION_REPORT, lambda writer: writer.put_ad(ClassAd({"HadProtocol": 1})))
    assert desk.posted == []
    assert desk.observer.reasons == ["protocol"]


@pytest.mark.parametrize("command", list(CondorCommand))
async def test_a_real_replication_daemon_speaks(desk, command, autojump_clock):
    """Each message of HTCondor's is an event."""
    point = Point(7, 3)
    await desk.say(
        command.value, lambda writer: messages.write_condor(writer, SINFUL, command, point, State.LEADER)
    )
    plain = CondorSaid(OTHER, command)
    said = CondorSaid(OTHER, command, point, State.LEADER.number)
    assert desk.posted == [plain if command is CondorCommand.SOLICIT_VERSION else said]


async def test_nobody_speaks_as_htcondor_for_one_of_ours(tmp_path, autojump_clock):
    """Where our own connection has found one of ours, a message of HTCondor's is an impostor's."""
    desk = Desk(tmp_path, ours=[OTHER])
    command = CondorCommand.LEADER_VERSION
    await desk.say(
        command.value,
        lambda writer: messages.write_condor(writer, SINFUL, command, Point(7, 3), State.LEADER),
    )
    assert desk.posted == []
    assert desk.rejected == [(OTHER, "wrong_address")]


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (Command.HAD_BEFORE_PASSIVE_STATE, None),
        (Command.HAD_AFTER_ELECTION_STATE, LeadershipBegan(None)),
        (Command.HAD_IN_LEADER_STATE, LeadershipConfirmed(None)),
        (Command.HAD_AFTER_LEADER_STATE, LeadershipEnded(is_stopped=False)),
    ],
)
async def test_a_real_had_speaks(desk, command, event, autojump_clock):
    """What a condor_had on this host says is an event; from another host it is nobody's business."""
    await desk.say(command, lambda writer: writer.put_string("<127.0.0.1:1>"), address="127.0.0.1")
    assert desk.posted == ([] if event is None else [event])
    await desk.say(command, lambda writer: writer.put_string("<127.0.0.1:1>"), address="127.0.0.2")
    assert len(desk.posted) == (event is not None)
    assert desk.rejected == [("127.0.0.2", "wrong_address")]


async def test_had_attends(desk, autojump_clock):
    """Our own had speaks on a stream of its own and gets its answer there; a real one beside it has no say."""
    async with desk.call(Command.REPLICATION_ATTEND, "127.0.0.1") as connection:
        await connection.send(connection.writer().put_ad(ClassAd({"What": "current", "Request": 9})))
        await trio.testing.wait_all_tasks_blocked()
        (asked,) = desk.posted
        assert isinstance(asked, CurrentAsked)
        desk.attendance.answer(Answer(asked.request, Currency.CURRENT, Version.first(130)))
        answer = (await connection.receive()).get_ad()
        assert (answer.get_int("Request"), answer.get_string("Currency"), answer.get_int("Gid")) == (
            9,
            "current",
            130,
        )
        await desk.say(
            Command.HAD_IN_LEADER_STATE, lambda writer: writer.put_string("<127.0.0.1:1>"), "127.0.0.1"
        )
        assert desk.posted == [asked]
    assert desk.posted[-1] == LeadershipEnded(is_stopped=False)


async def test_had_attends_from_its_own_host_only(desk, autojump_clock):
    """Somebody else's had has no say here."""
    await desk.say(
        Command.REPLICATION_ATTEND,
        lambda writer: writer.put_ad(ClassAd({"What": "began", "Epoch": 130})),
        address="127.0.0.2",
    )
    assert desk.posted == []
    assert desk.rejected == [("127.0.0.2", "wrong_address")]


async def test_who_wants_a_call_back_is_called_at_its_own_address(desk, autojump_clock):
    """The transfer of HTCondor before 8.7.4 calls back the replica that asks, and nobody else."""
    await desk.say(Command.REPLICATION_TRANSFER_FILE, lambda writer: writer.put_string("<127.0.0.2:4711>"))
    (asked,) = desk.wanted
    assert (asked.peer, asked.protocol, asked.call_back_address) == (OTHER, "callback", "127.0.0.2:4711")
    for address, named in (("127.0.0.2", "<127.0.0.9:1>"), ("127.0.0.9", "<127.0.0.9:1>")):
        await desk.say(
            Command.REPLICATION_TRANSFER_FILE, lambda writer, named=named: writer.put_string(named), address
        )
    assert len(desk.wanted) == 1
    assert [reason for _, reason in desk.rejected] == ["wrong_address", "wrong_address"]


async def over_loopback(desk, command, write):
    """Give a command over a real socket, since a connection in memory cannot be handed over."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.2")
    address = f"127.0.0.2:{listener.socket.getsockname()[1]}"
    client = command_ports.client(desk.values, source_address="127.0.0.2")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.server.serve, [listener])
        connection = await client.connect(command_ports.Address.parse(address), command)
        await connection.send(write(connection.writer()))
        with trio.move_on_after(10):
            while not (desk.wanted or desk.rejected or desk.observer.refusals):  # noqa: ASYNC110 -- nothing announces it
                await trio.sleep(0.01)
        if desk.rejected:
            # Who gets nothing does not wait for an answer.
            with trio.fail_after(10):
                assert await connection.transport.receive_some(1) == b""
        await connection.aclose()
        nursery.cancel_scope.cancel()


async def test_one_of_ours_fetches(desk):
    """A transferer of ours hands its connection over, with what it wants."""
    ad = ClassAd({"HadProtocol": 1, "ReplicationSender": OTHER})
    await over_loopback(desk, Command.REPLICATION_FETCH, lambda writer: writer.put_ad(ad))
    (asked,) = desk.wanted
    assert (asked.peer, asked.protocol, asked.archive) == (OTHER, "ours", None)
    assert asked.descriptor >= 0 and asked.stream is not None
    os.close(asked.descriptor)


async def test_one_of_ours_fetches_a_conflict(desk):
    """It may want a kept copy instead of the state."""
    ad = ClassAd(
        {"ReplicationSender": OTHER, "ReplicationArchive": "conflicts", "ReplicationIdentifier": "1.2-3"}
    )
    await over_loopback(desk, Command.REPLICATION_FETCH, lambda writer: writer.put_ad(ad))
    assert desk.wanted[0].archive == ("conflicts", "1.2-3")
    os.close(desk.wanted[0].descriptor)


@pytest.mark.parametrize("sender", [STRANGER, "no address", None])
async def test_who_fetches_says_who_it_is(desk, sender):
    """A request in somebody else's name, or in none, gets nothing."""
    ad = ClassAd({} if sender is None else {"ReplicationSender": sender})
    await over_loopback(desk, Command.REPLICATION_FETCH, lambda writer: writer.put_ad(ad))
    assert desk.wanted == []
    assert desk.rejected == [(STRANGER, "wrong_address")] if sender == STRANGER else desk.observer.refusals


async def test_a_real_transferer_fetches(desk):
    """A condor_transferer says nothing of itself; it is the replica at the address that it calls from."""
    await over_loopback(desk, Command.REPLICATION_TRANSFER_FILE_NEW, lambda writer: writer.put_string(""))
    (asked,) = desk.wanted
    assert (asked.peer, asked.protocol) == (OTHER, "condor")
    os.close(asked.descriptor)


async def test_a_real_transferer_of_a_stranger_gets_nothing(desk):
    """Where no replica has the address that it calls from, the connection ends, and that is counted."""
    desk.members = ()
    await over_loopback(desk, Command.REPLICATION_TRANSFER_FILE_NEW, lambda writer: writer.put_string(""))
    assert desk.wanted == []
    assert desk.rejected == [("127.0.0.2", "not_a_member")]


async def test_anybody_may_look(desk, autojump_clock):
    """The status goes to whoever may READ."""
    async with desk.call(Command.REPLICATION_STATUS) as connection:
        await connection.send(connection.writer().put_ad(ClassAd()))
        assert json.loads((await connection.receive()).get_text()) == {"schema": 1}


async def test_an_operator_is_answered(desk, autojump_clock):
    """A request about a conflict is answered with a sentence and a document; who asks is known."""
    async with desk.call(Command.REPLICATION_CONFLICT) as connection:
        await connection.send(connection.writer().put_ad(ClassAd({"Act": "show", "By": "ann"})))
        answer = (await connection.receive()).get_ad()
    assert (answer.get_bool("Accepted"), answer.get_string("Text")) == (True, "a sentence")
    assert json.loads(answer.get_string("Document")) == {"id": "1.2-3"}
    assert desk.asked == [("show", "ann (condor@password)")]
