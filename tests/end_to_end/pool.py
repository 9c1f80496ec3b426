"""A pool of real daemons: `had` processes with their guards and controllees, each on a host of its own.

    with Pool(folder, 3, timeout_seconds=1) as pool:
        pool.start()
        leader = pool.wait_settled()
        leader.kill_host()

The controllee is `witness_controllee.py`, so `pool.lives()` says afterwards who ran when, to a few milliseconds. Every
wait has a deadline and says what it waited for, and what the daemons wrote last. `close` ends everything: whatever
descends from a daemon carries the pool's mark in its environment.
"""

import os
import signal
import time
from pathlib import Path

import trio

from daemoncore import boottime
from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.client import Client
from daemoncore.startup import Options
from had.loading import load
from tests.end_to_end.lives import is_alive, overlap_seconds
from tests.end_to_end.networks import Loopback
from tests.end_to_end.node import Node
from tests.had.living import MARK, living, new_mark


class Pool:
    """Members on hosts, ready to be started.

    Args:
        folder: where everything is kept.
        count: members of HAD_LIST.
        timeout_seconds: HAD_CONNECTION_TIMEOUT.
        witnesses: members of HAD_WITNESS_LIST.
        has_primary: HAD_USE_PRIMARY.
        network: makes the hosts, given their number.
        has_replication: every candidate has a `had-replication` too, and a controllee with a state.
        knobs: further lines of every configuration; None takes a standard one out.
        member: makes a member, given the pool and its place.
    """

    def __init__(
        self,
        folder,
        count,
        *,
        timeout_seconds=2,
        witnesses=0,
        has_primary=True,
        has_replication=False,
        network=Loopback,
        knobs=None,
        member=Node,
    ):
        self.folder = Path(folder)
        self.candidates = count
        self.timeout_seconds = timeout_seconds
        self.has_primary = has_primary
        self.has_replication = has_replication
        self.knobs = dict(knobs or {})
        #: Controllees that began before this are not looked at.
        self.counts_from = float("-inf")
        self.mark = new_mark()
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")}
        self.environment = {**kept, MARK: self.mark, "PYTHONUNBUFFERED": "1"}
        self.network = network(count + witnesses)
        self.nodes = [member(self, index) for index in range(count + witnesses)]
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
                for process in node.processes():
                    process.poll()
            assert time.monotonic() < deadline, f"processes of the pool outlive SIGKILL: {pids}"
            time.sleep(0.002)
        for node in self.nodes:
            for process in node.processes():
                process.wait(10)
        self.network.close()

    def start(self, *indexes):
        """Start these members, or all, with their replicas if they have any."""
        for node in [self.nodes[index] for index in indexes] or self.nodes:
            node.start_host()

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
            + (f"\n--- its replica\n{node.replica.story()}" if node.replica else "")
            for node in self.nodes
            if node.processes()
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
            if found not in up:
                return None
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

    def run_of(self, life):
        """Return what a controllee with a state counted so far, as soon as it has begun to."""

        def look():
            return next((run for run in self[life.node].replica.runs() if run.pid == life.pid), None)

        return self.wait(look, 10, f"the first count of process {life.pid}", 0.005)

    # --- what happened ----------------------------------------------------------------------------------------

    def lives(self):
        """Return all lives of controllees so far, oldest first."""
        return sorted((life for node in self.nodes for life in node.lives()), key=lambda life: life.began)

    def forget_lives_before(self, life):
        """Let the story begin with a life; on a busy machine the first member may have come too late to lead first."""
        self.counts_from = life.began

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
