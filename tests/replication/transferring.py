"""Two nodes with real transferers over loopback: a leader's command port, a follower's pair, and what both were told."""

import contextlib
import hashlib
import os
import socket
from pathlib import Path

import attrs
import trio

from daemoncore.authorization import Level
from daemoncore.cedar.commands import Command
from daemoncore.cedar.stream import Stream
from daemoncore.children import Children
from daemoncore.durable_writer import DurableWriter
from daemoncore.process import children
from daemoncore.security import read_security
from daemoncore.server import CommandServer
from replication.leftovers import Background
from replication.manifest import FileRecord, Held
from replication.pair import Pair
from replication.places import Places
from replication.sendable import Sendable, SendableFile
from replication.transfer_terms import REMARKS, Terms
from replication.transfers import Transfers
from replication.version import Version
from tests.daemoncore.command_ports import Observer, settings

PATIENCE_SECONDS = 30
RAW = {f"SEC_DEFAULT_{feature}": "OPTIONAL" for feature in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")} | {
    "SEC_DEFAULT_NEGOTIATION": "NEVER",
    "ALLOW_DAEMON": "*",
}
"""Settings of a pool that negotiates nothing, so that everything is sent in the clear."""

ONE = Version(385, 4, (), is_rooted=True)


@attrs.define
class Told:
    """A `TransferObserver` that remembers; versions by their points, endings by result."""

    started: list = attrs.field(factory=list)
    sent: list = attrs.field(factory=list)
    received: list = attrs.field(factory=list)
    ended: list = attrs.field(factory=list)
    checksums: list = attrs.field(factory=list)
    remarks: list = attrs.field(factory=list)

    def transfer_started(self, direction, peer):
        """Remember it."""
        self.started.append((direction.value, peer))

    def version_sent(self, peer, version, moved_bytes, seconds):
        """Remember it."""
        assert seconds >= 0
        self.sent.append((peer, str(version), moved_bytes))

    def version_received(self, peer, version, moved_bytes, seconds):
        """Remember it."""
        assert seconds >= 0
        self.received.append((peer, str(version), moved_bytes))

    def checksum_failed(self, peer):
        """Remember it."""
        self.checksums.append(peer)

    def transfer_ended(self, direction, peer, result, moved_bytes, seconds, reason):
        """Remember how it ended."""
        assert peer
        assert moved_bytes >= 0
        assert seconds >= 0
        self.ended.append((direction.value, result, reason))

    def remark(self, event, **fields):
        """Remember it."""
        assert event in REMARKS
        self.remarks.append((event, fields))


class Node:
    """One replica: its places, its pair, its transfers, and, of the leader, its command port."""

    def __init__(self, folder, values, *, name="state", is_folder=False, paths=None, **terms):
        for part in ("state", "spool", "had"):
            (folder / part).mkdir(parents=True)
        paths = paths or (folder / "state" / name,)
        self.places = Places(tuple(paths), is_folder, folder / "spool" / "Version", folder / "had")
        self.pair = Pair(self.places)
        self.told = Told()
        self.terms = Terms(
            **{
                "lifetime_seconds": 60.0,
                "stall_seconds": 20.0,
                "security": values,
                "environment": os.environ,
                "grace_seconds": 10.0,
                **terms,
            }
        )
        self.writer = DurableWriter()
        self.sessions = {}
        self._post, self.events = trio.open_memory_channel(1000)
        self.transfers = Transfers(
            self.places,
            self._post.send_nowait,
            self.told,
            lambda: self.terms,
            Children(),
            self._in_background,
            session_of=lambda peer, _command: self.sessions.get(peer),
            wall_clock=lambda: 1_700_000_000.0,
        )
        # Of a leader.
        self.sendable = None
        self.is_staying = True
        self.requests = []
        self.protocols = []
        self.peer = ""

    def _in_background(self, act):
        self.writer.submit("", act)

    @property
    def state(self):
        """The one path of the state."""
        return self.places.paths[0]

    @property
    def left(self):
        """What lies beside the state."""
        return sorted(path.name for path in self.state.parent.iterdir() if path not in self.places.paths)

    async def event(self, kind, **fields):
        """Return the next event, which is of this kind and has these fields."""
        with trio.fail_after(PATIENCE_SECONDS):
            event = await self.events.receive()
        assert isinstance(event, kind), event
        assert {name: getattr(event, name) for name in fields} == fields
        return event

    async def install(self, number, received):
        """Do what the disk side does with what a download has brought."""
        arrival = self.transfers.arrival(number)
        assert arrival.files == received.files
        await self.commit(arrival, received.version)
        self.transfers.installed(number)
        return arrival

    async def commit(self, arrival, version):
        """Put what has arrived in its place."""
        held = Held(version, arrival.files)

        def commit():
            self.pair.commit(arrival.number, held, arrival.starts, is_controllee_running=lambda: False)

        await Background(self._in_background, self.told).perform(commit)

    # --- a leader's -------------------------------------------------------------------------------------------

    async def listen(self, nursery, values):
        """Open the command port."""
        server = CommandServer(read_security(values.get), Observer(), host="cm1")
        server.register(Command.REPLICATION_FETCH, Level.DAEMON, self.fetch, is_kept_open=True)
        server.register(Command.REPLICATION_TRANSFER_FILE_NEW, Level.DAEMON, self.transfer)
        server.register(Command.REPLICATION_TRANSFER_FILE, Level.DAEMON, self.call_back)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.peer = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.start_soon(server.serve, listeners)

    async def fetch(self, request):
        """Answer one of ours."""
        ad = request.reader.get_ad()
        request.reader.end()
        self.requests.append({name: ad[name] for name in ad})
        self.start_upload(request.hand_over(), "ours")

    async def transfer(self, request):
        """Answer a real one."""
        assert request.reader.get_string() == ""
        self.start_upload(request.hand_over(), "condor")

    async def call_back(self, request):
        """Answer a real one of old."""
        self.start_upload(None, "callback", call_back=request.reader.get_string())

    def start_upload(self, connection, protocol, **more):
        """Send what there is."""
        self.protocols.append(protocol)
        number = len(self.told.started) + 1
        is_staying = self.is_staying and protocol == "ours"
        self.transfers.start_upload(
            number, "127.0.0.9:1", connection, self.sendable, protocol, is_staying=is_staying, **more
        )


