"""Speaks to a replication daemon as another replica would, or as nobody should: word by word, as the test has it.

An impostor takes the place of a member of the pool and has the pool's own credentials, so what it says is authentic;
whether it is believed is what the tests ask. It reports what the test says, hands each copy process that asks it for
the state to the test, and asks for the state itself.
"""

import contextlib
import hashlib
import itertools
import queue
import socket
import threading
import time

import trio

from daemoncore.address import Address
from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.stream import Stream
from daemoncore.server import CommandServer
from daemoncore.startup import Options
from replication import messages
from replication.events import Report, State
from replication.loading import load
from replication.manifest import FileRecord, fingerprint
from replication.version import Version
from tests.daemoncore.command_ports import Observer
from transferer import versions
from transferer.dial import dial
from transferer.versions import End, Entry, EntryKind, Offer, Result

PATIENCE_SECONDS = 15
CHUNK_BYTES = 256 * 1024


class Hungup(Exception):  # noqa: N818 -- reads as what happened
    """The other end closed the connection."""


class Call:
    """One connection, from either end: messages out, messages in, and its end."""

    def __init__(self, connection, stream, prefix=b""):
        self.connection = connection
        self.stream = stream
        self._prefix = prefix
        connection.settimeout(PATIENCE_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def close(self):
        """Hang up."""
        self.connection.close()

    def send(self, data):
        """Send bytes as they are; Hungup when nobody takes them any more."""
        try:
            self.connection.sendall(data)
        except ConnectionError as error:
            raise Hungup(str(error)) from error

    def say(self, content=b""):
        """Send one message of these bytes; the first one brings the command, if no handshake did."""
        self.send(self.stream.encode(self.stream.writer().put_bytes(self._prefix + content)))
        self._prefix = b""

    def say_text(self, text):
        """Send one message that is a string."""
        self.send(self.stream.encode(self.stream.writer().put_bytes(self._prefix).put_string(text)))

    def say_ad(self, ad, command=None):
        """Send an ad, behind a command if it is not the first message."""
        writer = self.stream.writer().put_bytes(self._prefix)
        self._prefix = b""
        if command is not None:
            writer.put_int(command)
        self.send(self.stream.encode(writer.put_ad(ad)))

    def hear(self):
        """Return the next message; Hungup when there is none."""
        while (message := self.stream.next_message()) is None:
            try:
                data = self.connection.recv(65536)
            except ConnectionError as error:
                raise Hungup(str(error)) from error
            if not data:
                raise Hungup("the connection was closed")
            self.stream.receive_data(data)
        return message

    def is_hung_up(self):
        """Wait until the other end closes, whatever it says before; False if it does not in time."""
        try:
            while self.connection.recv(65536):
                continue
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True


class Fetch(Call):
    """A copy process of a victim that asks an impostor for the state; the test plays the copy process that answers."""

    def offer(self, version, *contents, names=None, sizes=None, is_folder=False):
        """Offer a version with so many files; `names` and `sizes` say something else than is so."""
        names = [str(place) for place in range(len(contents))] if names is None else names
        sizes = [len(content) for content in contents] if sizes is None else sizes
        entries = tuple(Entry(name, size=size) for name, size in zip(names, sizes, strict=True))
        self.offer_entries(version, entries, is_folder=is_folder)

    def offer_entries(self, version, entries, *, is_folder=False):
        """Offer a version with these entries."""
        self.send(versions.encode_offer(self.stream, Offer(version.to_document(), is_folder, entries)))

    def is_wanted(self):
        """Whether the other end wants what was offered."""
        while (kind := self.hear().get_int()) == versions.Kind.BUSY:
            continue
        return kind == versions.Kind.HAVE

    def begin(self, index=0, start=0):
        """Say that a file's bytes come next."""
        self.send(versions.encode_content(self.stream, index, start, is_same=False))

    def content(self, data):
        """Send bytes of the file."""
        for place in range(0, len(data), CHUNK_BYTES):
            chunk = data[place : place + CHUNK_BYTES]
            self.send(self.stream.encode(chunk) if self.stream.is_encrypted else chunk)

    def pour(self, data, pause_seconds=0.0):
        """Send these bytes of the file over and over until the other end does not take them any more.

        Args:
            data: what to send.
            pause_seconds: how long to wait for a word after each time.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        self.connection.settimeout(pause_seconds or PATIENCE_SECONDS)
        while time.monotonic() < until:
            try:
                self.content(data)
                if pause_seconds:
                    self.hear()
            except TimeoutError:
                continue
            except Hungup:
                return
        raise AssertionError("everything is taken, without an end")

    def digest(self, sha256):
        """Say what the file's digest is."""
        self.send(versions.encode_digest(self.stream, sha256))

    def receipt(self):
        """Return the other end's last word on the version."""
        while (end := versions.read_receipt(self.hear())) is None:
            continue
        return end

    def give(self, version, *contents, **offered):
        """Send a whole version as it should be; return the receipt."""
        self.offer(version, *contents, **offered)
        return self._give(contents)

    def give_entries(self, version, entries, contents):
        """Send a folder as it should be, a content for each entry; return the receipt."""
        self.offer_entries(version, entries, is_folder=True)
        folders = {place for place, entry in enumerate(entries) if entry.kind is EntryKind.FOLDER}
        return self._give(contents, folders)

    def _give(self, contents, folders=()):
        if not self.is_wanted():
            return End(Result.STALE)
        for place, content in enumerate(contents):
            if place not in folders:
                self.begin(place)
                self.content(content)
                self.digest(hashlib.sha256(content).digest())
        return self.receipt()


class Asked(Call):
    """An impostor that asks for the state as a copy process does; the test says how far it goes."""

    def want(self):
        """Hear what is offered and want all of it; return how large each file is."""
        offer = versions.read_offer(self.hear(), 1 << 40)
        self.send(versions.encode_have(self.stream, [None for _ in offer.entries]))
        return [entry.size for entry in offer.entries]

    def take(self):
        """Take a version of one file; return its bytes."""
        (left,) = self.want()
        message, content = self.hear(), bytearray()
        assert message.get_int() == versions.Kind.CONTENT
        while len(content) < left:
            content += self.hear().rest() if self.stream.is_encrypted else self._raw(left - len(content))
        assert self.hear().get_int() == versions.Kind.DIGEST
        self.send(versions.encode_receipt(self.stream, End(Result.OK)))
        return bytes(content)

    def _raw(self, most_bytes):
        if not self.stream.buffered_bytes:
            self.stream.receive_data(self.connection.recv(CHUNK_BYTES))
        return bytes(self.stream.receive_raw(most_bytes))


class ReplicaImpostor:
    """Stands in a member's place; listens there until `close`.

    Args:
        pool: the pool.
        node: the member whose address it has; its daemons do not run.
    """

    def __init__(self, pool, node):
        self.pool = pool
        self.node = node
        self.entry = node.replica_entry
        self.loaded = load(Options(str(node.configuration)), pool.environment)
        self._numbers = itertools.count(1)
        self.instance = 1
        self._fetches = queue.Queue()
        is_up = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run, is_up), daemon=True)
        self._thread.start()
        is_up.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def close(self):
        """Be gone: nobody listens at the address any more."""
        trio.from_thread.run_sync(self._scope.cancel, trio_token=self._token)
        self._thread.join()
        while not self._fetches.empty():
            self._fetches.get().close()

    # --- speaking ---------------------------------------------------------------------------------------------

    @classmethod
    def caller(cls, pool, node):
        """Return one that only calls, from the address of a node that is real."""
        self = cls.__new__(cls)
        self.pool, self.node, self.entry = pool, node, node.replica_entry
        self.loaded = load(Options(str(node.configuration)), pool.environment)
        return self

    def call(self, to, command, *, source=None, settings=None, kind=Call):
        """Have a command accepted by a replica; CopyFailed when it is not."""
        document = {
            "address": str(Address.parse(to.replica_entry).sinful()),
            "source_address": self.node.host if source is None else source,
            "settings": dict(self.loaded.security_texts) | (settings or {}),
            "is_known_ours": True,
        }
        return kind(*dial(document, command, PATIENCE_SECONDS))

    def report(self, *victims, **fields):
        """Report to replicas what is held here; see `report_ad`."""
        ad = self.report_ad(**fields)
        for victim in victims:
            with self.call(victim, Command.REPLICATION_REPORT) as call:
                call.say_ad(ad)

    def report_ad(self, *, state=State.BACKUP, version=None, contents=(), seconds=60.0, **changes):
        """Return a report of what is held here, good for so long; `changes` say something else than is so."""
        records = tuple(
            FileRecord(str(place), len(content), hashlib.sha256(content).hexdigest())
            for place, content in enumerate(contents)
        )
        fields = {
            "sender": self.entry,
            "state": state,
            "version": version,
            "fingerprint": fingerprint(records) if version else "",
            "instance": self.instance,
            "sequence": next(self._numbers),
            "validity_seconds": seconds,
        }
        return messages.encode_report(Report(**fields | changes))

    def lead(self, *victims, gid, clock=1, contents=(), **fields):
        """Report to lead with a version of one's own; return the version."""
        version = Version(gid, clock, (), is_rooted=True)
        self.report(*victims, state=State.LEADER, version=version, contents=contents, **fields)
        return version

    def fall_silent(self, *victims):
        """Take everything back that was reported."""
        self.report(*victims, seconds=0.0)

    def ask(self, to, **attributes):
        """Ask a replica for the state, as its copy process would."""
        call = self.call(to, Command.REPLICATION_FETCH, kind=Asked)
        call.say_ad(ClassAd({"HadProtocol": 1, "ReplicationSender": self.entry, **attributes}))
        return call

    # --- being asked ------------------------------------------------------------------------------------------

    def next_fetch(self, seconds=PATIENCE_SECONDS):
        """Wait until somebody asks for the state."""
        return self._fetches.get(timeout=seconds)

    async def _run(self, is_up):
        self._token = trio.lowlevel.current_trio_token()
        address = Address.parse(self.entry)
        server = CommandServer(self.loaded.security, Observer())
        server.register(Command.REPLICATION_REPORT, Level.DAEMON, self._reported, is_kept_open=True)
        server.register(Command.REPLICATION_FETCH, Level.DAEMON, self._asked)
        # It is by this one that a daemon finds out whether it would be heard.
        server.register(Command.REPLICATION_LEADER_VERSION, Level.DAEMON, self._reported)
        with trio.CancelScope() as self._scope:
            listeners = await trio.open_tcp_listeners(address.port, host=address.host)
            is_up.set()
            await server.serve(listeners)

    async def _reported(self, request):
        """Hear what the others report, and keep it to oneself."""
        request.reader.get_ad()
        async with contextlib.aclosing(request.messages()) as following:
            async for _, reader in following:
                reader.get_ad()

    async def _asked(self, request):
        request.reader.get_ad()
        request.reader.end()
        state, descriptor = request.hand_over()
        self._fetches.put(Fetch(socket.socket(fileno=descriptor), Stream.take_over(state)))
