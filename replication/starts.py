"""How often this daemon was started, kept on disk: with it the others put its reports in order after a restart."""

from __future__ import annotations

from pathlib import Path

from daemoncore.durable import DurableError, SlotStore
from daemoncore.startup import StartError

FILE_NAME = "starts"


def count_start(folder: Path, owner: tuple[int, int] | None, wall_clock: float) -> int:
    """Count this start and return its number, durably; larger than at any earlier start, also when the file was lost.

    Args:
        folder: the daemon's own.
        owner: user and group ids of the file; None leaves them.
        wall_clock: Unix time, the floor of the number.

    Raises:
        StartError: the disk does not take it.
    """
    try:
        store = SlotStore.open(folder / FILE_NAME, owner=owner)
        try:
            payload = store.read()
            before = int(payload) if payload is not None and payload.isdigit() else 0
            number = max(before + 1, int(wall_clock))
            store.write(str(number).encode("ascii"))
        finally:
            store.close()
    except DurableError as error:
        raise StartError(str(error)) from error
    return number
