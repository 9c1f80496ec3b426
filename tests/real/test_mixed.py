"""One manager of ours and one real: they elect, and the state goes both ways, whichever of them is the primary.

Asserted is what C1 promises: in these stories there are never two. How long a real condor_had takes is its own matter and the
machine's, so the times here have room.
"""

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

PATIENCE = 120
"""Seconds; a real condor_had takes 12 N T = 24 s to settle by its manual, on a machine that nobody else uses."""

SETTLED = 6.0
"""Seconds for which there has to be exactly one; the original's interval is 10 s here."""


@pytest.mark.parametrize("is_shared", [False, True], ids=["ports", "shared port"])
@pytest.mark.parametrize("kinds", ["or", "ro"])
def test_a_host_dies_and_returns(make_pool, kinds, is_shared):
    """The primary leads; when its host dies the other kind takes over with the state; it returns, and leads again."""
    pool = make_pool(kinds, is_shared=is_shared)
    primary, other = pool.managers
    pool.start()
    pool.wait_only(primary, PATIENCE, SETTLED)
    pool.set_factor(primary, "before", 17)
    pool.wait_factor(other, "before", 17, PATIENCE)
    at = primary.kill_host()
    pool.new_life(other, at, PATIENCE)
    pool.wait_only(other, PATIENCE, SETTLED)
    pool.set_factor(other, "between", 23)
    primary.revive()
    pool.wait_only(primary, PATIENCE, SETTLED)
    pool.wait_factor(primary, "before", 17, PATIENCE)
    if primary.is_ours:
        # A real primary may start on its own, older state: HTCondor 23.5 and later lose what the stand-in wrote.
        pool.wait_factor(primary, "between", 23, PATIENCE)
    pool.set_factor(primary, "after", 29)
    pool.wait_factor(other, "after", 29, PATIENCE)
    assert pool.overlap_seconds() == 0, pool.story()


@pytest.mark.parametrize("first", [0, 1], ids=["primary first", "secondary first"])
@pytest.mark.parametrize("kinds", ["or", "ro"])
def test_started_one_after_the_other(make_pool, kinds, first):
    """Whoever is alone leads; in the end the primary does, and the state is on both."""
    pool = make_pool(kinds)
    pool.start(pool[first])
    pool.wait_only(pool[first], PATIENCE, SETTLED)
    pool.set_factor(pool[first], "alone", 41)
    pool.start(pool[1 - first])
    pool.wait_only(pool[0], PATIENCE, SETTLED)
    pool.wait_factor(pool[1 - first], "alone", 41, PATIENCE)
    assert pool.overlap_seconds() == 0, pool.story()


@pytest.mark.parametrize("kinds", ["or", "ro"])
def test_a_large_state(make_pool, kinds):
    """A state of 20 MB is copied from the primary to the other kind."""
    pool = make_pool(kinds, settings={"MAX_ACCOUNTANT_DATABASE_SIZE": 100_000_000})
    primary, other = pool.managers
    primary.write_large_state(20_000_000)
    pool.start()
    pool.wait_only(primary, PATIENCE, SETTLED)
    pool.wait(lambda: len(other.state()) >= 20_000_000, PATIENCE, "20 MB on the other manager", 1)
    pool.set_factor(primary, "large", 43)
    pool.wait_factor(other, "large", 43, PATIENCE)
