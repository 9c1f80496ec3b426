"""The pair made whole: after a crash of this daemon or its host, and after a disk that failed in the middle of a commit.

`Pair.recover` decides. What it leaves to others is done here: a mixture of old and new files, to which somebody has
written since, is kept as a conflict and then replaced. And here are the sentences for people.
"""

from __future__ import annotations

from collections.abc import Callable

from replication.pair import Outcome, Pair, Recovery
from replication.safekeeping import Safekeeping


def recover(pair: Pair, safekeeping: Safekeeping, is_controllee_running: Callable[[], bool]) -> Recovery:
    """Leave one complete pair, or nothing held; blocks.

    Raises:
        DurableError: the disk failed; nothing is lost, and it has to be done again.
        RefusedError: a mixture could not be kept, since something is no plain file.
    """
    recovery = pair.recover(is_controllee_running=is_controllee_running)
    if recovery.outcome is not Outcome.MIXED:
        return recovery
    safekeeping.keep_mixture(pair.held)
    return pair.recover(is_controllee_running=is_controllee_running, is_kept=True)


def sentences(recovery: Recovery) -> tuple[str, ...]:
    """Say what was found at a start, for the log; nothing if all was in order."""
    held = recovery.held
    point = "nothing" if held is None else f"version {held.version.point}"
    told = {
        Outcome.FINISHED: f"a replacement of the state was under way and is finished: {point} is held",
        Outcome.ABANDONED: f"a replacement of the state was under way and was given up: {point} is held",
        Outcome.UNUSABLE: "a replacement of the state was under way, and somebody has written to the state since: "
        "that is kept as a conflict, and no version is held",
    }
    found = [told[recovery.outcome]] if recovery.outcome in told else []
    if recovery.htcondor is not None:
        found.append(f"HTCondor ran in between and left version {recovery.htcondor}, which is adopted")
    if recovery.older is not None:
        found.append(f"the version file said {recovery.older}, which is earlier: {point} is held")
    found += [f"{text}; it is taken for absent" for text in recovery.damage]
    if recovery.swept:
        found.append("leftovers were removed: " + " ".join(str(path) for path in recovery.swept))
    return tuple(found)
