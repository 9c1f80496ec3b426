"""`python -m tests.simulation SEED [-v]` replays one seed; `--soak` goes on until it is stopped.

The soak appends each failing seed to failing_seeds.txt, which the tests run first and which only ever grows.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.simulation.options import FIRST_SEED
from tests.simulation.runner import Result, run

FAILING_SEEDS = Path(__file__).with_name("failing_seeds.txt")


def known_failures() -> list[int]:
    """Return the seeds that failed at some time, in the order in which they were found."""
    lines = FAILING_SEEDS.read_text().splitlines() if FAILING_SEEDS.exists() else []
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def keep(result: Result) -> None:
    """Add a failing seed to the file, once."""
    if result.seed in known_failures():
        return
    with FAILING_SEEDS.open("a") as file:
        file.write(f"{result.seed}  # {' '.join(str(result.violation).split())[:160]}\n")


def report(result: Result, *, is_verbose: bool) -> None:
    """Print one result; a failure with its story."""
    if is_verbose or not result.is_good:
        print("\n".join(result.lines if is_verbose else result.lines[-25:]))
    verdict = "good" if result.is_good else f"FAILED {result.violation}"
    print(f"seed {result.seed}: {verdict}")


def soak(start: int, count: int | None, *, is_keeping: bool, is_stopping: bool) -> int:
    """Run seed after seed; return how many failed."""
    began, failed, done = time.monotonic(), 0, 0
    seed = start
    while count is None or done < count:
        result = run(seed)
        done += 1
        if not result.is_good:
            failed += 1
            print(f"seed {seed}: {result.violation}", flush=True)
            if is_keeping:
                keep(result)
            if is_stopping:
                report(result, is_verbose=False)
                break
        if done % 100 == 0:
            rate = done / (time.monotonic() - began)
            print(
                f"{done} seeds, {failed} failed, {rate:.1f} seeds/s, at seed {seed}",
                file=sys.stderr,
                flush=True,
            )
        seed += 1
    return failed


def main() -> int:
    """Parse the arguments and do as told."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="*", type=int, help="seeds to replay")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the story")
    parser.add_argument("-t", "--trace", action="store_true", help="print every event and message too")
    parser.add_argument("--soak", action="store_true", help="run without end")
    parser.add_argument("--start", type=int, default=FIRST_SEED, help="first seed of a soak")
    parser.add_argument("--count", type=int, help="so many seeds instead of no end")
    parser.add_argument("--keep", action="store_true", help="append failing seeds to failing_seeds.txt")
    parser.add_argument("-x", action="store_true", help="stop at the first failure")
    options = parser.parse_args()
    if options.soak or options.count:
        is_keeping = options.keep or options.soak
        return min(1, soak(options.start, options.count, is_keeping=is_keeping, is_stopping=options.x))
    failed = 0
    for seed in options.seed or known_failures():
        result = run(seed, is_tracing=options.trace)
        report(result, is_verbose=options.verbose or options.trace)
        failed += not result.is_good
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
