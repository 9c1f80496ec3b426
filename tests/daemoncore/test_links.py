"""One link: how often it dials and whom, which letters it sends, and in which way."""

import attrs
import pytest
import trio
import trio.testing

from daemoncore.cedar.authentication import Identity
from daemoncore.cedar.commands import Command
from daemoncore.cedar.handshake import Peer
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.client import ConnectionRefused, Denied, Reset
from daemoncore.links import Letter, Link, Links

A, B = "127.0.0.1:9620", "127.0.0.2:9620"
TIMEOUT_SECONDS = 1.0
SANE_DIALS = 50


class Connection:
    """An open connection, whose sendings the client keeps."""

    transport = None

    def __init__(self, client, command):
        self._client = client
        self._command = command
        self._closed = trio.Event()
        self.peer = Peer(Identity("condor@password"), is_ours=client.is_ours)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exception):
        await trio.lowlevel.checkpoint()

    def writer(self):
        """A message for a connection that is not encrypted."""
        return MessageWriter()

    async def send(self, writer):
        """Keep what is sent, with the command of the connection."""
        await self._client.is_fast.wait()
        self._client.sent.append((self._command, writer.body()))

    async def receive(self):
        """Wait for the other side's end."""
        await self._closed.wait()
        raise Reset(A, "closed by the peer", has_heard=True)

    def close(self):
        """Let the other side end it."""
        self._closed.set()


def refused(address):
    """Nobody listens."""
    return ConnectionRefused(address, "nobody listens")


def denied(address):
    """Somebody says no."""
    return Denied(address, "no", None)


def hung_up(address):
    """The connection broke."""
    return Reset(address, "closed by the peer", has_heard=False)


@attrs.define
class Client:
    """Connects at once, or fails, and keeps what it was asked."""

    is_ours: bool = False
    failures: list = attrs.field(factory=list)
    calls: list = attrs.field(factory=list)
    sent: list = attrs.field(factory=list)
    connections: list = attrs.field(factory=list)
    is_fast: trio.Event = attrs.field(factory=trio.Event)

    async def connect(self, address, command, *, asked_about=None):
        """Answer."""
        await trio.lowlevel.checkpoint()
        self.calls.append((command, asked_about))
        assert len(self.calls) < SANE_DIALS, "the link dials in a circle"
        if self.failures:
            raise self.failures.pop(0)(address)
        self.connections.append(Connection(self, command))
        return self.connections[-1]


@attrs.define
class Ears:
    """Keeps what the link learned."""

    heard: list = attrs.field(factory=list)

    def linked(self, member, *, is_ours):
        """Keep whom it found."""
        self.heard.append(("linked", member, is_ours))

    def refused(self, member):
        """Keep who is gone."""
        self.heard.append(("refused", member))

    def denied(self, member):
        """Keep who does not let us in."""
        self.heard.append(("denied", member))


class Watcher:
    """Keeps the names of what was sent, and nothing else."""

    def __init__(self):
        self.names = []

    def message_sent(self, peer, kind):  # noqa: ARG002 -- there is one
        """Keep its name."""
        self.names.append(kind)

    def send_failed(self, peer, reason, text):
        """Ignore it."""

    def round_trip(self, peer, seconds):
        """Ignore it."""

    def found(self, peer, implementation):
        """Ignore it."""


def letter(text, command=Command.HAD_ALIVE_CMD, slot=0, *, is_streamed=True):
    """A letter that says a word."""
    return Letter(command, lambda _is_encrypted: text.encode(), text, slot, is_streamed)


class Rig:
    """A link that runs, and all that it talks to."""

    def __init__(self, nursery=None, *, is_ours=False, is_slow=False, is_heard=False, failures=()):
        self.client = Client(is_ours, list(failures))
        if not is_slow:
            self.client.is_fast.set()
        self.ears, self.watcher = Ears(), Watcher()
        self.link = Link(
            A,
            lambda: self.client,
            self.ears,
            lambda: TIMEOUT_SECONDS,
            self.watcher,
            lambda _member: is_heard,
            stream_command=Command.HAD_HEARTBEAT,
            asked_about=Command.HAD_ALIVE_CMD,
        )
        if nursery is not None:
            nursery.start_soon(self.link.run)

    async def settle(self):
        """Let everything happen that can."""
        await trio.testing.wait_all_tasks_blocked()


async def test_a_condor_had_is_looked_at_once_each_time_it_is_heard(nursery, autojump_clock):
    """A link with nothing to say to a real daemon dials once to learn what it is, and once more per `hurry`."""
    rig = Rig(nursery)
    for dials in (1, 2, 3):
        await trio.sleep(10 * TIMEOUT_SECONDS)
        assert rig.client.calls == [(Command.DC_AUTHENTICATE, Command.HAD_ALIVE_CMD)] * dials
        rig.link.hurry()
    assert rig.ears.heard == [("linked", A, False)]


