"""What a merge would change, per user: read from the leader's document and shown."""

import pytest

from daemoncore.classad_log import LogContents
from had.ctl.documents import DocumentError
from had.ctl.merge_plan import plan_from, plan_sentences, plan_table
from replication.accountant import merge
from replication.revising import _row


def log(**used):
    """An Accountant log of customers and what they used."""
    ads = {"Accountant.": {"LastUpdateTime": "1000"}}
    for name, seconds in used.items():
        ads[f"Customer.{name}"] = {
            "AccumulatedUsage": str(float(seconds)),
            "WeightedAccumulatedUsage": str(2.0 * seconds),
            "Priority": "10.0",
        }
    return LogContents(ads=ads)


def document(base, survivor, other):
    """The plan of a merge as the daemon makes it."""
    merged = merge(base, survivor, other)
    rows = [_row(row) for row in merged.rows]
    point = None if base is None else "385.3"
    return {"kind": "merge", "base": point, "rows": rows, "warnings": list(merged.warnings)}


def cells(text):
    """The words of each line."""
    return [line.split() for line in text.splitlines()]


def test_a_merge_is_shown_per_user():
    """Who changes has a row, all are in the sums, and the numbers are those of the merge itself."""
    plan = plan_from(document(log(ann=100, bob=50), log(ann=160, bob=50), log(ann=130, bob=50, eve=7)))
    assert cells(plan_table(plan)) == [
        [*("CUSTOMER", "ANCESTOR", "HERE", "THERE", "MERGED", "WEIGHTED", "PRIORITY", "AFTER", "NOTES")],
        ["ann", "100", "160", "130", "190", "380", "10.00", "10.00", "-"],
        ["eve", "-", "-", "7", "7", "14", "-", "10.00", "-"],
        ["(all)", "150", "210", "187", "247", "494", "-", "-", "-"],
    ]
    assert plan_sentences(plan, "385.5-aa", "n1:1") == [
        "2 of 3 users change; the columns are seconds used: HERE is n1:1, THERE is 385.5-aa",
        "the common ancestor is 385.3",
    ]


def test_without_an_ancestor_it_is_said():
    """The daemon's warning is shown, and that the ancestor is not known."""
    plan = plan_from(document(None, log(ann=160), log(ann=130)))
    said = plan_sentences(plan, "385.5-aa", "n1:1")
    assert said[1] == "the common ancestor is not known"
    assert said[2].startswith("warning: the common ancestor is not known: the larger numbers were taken")
    assert cells(plan_table(plan))[1:] == [["(all)", "0", "160", "130", "160", "320", "-", "-", "-"]]


def test_a_removed_user_is_shown():
    """Who stays removed has no priority afterwards, and a note."""
    plan = plan_from(document(log(ann=100, bob=50), log(ann=100, bob=50), log(ann=100)))
    (row,) = [line for line in plan_table(plan).splitlines() if line.startswith("bob")]
    assert "removed  removed on one side, untouched on the other: removed" in row


def test_a_restore_without_users_has_no_table():
    """A state that is no Accountant log is said to be none."""
    plan = plan_from({"kind": "restore", "base": None, "rows": [], "warnings": [], "files": [], "bytes": 7})
    assert plan_sentences(plan, "385.5-aa", "n1:1") == [
        "the state is no Accountant log, so there is no table of users"
    ]


@pytest.mark.parametrize("base", ["385.3", [385, 3], {"gid": 385, "clock": 3}])
def test_the_ancestor_is_read_in_any_spelling(base):
    """A point is text, a pair or an object."""
    assert plan_from({"kind": "merge", "base": base, "rows": []}).base == "385.3"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": [{"customer": "ann"}]}, "usage_seconds is missing"),
        (
            {"rows": [{"customer": "ann", "usage_seconds": [1], "weighted_seconds": [], "priority": []}]},
            "ann has 1 numbers",
        ),
        ({"rows": "x"}, "rows is no list"),
        ({"base": 7}, "no object"),
    ],
)
def test_what_is_no_plan_is_refused(changes, reason):
    """Nonsense makes no table."""
    with pytest.raises(DocumentError, match=reason):
        plan_from({"kind": "merge", "base": None, "rows": []} | changes)


def test_crumbs_of_decay_are_no_change():
    """Who differs by less than is shown has no row, and counts in the sums."""
    row = {
        "customer": "ann",
        "usage_seconds": [1.0, 5.0, 2.0, 5.2],
        "weighted_seconds": [1.0, 5.0, 2.0, 5.2],
        "priority": [1.0, 1.2501, 1.0, 1.2502],
    }
    plan = plan_from({"kind": "merge", "base": None, "rows": [row]})
    assert [one.is_changed for one in plan.rows] == [False]
    assert cells(plan_table(plan))[1:] == [["(all)", "1", "5", "2", "5", "-", "-", "-"]]
