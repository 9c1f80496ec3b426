"""A long life of both machines and their observers in virtual time: however many switchovers there are, nothing grows.

The whole day is `python -m tests.simulation.day`.
"""

from __future__ import annotations

from collections import deque

import attrs
import pytest

from replication.version import LINEAGE_LIMIT, Version
from tests.simulation.day import SLACK, Peaks, begin, live
from tests.simulation.sizes import sizes


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_grows_with_the_number_of_leaderships():
    """A pool that has seen more leaderships than a lineage names holds the same after thirty more of them."""
    pool, peaks = begin(), Peaks()
    pool.write_seconds = (1.0, 3.0)
    live(pool, LINEAGE_LIMIT + 2, 4.0)
    live(pool, 30, 4.0, peaks)
    peaks.begin_part()
    live(pool, 30, 4.0, peaks)
    assert peaks.grown(0, 1) == []
    assert peaks.parts[1]["n1.replica._said.version.lineage"] == LINEAGE_LIMIT
    assert len(pool.watch.runs) > LINEAGE_LIMIT + 60, "each switchover started another controllee"


@attrs.define
class Held:
    """Something with containers, which says that it is one of ours."""

    table: dict[str, object]
    queue: deque[int]


Held.__module__ = "replication.test"


def test_the_look_sees_every_container():
    """What lies in tables, queues and values is found by the way that leads there, and each thing is counted once."""
    shared = [1, 2, 3]
    held = Held({"a": shared, "b": shared, "c": Version(1, 2)}, deque([1, 2]))
    found = sizes(held, "held")
    assert found == {"held.table": 3, "held.queue": 2, "held.table{}": 3, "held.table{}.lineage": 0}


def test_what_grows_is_noticed():
    """A table to which each leadership adds more than the slack is named."""
    peaks = Peaks()
    peaks.parts[0]["n1.replica.table"] = 100
    peaks.begin_part()
    peaks.parts[1]["n1.replica.table"] = 100 + SLACK
    assert peaks.grown(0, 1) == []
    peaks.parts[1]["n1.replica.table"] += 1
    assert peaks.grown(0, 1) == [f"n1.replica.table held 100 and then {101 + SLACK}"]
    peaks.parts[1] = {"n1.replica.version.lineage": LINEAGE_LIMIT + 1}
    assert len(peaks.grown(0, 1)) == 1
