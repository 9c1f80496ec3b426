"""Kept states of a whole pool: one under one name, whoever keeps it; and none is merged twice."""

import pytest

from had.ctl.kept import ChoiceError, kept_states, named, to_merge, to_restore
from had.ctl.pool import Failure
from had.ctl.replica_tables import KEPT_COLUMNS, conflict_text, kept_rows
from had.ctl.tables import render
from replication.status import Pending
from replication.version import Point
from tests.had.ctl.pools import failed
from tests.had.ctl.replicated import NOW, RA, RB, RC, conflict, replica, replicas

EARLY = conflict(clock=5, kept_at=NOW - 90)
LATE = conflict(clock=9, suffix="99887766", kept_at=NOW - 50)
OTHER = conflict(gid=642, clock=1, suffix="0a0b0c0d", kept_at=NOW - 10)


def kept(*, a=(), b=(), c=(), pending=(), node=None):
    """What three replicas keep."""
    made = replicas(
        replica(RA, conflicts=a, pending=pending), replica(RB, conflicts=b), replica(RC, conflicts=c)
    )
    return kept_states(made, node)


def names(found):
    """Their identifiers."""
    return [one.id for one in found]


def test_one_state_has_several_holders():
    """Members on one side of a partition keep the same state, which is listed once, the oldest first."""
    found = kept(b=(OTHER, EARLY), c=(EARLY,))
    assert [(one.id, one.holders) for one in found] == [(EARLY["id"], (RB, RC)), (OTHER["id"], (RB,))]
    assert names(kept(b=(OTHER, EARLY), c=(EARLY,), node=RC)) == [EARLY["id"]]


def test_what_happened_to_one_copy_counts_for_all():
    """A state that was merged or exported by one holder is settled, and what waits is known from the leader."""
    merged = EARLY | {"merged_into": "513.9"}
    (one,) = kept(b=(EARLY,), c=(merged,), pending=(Pending(EARLY["id"], "merge"),))
    assert (one.merged_into, one.exported_to, one.is_settled, one.pending) == ("513.9", None, True, "merge")


@pytest.mark.parametrize("name", ["385.5-1a2b3c4d", "385.5", "385.5-1a"])
def test_a_beginning_is_enough(name):
    """A state goes by its name or a beginning that no other has."""
    assert named(name, kept(b=(EARLY, LATE, OTHER))).id == EARLY["id"]


def test_a_whole_name_wins_over_a_beginning():
    """A name that another one begins with is no doubt."""
    longer = EARLY | {"id": EARLY["id"] + "0"}
    assert named(EARLY["id"], kept(b=(longer, EARLY))).id == EARLY["id"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("385", "385 could be 385.5-1a2b3c4d or 385.9-99887766; write more of it"),
        ("7", "7 is no kept state; those that are kept: 385.5-1a2b3c4d, 385.9-99887766"),
        ("", "nothing is no kept state"),
    ],
)
def test_doubtful_names_are_refused(name, reason):
    """Several, and none, are refused with the choices; the empty name is nobody's beginning."""
    with pytest.raises(ChoiceError, match=reason):
        named(name, kept(b=(EARLY, LATE)))


def test_all_that_is_open_is_merged():
    """Without a name it is everything that was not merged yet; exported is not merged."""
    exported = OTHER | {"exported_to": "/root/x"}
    done = conflict(gid=900, merged_into="513.9")
    assert names(to_merge([], kept(b=(EARLY, exported, done)))[0]) == [EARLY["id"], OTHER["id"]]


def test_a_part_of_another_is_left_out():
    """A follower's earlier copy of what its leader kept would be charged twice; so the later one stands for both."""
    chosen, remarks = to_merge([], kept(b=(LATE,), c=(EARLY,)))
    assert names(chosen) == [LATE["id"]]
    assert remarks == [f"{EARLY['id']} is left out: it is part of {LATE['id']}"]


def test_a_part_of_what_was_merged_is_left_out():
    """Nothing is left to merge when the only open one is part of one that was merged."""
    with pytest.raises(ChoiceError, match="nothing to merge"):
        to_merge([], kept(b=(LATE | {"merged_into": "513.9"},), c=(EARLY,)))


def test_descent_goes_over_leaderships():
    """A state of a later leadership contains the one from which it began, and not what came after it."""
    child = conflict(gid=513, clock=2, lineage=(Point(385, 5),), suffix="aaaaaaaa")
    chosen, _ = to_merge([], kept(b=(child, EARLY, LATE)))
    assert set(names(chosen)) == {LATE["id"], child["id"]}


def test_two_states_of_one_version_are_no_parts():
    """A file that was changed by hand has the version that it was changed from, and its own bytes."""
    chosen, remarks = to_merge([], kept(b=(EARLY, conflict(clock=5, suffix="ffffffff"))))
    assert (len(chosen), remarks) == (2, [])


def test_who_names_a_part_is_warned():
    """Named ones are merged as they are named, once each, with a sentence about what would be charged twice."""
    chosen, remarks = to_merge(["385.5", "385.5", "385.9"], kept(b=(EARLY, LATE)))
    assert names(chosen) == [EARLY["id"], LATE["id"]]
    assert len(remarks) == 1
    assert remarks[0].startswith(f"{EARLY['id']} is by its version part of {LATE['id']}, which is merged too")
    alone, remarks = to_merge(["385.5"], kept(b=(EARLY, LATE)))
    assert (names(alone), remarks) == ([EARLY["id"]], [])


@pytest.mark.parametrize("choose", [lambda name, found: to_merge([name], found), to_restore])
def test_nothing_is_taken_twice(choose):
    """What is in the leader's state already is neither merged nor restored again."""
    found = kept(b=(EARLY | {"merged_into": "513.9"},))
    with pytest.raises(ChoiceError, match=r"is in version 513\.9 already"):
        choose("385.5", found)


def test_nothing_kept_is_nothing_to_merge():
    """A pool without kept states has nothing to merge."""
    with pytest.raises(ChoiceError, match="nothing to merge"):
        to_merge([], kept())


def test_who_does_not_answer_keeps_nothing_that_is_known():
    """The states of a member that cannot be asked are missing from the list."""
    made = replicas(replica(RA), replica(RB, conflicts=(EARLY,)), failed(RC, Failure.TIMEOUT))
    assert names(kept_states(made)) == [EARLY["id"]]


def test_the_table():
    """One row for each holder, with what has become of the state."""
    found = kept(
        b=(EARLY,), c=(EARLY | {"exported_to": "/root/x"},), pending=(Pending(EARLY["id"], "merge"),)
    )
    lines = render(KEPT_COLUMNS, kept_rows(found)).splitlines()
    assert lines[0].split() == list(KEPT_COLUMNS)
    assert f"{RB}  2026-11-22 05:11:50 UTC  1000   merge waits, exported to /root/x" in lines[1]
    assert lines[1].endswith("the leader holds another state")
    (open_one,) = kept_rows(kept(a=(OTHER,)))
    assert open_one[4] == "kept"


def test_one_state_in_full():
    """Everything that is known stands in one place, and the files below it."""
    points = tuple(Point(gid, 1) for gid in (300, 299, 298, 297, 296))
    (one,) = kept(b=(conflict(lineage=points, reason="it\x1b changed"),), c=())
    lines = conflict_text(one.conflict, one).splitlines()
    assert "grown from  300.1, 299.1, 298.1, 297.1, ..." in lines
    assert "reason      it? changed" in lines
    assert "merged into -" in lines
    assert lines[-1].split() == ["0", "1000", "0600", "cc" * 32]
