"""Each manager's own copy of the negotiator's accounts, read from its file as anybody could.

The files are HTCondor's ClassAd logs. What a copy holds is what its last finished transaction left; the negotiator
signs each with its epoch and cycle, so that the same transaction is found in two copies by its signature.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import attrs
import trio

from daemoncore.classad_log import CorruptLogError, parse
from had.ctl import tables
from had.ctl.demo.place import MANAGERS, Place

#: How often a file is looked at, in seconds.
LOOK_SECONDS = 0.003

_CUSTOMER = "Customer."
_END = b"\n106 "


@attrs.frozen
class Book:
    """What one copy says.

    Attributes:
        usage_seconds: what each user was charged for since the beginning.
    """

    usage_seconds: dict[str, float] = attrs.field(factory=dict)

    @property
    def total_seconds(self) -> float:
        """What all users were charged for."""
        return sum(self.usage_seconds.values())


def read_book(path: Path) -> Book:
    """Read a copy; one that is not there, or no accounts, is empty."""
    try:
        ads = parse(_read(path)).ads
    except CorruptLogError:
        return Book()
    users = {key.removeprefix(_CUSTOMER): ad for key, ad in ads.items() if key.startswith(_CUSTOMER)}
    return Book({user: float(ad.get("AccumulatedUsage", "0")) for user, ad in sorted(users.items())})


def signature(data: bytes) -> bytes:
    """Return the line that ends the last finished transaction; empty if there is none."""
    settled, newline, _ = data.rpartition(b"\n")
    start = settled.rfind(_END)
    return settled[start:].partition(b"\n106 ")[2].partition(b"\n")[0] if newline and start >= 0 else b""


class Books:
    """The copies of all managers."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def of(self, name: str) -> Book:
        """Read the copy of one manager."""
        return read_book(self._place.accounts(name))

    def table(self, names: Iterable[str] = MANAGERS) -> str:
        """Return a table with a row for each user and a column for each copy."""
        books = {name: self.of(name) for name in names}
        users = sorted({user for book in books.values() for user in book.usage_seconds})
        rows = [(user, *(_cell(book.usage_seconds.get(user)) for book in books.values())) for user in users]
        sums = ("(all)", *(_cell(book.total_seconds) for book in books.values()))
        hosts = [self._place.entry(name).rpartition(":")[0] for name in books]
        return tables.render(("USED SECONDS", *hosts), [*rows, sums])

    async def reached(self, name: str, total_seconds: float) -> float:
        """Wait until the copy of one manager holds that much; return when that was seen."""
        while self.of(name).total_seconds < total_seconds:  # noqa: ASYNC110 -- a file
            await trio.sleep(LOOK_SECONDS)
        return trio.current_time()

    async def written(self, name: str) -> bytes:
        """Wait for the next transaction in the copy of one manager; return its signature."""
        before = signature(self._data(name))
        while (found := signature(self._data(name))) in {before, b""}:  # noqa: ASYNC110 -- a file
            await trio.sleep(LOOK_SECONDS)
        return found

    async def spread_seconds(self, leader: str, others: Iterable[str]) -> float:
        """Wait for the next transaction of the leader, and return how long it took to be in all other copies."""
        found = await self.written(leader)
        began = trio.current_time()
        for name in others:
            while b"\n106 " + found + b"\n" not in self._data(name):  # noqa: ASYNC110 -- a file
                await trio.sleep(LOOK_SECONDS)
        return trio.current_time() - began

    def _data(self, name: str) -> bytes:
        return _read(self._place.accounts(name))


def _cell(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
