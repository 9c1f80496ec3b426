"""The simulator as a test: known failures first, then fresh seeds until the budget is spent.

`SIMULATION_SEEDS` (2000) and `SIMULATION_SECONDS` (180, shared by all chunks) say how much; the chunks can run side
by side under pytest-xdist. A failing seed is replayed with `python -m tests.simulation SEED -v`, and goes into
failing_seeds.txt for ever.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.simulation.__main__ import known_failures
from tests.simulation.options import Options
from tests.simulation.pool import Pool
from tests.simulation.runner import run
from tests.simulation.world import Violation

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "2000"))
SECONDS = float(os.environ.get("SIMULATION_SECONDS", "180"))
CHUNKS = 20


def explain(result) -> str:
    """Return what a failing seed's replay shows."""
    story = "\n".join(result.lines[-30:])
    return f"python -m tests.simulation {result.seed} -v\n{story}\n{result.violation}"


@pytest.mark.parametrize("seed", known_failures())
def test_a_seed_that_failed_once_holds_now(seed):
    """Every invariant and promise holds on a seed that found a bug before."""
    result = run(seed)
    assert result.is_good, explain(result)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_fresh_seeds_hold(chunk):
    """Every invariant and promise holds on this chunk's share of seeds and time."""
    end = time.monotonic() + SECONDS / CHUNKS
    size = SEEDS // CHUNKS
    for seed in range(1_000_000 + chunk * size, 1_000_000 + (chunk + 1) * size):
        result = run(seed)
        assert result.is_good, explain(result)
        if time.monotonic() > end:
            return


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("candidates", "timeout_seconds"), [(2, 2.0), (10, 0.2), (20, 2.0), (50, 2.0)])
def test_promises_do_not_grow_with_the_number_of_managers(candidates, timeout_seconds):
    """P2 and P1 hold from 2 to 50 managers: at once on a cold start, 1.5 T + 0.5 s after the leader's host died."""
    pool = Pool(Options(candidates=candidates, timeout_seconds=timeout_seconds), seed=5)
    pool.start_all(0.05)
    pool.world.run_until(1.5)
    leader = pool.leader()
    assert leader is not None
    assert leader.name == pool.members[0]
    assert pool.watch.runs[0].since <= 0.55
    leader.host_death()
    bound = 1.5 * timeout_seconds + 0.5
    pool.world.run_until(1.5 + bound)
    [run_elsewhere] = pool.runs
    assert run_elsewhere.node == pool.members[1]


def test_a_seed_tells_the_same_story_under_another_hash_seed():
    """A run is a function of its seed alone: no set or dict order of strings leaks into it."""
    stories = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "20", "77", "216", "-v"],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=False,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert stories[0]
    assert stories[0] == stories[1]


def test_the_simulator_notices_a_guard_that_does_nothing():
    """Two controllees in a quiet network are found when a guard never kills: the check can fail."""
    pool = Pool(Options())
    pool.start_all()
    pool.world.run_until(5.0)
    leader = pool.leader()
    assert leader is not None
    leader.guard.daemon_killed = lambda: None
    leader.kill()
    with pytest.raises(Violation, match="two controllees"):
        pool.world.run_until(10.0)
