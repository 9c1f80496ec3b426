"""A double of HTCondor's condor_replication and condor_transferer, which speaks HTCondor's messages and no others.

    python -m tests.end_to_end.condor_replication_double CONFIGURATION

CI has no HTCondor; this process stands in its place opposite `had-replication`. It is written from the facts of
HTCondor 25 (ReplicatorStateMachine.cpp, HAD_Version.cpp, UploadReplicaTransferer.cpp, DownloadReplicaTransferer.cpp),
weaknesses included, and not to be better than it:

- nothing is fetched at a join, because the list of collected versions stays empty (23.5 and later);
- what a leader says before the end of its wait is ignored; a missed version is not asked for again;
- only the whole seconds of the state's mtime are looked at, each REPLICATION_INTERVAL;
- it goes on under whatever gid it found, and fetches over anything that it cannot compare;
- each message is a connection of its own, and everything else waits meanwhile;
- Version, then the state, are renamed into place, without a sync;
- 806 to one that does not lead is hung up on. Whose version is not known from a negotiation is asked for a call back (800).

The handshake and the framing are ours, compared with recordings of HTCondor elsewhere (tests/vectors); what is said on
top of them is written here a second time. It shows no marker, so nobody takes it for one of ours.
"""

import hashlib
import os
import socket
import sys
import time
from functools import partial
from pathlib import Path

import attrs
import trio

from daemoncore.address import Address
from daemoncore.authorization import Level
from daemoncore.cedar.authentication import Endpoint
from daemoncore.cedar.client_handshake import (
    ClientHandshake,
    ClientRequest,
    Established,
    shared_port_preamble,
)
from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.sessions import ClientSessions
from daemoncore.cedar.stream import Stream
from daemoncore.server import CommandServer
from daemoncore.startup import Options
from replication.loading import load
from tests.daemoncore.command_ports import Observer

REQUESTING, DOWNLOADING, BACKUP, LEADER = range(4)
TRANSFER_FILE, LEADER_VERSION, NEWLY_JOINED, GIVING_UP, SOLICIT, SOLICIT_REPLY, TRANSFER_FILE_NEW = range(
    800, 807
)
BEFORE_PASSIVE, AFTER_ELECTION, AFTER_LEADER, IN_LEADER = range(703, 707)
CUT_BYTES, CHUNK_BYTES, END_OF_EMPTY_FILE = 4091, 262144, 666
FOREVER = 600
NO_MD5 = bytes(16)


class Trouble(Exception):  # noqa: N818 -- reads as what happened
    """The other end did not do its part."""


# --- one connection, which waits for its turn ------------------------------------------------------------------


class Wire:
    """A connection that blocks."""

    def __init__(self, connection, stream, seconds, prefix=None):
        connection.setblocking(True)
        connection.settimeout(seconds)
        self.connection, self.stream, self._prefix = connection, stream, prefix

    def writer(self):
        """Return a writer; a command without negotiation stands in front of its first payload."""
        writer, self._prefix = self.stream.writer().put_bytes(self._prefix or b""), None
        return writer

    def say(self, writer):
        """Send a message, in packets of the stock size."""
        self.connection.sendall(self.stream.encode(writer, cut_bytes=CUT_BYTES))

    def hear(self):
        """Return the next message."""
        while (message := self.stream.next_message()) is None:
            data = self.connection.recv(65536)
            if not data:
                raise Trouble("the connection was closed")
            self.stream.receive_data(data)
        return message

    def put_file(self, path, *, is_fips):
        """Send a file as utilSafePutFile and put_file do."""
        data = path.read_bytes()
        writer = self.writer()
        if is_fips:
            writer.put_bytes(NO_MD5).put_string(hashlib.sha256(data).hexdigest())
        else:
            writer.put_bytes(hashlib.md5(data).digest())
        writer.put_int(len(data))
        if self.stream.is_encrypted:
            writer.put_int(CHUNK_BYTES)
        self.say(writer)
        if not data:
            self.say(self.writer().put_int(END_OF_EMPTY_FILE))
        elif self.stream.is_encrypted:
            for start in range(0, len(data), CHUNK_BYTES):
                self.say(self.writer().put_bytes(data[start : start + CHUNK_BYTES]))
        else:
            self.connection.sendall(data)

    def get_file(self, path, *, is_fips):
        """Take a file as utilSafeGetFile and get_file do; what comes without a digest that counts is taken too."""
        header = self.hear()
        md5 = header.get_bytes(16)
        sha256 = header.get_text() if md5 == NO_MD5 else ""
        left = header.get_int()
        if self.stream.is_encrypted:
            header.get_int()
        header.end()
        data = b""
        if left == 0:
            end = self.hear()
            if end.get_int() != END_OF_EMPTY_FILE:
                raise Trouble("an empty file ends with 666")
            end.end()
        while len(data) < left:
            data += self.hear().rest() if self.stream.is_encrypted else self._raw(left - len(data))
        if sha256 and sha256.lower() != hashlib.sha256(data).hexdigest():
            raise Trouble("the SHA-256 does not match")
        if not sha256 and not is_fips and md5 != hashlib.md5(data).digest():
            raise Trouble("the MD5 does not match")
        path.write_bytes(data)

    def _raw(self, most_bytes):
        if not self.stream.buffered_bytes:
            self.stream.receive_data(self.connection.recv(65536))
        return bytes(self.stream.receive_raw(most_bytes))

    def is_closed(self):
        """Wait for the end of the connection."""
        return not self.connection.recv(1)

    def close(self):
        """Hang up."""
        self.connection.close()


