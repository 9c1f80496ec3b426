"""A downloader that dials, and a daemon that hands the connection on: the real server, the real handshake, two processes."""

import os
import socket
from pathlib import Path

import attrs
import pytest
import trio

from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.keys import scramble
from daemoncore.client import CallFailed, Client
from daemoncore.security import read_security
from daemoncore.server import CommandServer
from tests.daemoncore.command_ports import Observer, settings
from tests.transferer.copies import LIFETIME, Copier, file_entry

VERSION = {"gid": 129, "clock": 7}
FETCH, NEW, OLD = (
    Command.REPLICATION_FETCH,
    Command.REPLICATION_TRANSFER_FILE_NEW,
    Command.REPLICATION_TRANSFER_FILE,
)
RAW = {f"SEC_DEFAULT_{feature}": "OPTIONAL" for feature in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")} | {
    "SEC_DEFAULT_NEGOTIATION": "NEVER",
    "ALLOW_DAEMON": "*",
}


@attrs.define
class Leader:
    """A replication daemon's port, which gives every connection that asks for files to an uploader."""

    server: CommandServer
    observer: Observer
    source: Path
    address: str = ""
    uploaders: list = attrs.field(factory=list)
    requests: list = attrs.field(factory=list)

    async def fetch(self, request):
        """Hand an asking transferer of ours over."""
        ad = request.reader.get_ad()
        request.reader.end()
        self.requests.append({name: ad[name] for name in ad})
        self.hand_over(request, "ours")

    async def transfer(self, request):
        """Hand an asking condor_transferer over."""
        self.requests.append(request.reader.get_string())
        request.reader.end()
        self.hand_over(request, "condor")

    async def call_back(self, request):
        """Have an uploader call back where the peer listens."""
        address = request.reader.get_string()
        request.reader.end()
        self.upload([], protocol="callback", address=address)

    def hand_over(self, request, protocol):
        """Give a connection to a new uploader."""
        state, descriptor = request.hand_over()
        connection = {"descriptor": 0, "stream": state.to_document()}
        self.upload([descriptor], protocol=protocol, connection=connection)
        os.close(descriptor)

    def upload(self, descriptors, **task):
        """Start an uploader with one version."""
        up = Copier.start("up")
        self.uploaders.append(up)
        up.tell(descriptors, what="begin", lifetime_seconds=LIFETIME, stall_seconds=5, **task)
        up.tell(what="version", version=VERSION, version_text="129\n7", entries=[file_entry(self.source)])


@pytest.fixture
async def leader(tmp_path, nursery):
    """A daemon on loopback that requires everything, with one state file."""
    made = await listening(tmp_path, nursery, settings(tmp_path))
    yield made
    for up in made.uploaders:
        up.close()


async def listening(tmp_path, nursery, values):
    """Return a daemon with these settings."""
    source = tmp_path / "leader_state"
    source.write_bytes(os.urandom(600_000))
    observer = Observer()
    leader = Leader(CommandServer(read_security(values.get), observer, host="cm1"), observer, source)
    leader.server.register(FETCH, Level.DAEMON, leader.fetch, is_kept_open=True)
    leader.server.register(NEW, Level.DAEMON, leader.transfer)
    leader.server.register(OLD, Level.DAEMON, leader.call_back)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    leader.address = "<127.0.0.1:%d>" % listeners[0].socket.getsockname()[1]  # noqa: UP031 -- of all forms the plainest
    nursery.start_soon(leader.server.serve, listeners)
    return leader


@pytest.fixture
def down():
    """A downloader without a task."""
    copier = Copier.start("down")
    yield copier
    copier.close()


def ask(down, leader, target, values, protocol, descriptors=(), **task):
    """Tell a downloader to fetch from the leader."""
    down.tell(
        descriptors,
        what="begin",
        protocol=protocol,
        address=leader.address,
        settings=values,
        files=[str(target)],
        lifetime_seconds=LIFETIME,
        stall_seconds=5,
        **task,
    )


def take(down, target):
    """Play the downloader's daemon for one version of ours; return what was received."""
    down.event("offer")
    down.tell(what="take", have=None)
    received = down.event("received")
    install(received, target)
    down.tell(what="installed")
    return received


