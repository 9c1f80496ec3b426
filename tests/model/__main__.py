"""`python -m tests.model ROUNDS [MISHAPS [CUT]]` goes further than the tests do.

CUT is for how many rounds the first member, which leads, is cut off before the exploration begins.
"""

from __future__ import annotations

import sys

from tests.model.explorer import ALONE, explore, settled


def main(words: list[str]) -> int:
    """Explore and report; 1 is a counterexample."""
    rounds, mishaps, cut, *_ = [*map(int, words), 0, 0]
    found = explore(settled([ALONE] * cut), rounds, mishaps)
    print(f"{found.states} states, {found.rounds} rounds played, leaders {sorted(found.leaders)}")
    if found.counterexample is None:
        return 0
    path, what = found.counterexample
    print(*path, what, sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
