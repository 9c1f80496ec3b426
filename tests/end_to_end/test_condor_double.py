"""The double of condor_had says what the real one was recorded to say, at its pace."""

import itertools

import attrs
import pytest
import trio

from daemoncore.address import Address
from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.client import Client
from daemoncore.security import read_security
from daemoncore.server import CommandServer
from had.election_settings import ElectionSettings
from had.events import Kind
from had.messages import decode_untrusted
from had.transitions import State
from tests import vector_files
from tests.daemoncore.command_ports import Observer
from tests.end_to_end.condor_double import CondorHad
from tests.end_to_end.networks import Loopback

OPEN = {"ALLOW_DAEMON": "*", "SEC_DEFAULT_AUTHENTICATION": "OPTIONAL"}


class Master:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def child_on(self):
        """Note it."""
        self.told.append("on")

    def child_off_fast(self):
        """Note it."""
        self.told.append("off")


def double(settings, **options):
    """Return a double that lets everybody speak, and its master."""
    master = Master()
    return CondorHad(settings, read_security(OPEN.get), master, **options), master


def recorded_ads():
    """Return the ads that a real condor_had sent, by command, each first of its kind."""
    first = {}
    for connection in vector_files.load("01-raw-had")["connections"]:
        if connection["we_are"] == "server":
            command, ad = connection["stream"][0]["fields"]
            first.setdefault(command["value"], ad["value"])
    return first


def test_its_ad_is_the_recorded_one():
    """The ad has the attributes of the recorded one, their types and, but for addresses and times, their values."""
    recorded = recorded_ads()
    members = ("10.99.0.1:51450", "10.99.0.2:51450")
    had, _ = double(ElectionSettings(members[0], members, controllee="NEGOTIATOR", timeout_seconds=1))
    own = {"Name", "Machine", "AddressV1", "MyAddress", "PrivateNetworkName", "UpdateSequenceNumber"}
    had._updates = 1
    for command in (Command.HAD_SEND_ID_CMD, Command.HAD_ALIVE_CMD):
        theirs = ClassAd.from_lines(f"{name} = {text}" for name, text in recorded[command].items())
        ours = had.ad()
        assert {name.lower() for name in ours} == {name.lower() for name in recorded[command]}
        for name in recorded[command]:
            mine, other = ours.get(name), theirs.get(name)
            assert type(mine) is type(other), name
            assert mine == other or name in own or "Time" in name, name
        had._activate(is_active=True)


@attrs.define
class Listener:
    """A member that notes the HAD commands it gets, and when."""

    heard: list = attrs.field(factory=list)

    async def take(self, request):
        """Note one."""
        kind = Kind.ALIVE if request.command == Command.HAD_ALIVE_CMD else Kind.SEND_ID
        message = decode_untrusted(request.reader.get_ad(), kind)
        self.heard.append((kind, message.rank_id, request.peer.is_ours, trio.current_time()))

    async def note(self, request):
        """Note what a replication daemon is told."""
        self.heard.append((request.command, request.reader.get_string()))

    def server(self):
        """Return its command port."""
        server = CommandServer(read_security(OPEN.get), Observer())
        for command in (Command.HAD_ALIVE_CMD, Command.HAD_SEND_ID_CMD):
            server.register(command, Level.DAEMON, self.take)
        for number in range(Command.HAD_AFTER_ELECTION_STATE, Command.HAD_IN_LEADER_STATE + 1):
            server.register(number, Level.DAEMON, self.note)
        return server


@pytest.fixture
def members():
    """Two free places on loopback."""
    network = Loopback(2)
    yield tuple(f"{host}:{network.port}" for host in network.hosts)
    network.close()


async def listen(nursery, server, member):
    """Serve at a member's place."""
    address = Address.parse(member)
    nursery.start_soon(server.serve, await trio.open_tcp_listeners(address.port, host=address.host))


async def test_it_elects_and_leads_at_its_pace(members):
    """With T = 0.05 its interval is 2.4 s: two SEND_IDs, then ALIVEs, a half apart; its replication daemon hears 704, 706."""
    listener = Listener()
    settings = ElectionSettings(members[0], members, timeout_seconds=0.05)
    replication = Address.parse(members[1])
    had, master = double(settings, replication=replication)
    async with trio.open_nursery() as nursery:
        await listen(nursery, listener.server(), members[1])
        nursery.start_soon(had.run)
        with trio.fail_after(15):
            while len(listener.heard) < 7:  # noqa: ASYNC110 -- it says nothing of itself
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    mine = str(Address.parse(members[0]).sinful())
    rounds = [heard for heard in listener.heard if isinstance(heard[0], Kind)]
    assert [kind for kind, *_ in rounds][:4] == [Kind.SEND_ID, Kind.SEND_ID, Kind.ALIVE, Kind.ALIVE]
    assert all(rank_id == 1 and not is_ours for _, rank_id, is_ours, _ in rounds)
    assert min(b[3] - a[3] for a, b in itertools.pairwise(rounds)) >= 1.0
    told = [heard for heard in listener.heard if not isinstance(heard[0], Kind)]
    assert told[:2] == [
        (Command.HAD_AFTER_ELECTION_STATE, mine),
        (Command.HAD_IN_LEADER_STATE, mine),
    ]
    assert master.told == ["off", "on"]


async def test_it_reads_nothing_while_it_sends(members):
    """A member that takes its connection and answers nothing keeps it deaf for T; what was sent meanwhile counts then."""
    settings = ElectionSettings(members[0], members, timeout_seconds=1.0)
    had, _ = double(settings)
    had.state = State.ELECTION
    silent = await trio.open_tcp_listeners(Address.parse(members[1]).port, host=members[1].partition(":")[0])
    other = ClassAd({"HadSelfID": 0, "HadControlleeName": "Negotiator", "HadList": "x"})
    async with trio.open_nursery() as nursery:
        await listen(nursery, had.make_server(Observer()), members[0])
        began = trio.current_time()
        with had.thread.busy():
            nursery.start_soon(speak, members[0], other)
            await had._send_round()
            assert trio.current_time() - began >= 1.0
            assert had.alive == set()
        with trio.fail_after(5):
            while had.alive != {0}:  # noqa: ASYNC110 -- it says nothing of itself
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    for listener in silent:
        await listener.aclose()


async def speak(member, ad):
    """Send an ALIVE to a member."""
    client = Client(read_security(OPEN.get))
    async with await client.connect(Address.parse(member), Command.HAD_ALIVE_CMD) as connection:
        await connection.send(connection.writer().put_ad(ad))


async def test_a_session_that_the_peer_forgot_costs_one_message(members):
    """As recorded (07-had, h5 and h6): the message is lost, the next one goes in a new session."""
    settings = ElectionSettings(members[0], members, timeout_seconds=1.0)
    had, _ = double(settings)
    had.state = State.LEADER
    listener = Listener()
    server = listener.server()
    counts = []
    async with trio.open_nursery() as nursery:
        await listen(nursery, server, members[1])
        for _ in range(3):
            await had._send_round()
            await trio.sleep(0.1)
            counts.append(len(listener.heard))
            if len(counts) == 1:
                server.sessions.clear()
        nursery.cancel_scope.cancel()
    assert counts == [1, 1, 2]
