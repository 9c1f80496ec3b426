"""The simulator as a test: known failures first, then fresh seeds until the budget is spent.

`SIMULATION_SEEDS` (1000) and `SIMULATION_SECONDS` (85, shared by all chunks) say how much; the chunks can run side
by side under pytest-xdist. A failing seed is replayed with `python -m tests.simulation SEED -v`, and goes into
failing_seeds.txt for ever.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

import attrs
import pytest

from had.votes import Votes
from tests.simulation.__main__ import known_failures
from tests.simulation.options import FIRST_SEED, KINDS, VOTING_KINDS, Options, draw
from tests.simulation.pool import Pool
from tests.simulation.runner import run, story
from tests.simulation.world import Violation

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "1000"))
SECONDS = float(os.environ.get("SIMULATION_SECONDS", "85"))
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
@pytest.mark.timeout(900)
@pytest.mark.parametrize("majority", [False, True])
@pytest.mark.parametrize(("candidates", "timeout_seconds"), [(2, 2.0), (10, 0.2), (20, 2.0), (50, 2.0)])
def test_promises_do_not_grow_with_the_number_of_managers(candidates, timeout_seconds, majority):
    """P2 and P1 hold from 2 to 50 managers, with and without HAD_REQUIRE_MAJORITY.

    A cold start takes no time without it, and one lease with it; another controllee runs 1.5 T + 0.5 s after the
    leader's host died.
    """
    witnesses = int(majority and candidates == 2)
    options = Options(
        candidates=candidates, timeout_seconds=timeout_seconds, majority=majority, witnesses=witnesses
    )
    pool = Pool(options, seed=5)
    pool.start_all(0.05)
    cold_bound = 2 * timeout_seconds + 1 if majority else 0.55
    assert pool.world.run_while(lambda: not pool.runs, cold_bound)
    pool.world.run_until(pool.world.now + 0.5)
    leader = pool.leader()
    assert leader is not None
    assert leader.name == pool.members[0]
    leader.host_death()
    pool.world.run_until(pool.world.now + 1.5 * timeout_seconds + 0.5)
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


def test_every_kind_of_fault_meets_a_majority():
    """Among a thousand seeds each kind is drawn with votes in a hundred pools; so are witnesses; lost disks in some."""
    drawn = [o for o in map(draw, range(FIRST_SEED, FIRST_SEED + 1000)) if o.majority]
    for kind in (*KINDS, *VOTING_KINDS, "suspend"):
        assert sum(kind in o.kinds for o in drawn) >= 100, kind
    assert sum(o.witnesses > 0 for o in drawn) >= 100
    assert sum(o.is_drift_extreme for o in drawn) >= 100
    assert any(o.loses_disks for o in drawn)


def test_mixed_pools_are_upgraded_and_rolled_back():
    """Among a thousand seeds hosts are exchanged in some forty pools with a real condor_had, in both directions."""
    drawn = {seed: draw(seed) for seed in range(FIRST_SEED, FIRST_SEED + 1000)}
    exchanged = {seed: o for seed, o in drawn.items() if "exchange" in o.kinds}
    assert len(exchanged) >= 40
    assert all(o.condors for o in exchanged.values())
    seed = next(seed for seed, o in exchanged.items() if o.candidates > 2)
    told = "\n".join(run(seed).lines)
    assert "upgrade to our programs" in told
    assert "downgrade to HTCondor's programs" in told


class Forgetful(Votes):
    """A voter that starts again knows of no vote on its disk."""

    def __init__(self, settings, record, now):
        super().__init__(settings, record, now)
        self.bond, self.withheld_until = None, now


class Fleeting(Votes):
    """A voter is bound for half of what it promised."""

    def _bind(self, node, asker):
        super()._bind(node, asker)
        if self.bond.until < math.inf:
            self.bond = attrs.evolve(self.bond, until=asker.at + asker.seconds / 2)


class Credulous(Votes):
    """A voter takes a refused connection for the end of whom it is bound to."""

    def _release(self, node, now):
        super()._release(node, now)
        holder = node.peers.get(self.bond.vote.member) if self.bond is not None else None
        if holder is not None and holder.refused_at > holder.heard_at:
            self.bond = None


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("broken", [Forgetful, Fleeting, Credulous, None])
def test_the_simulator_notices_a_broken_vote(broken):
    """Two controllees under a majority are found among a hundred leaders that are taken for dead, by broken rules only."""
    options = Options(
        candidates=2,
        witnesses=1,
        majority=True,
        timeout_seconds=1.0,
        is_drift_extreme=True,
        kinds=("siege",),
        promises=0,
    )
    found = None
    for seed in range(100 if broken else 20):
        pool = Pool(options, seed)
        for node in pool.nodes if broken else ():
            make = node._new_machine
            node._new_machine = lambda now, make=make, node=node: with_votes(make(now), broken, node, now)
        try:
            story(pool)
        except Violation as violation:
            found = str(violation)
            if found.startswith("8: two controllees"):
                break
    assert (found is None) if broken is None else found.startswith("8: two controllees")


def with_votes(machine, votes, node, now):
    """Give a machine that votes by other rules."""
    machine.votes = votes(node.settings, node.disk.record, now)
    return machine


def test_a_member_that_is_heard_is_dialled_at_once():
    """A broken connection to a member is made again when that member's own message comes, not after T/2."""
    pool = Pool(Options(candidates=2, timeout_seconds=8.0))
    pool.start_all()
    pool.world.run_until(20.0)
    link = pool.network.links["n2:9620", "n1:9620"]
    link.is_up = False
    pool.world.run_until(20.0 + 2.5)
    assert link.is_up


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
