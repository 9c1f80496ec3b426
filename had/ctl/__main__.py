"""`hadctl`, the operator's tool: one program, one module per verb.

A module of verbs offers `add_arguments(subparsers)`, which declares its parser and sets `run` as the default, and
`run(arguments) -> int`, which returns the exit status: 0 good, 1 the pool is not in order, 2 usage or configuration.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from daemoncore.version import VERSION
from had.ctl import (
    change_commands,
    check_command,
    config_commands,
    conflicts_commands,
    explain_command,
    follow_command,
    history_commands,
    keys_commands,
    leader_command,
    replication_command,
    status_command,
)
from had.ctl.demo import command as demo_command

#: What declares the verbs, in the order of the help.
COMMANDS: tuple[Callable[["argparse._SubParsersAction[argparse.ArgumentParser]"], None], ...] = (
    status_command.add_arguments,
    leader_command.add_arguments,
    history_commands.add_arguments,
    follow_command.add_arguments,
    explain_command.add_arguments,
    check_command.add_arguments,
    change_commands.add_arguments,
    replication_command.add_arguments,
    conflicts_commands.add_arguments,
    keys_commands.add_arguments,
    config_commands.add_arguments,
    demo_command.add_arguments,
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    main_parser = argparse.ArgumentParser(prog="hadctl", description="Operate the high-availability daemons.")
    main_parser.add_argument("--version", action="version", version=f"hadctl {VERSION}")
    subparsers = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_arguments in COMMANDS:
        add_arguments(subparsers)
    return main_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BaseException as error:
        ending = _ending(error)
        if ending is None:
            raise
        return ending
    return status


def _ending(error: BaseException) -> int | None:
    """Return the exit status of an ending that is nobody's fault; None for an error."""
    if isinstance(error, BaseExceptionGroup):
        endings = {_ending(one) for one in error.exceptions}
        return endings.pop() if len(endings) == 1 else None
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has seen enough (`hadctl history | head`). What is still in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    # The shells' custom for a program that Ctrl-C ended.
    return 130 if isinstance(error, KeyboardInterrupt) else None


if __name__ == "__main__":
    sys.exit(main())
