"""What 1 KB appended to a state of 1 GiB costs (promise R3): bytes on the wire, processor time, and time.

Bytes are those of the followers' network interfaces, in both directions, headers and the daemons' reports included.
"""

import os
import time

from tests.bench.idle import network_bytes
from tests.bench.state_figures import CONDORS_DELAY, Section
from tests.bench.state_pool import HEAD, record, spent
from tests.bench.state_writes import Watch

STATE_BYTES = 1 << 30
APPENDS = 10
APPENDED_BYTES = 1000
PROMISE_BYTES = 1_000_000
PROMISE_SECONDS = 1.0
#: A side's processor time for one append while its transferer lives (hard case 22).
PROMISE_CPU_MS = 50.0
#: So that what the last one leaves to be done is done before the next.
PAUSE_SECONDS = 1.0
#: One transaction of this size after the other makes the state.
_BLOCK_BYTES = 1 << 20


def _fill(file, size):
    file.write(HEAD)
    block = record(0, _BLOCK_BYTES)
    for _ in range(size // _BLOCK_BYTES):
        file.write(block)


def measure_growth(pool, *, is_apart):
    """Append again and again and return the sections.

    Args:
        pool: a StatePool in order.
        is_apart: whether each host has a network of its own, so that its bytes can be counted.
    """
    pool.replace(STATE_BYTES, _fill)
    pool.wait_held(pool.followers, pool.wait_published(pool.state.stat().st_size))
    seconds, moved, used = [], [], []
    with pool.state.open("ab", buffering=0) as file:
        for number in range(APPENDS + 1):
            time.sleep(PAUSE_SECONDS)
            before = [spent(node) for node in pool.pool.nodes]
            bytes_before = [_bytes(node) for node in pool.followers]
            watch = Watch(pool.followers, lambda node: node.replica.state_file.stat().st_size)
            file.write(record(number, APPENDED_BYTES))
            watch.wrote(os.fstat(file.fileno()).st_size)
            watch.until_all_arrived()
            pool.wait_held(pool.followers, pool.point(pool.leader))
            # The first append meets digests that are still being made of what was just installed.
            if number:
                seconds += watch.seconds
                moved += [_bytes(node) - was for node, was in zip(pool.followers, bytes_before, strict=True)]
                after = [spent(node) for node in pool.pool.nodes]
                used.append([now.since(then) for now, then in zip(after, before, strict=True)])
    return _sections(seconds, moved if is_apart else [], used, len(pool.followers))


def _bytes(node):
    return network_bytes(node.replica.process.pid)


def _sections(seconds, moved, used, followers):
    delay = Section("R3: 1 KB appended to 1 GiB, to every replica", "s", beside="HTCondor 25.14")
    whole = f"1 GiB each time: 15.6/16.6/17.9, after {CONDORS_DELAY}"
    delay.add("from the write to the bytes on every replica", seconds, PROMISE_SECONDS, beside=whole)
    wire = Section("R3: 1 KB appended to 1 GiB, on the wire", "bytes a replica", 0)
    wire.add("a follower's host, both directions, reports included", moved, PROMISE_BYTES)
    cpu = Section("R3: 1 KB appended to 1 GiB, processor time", "ms an append", 1)
    ms = 1000
    cpu.add("leader's daemon, for all replicas", [ms * one[0].daemon for one in used], PROMISE_CPU_MS)
    each = [ms * one[0].transferers / followers for one in used]
    cpu.add("leader's transferer, for each replica", each, PROMISE_CPU_MS)
    cpu.add("follower's daemon", [ms * f.daemon for one in used for f in one[1:]], PROMISE_CPU_MS)
    cpu.add("follower's transferer", [ms * f.transferers for one in used for f in one[1:]], PROMISE_CPU_MS)
    return [delay, wire, cpu]
