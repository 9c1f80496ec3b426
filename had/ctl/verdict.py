"""Whether a pool is in order, in sentences: pure functions of what its members say.

In order means: every member answers, exactly one leads, all follow it, its controllee runs there and nowhere else,
nothing is paused or held, nobody abstains, everybody hears everybody, all have the same shared settings, and the
replication is in order where there is one. Whatever is not so is one sentence of `problems`, the worst first.
"""

import time
from collections.abc import Iterator

from had.ctl import replica_verdict
from had.ctl.pool import Failure, Pool
from had.status import Paused, Status

#: Clocks further apart than this are mentioned: histories would be merged in the wrong order.
CLOCK_SKEW_SECONDS = 1.0


def problems(pool: Pool) -> list[str]:
    """Return everything that is not in order, one sentence each without its full stop."""
    found = [
        *_leadership(pool),
        *_controllees(pool),
        *_absences(pool),
        *_directives(pool),
        *_abstentions(pool),
        *_deafness(pool),
        *_differences(pool),
        *_strangers_to_votes(pool),
        *_keepers(pool),
        *_replication(pool),
    ]
    return list(dict.fromkeys(found))


def sentence(pool: Pool, found: list[str]) -> str:
    """Say whether the pool is in order."""
    if found:
        return f"The pool is not in order: {'; '.join(found)}."
    leader = pool.leader
    assert leader is not None, "a pool without a leader is not in order"
    count = len(pool.everyone)
    agreed = f"all {count} members follow it" if count > 1 else "it is the only member"
    replicated = "" if pool.replicas is None else ", and their replicas are good"
    return f"The pool is in order: {leader} leads, {_running(pool, leader)}, and {agreed}{replicated}."


def _running(pool: Pool, leader: str) -> str:
    status = pool.statuses.get(leader)
    if status is None:
        return "a real condor_had, whose controllee cannot be seen from here"
    controllee = status.controllee
    process = f" as process {controllee.pid}" if controllee.pid is not None else ""
    return f"its {controllee.name} runs{process}"


def _leadership(pool: Pool) -> Iterator[str]:
    leaders = pool.leaders
    if not pool.statuses:
        yield "no member could be asked"
    elif not leaders:
        yield "nobody leads"
    elif len(leaders) > 1:
        yield f"{len(leaders)} members lead at once: {' and '.join(leaders)}"
    else:
        for entry, status in pool.statuses.items():
            if status.leader != leaders[0]:
                yield f"{entry} follows {status.leader or 'nobody'}, though {leaders[0]} leads"


def _controllees(pool: Pool) -> Iterator[str]:
    for entry, status in pool.statuses.items():
        controllee = status.controllee
        if status.state == "leader" and controllee.state != "running":
            waiting = f": {status.replica.waiting}" if status.replica.waiting else ""
            yield f"{entry} leads, but its {controllee.name} is {controllee.state}{waiting}"
        if status.state != "leader" and controllee.state not in (None, "stopped"):
            yield f"the {controllee.name} of {entry} is {controllee.state}, though {entry} does not lead"


def _strangers_to_votes(pool: Pool) -> Iterator[str]:
    for status in pool.statuses.values():
        for peer in status.peers:
            if status.majority is not None and peer.implementation == "condor":
                yield f"{peer.address} is a real condor_had, so with HAD_REQUIRE_MAJORITY nobody leads"


def _keepers(pool: Pool) -> Iterator[str]:
    for entry, status in pool.statuses.items():
        if status.replica.state == "unreachable":
            yield f"{entry} does not reach its own replication daemon"


def _absences(pool: Pool) -> Iterator[str]:
    for entry in pool.everyone:
        answer = pool.answers.get(entry)
        if answer is None or answer.failure is None or (pool.is_condor(entry) and pool.is_heard(entry)):
            continue
        heard = ""
        if answer.failure is not Failure.REFUSED and pool.is_heard(entry):
            heard = ", though other members hear it"
        yield f"{entry} could not be asked: {answer.failure.value}{heard}"


def _directives(pool: Pool) -> Iterator[str]:
    for status in pool.statuses.values():
        if status.paused is not None:
            yield f"automatic failover is paused {pause_words(status.paused)}"
        if status.hold is not None:
            hold = status.hold
            reason = f": {hold.reason}" if hold.reason else ""
            yield f"{hold.node} is held from leading by a switchover of {hold.by}{reason}"
    paused = [entry for entry, status in pool.statuses.items() if status.paused is not None]
    if paused and len(paused) < len(pool.statuses):
        unpaused = [entry for entry in pool.statuses if entry not in paused]
        yield f"{' and '.join(unpaused)} {'do' if len(unpaused) > 1 else 'does'} not know of the pause"


def pause_words(paused: Paused) -> str:
    """Say who paused, since when, until when and why."""
    until = "until resumed" if paused.until is None else f"until {moment(paused.until)}"
    reason = f": {paused.reason}" if paused.reason else ""
    return f"by {paused.by} since {moment(paused.since)}, {until}{reason}"


def _abstentions(pool: Pool) -> Iterator[str]:
    for entry, status in pool.statuses.items():
        if status.abstains_seconds is not None:
            name = status.controllee.name or "controllee"
            yield f"{entry} abstains, since its {name} keeps dying there"


def _deafness(pool: Pool) -> Iterator[str]:
    for entry, status in pool.statuses.items():
        for peer in status.peers:
            # Who could not be asked is absent, and that was said already.
            if peer.address in pool.statuses and peer.state != "alive":
                yield f"{entry} does not hear {peer.address} ({peer.state})"


def _differences(pool: Pool) -> Iterator[str]:
    groups = configurations(pool)
    if len(groups) > 1:
        shown = " / ".join(", ".join(entries) for entries in groups)
        yield f"the members do not share one configuration (HAD_LIST, HAD_CONNECTION_TIMEOUT and the like): {shown}"


def _replication(pool: Pool) -> Iterator[str]:
    if pool.replicas is None:
        return
    yield from replica_verdict.problems(pool.replicas)
    leader, leaders = pool.leader, pool.replicas.leaders
    if leader is not None and len(leaders) == 1 and pool.replica_of(leader) not in (None, *leaders):
        yield f"{leader} leads the pool, and {leaders[0]} the replication, which is another host"


def configurations(pool: Pool) -> list[list[str]]:
    """Return the members in groups that share their settings; one group is good."""
    groups: dict[str, list[str]] = {}
    for entry, status in pool.statuses.items():
        if status.configuration is not None:
            groups.setdefault(status.configuration, []).append(entry)
    return list(groups.values())


def is_led(status: Status) -> bool:
    """Whether this node leads and its controllee runs."""
    return status.state == "leader" and status.controllee.state == "running"


def moment(unix_time: float) -> str:
    """Show a time, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix_time))
