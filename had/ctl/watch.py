"""`--watch` of `hadctl status` and `hadctl replication status`: the table again and again.

On a terminal with rich installed the table stays in its place and only changes; elsewhere each reading is printed below
the one before, with its time. Ctrl-C ends it quietly, and the exit status is 0: whoever watches has seen it.
"""

import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

import attrs
import trio

from had.ctl import tables, verdict
from had.ctl.interruption import run_until_interrupted

Reading = TypeVar("Reading")


@attrs.frozen
class Screen(Generic[Reading]):
    """How one verb asks, and how it shows what it was told.

    Attributes:
        ask: gives a reading; called again and again.
        document: the reading as the object that `--json` prints.
        text: the reading as a table.
        said: the sentence that says whether it is in order.
    """

    ask: Callable[[], Awaitable[Reading]]
    document: Callable[[Reading], dict[str, Any]]
    text: Callable[[Reading], str]
    said: Callable[[Reading], str]


def run(screen: Screen[Reading], interval_seconds: float, *, is_json: bool) -> int:
    """Show the readings until interrupted."""
    with _shower(screen, is_json=is_json) as show:
        run_until_interrupted(lambda: _watch(screen, interval_seconds, show))
    return 0


async def _watch(screen: Screen[Reading], interval_seconds: float, show: Callable[[Reading], None]) -> None:
    while True:
        next_time = trio.current_time() + interval_seconds
        show(await screen.ask())
        await trio.sleep_until(next_time)


@contextlib.contextmanager
def _shower(screen: Screen[Reading], *, is_json: bool) -> Iterator[Callable[[Reading], None]]:
    if is_json:
        # One object a line.
        yield lambda reading: print(json.dumps(screen.document(reading), separators=(",", ":")), flush=True)
        return

    def show_plain(reading: Reading) -> None:
        print(f"{_text(screen, reading)}\n", flush=True)

    if sys.stdout.isatty():
        # Rich is an extra (`pip install condor-had[live]`); without it the plain form serves.
        try:
            from rich.live import Live
            from rich.text import Text
        except ImportError:
            yield show_plain
            return
        with Live(auto_refresh=False, screen=False) as live:
            yield lambda reading: live.update(Text(_text(screen, reading)), refresh=True)
        return
    yield show_plain


def _text(screen: Screen[Reading], reading: Reading) -> str:
    said = tables.printable(screen.said(reading))
    return f"{verdict.moment(time.time())}\n{screen.text(reading)}\n{said}"
