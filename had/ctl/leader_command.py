"""`hadctl leader`: the entry of the member that leads, for scripts.

Exit status: 0 there is one and everybody who answers follows it, 1 there is none or they disagree, 2 no usable
configuration. Whether its controllee runs is `hadctl status`'s business, and in `--json`.
"""

import argparse
import json
import sys

from daemoncore.config import ConfigurationError
from had.ctl import report, tables, verdict
from had.ctl.configured import json_argument, read_configured, report_unusable, source_arguments


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "leader", parents=[source_arguments()], help="print the entry of the member that leads"
    )
    json_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the verb and return its exit status."""
    try:
        configured = read_configured(arguments)
    except ConfigurationError as error:
        return report_unusable(error)
    pool = configured.ask_once()
    leader = pool.leader
    if arguments.json:
        status = pool.statuses.get(leader) if leader is not None else None
        document = {
            "schema": report.SCHEMA,
            "leader": leader,
            "leaders": list(pool.leaders),
            "epoch": status.epoch if status is not None else None,
            "is_running": verdict.is_led(status) if status is not None else None,
        }
        print(json.dumps(document, indent=2))
    elif leader is not None:
        print(leader)
    if leader is None:
        # The first problem is why: leadership comes first among them.
        print(f"hadctl: {tables.printable(verdict.problems(pool)[0])}", file=sys.stderr)
    return 0 if leader is not None else 1
