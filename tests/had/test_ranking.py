"""Who ranks before whom, over all small cases, and HTCondor's backoff."""

import itertools

import pytest

from had.ranking import Standing, backoff_seconds, outranks, standing, standing_of
from had.transitions import State
from tests.had.speakers import A, B, C, said, saw

STANDINGS = [
    standing(member, rank_id, abstains)
    for member in (A, B)
    for rank_id in (-1, 0, 1, 2)
    for abstains in (None, 0.0, 1.0, 5.0)
]
PAIRS = list(itertools.product(STANDINGS, repeat=2))


def test_a_fit_member_ranks_before_every_one_that_abstains():
    """Whatever the ids and addresses, fitness comes first."""
    for one, other in PAIRS:
        if one.is_fit and not other.is_fit:
            assert one > other
            assert outranks(one, other)


def test_among_fit_members_the_id_decides_and_then_the_address():
    """The higher id ranks first; a tie, which only differing lists can make, goes to the larger address."""
    fit = [s for s in STANDINGS if s.is_fit]
    for one, other in itertools.product(fit, repeat=2):
        expected = (one.rank_id, one.member) > (other.rank_id, other.member)
        assert (one > other) == expected
        assert outranks(one, other) == expected


def test_among_abstaining_members_the_longest_abstention_tries_first():
    """The tries go round: who has waited longest is the next candidate (hard case 10)."""
    waiting = [s for s in STANDINGS if not s.is_fit]
    for one, other in itertools.product(waiting, repeat=2):
        if one.abstains_seconds > other.abstains_seconds:
            assert one > other


def test_two_members_never_both_rank_before_the_other():
    """Of two different members exactly one ranks first, in the order and between leaders."""
    for one, other in PAIRS:
        if one.member != other.member:
            assert (one > other) != (other > one)
            assert outranks(one, other) != outranks(other, one)


def test_nobody_outranks_itself():
    """A leader does not give up for itself, however long it abstains."""
    for one, other in PAIRS:
        if one.member == other.member and one.rank_id == other.rank_id and one.is_fit == other.is_fit:
            assert not outranks(one, other)


def test_among_any_three_leaders_one_outranks_the_others():
    """Outranking has no circles, so a heal of many partitions leaves one leader."""
    for trio in itertools.product(STANDINGS, repeat=3):
        one, two, three = trio
        if outranks(one, two) and outranks(two, three):
            assert outranks(one, three)


def test_how_long_two_leaders_abstain_does_not_matter_between_them():
    """The abstentions grow while they talk, so the answer must not depend on them."""
    assert outranks(standing(A, 2, 1.0), standing(B, 1, 900.0))
    assert not outranks(standing(B, 1, 900.0), standing(A, 2, 1.0))


def test_an_abstention_grows_while_its_report_travels():
    """The time since the words were said is added to what they say."""
    message = said(C, State.PASSIVE, abstains_seconds=3.0)
    assert standing_of(message, 2.0) == Standing(False, 5.0, 0, C)
    assert standing_of(saw(C, abstains_seconds=3.0), 2.0) == Standing(False, 5.0, 0, C)
    assert standing_of(said(C), 2.0) == Standing(True, 0.0, 0, C)


@pytest.mark.parametrize(
    ("tries", "seconds"),
    [
        (0, 10),
        (1, 11),
        (2, 13),
        (3, 17),
        (4, 25),
        (8, 265),
        (11, 2057),
        (12, 3600),
        (64, 3600),
        (10**6, 3600),
    ],
)
def test_the_backoff_is_htcondors(tries, seconds):
    """With the defaults it is 9 + 2**tries seconds, and an hour at most."""
    assert backoff_seconds(tries, constant=9.0, factor=2.0, ceiling=3600.0) == seconds


@pytest.mark.parametrize(
    ("tries", "factor", "seconds"),
    [(1, 1.5, 11), (2, 1.5, 12), (3, 0.0, 9), (3, 1.0, 10), (400, 1e6, 60), (2, 7.5, 60)],
)
def test_the_backoff_takes_any_factor(tries, factor, seconds):
    """A fraction is rounded up, a factor of 0 adds nothing, and a huge one stays below the ceiling."""
    assert backoff_seconds(tries, constant=9.0, factor=factor, ceiling=60.0) == seconds
