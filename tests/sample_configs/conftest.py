"""Runs the demo's negotiator for these tests, and lets them import its modules.

The modules live in a folder that is no package; a program finds them beside itself, a test by this path.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "sample-configs" / "demo"

sys.path.append(str(DEMO))


class Negotiator:
    """One running negotiator; `state_file` is the path it was given, `before` the words in front of its command."""

    CYCLE_LINE = re.compile(r"cycle=(\d+) epoch=(\d+) matched=(\d+) users=(\d+) used=\d+")

    def __init__(self, folder, *options, before=(), **environment):
        self.state_file = folder / "Accountantnew.log"
        self.process = subprocess.Popen(
            [*before, sys.executable, "-S", str(DEMO / "negotiator.py"), *options],
            env={
                "PATH": os.environ["PATH"],
                "HAD_STATE_FILE": str(self.state_file),
                "HAD_EPOCH": "257",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read_cycles(self, count):
        """Return the next `count` cycles as it reports them: (cycle, epoch, matched, users) each."""
        cycles = []
        while len(cycles) < count:
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            if found := self.CYCLE_LINE.fullmatch(line.rstrip("\n")):
                cycles.append(tuple(int(number) for number in found.groups()))
        return cycles

    def said_last(self, stdout):
        """Return the number of the last cycle in a piece of stdout, 0 if there is none."""
        return max((int(found[1]) for found in self.CYCLE_LINE.finditer(stdout)), default=0)

    def last_cycle(self):
        """Return (epoch, cycle) of the last transaction in the file, from the comment of its end."""
        ends = re.findall(r"^106 #epoch=(\d+) cycle=(\d+)$", self.state_file.read_text(), re.MULTILINE)
        return tuple(int(number) for number in ends[-1])

    def end(self, by_signal=None):
        """Send a signal, wait for the end, and return (exit status, rest of stdout, stderr)."""
        if by_signal is not None:
            self.process.send_signal(by_signal)
        stdout, stderr = self.process.communicate(timeout=20)
        return self.process.returncode, stdout, stderr


@pytest.fixture
def start(tmp_path):
    """Start negotiators that end with the test."""
    started = []

    def start_one(*options, **settings):
        started.append(Negotiator(tmp_path, *options, **settings))
        return started[-1]

    yield start_one
    for negotiator in started:
        if negotiator.process.poll() is None:
            negotiator.process.kill()
        negotiator.process.communicate(timeout=20)
