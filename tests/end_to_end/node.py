"""One member of a pool of real daemons: its configuration, its processes, its files, and what it says of itself."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from daemoncore import boottime
from daemoncore.process import children
from tests.end_to_end.lives import LivesFile
from tests.end_to_end.replica import Replica

ROOT = Path(__file__).parents[2]
WITNESS_CONTROLLEE = Path(__file__).with_name("witness_controllee.py")


class Node:
    """One member: its configuration, its processes, its files.

    Args:
        pool: the pool.
        index: its place, from 0; the first `pool.candidates` are in HAD_LIST, best first.
    """

    def __init__(self, pool, index):
        self.pool = pool
        self.index = index
        self.host = pool.network.hosts[index]
        self.entry = f"{self.host}:{pool.network.port}"
        self.folder = pool.folder / f"node{index}"
        self.folder.mkdir(parents=True)
        self.configuration = self.folder / "had.conf"
        self.lives_file = self.folder / "lives"
        self._lives = LivesFile(self.lives_file, index)
        self.broken_file = self.folder / "lives.broken"
        self.log_file = self.folder / "log" / "HADLog"
        self.error_file = self.folder / "stderr"
        self.knobs = {}
        #: What its daemons have in their environment beside what the pool's have.
        self.environment = {}
        self.process = None
        self.replica = Replica(self) if pool.has_replication and index < pool.candidates else None

    @property
    def replica_entry(self):
        """Its entry of REPLICATION_LIST."""
        return f"{self.host}:{self.pool.network.replication_port}"

    def __repr__(self):
        return f"<node {self.index} {self.entry}>"

    # --- configuration ----------------------------------------------------------------------------------------

    def configure(self, **knobs):
        """Write the configuration file: the pool's knobs, this node's own, and these, which stay its own."""
        self.knobs |= knobs
        replication = self.replica.knobs() if self.replica else {}
        lines = self._standard() | replication | self.pool.knobs | self.knobs
        text = "".join(f"{name} = {value}\n" for name, value in lines.items() if value is not None)
        self.configuration.write_text(text)

    def _standard(self):
        members = [node.entry for node in self.pool.nodes if node.index < self.pool.candidates]
        witnesses = [node.entry for node in self.pool.nodes if node.index >= self.pool.candidates]
        return {
            "HAD_LIST": ", ".join(members),
            "HAD_WITNESS_LIST": ", ".join(witnesses) or None,
            "HAD_SELF": self.entry,
            "HAD_CONNECTION_TIMEOUT": self.pool.timeout_seconds,
            "HAD_USE_PRIMARY": self.pool.has_primary,
            "HAD_CONTROLLEE": "keeper",
            "HAD_CONTROL": "spawn",
            "KEEPER": sys.executable,
            "KEEPER_ARGS": f"-I -S {WITNESS_CONTROLLEE} {self.lives_file}",
            "LOCAL_DIR": self.folder,
            "LOG": self.folder / "log",
            "HAD_HTTP_PORT": self.pool.network.http_port,
            "HAD_HTTP_ADDRESS": self.pool.network.http_address(self.index),
        }

    # --- processes --------------------------------------------------------------------------------------------

    def start(self, *arguments, **environment):
        """Start the daemon; return at once."""
        self.log_file.parent.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "had", "-c", str(self.configuration), *arguments]
        with self.error_file.open("ab") as errors:
            self.process = subprocess.Popen(
                self.pool.network.command(self.index, argv),
                cwd=ROOT,
                env={**self.pool.environment, **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )

    def start_host(self):
        """Start every daemon of this host."""
        if self.replica:
            self.replica.start()
        self.start()

    def processes(self):
        """Return the daemons that were started last, dead or alive."""
        own = [self.process, self.replica.process if self.replica else None]
        return [process for process in own if process is not None]

    @property
    def pid(self):
        """The daemon's process id."""
        return self.process.pid

    @property
    def is_up(self):
        """Whether the daemon's process exists."""
        return self.process is not None and self.process.poll() is None

    def guard_pid(self):
        """Return the process id of the daemon's guard, None if it has none at this moment."""
        for child in children(self.pid):
            words = _command_line(child)
            if any("had.guard" in word for word in words):
                return child
        return None

    def host_pids(self):
        """Return everything that runs on this host: the daemons and all that descends from them."""
        found, waiting = [], [self.pid, *(self.replica.pids()[:1] if self.replica else [])]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting.extend(children(pid))
        return found

    def send(self, number):
        """Send the daemon, and it alone, a signal; return the time of it (CLOCK_BOOTTIME)."""
        at = boottime.now()
        os.kill(self.pid, number)
        return at

    def send_host(self, number):
        """Send all that runs on this host a signal, the daemon first; return the time (CLOCK_BOOTTIME)."""
        pids = self.host_pids()
        at = boottime.now()
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return at

    def kill_host(self):
        """Kill all that runs on this host, as one; return the time of it."""
        at = self.send_host(signal.SIGKILL)
        self.process.wait(10)
        if self.replica and self.replica.process:
            self.replica.process.wait(10)
        return at

    def kill(self):
        """Kill the daemon alone; return the time of it."""
        at = self.send(signal.SIGKILL)
        self.process.wait(10)
        return at

    def stop(self, number=signal.SIGTERM):
        """Ask the daemon to stop, wait until it has, and return its exit status."""
        self.send(number)
        return self.process.wait(20)

    # --- what it says -----------------------------------------------------------------------------------------

    def http(self, path, port=None):
        """Return the status code and the body of a page; None for no answer."""
        address, port = self.pool.network.http_address(self.index), port or self.pool.network.http_port
        connection = http.client.HTTPConnection(address, port, timeout=2)
        try:
            make = lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # noqa: E731 -- closed below
            connection.sock = self.pool.network.inside(self.index, make)
            connection.sock.settimeout(2)
            connection.sock.connect((address, port))
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return None
        finally:
            connection.close()

    def status(self):
        """Return the status document, None if the daemon does not answer."""
        answer = self.http("/status")
        return json.loads(answer[1]) if answer else None

    def peer_state(self, other):
        """Return what it thinks of another member's state."""
        return next(peer["state"] for peer in self.status()["peers"] if peer["address"] == other.entry)

    def metric(self, name, **labels):
        """Return the value of a metric; None if there is no such line."""
        answer = self.http("/metrics")
        for line in answer[1].splitlines() if answer else ():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name and dict(re.findall(r'(\w+)="([^"]*)"', found[2] or "")) == labels:
                return float(found[3])
        return None

    def log(self):
        """Return what it logged so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def logged(self, *words):
        """Return the log's lines that hold all the words."""
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def errors(self):
        """Return what it wrote to its standard error."""
        return self.error_file.read_text() if self.error_file.exists() else ""

    # --- its controllee ---------------------------------------------------------------------------------------

    def lives(self):
        """Return the lives of its controllees since the pool began to count, oldest first."""
        return [life for life in self._lives.read() if life.began >= self.pool.counts_from]

    def running(self):
        """Return the life of the controllee that runs here now, None if none does."""
        return next((life for life in reversed(self.lives()) if life.is_running), None)


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
