"""What happened: the members' histories merged, and the differences between two readings."""

import attrs

from had.ctl import changes
from had.ctl.pool import Failure
from had.status import Change, Controllee, Peer
from tests.had.ctl.pools import HOLD, NOW, PAUSED, A, B, C, failed, healthy, peer, pool, status


def texts(found):
    """Who, and what."""
    return [(one.node, one.kind, one.text) for one in found]


def test_histories_are_merged_by_time():
    """Transitions of all members come out in the order of their times."""
    later = Change(NOW - 1, "passive", "election", "no leader is known", 7)
    made = pool(status(A, history=(later,)), status(B), status(C, history=()))
    found = changes.transitions(made)
    assert [(one.node, one.time) for one in found] == [(B, NOW - 100), (A, NOW - 1)]
    assert found[1].text == "passive -> election: no leader is known (epoch 7)"
    assert found[1].to_json() == {
        "time": NOW - 1,
        "node": A,
        "kind": "transition",
        "text": "passive -> election: no leader is known (epoch 7)",
        "from": "passive",
        "to": "election",
        "reason": "no leader is known",
        "epoch": 7,
    }


def test_a_line_has_milliseconds():
    """The line for people begins with the time, to the millisecond, and the node."""
    line = changes.Happening(NOW + 0.25, A, "answer", "answers").line()
    assert line == f"2026-11-22 05:13:20.250  {A}  answers"


def test_two_equal_readings_have_no_differences():
    """Nothing happened when nothing changed but ages and clocks."""
    after = pool(*(attrs.evolve(status(one), time=NOW + 5) for one in (A, B, C)))
    assert changes.between(healthy(), after) == []


def test_only_new_transitions_are_told():
    """A transition that was known before is not told again."""
    known = status(B).history
    new = Change(NOW, "passive", "election", "no leader is known", 0)
    after = pool(status(A), status(B, history=(*known, new)), status(C))
    assert texts(changes.between(healthy(), after)) == [
        (B, "transition", "passive -> election: no leader is known (epoch 0)")
    ]


def test_whatever_else_changes_is_told():
    """Controllees, members heard or not, pauses, holds and answers that fail are each one happening."""
    restarted = Controllee("negotiator", "running", 4712, 1, NOW + 1)
    after = pool(
        status(A, controllee=restarted, paused=PAUSED),
        status(B, peers=(peer(A), Peer(C, "silent", 2.0)), hold=HOLD),
        failed(C, Failure.TIMEOUT),
    )
    found = texts(changes.between(healthy(), after))
    assert (A, "controllee", "negotiator is running as process 4712") in found
    assert (B, "peer", f"{C} is silent") in found
    assert (B, "directive", f"{A} is held from leading") in found
    assert (C, "answer", "does not answer: it did not answer in time") in found
    assert any(node == A and text.startswith("paused by alice") for node, _, text in found)
    back = texts(changes.between(after, healthy()))
    assert (C, "answer", "answers") in back
    assert (A, "directive", "no longer paused") in back
    assert (B, "directive", "no member is held any more") in back


def test_a_member_that_comes_back_tells_its_new_history():
    """A daemon that was away is told with the transitions since its start, but not that its controllee is stopped."""
    away = pool(status(A), failed(B, Failure.REFUSED), status(C))
    found = texts(changes.between(away, healthy()))
    assert (B, "answer", "answers") in found
    assert (B, "transition", "pre -> passive: every member was heard (epoch 0)") in found
    assert not any(kind == "controllee" for _, kind, _ in found)
