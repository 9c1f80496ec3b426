"""A pool of real daemons: `had` processes with their guards and controllees, each on a host of its own.

    with Pool(folder, 3, timeout_seconds=1) as pool:
        pool.start()
        leader = pool.wait_settled()
        leader.kill_host()

The controllee is `witness_controllee.py`, so `pool.lives()` says afterwards who ran when, to a few milliseconds. Every
wait has a deadline and says what it waited for, and what the daemons wrote last. `close` ends everything: whatever
descends from a daemon carries the pool's mark in its environment.
"""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import trio

from daemoncore import boottime
from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.client import Client
from daemoncore.process import children
from had.loading import Options, load
from tests.end_to_end.lives import LivesFile, is_alive, overlap_seconds
from tests.end_to_end.networks import Loopback
from tests.had.living import MARK, living, new_mark

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
        self.process = None

    def __repr__(self):
        return f"<node {self.index} {self.entry}>"

    # --- configuration ----------------------------------------------------------------------------------------

    def configure(self, **knobs):
        """Write the configuration file: the pool's knobs, this node's own, and these, which stay its own."""
        self.knobs |= knobs
        lines = self._standard() | self.pool.knobs | self.knobs
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
                env={**self.pool.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )

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
        """Return everything that runs on this host: the daemon and all that descends from it."""
        found, waiting = [], [self.pid]
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

    def http(self, path):
        """Return the status code and the body of a page; None for no answer."""
        address, port = self.pool.network.http_address(self.index), self.pool.network.http_port
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
        """Return the lives of its controllees, oldest first."""
        return self._lives.read()

    def running(self):
        """Return the life of the controllee that runs here now, None if none does."""
        return next((life for life in reversed(self.lives()) if life.is_running), None)


class Pool:
    """Members on hosts, ready to be started.

    Args:
        folder: where everything is kept.
        count: members of HAD_LIST.
        timeout_seconds: HAD_CONNECTION_TIMEOUT.
        witnesses: members of HAD_WITNESS_LIST.
        has_primary: HAD_USE_PRIMARY.
        network: makes the hosts, given their number.
        knobs: further lines of every configuration; None takes a standard one out.
    """

    def __init__(
        self, folder, count, *, timeout_seconds=2, witnesses=0, has_primary=True, network=Loopback, knobs=None
    ):
        self.folder = Path(folder)
        self.candidates = count
        self.timeout_seconds = timeout_seconds
        self.has_primary = has_primary
        self.knobs = dict(knobs or {})
        self.mark = new_mark()
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")}
        self.environment = {**kept, MARK: self.mark, "PYTHONUNBUFFERED": "1"}
        self.network = network(count + witnesses)
        self.nodes = [Node(self, index) for index in range(count + witnesses)]
        for node in self.nodes:
            node.configure()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def __getitem__(self, index):
        return self.nodes[index]

    def close(self):
        """Kill everything of this pool, and take its network down."""
        deadline = time.monotonic() + 10
        while pids := living(self.mark) - {os.getpid()}:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            for node in self.nodes:
                if node.process is not None:
                    node.process.poll()
            assert time.monotonic() < deadline, f"processes of the pool outlive SIGKILL: {pids}"
            time.sleep(0.002)
        for node in self.nodes:
            if node.process is not None:
                node.process.wait(10)
        self.network.close()

    def start(self, *indexes):
        """Start these members, or all."""
        for node in [self.nodes[index] for index in indexes] or self.nodes:
            node.start()

    # --- cuts, on a network that can be cut; each returns the time of it (CLOCK_BOOTTIME) ------------------------

    def unplug(self, node):
        """Pull a host's cable."""
        at = boottime.now()
        self.network.unplug(node.index)
        return at

    def plug(self, node):
        """Put a host's cable back."""
        at = boottime.now()
        self.network.plug(node.index)
        return at

    # --- waiting ----------------------------------------------------------------------------------------------

    def wait(self, condition, seconds, what, pause_seconds=0.01):
        """Wait until a condition holds and return its value; fail with the story so far when it does not in time."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self.story()}")
            time.sleep(pause_seconds)
        return value

    def story(self):
        """Return the end of every log, for whoever wants to know what went wrong."""
        return "\n".join(
            f"--- node {node.index} {node.entry} ({'up' if node.is_up else 'down'})\n"
            + "\n".join(node.log().splitlines()[-40:])
            + node.errors()[-2000:]
            for node in self.nodes
        )

    def wait_settled(self, leader=None, seconds=None):
        """Wait until all daemons that are up follow one leader whose controllee runs and is the only one; return it."""

        def look():
            up = [node for node in self.nodes if node.is_up]
            statuses = {node.index: node.status() for node in up}
            if not all(statuses.values()):
                return None
            leaders = {status["leader"] for status in statuses.values()}
            running = [node for node in self.nodes if node.running()]
            if len(running) != 1 or leaders != {running[0].entry}:
                return None
            found = running[0]
            if statuses[found.index]["controllee"]["state"] != "running" or (leader and found is not leader):
                return None
            hears = all(
                peer["state"] == "alive"
                for status in statuses.values()
                for peer in status["peers"]
                if any(peer["address"] == node.entry for node in up)
            )
            return found if hears else None

        limit = seconds or 4 * self.timeout_seconds + 10
        return self.wait(look, limit, f"one leader{f' ({leader})' if leader else ''}, followed by all", 0.03)

    def wait_new_life(self, after, seconds, where=None):
        """Wait for the first controllee that began after a time, on a node if one is named; return its life."""

        def look():
            lives = where.lives() if where else self.lives()
            return next((life for life in lives if life.began > after), None)

        return self.wait(look, seconds, f"a new controllee{f' on {where}' if where else ''}", 0.003)

    def wait_dead(self, pid, seconds):
        """Wait until a process is no more."""
        self.wait(lambda: not is_alive(pid), seconds, f"the end of process {pid}", 0.002)

    # --- what happened ----------------------------------------------------------------------------------------

    def lives(self):
        """Return all lives of controllees so far, oldest first."""
        return sorted((life for node in self.nodes for life in node.lives()), key=lambda life: life.began)

    def overlap_seconds(self):
        """Return the longest time for which two controllees lived at once."""
        return overlap_seconds(self.lives())

    # --- operators --------------------------------------------------------------------------------------------

    def command(self, node, command, **attributes):
        """Give a member a command with an ad; return whether it was accepted, and the text."""
        return self.network.inside(node.index, lambda: trio.run(self._command, node, command, attributes))

    async def _command(self, node, command, attributes):
        security = load(Options(str(node.configuration)), self.environment).security
        client = Client(security, source_address=node.host)
        with trio.fail_after(10):
            async with await client.connect(Address.parse(node.entry), command) as connection:
                await connection.send(connection.writer().put_ad(ClassAd(attributes)))
                reply = (await connection.receive()).get_ad()
        return reply.get_bool("Accepted", default=False), reply.get_string("Text", "")

    def tell(self, node, command, *, source, **attributes):
        """Give a member a command with an ad, from this address, and expect no answer."""
        self.network.inside(node.index, lambda: trio.run(self._tell, node, command, source, attributes))

    async def _tell(self, node, command, source, attributes):
        client = Client(
            load(Options(str(node.configuration)), self.environment).security, source_address=source
        )
        with trio.fail_after(10):
            async with await client.connect(Address.parse(node.entry), command) as connection:
                await connection.send(connection.writer().put_ad(ClassAd(attributes)))


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
