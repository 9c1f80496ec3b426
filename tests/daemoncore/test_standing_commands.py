"""DaemonCore's own commands, and what an operator's ad says of who sent it."""

import attrs
import pytest

from daemoncore.authorization import Level
from daemoncore.cedar.authentication import Identity
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.handshake import Peer
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from daemoncore.payloads import MAXIMUM_REASON, ad_of, operator_of, reason_of
from daemoncore.standing_commands import StandingCommands


@attrs.define
class Request:
    """A command as a handler sees it."""

    command: int = 0
    reader: MessageReader | None = None
    peer: Peer = attrs.field(factory=lambda: Peer(Identity("root@password"), is_ours=True))


class Port:
    """Keeps who offers what."""

    def __init__(self):
        self.offers = {}

    def register(self, command, level, handler, *, has_payload=True):
        """Keep one; of these only a signal has a payload."""
        assert has_payload == (command is Command.DC_RAISESIGNAL)
        self.offers[command] = (level, handler)


@attrs.define
class Daemon:
    """Keeps what it is told to do, and the lines about it."""

    done: list = attrs.field(factory=list)
    lines: list = attrs.field(factory=list)

    def log(self, command, by, answer, *, is_accepted):
        """Keep a line."""
        self.lines.append((command, by, answer, is_accepted))


@pytest.mark.parametrize(
    ("command", "level", "done", "answer"),
    [
        (Command.DC_RECONFIG, Level.ADMINISTRATOR, "reload", "reading the configuration again"),
        (Command.DC_RECONFIG_FULL, Level.ADMINISTRATOR, "reload", "reading the configuration again"),
        (Command.DC_OFF_PEACEFUL, Level.ADMINISTRATOR, False, "stopping"),
        (Command.DC_OFF_FORCE, Level.ADMINISTRATOR, True, "stopping"),
        (Command.DC_OFF_GRACEFUL, Level.ADMINISTRATOR, False, "stopping"),
        (Command.DC_OFF_FAST, Level.ADMINISTRATOR, True, "stopping"),
    ],
)
async def test_each_command_does_its_thing(command, level, done, answer):
    """The level is HTCondor's, and the line names who asked."""
    daemon, port = Daemon(), Port()
    StandingCommands(lambda: daemon.done.append("reload"), daemon.done.append, daemon.log).register(port)
    assert port.offers[command][0] is level
    await port.offers[command][1](Request(command))
    assert daemon.done == [done]
    assert daemon.lines == [(command.name, "root@password", answer, True)]


def offered(daemon):
    """The commands of a daemon."""
    port = Port()
    StandingCommands(lambda: daemon.done.append("reload"), daemon.done.append, daemon.log).register(port)
    return port.offers


@pytest.mark.parametrize("command", [Command.DC_SET_PEACEFUL_SHUTDOWN, Command.DC_SET_FORCE_SHUTDOWN])
async def test_an_announcement_is_taken_and_does_nothing(command):
    """`condor_off -peaceful` says so before it stops a daemon, and must not think that it was refused."""
    daemon = Daemon()
    level, handler = offered(daemon)[command]
    await handler(Request(command))
    assert (level, daemon.done) == (Level.ADMINISTRATOR, [])
    assert daemon.lines[0][3]


@pytest.mark.parametrize(
    ("number", "done", "is_accepted"),
    [(1, ["reload"], True), (15, [False], True), (3, [True], True), (10, [], False), (-7, [], False)],
)
async def test_a_signal_may_come_as_a_message(number, done, is_accepted):
    """SIGHUP, SIGTERM and SIGQUIT do what they do when the kernel brings them; others nothing."""
    daemon = Daemon()
    level, handler = offered(daemon)[Command.DC_RAISESIGNAL]
    reader = MessageReader(MessageWriter().put_int(number).body())
    await handler(Request(Command.DC_RAISESIGNAL, reader))
    assert (level, daemon.done, daemon.lines[0][3]) == (Level.DAEMON, done, is_accepted)


async def test_each_start_has_its_own_number():
    """A process answers with the same sixteen digits as long as it lives."""
    answers = []

    class Asked(Request):
        def writer(self):
            return MessageWriter()

        async def reply(self, message):
            answers.append(message.body())

    for daemon in (Daemon(), Daemon()):
        _, handler = offered(daemon)[Command.DC_QUERY_INSTANCE]
        for _ in range(2):
            await handler(Asked(Command.DC_QUERY_INSTANCE))
    assert answers[0] == answers[1] != answers[2] == answers[3]
    assert all(len(answer) == 16 and int(answer, 16) >= 0 for answer in answers)


def request_of(ad, *more):
    """A request whose payload is this ad, and perhaps more."""
    writer = MessageWriter().put_ad(ClassAd(ad))
    for number in more:
        writer.put_int(number)
    return Request(reader=MessageReader(writer.body()))


@pytest.mark.parametrize(
    ("claimed", "by"),
    [
        ({}, "root@password"),
        ({"By": "root@password"}, "root@password"),
        ({"By": "ann"}, "ann (root@password)"),
        ({"By": "a" * 2000}, f"{'a' * MAXIMUM_REASON} (root@password)"),
    ],
)
def test_an_operator_is_who_was_authenticated(claimed, by):
    """What the ad claims stands in front, and never alone."""
    _ad, found = operator_of(request_of(claimed))
    assert found == by


def test_a_long_reason_is_cut():
    """Nobody fills the record of a pause."""
    assert reason_of(ClassAd({"Reason": "r" * 2000})) == "r" * MAXIMUM_REASON
    assert reason_of(ClassAd({})) == ""


def test_a_payload_is_one_ad_and_no_more():
    """What follows it is an error of the peer's."""
    assert ad_of(request_of({"Act": "show"})) == ClassAd({"Act": "show"})
    with pytest.raises(WireError):
        ad_of(request_of({"Act": "show"}, 1))
