"""Real processes for tests: mark them, find them, wait for their end, and the programs that they run.

A test gives its controllee an environment variable with a value of its own; whatever descends from that controllee
inherits it, however it forks, so the test finds survivors without trusting the code it tests.
"""

import os
import sys
import time
import uuid
from pathlib import Path

import trio

MARK = "HAD_TEST_MARK"

#: Prints when it gets SIGTERM and goes on; not by `print`, which refuses to be interrupted by itself.
STUBBORN = "import os, signal, time\nsignal.signal(signal.SIGTERM, lambda *_: os.write(1, f'TERM {time.clock_gettime(7)}\\n'.encode()))\nprint('ready', flush=True)\nwhile True: time.sleep(60)\n"

#: Leaves behind, besides itself, a child in its group and a daemon: double fork and a session of its own.
FAMILY = "(sleep 600 &) ; sleep 600 & setsid sh -c '(setsid sleep 600 &) ; sleep 600; :' & echo ready; wait"


def new_mark() -> str:
    """A value that no other process has."""
    return uuid.uuid4().hex


def living(mark: str) -> set[int]:
    """The processes with this mark that are neither dead nor zombies."""
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                # A zombie's environment reads as empty.
                if wanted in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def environment(mark: str, **more: str) -> dict[str, str]:
    """A marked environment in which shells and Python work."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", MARK: mark, **more}


def python(program: str) -> tuple[str, ...]:
    """Run a Python text, quick to start."""
    return (sys.executable, "-I", "-S", "-c", program)


def shell(program: str) -> tuple[str, ...]:
    """Run a shell text."""
    return ("/bin/sh", "-c", program)


def seconds_until_gone(mark: str, limit_seconds: float) -> float:
    """How long it takes until nothing with this mark lives; fails at the limit."""
    began = time.monotonic()
    while survivors := living(mark):
        elapsed = time.monotonic() - began
        assert elapsed < limit_seconds, f"still alive after {elapsed:.3f} s: {survivors}"
        time.sleep(0.002)
    return time.monotonic() - began


async def until(is_true, limit_seconds: float = 10.0) -> float:
    """Poll real processes until a condition holds; returns how long it took."""
    began = time.monotonic()
    while not is_true():
        elapsed = time.monotonic() - began
        assert elapsed < limit_seconds, f"waited in vain for {elapsed:.3f} s"
        await trio.sleep(0.002)
    return time.monotonic() - began
