"""Mutation testing of the election: is every line of it held by a scenario or a seed?

`python -m tests.simulation.mutations` makes every mutant (`tests.simulation.mutants`) of the machine's modules, one at
a time in a forked child, and plays the scenarios and then seeds until something differs or objects. What nothing
notices is a survivor: a hole in the tests, or an equivalent mutant, whose name then belongs into survivors.txt with
the reason why nobody can tell it from the original.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import had.election
from tests.scenarios.language import files, play, render
from tests.simulation.__main__ import known_failures
from tests.simulation.mutants import Mutant, mutants_of
from tests.simulation.runner import run

MODULES = (
    "had.ranking",
    "had.fitness",
    "had.ledger",
    "had.peers",
    "had.speech",
    "had.pool",
    "had.requests",
    "had.custody_waits",
    "had.readiness",
    "had.votes",
    "had.candidacy",
    "had.deadlines",
    "had.election",
    "had.custody",
    "had.tandem",
)
"""The machine, in the order in which its modules import each other."""


def tests_of(module: str) -> list[str]:
    """Return the files that test a module by itself."""
    return sorted(map(str, (Path(__file__).parents[1] / "had").glob(f"test_{module.partition('.')[2]}*.py")))


UNIT_TESTS = sorted({path for module in MODULES for path in tests_of(module)})
"""The tests of these modules one by one."""

SURVIVORS = Path(__file__).with_name("survivors.txt")
KILLED, SURVIVED = 1, 0
TESTS_SECONDS = 15
"""Stories and unit tests take less CPU time than this; a mutant that goes round and round takes it all."""


def accepted() -> set[str]:
    """Return the names of the survivors that were looked at and accepted, each with a reason beside it."""
    lines = SURVIVORS.read_text().splitlines() if SURVIVORS.exists() else []
    return {line.strip() for line in lines if line.strip() and not line.startswith(("#", " "))}


def source_of(module: str) -> str:
    """Return a module's source."""
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).read_text()


def all_mutants() -> Iterator[Mutant]:
    """Yield every mutant of the machine."""
    for module in MODULES:
        yield from mutants_of(module, source_of(module))


def install(mutant: Mutant) -> None:
    """Put a mutant in the place of its module, and load again whatever imports from it."""
    first = MODULES.index(mutant.module)
    for module in MODULES[first:]:
        tree = mutant.make() if module == mutant.module else ast.parse(source_of(module))
        space = sys.modules[module].__dict__
        exec(compile(ast.fix_missing_locations(tree), f"<{module}>", "exec"), space)


def is_noticed(seconds: float, module: str) -> str | None:
    """Return what notices that the machine is not the real one, in this module; None if nothing does within the time."""
    for path in files():
        text = path.read_text()
        if render(play(text)) != text:
            return path.stem
    own = tests_of(module)
    # A module's own tests are the likeliest to notice, and the rest take ten times as long.
    for title, paths in (("its unit tests", own), ("unit tests", [p for p in UNIT_TESTS if p not in own])):
        if paths and pytest.main(["-q", "-x", "-p", "no:cacheprovider", *paths]) != pytest.ExitCode.OK:
            return title
    end = time.process_time() + seconds
    for seed in [*known_failures(), *range(2_000_000, 2_010_000)]:
        if not run(seed).is_good:
            return f"seed {seed}"
        if time.process_time() > end:
            return None
    return None


Judge = Callable[[Mutant, float], "str | None"]
"""Puts a mutant in its place and returns what notices it within so many seconds of seeds, None if nothing does."""


def judge(mutant: Mutant, seconds: float) -> str | None:
    """Judge a mutant of the election."""
    install(mutant)
    return is_noticed(seconds, mutant.module)


def try_out(mutant: Mutant, seconds: float, judge: Judge = judge) -> str | None:
    """Return what noticed the mutant, None if it survived; a child does the work and may crash or hang."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        limit = int(seconds + time.process_time()) + TESTS_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        noticed: str | None = "crash"
        try:
            noticed = judge(mutant, seconds)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the mutant did not pass
            noticed = f"{type(error).__name__}"
        finally:
            os.write(writing, (noticed or "").encode()[:500])
            os._exit(SURVIVED if noticed is None else KILLED)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "time ran out"
    return None if os.WEXITSTATUS(status) == SURVIVED else said


def main(name: str, mutants: Iterable[Mutant], judge: Judge = judge) -> int:
    """Try mutants and report the survivors.

    Args:
        name: of the module that is run.
        mutants: all that there are.
        judge: of any of them.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.simulation.{name}")
    parser.add_argument("--sample", type=int, help="a fixed sample of so many mutants")
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU time for which seeds are tried")
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--part", default="1/1", help="this part of all mutants, e.g. 1/2")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what noticed each mutant")
    options = parser.parse_args()
    known = accepted()
    chosen = [m for m in mutants if m.name not in known and options.only in m.name]
    if options.sample:
        chosen = sorted(chosen, key=lambda m: m.lot)[: options.sample]
    part, parts = map(int, options.part.split("/"))
    chosen = chosen[part - 1 :: parts]
    survivors = 0
    for number, mutant in enumerate(chosen, 1):
        noticed = try_out(mutant, options.seconds, judge)
        survivors += noticed is None
        if noticed is None:
            print(f"SURVIVED {mutant.name}   (line {mutant.line})", flush=True)
        elif options.verbose:
            print(f"{number}/{len(chosen)} {noticed}: {mutant.name}", flush=True)
    print(f"{len(chosen)} mutants, {survivors} survivors, {len(known)} accepted ones not tried")
    return min(1, survivors)


if __name__ == "__main__":
    assert had.election, "imported so that its module can be replaced"
    sys.exit(main("mutations", all_mutants()))
