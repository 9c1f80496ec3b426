"""`had-replication`: the command line of the replication daemon.

It takes DaemonCore's arguments, so that `REPLICATION = <path of had-replication>` in a real pool works as it stands, and
runs in the foreground. Exit status: docs/reference/exit-status.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from daemoncore import command_line
from daemoncore.early_signals import EarlySignals
from daemoncore.startup import Options
from replication.daemon import Daemon
from replication.loading import SUBSYSTEM, Loaded, load


async def _serve(
    loaded: Loaded, options: Options, environment: Mapping[str, str], early_signals: EarlySignals
) -> None:
    await Daemon(loaded, options, environment, early_signals).run()


PROGRAM: command_line.Program[Loaded] = command_line.Program(
    "had-replication", SUBSYSTEM, "Keep the controllee's state alike on all members.", load, _serve
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon and return its exit status."""
    return command_line.main(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
