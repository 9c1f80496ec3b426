"""Fetches a state that is not the present one of whoever has it: a kept conflict, or the ancestor of a merge.

It travels as the state does, in a transfer of its own, but is no version of ours afterwards: it lands in a folder of
its own, and the machine hears nothing of it. Its sender sends it as a folder (`Sendable.is_folder`), also when it is a
list of files, whose names are then `0`, `1` and so on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import attrs
import trio

from daemoncore.durable import DurableError
from replication.incoming import Incoming
from replication.leftovers import Background, put_in_place, removed
from replication.manifest import FileRecord
from replication.transfer_ending import Ending
from replication.transferer_words import Arrived
from replication.version import Version


class FetchError(Exception):
    """A copy could not be fetched; the text says why."""


@attrs.frozen
class Fetched:
    """A copy that was fetched.

    Attributes:
        version: of the state that it is.
        document: the version as it came, unchecked, with whatever its sender added.
        files: what is in it; each is at `folder / name`.
        folder: where it is.
    """

    version: Version
    document: Mapping[str, Any]
    files: tuple[FileRecord, ...]
    folder: Path


class Start(Protocol):
    """Starts the download of a copy; OSError when it cannot."""

    def __call__(
        self,
        *,
        staged_by: Callable[[int], Sequence[Path]],
        on_offer: Callable[[Version], None],
        on_received: Callable[[Version, Arrived], None],
    ) -> Incoming:
        """See `Incoming`; `staged_by` says where a transferer of a given number puts what it receives."""


class CopyFetch:
    """One copy on its way.

    Args:
        folder: where it is to be; nothing may stand there.
        background: the thread that touches the disk.
        start: starts the download.
        run: looks after it until its process is dead, and says how that ended.
    """

    def __init__(
        self,
        folder: Path,
        background: Background,
        start: Start,
        run: Callable[[Incoming], Awaitable[Ending]],
    ) -> None:
        self._folder = folder
        self._background = background
        self._run = run
        self._fetched: Fetched | None = None
        self._failure = ""
        self._nursery: trio.Nursery | None = None
        try:
            self.incoming = start(
                staged_by=self._staged_by, on_offer=self._offered, on_received=self._received
            )
        except OSError as error:
            raise FetchError(f"no copy process could be started: {error.strerror or error}") from error

    def _staged_by(self, pid: int) -> Sequence[Path]:
        return (self._folder.with_name(f"{self._folder.name}.{pid}.down"),)

    async def run(self) -> Fetched:
        """Fetch it.

        Raises:
            FetchError: it did not come, or could not be put in its place. Nothing is left; after a cancellation it
                may stand there, and then is whole.
        """
        (staged,) = self._staged_by(self.incoming.process.pid)
        is_over = False
        try:
            async with trio.open_nursery() as self._nursery:
                ending = await self._run(self.incoming)
            if self._fetched is None:
                await self._background.remove(partial(removed, staged))
            is_over = True
        finally:
            if not is_over:
                self._background.remove_soon(partial(removed, staged))
            self.incoming.process.collect()
        if self._fetched is None:
            raise FetchError(self._failure or ending.reason)
        return self._fetched

    def _offered(self, _version: Version) -> None:
        self.incoming.take(())

    def _received(self, version: Version, arrived: Arrived) -> None:
        assert self._nursery is not None, "its process is looked after"
        self.incoming.begin_install()
        self._nursery.start_soon(self._put_in_place, version, arrived)

    async def _put_in_place(self, version: Version, arrived: Arrived) -> None:
        (staged,) = self._staged_by(self.incoming.process.pid)
        try:
            await self._background.perform(partial(put_in_place, staged, self._folder))
        except DurableError as error:
            self._failure = str(error)
            self.incoming.stop(self._failure)
            return
        document = self.incoming.document
        assert isinstance(document, dict), "it was read as a version"
        self._fetched = Fetched(version, document, arrived.files, self._folder)
        self.incoming.installed()
        # Its sender has nothing more to send, but need not say so.
        self.incoming.leave("the copy is here")
