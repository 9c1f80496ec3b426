"""How often leadership moves without a fault on a machine that has too much to do, for several T.

For each T a pool of three members runs on this machine, in order, when the burden comes (`tests/end_to_end/burden.py`:
two busy processes for each core, memory that is short, a disk that syncs). After a moment it is watched for some time, in
which nothing is done to it: every life of a controllee that begins then, and every member that becomes leader, is a
change too many. Promised is none from T = 1 on.

How late the daemons' loops were is their own metric `had_loop_lag_seconds`; its buckets bound the longest lag. How long
processes waited for a core or for memory is the kernel's (/proc/pressure), of the whole machine.
"""

import os
import re
import time
from pathlib import Path

import attrs

from daemoncore import boottime
from tests.end_to_end.burden import MEMORY_BYTES, Burden, Cramped
from tests.end_to_end.pool import Pool

TIMEOUTS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
#: From this T on no change is promised, and it is watched for so many seconds at least.
PROMISED_FROM, PROMISED_SECONDS = 1.0, 180.0
MEMBERS = 3
#: What the burden is given to take hold.
WARMUP_SECONDS = 5.0


@attrs.frozen
class LoadCell:
    """What was seen at one T."""

    timeout_seconds: float
    seconds: float
    #: Whether the pool was in order before the burden came.
    was_in_order: bool
    leader_changes: int
    #: Controllees that began, though none had to.
    lives: int
    deadlines: int
    #: The least bucket of the metric that holds every lag of the three loops.
    longest_lag_seconds: float
    load_average: float
    #: Shares of the time in which some process of this machine waited for a core, or for memory.
    waited_for_core: float
    waited_for_memory: float


@attrs.define
class LoadTable:
    """What was seen at each T."""

    burden: str = ""
    cells: list[LoadCell] = attrs.field(factory=list)

    def add(self, seen):
        """Keep what `measure_load` returned."""
        self.burden, cell = seen
        self.cells.append(cell)

    def text(self):
        """Return the table."""
        above = (
            "",
            "watched",
            "leader",
            "new",
            "changes",
            "deadlines",
            "longest",
            "load",
            "waits for",
            "waits for",
        )
        below = ("T", "s", "changes", "lives", "a minute", "n", "lag <= s", "average", "a core %", "memory %")
        lines = [
            f"Under load, N = {MEMBERS}, nothing done to the pool: {self.burden}",
            "".join(f"{word:>10}" for word in above),
            "".join(f"{word:>10}" for word in below),
        ]
        return "\n".join(lines + [_row(cell) for cell in self.cells])

    def broken(self):
        """Yield what was not held, as text."""
        for cell in self.cells:
            if cell.timeout_seconds >= PROMISED_FROM and (cell.leader_changes or cell.lives):
                yield (
                    f"under load, T = {cell.timeout_seconds:g}: {cell.leader_changes} leader changes and {cell.lives} new "
                    f"controllees in {cell.seconds:.0f} s, promised none"
                )


def _row(cell):
    remark = "" if cell.was_in_order else "  not in order before"
    words = (
        f"{cell.timeout_seconds:g}",
        f"{cell.seconds:.0f}",
        cell.leader_changes,
        cell.lives,
        f"{60 * max(cell.leader_changes, cell.lives) / cell.seconds:.2f}",
        cell.deadlines,
        f"{cell.longest_lag_seconds:g}",
        f"{cell.load_average:.1f}",
        f"{100 * cell.waited_for_core:.1f}",
        f"{100 * cell.waited_for_memory:.1f}",
    )
    return "".join(f"{word:>10}" for word in words) + remark


def watched_seconds(timeout_seconds, seconds):
    """Return how long a pool is watched at a T."""
    return max(seconds, PROMISED_SECONDS) if timeout_seconds >= PROMISED_FROM else seconds


def load_estimate_seconds(timeouts, seconds):
    """Return about how long all of it takes."""
    return sum(watched_seconds(t, seconds) + WARMUP_SECONDS + 10 for t in timeouts)


def measure_load(folder, timeout_seconds, seconds):
    """Watch one pool, and return what its burden was and what was seen.

    Args:
        folder: for the pool's files.
        timeout_seconds: T.
        seconds: how long to watch.
    """
    with (
        Cramped(MEMORY_BYTES) as memory,
        Pool(folder, MEMBERS, timeout_seconds=timeout_seconds, network=memory.network) as pool,
    ):
        pool.start()
        was_in_order = _comes_into_order(pool)
        with Burden(folder, memory) as burden:
            time.sleep(WARMUP_SECONDS)
            logs = [len(node.log()) for node in pool.nodes]
            lags = [_lags(node) for node in pool.nodes]
            at, waits = boottime.now(), _waits()
            time.sleep(seconds)
            took, waited = boottime.now() - at, _waits()
            later = [_lags(node) for node in pool.nodes]
            assert burden.is_whole, "the kernel ended a part of the burden"
            shares = [(now - then) / took / 1e6 for now, then in zip(waited, waits, strict=True)]
            load_average = os.getloadavg()[0]
        seen = {
            bound: sum(now.get(bound, 0) - then.get(bound, 0) for now, then in zip(later, lags, strict=True))
            for bound in later[0]
        }
        news = [node.log()[begin:] for node, begin in zip(pool.nodes, logs, strict=True)]
        return burden.text, LoadCell(
            timeout_seconds=timeout_seconds,
            seconds=took,
            was_in_order=was_in_order,
            leader_changes=sum(text.count(" to=leader ") for text in news),
            lives=sum(life.began > at for life in pool.lives()),
            deadlines=int(seen[float("inf")]),
            longest_lag_seconds=min(b for b, count in seen.items() if count == seen[float("inf")]),
            load_average=load_average,
            waited_for_core=shares[0],
            waited_for_memory=shares[1],
        )


def _comes_into_order(pool):
    """Whether the pool settles; at a T that is too short for this machine it need not, and is watched all the same."""
    try:
        pool.wait_settled(seconds=30)
    except AssertionError:
        return False
    return True


def _lags(node):
    """Return how many deadlines a daemon handled with a lag up to each bound so far."""
    answer = node.http("/metrics")
    assert answer, f"{node} does not answer"
    found = re.findall(r'^had_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', answer[1], re.MULTILINE)
    return {float(bound): float(count) for bound, count in found}


def _waits():
    """Return for how many microseconds some process has waited for a core, and for memory; 0 where it is not counted."""
    return [_waited(resource) for resource in ("cpu", "memory")]


def _waited(resource):
    try:
        first = Path(f"/proc/pressure/{resource}").read_text().partition("\n")[0]
    except OSError:
        return 0
    return int(first.rpartition("total=")[2])
