"""Three hosts with a tool on each that is to let the same small program run on one of them: what all tools have in common.

The program is the tests' witness (`tests/end_to_end/witness_controllee.py`), which writes down itself when it lived, so
every tool is measured by the same clock. Hosts are network namespaces; all that lives in one is the host's, and a host
that dies loses all of it.
"""

import abc
import os
import signal
import subprocess
import sys
import threading
import time

from daemoncore import boottime
from tests.end_to_end.lives import LivesFile
from tests.end_to_end.node import WITNESS_CONTROLLEE

HOSTS = 3


class Contender(abc.ABC):
    """A tool on its three hosts.

    Args:
        folder: for its files.
        network: the hosts; they are taken down with the contender.
        silence_seconds: about how long the tool lets a host be silent before it counts as dead.
    """

    #: What must be installed for it.
    programs: tuple[str, ...] = ()

    def __init__(self, folder, network, silence_seconds):
        self.folder = folder
        self.network = network
        self.silence_seconds = silence_seconds
        for index in range(HOSTS):
            self.host_folder(index).mkdir(parents=True)
        self._lives = [LivesFile(self.lives_path(index), index) for index in range(HOSTS)]
        #: Set it, from any thread, and whoever waits for something here is interrupted.
        self.is_told_to_end = threading.Event()
        self._processes = [[] for _ in range(HOSTS)]

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    # --- what each tool does in its own way -------------------------------------------------------------------

    @abc.abstractmethod
    def start_host(self, index):
        """Start all daemons of a host; return at once."""

    @abc.abstractmethod
    def daemon_pid(self, index):
        """Return the process whose death is the death of the tool's daemon on a host."""

    @abc.abstractmethod
    def stop_host(self, index):
        """Ask the tool on a host to give up the program and to end, as an operator does; return at once."""

    @abc.abstractmethod
    def are_ready(self):
        """Whether all hosts take part, so that another one would take over."""

    # --- hosts ------------------------------------------------------------------------------------------------

    def host_folder(self, index):
        """Return where the files of a host are."""
        return self.folder / f"host{index}"

    def lives_path(self, index):
        """Return the file in which the programs of a host write."""
        return self.host_folder(index) / "lives"

    def program(self, index):
        """Return the command of the program that only one host should run."""
        return [sys.executable, "-I", "-S", str(WITNESS_CONTROLLEE), str(self.lives_path(index))]

    def spawn(self, index, argv, environment):
        """Start a process on a host, in a session of its own; its output goes to the host's log."""
        with (self.host_folder(index) / "output").open("ab") as output:
            process = subprocess.Popen(
                self.network.command(index, argv),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes[index].append(process)
        return process

    def kill_host(self, index, spared=()):
        """Kill all that lives on a host but these; return the time before the first signal (CLOCK_BOOTTIME)."""
        at = None
        deadline = time.monotonic() + 10
        while pids := self.network.pids(index) - set(spared):
            at = at or boottime.now()
            for pid in pids:
                _kill(pid)
            assert time.monotonic() < deadline, f"processes of host {index} outlive SIGKILL: {pids}"
        for process in self._processes[index]:
            if process.pid not in spared:
                process.wait(10)
        return at or boottime.now()

    def kill_daemon(self, index):
        """Kill the tool's daemon alone; return the time before (CLOCK_BOOTTIME)."""
        pid = self.daemon_pid(index)
        at = boottime.now()
        _kill(pid)
        return at

    def close(self):
        """Kill everything on all hosts, and take the network down."""
        for index in range(HOSTS):
            self.kill_host(index)
        self.network.close()

    # --- what the programs wrote ------------------------------------------------------------------------------

    def lives(self):
        """Return all lives of the program so far, oldest first."""
        return sorted((life for file in self._lives for life in file.read()), key=lambda life: life.began)

    def running(self):
        """Return the lives that go on now."""
        return [life for life in self.lives() if life.is_running]

    def look_for(self, condition, seconds, pause_seconds=0.003):
        """Wait until a condition holds; return its value, or what it was when the time was over."""
        deadline = time.monotonic() + seconds
        while not (value := condition()) and time.monotonic() < deadline:
            if self.is_told_to_end.is_set():
                raise KeyboardInterrupt
            time.sleep(pause_seconds)
        return value

    def settle(self):
        """Wait until one host alone runs the program and all take part; return that program's life."""

        def look():
            lives = self.running()
            return lives[0] if len(lives) == 1 and self.are_ready() else None

        # Asking a tool costs processor time, on a machine on which others are measured at the same time.
        life = self.look_for(look, 20 + 6 * self.silence_seconds, pause_seconds=0.05)
        if life is None:
            nodes = [life.node for life in self.running()]
            raise AssertionError(
                f"out of order: the program runs on hosts {nodes}, all take part: {self.are_ready()}\n{self.story()}"
            )
        return life

    def takeover_after(self, at, seconds):
        """Return the first life that began after a time; None if there is none within so many seconds."""
        return self.look_for(lambda: next((life for life in self.lives() if life.began > at), None), seconds)

    def story(self):
        """Return the end of every host's output."""
        return "\n".join(
            f"--- host {index}\n" + path.read_text(errors="replace")[-3000:]
            for index in range(HOSTS)
            if (path := self.host_folder(index) / "output").exists()
        )


def terminate(pid):
    """Ask a process to end."""
    _kill(pid, signal.SIGTERM)


def _kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
