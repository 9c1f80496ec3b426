"""Schedules: pure, printable, and such that what the guarantees exclude does not happen."""

import itertools

import attrs

from tests.end_to_end.chaos.faults import Faults
from tests.end_to_end.chaos.schedule import CHAOS_SECONDS, KINDS, LEADER, Fault, Schedule, draw

SEEDS = range(300)


def test_a_seed_is_one_schedule():
    """The same number gives the same schedule, and another number another one."""
    assert [draw(seed) for seed in SEEDS] == [draw(seed) for seed in SEEDS]
    assert len({attrs.evolve(draw(seed), seed=0) for seed in SEEDS}) > 0.9 * len(SEEDS)


def test_a_schedule_can_be_read():
    """What is printed names the pool and each fault with its time, its place and its size."""
    faults = (Fault(1.5, 2.25, "loss", (0, 2), 0.2), Fault(3, 0, "kill_guard", (LEADER,)))
    assert str(Schedule(7, 2, 1, True, True, 0.5, faults)).splitlines() == [
        "seed 7: 2 candidates, 1 witnesses, majority, primary, T = 0.5 s",
        "    1.50 s for 2.25 s: loss 0 2 0.2",
        "    3.00 s for 0.00 s: kill_guard leader",
    ]


def test_every_kind_is_drawn_and_can_be_done():
    """Some seeds draw each kind of faults, and each has its method."""
    assert set().union(*(draw(seed).kinds for seed in SEEDS)) == set(KINDS)
    assert all(hasattr(Faults, f"_{kind}") for kind in KINDS)


def test_both_modes_and_all_shapes_are_drawn():
    """Majority and default, two and three candidates, with a witness and without, with a primary and without."""
    drawn = [draw(seed) for seed in SEEDS]
    shapes = {(s.has_majority, s.candidates, s.witnesses) for s in drawn}
    assert shapes == {(True, 2, 1), (True, 3, 0), (False, 2, 0), (False, 2, 1), (False, 3, 0)}
    assert {s.has_primary for s in drawn} == {True, False}


def test_no_host_has_two_faults_of_its_processes_at_once():
    """Daemon and guard are never frozen together, and nothing is killed that another fault has killed."""
    for seed in SEEDS:
        faults = [fault for fault in draw(seed).faults if fault.area != "links"]
        assert all(0 <= fault.at <= CHAOS_SECONDS for fault in faults)
        for one, other in itertools.combinations(faults, 2):
            if one.area == other.area and set(one.hosts) & set(other.hosts):
                assert one.at + one.seconds < other.at


def test_only_candidates_are_hit_where_a_witness_has_nothing():
    """A witness has no replica, no guard and no controllee."""
    for seed in SEEDS:
        schedule = draw(seed)
        for fault in schedule.faults:
            if fault.kind.endswith(("guard", "controllee", "replication", "transferer", "state_disk")):
                assert max(fault.hosts) < schedule.candidates
