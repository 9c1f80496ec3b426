"""What happened in the replication between two readings: what `hadctl follow` tells beside the election.

A replica that is behind for moments after each change is no news; only one that stays behind is.
"""

from __future__ import annotations

from collections.abc import Iterator

from had.ctl.changes import Happening
from had.ctl.pool import Answer
from had.ctl.replica_status import Conflict, ReplicaStatus, Turn
from had.ctl.replicas import Replicas
from had.ctl.sizes import time_words


def between(before: Replicas, after: Replicas) -> list[Happening]:
    """Return what happened between two readings, the newest last."""
    found: list[Happening] = []
    for entry, answer in after.answers.items():
        unknown: Answer[ReplicaStatus] = Answer(entry)
        earlier = before.answers.get(entry, unknown)
        if answer.failure is not earlier.failure:
            found.append(_answering(entry, answer, after))
        if answer.status is not None:
            known = earlier.status or ReplicaStatus(entry, "unknown")
            found.extend(_turns(entry, known, answer.status))
            found.extend(_conflicts(entry, known, answer.status))
            found.extend(_lag(entry, before, after))
    return sorted(found, key=lambda one: one.time)


def _answering(entry: str, answer: Answer[ReplicaStatus], replicas: Replicas) -> Happening:
    now = max((one.received_at for one in replicas.answers.values()), default=0.0)
    if answer.failure is None:
        return Happening(now, entry, "answer", "the replication daemon answers", (("error", None),))
    text = f"the replication daemon does not answer: {answer.failure.value}"
    return Happening(now, entry, "answer", text, (("error", answer.failure.word),))


def _turns(entry: str, before: ReplicaStatus, after: ReplicaStatus) -> Iterator[Happening]:
    seen = set(before.history)
    for turn in after.history:
        if turn not in seen:
            yield Happening(turn.time, entry, "replica", _turn_words(turn), _turn_details(turn))


def _turn_words(turn: Turn) -> str:
    return f"replica {turn.source} -> {turn.target}: {turn.reason}"


def _turn_details(turn: Turn) -> tuple[tuple[str, str], ...]:
    return (("from", turn.source), ("to", turn.target), ("reason", turn.reason))


def _conflicts(entry: str, before: ReplicaStatus, after: ReplicaStatus) -> Iterator[Happening]:
    now = after.time or 0.0
    old = {conflict.id: conflict for conflict in before.conflicts}
    new = {conflict.id: conflict for conflict in after.conflicts}
    for name, conflict in new.items():
        known = old.get(name, Conflict(name, conflict.version))
        if name not in old:
            reason = f": {conflict.reason}" if conflict.reason else ""
            yield _conflict(conflict.kept_at or now, entry, name, "kept", f"keeps {name}{reason}")
        if conflict.exported_to and not known.exported_to:
            yield _conflict(now, entry, name, "exported", f"exported {name} to {conflict.exported_to}")
        if conflict.merged_into and not known.merged_into:
            yield _conflict(now, entry, name, "merged", f"{name} is merged into {conflict.merged_into}")
    # A daemon that has just come back is not known to have dropped anything.
    yield from (
        _conflict(now, entry, name, "removed", f"does not keep {name} any more") for name in old.keys() - new
    )


def _conflict(time: float, entry: str, name: str, act: str, text: str) -> Happening:
    return Happening(time, entry, "conflict", text, (("id", name), ("act", act)))


def _lag(entry: str, before: Replicas, after: Replicas) -> Iterator[Happening]:
    was_behind, is_behind = before.is_behind(entry), after.is_behind(entry)
    if was_behind == is_behind or entry not in before.statuses:
        return
    status, lag_seconds = after.statuses[entry], after.lag_seconds(entry)
    words = "" if lag_seconds is None else f" by {time_words(lag_seconds)}"
    text = f"is behind{words}" if is_behind else "is not behind any more"
    yield Happening(
        status.time or 0.0, entry, "sync", text, (("behind", is_behind), ("lag_seconds", lag_seconds))
    )
