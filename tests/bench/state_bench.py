"""The bench of replication, one scenario after another: `make bench BENCH="--only replication"`."""

from functools import partial

from tests.bench.state_faults import measure_faults
from tests.bench.state_growth import measure_growth
from tests.bench.state_idle import measure_state_idle
from tests.bench.state_joins import may_have_sparse, measure_joins
from tests.bench.state_pool import StatePool
from tests.bench.state_writes import measure_writes

#: What is measured, and about how many seconds that takes beside what the options say.
STATE_SCENARIOS = {
    "state_writes": 60,
    "state_growth": 45,
    "state_joins": 110,
    "state_idle": 20,
    "state_faults": 10,
}
WRITE_SECONDS = 10.0
#: Two daemons a node are looked at, so a pool need not be left alone for as long as one without replication.
MOST_IDLE_SECONDS = 30.0


class StateBench:
    """Measures replication.

    Args:
        folder: for the files of all pools.
        surroundings: `(network, knobs)` of every pool.
        is_apart: whether each host has a network of its own.
        idle_seconds: how long an idle pool is looked at.
        runs: how often each fault is done.
    """

    def __init__(self, folder, surroundings, *, is_apart, idle_seconds, runs):
        self._folder = folder
        self._surroundings = surroundings
        self._is_apart = is_apart
        self._idle_seconds = min(idle_seconds, MOST_IDLE_SECONDS)
        self._runs = runs

    def estimate_seconds(self, name):
        """Return about how long a scenario takes."""
        more = {"state_idle": self._idle_seconds, "state_faults": 25 * self._runs}
        return STATE_SCENARIOS[name] + more.get(name, 0)

    def measure(self, name):
        """Measure one scenario and return its sections; AssertionError with the story where a pool fails."""
        if name == "state_joins":
            return measure_joins(
                self._folder / name, self._surroundings, has_sparse=may_have_sparse(self._folder)
            )
        if name == "state_faults":
            return measure_faults(self._folder / name, self._surroundings, self._runs)
        measure = {
            "state_writes": partial(measure_writes, seconds=WRITE_SECONDS),
            "state_growth": partial(measure_growth, is_apart=self._is_apart),
            "state_idle": partial(measure_state_idle, seconds=self._idle_seconds),
        }[name]
        with StatePool(self._folder / name, self._surroundings) as pool:
            return measure(pool)
