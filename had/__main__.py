"""`had`: the command line of the election daemon. It takes DaemonCore's arguments (`daemoncore.command_line`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from daemoncore import command_line
from daemoncore.early_signals import EarlySignals
from daemoncore.startup import Options
from had.daemon import Daemon
from had.loading import Loaded, load


async def serve(
    loaded: Loaded, options: Options, environment: Mapping[str, str], early_signals: EarlySignals
) -> None:
    """Be the daemon."""
    await Daemon(loaded, options, environment, early_signals).run()


PROGRAM = command_line.Program(
    name="had",
    subsystem="HAD",
    description="Elect one of the members of HAD_LIST, and run the one controllee there.",
    load=load,
    serve=serve,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon and return its exit status."""
    return command_line.main(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