def install(received, target):
    """Give the one file that was received its name."""
    Path(received["entries"][0]["temporary"]).rename(target)


async def test_a_downloader_dials_and_is_handed_to_an_uploader(leader, down, tmp_path):
    """Login, request, an encrypted copy between two processes; the daemon between them only passed the socket on."""
    target = tmp_path / "state"
    ask(down, leader, target, settings(tmp_path), "ours", request={"Replica": "127.0.0.1:9"})
    received = await trio.to_thread.run_sync(take, down, target)
    assert received["version"] == VERSION
    assert target.read_bytes() == leader.source.read_bytes()
    assert leader.requests == [{"HadProtocol": 1, "Replica": "127.0.0.1:9"}]
    (up,) = leader.uploaders
    sent = await trio.to_thread.run_sync(up.event, "sent")
    assert (sent["result"], sent["bytes"]) == ("ok", 600_000)
    up.tell(what="end")
    assert (await trio.to_thread.run_sync(down.ended))[1] == 0
    assert leader.observer.refusals == []
    assert leader.observer.failures == []


async def test_a_session_of_the_daemons_is_resumed(leader, down, tmp_path):
    """What the daemon agreed on with its peer saves the transferer the login."""
    values = settings(tmp_path)
    client = Client(read_security(values.get))
    address = leader_address(leader)
    async with await client.connect(address, Command.DC_NOP_DAEMON):
        session = client.sessions.find(str(address.sinful()), FETCH, 0.0)
    document = {"identifier": session.identifier, "key": session.key.hex(), "user": session.identity.user}
    target = tmp_path / "state"
    ask(down, leader, target, {}, "ours", session=document)
    await trio.to_thread.run_sync(take, down, target)
    assert target.read_bytes() == leader.source.read_bytes()


def leader_address(leader):
    """Return a daemon's address."""
    from daemoncore.address import Address

    return Address.parse(leader.address)


async def test_the_daemon_may_dial_for_its_transferer(leader, down, tmp_path):
    """A connection on which the daemon has done everything up to the payload is as good."""
    client = Client(read_security(settings(tmp_path).get))
    connection = await client.connect(leader_address(leader), FETCH)
    await connection.send(connection.writer().put_ad(ClassAd({"HadProtocol": 1})))
    descriptor = connection.transport.socket.fileno()
    state = connection.stream.hand_over().to_document()
    ask_with = {"connection": {"descriptor": 0, "stream": state}}
    ask(down, leader, tmp_path / "state", {}, "ours", [descriptor], **ask_with)
    await connection.aclose()
    await trio.to_thread.run_sync(take, down, tmp_path / "state")
    assert (tmp_path / "state").read_bytes() == leader.source.read_bytes()


async def test_a_stranger_gets_nothing(leader, down, tmp_path):
    """Whoever has another key is refused at the login, and the sentence says so; no uploader is started."""
    (tmp_path / "stranger").mkdir()
    values = settings(tmp_path / "stranger")
    (tmp_path / "stranger" / "passwords" / "POOL").write_bytes(scramble(b"another key"))
    ask(down, leader, tmp_path / "state", values, "ours")
    event, status = await trio.to_thread.run_sync(down.ended)
    assert (event["result"], event["fault"], status) == ("failed", "connect", 1)
    assert "REPLICATION_FETCH" in event["reason"]
    assert leader.uploaders == []
    assert not (tmp_path / "state").exists()


