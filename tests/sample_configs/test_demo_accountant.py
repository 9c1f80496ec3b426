"""The demo's accounting against HTCondor's update rule, worked out by hand, and against a count of seconds."""

import itertools
import math

import pytest
from accountant import Accountant, charge, usage_table
from classad_log import ClassAdLog, parse

NOW = 1_700_000_000
DAY = 86_400


@pytest.fixture
def log(tmp_path):
    """An empty log."""
    log = ClassAdLog(tmp_path / "Accountantnew.log", NOW)
    yield log
    log.close()


def used(log, user="a@demo"):
    """Return a user's (accumulated, weighted accumulated) seconds."""
    ad = log.ads[f"Customer.{user}"]
    return float(ad["AccumulatedUsage"]), float(ad["WeightedAccumulatedUsage"])


@pytest.mark.parametrize(
    ("ad", "elapsed", "expected"),
    [
        # Nothing held: priority halves in a half-life, down to its floor, and no time of use is noted.
        ({"Priority": "8.0"}, DAY, {"Priority": 4.0, "AccumulatedUsage": 0.0}),
        ({"Priority": "8.0"}, 10 * DAY, {"Priority": 0.5, "AccumulatedUsage": 0.0}),
        ({}, 60, {"Priority": 0.5, "AccumulatedUsage": 0.0}),
        # A priority below the floor (HTCondor's own files have it) counts as the floor.
        ({"Priority": "0.1"}, DAY, {"Priority": 0.5}),
        # Four slots of weight 2 for one half-life: half way from 2 to 8; usage by slots, and by weight.
        (
            {"Priority": "2.0", "ResourcesUsed": "4", "WeightedResourcesUsed": "8.0"},
            DAY,
            {
                "Priority": 5.0,
                "AccumulatedUsage": 4.0 * DAY,
                "WeightedAccumulatedUsage": 8.0 * DAY,
                "BeginUsageTime": NOW,
                "LastUsageTime": NOW,
            },
        ),
        # Two half-lives: a quarter of the old, three quarters of the recent.
        (
            {"Priority": "2.0", "ResourcesUsed": "6", "WeightedResourcesUsed": "6.0"},
            2 * DAY,
            {"Priority": 5.0},
        ),
        # A match that began after 40 of 100 seconds carries -40 and so is charged 60.
        (
            {
                "ResourcesUsed": "1",
                "WeightedResourcesUsed": "2.0",
                "UnchargedTime": "-40",
                "WeightedUnchargedTime": "-80.0",
                "AccumulatedUsage": "1000.0",
                "WeightedAccumulatedUsage": "1500.0",
                "BeginUsageTime": "77",
            },
            100,
            {"AccumulatedUsage": 1060.0, "WeightedAccumulatedUsage": 1620.0, "LastUsageTime": NOW},
        ),
        # A match that ended 30 seconds in, nothing held now: 30 seconds, and the use is noted.
        (
            {"UnchargedTime": "30", "WeightedUnchargedTime": "30.0"},
            60,
            {
                "AccumulatedUsage": 30.0,
                "WeightedAccumulatedUsage": 30.0,
                "BeginUsageTime": NOW,
                "LastUsageTime": NOW,
            },
        ),
        # A match made in the second of the update: charged nothing, and so not used.
        (
            {"ResourcesUsed": "1", "UnchargedTime": "-5", "WeightedResourcesUsed": "1.0"},
            5,
            {"AccumulatedUsage": 0.0},
        ),
        # Without weighted usage, as in old files, the unweighted one is where it starts.
        ({"AccumulatedUsage": "50.0"}, 1, {"AccumulatedUsage": 50.0, "WeightedAccumulatedUsage": 50.0}),
        # A value that is no number counts as absent.
        (
            {"Priority": "undefined", "AccumulatedUsage": "50.0"},
            1,
            {"Priority": 0.5, "AccumulatedUsage": 50.0},
        ),
    ],
)
def test_an_update_follows_the_rule(ad, elapsed, expected):
    """A customer's numbers after an update are those worked out by hand from HTCondor's rule."""
    charged = charge(ad, elapsed, NOW, float(DAY))
    assert {name: charged[name] for name in expected} == pytest.approx(expected)
    assert (charged["UnchargedTime"], charged["WeightedUnchargedTime"]) == (0, 0.0)


def test_the_first_use_is_noted_once():
    """BeginUsageTime is set by the first update that finds usage and by no later one."""
    ad = {"ResourcesUsed": "1", "WeightedResourcesUsed": "1.0"}
    assert charge(ad, 1, NOW, DAY)["BeginUsageTime"] == NOW
    assert "BeginUsageTime" not in charge({**ad, "BeginUsageTime": str(NOW)}, 1, NOW + 1, DAY)


def test_idle_users_keep_their_last_use():
    """LastUsageTime is not touched by an update in which nothing was used."""
    assert "LastUsageTime" not in charge({"LastUsageTime": "5", "AccumulatedUsage": "9.0"}, 60, NOW, DAY)


