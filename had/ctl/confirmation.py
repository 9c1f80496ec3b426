"""Asks the operator before something is changed: `--yes` answers, and without a terminal nothing is assumed."""

import sys


class UnansweredError(Exception):
    """There is nobody to ask and `--yes` was not given."""


def is_confirmed(question: str, *, is_yes: bool) -> bool:
    """Return whether the operator wants it.

    Raises:
        UnansweredError: standard input is no terminal.
    """
    if is_yes:
        return True
    if not sys.stdin.isatty():
        raise UnansweredError(
            "nobody is there to ask: standard input is no terminal; --yes says yes beforehand"
        )
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
