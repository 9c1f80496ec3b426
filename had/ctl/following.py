"""Asks the pool again and again and prints what changed, until Ctrl-C: what `hadctl events` and `hadctl follow` share."""

import argparse
import json
import sys
from collections.abc import Awaitable, Callable

import trio

from daemoncore.config import ConfigurationError
from had.ctl import tables
from had.ctl.changes import Happening
from had.ctl.configured import json_argument, read_configured, report_unusable, seconds_argument
from had.ctl.interruption import run_until_interrupted
from had.ctl.pool import Pool

#: How often the members are asked, in seconds.
INTERVAL_SECONDS = 0.5

#: Says what happened between two readings, the newest last.
Compare = Callable[[Pool, Pool], list[Happening]]


def following_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a verb that follows."""
    parser.add_argument(
        "--interval",
        type=seconds_argument,
        default=INTERVAL_SECONDS,
        metavar="SECONDS",
        help=f"how often the members are asked (default: {INTERVAL_SECONDS:g})",
    )
    json_argument(parser)


def run(arguments: argparse.Namespace, compare: Compare, *, with_replicas: bool = False) -> int:
    """Print what happens until interrupted, and return the exit status.

    Args:
        arguments: of the command line.
        compare: finds what happened.
        with_replicas: ask the replication daemons too, if there are any.
    """
    try:
        configured = read_configured(arguments)
    except ConfigurationError as error:
        return report_unusable(error)
    caller = configured.caller()

    async def ask() -> Pool:
        return await (configured.ask_all(caller) if with_replicas else configured.ask(caller))

    run_until_interrupted(lambda: follow(ask, arguments.interval, compare, is_json=arguments.json))
    return 0


async def follow(
    ask: Callable[[], Awaitable[Pool]], interval_seconds: float, compare: Compare, *, is_json: bool
) -> None:
    """Print what happens, for ever."""
    before = await ask()
    said = f"{before.leader} leads" if before.leader else "there is no leader that all agree on"
    print(f"hadctl: {said}; waiting for events (Ctrl-C ends)", file=sys.stderr, flush=True)
    while True:
        next_time = trio.current_time() + interval_seconds
        await trio.sleep_until(next_time)
        after = await ask()
        print_lines(compare(before, after), is_json=is_json)
        before = after


def print_lines(found: list[Happening], *, is_json: bool) -> None:
    """Print one line for each happening."""
    for one in found:
        text = json.dumps(one.to_json(), separators=(",", ":")) if is_json else tables.printable(one.line())
        print(text, flush=True)
