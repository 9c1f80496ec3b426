"""`hadctl explain`: why each member does, or does not, lead, and what it thinks of the others.

Exit status: 0 the pool is in order, 1 it is not, 2 no usable configuration or no such member.
"""

import argparse
import json
import sys

from daemoncore.config import ConfigurationError
from had.ctl import report, tables, verdict
from had.ctl.configured import json_argument, read_configured, report_unusable, source_arguments
from had.ctl.explanation import Explanation, explain
from had.ctl.naming import NamingError, entry_named


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "explain", parents=[source_arguments()], help="say why each member does, or does not, lead"
    )
    parser.add_argument("node", nargs="?", metavar="NODE", help="only this member: its entry or its host")
    json_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the verb and return its exit status."""
    try:
        configured = read_configured(arguments)
    except ConfigurationError as error:
        return report_unusable(error)
    pool = configured.ask_once()
    explanations = explain(pool)
    if arguments.node is not None:
        try:
            wanted = entry_named(arguments.node, pool.everyone)
        except NamingError as error:
            print(f"hadctl: {error}", file=sys.stderr)
            return 2
        explanations = [one for one in explanations if one.node == wanted]
    found = verdict.problems(pool)
    if arguments.json:
        members = {one.node: {"headline": one.headline, "because": one.sentences} for one in explanations}
        document = {"schema": report.SCHEMA, "in_order": not found, "problems": found, "members": members}
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(tables.printable(line) for one in explanations for line in _lines(one)), flush=True)
        print(tables.printable(verdict.sentence(pool, found)), file=sys.stderr)
    return 1 if found else 0


def _lines(explanation: Explanation) -> list[str]:
    return [f"{explanation.headline}.", *(f"  {_capital(text)}." for text in explanation.sentences)]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
