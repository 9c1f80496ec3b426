"""A pool of real daemons becomes one of ours, manager by manager, and goes back: the documented steps, with HTCondor's tools."""

import time

import pytest

pytestmark = [pytest.mark.real, pytest.mark.timeout(500)]

PATIENCE = 120
SETTLED = 6.0

STEPS = (
    ("condor_off", "-subsystem", "had"),
    ("condor_off", "-subsystem", "replication"),
    ("condor_reconfig",),
    ("condor_on", "-subsystem", "replication"),
    ("condor_on", "-subsystem", "had"),
)


def exchange(manager, *, ours):
    """Exchange the daemons of a manager as docs/guides/migrating.md says: edit, off, reconfig, on, at a typist's pace."""
    manager.become(ours=ours)
    for command, *words in STEPS:
        manager.tool(command, *words)
        time.sleep(1)


def test_upgrade_of_all_and_back(make_pool):
    """After each step one negotiator runs, on the primary, and the state is on both managers; there are never two."""
    pool = make_pool("rr")
    pool.start()
    pool.wait_only(pool[0], PATIENCE, SETTLED)
    pool.forget()
    factor = 10
    for ours in (True, False):
        for manager in reversed(pool.managers):
            exchange(manager, ours=ours)
            pool.wait(lambda one=manager: one.daemon("had"), PATIENCE, f"had of {manager} runs")
            pool.wait_only(pool[0], PATIENCE, SETTLED)
            factor += 1
            pool.set_factor(pool[0], "step", factor)
            for one in pool.managers:
                pool.wait_factor(one, "step", factor, PATIENCE)
    assert pool.overlap_seconds() == 0, pool.story()
