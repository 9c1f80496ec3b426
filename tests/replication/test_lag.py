"""How far a replica lags: the age of the oldest version of the leader's that it lacks."""

import pytest

from replication.lag import ENTRIES_LIMIT, GRAIN_SECONDS, PRECISION, Age, Lag
from replication.version import LINEAGE_LIMIT, Version
from tests.replication.tellers import version

T = 3.0


def leading(*moments, gid=10, began=0.0):
    """A lag that heard of clock 0 at `began` and of each later clock at its moment, without a silence."""
    lag = Lag()
    lag.heard(version(f"{gid}.0"), began, began + T)
    for clock, moment in enumerate(moments, 1):
        said = began
        while said + T < moment:
            said += T
            lag.heard(version(f"{gid}.{clock - 1}"), said, said + T)
        lag.heard(version(f"{gid}.{clock}"), moment, moment + T)
        began = moment
    return lag


def test_nobody_lags_behind_a_leader_that_was_never_heard_of():
    """Without a leader there is nothing to lack, and no number for it."""
    lag = Lag()
    assert lag.age(version("10.3"), 5.0) is None
    assert lag.own_age(None, 5.0) is None


def test_who_holds_the_newest_version_lacks_none():
    """Whether it is the leader's own one, or one that grew out of it."""
    lag = leading(1.0, 2.0)
    for held in (version("10.2"), version("10.9"), version("20.0", "10.2")):
        assert lag.age(held, 100.0) == Age(0.0)


@pytest.mark.parametrize(("clock", "seconds"), [(2, 0.0), (1, 8.0), (0, 9.0)])
def test_the_oldest_version_that_is_lacked_counts(clock, seconds):
    """Not the newest, and not the one that is held."""
    assert leading(1.0, 2.0).age(version(f"10.{clock}"), 10.0) == Age(seconds)


def test_a_replica_that_follows_closely_does_not_add_up_its_lags():
    """One that is always a version behind is as old as one version, however long that has been so."""
    lag = leading(*range(1, 101))
    assert lag.age(version("10.99"), 100.5) == Age(0.5)


def test_a_replica_that_holds_nothing_of_the_history_lacks_all_of_it():
    """Neither a replica without a state nor one whose state grew apart from the beginning on has anything of it."""
    lag = leading(1.0, 2.0)
    for held in (None, version("7.4")):
        assert lag.age(held, 10.0) == Age(10.0, is_at_least=True)


def test_a_replica_that_diverged_lacks_what_came_after_the_fork():
    """What it holds instead does not count."""
    lag = Lag()
    lag.heard(version("10.5"), 0.0, T)
    lag.heard(version("10.6"), 1.0, 1.0 + T)
    lag.heard(version("20.0", "10.6"), 2.0, 2.0 + T)
    lag.heard(version("20.1", "10.6"), 3.0, 3.0 + T)
    assert lag.age(version("11.4", "10.6"), 10.0) == Age(8.0)
    assert lag.age(version("11.4", "10.5"), 10.0) == Age(9.0)


def test_what_a_lost_leader_wrote_is_lacked_by_nobody():
    """A new leader's history counts, and what is not in it is gone."""
    lag = leading(1.0, 2.0)
    lag.heard(version("20.0", "10.1"), 4.0, 4.0 + T)
    assert lag.age(version("10.1"), 10.0) == Age(6.0)
    assert lag.age(version("10.2"), 10.0) == Age(6.0)
    assert lag.age(version("20.0", "10.1"), 10.0) == Age(0.0)


def test_a_clock_that_was_put_back_begins_again():
    """Numbers above it are forgotten; nobody lags behind what does not exist any more."""
    lag = leading(1.0, 2.0)
    lag.heard(version("10.1"), 3.0, 3.0 + T)
    assert lag.age(version("10.1"), 10.0) == Age(0.0)
    assert lag.age(version("10.0"), 10.0).seconds == 9.0


def test_what_was_there_before_this_daemon_is_at_least_as_old_as_the_daemon():
    """The first version that is heard of may be of yesterday, those after it are as old as they are."""
    lag = leading(5.0)
    assert lag.age(None, 6.0) == Age(6.0, is_at_least=True)
    assert lag.age(version("10.0"), 6.0) == Age(1.0)


