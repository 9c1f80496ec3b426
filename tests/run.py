"""Runs all tests, the fast ones first, and ends with one line of counts: `python -m tests.run`.

One phase is one pytest. Tests that measure time have the machine to themselves; the others use both cores, and those with
real daemons, which mostly wait, a little more. The fire runs several pools at once by itself. The last phase
needs a real HTCondor; without one its tests are skipped at once. Options on the command line
go to every phase, as in `python -m tests.run -k election`.
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]

APART = ("scenarios", "simulation", "end_to_end", "real")
"""Folders of tests with a phase of their own; everything else is a unit test. The bench is no test."""

END_TO_END = ["tests/end_to_end", "--ignore=tests/end_to_end/chaos"]
UNIT = [f"--ignore=tests/{folder}" for folder in (*APART, "bench")]

SHARED = ["-m", "not timed", "--dist", "loadfile"]
TIMED = ["-m", "timed"]

PHASES = {
    "unit": [*UNIT, *SHARED, "-n", "2"],
    "scenarios": ["tests/scenarios"],
    "unit, timed": [*UNIT, *TIMED],
    "simulation": ["tests/simulation", "-n", "2"],
    "end to end": [*END_TO_END, *SHARED, "-n", "3"],
    "end to end, timed": [*END_TO_END, *TIMED],
    "fire": ["tests/end_to_end/chaos"],
    "real": ["tests/real", "-n", "3", "--dist", "loadgroup"],
}

NO_TESTS_COLLECTED = 5
"""Pytest's exit status when nothing was selected, as with `-k`."""


def run(title: str, arguments: list[str], environment: dict[str, str]) -> tuple[bool, Counter[str]]:
    """Run one phase; return whether it went well, and how many tests passed, failed and were skipped."""
    print(f"== {title}", flush=True)
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report.name}", *arguments]
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        return status in {0, NO_TESTS_COLLECTED}, count(Path(report.name).read_bytes())


def count(report: bytes) -> Counter[str]:
    """Count the outcomes in a JUnit report; an empty one means that pytest itself broke down."""
    counts: Counter[str] = Counter()
    for suite in ET.fromstring(report).iter("testsuite") if report else ():
        skipped = int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        counts["skipped"] += skipped
        counts["failed"] += failed
        counts["passed"] += int(suite.get("tests", 0)) - skipped - failed
    return counts


def main(arguments: list[str]) -> int:
    """Run every phase that has tests, whatever became of the one before."""
    began = time.monotonic()
    # Programs that the Makefile put beside the interpreter, such as promtool, are found by tests.
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    environment = {**os.environ, "PATH": path}
    totals: Counter[str] = Counter()
    broken = []
    for title, own in PHASES.items():
        if own[0].startswith("-") or any((ROOT / own[0]).glob("**/test_*.py")):
            is_good, counts = run(title, [*own, *arguments], environment)
            totals += counts
            broken += [] if is_good else [title]
    seconds = round(time.monotonic() - began)
    print(
        f"== {totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped in {seconds} s"
    )
    if broken:
        print(f"== not in order: {', '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