class Caller:
    """Calls other daemons as HTCondor's do: blocking, with sessions that are kept, and lost where they are not known."""

    def __init__(self, loaded, ourselves):
        self._security, self._ourselves = loaded.security, ourselves
        self._host = loaded.settings.me.numeric.host
        self._sessions = ClientSessions()

    def call(self, sinful, command, seconds):
        """Return a connection on which a command was accepted."""
        address, policy = Address.parse(sinful), self._security.client_policy
        connection = socket.create_connection((address.host, address.port), seconds, (self._host, 0))
        try:
            session = self._sessions.find(sinful, command, time.time())
            if policy.is_plain and session is None:
                stream = Stream(AFTER_AUTHENTICATION)
                if address.sock:
                    connection.sendall(shared_port_preamble(stream, address.sock, "REPLICATION"))
                return Wire(connection, stream, seconds, stream.writer().put_int(command).body())
            request = ClientRequest(
                command=command,
                policy=policy,
                endpoint=Endpoint(address.host, address.port, address.sock),
                session=session,
                client_name="REPLICATION",
                address=sinful,
            )
            return Wire(connection, self._shake_hands(connection, request), seconds)
        except BaseException:
            connection.close()
            raise

    def _shake_hands(self, connection, request):
        dice = lambda _purpose, length: os.urandom(length)  # noqa: E731 -- one word
        handshake = ClientHandshake(request, self._ourselves, self._security.credentials, dice)
        to_send = handshake.start(time.time())
        while True:
            connection.sendall(to_send)
            data = connection.recv(65536)
            if not data:
                raise Trouble("the connection was closed during the handshake")
            result = handshake.receive_data(data, time.time())
            to_send = handshake.data_to_send()
            if result is None:
                continue
            if not isinstance(result, Established):
                if request.session:
                    # The message is lost; the next one makes a new session.
                    self._sessions.drop(request.session.identifier)
                raise Trouble(result.reason)
            if to_send:
                connection.sendall(to_send)
            if result.new_session:
                self._sessions.add(request.address, result.new_session, time.time())
            return handshake.stream


# --- the version and its two files -----------------------------------------------------------------------------


class Version:
    """The Version class: gid and clock, `$(SPOOL)/Version`, and the last mtime in whole seconds."""

    def __init__(self, settings):
        self.file, self.state_file = settings.spool / "Version", settings.paths[0]
        self.gid = self.clock = 0
        self._modified = -1
        if not self.load():
            self._save()
        self.synchronize(is_counted=False)

    def load(self):
        """Read the file; return whether there is one."""
        if not self.file.exists():
            return False
        self.gid, self.clock = map(int, self.file.read_text().split())
        return True

    def _save(self):
        self.file.write_text(f"{self.gid}\n{self.clock}")

    def synchronize(self, *, is_counted):
        """Look whether the state was changed; return whether that made a new version."""
        self.load()
        self.state_file.touch()
        modified = int(self.state_file.stat().st_mtime)
        if self._modified >= modified:
            return False
        self._modified = modified
        if is_counted:
            self.clock += 1
            self._save()
        return is_counted


