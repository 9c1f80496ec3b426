"""The connection to the own replica: with a command server on loopback, and with a client that fails as it is told."""

import attrs
import pytest
import trio
import trio.testing

from daemoncore.address import Address
from daemoncore.cedar.authentication import Identity
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.handshake import Peer
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.client import ConnectionRefused, Denied
from had.custody_events import ReplicaAnswered, ReplicaFound, ReplicaLost
from had.replica_link import LOOK_SECONDS, MAXIMUM_WORDS, PROBE_SECONDS, ReplicaLink
from had.replica_words import (
    Currency,
    CurrentAsked,
    FlushAsked,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
    ReplicaAnswer,
    Withdrawn,
)
from tests.daemoncore import command_ports
from tests.had.fake_replica import FakeReplica, answer_to

pytestmark = pytest.mark.timed

SINFUL = "<127.0.0.1:9620>"
ADDRESS = "127.0.0.1:41450"
T = 0.4


@pytest.fixture
def values(tmp_path):
    """Settings in which everything is required."""
    return command_ports.settings(tmp_path)


class Rig:
    """A link, and what it posts and tells."""

    def __init__(self, client, address=lambda: ADDRESS, timeout_seconds=T):
        self.news, self._receive = trio.open_memory_channel(1000)
        self.lines = []
        self.link = ReplicaLink(
            lambda: Address.parse(address()),
            SINFUL,
            lambda: client,
            self.news.send_nowait,
            lambda: timeout_seconds,
            lambda event, **fields: self.lines.append((event, fields)),
        )

    async def next(self):
        """Wait for what it posts next."""
        with trio.fail_after(10):
            return await self._receive.receive()

    def waiting(self):
        """How much it has posted that nobody took."""
        return self._receive.statistics().current_buffer_used

    def events(self):
        """The names of the lines of the log."""
        return [event for event, _ in self.lines]


async def found(nursery, values, **options):
    """Start a replica and a link that has found it."""
    replica = FakeReplica(values, **options)
    await nursery.start(replica.run)
    rig = Rig(command_ports.client(values), lambda: replica.address)
    nursery.start_soon(rig.link.run)
    assert await rig.next() == ReplicaFound(options.get("is_ours", True))
    return replica, rig


async def test_words_go_out_in_order_and_answers_come_in(nursery, values):
    """What is said arrives as ads on one connection; a question is answered there."""
    replica, rig = await found(nursery, values)
    for word in (LeadershipEnded(), CurrentAsked(7), Withdrawn(7), LeadershipBegan(130), FlushAsked(8, 2.5)):
        rig.link.say(word)
    heard = [await replica.next_word() for _ in range(5)]
    assert [ad.get_string("What") for ad in heard] == ["ended", "current", "withdrawn", "began", "flush"]
    assert [await rig.next() for _ in range(2)] == [
        ReplicaAnswered(ReplicaAnswer(number, Currency.CURRENT, 1.0)) for number in (7, 8)
    ]
    attended = [c for c, *_ in replica.observer.commands if c == Command.REPLICATION_ATTEND]
    assert len(attended) == 1
    assert rig.lines == [("replica_link", {"implementation": "ours"})]


async def test_an_answer_may_take_its_time(nursery, values):
    """Other words pass it on the way."""
    asked = []
    replica, rig = await found(nursery, values, reply=asked.append)
    rig.link.say(CurrentAsked(7))
    await replica.next_what("current")
    replica.reply = lambda _ad: answer_to(asked[0], Currency="stale")
    rig.link.say(CurrentAsked(8))
    assert (await rig.next()).answer.request == 7


class Freezable:
    """A client whose calls nobody takes once the replica is frozen; connections stay."""

    def __init__(self, client):
        self._client = client
        self.is_frozen = False
        self.calls = 0

    async def connect(self, *arguments, **options):
        """Call, and wait for whoever does not answer."""
        self.calls += 1
        if self.is_frozen:
            await trio.sleep_forever()
        return await self._client.connect(*arguments, **options)


@pytest.fixture
async def freezable(nursery, values):
    """Give a replica that answers nothing, a link that has found it, and the client between them."""
    replica = FakeReplica(values, reply=lambda _ad: None)
    await nursery.start(replica.run)
    client = Freezable(command_ports.client(values))
    rig = Rig(client, lambda: replica.address)
    nursery.start_soon(rig.link.run)
    assert await rig.next() == ReplicaFound(is_ours=True)
    return replica, rig, client


