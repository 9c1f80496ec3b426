"""Whether the replication of a pool is in order, in sentences: pure functions of what the replicas say.

In order means: every replica answers, exactly one leads and holds a state, all others hold what it holds or are behind
by moments, no state is kept that nobody has looked at, and all have the same shared settings. Whatever is not so is one
sentence of `problems`, the worst first.
"""

from __future__ import annotations

from collections.abc import Iterator

from had.ctl.pool import Failure
from had.ctl.replica_status import BEHIND_SECONDS
from had.ctl.replicas import Replicas
from had.ctl.sizes import size_words, time_words


def problems(replicas: Replicas) -> list[str]:
    """Return everything that is not in order, one sentence each without its full stop."""
    found = [
        *_leadership(replicas),
        *_reading(replicas),
        *_absences(replicas),
        *_lags(replicas),
        *_conflicts(replicas),
        *_differences(replicas),
    ]
    return list(dict.fromkeys(found))


def sentence(replicas: Replicas, found: list[str]) -> str:
    """Say whether the replication is in order."""
    if found:
        return f"The replication is not in order: {'; '.join(found)}."
    if replicas.is_all_condor:
        return "The replication is in the hands of real condor_replications, which cannot be asked."
    leader, leading = replicas.leader, replicas.leading
    assert leader is not None, "without a leader it is not in order"
    said = f"The replication is in order: {leader} leads"
    if leading is None:
        return f"{said}, a real condor_replication, which cannot be asked."
    assert leading.version is not None, "a leader without a state is not in order"
    held = f"with version {leading.version.point} ({size_words(leading.version.bytes)})"
    return f"{said} {held}, and {_company(replicas, leader)}."


def standing(replicas: Replicas, entry: str) -> str:
    """Say in a few words how good a replica is, for a cell of `hadctl status`."""
    if entry not in replicas.statuses:
        return "condor" if replicas.is_condor(entry) else failure_word(replicas, entry)
    if replicas.version(entry) is None:
        return "no state"
    is_in_sync, lag_seconds = replicas.is_in_sync(entry), replicas.lag_seconds(entry)
    if is_in_sync is None:
        return "unknown"
    if is_in_sync:
        return "in sync"
    return "behind" if lag_seconds is None else f"behind by {time_words(lag_seconds)}"


def failure_word(replicas: Replicas, entry: str) -> str:
    """Return the word for why a replica did not answer."""
    answer = replicas.answers.get(entry)
    return answer.failure.word if answer is not None and answer.failure is not None else "unknown"


def _company(replicas: Replicas, leader: str) -> str:
    others = [entry for entry in replicas.entries if entry != leader]
    if not others:
        return "it is the only one"
    current = [entry for entry in others if replicas.is_in_sync(entry)]
    if len(current) == len(others):
        return "the other one is in sync" if len(others) == 1 else f"all {len(others)} others are in sync"
    rest = f"the rest are less than {BEHIND_SECONDS:g} s behind, or real condor_replications"
    return f"{len(current)} of {len(others)} others are in sync; {rest}"


def _leadership(replicas: Replicas) -> Iterator[str]:
    leaders = replicas.leaders
    if replicas.is_all_condor:
        return
    if not replicas.statuses:
        yield "no replication daemon could be asked"
    elif not leaders:
        yield "no replica leads, so changes of the state go nowhere"
    elif len(leaders) > 1:
        yield f"{len(leaders)} replicas lead at once: {' and '.join(leaders)}"
    elif replicas.leading is not None and replicas.leading.version is None:
        yield f"{leaders[0]} leads and holds no state"


def _reading(replicas: Replicas) -> Iterator[str]:
    for entry, status in replicas.statuses.items():
        if status.watching is not None:
            yield f"{entry} does not notice changes at once: {status.watching}"


def _absences(replicas: Replicas) -> Iterator[str]:
    for entry in replicas.entries:
        answer = replicas.answers.get(entry)
        if answer is None or answer.failure is None:
            continue
        if replicas.is_condor(entry) and replicas.is_heard(entry):
            continue
        heard = ""
        if answer.failure is not Failure.REFUSED and replicas.is_heard(entry):
            heard = ", though other replicas hear it"
        yield f"the replication daemon {entry} could not be asked: {answer.failure.value}{heard}"


def _lags(replicas: Replicas) -> Iterator[str]:
    for entry in replicas.statuses:
        if not replicas.is_behind(entry):
            continue
        lag_seconds, version = replicas.lag_seconds(entry), replicas.version(entry)
        lag = "is not in sync" if lag_seconds is None else f"is behind by {lag_seconds:.0f} s"
        yield f"{entry} {lag} and holds {'no state' if version is None else version.point}"


def _conflicts(replicas: Replicas) -> Iterator[str]:
    for entry, status in replicas.statuses.items():
        count = sum(not conflict.is_settled for conflict in status.conflicts)
        if count:
            states = "a diverged state" if count == 1 else f"{count} diverged states"
            yield f"{entry} keeps {states} that nobody has exported or merged (see `hadctl conflicts list`)"


def _differences(replicas: Replicas) -> Iterator[str]:
    groups = configurations(replicas)
    if len(groups) > 1:
        shown = " / ".join(", ".join(entries) for entries in groups)
        yield f"the replication daemons do not share one configuration (REPLICATION_LIST and the like): {shown}"


def configurations(replicas: Replicas) -> list[list[str]]:
    """Return the replicas in groups that share their settings; one group is good."""
    groups: dict[str, list[str]] = {}
    for entry, status in replicas.statuses.items():
        if status.configuration is not None:
            groups.setdefault(status.configuration, []).append(entry)
    return list(groups.values())
