"""`hadctl history` and `hadctl events`: what happened in the pool, and what happens now.

`history` merges the transitions that all members remember. `events` asks again and again and prints what
changed, until Ctrl-C, which is its normal end. Exit status of `history`: 0, or 1 when a member could not be asked, since
its part is then missing; 2 no usable configuration.
"""

import argparse
import json
import sys

import trio

from daemoncore.config import ConfigurationError
from had.ctl import changes, report, tables
from had.ctl.configured import (
    Configured,
    json_argument,
    read_configured,
    report_unusable,
    seconds_argument,
    source_arguments,
)
from had.ctl.interruption import run_until_interrupted
from had.ctl.pool import Pool

#: How often `events` asks, in seconds.
INTERVAL_SECONDS = 0.5
#: How many transitions `history` prints.
COUNT = 20


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare both verbs."""
    history = subparsers.add_parser(
        "history", parents=[source_arguments()], help="show the last transitions of all members, merged"
    )
    history.add_argument(
        "-n", "--count", type=_count, default=COUNT, metavar="COUNT", help=f"how many (default: {COUNT})"
    )
    json_argument(history)
    history.set_defaults(run=run_history)
    events = subparsers.add_parser(
        "events", parents=[source_arguments()], help="print what happens in the pool, as it happens"
    )
    events.add_argument(
        "--interval",
        type=seconds_argument,
        default=INTERVAL_SECONDS,
        metavar="SECONDS",
        help=f"how often the members are asked (default: {INTERVAL_SECONDS:g})",
    )
    json_argument(events)
    events.set_defaults(run=run_events)


def run_history(arguments: argparse.Namespace) -> int:
    """Print the past and return the exit status."""
    try:
        configured = read_configured(arguments)
    except ConfigurationError as error:
        return report_unusable(error)
    pool = configured.ask_once()
    found = changes.transitions(pool)[-arguments.count :]
    if arguments.json:
        shown = [one.to_json() for one in found]
        print(
            json.dumps({"schema": report.SCHEMA, "transitions": shown, "missing": _missing(pool)}, indent=2)
        )
    else:
        _print_lines(found, is_json=False)
    for entry in _missing(pool):
        print(f"hadctl: {entry} could not be asked; its transitions are missing", file=sys.stderr)
    return 1 if _missing(pool) else 0


def run_events(arguments: argparse.Namespace) -> int:
    """Print what happens until interrupted."""
    try:
        configured = read_configured(arguments)
    except ConfigurationError as error:
        return report_unusable(error)
    run_until_interrupted(lambda: _follow(configured, arguments.interval, is_json=arguments.json))
    return 0


async def _follow(configured: Configured, interval_seconds: float, *, is_json: bool) -> None:
    caller = configured.caller()
    before = await configured.ask(caller)
    said = f"{before.leader} leads" if before.leader else "there is no leader that all agree on"
    print(f"hadctl: {said}; waiting for events (Ctrl-C ends)", file=sys.stderr, flush=True)
    while True:
        next_time = trio.current_time() + interval_seconds
        await trio.sleep_until(next_time)
        after = await configured.ask(caller)
        _print_lines(changes.between(before, after), is_json=is_json)
        before = after


def _print_lines(found: list[changes.Happening], *, is_json: bool) -> None:
    for one in found:
        text = json.dumps(one.to_json(), separators=(",", ":")) if is_json else tables.printable(one.line())
        print(text, flush=True)


def _missing(pool: Pool) -> list[str]:
    return [entry for entry in pool.everyone if entry not in pool.statuses and not pool.is_condor(entry)]


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number above 0 (got {text})")