@pytest.mark.parametrize("question", [CurrentAsked(7), FlushAsked(7, 60.0)])
async def test_a_frozen_replica_is_not_waited_for(freezable, question):
    """It keeps its connection and takes no call: as long as its controllee waits for an answer, that is the end of it."""
    _, rig, client = freezable
    rig.link.say(question)
    client.is_frozen = True
    began = trio.current_time()
    assert await rig.next() == ReplicaLost()
    assert trio.current_time() - began >= 1.5 * PROBE_SECONDS
    assert ("replica_unreachable", "timeout") in [(e, f.get("reason")) for e, f in rig.lines]


@pytest.mark.parametrize(
    "words",
    [[], [CurrentAsked(7, incumbent_epoch=130)], [CurrentAsked(7), Withdrawn(7)], [LeadershipBegan(130)]],
)
async def test_a_replica_is_left_alone_while_nothing_waits_for_it(freezable, words):
    """What is asked of a follower takes as long as it takes, and nobody is called for it."""
    _, rig, client = freezable
    for word in words:
        rig.link.say(word)
    before, client.is_frozen = client.calls, True
    await trio.sleep(2.5 * PROBE_SECONDS)
    assert (client.calls, rig.waiting()) == (before, 0)


async def test_a_replica_that_takes_its_time_is_waited_for(freezable):
    """A transfer may be long: whoever takes calls lives. They leave no sessions behind."""
    replica, rig, client = freezable
    rig.link.say(CurrentAsked(7))
    before, sessions = client.calls, len(replica.server.sessions)
    await trio.sleep(3.5 * PROBE_SECONDS)
    assert client.calls > before
    assert rig.waiting() == 0
    assert len(replica.server.sessions) == sessions


async def test_a_replica_that_ends_is_news_and_found_again_when_it_is_back(nursery, values):
    """What was said meanwhile is not said later; the complaint that nobody listens comes once."""
    replica, rig = await found(nursery, values)
    rig.link.say(LeadershipEnded())
    await replica.next_word()
    replica.stop()
    assert await rig.next() == ReplicaLost()
    rig.link.say(LeadershipBegan(130))
    await trio.sleep(T)
    assert rig.waiting() == 0
    await nursery.start(replica.run)
    assert await rig.next() == ReplicaFound(is_ours=True)
    rig.link.say(LeadershipConfirmed(130))
    assert (await replica.next_word()).get_string("What") == "confirmed"
    assert rig.events().count("replica_link") == 2
    told = [fields["reason"] for event, fields in rig.lines if event == "replica_unreachable"]
    assert told.count("refused") == 1


async def test_nonsense_ends_the_connection(nursery, values):
    """An answer that is none is the replica's fault, and said; the link goes on with a new connection."""
    replica, rig = await found(nursery, values, reply=lambda _ad: ClassAd({"Currency": "fresh"}))
    rig.link.say(CurrentAsked(7))
    assert await rig.next() == ReplicaLost()
    assert await rig.next() == ReplicaFound(is_ours=True)
    assert ("replica_unreachable", "protocol") in [(e, f.get("reason")) for e, f in rig.lines]
    replica.reply = answer_to
    rig.link.say(CurrentAsked(8))
    assert (await rig.next()).answer.request == 8


async def test_a_real_replication_is_told_each_word_in_a_connection_of_its_own(nursery, values):
    """704, 706 and 705 with our sinful string; what only ours understands is not sent."""
    replica, rig = await found(nursery, values, is_ours=False)
    for word in (
        LeadershipBegan(130),
        CurrentAsked(7),
        LeadershipConfirmed(130),
        FlushAsked(8, 1.0),
        LeadershipEnded(),
    ):
        rig.link.say(word)
    assert [await replica.next_word() for _ in range(3)] == [(n, SINFUL) for n in (704, 706, 705)]
    await rig.link.flush(5)
    assert rig.lines == [("replica_link", {"implementation": "condor"})]


async def test_one_of_ours_may_take_the_place_of_a_real_one(nursery, values):
    """The next word finds that out."""
    replica, rig = await found(nursery, values, is_ours=False)
    replica.stop()
    ours = FakeReplica(values)
    ours.port = replica.port
    await trio.testing.wait_all_tasks_blocked()
    await nursery.start(ours.run)
    rig.link.say(LeadershipConfirmed(130))
    assert await rig.next() == ReplicaLost()
    assert await rig.next() == ReplicaFound(is_ours=True)


# --- a client that does as it is told, and no time that passes ----------------------------------------------------


class Connection:
    """An open connection that takes what is sent, or does not."""

    def __init__(self, client):
        self.client = client
        self.peer = Peer(Identity("condor@password"), is_ours=client.is_ours)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exception):
        await trio.lowlevel.checkpoint()

    def writer(self):
        """A message for a connection that is not encrypted."""
        return MessageWriter()

    async def send(self, writer):
        """Take it, if anything is taken."""
        await self.client.takes.wait()
        self.client.sent.append(writer.body())

    async def receive(self):
        """Say nothing."""
        await trio.sleep_forever()


