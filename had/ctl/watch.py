"""`hadctl status --watch`: the table again and again.

On a terminal with rich installed the table stays in its place and only changes; elsewhere each reading is printed below
the one before, with its time. Ctrl-C ends it quietly, and the exit status is 0: whoever watches has seen it.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator

import trio

from had.ctl import tables, verdict
from had.ctl.configured import Configured
from had.ctl.interruption import run_until_interrupted
from had.ctl.pool import Pool
from had.ctl.report import as_json

Show = Callable[[Pool], None]


def run(configured: Configured, interval_seconds: float, *, is_json: bool) -> int:
    """Show the pool until interrupted."""
    with _shower(is_json=is_json) as show:
        run_until_interrupted(lambda: _watch(configured, interval_seconds, show))
    return 0


async def _watch(configured: Configured, interval_seconds: float, show: Show) -> None:
    caller = configured.caller()
    while True:
        next_time = trio.current_time() + interval_seconds
        show(await configured.ask(caller))
        await trio.sleep_until(next_time)


@contextlib.contextmanager
def _shower(*, is_json: bool) -> Iterator[Show]:
    if is_json:
        yield _show_json
        return
    if sys.stdout.isatty():
        # Rich is an extra (`pip install condor-had[live]`); without it the plain form serves.
        try:
            from rich.live import Live
            from rich.text import Text
        except ImportError:
            yield _show_plain
            return
        with Live(auto_refresh=False, screen=False) as live:
            yield lambda pool: live.update(Text(_text(pool)), refresh=True)
        return
    yield _show_plain


def _show_json(pool: Pool) -> None:
    """One object a line."""
    print(json.dumps(as_json(pool, verdict.problems(pool)), separators=(",", ":")), flush=True)


def _show_plain(pool: Pool) -> None:
    print(f"{_text(pool)}\n", flush=True)


def _text(pool: Pool) -> str:
    table = tables.render(tables.STATUS_COLUMNS, tables.status_rows(pool))
    said = tables.printable(verdict.sentence(pool, verdict.problems(pool)))
    return f"{verdict.moment(time.time())}\n{table}\n{said}"
