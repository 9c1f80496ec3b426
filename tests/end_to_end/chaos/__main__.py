"""`python -m tests.end_to_end.chaos SEED [-v]` replays one schedule; `--soak` goes on until it is stopped.

The soak appends each failing seed to failing_seeds.txt, which the tests run first and which only ever grows. On a
failure the history and every file of the pool stay in the folder that is named. `--print` shows schedules and runs
none. The exit status is 0 if everything held, 1 if not.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.end_to_end.chaos.checker import is_drowning, violations
from tests.end_to_end.chaos.fire import burn
from tests.end_to_end.chaos.schedule import draw

FAILING_SEEDS = Path(__file__).with_name("failing_seeds.txt")
ROOT = Path(__file__).parents[3]


def known_failures():
    """Return the seeds that failed at some time, in the order in which they were found."""
    lines = FAILING_SEEDS.read_text().splitlines() if FAILING_SEEDS.exists() else []
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def replay(seed, *, is_verbose):
    """Run one seed here; print what came of it, and return whether everything held."""
    schedule = draw(seed)
    folder = Path(tempfile.mkdtemp(prefix=f"had-fire-{seed}-"))
    began = time.monotonic()
    try:
        history = burn(schedule, folder / "pool")
        found = violations(history)
        history.save(folder / "history.json")
    except AssertionError as error:
        found = [f"the fire did not come to its end: {error}"]
        history = None
    seconds = time.monotonic() - began
    if is_verbose or found:
        print(schedule)
    if history and (is_verbose or found):
        print("\n".join(_story(history)))
    for sentence in found:
        print(f"seed {seed}: FAILED {sentence}")
    if found:
        print(f"seed {seed}: everything is in {folder}")
    else:
        shutil.rmtree(folder)
        print(f"seed {seed}: good, {_figures(history)}, {seconds:.0f} s")
    return not found


def _figures(history):
    """Return what there was to judge, in one line."""
    conflicts = sum(len(final.conflicts) for final in history.finals)
    peace = history.ended_at - history.mended_at
    waited = history.waited_seconds(history.settled_at, history.ended_at)
    drowned = ", drowned" if is_drowning(history, history.mended_at, history.ended_at) else ""
    return (
        f"{len(history.happened)} faults, {len(history.livings)} controllees, {len(history.writes)} writes, "
        f"{conflicts} conflicts, {peace:.1f} s of peace, {waited:.1f} s of waiting for a processor{drowned}"
    )


def _story(history):
    """Return what happened, line by line; times from the moment at which the pool had settled."""
    zero = history.settled_at
    lines = [
        (h.began, f"{h.fault.kind} {h.fault.hosts} until {h.ended - zero:.2f} {h.note}")
        for h in history.happened
    ]
    lines += [
        (
            life.began,
            f"node {life.node} pid {life.pid} epoch {life.epoch} lives until {life.ended - zero:.3f}",
        )
        for life in history.livings
    ]
    lines += [(history.mended_at, "everything is mended"), (history.ended_at, "the end")]
    return [f"  {at - zero:7.3f} {text}" for at, text in sorted(lines)]


def soak(start, count, jobs, *, is_keeping):
    """Run seed after seed, some at a time, each in a process of its own; return how many failed."""
    seeds = iter(itertools.count(start) if count is None else range(start, start + count))
    failed = 0
    with ThreadPoolExecutor(jobs) as workers:
        waiting = [workers.submit(run_apart, seed) for seed in itertools.islice(seeds, jobs)]
        while waiting:
            seed, output, is_good = waiting.pop(0).result()
            print(output.strip() if not is_good else output.strip().splitlines()[-1], flush=True)
            if not is_good:
                failed += 1
                if is_keeping:
                    keep(seed, output)
            waiting += [workers.submit(run_apart, seed) for seed in itertools.islice(seeds, 1)]
    return failed


def run_apart(seed):
    """Run one seed in a process of its own; return it, what was printed, and whether everything held."""
    command = [sys.executable, "-m", "tests.end_to_end.chaos", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return seed, done.stdout + done.stderr, done.returncode == 0


def keep(seed, output):
    """Add a failing seed to the file, once, with what was found."""
    if seed in known_failures():
        return
    why = next(
        (line.partition("FAILED ")[2] for line in output.splitlines() if "FAILED" in line), "it ended early"
    )
    with FAILING_SEEDS.open("a") as file:
        file.write(f"{seed}  # {why[:160]}\n")


def main():
    """Parse the arguments and do as told."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.chaos", description=__doc__)
    parser.add_argument("seed", nargs="*", type=int, help="seeds to replay")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the story of good ones too")
    parser.add_argument("--print", action="store_true", help="print the schedules only")
    parser.add_argument("--soak", action="store_true", help="run without end")
    parser.add_argument("--start", type=int, default=1000, help="first seed of a soak")
    parser.add_argument("--count", type=int, help="so many seeds instead of no end")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1)), help="schedules at a time")
    options = parser.parse_args()
    if options.soak or options.count:
        return min(1, soak(options.start, options.count, options.jobs, is_keeping=options.soak))
    if options.print:
        print("\n".join(str(draw(seed)) for seed in options.seed))
        return 0
    failed = 0
    for seed in options.seed or known_failures():
        failed += not replay(seed, is_verbose=options.verbose)
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
