"""No short history of three members with votes has two controllees."""

import pytest

from tests.model.explorer import ALONE, Pool, explore, settled


def told(found):
    """The counterexample, for the message of a failed test."""
    if found.counterexample is None:
        return ""
    path, what = found.counterexample
    return "\n".join([*map(str, path), what])


def test_the_first_member_comes_to_lead():
    """Where the explorations begin, one member leads and its controllee runs."""
    pool = settled()
    assert pool.leader == "n1:1"
    assert [host.started is not None for host in pool.hosts] == [True, False, False]


def test_a_state_survives_packing():
    """A state that was packed and unpacked is equal to itself, and goes on as it would have."""
    one = settled()
    other = Pool.unpacked(one.packed())
    assert other.packed() == one.packed()
    one.play(ALONE)
    other.play(ALONE)
    assert other.packed() == one.packed()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_cut_makes_two():
    """Whichever pairs can talk in each of four rounds, T in all, there are never two; and leadership does move."""
    found = explore(settled(), rounds=4, mishaps=0)
    assert found.counterexample is None, told(found)
    assert found.states > 500
    assert found.leaders == {"n1:1", "n2:1", "n3:1"}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("cut_rounds", [0, 3, 4])
def test_no_mishap_makes_two(cut_rounds):
    """A mute or late direction, a frozen or killed daemon, before, during and after a takeover: never two."""
    found = explore(settled([ALONE] * cut_rounds), rounds=2, mishaps=1)
    assert found.counterexample is None, told(found)
    assert found.rounds > 700


@pytest.mark.timeout(120)
def test_leases_that_are_not_shortened_are_found_out():
    """The check can fail: where clocks run apart and nobody reckons with it, a plain cut makes two controllees."""
    found = explore(settled([ALONE] * 2, drift=0.0), rounds=3, mishaps=0)
    assert found.counterexample is not None
    assert "two controllees" in told(found)
