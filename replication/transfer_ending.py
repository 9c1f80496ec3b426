"""How a transfer ended: in its own words, in ours if we had it killed, or by what the kernel says of its process."""

from __future__ import annotations

import attrs

from replication.transferer_process import TransfererProcess
from replication.transferer_words import Exit


@attrs.frozen
class Ending:
    """How a transfer ended.

    Attributes:
        result: `ok`, `failed`, `cancelled` or `stale`.
        reason: a sentence.
        fault: whose doing it was, as the transferer has it; None if nobody's, or if it did not say.
    """

    result: str
    reason: str
    fault: str | None = None


def ending_of(process: TransfererProcess, last: Exit | None, *, stop_reason: str = "") -> Ending:
    """Say how a transfer ended.

    Args:
        process: the transferer, which is dead.
        last: its last word, None if it had none.
        stop_reason: why we ended it; empty if we did not.
    """
    if process.failure:
        return Ending("cancelled" if stop_reason else "failed", process.failure)
    if last is not None:
        return Ending(last.result, stop_reason or last.reason, last.fault)
    if stop_reason:
        return Ending("cancelled", stop_reason)
    how = process.exit_words or "exit status 0"
    return Ending("failed", f"the copy process ended without a word: {how}")
