"""The tests of the two machines are tested: small wrong versions of them are noticed."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.simulation import mutations, replica_mutations
from tests.simulation.mutants import Mutant, mutants_of
from tests.simulation.mutations import SURVIVORS, accepted, source_of, try_out

MACHINES = (mutations, replica_mutations)

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
    assert accepted() <= {m.name for made in MACHINES for m in made.all_mutants()}
    lines = [x for x in SURVIVORS.read_text().splitlines() if x.strip() and not x.startswith("#")]
    for name, reason in zip(lines[::2], lines[1::2], strict=True):
        assert name.startswith(("had.", "replication."))
        assert reason.startswith("    ")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_original_is_noticed_by_nothing(machine):
    """Else every mutant would be, whatever the tests hold."""
    module = machine.MODULES[-1]
    tree = ast.parse(source_of(module))
    original = Mutant(module, "nothing", 1, "as it was", "as it is", lambda: tree)
    assert try_out(original, 0.5, machine.judge) is None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("machine", "size"), [("mutations", 40), ("replica_mutations", 15)])
def test_a_sample_of_mutants_is_noticed(machine, size):
    """Scenarios, unit tests or seeds notice each mutant of a fixed sample."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.simulation.{machine}", "--sample", str(size), "--seconds", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
