"""The faults, done to any contender: each takes one that is in order, measures, and leaves it in order.

Nobody is preferred, so the host that leads at the moment has the fault, and comes back as one that follows. What does
not happen while it is watched is kept as infinity: a program that never comes back, two programs of which none ends.
"""

import math
import os
import random
import signal
import time

import attrs

from daemoncore import boottime
from tests.bench.idle import cpu_seconds, memory_mb, network_bytes
from tests.bench.rivals.contender import HOSTS
from tests.end_to_end.lives import gap_seconds, overlap_seconds

#: How long two programs at once are watched, and how long a cut lasts, from the takeover on.
WATCH_SECONDS = 1.0
#: How long a killed program is waited for; nobody who looks after it at all takes that long.
RESTART_SECONDS = 3.0
#: How long two programs are watched after a cut is mended, beside the silence that the tool tolerates.
HEAL_SECONDS = 5.0
#: How long an idle contender is left alone before and while it is looked at.
IDLE_SETTLE_SECONDS, IDLE_SECONDS = 2.0, 10.0

FAULTS = (
    "host_killed",
    "cable_pulled",
    "packets_lost",
    "daemon_killed",
    "all_killed",
    "controllee_killed",
    "leader_stopped",
)


@attrs.frozen
class Idle:
    """What one host costs when nothing happens, the program itself left out."""

    cpu_percent: float
    pss_mb: float
    bytes_per_second: float


