"""What an administrator does to a pool of ours with HTCondor's own tools, and what befalls its daemons.

All tests share one pool of two; each begins when its primary leads and everything is in order.
"""

import json
import os
import signal

import pytest

from tests.real.manager import COLLECTOR_PORT, HAD_PORT, REPLICATION_PORT

pytestmark = [pytest.mark.real, pytest.mark.timeout(300), pytest.mark.xdist_group("administration")]

BOUND = 20
DAEMONS = {"had": HAD_PORT, "replication": REPLICATION_PORT}


@pytest.mark.parametrize("daemon", DAEMONS)
def test_condor_ping(settled, daemon):
    """condor_ping is let in at each level by both daemons, from the own host and from another."""
    for manager in settled.managers:
        for target in settled.managers:
            address = f"<{target.address}:{DAEMONS[daemon]}>"
            said = manager.tool("condor_ping", "-addr", address, "READ", "DAEMON", "ADMINISTRATOR")
            assert said.count("succeeded") == 3, said


def active(asked, collector):
    """Return what a collector says of HadIsActive, by the machine's name; asked from some manager."""
    words = ("-pool", f"{collector.address}:{COLLECTOR_PORT}", "-subsystem", "had", "-json")
    ads = json.loads(asked.tool("condor_status", *words) or "[]")
    return {ad["Machine"]: ad["HadIsActive"] for ad in ads}


def test_condor_status(settled):
    """Both collectors know both daemons by the managers' names, and who is active, as a boolean; at once when it changes."""
    primary, other = settled.managers
    for collector in settled.managers:
        settled.wait(
            lambda one=collector: active(primary, one) == {primary.name: True, other.name: False},
            BOUND,
            f"the ads at {collector}",
        )
    said = primary.tool("condor_status", "-any", "-constraint", 'MyType == "Replication"', "-af", "Machine")
    assert sorted(said.split()) == [primary.name, other.name]
    primary.tool("condor_off", "-subsystem", "had")
    settled.wait_only(other, BOUND)
    for collector in settled.managers:
        settled.wait(
            lambda one=collector: active(other, one) == {other.name: True}, BOUND, f"the ads at {collector}"
        )
    primary.tool("condor_on", "-subsystem", "had")
    settled.wait_only(primary, 60)


def test_condor_reconfig(settled):
    """condor_reconfig has the configuration read anew, and neither a daemon of ours nor the negotiator changes."""
    manager = settled[0]
    negotiator = settled.watch.running()[0]
    before = manager.daemon("had"), manager.daemon("replication")
    manager.become(ours=True, HAD_LOG="$(LOG)/AnotherHADLog", REPLICATION_LOG="$(LOG)/AnotherReplicationLog")
    manager.tool("condor_reconfig")
    for name in ("AnotherHADLog", "AnotherReplicationLog"):
        settled.wait((manager.folder / "log" / name).exists, BOUND, f"{name} is written")
    manager.become(ours=True, HAD_LOG="$(LOG)/HADLog", REPLICATION_LOG="$(LOG)/ReplicationLog")
    manager.tool("condor_reconfig")
    assert settled.wait_only(manager, BOUND) is negotiator
    assert before == (manager.daemon("had"), manager.daemon("replication"))


def test_condor_off_and_on(settled):
    """condor_off of had moves the negotiator at once, condor_on brings it back, and there are never two."""
    primary, other = settled.managers
    primary.tool("condor_off", "-subsystem", "had")
    settled.wait_only(other, BOUND)
    assert primary.daemon("had") is None
    primary.tool("condor_on", "-subsystem", "had")
    settled.wait_only(primary, 60)
    assert settled.overlap_seconds() == 0


def test_condor_restart(settled):
    """condor_restart of a daemon is a word to it, by its ad: it ends, and its master starts it again after a while."""
    primary, other = settled.managers
    negotiator = settled.watch.running()[0]
    before = other.daemon("had")
    settled.wait(lambda: other.name in active(other, other), BOUND, "the ad")
    other.tool("condor_restart", "-subsystem", "had")
    settled.wait(lambda: other.daemon("had") not in {None, before}, 60, "another had")
    assert settled.wait_only(primary, BOUND) is negotiator


