"""What happened in a pool, as values in the order of time: the source of `hadctl history`, `events` and `follow`.

A member keeps its last transitions itself; whatever else changes between two readings (a controllee's process, a
member that stops answering, a pause) is found by comparing them. Times are those of the member that speaks, so clocks
that are apart mix the order; `hadctl check` says when they are.
"""

from collections.abc import Iterator
from typing import Any

import attrs

from had.ctl.pool import Answer, Pool
from had.ctl.verdict import moment, pause_words
from had.status import Change, Status


@attrs.frozen
class Happening:
    """Something that happened.

    Attributes:
        time: Unix time, by the clock of the member that tells it.
        node: the member that it happened to, or that tells it.
        kind: `transition`, `controllee`, `peer`, `directive` or `answer`; of `hadctl follow` also `leader`, `replica`,
            `sync` and `conflict`.
        text: what happened, for people.
        details: the same for programs.
    """

    time: float
    node: str
    kind: str
    text: str
    details: tuple[tuple[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        known = {"time": self.time, "node": self.node, "kind": self.kind, "text": self.text}
        return known | dict(self.details)

    def line(self) -> str:
        """Return one line for people."""
        fraction = int(self.time * 1000) % 1000
        return f"{moment(self.time)[:-4]}.{fraction:03d}  {self.node}  {self.text}"


def transitions(pool: Pool) -> list[Happening]:
    """Return the transitions that all members remember, the newest last."""
    found = [_transition(entry, one) for entry, status in pool.statuses.items() for one in status.history]
    return sorted(found, key=lambda one: one.time)


def between(before: Pool, after: Pool) -> list[Happening]:
    """Return what happened between two readings, the newest last."""
    found: list[Happening] = []
    for entry, answer in after.answers.items():
        unknown: Answer[Status] = Answer(entry)
        earlier = before.answers.get(entry, unknown)
        if answer.failure is not earlier.failure:
            found.append(_answering(entry, answer, after))
        if answer.status is not None:
            known = earlier.status or Status(node=entry, state="unknown")
            found.extend(_compared(entry, known, answer.status))
    return sorted(found, key=lambda one: one.time)


def _transition(entry: str, change: Change) -> Happening:
    text = f"{change.source} -> {change.target}: {change.reason} (epoch {change.epoch})"
    details = (
        ("from", change.source),
        ("to", change.target),
        ("reason", change.reason),
        ("epoch", change.epoch),
    )
    return Happening(change.time, entry, "transition", text, details)


def _answering(entry: str, answer: Answer[Status], pool: Pool) -> Happening:
    now = max((one.received_at for one in pool.answers.values()), default=0.0)
    if answer.failure is None:
        return Happening(now, entry, "answer", "answers", (("error", None),))
    text = f"does not answer: {answer.failure.value}"
    return Happening(now, entry, "answer", text, (("error", answer.failure.word),))


def _compared(entry: str, before: Status, after: Status) -> Iterator[Happening]:
    now = after.time or 0.0
    seen = set(before.history)
    yield from (_transition(entry, one) for one in after.history if one not in seen)
    old, new = before.controllee, after.controllee
    if (old.state, old.pid) != (new.state, new.pid) and (old.state is not None or new.state != "stopped"):
        process = f" as process {new.pid}" if new.pid is not None else ""
        text = f"{new.name} is {new.state}{process}"
        yield Happening(new.since or now, entry, "controllee", text, (("state", new.state), ("pid", new.pid)))
    states = {peer.address: peer.state for peer in before.peers}
    for peer in after.peers:
        if states.get(peer.address, peer.state) != peer.state:
            details = (("peer", peer.address), ("state", peer.state))
            yield Happening(now, entry, "peer", f"{peer.address} is {peer.state}", details)
    if before.paused != after.paused:
        text = f"paused {pause_words(after.paused)}" if after.paused else "no longer paused"
        yield Happening(now, entry, "directive", text, (("paused", after.paused is not None),))
    if before.hold != after.hold:
        text = f"{after.hold.node} is held from leading" if after.hold else "no member is held any more"
        yield Happening(now, entry, "directive", text, (("hold", after.hold.node if after.hold else None),))
