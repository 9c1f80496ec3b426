"""Mutation testing of the replica machine: is every line of it held by a story, a walk or a seed?

`python -m tests.simulation.replica_mutations` does for it what `tests.simulation.mutations` does for the election. The child
that tries a mutant imports everything of replication anew, and finds the mutant there.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import hypothesis

from tests.simulation.mutants import Mutant, mutants_of
from tests.simulation.mutations import main, source_of

MODULES = (
    "replication.version",
    "replication.peers",
    "replication.download",
    "replication.deadlines",
    "replication.ledger",
    "replication.revisions",
    "replication.answers",
    "replication.objections",
    "replication.speech",
    "replication.replica",
)
"""The machine and its readings."""

UNIT_TESTS = (
    "test_replica",
    "test_replica_revisions",
    "test_peers",
    "test_version",
    "test_replica_at_random",
)
"""The quick ones first."""


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the mutant in the place of its module."""

    def __init__(self, mutant: Mutant):
        self.mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Speak up for the one module."""
        del path, target
        return importlib.machinery.ModuleSpec(fullname, self) if fullname == self.mutant.module else None

    def exec_module(self, module: ModuleType) -> None:
        """Make it."""
        tree = ast.fix_missing_locations(self.mutant.make())
        exec(compile(tree, f"<{self.mutant.module}>", "exec"), module.__dict__)


def all_mutants() -> Iterator[Mutant]:
    """Yield every mutant of the machine."""
    for module in MODULES:
        yield from mutants_of(module, source_of(module))


def judge(mutant: Mutant, seconds: float) -> str | None:
    """Judge a mutant of the replica machine."""
    # Whoever has met the original already is forgotten with it.
    for name in [name for name in sys.modules if name.startswith(("replication", "tests."))]:
        del sys.modules[name]
    sys.meta_path.insert(0, Finder(mutant))
    return _noticing_test() or _noticing_seed(seconds)


def _noticing_test() -> str | None:
    """Call the tests one after another: pytest takes ten times as long to begin as they take to run."""
    for name in UNIT_TESTS:
        module = importlib.import_module(f"tests.replication.{name}")
        for test in [value for key, value in vars(module).items() if key.startswith("test_")]:
            for arguments in _cases(test):
                try:
                    test(**arguments)
                except Exception:  # noqa: BLE001 - whatever it is, the mutant did not pass
                    return f"{name}.{test.__name__}"
    return None


def _cases(test: Callable[..., None]) -> Iterator[dict[str, object]]:
    """Yield the arguments of a test, as its `parametrize` marks say."""
    marks = [m for m in getattr(test, "pytestmark", []) if m.name == "parametrize"]
    for row in itertools.product(*(mark.args[1] for mark in marks)):
        arguments: dict[str, object] = {}
        for mark, values in zip(marks, row, strict=True):
            names = mark.args[0]
            arguments |= {names: values} if isinstance(names, str) else dict(zip(names, values, strict=True))
        yield arguments


def _noticing_seed(seconds: float) -> str | None:
    from tests.simulation.replicated import known_failures, run

    end = time.process_time() + seconds
    for seed in [*known_failures(), *range(4_000_000, 4_010_000)]:
        if run(seed)[1] is not None:
            return f"seed {seed}"
        if time.process_time() > end:
            return None
    return None


if __name__ == "__main__":
    hypothesis.settings.register_profile("mutations", deadline=None, database=None, derandomize=True)
    hypothesis.settings.load_profile("mutations")
    sys.exit(main("replica_mutations", all_mutants(), judge))
