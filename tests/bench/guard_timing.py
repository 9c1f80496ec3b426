"""How fast the guard is: prints n, median and maximum, in milliseconds, of start, death of the daemon, and stop.

Run as `python tests/bench/guard_timing.py [n]` on an otherwise idle machine. The controllee is a shell whose log is a
pipe, so its first output is seen at once; *dead* means that no process of the controllee's family lives.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from daemoncore import boottime  # noqa: E402  the repository's root must be on the path first
from had.controllee import GuardedControllee, Program  # noqa: E402  the same
from tests.had.living import FAMILY, environment, living, new_mark, seconds_until_gone, shell  # noqa: E402  the same

FIRST_INSTRUCTION = "echo begun; exec sleep 600"


def show(name, seconds):
    """Print one line of the result."""
    milliseconds = [1000 * value for value in seconds]
    median, maximum = statistics.median(milliseconds), max(milliseconds)
    print(f"{name:45} n={len(seconds):3}  median {median:7.2f} ms  max {maximum:7.2f} ms")


async def measure_start_and_stop(count):
    """From the order to the program's first output, to the daemon's knowledge of it, and from a stop to its end."""
    first, known, gone = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        fifo = Path(folder, "fifo")
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        send, receive = trio.open_memory_channel(10)
        controllee = GuardedControllee(Program(shell(FIRST_INSTRUCTION), str(fifo)), send.send_nowait, 1.0)
        async with trio.open_nursery() as nursery:
            await nursery.start(controllee.run)
            await trio.sleep(0.2)
            for _ in range(count):
                controllee.renew(boottime.now() + 60)
                began = boottime.now()
                controllee.start(environment(new_mark()))
                await receive.receive()
                known.append(boottime.now() - began)
                await trio.lowlevel.wait_readable(reader)
                first.append(boottime.now() - began)
                os.read(reader, 100)
                began = boottime.now()
                controllee.stop(10.0)
                await receive.receive()
                gone.append(boottime.now() - began)
            nursery.cancel_scope.cancel()
        os.close(reader)
    show("start order -> the daemon knows it runs", known)
    show("start order -> first output of a shell", first)
    show("stop order -> gone, and the daemon knows", gone)


def measure_death(count):
    """From SIGKILL of the daemon to the end of a family of six, three sessions deep."""
    figures = []
    for _ in range(count):
        mark = new_mark()
        settings = {
            "argv": shell(FAMILY),
            "environment": environment(mark),
            "log": os.devnull,
            "lease_seconds": 2.0,
        }
        with subprocess.Popen(
            [sys.executable, str(ROOT / "tests/had/guarded_daemon.py"), json.dumps(settings)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as daemon:
            daemon.stdout.readline()
            while len(living(mark)) < 6:
                pass
            daemon.kill()
            figures.append(seconds_until_gone(mark, 5.0))
    show("SIGKILL of the daemon -> family of six dead", figures)


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    trio.run(measure_start_and_stop, number)
    measure_death(number)
