"""A pool of real daemons with a state that the bench writes itself, in the place of its controllee.

The controllee is `sleep`: had leads with it, so the leader's replication daemon replicates whatever is written into its
state file. What arrives is seen from outside, in the files of the followers.
"""

import contextlib
import shutil
import time
from pathlib import Path

import attrs

from daemoncore.process import children
from tests.bench.idle import cpu_seconds
from tests.end_to_end.pool import Pool

#: How long the daemons of a pool may take to come into order on a busy machine.
START_SECONDS = 60
#: How often files are looked at; it is in every figure, by half on the average.
LOOK_SECONDS = 0.002

HEAD = b"107 1 CreationTimestamp 1700000000\n101 Counter. * *\n"
"""The beginning of a ClassAd log, as HTCondor's negotiator writes it."""

_CLOCK_TICKS = 100
_CLEAR_PEAK = "5"


def record(number, size=0):
    """Return one transaction of a ClassAd log, of at least so many bytes."""
    begin, end = f"105 \n103 Counter. Value {number}", "\n106 \n"
    filling = f'\n103 Counter. Filling "{"x" * (size - len(begin) - len(end))}"' if size else ""
    return f"{begin}{filling}{end}".encode()


@attrs.frozen
class Spent:
    """Processor seconds of one replication daemon, and of all transferers that it ever had."""

    daemon: float
    transferers: float

    def since(self, before):
        """Return what was spent since then."""
        return Spent(self.daemon - before.daemon, self.transferers - before.transferers)


def spent(node):
    """Return what a node's replication has spent so far."""
    pid = node.replica.process.pid
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = (int(fields[13]) + int(fields[14])) / _CLOCK_TICKS
    living = 0.0
    for child in children(pid):
        with contextlib.suppress(OSError):
            living += cpu_seconds(child)
    return Spent(cpu_seconds(pid), ended + living)


def peak_mb(pid):
    """Return the most resident memory that a process has had, in MB (10^6 bytes); 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 0.0)


def transferers(pid):
    """Return the transferers of a replication daemon; not what is about to become one."""
    return [child for child in children(pid) if b"transferer" in _command_line(child)]


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def forget_peak(pid):
    """Let the peak begin anew with what is resident now."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text(_CLEAR_PEAK)


class StatePool:
    """A pool in order, whose first member leads; use it as a context.

    Args:
        folder: for its files.
        surroundings: `(network, knobs)`: what makes the hosts, and what they need in their configuration.
        members: how many.
        timeout_seconds: T.
        knobs: further ones.
    """

    def __init__(self, folder, surroundings, *, members=3, timeout_seconds=2.0, knobs=None):
        network, needed = surroundings
        self.pool = Pool(
            folder,
            members,
            timeout_seconds=timeout_seconds,
            has_replication=True,
            network=network,
            knobs={"KEEPER": "/bin/sleep", "KEEPER_ARGS": "1000000", **needed, **(knobs or {})},
        )
        self.leader = self.pool[0]
        self.followers = self.pool.nodes[1:]
        self.state = self.leader.replica.state_file

    def __enter__(self):
        self.pool.start()
        try:
            self.pool.wait(self._is_in_order, START_SECONDS, "a leader whom all replicas follow", 0.2)
        except BaseException:
            self.pool.close()
            raise
        return self

    def __exit__(self, *_exception):
        self.pool.close()

    def _is_in_order(self):
        mine = self.leader.replica.status()
        others = [node.replica.status() for node in self.followers]
        if not mine or mine["state"] != "leader" or not all(others):
            return False
        seen = [replica["state"] for status in (mine, *others) for replica in status["replicas"]]
        return {status["leader"] for status in others} == {self.leader.replica.entry} and set(seen) == {
            "alive"
        }

    def replace(self, size, fill):
        """Make the leader's state a file of this size, written by `fill(file, size)`, and return its new inode."""
        beside = self.state.with_name("beside")
        with beside.open("wb") as file:
            fill(file, size)
        beside.rename(self.state)
        return self.state.stat().st_ino

    def point(self, node):
        """Return gid and clock of the version that a node holds, as it wrote them down for HTCondor; None if none."""
        try:
            words = (node.replica.state_file.parent / "Version").read_text().split()
        except FileNotFoundError:
            return None
        return tuple(int(word) for word in words[:2])

    def wait_published(self, size, after=(0, 0), seconds=120):
        """Wait until the leader holds a version of this size that is later than another, and return its point."""

        def look():
            version = self.leader.replica.status()["version"]
            point = version and (version["gid"], version["clock"])
            return version and version["bytes"] == size and point > after and point

        return self.pool.wait(look, seconds, f"a version of {size} bytes", 0.1)

    def wait_held(self, nodes, point, seconds=120):
        """Wait until these nodes hold at least this version; return the seconds that it took."""
        began = time.monotonic()
        self.pool.wait(
            lambda: all((self.point(node) or (0, 0)) >= point for node in nodes),
            seconds,
            f"version {point} on {len(nodes)} replicas",
            LOOK_SECONDS,
        )
        return time.monotonic() - began

    def empty(self, node):
        """Kill a node's replication daemon and remove all that it has, the state too."""
        node.replica.kill()
        shutil.rmtree(node.folder / "had" / "replication", ignore_errors=True)
        for path in node.replica.state_file.parent.iterdir():
            path.unlink()
