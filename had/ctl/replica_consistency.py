"""The checks of `hadctl check` that look at the replication: pure functions of what the members and the replicas say.

A failover that starts on an old state is no outage, so nothing here is critical: `warning` is for what would cost the
next leader something, `unknown` for what this machine may not see.
"""

from __future__ import annotations

from collections.abc import Iterator

from had.ctl import replica_verdict
from had.ctl.consistency import Finding, Severity
from had.ctl.pool import Failure, Pool
from had.ctl.replica_status import BEHIND_SECONDS
from had.ctl.replicas import Replicas
from had.ctl.sizes import time_words


def check_replication(pool: Pool) -> list[Finding]:
    """Return everything that was looked at; nothing if the members count on no replication daemons."""
    replicas = pool.replicas
    if replicas is None:
        return []
    return [
        *_lists(pool, replicas),
        *_reachability(replicas),
        *_leadership(pool, replicas),
        *_watching(replicas),
        *_sync(replicas),
        *_conflicts(replicas),
        *_files(replicas),
        *_sharing(pool, replicas),
        *_programs(pool, replicas),
    ]


def _ok(subject: str, text: str) -> Finding:
    return Finding(Severity.OK, subject, text)


def _warning(subject: str, text: str) -> Finding:
    return Finding(Severity.WARNING, subject, text)


def _lists(pool: Pool, replicas: Replicas) -> Iterator[Finding]:
    if len(pool.members) != len(replicas.entries):
        members, entries = len(pool.members), len(replicas.entries)
        yield _warning("lists", f"HAD_LIST has {members} entries, and REPLICATION_LIST {entries}")
        return
    strays = [
        f"entry {place} is {member} in HAD_LIST and {replica} in REPLICATION_LIST"
        for place, (member, replica) in enumerate(zip(pool.members, replicas.entries, strict=True), start=1)
        if _host(member) != _host(replica)
    ]
    if strays:
        yield _warning("lists", f"the lists must name the same hosts in the same order: {'; '.join(strays)}")
    else:
        yield _ok("lists", "HAD_LIST and REPLICATION_LIST name the same hosts in the same order")


def _host(entry: str) -> str:
    return entry.strip("<>").partition("?")[0].rpartition(":")[0].strip("[]").casefold()


def _reachability(replicas: Replicas) -> Iterator[Finding]:
    for entry in replicas.entries:
        answer = replicas.answers[entry]
        if answer.failure is None:
            continue
        if replicas.is_condor(entry) and replicas.is_heard(entry):
            text = f"{entry} is a real condor_replication, which the others hear"
            yield _ok("replicas", text)
            continue
        severity = Severity.UNKNOWN if answer.failure is Failure.DENIED else Severity.WARNING
        detail = f" ({answer.detail})" if answer.detail else ""
        text = f"the replication daemon {entry} could not be asked: {answer.failure.value}{detail}"
        yield Finding(severity, "replicas", text)
    count = len(replicas.entries)
    if len(replicas.statuses) == count:
        yield _ok("replicas", f"all {count} replication daemons answer")


def _leadership(pool: Pool, replicas: Replicas) -> Iterator[Finding]:
    leaders = replicas.leaders
    if not replicas.statuses:
        return
    if len(leaders) != 1:
        said = (
            f"{len(leaders)} replicas lead at once: {' and '.join(leaders)}"
            if leaders
            else "no replica leads"
        )
        yield _warning("replication", said)
    elif pool.leader is not None and pool.member_of(leaders[0]) not in (None, pool.leader):
        yield _warning("replication", f"{leaders[0]} leads the replication, and {pool.leader} the pool")
    elif replicas.leading is not None and replicas.leading.version is None:
        yield _warning("replication", f"{leaders[0]} leads the replication and holds no state")
    else:
        yield _ok("replication", f"{leaders[0]} leads the replication")


def _watching(replicas: Replicas) -> Iterator[Finding]:
    for entry, status in replicas.statuses.items():
        if status.watching is not None:
            yield _warning("watching", f"{entry} does not notice changes at once: {status.watching}")


def _sync(replicas: Replicas) -> Iterator[Finding]:
    if replicas.leading is None:
        return
    behind = [entry for entry in replicas.statuses if replicas.is_behind(entry)]
    for entry in behind:
        lag_seconds = replicas.lag_seconds(entry)
        lag = "is not in sync" if lag_seconds is None else f"is behind by {time_words(lag_seconds)}"
        yield _warning("sync", f"{entry} {lag}; a failover to it would lose what it lacks")
    if not behind:
        text = f"no replica that answers is behind by more than {BEHIND_SECONDS:g} s"
        yield _ok("sync", text)


def _conflicts(replicas: Replicas) -> Iterator[Finding]:
    is_good = True
    for entry, status in replicas.statuses.items():
        names = [conflict.id for conflict in status.conflicts if not conflict.is_settled]
        if names:
            is_good = False
            text = f"{entry} keeps what nobody has exported or merged: {', '.join(names)}"
            yield _warning("conflicts", text)
    if is_good and replicas.statuses:
        yield _ok("conflicts", "no diverged state waits to be looked at")


def _files(replicas: Replicas) -> Iterator[Finding]:
    # Before a state was ever written a daemon may not know of any file.
    kinds = {entry: status.kind for entry, status in replicas.statuses.items() if status.files}
    if len(set(kinds.values())) > 1:
        shown = ", ".join(f"{kind} on {entry}" for entry, kind in kinds.items())
        yield _warning("state", f"STATE_FILE must be of one kind everywhere: {shown}")
    elif kinds:
        yield _ok("state", f"STATE_FILE is {next(iter(kinds.values()))} everywhere")


def _sharing(pool: Pool, replicas: Replicas) -> Iterator[Finding]:
    groups = replica_verdict.configurations(replicas)
    if len(groups) > 1:
        shown = " / ".join(", ".join(entries) for entries in groups)
        yield _warning("configuration", f"shared settings differ between replication daemons: {shown}")
    elif groups:
        yield _ok("configuration", "the replication daemons share one configuration")
    for member, status in pool.statuses.items():
        replica = pool.replica_of(member)
        beside = None if replica is None else replicas.statuses.get(replica)
        hashes = set() if beside is None else {status.configuration, beside.configuration} - {None}
        if len(hashes) > 1:
            text = (
                f"{member} and {replica} have read different shared settings: reload the one that is behind"
            )
            yield _warning("configuration", text)


def _programs(pool: Pool, replicas: Replicas) -> Iterator[Finding]:
    programs = {status.program for status in replicas.statuses.values() if status.program}
    if len(programs) > 1:
        shown = ", ".join(sorted(programs))
        yield _warning("versions", f"the replication daemons run different versions: {shown}")
        return
    for member, status in pool.statuses.items():
        beside = replicas.statuses.get(pool.replica_of(member) or "")
        if beside is not None and beside.program and status.version not in (None, beside.program):
            text = f"{member} runs version {status.version}, and the replication daemon beside it {beside.program}"
            yield _warning("versions", text)
    if programs:
        yield _ok("versions", f"all replication daemons run version {next(iter(programs))}")
