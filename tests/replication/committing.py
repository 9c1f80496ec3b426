"""Commits in processes of their own, each to be killed at one of its system calls (test_pair_killed).

This program starts once and imports everything; then, for every line that it reads, it forks. The child says its pid,
waits for SIGUSR1, by which time strace is attached to it, and commits. The parent says how the child ended.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

from replication.journal import decode_held
from replication.pair import Pair
from replication.places import Places

#: From linux/prctl.h: whoever wants to may trace this process, though it is no child of his.
PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)


def commit(root, number, is_folder, names, starts, held):
    """Commit what is staged under `number`."""
    paths = tuple(root / "state" / name for name in names)
    pair = Pair(Places(paths, is_folder, root / "spool" / "Version", root / "had"))
    pair._held = decode_held((root / "had" / "version.json").read_bytes())
    pair.commit(number, held, starts, is_controllee_running=lambda: False)


def main():
    """Serve until the input ends."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    while True:
        root, number, kind, names, starts = sys.stdin.readline().split() or sys.exit(0)
        root = Path(root)
        held = decode_held((root / "held").read_bytes())
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
            os.write(1, f"{os.getpid()}\n".encode())
            signal.sigwait({signal.SIGUSR1})
            starts = json.loads(starts)
            commit(root, int(number), kind == "folder", names.split(","), starts, held)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(1, f"{status}\n".encode())


if __name__ == "__main__":
    main()
