"""`hadctl replication status`: what every replica holds, what moves, and one sentence that says whether it is in order.

The tables go to standard output, the sentence to standard error. Exit status: 0 in order, 1 not in order, 2 no usable
configuration.
"""

import argparse
import json
import sys

from daemoncore.config import ConfigurationError
from had.ctl import replica_verdict, tables, watch
from had.ctl.configured import (
    Configured,
    json_argument,
    read_replicated,
    report_unusable,
    source_arguments,
)
from had.ctl.replica_tables import replication_text
from had.ctl.replicas import Replicas
from had.ctl.report import replicas_as_json
from had.ctl.status_command import watch_argument


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb `replication` and its one sub-verb."""
    parser = subparsers.add_parser("replication", help="show what every replica of the state holds")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    status = verbs.add_parser(
        "status",
        parents=[source_arguments()],
        help="show every replica and every transfer, and whether all is in order",
    )
    json_argument(status)
    watch_argument(status)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the verb and return its exit status."""
    try:
        configured = read_replicated(arguments)
    except ConfigurationError as error:
        return report_unusable(error)
    if arguments.watch is not None:
        return watch.run(_screen(configured), arguments.watch, is_json=arguments.json)
    replicas = configured.ask_replicas_once()
    if arguments.json:
        print(json.dumps(replicas_as_json(replicas), indent=2))
    else:
        print(replication_text(replicas), flush=True)
        print(tables.printable(_said(replicas)), file=sys.stderr, flush=True)
    return 1 if replica_verdict.problems(replicas) else 0


def _screen(configured: Configured) -> watch.Screen[Replicas]:
    caller = configured.caller()
    return watch.Screen(
        ask=lambda: configured.ask_replicas(caller),
        document=replicas_as_json,
        text=replication_text,
        said=_said,
    )


def _said(replicas: Replicas) -> str:
    return replica_verdict.sentence(replicas, replica_verdict.problems(replicas))
