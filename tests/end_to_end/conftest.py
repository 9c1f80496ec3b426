"""Pools for the tests of this folder; each is ended with its test, whatever became of it."""

import pytest

from tests.end_to_end.networks import Namespaces
from tests.end_to_end.pool import Pool
from tests.end_to_end.replica_stage import Stage, Troupe


@pytest.fixture
def make_pool(tmp_path):
    """Make pools, `make_pool(3, timeout_seconds=1)`; the configuration files are written, nothing runs yet."""
    pools = []

    def make(count=3, **options):
        pool = Pool(tmp_path / f"pool{len(pools)}", count, **options)
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def settled(make_pool):
    """Make a pool that runs, and return it with its leader; the story of controllees begins with the present one."""

    def make(count=3, **options):
        pool = make_pool(count, **options)
        pool.start()
        leader = pool.wait_settled(pool[0] if pool.has_primary else None)
        pool.forget_lives_before(leader.running())
        return pool, leader

    return make


@pytest.fixture
def apart(make_pool):
    """Make a pool whose hosts are network namespaces, which can be cut; skips where that is not allowed."""
    # Hosts apart need a word on security; who may speak is decided by address here, and by keys in test_security.py.
    knobs = {
        "ALLOW_DAEMON": "*/10.77.0.*",
        "ALLOW_ADMINISTRATOR": "*/10.77.0.*",
        "SEC_DEFAULT_AUTHENTICATION": "OPTIONAL",
    }

    def make(count=3, **options):
        options["knobs"] = knobs | options.get("knobs", {})
        return make_pool(count, network=Namespaces, **options)

    return make


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A leader and a follower, for all tests of a file."""
    stage = Stage(tmp_path_factory.mktemp("stage"))
    yield stage
    stage.close()


@pytest.fixture
def impostor(stage):
    """Somebody at a member's place, who is gone afterwards."""
    with stage.impostor() as impostor:
        yield impostor


@pytest.fixture
def troupe(make_pool):
    """Make replication daemons with hads of the test's own, `troupe(2)`; nothing runs before `start`."""
    troupes = []

    def make(count, *, places=0, **options):
        pool = make_pool(count + places, has_replication=True, timeout_seconds=1, **options)
        troupes.append(Troupe(pool, count))
        return troupes[-1]

    yield make
    for one in troupes:
        one.close()