def test_what_is_heard_after_a_silence_may_be_as_old_as_the_silence():
    """The leader may have written it just after its last word that arrived."""
    lag = leading()
    lag.heard(version("10.4"), 100.0, 100.0 + T)
    assert lag.age(version("10.0"), 101.0) == Age(101.0)


def test_a_late_word_of_somebody_else_changes_nothing():
    """What was said before the last word does not take it back."""
    lag = leading(1.0, 2.0)
    lag.heard(version("9.9"), 1.5, 1.5 + T)
    assert lag.age(version("10.2"), 10.0) == Age(0.0)


def test_this_node_counts_the_silence_of_its_leader():
    """It holds all that it knows of, and the leader may have written more since."""
    lag = leading(1.0)
    assert lag.own_age(version("10.1"), 1.0 + T) == Age(0.0)
    assert lag.own_age(version("10.1"), 61.0) == Age(60.0)
    assert lag.own_age(version("10.0"), 61.0) == Age(60.0)
    assert lag.own_age(None, 61.0) == Age(61.0, is_at_least=True)


def test_a_burst_counts_as_one_age():
    """A hundred versions in a second are as many ages as `GRAIN_SECONDS` tells apart."""
    lag = Lag()
    for clock in range(1000):
        lag.heard(version(f"10.{clock}"), 5.0 + clock / 100, 5.0 + clock / 100 + T)
    true = 5.0 + 501 / 100
    assert true <= 20.0 - lag.age(version("10.500"), 20.0).seconds + GRAIN_SECONDS
    assert 20.0 - lag.age(version("10.500"), 20.0).seconds <= true


def test_a_month_of_changes_is_remembered_within_its_precision():
    """However many versions there were, few ages are kept, and each is nearly right."""
    lag, now = Lag(), 0.0
    moments = []
    for clock in range(20_000):
        now += 0.2 if clock % 7 else 120.0
        lag.heard(version(f"10.{clock}"), now, now + 200.0)
        moments.append(now)
    assert len(lag._known) <= ENTRIES_LIMIT
    for clock in (*range(0, 19_000, 97), 19_990, 19_998):
        true = now - moments[clock + 1]
        found = lag.age(version(f"10.{clock}"), now).seconds
        assert true <= found <= true * (1 + PRECISION) + GRAIN_SECONDS
    assert lag.age(version("10.19999"), now) == Age(0.0)


def test_a_history_that_comes_out_of_nowhere_is_at_least_so_old():
    """A real condor_replication that begins to lead names a version without its past."""
    lag = leading(1.0)
    lag.heard(version("77.8", is_rooted=False), 3.0, 50.0)
    assert lag.age(version("10.1"), 6.0) == Age(3.0, is_at_least=True)


def test_leaderships_that_a_lineage_names_no_more_are_the_oldest():
    """A day of switchovers: a lineage names the last of them, and every replica's lag can still be told."""
    lag, now, held = Lag(), 0.0, [Version.first(1)]
    for gid in range(2, 4 * LINEAGE_LIMIT):
        held.append(held[-1].led_by(gid))
        now += 60.0
        lag.heard(held[-1], now, now + 60.0 + T)
    assert len(lag._known) > 2 * LINEAGE_LIMIT, "the search for an age meets what is not named"
    for behind in (1, 2, LINEAGE_LIMIT // 2, LINEAGE_LIMIT):
        found = lag.age(held[-1 - behind], now + 5.0)
        assert found == Age(60.0 * (behind - 1) + 5.0)
    # Nobody can tell what such a replica lacks, so it is everything that is known of.
    assert lag.age(held[-2 - LINEAGE_LIMIT], now + 5.0) == Age(now + 5.0 - 60.0, is_at_least=True)


def test_what_goes_with_a_lost_history_leaves_the_age_of_the_rest_unknown():
    """Of a leader who does not name what was before, only the least is known."""
    lag = leading(1.0)
    lag.heard(version("20.0", "10.1"), 2.0, 2.0 + T)
    lag.heard(version("30.0", "20.0", is_rooted=False), 4.0, 4.0 + T)
    lag.heard(version("31.0", "20.0", is_rooted=False), 5.0, 5.0 + T)
    assert lag.age(version("20.0", "10.1"), 6.0) == Age(1.0)
    assert lag.age(None, 6.0) == Age(4.0, is_at_least=True)
