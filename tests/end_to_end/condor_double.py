"""A double of the real condor_had, as a process of its own: HTCondor's messages and timing, and nothing of ours.

    python -m tests.end_to_end.condor_double -c FILE LIVES [-r HOST:PORT]

It reads the same configuration as `had`. Written from the behaviour of HTCondor 25 (StateMachine.cpp), its conversations
are those recorded in tests/vectors (01-raw-had, 07-had): sessions without our marker, one connection for each message,
the ad with HTCondor's own attributes only. The table of steps is that of the simulator's model, `tests.simulation.condor`.

What makes HTCondor what it is, is kept: one thread, so nothing is read while it sends; sends one after another, each up to
T for the connection, which is tried again while it is refused, and T for the command; a message whose session the peer has forgotten is lost; one step and two rounds
of messages in an interval of 2 * (2 * T * N + 1) seconds. HTCondor takes whole seconds only, the double any T.

Its condor_master is a stand-in in the same process, which starts and stops the negotiator, `witness_controllee.py LIVES`.
The negotiator outlives a killed condor_had, as HTCondor's does; the next one has it stopped first thing. `-r` names a
replication daemon, which is told of leadership (704 to 706).
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import attrs
import trio

from daemoncore.address import Address
from daemoncore.authorization import Level
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.handshake import Outcome
from daemoncore.client import CallFailed, Client, ConnectionRefused, Denied, Reset, TimedOut
from daemoncore.server import CommandServer
from daemoncore.startup import Options, listen_for_commands
from had.loading import load
from had.transitions import State
from tests.end_to_end.lives import is_alive
from tests.simulation.condor import KEEPS_IDS, RETRY_SECONDS, next_state

WITNESS_CONTROLLEE = Path(__file__).with_name("witness_controllee.py")
ROUNDS = {State.ELECTION: Command.HAD_SEND_ID_CMD, State.LEADER: Command.HAD_ALIVE_CMD}
VERSION = "$CondorVersion: 25.14.0 2026-11-22 PRE-RELEASE-UWCS $"


class OneThread:
    """HTCondor's one thread: while it sends, whatever peers say waits."""

    def __init__(self):
        self._idle = trio.Event()
        self._idle.set()

    @contextmanager
    def busy(self):
        """Keep everybody waiting."""
        self._idle = trio.Event()
        try:
            yield
        finally:
            self._idle.set()

    async def until_idle(self):
        """Wait until it has time to read."""
        while not self._idle.is_set():
            await self._idle.wait()


class PatientStream(trio.abc.Stream):
    """A peer's connection, read when the thread has time."""

    def __init__(self, stream, thread):
        self._stream, self._thread = stream, thread

    async def receive_some(self, max_bytes=None):
        """Receive, and look at it later if there is no time now."""
        await self._thread.until_idle()
        data = await self._stream.receive_some(max_bytes)
        await self._thread.until_idle()
        return data

    async def send_all(self, data):
        """As the connection does."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self):
        """As the connection does."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self):
        """As the connection does."""
        await self._stream.aclose()


class OneThreadServer(CommandServer):
    """A command port whose connections wait for the thread."""

    thread: OneThread

    async def serve_connection(self, stream, *, address, endpoint):
        """Serve a connection at the pace of the thread."""
        await super().serve_connection(PatientStream(stream, self.thread), address=address, endpoint=endpoint)


class BlockingClient(Client):
    """Calls with T for the connection and T for the command; a forgotten session costs the message."""

    timeout_seconds: float

    async def _dial(self, address):
        with trio.move_on_after(self.timeout_seconds):
            while True:
                try:
                    return await super()._dial(address)
                except ConnectionRefused:
                    await trio.sleep(RETRY_SECONDS)
        raise TimedOut(address, "cannot connect")

    async def introduce(self, transport, address, request):
        """Start the command."""
        with trio.move_on_after(self.timeout_seconds):
            return await super().introduce(transport, address, request)
        raise TimedOut(address, "cannot start the command")

    async def _call(self, address, request):
        try:
            return await super()._call(address, request)
        except Denied as denied:
            if request.session is None or denied.outcome is not Outcome.SESSION_NOT_FOUND:
                raise
            self.sessions.drop(request.session.identifier)
            raise Reset(address, "the session is not known any more", has_heard=True) from denied