async def test_nobody_at_home_is_said(down, tmp_path):
    """A refused connection ends the copy at once."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    down.tell(
        what="begin",
        protocol="ours",
        address=f"<127.0.0.1:{port}>",
        settings={},
        lifetime_seconds=5,
        files=[],
    )
    event, _ = await trio.to_thread.run_sync(down.ended)
    assert (event["fault"], event["reason"]) == ("connect", f"127.0.0.1:{port}: Connection refused")


async def test_the_transfer_of_htcondor_works_between_two_of_ours(leader, down, tmp_path):
    """Command 806, encrypted: one version, its text and its file, then both processes end."""
    ask(down, leader, tmp_path / "state", settings(tmp_path), "condor")
    received = await trio.to_thread.run_sync(down.event, "received")
    assert received["version_text"] == "129\n7"
    install(received, tmp_path / "state")
    assert (tmp_path / "state").read_bytes() == leader.source.read_bytes()
    event, status = await trio.to_thread.run_sync(down.ended)
    assert (event["result"], status) == ("ok", 0)
    await trio.to_thread.run_sync(leader.uploaders[0].event, "sent")
    event, status = await trio.to_thread.run_sync(leader.uploaders[0].ended)
    assert (event["result"], event["versions"], status) == ("ok", 1, 0)
    assert leader.requests == [""]
    assert leader.observer.refusals == []


@pytest.mark.parametrize("protocol", ["condor", "callback", "ours"])
async def test_raw_commands_are_for_pools_without_negotiation(down, tmp_path, nursery, protocol):
    """Where nothing is negotiated, the old call-back works too, and our own command for a peer that is known as ours."""
    leader = await listening(tmp_path, nursery, settings(tmp_path) | RAW)
    target = tmp_path / "state"
    task = {"is_known_ours": True} if protocol == "ours" else {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if protocol == "callback":
            task = {"listener": 0, "call_back_address": "<127.0.0.1:%d>" % listener.getsockname()[1]}  # noqa: UP031 -- as above
        descriptors = [listener.fileno()] if protocol == "callback" else []
        ask(down, leader, target, settings(tmp_path) | RAW, protocol, descriptors, **task)
    if protocol == "ours":
        await trio.to_thread.run_sync(take, down, target)
    else:
        received = await trio.to_thread.run_sync(down.event, "received")
        install(received, target)
        assert (await trio.to_thread.run_sync(down.ended))[1] == 0
    assert target.read_bytes() == leader.source.read_bytes()
    for up in leader.uploaders:
        up.close()
    nursery.cancel_scope.cancel()


async def test_our_command_goes_to_nobody_who_has_not_shown_the_marker(down, tmp_path, nursery):
    """On a raw connection nothing shows who is there, so without the daemon's word our command is not sent."""
    leader = await listening(tmp_path, nursery, settings(tmp_path) | RAW)
    ask(down, leader, tmp_path / "state", settings(tmp_path) | RAW, "ours")
    event, status = await trio.to_thread.run_sync(down.ended)
    assert (event["fault"], status) == ("connect", 1)
    assert "one of ours" in event["reason"]
    assert leader.requests == []
    nursery.cancel_scope.cancel()


async def test_only_the_host_that_was_asked_may_call_back(down, tmp_path, nursery):
    """A call from another address is hung up on: nothing else protects the old transfer."""
    leader = await listening(tmp_path, nursery, settings(tmp_path) | RAW)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = listener.getsockname()
        with socket.create_connection(place, source_address=("127.0.0.2", 0)) as stranger:
            task = {"listener": 0, "call_back_address": "<127.0.0.1:%d>" % place[1]}  # noqa: UP031 -- as above
            ask(
                down,
                leader,
                tmp_path / "state",
                settings(tmp_path) | RAW,
                "callback",
                [listener.fileno()],
                **task,
            )
            await trio.to_thread.run_sync(down.event, "received")
            assert stranger.recv(1) == b""
    for up in leader.uploaders:
        up.close()
    nursery.cancel_scope.cancel()


async def test_a_peer_that_does_not_wait_is_not_handed_over(leader, tmp_path):
    """A part of a message behind the request ends the connection as the peer's fault, and starts no uploader."""
    client = Client(read_security(settings(tmp_path).get))
    async with await client.connect(leader_address(leader), FETCH) as connection:
        request = connection.stream.encode(connection.writer().put_ad(ClassAd({"HadProtocol": 1})))
        early = connection.stream.encode(b"x" * 200, cut_bytes=100)
        await connection.send_bytes(request + early[: len(early) // 2])
        with trio.fail_after(5), pytest.raises(CallFailed):
            await connection.receive()
    assert leader.observer.reasons == ["protocol"]
    assert leader.uploaders == []
