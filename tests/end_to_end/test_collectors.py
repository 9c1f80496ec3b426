"""Real daemons tell collectors who leads, and a collector that fails costs them nothing."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from tests.end_to_end.collector import Collector

QUERY = """
import sys, warnings
warnings.simplefilter("ignore")
import htcondor2 as htcondor, classad2 as classad
kind = {"HAD": htcondor.AdType.HAD, "Replication": htcondor.AdType.Generic}[sys.argv[2]]
ad = classad.ClassAd({"MyAddress": sys.argv[1], "MyType": "DaemonMaster", "Name": "x", "CondorVersion": "25.14.1"})
for found in htcondor.Collector(ad).query(kind, "HadProtocol == 1", ["Name", "HadIsActive", "HadNode"]):
    print(found["HadNode"], repr(found["HadIsActive"]))
"""


@pytest.fixture
def told(make_pool):
    """Make a pool that tells so many collectors, which run."""
    everything = []

    def make(count=2, collectors=1, knobs=None, **options):
        pool = make_pool(count, timeout_seconds=1, **options)
        made = [Collector(pool, number) for number in range(collectors)]
        everything.extend(made)
        for node in pool.nodes:
            node.configure(COLLECTOR_HOST=", ".join(one.entry for one in made), **(knobs or {}))
        for one in made:
            one.start()
        return pool, *made

    yield make
    for one in everything:
        one.kill()


def wait_leader(pool, collector, node, seconds=30):
    """Wait until a collector knows that this node leads, and nobody else."""
    pool.wait(
        lambda: collector.leaders() == {node.entry}, seconds, f"the collector to know that {node.entry} leads"
    )


def test_a_collector_knows_who_leads(told):
    """Each change of leadership is told at once; a member that ends takes its ads back, one that dies leaves them."""
    pool, collector = told(3, has_replication=True)
    pool.start()
    leader = pool.wait_settled(pool[0])
    wait_leader(pool, collector, leader)
    entries = {node.entry for node in pool.nodes}
    pool.wait(lambda: collector.ads("HAD").keys() == entries, 30, "all members' ads")
    replicas = {node.replica_entry for node in pool.nodes}
    pool.wait(lambda: collector.ads("Replication").keys() == replicas, 30, "all replicas' ads")
    pool.wait(
        lambda: collector.ads("Replication")[leader.replica_entry]["ReplicationState"] == "leader",
        30,
        "the replica's ad to say that it leads",
    )
    assert collector.ads("HAD")[pool[1].entry]["HadLeader"] == leader.entry
    leader.stop()
    wait_leader(pool, collector, pool[1])
    assert collector.ads("HAD").keys() == entries - {leader.entry}
    epoch = collector.ads("HAD")[pool[1].entry]["HadEpoch"]
    pool[1].kill_host()
    pool.wait(lambda: pool[2].entry in collector.leaders(), 30, "the collector to know the third leader")
    assert collector.ads("HAD")[pool[2].entry]["HadEpoch"] > epoch
    assert pool[1].entry in collector.ads("HAD")
    pool[2].stop()
    os.kill(pool[2].replica.process.pid, signal.SIGTERM)
    pool.wait(
        lambda: pool[2].replica_entry not in collector.ads("Replication"), 30, "the replica's ad to be gone"
    )
    assert pool[2].entry not in collector.ads("HAD")


def test_without_a_change_each_interval(told):
    """HAD_UPDATE_INTERVAL and REPLICATION_UPDATE_INTERVAL bring an ad, numbered, on the same connection."""
    knobs = {"HAD_UPDATE_INTERVAL": 1, "REPLICATION_UPDATE_INTERVAL": 1}
    pool, collector = told(1, knobs=knobs, has_replication=True)
    pool.start()
    leader = pool.wait_settled(pool[0])
    wait_leader(pool, collector, leader)
    before = len(collector.heard())

    def later(kind):
        return [line["ad"] for line in collector.heard()[before:] if line["ad"]["MyType"] == kind]

    for kind in ("HAD", "Replication"):
        pool.wait(lambda kind=kind: len(later(kind)) >= 3, 30, f"three ads of type {kind}")
        numbers = [ad["UpdateSequenceNumber"] for ad in later(kind)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert leader.metric("had_collector_up", collector=collector.entry, daemon="had") == 1


@pytest.fixture
def swallower():
    """A socket that, once it listens, takes connections and never says a word."""
    with socket.socket() as made:
        yield made


def test_collectors_that_fail_cost_nothing(told, swallower):
    """One that is frozen, one that swallows and one that is not there: leadership moves as ever, told in a line each."""
    pool, good, frozen = told(2, collectors=2)
    swallower.bind((good.host.rpartition(".")[0] + ".210", pool.network.port))
    swallower.listen()
    names = [
        good.entry,
        frozen.entry,
        ":".join(map(str, swallower.getsockname())),
        f"{good.host}:1",
        "nowhere.invalid",
    ]
    for node in pool.nodes:
        node.configure(COLLECTOR_HOST=", ".join(names))
    pool.start()
    leader = pool.wait_settled(pool[0])
    pool.wait(lambda: frozen.leaders() == {leader.entry}, 30, "the collector that will freeze to hear once")
    frozen.send(signal.SIGSTOP)
    pool.forget_lives_before(leader.running())
    at = leader.kill_host()
    pool.wait_new_life(at, 10)
    pool.wait(lambda: pool[1].entry in good.leaders(), 30, "the good collector to know the successor")
    pool.wait(
        lambda: len(pool[1].logged("collector_unreachable")) == 3,
        30,
        "a line for each that cannot be reached",
    )
    reasons = {
        re.search(r"collector=(\S+) reason=(\w+)", line).groups()
        for line in pool[1].logged("collector_unreachable")
    }
    assert reasons == {(names[2], "timeout"), (names[3], "refused"), (names[4], "unreachable")}
    frozen.send(signal.SIGCONT)
    pool.wait(lambda: pool[1].entry in frozen.leaders(), 30, "the thawed collector to know the successor")
    pool[1].stop()
    assert len(pool[1].logged("collector_unreachable")) == 3
    pool.wait(lambda: pool[1].entry not in good.ads("HAD"), 30, "the ad to be gone")


def test_a_collector_that_was_restarted_is_told_again(told):
    """It has forgotten everything, and is told without a change and long before the interval is over."""
    pool, collector = told(2)
    pool.start()
    leader = pool.wait_settled(pool[0])
    wait_leader(pool, collector, leader)
    collector.kill()
    collector.file.unlink()
    collector.start()
    wait_leader(pool, collector, leader)
    pool.wait(lambda: len(collector.ads("HAD")) == 2, 30, "both members' ads")


def test_a_reload_changes_the_collectors(told):
    """The one that left COLLECTOR_HOST has the ad taken back, the new one gets it; the controllee goes on."""
    pool, first, second = told(1, collectors=2, knobs={"HAD_UPDATE_INTERVAL": 600})
    pool[0].configure(COLLECTOR_HOST=first.entry)
    pool.start()
    leader = pool.wait_settled(pool[0])
    wait_leader(pool, first, leader)
    pid = leader.running().pid
    leader.configure(COLLECTOR_HOST=second.entry)
    leader.send(signal.SIGHUP)
    wait_leader(pool, second, leader)
    pool.wait(lambda: not first.ads("HAD"), 30, "the ad to be taken back")
    assert leader.running().pid == pid
    assert leader.metric("had_collector_up", collector=second.entry, daemon="had") == 1
    assert leader.metric("had_collector_up", collector=first.entry, daemon="had") is None


def test_a_pool_without_collectors_says_nothing_of_them(make_pool):
    """Neither a line nor a number: who runs one program knows nothing of HTCondor."""
    pool = make_pool(1, timeout_seconds=1)
    pool.start()
    leader = pool.wait_settled(pool[0])
    assert leader.logged("collector") == []
    leader.stop()
    assert leader.logged("collector") == []


def query(pool, address, kind):
    """Ask an address for ads with the official bindings; return the nodes with what HadIsActive was as Python's value."""
    configuration = pool.folder / "bindings_config"
    configuration.write_text(
        "SEC_DEFAULT_AUTHENTICATION_METHODS = FS\nSEC_DEFAULT_AUTHENTICATION = REQUIRED\n"
        f"LOG = {pool.folder}\nLOCAL_DIR = {pool.folder}\nNETWORK_INTERFACE = 127.0.0.1\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", QUERY, f"<{address}>", kind],
        env={**os.environ, "CONDOR_CONFIG": str(configuration)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


def test_the_official_bindings_read_who_leads(told):
    """A client that nobody here wrote reads HadIsActive as a boolean, from a collector and from each had itself."""
    pytest.importorskip("htcondor2", reason="the official bindings are not installed", exc_type=ImportError)
    pool, collector = told(2)
    pool.start()
    leader = pool.wait_settled(pool[0])
    wait_leader(pool, collector, leader)
    pool.wait(lambda: len(collector.ads("HAD")) == 2, 30, "both members' ads")
    both = {leader.entry: "True", pool[1].entry: "False"}
    assert query(pool, collector.entry, "HAD") == both
    for entry, is_active in both.items():
        assert query(pool, entry, "HAD") == {entry: is_active}