async def test_letters_of_different_slots_go_to_a_condor_one_after_another(nursery, autojump_clock):
    """Each has a connection of its own under its own command; a newer one of a slot replaces what waits."""
    rig = Rig(nursery)
    await rig.settle()
    rig.link.send(letter("old", Command.REPLICATION_LEADER_VERSION, "version"))
    rig.link.send(letter("solicit", Command.REPLICATION_SOLICIT_VERSION, "solicit"))
    rig.link.send(letter("new", Command.REPLICATION_LEADER_VERSION, "version"))
    await rig.settle()
    assert rig.client.sent == [
        (Command.REPLICATION_SOLICIT_VERSION, b"solicit"),
        (Command.REPLICATION_LEADER_VERSION, b"new"),
    ]
    assert [command for command, _ in rig.client.calls[1:]] == [command for command, _ in rig.client.sent]
    assert rig.watcher.names == ["solicit", "new"]


async def test_a_letter_that_came_while_another_of_its_slot_was_sent_follows(nursery, autojump_clock):
    """What is on its way is not replaced, and does not take the newer one with it."""
    rig = Rig(nursery, is_slow=True)
    await rig.settle()
    rig.link.send(letter("first"))
    await rig.settle()
    rig.link.send(letter("second"))
    rig.client.is_fast.set()
    await rig.settle()
    assert [text for _, text in rig.client.sent] == [b"first", b"second"]


async def test_a_condor_gets_nothing_that_is_for_our_own_kind(nursery, autojump_clock):
    """A letter without a command is dropped, whether the member's kind was known or not, and nobody is dialled for it."""
    rig = Rig(nursery)
    rig.link.send(letter("report", None, "report"))
    await rig.settle()
    rig.link.send(letter("report", None, "report"))
    await trio.sleep(10 * TIMEOUT_SECONDS)
    assert rig.client.sent == []
    assert len(rig.client.calls) == 1


async def test_one_of_ours_gets_the_newest_letter_on_one_stream(nursery, autojump_clock):
    """The first comes behind the stream's command, each later one brings it; older ones and foreign ones are not sent."""
    rig = Rig(nursery, is_ours=True)
    rig.link.send(letter("before the stream"))
    await rig.settle()
    assert rig.link.is_open
    for text, slot in (("one", "a"), ("two", "b"), ("three", "a")):
        rig.link.send(letter(text, None, slot))
    rig.link.send(letter("foreign", Command.REPLICATION_SOLICIT_VERSION, "c", is_streamed=False))
    await rig.settle()
    rig.link.send(letter("four", None, "b"))
    await rig.settle()
    again = MessageWriter().put_int(Command.HAD_HEARTBEAT).put_bytes(b"four").body()
    assert rig.client.sent == [(Command.HAD_HEARTBEAT, b"three"), (Command.HAD_HEARTBEAT, again)]
    assert [command for command, _ in rig.client.calls] == [Command.DC_AUTHENTICATE, Command.HAD_HEARTBEAT]
    assert rig.ears.heard == [("linked", A, True)]


async def test_last_words_are_waited_for(nursery, autojump_clock):
    """`until_sent` lasts until the stream has taken the letter; one that no stream takes is not waited for."""
    rig = Rig(nursery, is_ours=True, is_slow=True)
    await rig.settle()
    rig.link.send(letter("foreign", Command.REPLICATION_SOLICIT_VERSION, "c", is_streamed=False))
    rig.link.send(letter("last"))
    with trio.move_on_after(TIMEOUT_SECONDS) as scope:
        await rig.link.until_sent()
    assert scope.cancelled_caught
    rig.client.is_fast.set()
    with trio.fail_after(TIMEOUT_SECONDS):
        await rig.link.until_sent()
    assert [text for _, text in rig.client.sent] == [b"last"]


async def test_a_stream_that_ends_is_dialled_again_at_once(nursery, autojump_clock):
    """An end says nothing about the member; the next connection does."""
    rig = Rig(nursery, is_ours=True)
    await trio.sleep(TIMEOUT_SECONDS)
    began = trio.current_time()
    rig.client.connections[-1].close()
    await rig.settle()
    assert trio.current_time() == began
    assert rig.link.is_open
    assert rig.ears.heard == [("linked", A, True)] * 2


@pytest.mark.parametrize(
    ("failure", "is_heard", "tries", "news"),
    [
        (refused, False, 1, [("refused", A)]),
        (refused, True, 1, []),
        (denied, False, 2, [("denied", A)]),
        (hung_up, False, 2, []),
    ],
)
async def test_what_a_failure_tells(nursery, autojump_clock, failure, is_heard, tries, news):
    """A refusal is believed at once unless the member is heard; a denial and a hang-up only the second time."""
    rig = Rig(nursery, is_heard=is_heard, failures=[failure] * 2)
    await rig.settle()
    assert len(rig.client.calls) == tries
    assert rig.ears.heard == news


async def test_links_come_and_go_with_the_lists(nursery, autojump_clock):
    """A letter to a stranger makes a link for it, which lasts until the lists are read again."""
    rigs = {}

    def make(member):
        rigs[member] = Rig()
        return rigs[member].link

    links = Links(make)
    links.keep((A,))
    nursery.start_soon(links.run)
    await trio.testing.wait_all_tasks_blocked()
    assert set(rigs) == {A}
    links.send(B, letter("to a stranger"))
    await trio.testing.wait_all_tasks_blocked()
    assert rigs[B].client.sent == [(Command.HAD_ALIVE_CMD, b"to a stranger")]
    links.keep((A,))
    links.heard(B)
    assert not links.is_ours(B)
