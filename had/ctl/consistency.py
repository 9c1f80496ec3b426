"""The checks of `hadctl check` that look at the running pool: pure functions of what its members say.

A finding is a sentence with a severity. `critical` is for what means that nobody leads, that two do, or that the
controllee does not run; `warning` for what will hurt later; `unknown` for what this machine may not see.
"""

import enum
from collections.abc import Iterator

import attrs

from had.ctl import verdict
from had.ctl.pool import Failure, Pool

#: The load of a mesh of N members is (N - 1) * (N + 38) / T: messages per second that each one sends, times their size,
#: which grows with the members that each message names. A pool of 50 at T = 2 and one of 10 at T = 0.2 are at the limit.
_LOAD_LIMIT = 2160.0
_FIXED_SIZE_IN_MEMBERS = 38


class Severity(enum.IntEnum):
    """How bad a finding is; the numbers are the exit statuses of monitoring plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@attrs.frozen
class Finding:
    """One thing that was looked at.

    Attributes:
        severity: OK when there is nothing wrong with it.
        subject: a short constant name, for programs.
        text: the sentence, without its full stop.
    """

    severity: Severity
    subject: str
    text: str


def minimum_timeout_seconds(members: int) -> float:
    """Return the smallest HAD_CONNECTION_TIMEOUT that a mesh of so many members can keep up with (hard limits apart)."""
    return max(members - 1, 0) * (members + _FIXED_SIZE_IN_MEMBERS) / _LOAD_LIMIT


def check_pool(pool: Pool, timeout_seconds: float) -> list[Finding]:
    """Return everything that was looked at, in the order in which one reads about a pool."""
    return [
        *_reachability(pool),
        *_leadership(pool),
        *_controllee(pool),
        *_links(pool),
        *_directives(pool),
        *_sharing(pool),
        *_clocks(pool),
        *_load(pool, timeout_seconds),
    ]


def worst(findings: list[Finding]) -> Severity:
    """Return the severity of the whole: critical before unknown before warning."""
    order = (Severity.CRITICAL, Severity.UNKNOWN, Severity.WARNING)
    found = {finding.severity for finding in findings}
    return next((severity for severity in order if severity in found), Severity.OK)


def _reachability(pool: Pool) -> Iterator[Finding]:
    for entry in pool.everyone:
        answer = pool.answers[entry]
        if answer.failure is None:
            continue
        if pool.is_condor(entry) and pool.is_heard(entry):
            yield Finding(Severity.OK, "members", f"{entry} is a real condor_had, which the others hear")
            continue
        severity = Severity.UNKNOWN if answer.failure is Failure.DENIED else Severity.WARNING
        detail = f" ({answer.detail})" if answer.detail else ""
        yield Finding(severity, "members", f"{entry} could not be asked: {answer.failure.value}{detail}")
    count, total = len(pool.statuses), len(pool.everyone)
    if count == total:
        yield Finding(Severity.OK, "members", f"all {total} members answer")


def _leadership(pool: Pool) -> Iterator[Finding]:
    if not pool.statuses:
        is_denied = any(answer.failure is Failure.DENIED for answer in pool.answers.values())
        severity = Severity.UNKNOWN if is_denied else Severity.CRITICAL
        yield Finding(severity, "leader", "no member could be asked, so nothing is known about the leader")
        return
    leaders = pool.leaders
    if not leaders:
        yield Finding(Severity.CRITICAL, "leader", "nobody leads")
    elif len(leaders) > 1:
        text = f"{len(leaders)} members lead at once: {' and '.join(leaders)}"
        yield Finding(Severity.CRITICAL, "leader", text)
    else:
        yield from _agreement(pool, leaders[0])


def _agreement(pool: Pool, leader: str) -> Iterator[Finding]:
    strays = [entry for entry, status in pool.statuses.items() if status.leader != leader]
    for entry in strays:
        follows = pool.statuses[entry].leader or "nobody"
        yield Finding(Severity.WARNING, "leader", f"{entry} follows {follows}, though {leader} leads")
    if not strays:
        yield Finding(Severity.OK, "leader", f"{leader} leads, and everybody follows it")


def _controllee(pool: Pool) -> Iterator[Finding]:
    for entry, status in pool.statuses.items():
        name, state = status.controllee.name, status.controllee.state
        if status.state == "leader":
            severity = Severity.OK if state == "running" else Severity.CRITICAL
            runs = "runs" if state == "running" else f"is {state}"
            yield Finding(severity, "controllee", f"the {name} of the leader {entry} {runs}")
        elif state not in (None, "stopped"):
            text = f"the {name} of {entry} is {state}, though {entry} does not lead"
            yield Finding(Severity.CRITICAL, "controllee", text)
        if status.abstains_seconds is not None:
            text = f"{entry} abstains, since its {name} keeps dying there"
            yield Finding(Severity.WARNING, "controllee", text)


def _links(pool: Pool) -> Iterator[Finding]:
    is_good = True
    for entry, status in pool.statuses.items():
        for peer in status.peers:
            if peer.address in pool.statuses and peer.state != "alive":
                is_good = False
                text = f"{entry} does not hear {peer.address} ({peer.state})"
                yield Finding(Severity.WARNING, "links", text)
    if is_good and len(pool.statuses) > 1:
        yield Finding(Severity.OK, "links", "all members that answer hear each other")


def _directives(pool: Pool) -> Iterator[Finding]:
    paused = {entry: status.paused for entry, status in pool.statuses.items() if status.paused is not None}
    for pause in dict.fromkeys(paused.values()):
        text = f"automatic failover is paused {verdict.pause_words(pause)}"
        yield Finding(Severity.WARNING, "pause", text)
    if paused and len(paused) < len(pool.statuses):
        rest = ", ".join(entry for entry in pool.statuses if entry not in paused)
        yield Finding(Severity.WARNING, "pause", f"not all members know of the pause: {rest}")
    for hold in dict.fromkeys(s.hold for s in pool.statuses.values() if s.hold is not None):
        text = f"{hold.node} is held from leading by a switchover of {hold.by}"
        yield Finding(Severity.WARNING, "hold", text)
    if not paused and not any(status.hold for status in pool.statuses.values()):
        yield Finding(Severity.OK, "pause", "nothing is paused or held")


def _sharing(pool: Pool) -> Iterator[Finding]:
    groups = verdict.configurations(pool)
    if len(groups) > 1:
        shown = " / ".join(", ".join(entries) for entries in groups)
        text = f"HAD_LIST, HAD_CONNECTION_TIMEOUT or another shared setting differs between members: {shown}"
        yield Finding(Severity.WARNING, "configuration", text)
    elif groups:
        yield Finding(Severity.OK, "configuration", "the members share one configuration")
    versions = {status.version for status in pool.statuses.values() if status.version}
    if len(versions) > 1:
        # Mixed versions work together; they are what an upgrade looks like, and should not stay.
        text = f"the members run different versions: {', '.join(sorted(versions))}"
        yield Finding(Severity.WARNING, "versions", text)
    elif versions:
        yield Finding(Severity.OK, "versions", f"all members run version {next(iter(versions))}")
    names = {status.controllee.name.casefold() for status in pool.statuses.values() if status.controllee.name}
    if len(names) > 1:
        text = f"the members have different controllees: {', '.join(sorted(names))}"
        yield Finding(Severity.CRITICAL, "configuration", text)


def _clocks(pool: Pool) -> Iterator[Finding]:
    skews = {entry: answer.clock_skew_seconds for entry, answer in pool.answers.items()}
    known = {entry: skew for entry, skew in skews.items() if skew is not None}
    if not known:
        return
    spread = max(known.values()) - min(known.values())
    if spread > verdict.CLOCK_SKEW_SECONDS:
        shown = ", ".join(f"{entry} {skew:+.1f} s" for entry, skew in known.items())
        text = f"the members' clocks are {spread:.1f} s apart ({shown} from here); run NTP"
        yield Finding(Severity.WARNING, "clocks", text)
    elif len(known) > 1:
        yield Finding(Severity.OK, "clocks", f"the members' clocks are {spread:.1f} s apart")


def _load(pool: Pool, timeout_seconds: float) -> Iterator[Finding]:
    count = len(pool.everyone)
    needed = minimum_timeout_seconds(count)
    # Every member tells every other one each T/4.
    rate = 4 * count * (count - 1) / timeout_seconds
    if timeout_seconds < needed * (1 - 1e-9):
        text = (
            f"HAD_CONNECTION_TIMEOUT = {timeout_seconds:g} is too short for {count} members"
            f" ({rate:.0f} messages a second); make it at least {needed:.2g}"
        )
        yield Finding(Severity.WARNING, "load", text)
    else:
        text = f"{rate:.0f} messages a second between {count} members are no burden"
        yield Finding(Severity.OK, "load", text)
