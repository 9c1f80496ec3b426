"""The tests of the election are tested: small wrong versions of it are noticed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.simulation.mutants import mutants_of
from tests.simulation.mutations import SURVIVORS, accepted, all_mutants

SAMPLE = 40

SOURCE = '''
def rank(one, other):
    """Compare."""
    if one.rank < other.rank and one.fit:
        return min(one, other)
    total = one.rank + 1
    return total
'''


def test_a_mutant_changes_one_thing():
    """Each mutant of a small function is one comparison, operator, condition, constant, choice or omission."""
    changes = {(m.before, m.after) for m in mutants_of("example", SOURCE)}
    assert ("one.rank < other.rank", "one.rank <= other.rank") in changes
    assert ("one.rank < other.rank", "one.rank >= other.rank") in changes
    assert ("one.rank < other.rank and one.fit", "one.rank < other.rank or one.fit") in changes
    assert ("min", "max") in changes
    assert ("one.rank + 1", "one.rank - 1") in changes
    assert ("1", "2") in changes
    assert ("total = one.rank + 1", "(left out)") in changes
    assert len(changes) == len(list(mutants_of("example", SOURCE)))


def test_every_accepted_survivor_is_still_a_mutant():
    """No line of survivors.txt outlives the code that it excuses, and each has its reason below it."""
    assert accepted() <= {m.name for m in all_mutants()}
    lines = [x for x in SURVIVORS.read_text().splitlines() if x.strip() and not x.startswith("#")]
    for name, reason in zip(lines[::2], lines[1::2], strict=True):
        assert name.startswith("had.")
        assert reason.startswith("    ")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sample_of_mutants_is_noticed():
    """Scenarios, unit tests or seeds notice each mutant of a fixed sample."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutations", "--sample", str(SAMPLE), "--seconds", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
