"""What dead transferers left beside the state is removed, on the thread of the disk side.

That a commit was begun with it shows in the journal, which stands only while the disk side's thread is in the middle of
one, or after one was cut short. Then everything is left for `Pair.recover`, which finishes it and sweeps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

import attrs
import trio

from daemoncore.durable import DurableError, failures_named
from replication.disk import RealDisk, remove_tree
from replication.places import Places
from replication.transfer_terms import TransferObserver

_Result = TypeVar("_Result")

InBackground: TypeAlias = Callable[[Callable[[], object]], None]
"""Has something done on the thread that changes the pair, after what was asked before; returns at once."""


def swept(places: Places, number: int) -> tuple[Path, ...]:
    """Remove what the dead transferer of this number left, and say what it was.

    Raises:
        DurableError: the disk failed; the rest is swept when the daemon starts again.
    """
    disk = RealDisk()
    if disk.facts(places.journal) is not None:
        return ()
    return places.sweep(disk, number)


def removed(path: Path) -> tuple[Path, ...]:
    """Remove one file or folder that a dead transferer left, and say what it was; see `swept`."""
    disk = RealDisk()
    if disk.facts(path) is None:
        return ()
    remove_tree(disk, path)
    return (path,)


def put_in_place(staged: Path, target: Path) -> None:
    """Give a folder that was received its name, at which nothing may stand; DurableError if it cannot be."""
    with failures_named("give what was received its name", target):
        staged.rename(target)


@attrs.frozen
class Background:
    """The disk side's thread, as tasks of the loop see it.

    Attributes:
        in_background: has something done there.
        observer: hears what was removed, and what could not be.
    """

    in_background: InBackground
    observer: TransferObserver

    async def perform(self, act: Callable[[], _Result]) -> _Result:
        """Have something done and wait for it, whatever it returns or raises as DurableError."""
        is_done, token = trio.Event(), trio.lowlevel.current_trio_token()
        outcome: list[_Result | DurableError] = []

        def perform() -> None:
            try:
                outcome.append(act())
            except DurableError as error:
                outcome.append(error)
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(is_done.set)

        self.in_background(perform)
        await is_done.wait()
        (result,) = outcome
        if isinstance(result, DurableError):
            raise result
        return result

    async def remove(self, act: Callable[[], tuple[Path, ...]]) -> bool:
        """Have leftovers removed, by `swept` or `removed`, and wait for it; True when that is over, well or not."""
        try:
            paths = await self.perform(act)
        except DurableError as error:
            self.observer.remark("transfer_leftovers", error=str(error))
        else:
            if paths:
                self.observer.remark("transfer_leftovers", removed=" ".join(map(str, paths)))
        return True

    def remove_soon(self, act: Callable[[], tuple[Path, ...]]) -> None:
        """Have leftovers removed without waiting; what cannot be is swept when the daemon starts again."""

        def perform() -> None:
            with contextlib.suppress(DurableError):
                act()

        self.in_background(perform)
