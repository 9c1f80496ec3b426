"""Merging Accountant logs, checked against a second accountant: the demo's, which charges as HTCondor does."""

import copy
import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.classad_log import LogContents, parse
from replication.account import Account, usage_of
from replication.accountant import merge, table

DEMO = Path(__file__).parents[2] / "sample-configs" / "demo"
USERS = ("ann@x", "bob@x")
START = 1_700_000_000


def demo_module(name):
    """Load a module of the demo; it is no package."""
    spec = importlib.util.spec_from_file_location(f"demo_{name}", DEMO / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


demo = demo_module("accountant")
demo_log = demo_module("classad_log")


class Memory:
    """As much of a log as the demo's accountant needs, in memory."""

    def __init__(self, contents=None):
        self.contents = contents or LogContents(sequence=1, created=START)
        self.ads = self.contents.ads

    def set(self, key, attribute, expression):
        """Set an attribute."""
        self.ads.setdefault(key, {})[attribute] = expression

    def destroy(self, key):
        """Remove an ad."""
        del self.ads[key]


class Pool:
    """A negotiator's accounts, and the truth about what was used: every match with its beginning and its end."""

    def __init__(self):
        self.log = Memory()
        self.now = START
        self.accountant = demo.Accountant(self.log)
        self.running = {}
        self.ended = []
        self.last_update = START
        for user in USERS:
            self.accountant.add_customer(user)
        self.update()

    def split(self):
        """Give a copy with a life of its own."""
        twin = copy.copy(self)
        twin.log = Memory(copy.deepcopy(self.log.contents))
        twin.accountant = demo.Accountant(twin.log)
        twin.running, twin.ended = dict(self.running), list(self.ended)
        return twin

    def update(self):
        """Charge everyone."""
        self.accountant.update_priorities(self.now)
        self.last_update = self.now

    def step(self, seconds, act, user, slot):
        """Let time pass and do one thing."""
        self.now += seconds
        if act == "update":
            self.update()
        elif act == "match" and slot not in self.running:
            self.accountant.add_match(user, slot, 2.0, self.now)
            self.running[slot] = (user, self.now)
        elif act == "release" and slot in self.running:
            self.release(slot)

    def release(self, slot):
        """End a match."""
        user, began = self.running.pop(slot)
        # HTCondor charges a match too little that begins and ends between two updates; that is not ours to mend.
        if began > self.last_update:
            self.update()
        self.accountant.remove_match(slot, self.now)
        self.ended.append((user, began, self.now))

    def finish(self, seconds):
        """End everything and charge it."""
        self.now += seconds
        for slot in list(self.running):
            self.release(slot)
        self.now += 1
        self.update()

    def used(self, user):
        """The truth: the seconds that a user used by the last update, or to the ends of matches since."""
        ended = sum(end - began for one, began, end in self.ended if one == user)
        running = [began for one, began in self.running.values() if one == user]
        return ended + sum(max(0, self.last_update - began) for began in running)


acts = st.tuples(
    st.integers(0, 400),
    st.sampled_from(["update", "match", "match", "release"]),
    st.sampled_from(USERS),
    st.sampled_from(["slot1", "slot2", "slot3"]),
)
histories = st.lists(acts, max_size=8)


def lived(pool, history):
    """Let a pool live through a history."""
    for act in history:
        pool.step(*act)
    return pool


def accumulated(contents, user, name="AccumulatedUsage"):
    """What is charged to a user."""
    return float(contents.ads[f"Customer.{user}"][name])


@given(histories, histories, histories)
def test_the_truth_about_usage_is_what_the_log_says(before, here, there):
    """What was used up to the last update can be read from a log at any time, weighted and not."""
    pool = lived(lived(lived(Pool(), before), here), there)
    for user in USERS:
        account = Account(pool.log.contents)
        assert usage_of(account, f"Customer.{user}", False).total == pytest.approx(pool.used(user))
        assert usage_of(account, f"Customer.{user}", True).total == pytest.approx(2 * pool.used(user))


@given(histories, histories, histories)
def test_usage_charged_on_either_side_is_charged_once(before, here, there):
    """With all matches ended: what both have from before the fork counts once, and what each charged since is added."""
    base = lived(Pool(), before)
    mine, theirs = lived(base.split(), here), lived(base.split(), there)
    mine.finish(10)
    theirs.finish(20)
    result = merge(base.log.contents, mine.log.contents, theirs.log.contents).contents
    for user in USERS:
        expected = mine.used(user) + theirs.used(user) - base.used(user)
        assert accumulated(result, user) == pytest.approx(expected)
        assert accumulated(result, user, "WeightedAccumulatedUsage") == pytest.approx(2 * expected)


@given(histories, histories, histories)
def test_the_survivors_negotiator_goes_on_and_nothing_is_lost_or_charged_twice(before, here, there):
    """It starts with the merged log, ends its matches, and has charged everything that was used on either side."""
    base = lived(Pool(), before)
    mine, theirs = lived(base.split(), here), lived(base.split(), there)
    merged = merge(base.log.contents, mine.log.contents, theirs.log.contents)
    theirs_since = {user: theirs.used(user) - base.used(user) for user in USERS}
    # The negotiator reads what was written, with HTCondor's six decimals.
    mine.log = Memory(parse(merged.contents.render()))
    mine.accountant = demo.Accountant(mine.log)
    mine.last_update = int(mine.log.ads["Accountant."]["LastUpdateTime"])
    mine.now = max(mine.now, theirs.now, mine.last_update) + 5
    mine.update()
    mine.finish(30)
    for user in USERS:
        assert accumulated(mine.log.contents, user) == pytest.approx(
            mine.used(user) + theirs_since[user], abs=0.01
        )


@given(histories, histories, histories)
def test_usage_comes_out_the_same_whichever_side_survives(before, here, there):
    """The usage columns are symmetric, and so are priority and times."""
    base = lived(Pool(), before)
    mine, theirs = lived(base.split(), here), lived(base.split(), there)
    mine.finish(10)
    theirs.finish(20)
    one = merge(base.log.contents, mine.log.contents, theirs.log.contents).contents
    other = merge(base.log.contents, theirs.log.contents, mine.log.contents).contents
    for user in USERS:
        ads = [contents.ads[f"Customer.{user}"] for contents in (one, other)]
        for name in (
            "AccumulatedUsage",
            "WeightedAccumulatedUsage",
            "Priority",
            "BeginUsageTime",
            "LastUsageTime",
        ):
            assert float(ads[0].get(name, 0)) == pytest.approx(float(ads[1].get(name, 0)), abs=1e-5)
    assert one.ads["Accountant."] == other.ads["Accountant."]
    assert (one.sequence, one.created) == (other.sequence, other.created)


@given(histories, histories)
def test_a_side_that_did_nothing_changes_nothing(before, here):
    """Merging with the ancestor itself gives what the survivor has."""
    base = lived(Pool(), before)
    mine = lived(base.split(), here)
    merged = merge(base.log.contents, mine.log.contents, base.log.contents)
    for user in USERS:
        key = f"Customer.{user}"
        assert usage_of(Account(merged.contents), key, False).total == pytest.approx(mine.used(user))
        assert float(merged.contents.ads[key]["Priority"]) == pytest.approx(
            float(mine.log.ads[key]["Priority"]), abs=1e-5
        )
    assert merged.warnings == ()


@given(histories, histories, histories)
def test_without_an_ancestor_the_larger_is_taken(before, here, there):
    """Nothing is charged twice, nobody is removed, and it is said that some usage is lost."""
    base = lived(Pool(), before)
    mine, theirs = lived(base.split(), here), lived(base.split(), there)
    mine.finish(10)
    theirs.finish(20)
    merged = merge(None, mine.log.contents, theirs.log.contents)
    for user in USERS:
        assert accumulated(merged.contents, user) == pytest.approx(max(mine.used(user), theirs.used(user)))
    assert "ancestor is not known" in merged.warnings[0]


def log(last_update, customers, sequence=1, created=START, resources=None):
    """A log with these customers' attributes."""
    ads = {"Accountant.": {"LastUpdateTime": str(last_update)}}
    ads |= {
        f"Customer.{name}": {key: str(value) for key, value in ad.items()} for name, ad in customers.items()
    }
    ads |= {f"Resource.{name}": ad for name, ad in (resources or {}).items()}
    return LogContents(ads=ads, sequence=sequence, created=created)


def customer(usage=0.0, priority=0.5, **others):
    """A customer's attributes."""
    return {"Priority": priority, "AccumulatedUsage": usage, "WeightedAccumulatedUsage": usage, **others}


def test_priority_is_the_average_that_one_negotiator_would_have_kept():
    """Two sides with one slot each give what a negotiator with both slots computes."""
    half_life, steps, held = 3600.0, 30, 40.0

    def average(slots, priority=100.0):
        for _ in range(steps):
            aging = 0.5 ** (60 / half_life)
            priority = priority * aging + slots * (1 - aging)
        return priority

    now = START + 60 * steps
    base = log(START, {"ann": customer(priority=100.0)})
    mine = log(now, {"ann": customer(priority=average(held))})
    theirs = log(now, {"ann": customer(priority=average(2 * held))})
    result = merge(base, mine, theirs, half_life).contents.ads["Customer.ann"]
    assert float(result["Priority"]) == pytest.approx(average(3 * held), abs=1e-5)


def test_priority_of_a_side_that_stopped_earlier_is_decayed_to_the_later_time():
    """Its share shrinks as it would have without usage; LastUpdateTime fits."""
    base = log(START, {"ann": customer(priority=8.0)})
    mine = log(START + 86400, {"ann": customer(priority=4.0)})
    theirs = log(START, {"ann": customer(priority=24.0)})
    contents = merge(base, mine, theirs).contents
    assert float(contents.ads["Customer.ann"]["Priority"]) == pytest.approx(12.0)
    assert contents.ads["Accountant."]["LastUpdateTime"] == str(START + 86400)


def test_a_user_who_did_nothing_stays_at_the_best_priority():
    """The floor of 0.5 is not added twice."""
    base = log(START, {"ann": customer()})
    side = log(START + 3600, {"ann": customer()})
    assert merge(base, side, side).contents.ads["Customer.ann"]["Priority"] == "0.500000"


def test_times_are_the_earliest_beginning_and_the_latest_usage():
    """A beginning of 0 means never."""
    mine = log(
        START, {"ann": customer(BeginUsageTime=0, LastUsageTime=50), "bob": customer(BeginUsageTime=70)}
    )
    theirs = log(
        START, {"ann": customer(BeginUsageTime=30, LastUsageTime=40), "bob": customer(BeginUsageTime=60)}
    )
    ads = merge(log(START, {}), mine, theirs).contents.ads
    assert (ads["Customer.ann"]["BeginUsageTime"], ads["Customer.ann"]["LastUsageTime"]) == ("30", "50")
    assert ads["Customer.bob"]["BeginUsageTime"] == "60"


@pytest.mark.parametrize(
    ("before", "here", "there", "result", "is_told"),
    [
        (1000, 1000, 1000, "1000", False),
        (1000, 5, 1000, "5", False),
        (1000, 1000, 7, "7", False),
        (1000, 5, 5, "5", False),
        (1000, 5, 7, "5", True),
    ],
)
def test_a_setting_is_that_of_the_side_that_changed_it(before, here, there, result, is_told):
    """Where both did and differ the survivor's stands, and a warning names both values."""
    logs = [log(START, {"ann": customer(PriorityFactor=value)}) for value in (before, here, there)]
    merged = merge(*logs)
    assert merged.contents.ads["Customer.ann"]["PriorityFactor"] == result
    assert bool(merged.warnings) is is_told
    assert not is_told or merged.warnings == ("ann: PriorityFactor is 5 here and 7 there: 5 was kept",)


def test_a_setting_that_one_side_removed_stays_removed():
    """Unless the other side changed it."""
    base = log(START, {"ann": customer(Ceiling=5, Floor=1)})
    mine = log(START, {"ann": customer()})
    theirs = log(START, {"ann": customer(Ceiling=5, Floor=1)})
    assert "Ceiling" not in merge(base, mine, theirs).contents.ads["Customer.ann"]
    assert "Floor" not in merge(base, theirs, mine).contents.ads["Customer.ann"]


def test_a_removed_customer_stays_removed_unless_the_other_side_used_something():
    """The ancestor is the tombstone."""
    base = log(START, {name: customer(usage=10.0, PriorityFactor=3) for name in ("gone", "used", "set")})
    mine = log(START, {})
    theirs = log(
        START,
        {
            "gone": customer(usage=10.0, PriorityFactor=3, ResourcesUsed=0),
            "used": customer(usage=15.0, PriorityFactor=3),
            "set": customer(usage=10.0, PriorityFactor=4),
        },
    )
    for one, other in ((mine, theirs), (theirs, mine)):
        merged = merge(base, one, other)
        assert {key for key in merged.contents.ads if key != "Accountant."} == {
            "Customer.used",
            "Customer.set",
        }
        assert accumulated(merged.contents, "used") == 15.0
        assert merged.contents.ads["Customer.set"]["PriorityFactor"] == "4"
        assert [row.customer for row in merged.rows if row.priority[3] is None] == ["gone"]


def test_new_customers_of_both_sides_are_there():
    """A user whom both sides met only after the fork has the sum."""
    mine, theirs = (
        log(START, {"new": customer(usage=3.0), "a": customer()}),
        log(START, {"new": customer(usage=4.0), "b": customer()}),
    )
    ads = merge(log(START, {}), mine, theirs).contents.ads
    assert ads.keys() == {"Accountant.", "Customer.new", "Customer.a", "Customer.b"}
    assert ads["Customer.new"]["AccumulatedUsage"] == "7.000000"


def test_resources_are_the_survivors():
    """With what is counted from them; the other side's matches are gone with its negotiator."""
    slot = {"RemoteUser": '"ann"', "StartTime": str(START - 5), "SlotWeight": "1.0"}
    mine = log(START, {"ann": customer(ResourcesUsed=1)}, resources={"slot1@<a>": slot})
    theirs = log(
        START,
        {"ann": customer(ResourcesUsed=4), "bob": customer(ResourcesUsed=2)},
        resources={"slot2@<b>": slot},
    )
    ads = merge(log(START, {}), mine, theirs).contents.ads
    assert "Resource.slot1@<a>" in ads and "Resource.slot2@<b>" not in ads
    assert ads["Customer.ann"]["ResourcesUsed"] == "1"
    assert "ResourcesUsed" not in ads["Customer.bob"]


def test_the_first_line_counts_on():
    """One more rewriting than either side had, and the older birth."""
    contents = merge(log(START, {}), log(START, {}, 7, START + 5), log(START, {}, 9, START)).contents
    assert (contents.sequence, contents.created) == (10, START)


def test_ads_of_neither_kind_are_kept():
    """What later versions of HTCondor add is merged like a setting."""
    mine, theirs = log(START, {}), log(START, {})
    theirs.ads["Limit.x"] = {"Value": "3"}
    theirs.types["Limit.x"] = ("A", "B")
    contents = merge(log(START, {}), mine, theirs).contents
    assert contents.ads["Limit.x"] == {"Value": "3"}
    assert contents.types == {"Limit.x": ("A", "B")}


def test_the_dry_run_is_a_table():
    """One row for each user with what it was and what it would be, and a total."""
    base = log(START, {"ann": customer(usage=10.0), "bob": customer(usage=1.0)})
    mine = log(START, {"ann": customer(usage=15.0)})
    theirs = log(START, {"ann": customer(usage=12.0, priority=3.0), "bob": customer(usage=1.0)})
    merged = merge(base, mine, theirs)
    rows = [line.split() for line in table(merged)[1:]]
    assert rows == [
        ["ann", "10", "15", "12", "17", "3.00"],
        ["bob", "1", "-", "1", "-", "removed"],
        ["total", "11", "15", "13", "17"],
    ]
    assert [row.is_changed for row in merged.rows] == [True, True]
