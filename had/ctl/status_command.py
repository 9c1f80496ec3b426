"""`hadctl status`: the pool in one table, and one sentence that says whether it is in order.

The table goes to standard output, the sentence to standard error, so that a script can take the one and a person sees
both. Exit status: 0 in order, 1 not in order, 2 no usable configuration.
"""

import argparse
import json
import sys

from daemoncore.config import ConfigurationError
from had.ctl import tables, verdict, watch
from had.ctl.configured import (
    Configured,
    json_argument,
    read_configured,
    report_unusable,
    seconds_argument,
    source_arguments,
)
from had.ctl.pool import Pool
from had.ctl.report import as_json

#: How often `--watch` asks, in seconds.
WATCH_SECONDS = 1.0


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "status", parents=[source_arguments()], help="show every member, and whether the pool is in order"
    )
    json_argument(parser)
    watch_argument(parser)
    parser.set_defaults(run=run)


def watch_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--watch`."""
    parser.add_argument(
        "--watch",
        nargs="?",
        type=seconds_argument,
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help="show it again and again, each second or as often as told, until Ctrl-C",
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out the verb and return its exit status."""
    try:
        configured = read_configured(arguments)
    except ConfigurationError as error:
        return report_unusable(error)
    if arguments.watch is not None:
        return watch.run(_screen(configured), arguments.watch, is_json=arguments.json)
    pool = configured.ask_all_once()
    found = verdict.problems(pool)
    if arguments.json:
        print(json.dumps(as_json(pool, found), indent=2))
    else:
        show(pool, found)
    return 1 if found else 0


def _screen(configured: Configured) -> watch.Screen[Pool]:
    caller = configured.caller()
    return watch.Screen(
        ask=lambda: configured.ask_all(caller),
        document=lambda pool: as_json(pool, verdict.problems(pool)),
        text=tables.status_text,
        said=lambda pool: verdict.sentence(pool, verdict.problems(pool)),
    )


def show(pool: Pool, found: list[str]) -> None:
    """Print the table and the sentence."""
    print(tables.status_text(pool), flush=True)
    print(tables.printable(verdict.sentence(pool, found)), file=sys.stderr, flush=True)
