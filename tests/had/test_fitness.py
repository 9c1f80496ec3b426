"""Deaths of the controllee, the waits between tries, and abstention (promise P5)."""

import math

import pytest

from had.fitness import Fitness
from tests.had.speakers import settings

SETTINGS = settings(recover_seconds=300.0)


def test_the_first_death_is_answered_by_a_restart_at_once():
    """One quick death is bad luck: the next start is due now, and the node does not abstain."""
    fitness = Fitness()
    assert fitness.died(1.0, 50.0, SETTINGS) is False
    assert fitness.restart_at == 50.0


def test_the_second_quick_death_makes_the_node_abstain():
    """After two in a row the node should abstain, and its own next try waits HTCondor's 9 + 2**2 seconds."""
    fitness = Fitness()
    fitness.died(1.0, 50.0, SETTINGS)
    assert fitness.died(1.0, 51.0, SETTINGS) is True
    assert fitness.restart_at == 64.0


def test_the_waits_of_a_lone_node_grow():
    """A node that keeps trying, since no other can, waits longer after each death, an hour at most."""
    fitness = Fitness()
    waits = []
    for _ in range(14):
        fitness.died(1.0, 0.0, SETTINGS)
        waits.append(fitness.restart_at)
    assert waits[:5] == [0, 13, 17, 25, 41]
    assert waits[-2:] == [3600, 3600]


@pytest.mark.parametrize(("ran_seconds", "deaths"), [(299.9, 2), (300.0, 0), (9999.0, 0)])
def test_a_long_life_forgives_the_deaths_before_it(ran_seconds, deaths):
    """A death after the recover time is not quick, and ends the count of those before it, of abstentions too."""
    fitness = Fitness(quick_deaths=1, abstentions=3)
    assert fitness.died(ran_seconds, 0.0, SETTINGS) is (deaths == 2)
    assert fitness.quick_deaths == deaths
    assert fitness.abstentions == (3 if deaths == 2 else 0)


def test_each_abstention_is_longer_than_the_one_before():
    """10, 11, 13, 17 ... seconds: 9 + 2**n."""
    fitness = Fitness()
    assert [fitness.abstain(100.0, SETTINGS) for _ in range(4)] == [10, 11, 13, 17]
    assert fitness.abstains_until == 117.0


def test_a_handover_that_was_called_off_is_tried_again_after_longer_and_longer_times():
    """The controllee starts again at once, the primary waits 10, 11, 13 ... seconds; the next leadership begins anew."""
    fitness = Fitness()
    waits = []
    for _ in range(4):
        fitness.called_off(50.0, SETTINGS)
        assert fitness.restart_at == 50.0
        waits.append(fitness.yields_from - 50.0)
    assert waits == [10, 11, 13, 17]
    fitness.leads_no_more()
    assert (fitness.restart_at, fitness.yields_from) == (math.inf, -math.inf)
    fitness.called_off(90.0, SETTINGS)
    assert fitness.yields_from == 100.0


def test_the_end_of_an_abstention_is_reported_once():
    """It is over when its time is; the quick deaths are forgotten then, the number of abstentions is not."""
    fitness = Fitness(quick_deaths=2)
    assert not fitness.is_abstention_over(0.0)
    fitness.abstain(100.0, SETTINGS)
    assert not fitness.is_abstention_over(109.9)
    assert fitness.is_abstention_over(110.0)
    assert not fitness.is_abstention_over(110.0)
    assert (fitness.abstains_since, fitness.quick_deaths, fitness.abstentions) == (None, 0, 1)


@pytest.mark.parametrize(("due", "then"), [(900.0, 20.0), (math.inf, math.inf)])
def test_a_hard_reconfiguration_begins_anew(due, then):
    """Counts and abstention end; a start that was waiting is due now, and none is made up (hard case 10)."""
    fitness = Fitness(quick_deaths=4, abstentions=4, abstains_since=1.0, abstains_until=990.0, restart_at=due)
    fitness.forgive(20.0)
    assert fitness.restart_at == then
    assert (fitness.quick_deaths, fitness.abstentions, fitness.abstains_since) == (0, 0, None)
