"""`hadctl history` and `hadctl events`: what happened in the pool, and what happens now.

`history` merges the transitions that all members remember. `events` asks again and again and prints what
changed, until Ctrl-C, which is its normal end. Exit status of `history`: 0, or 1 when a member could not be asked, since
its part is then missing; 2 no usable configuration.
"""

import argparse
import json
import sys

from daemoncore.config import ConfigurationError
from had.ctl import changes, following, report
from had.ctl.configured import json_argument, read_configured, report_unusable, source_arguments
from had.ctl.pool import Pool

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
    following.following_arguments(events)
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
        following.print_lines(found, is_json=False)
    for entry in _missing(pool):
        print(f"hadctl: {entry} could not be asked; its transitions are missing", file=sys.stderr)
    return 1 if _missing(pool) else 0


def run_events(arguments: argparse.Namespace) -> int:
    """Print what happens until interrupted."""
    return following.run(arguments, changes.between)


def _missing(pool: Pool) -> list[str]:
    return [entry for entry in pool.everyone if entry not in pool.statuses and not pool.is_condor(entry)]


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number above 0 (got {text})")
