"""The command line of a daemon: DaemonCore's arguments and our own, and the exit statuses.

A daemon takes what condor_master passes on, so that its path in a real pool's configuration works as it stands, and
runs in the foreground. Exit status: docs/reference/exit-status.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import attrs
import trio

from daemoncore.config import ConfigurationError, Problem
from daemoncore.early_signals import EarlySignals
from daemoncore.inheritance import InheritanceError, read_inheritance
from daemoncore.last_words import write_last_words
from daemoncore.process import open_standard_files
from daemoncore.startup import Options, StartError
from daemoncore.version import VERSION

ASKED_TO_STOP: Final = 0
FAILED: Final = 1
CONFIGURATION_REFUSED: Final = 2


class Usable(Protocol):
    """A configuration that a daemon can use."""

    @property
    def entry(self) -> str:
        """This node's own entry."""

    @property
    def warnings(self) -> Sequence[Problem]:
        """What was odd and can be lived with."""


Loaded = TypeVar("Loaded", bound=Usable)


@attrs.frozen
class Program(Generic[Loaded]):
    """A daemon, as its command line knows it.

    Attributes:
        name: what it is called.
        subsystem: what HTCondor calls it, `HAD` or `REPLICATION`.
        description: one sentence for `--help`.
        load: reads the configuration; raises ConfigurationError.
        serve: is the daemon; raises StartError.
    """

    name: str
    subsystem: str
    description: str
    load: Callable[[Options, Mapping[str, str]], Loaded]
    serve: Callable[[Loaded, Options, Mapping[str, str], EarlySignals], Awaitable[None]]


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """Make the parser: DaemonCore's arguments and our own."""
    made = argparse.ArgumentParser(prog=program, description=description, allow_abbrev=False)
    made.add_argument("-f", action="store_true", help="run in the foreground, as it always does")
    made.add_argument("-t", dest="is_terminal", action="store_true", help="log to standard error")
    made.add_argument(
        "-p", dest="port", type=int, metavar="PORT", help="the port to listen on, if several fit"
    )
    made.add_argument("-sock", metavar="NAME", help="our name behind a shared port")
    made.add_argument(
        "-local-name", "--local-name", metavar="NAME", help="prefix of settings for this instance"
    )
    made.add_argument("-c", "--config", metavar="FILE", help="configuration file instead of the usual places")
    made.add_argument(
        "--check", action="store_true", help="check the configuration, print every problem, exit"
    )
    made.add_argument("--version", action="version", version=f"{program} {VERSION} (condor-had)")
    return made


def main(program: Program[Loaded], argv: Sequence[str] | None = None) -> int:
    """Run a daemon and return its exit status."""
    open_standard_files()
    early_signals = EarlySignals(ASKED_TO_STOP)
    early_signals.install()
    # A child of condor_master starts with all signals blocked.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    arguments = parser(program.name, program.description).parse_args(argv)
    environment = dict(os.environ)
    options = _options(arguments)
    try:
        options = options if arguments.check else _with_inheritance(options, environment)
        loaded = program.load(options, environment)
    except (ConfigurationError, InheritanceError) as error:
        _complain(str(error))
        if not arguments.check:
            write_last_words(program.subsystem, options, environment, str(error).splitlines())
        return CONFIGURATION_REFUSED
    if arguments.check:
        for warning in loaded.warnings:
            _complain(f"warning: {warning}")
        print(f"{loaded.entry}: the configuration is in order")  # noqa: T201 -- the answer to --check
        return ASKED_TO_STOP
    failures: list[BaseException] = []
    early_signals.begin()
    try:
        trio.run(program.serve, loaded, options, environment, early_signals)
    except* StartError as group:
        failures += group.exceptions
    for failure in failures:
        _complain(f"{program.name}: {failure}")
    return FAILED if failures else ASKED_TO_STOP


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        arguments.config, arguments.local_name, arguments.port, arguments.is_terminal, arguments.sock
    )


def _with_inheritance(options: Options, environment: Mapping[str, str]) -> Options:
    """Take over what condor_master hands down."""
    inheritance = read_inheritance(environment)
    if inheritance is not None:
        inheritance.keep_from_children()
    return attrs.evolve(options, inheritance=inheritance)


def _complain(text: str) -> None:
    """Say it where it is seen: there is no log yet, or the log may be what failed."""
    print(text, file=sys.stderr)  # noqa: T201 -- see above
