"""A machine with too much to do does not make the pool change its leader.

The burden is `burden.py`'s: two busy processes for each core, memory that is short, a disk that syncs. The bench watches
for longer, and at more values of T: `make bench BENCH="--only load"`.
"""

import time

import pytest

from tests.end_to_end.burden import MEMORY_BYTES, Burden, Cramped

pytestmark = pytest.mark.timed

WATCHED_SECONDS = 25


@pytest.fixture
def memory():
    """What a pool and its burden share."""
    with Cramped(MEMORY_BYTES) as memory:
        yield memory


def test_a_starved_machine_keeps_its_leader(memory, settled, tmp_path):
    """At T = 1 nobody leads but the first leader, and its controllee has one life, though every core is wanted thrice."""
    pool, leader = settled(3, timeout_seconds=1, network=memory.network)
    told = {node: len(node.logged("state_changed")) for node in pool.nodes}
    with Burden(tmp_path, memory) as burden:
        time.sleep(WATCHED_SECONDS)
        assert burden.is_whole
        assert [life.node for life in pool.lives()] == [leader.index], pool.story()
        assert leader.running(), pool.story()
        assert {node: len(node.logged("state_changed")) for node in pool.nodes} == told, pool.story()
    pool.wait_settled(leader)
