"""The controllee of a fire: the demo's negotiator, with a record of its own of all that it wrote and when it lived.

    scribe.py FILE

It runs the demo's cycles (`sample-configs/demo`: Fence, Accountant, ClassAdLog) on HAD_STATE_FILE, each one durable
transaction under the epoch that the fence names. Besides, each transaction says in the state how many were committed
under which epoch: `Written257 43`. So a state tells for each epoch up to which write it holds them all.

To FILE, which is on no disk that the fire touches, it appends the lines of `witness_controllee.py`; to FILE.writes
`begin pid epoch - seconds` and, after each commit, `write pid epoch number seconds`, synced. While FILE.quiet exists it
writes nothing to the state. When the state cannot be written it ends with status 1.
"""

import os
import signal
import sys
import time

BEAT_SECONDS = 0.005
CYCLE_SECONDS = 0.05
#: Small, so that the log is often rewritten, under a new inode.
MAXIMUM_BYTES = 40_000
DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../sample-configs/demo")  # noqa: PTH100, PTH118, PTH120 -- pathlib would double the time to start
SCRIBE = "Customer.scribe@test"


def now():
    """Return the time (CLOCK_BOOTTIME)."""
    return f"{time.clock_gettime(time.CLOCK_BOOTTIME):.6f}"


class Record:
    """What it tells the test."""

    def __init__(self, path):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._lives = os.open(path, flags, 0o644)
        self._writes = os.open(f"{path}.writes", flags, 0o644)
        self._pid, self._epoch = os.getpid(), os.environ.get("HAD_EPOCH", "0")

    def live(self, word):
        """Say that it lives."""
        os.write(self._lives, f"{word} {self._pid} {self._epoch} {now()}\n".encode())

    def tell(self, word, epoch, number):
        """Say what is durable."""
        os.write(self._writes, f"{word} {self._pid} {epoch} {number} {now()}\n".encode())
        os.fdatasync(self._writes)


def write(path, record):
    """Run cycles until SIGTERM; return the exit status."""
    sys.path.insert(0, DEMO)
    from pathlib import Path

    from accountant import Accountant
    from classad_log import ClassAdLog
    from negotiator import Dice, Fence, Pool

    fence = Fence(int(os.environ["HAD_EPOCH"]), Path(os.environ["HAD_EPOCH_FILE"]))
    fence.check()
    log = ClassAdLog(Path(os.environ["HAD_STATE_FILE"]), int(time.time()), MAXIMUM_BYTES)
    pool = Pool(Accountant(log), Dice(1))
    record.tell("begin", fence.epoch, "-")
    quiet, due = f"{path}.quiet", 0.0
    while signal.sigtimedwait({signal.SIGTERM}, BEAT_SECONDS) is None:
        record.live("beat")
        if time.monotonic() < due or os.path.exists(quiet):  # noqa: PTH110 -- as above
            continue
        due = time.monotonic() + CYCLE_SECONDS
        pool.cycle(int(time.time()))
        fence.check()
        name = f"Written{fence.epoch}"
        number = int(log.ads.get(SCRIBE, {}).get(name, "0")) + 1
        log.set(SCRIBE, name, str(number))
        log.commit(f"epoch={fence.epoch} number={number}")
        record.tell("write", fence.epoch, number)
    return 0


def main():
    """Live until SIGTERM."""
    path = sys.argv[1]
    record = Record(path)
    record.live("start")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        status = write(path, record)
    except Exception as problem:  # noqa: BLE001 -- a full disk, a fence; the checker knows what may be
        print(f"scribe: {type(problem).__name__}: {problem}", file=sys.stderr)
        status = 1
    record.live("stop")
    return status


if __name__ == "__main__":
    sys.exit(main())