class RivalFaults:
    """Does faults to one contender and keeps what was measured.

    Args:
        contender: nothing of it running yet.
        keep: called with the slug of a measure and the seconds.
    """

    def __init__(self, contender, keep):
        self.contender = contender
        self._keep = keep
        self._patience_seconds = 15 + 4 * contender.silence_seconds

    def cold_start(self):
        """Start all hosts for the first time, and wait for the first program."""
        at = boottime.now()
        for index in range(HOSTS):
            self.contender.start_host(index)
        self._keep("cold_start", self._takeover(at))
        self.contender.settle()
        self._keep("cold_start_two", self._overlap(at))

    def host_killed(self):
        """Kill everything on the leader's host."""
        leader = self._leader_at_a_random_moment()
        at = self.contender.kill_host(leader.node)
        self._keep("host_killed", self._takeover(at))
        self._return(leader)
        self._keep("host_killed_two", self._overlap(at))

    def cable_pulled(self):
        """Pull the cable of the leader's host, which its kernel notices."""
        leader = self._leader_at_a_random_moment()
        network = self.contender.network
        self._cut(
            "cable_pulled", leader, lambda: network.unplug(leader.node), lambda: network.plug(leader.node)
        )

    def packets_lost(self):
        """Lose all packets between the leader's host and the others, which nobody notices but by waiting."""
        leader = self._leader_at_a_random_moment()
        network = self.contender.network
        others = [index for index in range(HOSTS) if index != leader.node]

        def each(act):
            for other in others:
                act(leader.node, other)

        self._cut("packets_lost", leader, lambda: each(network.cut_both), lambda: each(network.mend_both))

    def daemon_killed(self):
        """Kill the leader's daemon alone."""
        leader = self._leader_at_a_random_moment()
        self._watch_two("daemon_killed", leader, self.contender.kill_daemon(leader.node))

    def all_killed(self):
        """Kill all that runs on the leader's host but the program, as a kill by name does."""
        leader = self._leader_at_a_random_moment()
        self._watch_two("all_killed", leader, self.contender.kill_host(leader.node, spared={leader.pid}))

    def controllee_killed(self):
        """Kill the program once."""
        leader = self._leader_at_a_random_moment()
        at = boottime.now()
        os.kill(leader.pid, signal.SIGKILL)
        self._keep("controllee_killed", self._takeover(at, RESTART_SECONDS))
        self._return(leader)
        self._keep("controllee_killed_two", self._overlap(at))

    def leader_stopped(self):
        """Ask the leader to stop."""
        leader = self._leader_at_a_random_moment()
        at = boottime.now()
        self.contender.stop_host(leader.node)
        after = self.contender.takeover_after(at, self._patience_seconds)
        gap = max(0.0, gap_seconds(self._known(leader), after)) if after else math.inf
        self._keep("leader_stopped", gap)
        self._return(leader)
        self._keep("leader_stopped_two", self._overlap(at))

    def idle(self):
        """Leave the contender alone, and return what the leader's host and a follower's cost."""
        leader = self.contender.settle()
        time.sleep(IDLE_SETTLE_SECONDS)
        hosts = {"leader": leader.node, "follower": (leader.node + 1) % HOSTS}
        pids = {role: self.contender.network.pids(index) - {leader.pid} for role, index in hosts.items()}
        before = {role: _spent(pids[role]) for role in hosts}
        began = time.monotonic()
        time.sleep(IDLE_SECONDS)
        took = time.monotonic() - began
        return {role: _idle(pids[role], before[role], took) for role in hosts}

    # --- the parts --------------------------------------------------------------------------------------------

    def _leader_at_a_random_moment(self):
        leader = self.contender.settle()
        # Heartbeats, and what renews a lease, come several times in the silence that a tool tolerates.
        time.sleep(random.uniform(0.05, 0.35) * self.contender.silence_seconds)
        return leader

    def _takeover(self, at, seconds=None):
        life = self.contender.takeover_after(at, seconds or self._patience_seconds)
        return life.began - at if life else math.inf

    def _overlap(self, since):
        return overlap_seconds([life for life in self.contender.lives() if life.ended >= since])

    def _known(self, life):
        """Return what is known of a life by now."""
        return next(
            one
            for one in self.contender.lives()
            if (one.node, one.pid, one.began) == (life.node, life.pid, life.began)
        )

    def _two_end(self, seconds):
        """Wait so long for no more than one program; return whether it was so in time."""
        return self.contender.look_for(lambda: len(self.contender.running()) <= 1, seconds)

    def _watch_two(self, slug, leader, at):
        """Wait for the takeover, and then for the end of the old program."""
        self._keep(slug, self._takeover(at))
        is_over = self._two_end(WATCH_SECONDS)
        self._keep(f"{slug}_two", self._overlap(at) if is_over else math.inf)
        self._return(leader)

    def _cut(self, slug, leader, cut, mend):
        """Cut the leader off, watch, and mend it."""
        at = boottime.now()
        cut()
        self._keep(slug, self._takeover(at))
        time.sleep(WATCH_SECONDS)
        before = self.contender.running()
        has_two = len(before) > 1
        self._keep(f"{slug}_two", math.inf if has_two else self._overlap(at))
        mended = boottime.now()
        mend()
        if has_two:
            is_over = self._two_end(HEAL_SECONDS + self.contender.silence_seconds)
            ends = [known.ended for known in map(self._known, before) if not known.is_running]
            self._keep(f"{slug}_healed", max(0.0, max(ends) - mended) if is_over and ends else math.inf)
        self._return(leader, is_host_to_be_restarted=False)

    def _return(self, leader, *, is_host_to_be_restarted=True):
        """Bring everything in order: start the host of the fault again, or all if two programs run."""
        contender = self.contender
        if is_host_to_be_restarted:
            contender.kill_host(leader.node)
        if len(contender.running()) > 1:
            for index in range(HOSTS):
                contender.kill_host(index)
            for index in range(HOSTS):
                contender.start_host(index)
        elif is_host_to_be_restarted:
            contender.start_host(leader.node)
        contender.settle()


def _spent(pids):
    return sum(cpu_seconds(pid) for pid in pids), network_bytes(next(iter(pids)))


def _idle(pids, before, seconds):
    cpu, count = (now - then for now, then in zip(_spent(pids), before, strict=True))
    return Idle(100 * cpu / seconds, sum(memory_mb(pid)[1] for pid in pids), count / seconds)