# --- the daemon -------------------------------------------------------------------------------------------------


class Double:
    """ReplicatorStateMachine."""

    def __init__(self, configuration):
        self._loaded = load(Options(configuration), os.environ)
        self._settings = settings = self._loaded.settings
        security = self._loaded.security
        ourselves = attrs.evolve(
            security.ourselves,
            subsystem="REPLICATION",
            command_address=str(settings.me.numeric.sinful()),
            is_marked=False,
        )
        self._server = CommandServer(attrs.evolve(security, ourselves=ourselves), Observer())
        self._caller = Caller(self._loaded, ourselves)
        self._sinful = str(settings.me.numeric.sinful())
        self._peers = [str(m.numeric.sinful()) for m in settings.members if m is not settings.me]
        self._state = REQUESTING
        self._version = Version(settings)
        self._is_downloading = False
        self._last_alive = 0.0
        self._had_seconds = 2 * (2 * settings.connection_timeout_seconds * len(settings.members) + 1)

    def _log(self, *words):
        print(f"{time.time():.3f}", *words, file=sys.stderr, flush=True)

    async def run(self):
        """Serve until killed."""
        for command in (*range(BEFORE_PASSIVE, IN_LEADER + 1), *range(TRANSFER_FILE, TRANSFER_FILE_NEW + 1)):
            self._server.register(command, Level.DAEMON, self._commanded)
        me = self._settings.me.numeric
        listeners = await trio.open_tcp_listeners(me.port, host=me.host)
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._server.serve, listeners)
            self._nursery.start_soon(self._tick)
            self._log("joins with", self._version.gid, self._version.clock)
            self._broadcast(NEWLY_JOINED)
            for peer in self._peers:
                self._send(peer, SOLICIT)
            await trio.sleep(self._settings.joining_seconds)
            # VERSION_DOWNLOADING would fetch the best of the versions collected, of which there are always none.
            self._state = BACKUP
            self._log("is a backup")

    async def _tick(self):
        while True:
            await trio.sleep(self._settings.interval_seconds)
            if self._state != LEADER:
                continue
            if self._version.synchronize(is_counted=True):
                self._broadcast(LEADER_VERSION)
            if time.time() - self._last_alive > self._had_seconds:
                self._broadcast(GIVING_UP)
                self._state = BACKUP

    # --- saying -------------------------------------------------------------------------------------------------

    def _broadcast(self, command):
        for peer in self._peers:
            self._send(peer, command)

    def _send(self, sinful, command):
        """Send a command; nothing else happens until it is sent or has failed."""
        try:
            wire = self._caller.call(sinful, command, self._settings.connection_timeout_seconds)
            try:
                writer = wire.writer().put_string(self._sinful)
                if command != SOLICIT:
                    writer.put_int(self._version.gid).put_int(self._version.clock).put_string(self._sinful)
                    writer.put_int(0).put_int(self._state)
                wire.say(writer)
            finally:
                wire.close()
        except (OSError, Trouble) as error:
            self._log("cannot send", command, "to", sinful, error)

    # --- hearing ------------------------------------------------------------------------------------------------

    async def _commanded(self, request):
        reader, command, state = request.reader, request.command, self._state
        sinful = reader.get_text()
        self._log("hears", command, "from", sinful or request.address, "in state", state)
        if command == SOLICIT and state in (BACKUP, LEADER):
            self._send(sinful, SOLICIT_REPLY)
        elif command == LEADER_VERSION and state == BACKUP:
            # Whether a peer knows the new transfer is told by its version, which a negotiation brings.
            self._leader_has(reader, is_new=bool(request.peer.version))
        elif command in (AFTER_ELECTION, IN_LEADER) and state in (BACKUP, LEADER):
            if command == AFTER_ELECTION and state == LEADER:
                sys.exit("m_state != REPLICATION_LEADER")
            self._state, self._last_alive = LEADER, time.time()
        elif command == AFTER_LEADER and state == LEADER:
            self._broadcast(GIVING_UP)
            self._state = BACKUP
        elif command == TRANSFER_FILE and state == LEADER:
            self._in_background(partial(self._upload_calling_back, sinful))
        elif command == TRANSFER_FILE_NEW and state == LEADER:
            stream, descriptor = request.hand_over()
            wire = Wire(socket.socket(fileno=descriptor), Stream.take_over(stream), FOREVER)
            self._in_background(partial(self._upload, wire, is_asked=True))

    def _leader_has(self, reader, *, is_new):
        gid, clock, sinful = reader.get_int(), reader.get_int(), reader.get_text()
        reader.get_int(), reader.get_int()
        reader.end()
        self._version.load()
        is_better = gid != self._version.gid or clock > self._version.clock
        if is_better and not self._is_downloading:
            self._is_downloading = True
            self._nursery.start_soon(self._look_after_download, sinful, is_new)

    # --- transferers --------------------------------------------------------------------------------------------

    def _in_background(self, act):
        self._nursery.start_soon(self._guarded, act)

    async def _guarded(self, act):
        try:
            return await trio.to_thread.run_sync(act, abandon_on_cancel=True)
        except (OSError, Trouble) as error:
            self._log("a transferer fails:", error)
            return False

    async def _look_after_download(self, sinful, is_new):
        """The reaper: Version is renamed first, then the state, whatever this node has become meanwhile."""
        started = "down-new" if is_new else "down"
        self._log(started, "from", sinful)
        is_good = await self._guarded(partial(self._download, sinful, is_new))
        if is_good:
            _temporary(self._version.file, "down").rename(self._version.file)
            self._version.load()
            # Said before the state shows it, as HTCondor does, so that who looks at the state may read on from here.
            self._log("has", self._version.gid, self._version.clock)
            _temporary(self._version.state_file, "down").rename(self._version.state_file)
            self._version.synchronize(is_counted=False)
        self._is_downloading = False

    def _download(self, sinful, is_new):
        seconds, listener = self._settings.connection_timeout_seconds, None
        if not is_new:
            listener = socket.create_server((self._settings.me.numeric.host, 0))
            listener.settimeout(self._settings.lifetime_seconds / 2)
        wire = self._caller.call(sinful, TRANSFER_FILE_NEW if is_new else TRANSFER_FILE, seconds)
        if listener is None:
            wire.say(wire.writer().put_string(""))
            reply = wire.hear()
            if reply.get_int() != 1:
                raise Trouble("the uploader does not say 1")
            reply.end()
        else:
            with listener:
                host, port = listener.getsockname()
                wire.say(wire.writer().put_string(f"<{host}:{port}>"))
                wire.close()
                wire = Wire(listener.accept()[0], Stream(AFTER_AUTHENTICATION), FOREVER)
        try:
            for file in (self._version.file, self._version.state_file):
                wire.get_file(_temporary(file, "down"), is_fips=self._settings.is_fips)
        finally:
            wire.close()
        return True

    def _upload_calling_back(self, sinful):
        address = Address.parse(sinful)
        source = (self._settings.me.numeric.host, 0)
        connection = socket.create_connection((address.host, address.port), FOREVER, source)
        self._upload(Wire(connection, Stream(AFTER_AUTHENTICATION), FOREVER), is_asked=False)

    def _upload(self, wire, *, is_asked):
        try:
            if is_asked:
                wire.say(wire.writer().put_int(1))
            # Each file is copied first, so the two may be of different moments.
            copies = [
                (file, _temporary(file, "up")) for file in (self._version.file, self._version.state_file)
            ]
            for file, copy in copies:
                copy.write_bytes(file.read_bytes())
            for _, copy in copies:
                wire.put_file(copy, is_fips=self._settings.is_fips)
                copy.unlink()
        finally:
            wire.close()
        return True


def _temporary(file, ending):
    """Return the temporary name of a file; in the original the number is the transferer's."""
    return Path(f"{file}.{os.getpid()}.{ending}")


if __name__ == "__main__":
    trio.run(Double(sys.argv[1]).run)
