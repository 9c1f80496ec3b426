"""A controllee with a state: it counts on from what HAD_STATE_FILE says, every 10 ms, and bears witness like its sister.

    ledger_controllee.py FILE [SECONDS [VALUES]]

It appends the lines of `witness_controllee.py` to FILE, and `word pid epoch value state` to FILE.counts: `begin` with
the value that it found and HAD_STATE, `count` after each value that it wrote, `end` when it gets SIGTERM. The state is an
Accountant's log, one transaction a value, written in one go as HTCondor's negotiator does; what is counted is the usage
of one customer, so that diverged counts can be merged. Each is synced if FILE.sync exists. SECONDS are in place of the
10 ms. After so many VALUES the log is written anew with what it comes to, as HTCondor's are, so that it does not grow.
Standard library and `-I -S` only.
"""

import os
import signal
import sys
import time

COUNT_SECONDS = 0.01
HEAD = (
    b"107 1 CreationTimestamp 1700000000\n101 Accountant. * *\n103 Accountant. LastUpdateTime 1700000000\n"
    b"101 Customer.counter@test * *\n103 Customer.counter@test Priority 0.500000\n"
)
VALUE = b"103 Customer.counter@test AccumulatedUsage "
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT


def last_value(path):
    """Return the last value in a log, 0 if there is none."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- pathlib would double the time to start
            lines = file.read().splitlines()
    except FileNotFoundError:
        return 0
    values = [line.split()[3] for line in lines if line.startswith(VALUE)]
    return int(float(values[-1])) if values else 0


def write_anew(state, value):
    """Replace a log by one that holds the value alone; return a descriptor of it."""
    log = os.open(f"{state}.tmp", FLAGS | os.O_TRUNC, 0o600)
    os.write(log, HEAD + b"%b%d.000000\n" % (VALUE, value))
    os.fsync(log)
    os.rename(f"{state}.tmp", state)  # noqa: PTH104 -- as above
    return log


def main():
    """Count until SIGTERM."""
    pause_seconds = float(sys.argv[2]) if len(sys.argv) > 2 else COUNT_SECONDS
    values_of_a_log = int(sys.argv[3]) if len(sys.argv) > 3 else sys.maxsize
    path, state = sys.argv[1], os.environ["HAD_STATE_FILE"]
    pid, epoch = os.getpid(), os.environ.get("HAD_EPOCH", "0")
    lives, counts = os.open(path, FLAGS, 0o644), os.open(f"{path}.counts", FLAGS, 0o644)

    def say(word):
        os.write(lives, f"{word} {pid} {epoch} {time.clock_gettime(time.CLOCK_BOOTTIME):.6f}\n".encode())

    def tell(word, value):
        os.write(counts, f"{word} {pid} {epoch} {value} {os.environ.get('HAD_STATE', '-')}\n".encode())

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    say("start")
    value = last_value(state)
    tell("begin", value)
    log = os.open(state, FLAGS, 0o600)
    if os.fstat(log).st_size == 0:
        os.write(log, HEAD)
    while True:
        value += 1
        os.write(log, b"105 \n%b%d.000000\n106 \n" % (VALUE, value))
        if os.path.exists(f"{path}.sync"):  # noqa: PTH110 -- as above
            os.fdatasync(log)
        tell("count", value)
        if value % values_of_a_log == 0:
            os.close(log)
            log = write_anew(state, value)
        if signal.sigtimedwait({signal.SIGTERM}, pause_seconds) is not None:
            break
        say("beat")
    tell("end", value)
    say("stop")
    return 0


if __name__ == "__main__":
    sys.exit(main())
