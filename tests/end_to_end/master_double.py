"""A double of condor_master: starts `had` as it does, and starts and stops one controllee at its word.

    python -m tests.end_to_end.master_double SETTINGS

SETTINGS is JSON: `host` where it listens, `address_file` where it writes that, `controller` (argv, none if it is not to
start it) and its `port`, `controllee` (argv) and its `name`, `restart_seconds` of the controllee and `backoff_seconds` of
the controller. It prints one line of JSON for each
thing that it does: `[what, details...]`.

What it does, it does as condor_master 25.14 was seen to do, or is written to (src/condor_master.V6/masterDaemon.cpp): had
gets a socket that listens, the address and the family's session in its environment, and all signals blocked. The
commands arrive on that session and are not answered. CHILD_OFF_FAST puts the controllee on hold and sends SIGQUIT. One that
ends without having been put on hold is started again: after a second if it was stopped, else after `restart_seconds`; and
with two restarts counted its controller is stopped. When the controller dies, the controllee is stopped and not put on
hold, and all that ever descended from the controller is killed. SIGUSR1 has it start a controllee that nobody asked for.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys

import attrs
import trio

from daemoncore.authorization import Level
from daemoncore.cedar.commands import Command
from daemoncore.cedar.sessions import family_session
from daemoncore.process import children
from daemoncore.security import read_security
from daemoncore.server import CommandServer
from tests.daemoncore.command_ports import Observer

_POLICY = {
    "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
    "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS",
    "SEC_DEFAULT_ENCRYPTION": "REQUIRED",
    "SEC_DEFAULT_INTEGRITY": "REQUIRED",
    "ALLOW_ADMINISTRATOR": "*",
    "ALLOW_DAEMON": "*",
}
_SNAPSHOT_SECONDS = 0.2


def say(*words):
    """Tell the test."""
    print(json.dumps(words), flush=True)


@attrs.define
class Daemon:
    """What condor_master knows of one of its daemons."""

    name: str
    argv: list
    pid: int = 0
    process: subprocess.Popen | None = None
    is_held: bool = False
    is_stopping: bool = False
    restarts: int = 0
    #: Cancelled when it is not to be started again after all.
    restart: trio.CancelScope | None = None
    family: set = attrs.field(factory=set)

    def cancel_restart(self):
        """Forget that it was to be started."""
        if self.restart:
            self.restart.cancel()
            self.restart = None


class MasterDouble:
    """The process; `run` ends on SIGTERM, when both daemons are gone."""

    def __init__(self, settings):
        self.settings = settings
        self.controller = Daemon("HAD", settings["controller"])
        self.controllee = Daemon(settings["name"].upper(), settings["controllee"])
        self.is_ending = False
        identifier = f"family:{secrets.token_hex(24)}"
        attributes = (
            '[Integrity="YES";Encryption="YES";ShortVersion="25.14.0";CryptoMethodsList="AES.BLOWFISH.3DES";]'
        )
        self.private = f" FamilySessionKey:{identifier}#{attributes}{secrets.token_hex(32)}"
        security = attrs.evolve(
            read_security(_POLICY.get, subsystem="MASTER"), family=family_session(self.private)
        )
        self.server = CommandServer(security, Observer())
        for command in (Command.CHILD_ON, Command.CHILD_OFF_FAST):
            self.server.register(command, Level.ADMINISTRATOR, self._obey)
        for command in (Command.DC_CHILDALIVE, Command.DC_SET_READY):
            self.server.register(command, Level.DAEMON, self._note)

    async def run(self):
        """Live."""
        (listener,) = await trio.open_tcp_listeners(0, host=self.settings["host"])
        self.address = "<{}:{}?alias=cm1.example.org>".format(*listener.socket.getsockname()[:2])
        await trio.Path(self.settings["address_file"]).write_text(
            f"{self.address}\n$CondorVersion: 25.14.0 $\n"
        )
        async with trio.open_nursery() as self.nursery:
            self.nursery.start_soon(self._signals)
            self.nursery.start_soon(self._take_snapshots)
            self.nursery.start_soon(self.server.serve, [listener])
            if self.controller.argv:
                self._start(self.controller)

    async def _signals(self):
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGUSR1) as signals:
            async for number in signals:
                if number == signal.SIGUSR1:
                    self._start(self.controllee)
                    continue
                self.is_ending = True
                for daemon in (self.controllee, self.controller):
                    daemon.cancel_restart()
                    self._send(daemon, signal.SIGTERM)
                self._end_if_alone()

    def _end_if_alone(self):
        if self.is_ending and not self.controller.pid and not self.controllee.pid:
            self.nursery.cancel_scope.cancel()

    # --- commands ---------------------------------------------------------------------------------------------

    async def _obey(self, request):
        name = request.reader.get_string()
        request.reader.end()
        command = Command(request.command)
        say(command.name, name, request.peer.identity.user)
        daemon = self.controllee
        if name == daemon.name and command is Command.CHILD_ON:
            daemon.is_held = False
            daemon.cancel_restart()
            if not daemon.pid:
                self._start(daemon)
        elif name == daemon.name:
            daemon.is_held = True
            self._stop_fast(daemon)
        self._hang_up(request)

    async def _note(self, request):
        say(Command(request.command).name)
        self._hang_up(request)

    def _hang_up(self, request):
        _, descriptor = request.hand_over()
        os.close(descriptor)

    # --- daemons ----------------------------------------------------------------------------------------------

    def _start(self, daemon):
        # A child begins with the mask of the thread that made it.
        before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        try:
            daemon.process = self._spawn(daemon)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        daemon.pid, daemon.is_stopping = daemon.process.pid, False
        say("started", daemon.name, daemon.pid)
        self.nursery.start_soon(self._collect, daemon)

    def _spawn(self, daemon):
        if daemon is not self.controller:
            return subprocess.Popen(daemon.argv, start_new_session=True)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.settings["host"], self.settings["port"]))
            listener.listen(100)
            end = f"1 {listener.fileno()}*6*0*0*0*0***1**0*0*0*0*0*0*0*"
            inherited = {
                "CONDOR_INHERIT": f"{os.getpid()} {self.address} 0 {end} 0",
                "CONDOR_PRIVATE_INHERIT": self.private,
                f"_CONDOR_ANCESTOR_{os.getpid()}": "1:2:3",
            }
            return subprocess.Popen(
                daemon.argv,
                env={**os.environ, **inherited},
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )

    async def _collect(self, daemon):
        """Wait for its end without a thread, and do what condor_master does then."""
        descriptor = os.pidfd_open(daemon.pid)
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        status = daemon.process.wait()
        say("ended", daemon.name, daemon.pid, status)
        is_expected = status == 0 and (daemon.is_held or daemon.is_stopping)
        daemon.pid = 0
        if daemon is self.controller:
            self._stop_fast(self.controllee)
            self._kill_family(daemon)
        elif daemon.restarts >= 2:
            daemon.is_held = True
            if not daemon.is_stopping:
                self._send(self.controller, signal.SIGTERM)
        if not self.is_ending and not daemon.is_held:
            self._restart(daemon, is_expected)
        self._end_if_alone()

    def _restart(self, daemon, is_expected):
        seconds = self.settings["backoff_seconds" if daemon is self.controller else "restart_seconds"]
        daemon.restarts = 0 if is_expected else daemon.restarts + 1
        seconds = min(seconds, 1) if is_expected else seconds
        daemon.restart = trio.CancelScope()
        say("restarting", daemon.name, seconds)

        async def start_later(scope):
            with scope:
                await trio.sleep(seconds)
                daemon.restart = None
                self._start(daemon)

        self.nursery.start_soon(start_later, daemon.restart)

    def _stop_fast(self, daemon):
        daemon.cancel_restart()
        if daemon.pid and not daemon.is_stopping:
            daemon.is_stopping = True
            self._send(daemon, signal.SIGQUIT)

    def _send(self, daemon, number):
        if daemon.pid:
            os.kill(daemon.pid, number)

    # --- the controller's family ------------------------------------------------------------------------------

    async def _take_snapshots(self):
        """Look who descends from the controller, as condor_procd does; who was seen once is never forgotten."""
        while True:
            if self.controller.pid:
                self.controller.family |= _descendants(self.controller.pid)
            await trio.sleep(_SNAPSHOT_SECONDS)

    def _kill_family(self, daemon):
        for pid in daemon.family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.family = set()


def _descendants(pid):
    found, waiting = set(), children(pid)
    while waiting:
        child = waiting.pop()
        found.add(child)
        waiting.extend(children(child))
    return found


if __name__ == "__main__":
    trio.run(MasterDouble(json.loads(sys.argv[1])).run)
