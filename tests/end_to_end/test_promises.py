"""The promises P1 to P6 with real daemons on loopback addresses, each within the seconds that it names."""

import pytest


def test_cold_start(make_pool):
    """P2: started together, the first member's controllee runs within 2 T + 1 s, the only one there ever was."""
    pool = make_pool(3, timeout_seconds=5)
    pool.start()
    life = pool.wait_new_life(0, 2 * 5 + 1)
    assert life.node == 0
    pool.wait_settled(pool[0])
    assert len(pool.lives()) == 1
