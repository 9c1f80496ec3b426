"""Pools of a real HTCondor for the tests of this folder; without one, each test is skipped and says what lacks."""

import pytest

from tests.real.release import find_release
from tests.real.rig import Pool


@pytest.fixture(scope="session")
def release():
    """Return this machine's HTCondor."""
    found, why_not = find_release()
    if why_not:
        pytest.skip(f"a real HTCondor is needed: {why_not}")
    return found


@pytest.fixture
def make_pool(release):
    """Make pools, `make_pool("or")`: ours on the first host, real daemons on the second; nothing runs yet."""
    pools = []

    def make(kinds, **options):
        pools.append(Pool(release, kinds, **options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture(scope="module")
def ours(release):
    """A pool of two of ours whose negotiators condor_master runs, for all tests of a file."""
    pool = Pool(release, "oo")
    try:
        pool.start()
        yield pool
    finally:
        pool.close()


@pytest.fixture
def settled(ours):
    """The pool of two of ours, led by its primary; the story of negotiators begins here."""
    for manager in ours.managers:
        if manager.process is None:
            manager.start()
    ours.wait_only(ours[0], 60)
    ours.wait_in_order()
    ours.forget()
    return ours
