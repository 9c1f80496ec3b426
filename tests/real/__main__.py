"""Measures pools of a real HTCondor: `python -m tests.real --runs 3 oo/auto oo/spawn or/auto ro/auto rr/auto`.

Of each pool, a letter for each manager as in `rig.Pool` and HAD_CONTROL of ours: seconds from the start of all masters to the
first negotiator, from a host's death to the next, from there to the one that takes commands, and from the host's return
to the primary's; and for how long two lived at once. Each cell is minimum/median/maximum.
"""

import argparse
import statistics
import sys
import time

from tests.real.release import find_release
from tests.real.rig import Pool

COLUMNS = ("cold start", "host dies", "takes commands", "primary returns", "two at once")
PATIENCE = 180


def measure(release, kinds, control, settings):
    """Return one run's figures, in the order of the columns."""
    pool = Pool(release, kinds, control=control, settings=settings)
    try:
        primary, other = pool.managers[:2]
        began = pool.start()
        cold = pool.new_life(primary, began, PATIENCE).began - began
        pool.wait_only(primary, PATIENCE, 12)
        pool.set_factor(primary, "measured", 2)
        pool.wait_factor(other, "measured", 2, PATIENCE)
        at = primary.kill_host()
        takeover = pool.new_life(other, at, PATIENCE).began - at
        pool.set_factor(other, "measured", 3)
        answered = time.monotonic() - at
        pool.wait_only(other, PATIENCE, 12)
        at = primary.revive()
        back = pool.new_life(primary, at, PATIENCE).began - at
        pool.wait_only(primary, PATIENCE, 12)
        return cold, takeover, answered, back, pool.overlap_seconds()
    finally:
        pool.close()


def main(arguments=None):
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pools", nargs="*", default=["oo/auto", "oo/spawn", "or/auto", "ro/auto", "rr/auto"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting for all")
    words = parser.parse_args(arguments)
    release, why_not = find_release()
    if why_not:
        print(f"a real HTCondor is needed: {why_not}", file=sys.stderr)
        return 2
    settings = dict(text.split("=", 1) for text in words.set)
    print(f"| pool | {' | '.join(COLUMNS)} |", flush=True)
    for name in words.pools:
        kinds, _, control = name.partition("/")
        runs = [measure(release, kinds, control or "auto", settings) for _ in range(words.runs)]
        cells = [f"{min(c):.1f}/{statistics.median(c):.1f}/{max(c):.1f}" for c in zip(*runs, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
