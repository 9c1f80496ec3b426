"""A controllee that bears witness: it writes down when it lived, so that a test can prove overlaps and gaps.

    witness_controllee.py FILE

It appends lines `word pid epoch seconds`, seconds on CLOCK_BOOTTIME, which all processes of a machine share: `start` as its
first act, `beat` every 5 ms, `stop` when it gets SIGTERM (or SIGQUIT, from condor_master), after which it ends with status 0. When FILE.broken exists it
ends with status 1 instead of beating. Standard library and `-I -S` only: it starts in about 11 ms.
"""

import os
import signal
import sys
import time

BEAT_SECONDS = 0.005


def main():
    """Live until SIGTERM or SIGQUIT."""
    path, pid, epoch = sys.argv[1], os.getpid(), os.environ.get("HAD_EPOCH", "0")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def say(word):
        os.write(descriptor, f"{word} {pid} {epoch} {time.clock_gettime(time.CLOCK_BOOTTIME):.6f}\n".encode())

    say("start")
    if os.path.exists(path + ".broken"):  # noqa: PTH110 -- pathlib would double the time to start
        return 1
    ends = {signal.SIGTERM, signal.SIGQUIT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    while signal.sigtimedwait(ends, BEAT_SECONDS) is None:
        say("beat")
    say("stop")
    return 0


if __name__ == "__main__":
    sys.exit(main())
