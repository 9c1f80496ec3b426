"""What happened in a fire: values only, so that the checker needs nothing else, and a failure can be kept as a file.

All times are CLOCK_BOOTTIME. Members are named by their place. A *reach* says how far a state goes: for each epoch
the number of the last write under it that the state holds (see `scribe.py`).
"""

import json
import re
from pathlib import Path

import attrs

from tests.end_to_end.chaos.schedule import Fault, Schedule

WRITTEN = re.compile(rb"^103 Customer\.scribe@test Written(\d+) (\d+)$", re.MULTILINE)


def reach_of(log):
    """Return the reach of a state as it lies on a disk; a transaction that is not finished counts for nothing."""
    whole = log[: log.rfind(b"\n") + 1]
    begun = whole.rfind(b"\n105 ")
    if begun >= 0 and b"\n106 " not in whole[begun:]:
        whole = whole[: begun + 1]
    reach = {}
    for epoch, number in WRITTEN.findall(whole):
        reach[int(epoch)] = max(reach.get(int(epoch), 0), int(number))
    return reach


@attrs.frozen
class Happened:
    """A fault, as it really was."""

    fault: Fault
    began: float
    ended: float
    #: Whom it hit, or why nobody.
    note: str = ""


@attrs.frozen
class Living:
    """One controllee, from its first instruction to the last that it recorded."""

    node: int
    pid: int
    epoch: int
    began: float
    ended: float


@attrs.frozen
class Write:
    """A transaction that was durable on the writer's disk at this time."""

    node: int
    pid: int
    epoch: int
    number: int
    at: float


@attrs.frozen
class Held:
    """What a member's state file held at a time."""

    node: int
    at: float
    reach: dict[int, int]


@attrs.frozen
class Final:
    """A member at the end, when nothing was written any more."""

    node: int
    reach: dict[int, int]
    #: The reaches of the conflicts that it keeps.
    conflicts: tuple[dict[int, int], ...]
    #: In what way state and version do not belong together; empty if they do.
    torn: str
    #: What its daemons said that no daemon should say.
    complaints: tuple[str, ...] = ()


@attrs.frozen
class History:
    """Everything that the checker looks at."""

    schedule: Schedule
    #: When the first controllee ran and was followed by all.
    settled_at: float
    #: When everything had been mended.
    mended_at: float
    #: The end of the observation; nobody was disturbed since `mended_at`.
    ended_at: float
    happened: tuple[Happened, ...]
    livings: tuple[Living, ...]
    writes: tuple[Write, ...]
    held: tuple[Held, ...]
    finals: tuple[Final, ...]
    #: Samples of (time, for each daemon's process the seconds for which it had waited for a processor by then).
    waited: tuple[tuple[float, dict[int, float]], ...] = ()

    #: When the disks were read.
    looked_at: float = 0.0

    def waited_seconds(self, began, ended):
        """Return for how long that daemon waited for a processor, between two times, that waited longest."""
        return waited_seconds(self.waited, began, ended)

    def save(self, path):
        """Write it as JSON."""
        Path(path).write_text(json.dumps(attrs.asdict(self), indent=1))


def waited_seconds(samples, began, ended):
    """Return for how long that daemon waited for a processor, between two times, that waited longest."""
    before, until = {}, {}
    for at, totals in samples:
        before = totals if at <= began else before
        # A daemon that ended meanwhile counts until it did.
        until = until | totals if began < at <= ended else until
    return max((total - before.get(pid, 0.0) for pid, total in until.items()), default=0.0)


def livings_in(lines, node):
    """Return the lives that a member's controllees recorded."""
    lives, places = [], {}
    for line in lines:
        word, pid, epoch, at = line.split()
        if word == "start":
            # A process's number may come round again: the last life with it is the one that goes on.
            places[pid] = len(lives)
            lives.append(Living(node, int(pid), int(epoch), float(at), float(at)))
        else:
            lives[places[pid]] = attrs.evolve(lives[places[pid]], ended=float(at))
    return lives


def writes_in(lines, node):
    """Return the writes that a member's controllees recorded."""
    words = [line.split() for line in lines]
    return [Write(node, int(w[1]), int(w[2]), int(w[3]), float(w[4])) for w in words if w[0] == "write"]
