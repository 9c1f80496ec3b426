"""What had-replication costs beside had in a pool in which nothing happens (promise S1), measured as `tests.bench.idle` does."""

import time

from tests.bench.idle import cpu_seconds, memory_mb
from tests.bench.report import IDLE_CPU_PERCENT, IDLE_RSS_MB
from tests.bench.state_figures import Section
from tests.bench.state_pool import HEAD

SETTLE_SECONDS = 10


def measure_state_idle(pool, seconds):
    """Leave a pool alone that has a state, and return the sections."""
    pool.state.write_bytes(HEAD)
    pool.wait_held(pool.followers, pool.wait_published(len(HEAD)))
    time.sleep(SETTLE_SECONDS)
    pids = {
        f"{daemon}, {role}": process.pid
        for role, node in (("leader", pool.leader), ("follower", pool.followers[0]))
        for daemon, process in (("had", node.process), ("had-replication", node.replica.process))
    }
    before, began = {title: cpu_seconds(pid) for title, pid in pids.items()}, time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    cpu = Section("S1: an idle pool with replication, N = 3, T = 2", "% of a core", 3)
    memory = Section("S1: resident memory there", "MB", 1, beside="USS")
    for title, pid in pids.items():
        cpu.add(title, [100 * (cpu_seconds(pid) - before[title]) / took], IDLE_CPU_PERCENT)
        rss, _, uss = memory_mb(pid)
        memory.add(title, [rss], IDLE_RSS_MB, beside=f"{uss:.1f}")
    return [cpu, memory]
