"""Cuts of the network between real daemons, each on a host that is a network namespace: P1, P7, P8.

The cuts are silent: a cable is pulled, or what one host sends to another goes nowhere.
"""

import pytest

from daemoncore import boottime

pytestmark = [pytest.mark.root, pytest.mark.timed]


@pytest.mark.parametrize("count", [2, 3])
def test_leader_cut_off(apart, count):
    """P1: the leader's network is cut, and another controllee starts within 1.5 T + 0.5 s; P7: the heal leaves one."""
    pool = apart(count, timeout_seconds=2)
    pool.start()
    leader = pool.wait_settled(pool[0])
    at = pool.unplug(leader)
    after = pool.wait_new_life(at, 10)
    assert after.node == 1
    assert after.began - at <= 1.5 * 2 + 0.5
    # One leader for each part of the pool, which is HTCondor's rule without HAD_REQUIRE_MAJORITY.
    assert leader.running()
    at = pool.plug(leader)
    pool.wait(lambda: not pool[1].running(), 10, "the second controllee to end after the heal", 0.003)
    # The promise counts from the heal; to be let on the bridge again and to resolve addresses takes the network a moment.
    assert pool[1].lives()[-1].ended - at <= 2 + 0.5 + 0.5
    pool.wait_settled(leader)
    assert len(leader.lives()) == 1, "the higher id of two leaders stays (hard case 1)"
    above = max(life.epoch for life in pool[1].lives())
    pool.wait(lambda: leader.status()["epoch"] > above, 2, "the survivor to take an epoch above both")
    epoch_file = next(leader.folder.glob("had/**/epoch"))
    pool.wait(lambda: int(epoch_file.read_text()) > above, 1, "the controllee's file to name it")


def test_follower_cut_off(apart):
    """A follower that is cut off leads its own part, and the leader keeps its controllee through cut and heal."""
    pool = apart(3, timeout_seconds=1)
    pool.start()
    leader = pool.wait_settled(pool[0])
    before = leader.running()
    at = pool.unplug(pool[2])
    assert pool.wait_new_life(at, 5).node == 2
    pool.plug(pool[2])
    pool.wait_settled(leader)
    assert leader.running().pid == before.pid
    assert [life.pid for life in leader.lives()] == [before.pid]


def test_partition_of_four(apart):
    """P7: two halves of a pool have a leader each, and after the heal one of them within T + 0.5 s."""
    pool = apart(4, timeout_seconds=2)
    pool.start()
    leader = pool.wait_settled(pool[0])
    for one in (0, 1):
        for other in (2, 3):
            pool.network.cut_both(one, other)
    lives = pool.wait(pool[2].lives, 8, "a leader of the second half", 0.003)
    assert len(lives) == 1
    assert pool[3].lives() == pool[1].lives() == []
    for one in (0, 1):
        for other in (2, 3):
            pool.network.mend_both(one, other)
    at = boottime.now()
    pool.wait(lambda: not pool[2].running(), 10, "the second half's controllee to end", 0.003)
    assert pool[2].lives()[-1].ended - at <= 2 + 0.5
    pool.wait_settled(leader)
    assert len(pool.lives()) == 2


def test_non_transitive_cut(apart):
    """P8: leader and second cannot reach each other, but both reach the third: there is no second leader."""
    pool = apart(3, timeout_seconds=1)
    pool.start()
    leader = pool.wait_settled(pool[0])
    pool.network.cut_both(0, 1)
    pool.wait(lambda: pool[1].peer_state(leader) == "silent", 5, "the cut to be felt", 0.05)
    with pytest.raises(AssertionError, match="not within"):
        pool.wait(lambda: len(pool.lives()) > 1, 3, "what must not happen")
    assert pool[1].status()["leader"] == leader.entry
    pool.network.mend_both(0, 1)
    pool.wait_settled(leader)
    assert len(pool.lives()) == 1


@pytest.mark.parametrize(("sender", "receiver"), [(0, 1), (1, 0)])
def test_one_way_cut(apart, sender, receiver):
    """P8: a cut in one direction between leader and second makes no second leader while the third hears both."""
    pool = apart(3, timeout_seconds=1)
    pool.start()
    leader = pool.wait_settled(pool[0])
    pool.network.cut(sender, receiver)
    # TCP needs both directions, so a one-way cut is a cut (hard case 4).
    pool.wait(lambda: pool[1].peer_state(leader) == "silent", 5, "the cut to be felt", 0.05)
    with pytest.raises(AssertionError, match="not within"):
        pool.wait(lambda: len(pool.lives()) > 1, 3, "what must not happen")
    assert pool[1].status()["leader"] == leader.entry
    pool.network.mend(sender, receiver)
    pool.wait_settled(leader)


def test_leader_that_nobody_hears(apart):
    """P8: a leader whose words reach nobody loses its controllee, and the second takes over; never two for long."""
    pool = apart(3, timeout_seconds=1)
    pool.start()
    leader = pool.wait_settled(pool[0])
    pool.network.cut(0, 1)
    pool.network.cut(0, 2)
    pool.wait(pool[1].lives, 6, "another leader", 0.003)
    pool.network.mend(0, 1)
    pool.network.mend(0, 2)
    pool.wait_settled(leader)


def test_primary_returns_through_another(apart):
    """A returning primary that cannot reach the leader asks through the third member; never two (hard case 3)."""
    pool = apart(3, timeout_seconds=1)
    pool.start(1, 2)
    second = pool.wait_settled(pool[1])
    pool.network.cut_both(0, 1)
    pool[0].start()
    after = pool.wait_new_life(0, 8, where=pool[0])
    assert second.lives()[-1].has_stopped
    assert 0 <= after.began - second.lives()[-1].ended <= 0.5
    assert pool.overlap_seconds() == 0


def test_host_dies_silently(apart):
    """P1: a host that loses its network and everything on it is replaced in time, and returns in order (P6)."""
    pool = apart(3, timeout_seconds=1)
    pool.start()
    leader = pool.wait_settled(pool[0])
    at = pool.unplug(leader)
    leader.kill_host()
    after = pool.wait_new_life(at, 6)
    assert after.node == 1
    assert after.began - at <= 1.5 * 1 + 0.5
    pool.plug(leader)
    leader.start()
    pool.wait_settled(leader)
    assert pool.overlap_seconds() == 0
