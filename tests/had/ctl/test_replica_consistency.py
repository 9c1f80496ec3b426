"""The checks of the replication."""

import attrs
import pytest

from had.ctl.check_command import monitoring_line
from had.ctl.consistency import Severity, worst
from had.ctl.pool import Failure
from had.ctl.replica_consistency import check_replication
from replication.status import File
from tests.had.ctl import pools
from tests.had.ctl.pools import A, B, C, failed, status
from tests.had.ctl.replicated import (
    ENTRIES,
    OLDER,
    RA,
    RB,
    RC,
    behind,
    conflict,
    pool,
    replica,
    replicas,
    seen,
)

TWO_FILES = (File("0", "/var/a", 1), File("1", "/var/b", 1))


def three(*, a=None, b=None, c=None):
    """A pool with another word of some replicas."""
    return pool(replicas(a or replica(RA), b or replica(RB), c or replica(RC)))


def bad(made):
    """Severity, subject and text of what is not in order."""
    findings = check_replication(made)
    return [(one.severity.name, one.subject, one.text) for one in findings if one.severity is not Severity.OK]


def test_a_healthy_replication_has_nothing_but_good_findings():
    """Everything that is looked at is told, and all of it is good."""
    findings = check_replication(pool())
    assert worst(findings) is Severity.OK
    assert [one.subject for one in findings] == [
        *("lists", "replicas", "replication", "sync", "conflicts", "state", "configuration", "versions"),
    ]


def test_a_pool_without_replication_is_not_asked_for_any():
    """Nothing is looked at where the members count on no replication daemon."""
    assert check_replication(pools.healthy()) == []


@pytest.mark.parametrize(
    ("made", "severity", "subject", "text"),
    [
        (
            attrs.evolve(pool(), members=(A, B)),
            "WARNING",
            "lists",
            "HAD_LIST has 2 entries, and REPLICATION_LIST 3",
        ),
        (
            attrs.evolve(pool(), members=(B, A, C)),
            "WARNING",
            "lists",
            f"entry 1 is {B} in HAD_LIST and {RA} in REPLICATION_LIST",
        ),
        (three(c=failed(RC, Failure.REFUSED, "x")), "WARNING", "replicas", f"{RC} could not be asked"),
        (three(c=failed(RC, Failure.DENIED)), "UNKNOWN", "replicas", "does not let us in"),
        (
            pool(replicas(*(replica(one, None) for one in ENTRIES))),
            "WARNING",
            "replication",
            "no replica leads",
        ),
        (three(b=replica(RB, RB)), "WARNING", "replication", "2 replicas lead at once"),
        (
            pool(replicas(*(replica(one, RB) for one in ENTRIES))),
            "WARNING",
            "replication",
            f"{RB} leads the replication, and {A} the pool",
        ),
        (three(a=replica(RA, version=None)), "WARNING", "replication", "holds no state"),
        (three(a=replica(RA, watching="no inotify")), "WARNING", "watching", "no inotify"),
        (
            three(a=behind(RB), b=replica(RB, version=OLDER)),
            "WARNING",
            "sync",
            f"{RB} is behind by 12 s; a failover to it would lose what it lacks",
        ),
        (
            three(a=behind(RB, None), b=replica(RB, version=OLDER)),
            "WARNING",
            "sync",
            f"{RB} is not in sync",
        ),
        (three(b=replica(RB, conflicts=(conflict(),))), "WARNING", "conflicts", conflict()["id"]),
        (three(b=replica(RB, files=TWO_FILES)), "WARNING", "state", f"a list of 2 files on {RB}"),
        (three(b=replica(RB, is_folder=True)), "WARNING", "state", f"a folder on {RB}"),
        (three(b=replica(RB, configuration="ff")), "WARNING", "configuration", f"{RA}, {RC} / {RB}"),
        (
            pool(replicas(*(replica(one, configuration="ff") for one in ENTRIES))),
            "WARNING",
            "configuration",
            f"{A} and {RA} have read different shared settings",
        ),
        (three(b=replica(RB, program="0.2.0")), "WARNING", "versions", "0.1.0, 0.2.0"),
        (
            pool(replicas(*(replica(one, program="0.2.0") for one in ENTRIES))),
            "WARNING",
            "versions",
            f"{A} runs version 0.1.0, and the replication daemon beside it 0.2.0",
        ),
    ],
)
def test_whatever_is_wrong_is_found(made, severity, subject, text):
    """Each fault is one finding, with a severity and a subject; none is critical."""
    found = bad(made)
    assert any(one[:2] == (severity, subject) and text in one[2] for one in found), found
    assert not any(one[0] == "CRITICAL" for one in found)


def test_real_condor_replications_are_no_fault():
    """One that the others hear is told as good, and so is a pool of nothing else."""
    condor = seen(RC, implementation="condor")
    mixed = three(a=replica(RA, replicas=(seen(RB), condor)), c=failed(RC, Failure.UNKNOWN_COMMAND))
    assert bad(mixed) == []
    assert bad(pool(replicas(*(failed(one, Failure.UNKNOWN_COMMAND) for one in ENTRIES)))) == []


def test_moments_of_lag_and_settled_conflicts_are_no_fault():
    """What every change causes, and what people have dealt with, is good."""
    settled = (conflict(exported_to="/x"),)
    assert bad(three(a=behind(RB, 0.5), b=replica(RB, version=OLDER, conflicts=settled))) == []


def test_a_daemon_without_any_file_yet_has_no_kind():
    """Before the state was first written there is nothing to compare."""
    assert bad(three(b=replica(RB, files=()))) == []


def test_the_line_for_monitoring_counts_replicas():
    """The figures behind the bar grow by those of the replication, where there is one."""
    made = three(a=behind(RB), b=replica(RB, version=OLDER))
    findings = check_replication(made)
    assert monitoring_line(made, findings).endswith("leaders=1 replicas=3 in_sync=2")
    assert "replicas=" not in monitoring_line(pools.healthy(), findings)


def test_a_member_that_does_not_answer_is_compared_with_nothing():
    """Only what both say is compared."""
    answers = pools.pool(failed(A, Failure.TIMEOUT), status(B), status(C)).answers
    silent = attrs.evolve(
        pool(replicas(replica(RA, program="0.1.0"), replica(RB), replica(RC))), answers=answers
    )
    assert bad(silent) == []
