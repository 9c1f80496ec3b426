"""When a merge is done: not when it was accepted, but when the daemons say that it came true."""

import attrs
import pytest

from had.ctl.changing import PlanError
from had.ctl.kept import kept_states
from had.ctl.merge_goal import Goal, Task, leading_of
from had.ctl.merge_plan import MergePlan
from had.ctl.pool import Failure
from had.status import Controllee
from tests.had.ctl import pools
from tests.had.ctl.pools import NOW, A, B, C, failed, status
from tests.had.ctl.replicated import RA, RB, RC, conflict, healthy, pool, replica, replicas

KEPT = conflict()
NAME = KEPT["id"]
RESTARTED = Controllee("negotiator", "running", 4712, 0, NOW)


def seen(note=None, controllee=None):
    """A pool in which the second member keeps a state, with a note, and the first one's controllee."""
    kept = KEPT | (note or {})
    made = pool(replicas(replica(RA), replica(RB, conflicts=(kept,)), replica(RC)))
    leader = status(A) if controllee is None else status(A, controllee=controllee)
    return attrs.evolve(made, answers=pools.pool(leader, status(B), status(C)).answers)


def goal(kind="merge", before=None):
    """The goal of merging or restoring that state."""
    before = before or seen()
    (kept,) = kept_states(before.replicas)
    task = Task(kept, RB, kind, MergePlan(), {})
    leading = leading_of(before)
    return Goal((task,), leading, leading.checked_member(before), before)


@pytest.mark.parametrize(
    ("now", "awaited"),
    [
        (seen(), f"{NAME} not merged yet, the negotiator of {A} is running"),
        (
            seen(controllee=Controllee("negotiator", "stopping", 4711)),
            "the negotiator of 10.0.0.1:51450 is stopping",
        ),
        (
            seen({"merged_into": "513.9"}, Controllee("negotiator", "starting")),
            "merged; the negotiator does not run again yet (starting)",
        ),
        (seen({"merged_into": "513.9"}), f"merged; the negotiator of {A} was not restarted yet"),
        (seen(None, RESTARTED), f"{NAME} not merged yet"),
    ],
)
def test_what_is_waited_for_is_said(now, awaited):
    """Until the state is merged and another controllee runs, one sentence says what is missing."""
    assert awaited in goal().awaited(now)


def test_it_is_done_when_another_controllee_runs_on_the_merged_state():
    """Then nothing is awaited, and the outcome names the version."""
    now = seen({"merged_into": "513.9"}, RESTARTED)
    assert goal().awaited(now) is None
    assert goal().outcome(now) == f"{NAME} merged into version 513.9, and the negotiator of {A} runs"
    assert goal("restore").outcome(now).startswith(f"{NAME} restored as version 513.9")


def test_a_merged_state_may_have_made_room():
    """A state that its holder lists no more was settled; while the holder does not answer nothing is known."""
    made = seen({}, RESTARTED)
    gone = attrs.evolve(made, replicas=healthy())
    assert goal().awaited(gone) is None
    assert goal().outcome(gone).startswith(f"{NAME} merged into version 513.8")
    away = attrs.evolve(made, replicas=replicas(replica(RA), failed(RB, Failure.TIMEOUT), replica(RC)))
    assert f"{NAME} not merged yet" in goal().awaited(away)


def test_a_failover_meanwhile_is_as_good():
    """If another member leads in the end, its controllee is a new one whatever its number."""
    now = seen({"merged_into": "513.9"})
    moved = attrs.evolve(now, answers=pools.pool(*(status(one, B) for one in (A, B, C))).answers)
    assert goal().awaited(moved) is None


def test_a_failure_ends_the_waiting():
    """A new reason why it cannot be done is told at once; an old one is history."""
    with pytest.raises(PlanError, match=f"{NAME} could not be merged: torn log"):
        goal().awaited(seen({"failure": "torn log"}))
    old = seen({"failure": "torn log"})
    assert f"{NAME} not merged yet" in goal(before=old).awaited(old)


def test_without_a_leader_there_is_nothing_to_merge_into():
    """The reason, and where more is to be learnt, is said."""
    with pytest.raises(PlanError, match=r"no replica leads.*hadctl replication status"):
        leading_of(pool(replicas(*(replica(one, None) for one in (RA, RB, RC)))))
    with pytest.raises(PlanError, match="lead at once"):
        leading_of(pool(replicas(replica(RA), replica(RB, RB), replica(RC))))
    ignorant = replicas(failed(RA, Failure.UNKNOWN_COMMAND), replica(RB), replica(RC))
    with pytest.raises(PlanError, match=r"cannot be asked.*hadctl switchover"):
        leading_of(pool(ignorant))


def test_both_must_lead_on_one_host():
    """A controllee can be restarted only where the replica leads too; otherwise there is --at-next-stop."""
    made = pool(
        replicas(
            replica(RA, RB),
            replica(RB, RB),
            replica(RC, RB),
        )
    )
    with pytest.raises(PlanError, match=rf"{RB} leads the replication and {A} the pool.*--at-next-stop"):
        leading_of(made).checked_member(made)


def test_a_real_condor_had_cannot_be_asked_to_restart():
    """Beside a replica of ours there may be a real condor_had."""
    made = pool()
    peers = tuple(attrs.evolve(one, implementation="condor") for one in status(B).peers if one.address == A)
    answers = pools.pool(
        failed(A, Failure.UNKNOWN_COMMAND), status(B, peers=peers), status(C, peers=peers)
    ).answers
    made = attrs.evolve(made, answers=answers)
    assert leading_of(made).controllee == "controllee"
    with pytest.raises(PlanError, match=r"cannot be asked to restart its controllee.*--at-next-stop"):
        leading_of(made).checked_member(made)
