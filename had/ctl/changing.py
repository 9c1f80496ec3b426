"""What all verbs that change something have in common: their options, who asks, what is said, and how they end."""

import argparse
import getpass
import socket
import sys
from collections.abc import Callable

from had.ctl import tables
from had.ctl.ask import RequestError
from had.ctl.confirmation import UnansweredError

#: How often the daemons are asked whether a change came true, in seconds.
POLL_SECONDS = 0.1
#: What a change may take beyond the times of the configuration, in seconds.
PATIENCE_SECONDS = 5.0


class PlanError(Exception):
    """The change cannot be made; `status` is the exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def change_arguments() -> argparse.ArgumentParser:
    """Return the parent parser with the options that every change of the pool takes."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; shown by status, kept in the logs")
    _add_consent(parser)
    return parser


def consent_arguments() -> argparse.ArgumentParser:
    """Return the same without `--reason`, for what nobody is shown a reason of."""
    parser = argparse.ArgumentParser(add_help=False)
    _add_consent(parser)
    return parser


def _add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def ended(work: Callable[[], int]) -> int:
    """Do the work of a verb and return its exit status; what keeps it from being done is said."""
    try:
        return work()
    except PlanError as error:
        say(str(error))
        return error.status
    except UnansweredError as error:
        say(str(error))
        return 2
    except RequestError as error:
        say(str(error))
        return 1


def operator_name() -> str:
    """Say who asks, as the daemons' logs will have it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def say(text: str) -> None:
    """Tell the operator something."""
    print(f"hadctl: {tables.printable(text)}", file=sys.stderr, flush=True)
