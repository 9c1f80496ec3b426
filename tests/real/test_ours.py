"""Our daemons on all managers of a real pool: condor_master starts them, and a real condor_negotiator is what they run.

Both ways of control: the negotiator is condor_master's (HAD_CONTROL = auto), or our daemon's own child (spawn). Times have the room
that a busy machine needs; T is a second. What is exact is that there are never two.
"""

import os
import signal

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

BOUND = 20
"""Seconds in which any promise at T = 1 is kept, on however busy a machine; real daemons take longer when idle."""


@pytest.mark.parametrize(
    ("control", "is_shared"), [("auto", False), ("auto", True), ("spawn", False), ("spawn", True)]
)
def test_a_host_dies_and_returns(make_pool, control, is_shared):
    """Cold start on the primary, takeover with the state, and back with the newer state; never two negotiators."""
    pool = make_pool("oo", control=control, is_shared=is_shared)
    primary, other = pool.managers
    pool.start()
    pool.wait_only(primary, 60)
    pool.set_factor(primary, "before", 17)
    pool.wait_factor(other, "before", 17, BOUND)
    at = primary.kill_host()
    pool.new_life(other, at, BOUND)
    pool.wait_only(other, BOUND)
    pool.set_factor(other, "between", 23)
    primary.revive()
    pool.wait_only(primary, 60)
    for user, factor in (("before", 17), ("between", 23)):
        pool.wait_factor(primary, user, factor, BOUND)
    assert pool.overlap_seconds() == 0


def test_the_secondary_starts_first(make_pool):
    """A secondary that is alone leads; the primary that starts later takes over, and there are never two."""
    pool = make_pool("oo")
    primary, other = pool.managers
    pool.start(other)
    pool.wait_only(other, 60)
    pool.start(primary)
    pool.wait_only(primary, 60)
    assert pool.overlap_seconds() == 0


def test_control_by_spawn(make_pool):
    """A real negotiator that had runs itself: stopped, killed and frozen had, and a killed negotiator; never two."""
    pool = make_pool("oo", control="spawn")
    primary, other = pool.managers
    pool.start()
    life = pool.wait_only(primary, 60)
    # The negotiator dies.
    os.kill(life.pid, signal.SIGKILL)
    life = pool.new_life(primary, life.began, BOUND)
    pool.wait_only(primary, BOUND)
    # condor_master stops had.
    primary.tool("condor_off", "-daemon", "had")
    pool.wait_only(other, BOUND)
    primary.tool("condor_on", "-daemon", "had")
    life = pool.wait_only(primary, 60)
    # had is killed: its negotiator dies with it, and condor_master starts had again.
    os.kill(primary.daemon("had"), signal.SIGKILL)
    pool.new_life(other, life.began, BOUND)
    life = pool.wait_only(primary, 60)
    # had is frozen.
    frozen = primary.daemon("had")
    os.kill(frozen, signal.SIGSTOP)
    pool.new_life(other, life.began, BOUND)
    pool.wait_only(other, BOUND)
    os.kill(frozen, signal.SIGCONT)
    pool.wait_only(primary, 60)
    assert pool.overlap_seconds() == 0