def test_condor_off_and_on_of_replication(settled):
    """condor_off of replication stops it and nothing else; after condor_on the state is alike again."""
    primary, other = settled.managers
    negotiator = settled.watch.running()[0]
    other.tool("condor_off", "-subsystem", "replication")
    settled.wait(lambda: other.daemon("replication") is None, BOUND, "replication ends")
    settled.set_factor(primary, "off", 31)
    other.tool("condor_on", "-subsystem", "replication")
    settled.wait_factor(other, "off", 31, 60)
    assert settled.wait_only(primary, BOUND) is negotiator


@pytest.mark.parametrize("words", [(), ("-negotiator",)], ids=["everything", "the negotiator"])
def test_condor_off_and_on_of(settled, words):
    """condor_off of all daemons, or of the negotiator, whose controller is meant, hands over; condor_on takes back."""
    primary, other = settled.managers
    primary.tool("condor_off", *words)
    settled.wait_only(other, BOUND)
    primary.tool("condor_on", *words)
    settled.wait_only(primary, 60)
    assert settled.overlap_seconds() == 0


def test_the_manuals_shutdown(settled):
    """The manual's order of commands ends every negotiator; condor_on -negotiator then starts one where it is given."""
    primary, other = settled.managers
    # -all means the masters that the collector knows just then.
    settled.wait(
        lambda: len(primary.tool("condor_status", "-master", "-af", "Name", check=False).split()) == 2,
        BOUND,
        "the ads of both masters",
    )
    for words in (("-negotiator",), ("-subsystem", "replication"), ("-subsystem", "had")):
        primary.tool("condor_off", "-all", *words)
    settled.wait(lambda: not settled.watch.running(), BOUND, "no negotiator runs")
    other.tool("condor_on", "-negotiator")
    settled.wait_only(other, BOUND)
    for manager in settled.managers:
        manager.tool("condor_on")
    settled.wait_only(primary, 60)
    assert settled.overlap_seconds() == 0


def test_the_negotiator_dies(settled):
    """A negotiator that is killed is back on the same host, and nowhere else."""
    life = settled.watch.running()[0]
    os.kill(life.pid, signal.SIGKILL)
    settled.new_life(settled[0], life.began, BOUND)
    settled.wait_only(settled[0], 60)
    assert settled.overlap_seconds() == 0


def test_the_master_is_stopped(settled):
    """SIGTERM of a master ends all its daemons; the other manager goes on, and gives back when it returns."""
    primary, other = settled.managers
    primary.stop()
    assert primary.pids() == []
    settled.wait_only(other, BOUND)
    primary.start()
    settled.wait_only(primary, 60)
    assert settled.overlap_seconds() == 0


def test_replication_is_killed(settled):
    """A killed replication daemon is started again by its master and catches up; the negotiator stays."""
    primary, other = settled.managers
    negotiator = settled.watch.running()[0]
    os.kill(other.daemon("replication"), signal.SIGKILL)
    settled.set_factor(primary, "killed", 37)
    settled.wait_factor(other, "killed", 37, 60)
    assert settled.wait_only(primary, BOUND) is negotiator


def test_had_is_killed(settled):
    """When had is killed the negotiator runs elsewhere; condor_master starts had again, which takes it back."""
    primary, other = settled.managers
    life = settled.watch.running()[0]
    os.kill(primary.daemon("had"), signal.SIGKILL)
    settled.new_life(other, life.began, BOUND)
    settled.wait_only(primary, 60)
    assert settled.overlap_seconds() == 0


def test_had_is_frozen(settled):
    """When had is frozen the negotiator ends in time and runs elsewhere; it comes back when had does."""
    primary, other = settled.managers
    life = settled.watch.running()[0]
    frozen = primary.daemon("had")
    os.kill(frozen, signal.SIGSTOP)
    try:
        settled.new_life(other, life.began, BOUND)
        settled.wait_only(other, BOUND)
    finally:
        os.kill(frozen, signal.SIGCONT)
    settled.wait_only(primary, 60)
    assert settled.overlap_seconds() == 0
