"""The faults, done to a pool of real daemons: each takes a pool that is in order, measures, and leaves it in order.

Times are read from what the controllees wrote themselves (`tests/end_to_end/witness_controllee.py`, CLOCK_BOOTTIME), so
looking on costs no accuracy; the few milliseconds in which the controllee starts are in every figure. A fault happens
at a random moment of the heartbeats.
"""

import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

from daemoncore import boottime
from tests.end_to_end.lives import gap_seconds, overlap_seconds

#: The controllee's second death counts as quick, and would make the node abstain, if it comes sooner than this.
RECOVER_SECONDS = 1


def is_listening(pid, host, port):
    """Whether somebody listens on an address, as the process with this number sees the network."""
    # The kernel prints the four bytes of an address as one number of its own byte order.
    number = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    wanted = (f"{number:08X}:{port:04X}", "0A")
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return any((words[1], words[3]) == wanted for words in (line.split() for line in lines))


class Faults:
    """Does faults to one pool, whose primary leads before and after each, and keeps what was measured.

    Args:
        pool: the pool, nothing of it running yet.
        keep: called with the slug of a measure and the seconds.
    """

    def __init__(self, pool, keep):
        self.pool = pool
        self.primary = pool[0]
        self._keep = keep
        self._patience_seconds = 10 * pool.timeout_seconds + 20

    def settle(self):
        """Wait until the primary leads and everybody follows it."""
        return self.pool.wait_settled(self.primary, self._patience_seconds)

    def _random_moment(self):
        time.sleep(random.uniform(0.5, 1) * self.pool.timeout_seconds / 2)

    def _new_life(self, after, where=None):
        return self.pool.wait_new_life(after, self._patience_seconds, where)

    def _keep_overlap(self, since, slug="overlap"):
        self._keep(slug, overlap_seconds([life for life in self.pool.lives() if life.ended >= since]))

    def cold_start(self):
        """Kill everything everywhere, start all hosts, and wait for the first controllee."""
        for node in self.pool.nodes:
            if node.is_up:
                node.kill_host()
        at = boottime.now()
        self.pool.start()
        ready = self._until_all_listen()
        began = self._new_life(at).began
        self._keep("cold_start", began - at)
        self._keep("cold_ready", max(0.0, began - ready))
        self.settle()
        self._keep_overlap(at, "cold_overlap")

    def _until_all_listen(self):
        """Wait for the command ports of all daemons; return when the last one was there, to 10 ms."""
        self.pool.wait(
            lambda: all(
                is_listening(node.pid, node.host, self.pool.network.port) for node in self.pool.nodes
            ),
            self._patience_seconds,
            "the command port of every daemon",
        )
        return boottime.now()

    def host_killed(self):
        """Kill everything on the leader's host; then let it return."""
        self._random_moment()
        at = self.primary.kill_host()
        self._keep("host_killed", self._new_life(at).began - at)
        self._return(at)

    def daemon_killed(self):
        """Kill the leader's daemon alone; then let it return."""
        self._random_moment()
        at = self.primary.kill()
        self._keep("daemon_killed", self._new_life(at).began - at)
        self._keep("orphan", max(0.0, self.primary.lives()[-1].ended - at))
        self._return(at)

    def leader_stopped(self):
        """Ask the leader to stop; then let it return."""
        self._random_moment()
        at = boottime.now()
        self.primary.stop()
        after = self._new_life(at)
        self._keep("handover", max(0.0, gap_seconds(self.primary.lives()[-1], after)))
        self._return(at)

    def _return(self, since):
        """Start the primary again and see it take the controllee back."""
        self.pool.wait_settled(seconds=self._patience_seconds)
        at = boottime.now()
        replica = self.primary.replica
        if replica and not replica.is_up:
            replica.start()
        self.primary.start()
        after = self._new_life(at, self.primary)
        self.settle()
        before = max(
            (life for life in self.pool.lives() if life.node != self.primary.index),
            key=lambda life: life.ended,
        )
        self._keep("return", after.began - at)
        self._keep("return_gap", max(0.0, gap_seconds(before, after)))
        self._keep("return_overlap", max(0.0, -gap_seconds(before, after)))
        self._keep_overlap(since)

    def controllee_killed(self):
        """Kill the controllee once."""
        self._random_moment()
        victim = self.primary.running()
        time.sleep(max(0.0, victim.began + RECOVER_SECONDS + 0.1 - boottime.now()))
        at = boottime.now()
        os.kill(victim.pid, signal.SIGKILL)
        self._keep("restart", self._new_life(at).began - at)
        self.settle()
        self._keep_overlap(at)

    def network_cut(self):
        """Cut the leader's host off, wait for a leader among the others, and heal the cut."""
        self._random_moment()
        at = boottime.now()
        self.pool.network.unplug(self.primary.index)
        other = self._new_life(at)
        self._keep("network_cut", other.began - at)
        time.sleep(self.pool.timeout_seconds * random.uniform(0.5, 1.5))
        at = boottime.now()
        self.pool.network.plug(self.primary.index)
        self.settle()
        ends = [life.ended for life in self.pool.lives() if life.node != self.primary.index]
        self._keep("heal", max(0.0, max(ends) - at))
