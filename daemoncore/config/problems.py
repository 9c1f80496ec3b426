"""What is wrong with a configuration, and where a value came from.

Problems are collected, not raised one by one: an operator who fixes a file wants the whole list. A warning is
a problem that the daemon can live with; it is logged, and `hadctl config check` prints it.
"""

from collections.abc import Iterable

import attrs

#: Names of the sources that are not files, as condor_config_val -v prints them.
DEFAULT = "<Default>"
DETECTED = "<Detected>"
ENVIRONMENT = "<Environment>"
NOWHERE = "<Undefined>"


@attrs.frozen
class Source:
    """Where a value was set: a file with its line, or one of the pseudo sources.

    Attributes:
        name: path of the file as it was opened, the command that printed it, or a pseudo source.
        line: number of the line on which the name stands, from 1; None where lines mean nothing.
        via: the metaknob that set it, like `SECURITY:STRONG`; empty for a plain assignment.
    """

    name: str
    line: int | None = None
    via: str = ""

    def __str__(self) -> str:
        text = self.name if self.line is None else f"{self.name}, line {self.line}"
        return f"{text}, use {self.via}" if self.via else text


@attrs.frozen
class Problem:
    """One thing that is wrong: whose fault, what rule, which value.

    Printed as `had.toml: HAD_CONNECTION_TIMEOUT must be at least 0.05 seconds (got -3), line 4`.
    """

    source: Source
    message: str
    is_warning: bool = False

    def __str__(self) -> str:
        via = f" (at use {self.source.via})" if self.source.via else ""
        line = "" if self.source.line is None else f", line {self.source.line}"
        return f"{self.source.name}: {self.message}{via}{line}"


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ExpansionError(Exception):
    """A macro or a function in a value cannot be expanded; the caller knows whose value it is."""