@pytest.mark.parametrize("steps", [1, 2, 7, 60])
def test_decay_does_not_depend_on_the_number_of_updates(steps):
    """Over one half-life the priority comes out the same in one step or in many."""
    ad = {"Priority": "2.0", "ResourcesUsed": "10", "WeightedResourcesUsed": "10.0"}
    for _ in range(steps):
        ad = {**ad, "Priority": repr(charge(ad, 1, NOW, float(steps))["Priority"])}
    assert math.isclose(float(ad["Priority"]), 6.0)


@pytest.mark.parametrize(("begins", "ends"), list(itertools.combinations(range(0, 31, 6), 2)))
@pytest.mark.parametrize("period", [1, 7, 10])
def test_usage_is_exact_to_the_second(log, begins, ends, period):
    """A match is charged for the seconds from its making to its end, if an update falls between them."""
    accountant = Accountant(log)
    accountant.update_priorities(NOW)
    accountant.add_customer("a@demo")
    for second in range(40 + 1):
        if second % period == 0 or second == 40:
            accountant.update_priorities(NOW + second)
        if second == begins:
            accountant.add_match("a@demo", "slot1@x", 2.0, NOW + second)
        if second == ends:
            accountant.remove_match("slot1@x", NOW + second)
    # HTCondor's one inexactness: AddMatch takes back what RemoveMatch does not count either.
    is_between_updates = begins // period == ends // period
    lost = begins % period if is_between_updates else 0
    assert used(log) == (ends - begins - lost, 2.0 * (ends - begins - lost))
    assert accountant.matches == {}
    assert log.ads["Customer.a@demo"]["WeightedResourcesUsed"] == "0.000000"


def test_two_updates_in_one_second_charge_once(log):
    """An update within the second of the last one changes nothing."""
    accountant = Accountant(log)
    accountant.update_priorities(NOW)
    accountant.add_customer("a@demo")
    accountant.add_match("a@demo", "slot1@x", 1.0, NOW)
    accountant.update_priorities(NOW + 1)
    before = {key: dict(ad) for key, ad in log.ads.items()}
    accountant.update_priorities(NOW + 1)
    assert log.ads == before
    assert used(log) == (1.0, 1.0)


def test_a_clock_set_back_charges_nothing(log):
    """When time goes backwards only LastUpdateTime follows, and charging goes on from there."""
    accountant = Accountant(log)
    accountant.update_priorities(NOW)
    accountant.add_customer("a@demo")
    accountant.add_match("a@demo", "slot1@x", 1.0, NOW)
    accountant.update_priorities(NOW - 1000)
    assert used(log) == (0.0, 0.0)
    assert log.ads["Accountant."] == {"LastUpdateTime": str(NOW - 1000)}
    accountant.update_priorities(NOW - 990)
    assert used(log) == (10.0, 10.0)


def test_counts_are_derived_from_the_slots_at_start(log):
    """Whatever the customers' records claim to hold, a start counts the slots' records."""
    for name, value in (("ResourcesUsed", "17"), ("WeightedResourcesUsed", "17.000000")):
        log.set("Customer.a@demo", name, value)
        log.set("Customer.b@demo", name, value)
    for slot, weight in (("slot1@x", "1.000000"), ("slot2@x", "2.500000")):
        log.set(f"Resource.{slot}", "RemoteUser", '"a@demo"')
        log.set(f"Resource.{slot}", "SlotWeight", weight)
    accountant = Accountant(log)
    assert (accountant.held_by("a@demo"), accountant.held_by("b@demo")) == (2, 0)
    assert log.ads["Customer.a@demo"]["WeightedResourcesUsed"] == "3.500000"
    assert log.ads["Customer.b@demo"]["WeightedResourcesUsed"] == "0.000000"


def test_a_slot_of_an_unknown_user_is_freed(log):
    """A slot held by a user without a record is freed without making one."""
    log.set("Resource.slot1@x", "RemoteUser", '"ghost@demo"')
    accountant = Accountant(log)
    assert accountant.matches == {"slot1@x": "ghost@demo"}
    accountant.remove_match("slot1@x", NOW)
    assert (accountant.matches, accountant.customers) == ({}, [])


def test_a_known_user_keeps_his_record(log):
    """Adding a user again does not reset what he has used."""
    log.set("Customer.a@demo", "AccumulatedUsage", "12345.000000")
    Accountant(log).add_customer("a@demo")
    assert log.ads["Customer.a@demo"]["AccumulatedUsage"] == "12345.000000"


def test_compaction_keeps_the_totals(log, tmp_path):
    """The usage table is the same before and after the log is rewritten, and after it is loaded again."""
    accountant = Accountant(log)
    accountant.update_priorities(NOW)
    for user, slot in (("a@demo", "slot1@x"), ("b@demo", "slot2@x")):
        accountant.add_customer(user)
        accountant.add_match(user, slot, 1.5, NOW)
    for second in range(1, 20):
        accountant.update_priorities(NOW + second)
        log.commit(f"second={second}")
    path = tmp_path / "Accountantnew.log"
    before, inode = usage_table(parse(path.read_bytes()).ads), path.stat().st_ino
    log.compact()
    assert path.stat().st_ino != inode
    assert usage_table(parse(path.read_bytes()).ads) == usage_table(log.ads) == before
    assert before[-1].split() == ["total", "2", "38", "57"]
