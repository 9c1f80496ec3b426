"""The checks of the running pool, and the line for monitoring."""

import attrs
import pytest

from had.ctl.check_command import monitoring_line
from had.ctl.consistency import Severity, check_pool, minimum_timeout_seconds, worst
from had.ctl.pool import Failure, Pool
from had.status import Controllee, Peer
from tests.had.ctl.pools import HOLD, NOW, PAUSED, A, B, C, answer, failed, healthy, peer, pool, status

BACKOFF = Controllee("negotiator", "backoff")


def found(made, timeout_seconds=2.0):
    """Severity, subject and text of what is not in order."""
    findings = check_pool(made, timeout_seconds)
    return [(one.severity.name, one.subject, one.text) for one in findings if one.severity is not Severity.OK]


def test_a_healthy_pool_has_nothing_but_good_findings():
    """Everything that is looked at is told, and all of it is good."""
    findings = check_pool(healthy(), 2.0)
    assert worst(findings) is Severity.OK
    subjects = [one.subject for one in findings]
    assert subjects == [
        *("members", "leader", "controllee", "links", "pause", "configuration", "versions", "clocks", "load"),
    ]


@pytest.mark.parametrize(
    ("made", "severity", "subject", "text"),
    [
        (
            pool(status(A), status(B), failed(C, Failure.REFUSED, "x")),
            "WARNING",
            "members",
            f"{C} could not be asked",
        ),
        (pool(status(A), status(B), failed(C, Failure.DENIED)), "UNKNOWN", "members", "does not let us in"),
        (
            pool(*(failed(e, Failure.TIMEOUT) for e in (A, B, C))),
            "CRITICAL",
            "leader",
            "no member could be asked",
        ),
        (
            pool(*(failed(e, Failure.DENIED) for e in (A, B, C))),
            "UNKNOWN",
            "leader",
            "no member could be asked",
        ),
        (pool(*(status(e, None) for e in (A, B, C))), "CRITICAL", "leader", "nobody leads"),
        (pool(status(A), status(B, B), status(C)), "CRITICAL", "leader", "2 members lead at once"),
        (pool(status(A), status(B), status(C, None)), "WARNING", "leader", f"{C} follows nobody"),
        (pool(status(A, controllee=BACKOFF), status(B), status(C)), "CRITICAL", "controllee", "is backoff"),
        (
            pool(status(A), status(B, controllee=Controllee("negotiator", "running", 9)), status(C)),
            "CRITICAL",
            "controllee",
            "does not lead",
        ),
        (
            pool(status(A), status(B, abstains_seconds=1.0), status(C)),
            "WARNING",
            "controllee",
            f"{B} abstains",
        ),
        (
            pool(status(A), status(B, peers=(peer(A), Peer(C, "denied"))), status(C)),
            "WARNING",
            "links",
            f"{B} does not hear {C} (denied)",
        ),
        (
            pool(status(A, paused=PAUSED), status(B), status(C)),
            "WARNING",
            "pause",
            f"not all members know of the pause: {B}, {C}",
        ),
        (pool(status(A, hold=HOLD), status(B), status(C)), "WARNING", "hold", "is held from leading"),
        (
            pool(status(A), status(B), status(C, configuration="f")),
            "WARNING",
            "configuration",
            f"{A}, {B} / {C}",
        ),
        (pool(status(A), status(B), status(C, version="0.2.0")), "WARNING", "versions", "0.1.0, 0.2.0"),
        (
            pool(status(A), status(B), status(C, controllee=Controllee("collector", "stopped"))),
            "CRITICAL",
            "configuration",
            "collector, negotiator",
        ),
        (pool(status(A), status(B), status(C, time=NOW + 3)), "WARNING", "clocks", "3.0 s apart"),
    ],
)
def test_whatever_is_wrong_is_found_with_its_severity(made, severity, subject, text):
    """Each inconsistency is one finding of the right severity and subject."""
    assert any((severity, subject) == (one[0], one[1]) and text in one[2] for one in found(made)), found(made)


@pytest.mark.parametrize(
    ("members", "timeout_seconds", "is_accepted"),
    [
        (50, 2.0, True),
        (10, 0.2, True),
        (3, 0.05, True),
        (2, 0.05, True),
        (50, 1.0, False),
        (10, 0.1, False),
        (100, 2.0, False),
    ],
)
def test_the_load_of_the_mesh(members, timeout_seconds, is_accepted):
    """Fifty members at 2 s and ten at 0.2 s are accepted; half the time for as many is warned of."""
    entries = tuple(f"10.0.0.{number}:51450" for number in range(members))
    answers = {entry: answer(status(entry, entries[0], everyone=entries[:2])) for entry in entries}
    made = Pool(entries, (), answers)
    load = [one for one in found(made, timeout_seconds) if one[1] == "load"]
    assert (load == []) is is_accepted
    assert (minimum_timeout_seconds(members) <= timeout_seconds * (1 + 1e-9)) is is_accepted


def test_critical_is_worse_than_unknown_and_unknown_than_a_warning():
    """The whole is as bad as its worst finding, in monitoring's order."""
    both = pool(status(A, controllee=BACKOFF), status(B), failed(C, Failure.DENIED))
    assert worst(check_pool(both, 2.0)) is Severity.CRITICAL
    hidden = pool(status(A, hold=HOLD), status(B), failed(C, Failure.DENIED))
    assert worst(check_pool(hidden, 2.0)) is Severity.UNKNOWN


def test_the_monitoring_line():
    """One line: the state, what matters most, and figures behind the only bar."""
    assert monitoring_line(healthy(), check_pool(healthy(), 2.0)) == (
        f"HAD OK - {A} leads, and everybody follows it | members=3 answering=3 leaders=1"
    )
    hold = attrs.evolve(HOLD, by="a|b")
    held = pool(status(A, hold=hold), status(B), failed(C, Failure.REFUSED))
    line = monitoring_line(held, check_pool(held, 2.0))
    assert line.startswith(f"HAD WARNING - {C} could not be asked")
    assert line.endswith("| members=3 answering=2 leaders=1")
    assert line.count("|") == 1
