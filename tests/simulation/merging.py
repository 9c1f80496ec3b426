"""People who want kept conflicts merged, in the simulator of both machines: now and then, and all of them in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.archivist import Content
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from tests.simulation.replicated import ReplicatedPool

STOPS = 5
"""So many stops of the controllee see every conflict merged: one may fall into a change of leaders."""


def unsettled(pool: ReplicatedPool) -> list[Content]:
    """Return the conflicts that are kept by daemons that run, each once."""
    return sorted({c for r in pool.replicas if r.is_up for c in r.disk.archive.conflicts})


def schedule_some(pool: ReplicatedPool) -> None:
    """Somebody wants some conflict merged on the node that leads."""
    leaders, kept = [n for n in pool.nodes if n.is_leading], unsettled(pool)
    if leaders and kept:
        pool.world.dice.choice(leaders).replica.archivist.schedule(pool.world.dice.choice(kept))


def merge_all(pool: ReplicatedPool) -> None:
    """Nothing else is wrong: all conflicts are merged at the next stop, and their owners learn of it."""
    world = pool.world
    seconds = 6 * pool.timeout + 18
    for _ in range(STOPS):
        leader, kept = pool.leader(), unsettled(pool)
        if not kept:
            return
        if leader is not None:
            for conflict in kept:
                leader.replica.archivist.schedule(conflict)
            leader.guard.die_by_itself()
        world.run_while(lambda: bool(unsettled(pool)) or not pool.are_equal(), world.now + seconds)
    if unsettled(pool) or not pool.are_equal():
        left = [f"{r.label}: {len(r.disk.archive.conflicts)}" for r in pool.replicas]
        raise Violation(f"liveness: conflicts are left after {STOPS} stops: {left}; {pool.describe()}")