@attrs.define
class Client:
    """Connects, or fails as it is told, and keeps when it was asked."""

    is_ours: bool = True
    failure: Exception | None = None
    hangs: bool = False
    calls: list = attrs.field(factory=list)
    sent: list = attrs.field(factory=list)
    takes: trio.Event = attrs.field(factory=trio.Event)

    async def connect(self, address, command, *, asked_about=None):
        """Answer."""
        self.calls.append((trio.current_time(), command, asked_about))
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        if self.failure is not None:
            raise self.failure(address, "no", *([None] if self.failure is Denied else []))
        return Connection(self)


def times(client):
    """When it was called, from the first time on."""
    return [round(at - client.calls[0][0], 3) for at, *_ in client.calls]


async def test_it_asks_first_what_answers(nursery, autojump_clock):
    """With a session and no command, since a real one does not know ours; then it attends."""
    client = Client()
    rig = Rig(client)
    nursery.start_soon(rig.link.run)
    assert await rig.next() == ReplicaFound(is_ours=True)
    assert [call[1:] for call in client.calls] == [
        (Command.DC_AUTHENTICATE, Command.HAD_IN_LEADER_STATE),
        (Command.REPLICATION_ATTEND, None),
    ]


@pytest.mark.parametrize(("timeout_seconds", "pause"), [(1.0, 0.5), (30.0, 1.0)])
async def test_it_is_dialled_again_and_again(nursery, autojump_clock, timeout_seconds, pause):
    """Each T/2, each second at most; a reason that stays the same is told once."""
    client = Client(failure=ConnectionRefused)
    rig = Rig(client, timeout_seconds=timeout_seconds)
    nursery.start_soon(rig.link.run)
    await trio.sleep(pause * 3.5)
    assert times(client) == [0, pause, 2 * pause, 3 * pause]
    client.failure = Denied
    await trio.sleep(pause * 2)
    assert [fields["reason"] for _, fields in rig.lines] == ["refused", "denied"]
    assert rig.waiting() == 0


async def test_a_dial_has_t(nursery, autojump_clock):
    """A host that does not answer is given up after T, and tried anew."""
    client = Client(hangs=True)
    rig = Rig(client, timeout_seconds=2.0)
    nursery.start_soon(rig.link.run)
    await trio.sleep(5.5)
    assert times(client) == [0, 3]
    assert rig.lines == [("replica_unreachable", {"reason": "timeout", "text": "no connection within 2 s"})]


async def test_what_is_said_to_nobody_is_forgotten(nursery, autojump_clock):
    """Nothing waits for a replica that is not there."""
    client = Client(failure=ConnectionRefused)
    rig = Rig(client, timeout_seconds=1.0)
    nursery.start_soon(rig.link.run)
    await trio.sleep(0.1)
    rig.link.say(LeadershipBegan(130))
    client.failure = None
    client.takes.set()
    assert await rig.next() == ReplicaFound(is_ours=True)
    await trio.sleep(5)
    assert client.sent == []


async def test_a_replica_that_takes_nothing_is_left(nursery, autojump_clock):
    """The words pile up to a limit; then the connection is given up, and the next one begins empty."""
    client = Client()
    rig = Rig(client)
    nursery.start_soon(rig.link.run)
    await rig.next()
    for _ in range(MAXIMUM_WORDS + 2):
        rig.link.say(LeadershipConfirmed(130))
    assert await rig.next() == ReplicaLost()
    client.takes.set()
    assert await rig.next() == ReplicaFound(is_ours=True)
    await trio.sleep(1)
    assert client.sent == []


async def test_a_flush_waits_until_the_last_word_has_left(nursery, autojump_clock):
    """And not for ever."""
    client = Client()
    rig = Rig(client)
    nursery.start_soon(rig.link.run)
    await rig.next()
    rig.link.say(LeadershipEnded())
    began = trio.current_time()
    await rig.link.flush(0.5)
    assert trio.current_time() - began == pytest.approx(0.5)
    assert client.sent == []
    client.takes.set()
    await rig.link.flush(0.5)
    assert len(client.sent) == 1


async def test_a_real_one_is_looked_at_now_and_then(nursery, autojump_clock):
    """Though there is nothing to say, one of ours in its place is found."""
    client = Client(is_ours=False)
    rig = Rig(client)
    nursery.start_soon(rig.link.run)
    assert await rig.next() == ReplicaFound(is_ours=False)
    client.is_ours = True
    started = trio.current_time()
    with trio.fail_after(2 * LOOK_SECONDS):
        assert await rig._receive.receive() == ReplicaLost()
        assert await rig._receive.receive() == ReplicaFound(is_ours=True)
    assert LOOK_SECONDS <= trio.current_time() - started < LOOK_SECONDS + 2