class ScriptedLeader(Node):
    """A leader whose every byte the test says."""

    connection = None

    def start_upload(self, connection, protocol, **more):
        """Keep the connection."""
        assert (protocol, more) == ("ours", {})
        state, descriptor = connection
        self.stream = Stream.take_over(state)
        self.connection = trio.socket.from_stdlib_socket(socket.socket(fileno=descriptor))

    async def asked(self):
        """Wait until somebody asks."""
        await until(lambda: self.connection is not None)

    async def say(self, data):
        """Send bytes."""
        data = memoryview(data)
        while data:
            data = data[await self.connection.send(data) :]

    async def hear(self, read, *arguments):
        """Wait for a message that says more than that somebody is busy, and return it as read."""
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                while (message := self.stream.next_message()) is not None:
                    if (found := read(message, *arguments)) is not None:
                        return found
                self.stream.receive_data(await self.connection.recv(65536))


async def until(condition):
    """Wait until something is so that other processes bring about."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 -- another process brings it about
            await trio.sleep(0.002)


def _possessions():
    """Count what a process may forget to give back: descriptors, and children, dead ones too."""
    return len(list(Path("/proc/self/fd").iterdir())), children(os.getpid())


@contextlib.asynccontextmanager
async def pool(folder, *, is_raw=False, leader=Node, of_leader=None, **of_follower):
    """A leader and a follower; afterwards no process is left of either, and no descriptor."""
    values = settings(folder) | (RAW if is_raw else {})
    before = _possessions()
    made = (
        leader(folder / "leader", values, **(of_leader or {})),
        Node(folder / "follower", values, **of_follower),
    )
    try:
        async with trio.open_nursery() as nursery:
            for node in made:
                await nursery.start(node.transfers.run)
            await made[0].listen(nursery, values)
            yield made
            nursery.cancel_scope.cancel()
    finally:
        closed = [node.writer.close(timeout_seconds=10) for node in made]
        assert all(closed)
        if isinstance(made[0], ScriptedLeader) and made[0].connection:
            made[0].connection.close()
    assert _possessions() == before


def record(content, name="0", **changes):
    """Describe a file by what stands in it."""
    return attrs.evolve(FileRecord(name, len(content), hashlib.sha256(content).hexdigest()), **changes)


def sendable(version, *contents, folder, is_append=False, is_open=True):
    """Write files and return them as a version; whoever gets it closes its descriptors with `close`."""
    files = []
    for place, content in enumerate(contents):
        path = Path(folder) / f"source{place}"
        path.write_bytes(content)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if is_open else -1
        files.append(SendableFile(record(content, str(place)), path, descriptor, is_append))
    return Sendable(version, False, tuple(files))


def close(one):
    """Close a version's descriptors."""
    for file in one.files:
        if file.descriptor >= 0:
            os.close(file.descriptor)


def folder_sendable(version, contents, *, folder):
    """Write a tree, given as contents by names and None for folders, and return it as a version."""
    files = []
    for name, content in sorted(contents.items()):
        path = Path(folder) / name
        if content is None:
            path.mkdir(parents=True)
            files.append(SendableFile(FileRecord(name, 0, "0" * 64, 0o750), path, is_folder=True))
        else:
            path.write_bytes(content)
            files.append(SendableFile(record(content, name), path))
    return Sendable(version, True, tuple(files))
