"""`hadctl`, the operator's tool: one program, one module per verb.

A module of verbs offers `add_arguments(subparsers)`, which declares its parser and sets `run` as the default, and
`run(arguments) -> int`, which returns the exit status: 0 good, 1 the pool is not in order, 2 usage or configuration.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from had.ctl import config_commands

#: What declares the verbs, in the order of the help.
COMMANDS: tuple[Callable[["argparse._SubParsersAction[argparse.ArgumentParser]"], None], ...] = (
    config_commands.add_arguments,
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    main_parser = argparse.ArgumentParser(prog="hadctl", description="Operate the high-availability daemons.")
    subparsers = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_arguments in COMMANDS:
        add_arguments(subparsers)
    return main_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = parser().parse_args(argv)
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