@attrs.define
class Master:
    """The stand-in for condor_master: one negotiator, whose process id outlives us in a file."""

    lives_file: Path
    _process: subprocess.Popen | None = None

    @property
    def _pid_file(self):
        return self.lives_file.with_suffix(".negotiator")

    def child_on(self):
        """CHILD_ON: start the negotiator, unless it runs."""
        if self._pid() is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WITNESS_CONTROLLEE), str(self.lives_file)],
                start_new_session=True,
            )
            self._pid_file.write_text(str(self._process.pid))

    def child_off_fast(self):
        """CHILD_OFF_FAST: ask the negotiator to stop; nobody waits for it."""
        pid = self._pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)

    def _pid(self):
        if self._process is not None:
            self._process.poll()
        pid = int(self._pid_file.read_text()) if self._pid_file.exists() else None
        return pid if pid is not None and is_alive(pid) else None


class CondorHad:
    """condor_had: the cycle, the step, the round of messages."""

    def __init__(self, settings, security, master, replication=None):
        self.settings, self.master, self.replication = settings, master, replication
        self.state = State.PRE
        self.alive, self.elected = set(), set()
        self.thread = OneThread()
        self._firings = self._updates = 0
        self._is_active = False
        self._started_at = int(time.time())
        address = Address.parse(settings.me)
        unmarked = attrs.evolve(security, ourselves=attrs.evolve(security.ourselves, is_marked=False))
        self._security = unmarked.speaking_from(str(address.sinful()))
        self._address = address
        self._client = BlockingClient(self._security, source_address=address.host)
        self._client.timeout_seconds = settings.timeout_seconds

    def ad(self):
        """Return the ad, which is the message: HTCondor's attributes, in its order."""
        s, host = self.settings, self._address.host
        addresses = (
            f'[ p="{kind}"; a="{host}"; port={self._address.port}; n="Internet"; alias="{host}"; ]'
            for kind in ("primary", "IPv4")
        )
        items = [
            ("Name", f"condor@{host}"),
            ("MyType", "HAD"),
            ("HadList", ",".join(f"<{member}>" for member in s.members)),
            ("Machine", host),
            ("HadIndex", len(s.members) - 1 - s.my_id),
            ("AddressV1", "{" + ", ".join(addresses) + "}"),
            ("HadSelfID", s.my_id),
            ("MyAddress", f"<{s.me}?addrs={host}-{self._address.port}&alias={host}>"),
            # A boolean at the start, a text from the first change on.
            ("HadIsActive", str(self._is_active) if self._updates > 1 else False),
            ("CondorVersion", VERSION),
            ("MyCurrentTime", self._started_at),
            ("CondorPlatform", "$CondorPlatform: X86_64-Debian_12 $"),
            ("DaemonStartTime", self._started_at),
            ("HadControlleeName", s.controllee),
            ("PrivateNetworkName", host),
            ("UpdateSequenceNumber", self._updates),
            ("DaemonLastReconfigTime", self._started_at),
        ]
        return ClassAd(items)

    def make_server(self, observer):
        """Return the command port."""
        server = OneThreadServer(self._security, observer)
        server.thread = self.thread
        for command in (Command.HAD_ALIVE_CMD, Command.HAD_SEND_ID_CMD):
            server.register(command, Level.DAEMON, self._take)
        return server

    async def _take(self, request):
        """Note the id of a message; nobody checks whose it is, nor from where it comes."""
        ad = request.reader.get_ad()
        identifier, controllee = ad.get_int("HadSelfID"), ad.get_string("HadControlleeName")
        is_complete = identifier is not None and ad.get_string("HadList") is not None
        if is_complete and (controllee or "").casefold() == self.settings.controllee.casefold():
            ids = self.alive if request.command == Command.HAD_ALIVE_CMD else self.elected
            ids.add(identifier)

    async def run(self):
        """Turn for ever: the timer is set again before anything is done."""
        self.master.child_off_fast()
        self._updates = 1
        while True:
            again = trio.current_time() + self.settings.condor_interval_seconds / 2
            with self.thread.busy():
                if self._firings % 2 == 0:
                    await self._step()
                self._firings += 1
                await self._send_round()
            await trio.sleep_until(again)

    async def _step(self):
        s, before = self.settings, self.state
        self.state = next_state(before, self.alive, self.elected, s.my_id, is_primary=s.is_primary)
        change = before, self.state
        if change == (State.ELECTION, State.LEADER):
            self.master.child_on()
            await self._notify(Command.HAD_AFTER_ELECTION_STATE)
            self._activate(is_active=True)
        elif change == (State.LEADER, State.PASSIVE):
            self._activate(is_active=False)
            await self._notify(Command.HAD_AFTER_LEADER_STATE)
            self.master.child_off_fast()
        elif change == (State.LEADER, State.LEADER):
            await self._notify(Command.HAD_IN_LEADER_STATE)
        if before is not self.state:
            say(f"{before.value} -> {self.state.value}")
        if change != KEEPS_IDS:
            self.alive.clear()
            self.elected.clear()

    def _activate(self, *, is_active):
        self._is_active = is_active
        self._updates += 1

    async def _send_round(self):
        command = ROUNDS.get(self.state)
        for member in self.settings.others if command is not None else ():
            await self._post(Address.parse(member), command, lambda writer: writer.put_ad(self.ad()))

    async def _notify(self, command):
        if self.replication is not None:
            mine = str(self._address.sinful())
            await self._post(self.replication, command, lambda writer: writer.put_string(mine))

    async def _post(self, address, command, put):
        """Send one message on a connection of its own; nobody answers."""
        try:
            async with await self._client.connect(address, command) as connection:
                await connection.send(put(connection.writer()))
        except CallFailed as failure:
            say(f"cannot send {command.name}: {failure}")


