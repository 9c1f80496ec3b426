"""What a pool costs in which nothing happens (promise S1): processor time, memory, and bytes on the network.

* Processor time: the process's own CPU clock (clock_getcpuclockid(3), nanoseconds; the kernel's utime + stime with its
  ticks of 10 ms left out), of the daemon and of its guard.
* Memory: /proc/PID/smaps_rollup. RSS counts pages that all daemons of a machine share (the interpreter, libraries) in
  full, PSS in shares, USS not at all.
* Network: the counters of the host's network interface, headers and acknowledgements included, in both directions; each
  host is a network namespace, so it needs root.

The controllee is `sleep`: it costs nothing.
"""

import time
from pathlib import Path

import attrs

from tests.end_to_end.pool import Pool

#: After the start, until everything is as it will stay.
SETTLE_SECONDS = 10


@attrs.frozen
class Cost:
    """What one daemon cost; bytes a second are None where they could not be counted."""

    members: int
    timeout_seconds: float
    role: str
    seconds: float
    cpu_percent: float
    guard_cpu_percent: float
    rss_mb: float
    pss_mb: float
    uss_mb: float
    guard_pss_mb: float
    bytes_per_second: float | None


def cpu_seconds(pid):
    """Return the processor time that a process has used, all its threads together."""
    # CPUCLOCK_SCHED of the whole process; glibc's clock_getcpuclockid makes the number in the same way.
    return time.clock_gettime((~pid << 3) | 2)


def memory_mb(pid):
    """Return resident, proportional and unshared memory in MB (10^6 bytes)."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) * 1024 / 1e6
    return fields["Rss"], fields["Pss"], fields["Private_Clean"] + fields["Private_Dirty"]


def network_bytes(pid):
    """Return the bytes that a process's host received and sent, loopback left out."""
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    counters = (line.partition(":") for line in lines)
    return sum(
        int(rest.split()[0]) + int(rest.split()[8]) for name, _, rest in counters if name.strip() != "lo"
    )


def measure_idle(folder, members, timeout_seconds, seconds, network, knobs, *, is_apart):
    """Run a pool, leave it alone, and return what the leader and its first follower cost.

    Args:
        folder: for the pool's files.
        members: how many.
        timeout_seconds: T.
        seconds: how long to look.
        network: makes the hosts.
        knobs: what the network needs in the configuration.
        is_apart: whether each host has a network of its own, so that its bytes can be counted.
    """
    knobs = {**knobs, "KEEPER": "/bin/sleep", "KEEPER_ARGS": "1000000"}
    with Pool(folder, members, timeout_seconds=timeout_seconds, network=network, knobs=knobs) as pool:
        pool.start()
        pool.wait(lambda: _is_in_order(pool), 60 + 10 * timeout_seconds, "a leader whom all follow", 0.5)
        time.sleep(SETTLE_SECONDS)
        looks = {role: (pool[index].pid, pool[index].guard_pid()) for role, index in _ROLES.items()}
        before = {role: _spent(*pids) for role, pids in looks.items()}
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        return [
            _cost(members, timeout_seconds, role, took, pids, before[role], is_apart=is_apart)
            for role, pids in looks.items()
        ]


_ROLES = {"leader": 0, "follower": 1}


def _is_in_order(pool):
    statuses = [node.status() for node in pool.nodes]
    return all(
        status
        and status["leader"] == pool[0].entry
        and all(peer["state"] == "alive" for peer in status["peers"])
        for status in statuses
    )


def _spent(pid, guard):
    return cpu_seconds(pid), cpu_seconds(guard), network_bytes(pid)


def _cost(members, timeout_seconds, role, seconds, pids, before, *, is_apart):
    cpu, guard_cpu, count = (now - then for now, then in zip(_spent(*pids), before, strict=True))
    rss, pss, uss = memory_mb(pids[0])
    return Cost(
        members=members,
        timeout_seconds=timeout_seconds,
        role=role,
        seconds=seconds,
        cpu_percent=100 * cpu / seconds,
        guard_cpu_percent=100 * guard_cpu / seconds,
        rss_mb=rss,
        pss_mb=pss,
        uss_mb=uss,
        guard_pss_mb=memory_mb(pids[1])[1],
        bytes_per_second=count / seconds if is_apart else None,
    )
