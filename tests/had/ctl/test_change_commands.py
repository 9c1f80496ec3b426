"""What `hadctl switchover` plans: to whom, how long it may take, and whom it does not ask for."""

import argparse

import pytest

from had.ctl.change_commands import PATIENCE_SECONDS, plan_switchover
from had.ctl.changing import PlanError
from had.status import Replica
from tests.had.ctl.pools import A, B, C, healthy, pool, status


class Configured:
    """As much of the configuration as a plan looks at."""

    stop_timeout_seconds = 10.0
    connection_timeout_seconds = 2.0

    def __init__(self, *, is_replicating=False):
        self.is_replicating = is_replicating


def plan(made, to=None, **options):
    """The plan of a switchover."""
    return plan_switchover(argparse.Namespace(to=to), made, Configured(**options))


def test_a_member_whose_state_is_behind_is_not_asked_for():
    """The leader would refuse it; the sentence says what the member waits for."""
    behind = Replica("ours", None, False, "its replica still lacks something of the leader's state")
    made = pool(status(A), status(B, replica=behind), status(C, replica=Replica("ours", None, True)))
    with pytest.raises(PlanError, match=f"{B} is not ready to take over: its replica still lacks"):
        plan(made, B)
    assert plan(made, C).values == {"To": C}
    made = pool(status(A), status(B, replica=Replica("ours", None, False)), status(C))
    with pytest.raises(PlanError, match="its state is behind"):
        plan(made, B)


def test_without_a_replica_everybody_can_be_asked_for():
    """Nothing is known of what a member holds."""
    assert plan(healthy(), B).values == {"To": B}
    assert plan(healthy()).values == {"To": ""}


@pytest.mark.parametrize(("is_replicating", "stops"), [(False, 1), (True, 2)])
def test_a_handover_has_time_for_its_flush(is_replicating, stops):
    """With replication what was written last is handed on after the stop, as long as that may take."""
    made = plan(healthy(), B, is_replicating=is_replicating)
    assert made.within_seconds == stops * 10.0 + 2 * 2.0 + PATIENCE_SECONDS
