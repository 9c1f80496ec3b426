"""A guard reduced to its ward: starts a controllee, freezes it, orders its stop, and prints what became of it.

A process of its own, since a ward kills whatever descends from the process that it lives in. Arguments: a file for the
controllee, and how many seconds after the present the order comes, the lease being an hour long.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from daemoncore import boottime
from had.guard_messages import Cause, Start
from had.ward import Ward

TELLS_OF_ITS_END = """
import pathlib, signal, sys, time
file = pathlib.Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: (file.write_text("told"), sys.exit(0)))
file.write_text("ready")
time.sleep(600)
"""


def main():
    """Tell the story."""
    file, late_seconds = Path(sys.argv[1]), float(sys.argv[2])
    now, reports = boottime.now(), []
    argv = (sys.executable, "-I", "-S", "-c", TELLS_OF_ITS_END, str(file))
    ward = Ward(Start(argv, tuple(os.environ.items()), "", now + 2400, now + 3600), reports.append)
    end = time.monotonic() + 20
    while not (file.exists() and file.read_text() == "ready"):
        assert time.monotonic() < end, "the controllee did not begin"
        time.sleep(0.002)
    ward.read_exec_report()
    os.kill(ward.main, signal.SIGSTOP)
    ward.stop(Cause.ASKED, 10.0, now + late_seconds)
    _, status = os.waitpid(ward.main, 0)
    ward.reaped(ward.main, status, boottime.now())
    ward.all_gone()
    print(json.dumps({"status": status, "reports": [type(report).__name__ for report in reports]}))


if __name__ == "__main__":
    main()
