"""`had`: the command line of the election daemon.

It takes DaemonCore's arguments, so that `HAD = <path of had>` in a real pool works as it stands, and runs in the
foreground. Exit status: docs/reference/exit-status.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

import trio

from daemoncore.config import ConfigurationError
from daemoncore.early_signals import EarlySignals
from daemoncore.process import open_standard_files
from daemoncore.startup import Options, StartError
from daemoncore.version import VERSION
from had.daemon import Daemon
from had.loading import load

ASKED_TO_STOP = 0
FAILED = 1
CONFIGURATION_REFUSED = 2


def parser() -> argparse.ArgumentParser:
    """Make the parser: DaemonCore's arguments and our own."""
    made = argparse.ArgumentParser(
        prog="had",
        description="Elect one of the members of HAD_LIST, and run the one controllee there.",
        allow_abbrev=False,
    )
    made.add_argument("-f", action="store_true", help="run in the foreground, as it always does")
    made.add_argument("-t", dest="is_terminal", action="store_true", help="log to standard error")
    made.add_argument(
        "-p", dest="port", type=int, metavar="PORT", help="the port to listen on, if several fit"
    )
    made.add_argument("-sock", metavar="NAME", help="accepted; a shared port is not used in this version")
    made.add_argument(
        "-local-name", "--local-name", metavar="NAME", help="prefix of settings for this instance"
    )
    made.add_argument("-c", "--config", metavar="FILE", help="configuration file instead of the usual places")
    made.add_argument(
        "--check", action="store_true", help="check the configuration, print every problem, exit"
    )
    made.add_argument("--version", action="version", version=f"had {VERSION} (condor-had)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon and return its exit status."""
    open_standard_files()
    early_signals = EarlySignals(ASKED_TO_STOP)
    early_signals.install()
    # A child of condor_master starts with all signals blocked.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    arguments = parser().parse_args(argv)
    options = Options(arguments.config, arguments.local_name, arguments.port, arguments.is_terminal)
    environment = dict(os.environ)
    try:
        loaded = load(options, environment)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- there is no log yet
        return CONFIGURATION_REFUSED
    if arguments.check:
        for warning in loaded.settings.warnings:
            print(f"warning: {warning}", file=sys.stderr)  # noqa: T201 -- the answer to --check
        print(f"{loaded.settings.me.entry}: the configuration is in order")  # noqa: T201 -- likewise
        return ASKED_TO_STOP
    failures: list[BaseException] = []
    early_signals.begin()
    try:
        trio.run(Daemon(loaded, options, environment, early_signals).run)
    except* StartError as group:
        failures += group.exceptions
    for failure in failures:
        print(f"had: {failure}", file=sys.stderr)  # noqa: T201 -- the log may be what failed
    return FAILED if failures else ASKED_TO_STOP


if __name__ == "__main__":
    sys.exit(main())
