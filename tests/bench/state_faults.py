"""Whether replication delays who leads next: the same faults to a pool without and with it (promises P1, P3, P4, P6).

With replication every controllee counts each 10 ms into the state, so that every handover has something to flush, and
every start something to wait for.
"""

from tests.bench.faults import RECOVER_SECONDS, Faults
from tests.bench.measures import BY_SLUG
from tests.bench.state_figures import Section
from tests.end_to_end.pool import Pool

SCENARIOS = ("host_killed", "leader_stopped")
SHOWN = ("host_killed", "handover", "return_gap", "return")


def _until_in_step(pool):
    """Wait until every replica, if there are any, holds what the leader has written by now."""
    if pool.has_replication:
        written = pool.wait(pool[0].replica.value, 20, "a first value")
        held = lambda: all(node.replica.value() >= written for node in pool.nodes)  # noqa: E731 -- named for the next line
        pool.wait(held, 20, f"{written} on all replicas")


def measure_faults(folder, surroundings, runs, *, members=3, timeout_seconds=2.0):
    """Do the faults to both kinds of pool and return the section."""
    network, needed = surroundings
    found = {}
    for has_replication in (False, True):
        knobs = needed | {"MASTER_HAD_RECOVER_FACTOR": RECOVER_SECONDS}
        with Pool(
            folder / f"faults-{has_replication}",
            members,
            timeout_seconds=timeout_seconds,
            has_replication=has_replication,
            network=network,
            knobs=knobs,
        ) as pool:

            def keep(slug, seconds, has_replication=has_replication):
                found.setdefault((slug, has_replication), []).append(seconds)

            pool.start()
            faults = Faults(pool, keep)
            faults.settle()
            for _ in range(runs):
                for name in SCENARIOS:
                    _until_in_step(pool)
                    getattr(faults, name)()
    section = Section(f"Faults without and with replication, N = {members}, T = {timeout_seconds:g}", "s")
    for slug in SHOWN:
        measure = BY_SLUG[slug]
        promise = measure.promise and measure.promise(timeout_seconds)
        for has_replication in (False, True):
            title = f"{measure.title}, {'with' if has_replication else 'without'}"
            section.add(title, found.get((slug, has_replication), []), promise)
    return [section]
