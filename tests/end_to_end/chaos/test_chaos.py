"""Fire: random schedules of faults on real daemons, judged by what their controllees recorded.

Seeds that failed once come first, then CHAOS_SCHEDULES (12) others. They are run three at a time, each in a process of
its own, since most of the time a schedule waits. `python -m tests.end_to_end.chaos SEED -v` replays one.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.end_to_end.chaos.__main__ import known_failures, run_apart
from tests.end_to_end.chaos.cables import why_not
from tests.end_to_end.chaos.checker import violations
from tests.end_to_end.chaos.fire import burn, final_of
from tests.end_to_end.chaos.history import Final
from tests.end_to_end.chaos.schedule import Fault, Schedule
from tests.end_to_end.chaos.test_checker import history

SCHEDULES = int(os.environ.get("CHAOS_SCHEDULES", "12"))
JOBS = 3


def skip_where_it_cannot_burn():
    """Skip with the reason."""
    reason = why_not() or ("" if shutil.which("ip") else "network namespaces need the program ip")
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def fires(request):
    """The schedules of all tests that were selected, by seed, each begun as soon as one of the places is free."""
    skip_where_it_cannot_burn()
    calls = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    seeds = [params["seed_of_a_fire"] for params in calls if "seed_of_a_fire" in params]
    workers = ThreadPoolExecutor(JOBS)
    yield {seed: workers.submit(run_apart, seed) for seed in seeds}
    workers.shutdown(cancel_futures=True)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed_of_a_fire", dict.fromkeys([*known_failures(), *range(1, SCHEDULES + 1)]))
def test_a_schedule_of_faults_breaks_no_promise(fires, seed_of_a_fire):
    """Whatever the seed does to the pool, the recorded history keeps every rule of the checker."""
    _, output, is_good = fires[seed_of_a_fire].result()
    assert is_good, f"python -m tests.end_to_end.chaos {seed_of_a_fire} -v\n{output}"


@pytest.mark.root
@pytest.mark.slow
def test_the_checker_objects_to_a_pool_without_a_majority(tmp_path):
    """A pool that was not given HAD_REQUIRE_MAJORITY, but is judged as if, has two controllees in a cut: the fire burns."""
    skip_where_it_cannot_burn()
    schedule = Schedule(0, 3, 0, True, False, 0.7, (Fault(0.5, 6.0, "partition", (0,)),))
    found = violations(burn(schedule, tmp_path / "pool", knobs={"HAD_REQUIRE_MAJORITY": False}))
    assert any("two controllees" in sentence for sentence in found), found
    assert any("lives without a majority" in sentence for sentence in found), found
    assert not any("torn" in sentence or "lost" in sentence for sentence in found), found


def test_a_state_that_was_spoilt_is_torn(make_pool):
    """A byte of a follower's state is changed behind its daemon's back: what the fire reads at the end shows it."""
    pool = make_pool(2, timeout_seconds=1, has_replication=True)
    pool.start()
    leader = pool.wait_settled(None, 30)
    follower = next(node for node in pool.nodes if node is not leader)
    pool.wait(lambda: follower.replica.value() > 10, 15, "a state on the follower")
    pool.wait(lambda: not final_of(follower).torn, 5, "a version that belongs to it")
    follower.kill_host()
    state = follower.replica.state_file
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)
    spoilt = final_of(follower)
    finals = (Final(0, {130: 5}, (), ""), Final(1, {130: 5}, (), spoilt.torn), Final(2, {130: 5}, (), ""))
    assert any("node 1 is torn" in sentence for sentence in violations(history(finals=finals)))