class Complaints:
    """What the command port saw that was not in order."""

    def command_received(self, _command, _peer, _address):
        """Nothing is worth a word here."""

    def connection_refused(self, reason, address, sentence, *, is_repeated):
        """Say that somebody was turned away."""
        if not is_repeated:
            say(f"refused {address}: {reason}: {sentence}")

    def handler_failed(self, command, address, error):
        """Say that the double itself is wrong."""
        say(f"handler of {command} from {address} failed: {error!r}")


def say(text):
    """Write a line of the log."""
    print(f"{time.clock_gettime(time.CLOCK_BOOTTIME):.3f} condor_had: {text}", file=sys.stderr, flush=True)


async def serve(had):
    """Be the daemon until SIGTERM or SIGQUIT, which have the negotiator stopped."""
    listeners = await listen_for_commands(Address.parse(had.settings.me), "HAD_LIST")
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGQUIT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(had.make_server(Complaints()).serve, listeners)
            nursery.start_soon(had.run)
            await anext(aiter(signals))
            nursery.cancel_scope.cancel()
    had.master.child_off_fast()
    say("stopped")


def main():
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="Stand in for a real condor_had.")
    parser.add_argument("-c", dest="configuration", required=True)
    parser.add_argument("-r", dest="replication", type=Address.parse)
    parser.add_argument("lives", type=Path)
    options = parser.parse_args()
    loaded = load(Options(options.configuration), os.environ)
    had = CondorHad(loaded.settings.election(""), loaded.security, Master(options.lives), options.replication)
    trio.run(serve, had)


if __name__ == "__main__":
    main()
