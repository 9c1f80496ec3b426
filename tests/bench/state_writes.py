"""How soon a write on the leader is on every replica (promise R1), at 1, 10 and 100 writes a second, and what it costs.

A ClassAd log grows by one transaction a write. A plain file of 1 MiB is replaced by a new one, as programs do that
have no log. Such a file counts only when it was quiet for 0.2 s (hard case 22), so it is written in bursts, and the time is that
from the last write of a burst.
"""

import os
import time

import attrs

from tests.bench.state_figures import CONDORS_DELAY, Section
from tests.bench.state_pool import HEAD, LOOK_SECONDS, record, spent, transferers

RATES = (1, 10, 100)
PROMISE_SECONDS = 1.0
FILE_BYTES = 1 << 20
BURST_SECONDS = 1.0
#: After the last write, for those that are still on their way.
PATIENCE_SECONDS = 10.0
SETTLE_SECONDS = 2.0
_COUNT_SECONDS = 0.1


@attrs.define
class Watch:
    """Sees writes arrive on all followers.

    `arrived` gives how far a follower is, in whatever numbers writes have.
    """

    followers: list
    arrived: object
    waiting: list = attrs.field(factory=list)
    seconds: list = attrs.field(factory=list)

    def wrote(self, mark):
        """A write was made a moment ago; it has arrived where `arrived` is at least its mark."""
        self.waiting.append((mark, time.monotonic()))

    def look(self):
        """Take note of all writes that are on every follower by now."""
        if self.waiting:
            least = min(self.arrived(node) for node in self.followers)
            now = time.monotonic()
            while self.waiting and self.waiting[0][0] <= least:
                self.seconds.append(now - self.waiting.pop(0)[1])

    def until_all_arrived(self):
        """Wait for the last writes; what does not come counts as having taken that long."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.waiting and time.monotonic() < deadline:
            self.look()
            time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        self.seconds += [now - at for _, at in self.waiting]
        self.waiting.clear()


def measure_writes(pool, seconds):
    """Write at each rate and return the sections.

    Args:
        pool: a StatePool in order, without a state.
        seconds: how long to write a log at each rate.
    """
    delays = Section(
        "R1: from a write on the leader to the same bytes on every replica", "s", beside="HTCondor 25.14"
    )
    costs = Section("R1: processor time at these rates, of one node; idle time included", "% of a core", 2)
    starts = Section("R1: transferer processes started on all nodes", "a minute", 1)
    _write_logs(pool, seconds, delays, costs, starts)
    _write_files(pool, delays)
    return [delays, costs, starts]


def _write_logs(pool, seconds, delays, costs, starts):
    descriptor = os.open(pool.state, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, HEAD)
        pool.wait_held(pool.followers, pool.wait_published(len(HEAD)))
        for rate in RATES:
            time.sleep(SETTLE_SECONDS)
            watch = Watch(pool.followers, lambda node: node.replica.state_file.stat().st_size)
            before, began = [spent(node) for node in pool.pool.nodes], time.monotonic()
            started = _write_at(pool, descriptor, rate, seconds, watch)
            watch.until_all_arrived()
            took = time.monotonic() - began
            after = [spent(node) for node in pool.pool.nodes]
            used = [now.since(then) for now, then in zip(after, before, strict=True)]
            title = f"ClassAd log, {rate} records a second"
            delays.add(title, watch.seconds, PROMISE_SECONDS, beside=CONDORS_DELAY)
            starts.add(title, [60 * started / took])
            _add_costs(costs, f"{rate} a second", used, took)
    finally:
        os.close(descriptor)


def _add_costs(costs, title, used, took):
    percent = [(100 * one.daemon / took, 100 * one.transferers / took) for one in used]
    (leader, leaders), followers = percent[0], percent[1:]
    costs.add(f"{title}, leader's daemon", [leader])
    costs.add(f"{title}, leader's transferers together", [leaders])
    costs.add(f"{title}, follower's daemon", [daemon for daemon, _ in followers])
    costs.add(f"{title}, follower's transferer", [theirs for _, theirs in followers])


def _write_at(pool, descriptor, rate, seconds, watch):
    """Write at a rate; return how many transferers were started meanwhile."""
    known = _transferers(pool)
    fresh = set()
    began = time.monotonic()
    written, counted_at = 0, began
    while (now := time.monotonic()) < began + seconds:
        if now >= began + written / rate:
            os.write(descriptor, record(written))
            watch.wrote(os.fstat(descriptor).st_size)
            written += 1
        if now >= counted_at + _COUNT_SECONDS:
            fresh |= _transferers(pool) - known
            counted_at = now
        watch.look()
        time.sleep(LOOK_SECONDS)
    return len(fresh)


def _transferers(pool):
    return {pid for node in pool.pool.nodes for pid in transferers(node.replica.process.pid)}


def _write_files(pool, delays):
    number = 0
    for rate, bursts in ((1, 10), (10, 5), (100, 5)):
        watch = Watch(pool.followers, _number_in)
        for _ in range(bursts):
            count = max(1, int(rate * BURST_SECONDS))
            began = time.monotonic()
            for place in range(count):
                time.sleep(max(0.0, began + place / rate - time.monotonic()))
                number += 1
                pool.replace(FILE_BYTES, _numbered(number))
            watch.wrote(number)
            watch.until_all_arrived()
            time.sleep(max(0.0, began + 1 / rate - time.monotonic()))
        title = f"file of 1 MiB, {rate} a second" + ("" if rate == 1 else ", when they pause")
        delays.add(title, watch.seconds, PROMISE_SECONDS, beside=CONDORS_DELAY)


def _numbered(number):
    def fill(file, size):
        file.write(f"{number:015}\n".encode() * (size // 16))

    return fill


def _number_in(node):
    """Return which of our files stands at a node, 0 for none of them."""
    try:
        with node.replica.state_file.open("rb") as file:
            return int(file.read(15))
    except (FileNotFoundError, ValueError):
        return 0
