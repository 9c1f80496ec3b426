"""The model of condor_had: its table of transitions, row by row, and its pace."""

import pytest

from had.transitions import State
from tests.simulation.condor import next_state
from tests.simulation.options import Options
from tests.simulation.pool import Pool

PRE, PASSIVE, ELECTION, LEADER = State.PRE, State.PASSIVE, State.ELECTION, State.LEADER


@pytest.mark.parametrize(
    ("state", "alive", "elected", "is_primary", "expected"),
    [
        (PRE, set(), set(), False, PASSIVE),
        (PRE, {2}, {2}, True, PASSIVE),
        (PASSIVE, set(), set(), False, ELECTION),
        (PASSIVE, set(), {2}, False, ELECTION),
        (PASSIVE, {0}, set(), False, PASSIVE),
        (PASSIVE, {2}, set(), False, PASSIVE),
        (PASSIVE, {0, 2}, {2}, True, ELECTION),
        (ELECTION, set(), set(), False, LEADER),
        (ELECTION, set(), {0}, False, LEADER),
        (ELECTION, set(), {0, 2}, False, PASSIVE),
        (ELECTION, {0}, set(), False, PASSIVE),
        (ELECTION, {2}, {0}, False, PASSIVE),
        (ELECTION, {0, 2}, set(), True, LEADER),
        (ELECTION, set(), {2}, True, PASSIVE),
        (LEADER, set(), set(), False, LEADER),
        (LEADER, {0}, {2}, False, LEADER),
        (LEADER, {0, 2}, set(), False, PASSIVE),
        (LEADER, {2}, set(), True, PASSIVE),
    ],
)
def test_one_step_of_the_table(state, alive, elected, is_primary, expected):
    """The member with id 1 of three steps as HTCondor's does, whatever it has heard."""
    assert next_state(state, alive, elected, 1, is_primary=is_primary) is expected


def test_it_leads_two_intervals_after_its_start():
    """Alone, with T = 2 and two members, it is a candidate after 18 s and leads after 36 s, as was measured."""
    pool = Pool(Options(candidates=2, condors=(0, 1), timeout_seconds=2.0))
    [first, _] = pool.condors
    first.start()
    for until, state in ((17.9, PASSIVE), (18.1, ELECTION), (35.9, ELECTION), (36.1, LEADER)):
        pool.world.run_until(until)
        assert first.state is state
    pool.world.run_until(36.2)
    assert [run.node for run in pool.runs] == [first.name]
