"""`python -m tests.simulation SEED [-v]` replays one seed; `--soak` goes on until it is stopped.

A soak counts seeds and steps: a step is one event that one machine handled, with the invariants checked after it. The soak appends each failing seed to failing_seeds.txt, which the tests run first and which only ever grows.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import attrs

from tests.simulation.options import FIRST_SEED, draw
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


@attrs.define
class Tally:
    """What a soak has done so far."""

    seeds: int = 0
    failed: int = 0
    steps: int = 0
    #: Of these, in pools with HAD_REQUIRE_MAJORITY.
    majority_steps: int = 0
    began: float = attrs.field(factory=time.monotonic)

    def add(self, result: Result) -> None:
        """Count a seed."""
        self.seeds += 1
        self.failed += not result.is_good
        self.steps += result.steps
        self.majority_steps += result.steps if result.options.majority else 0

    def __str__(self) -> str:
        """Say all of it in one line."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        return (
            f"{self.seeds} seeds, {self.failed} failed, {self.steps} steps ({self.majority_steps} with a majority), "
            f"{self.steps / seconds:.0f} steps/s in {seconds:.0f} s"
        )


def soak(seeds: Iterable[int], *, is_keeping: bool, is_stopping: bool, majority_only: bool) -> int:
    """Run seed after seed; return how many failed."""
    tally, seed = Tally(), None
    for seed in seeds:
        if majority_only and not draw(seed).majority:
            continue
        result = run(seed)
        tally.add(result)
        if not result.is_good:
            print(f"seed {seed}: {result.violation}", flush=True)
            if is_keeping:
                keep(result)
            if is_stopping:
                report(result, is_verbose=False)
                break
        if tally.seeds % 100 == 0:
            print(f"{tally}, at seed {seed}", file=sys.stderr, flush=True)
    print(f"{tally}, up to seed {seed}", flush=True)
    return tally.failed


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
    parser.add_argument("--every", type=int, default=1, help="each so-manieth seed, for runs side by side")
    parser.add_argument("--majority", action="store_true", help="only seeds that draw HAD_REQUIRE_MAJORITY")
    options = parser.parse_args()
    if options.soak or options.count:
        every = options.every
        seeds = itertools.count(options.start, every)
        if options.count:
            seeds = range(options.start, options.start + options.count * every, every)
        failed = soak(
            seeds,
            is_keeping=options.keep or options.soak,
            is_stopping=options.x,
            majority_only=options.majority,
        )
        return min(1, failed)
    failed = 0
    for seed in options.seed or known_failures():
        result = run(seed, is_tracing=options.trace)
        report(result, is_verbose=options.verbose or options.trace)
        failed += not result.is_good
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
