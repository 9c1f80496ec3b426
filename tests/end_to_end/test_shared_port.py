"""Pools behind shared ports: every daemon of a host is reached through one port, and named in the first message."""

import subprocess
import sys

import pytest

from tests.end_to_end.networks import Loopback
from tests.end_to_end.node import ROOT

SERVER = "tests.end_to_end.shared_port_double"


class OnePort(Loopback):
    """Hosts on loopback where all daemons of a host share a port."""

    def __init__(self, count):
        super().__init__(count)
        self.replication_port = self.port


class Ports:
    """The shared port servers of a pool; those that ran last."""

    def __init__(self, pool):
        self._pool = pool
        self._servers = {}

    def start(self, *nodes):
        """Start them on these hosts, or all."""
        for node in nodes or self._pool.nodes:
            words = [node.host, str(self._pool.network.port), str(node.folder / "s")]
            self._servers[node] = subprocess.Popen(
                [sys.executable, "-m", SERVER, *words], cwd=ROOT, env=self._pool.environment
            )

    def kill(self, node):
        """Kill one."""
        self._servers[node].kill()
        self._servers[node].wait(10)

    def close(self):
        """Kill them all."""
        for node in self._servers:
            self.kill(node)


@pytest.fixture
def shared(make_pool):
    """Make a pool behind shared ports, `shared(2)`; the servers run, nothing else yet."""
    made = []

    def make(count, **options):
        pool = make_pool(count, network=OnePort, **options)
        for node in pool.nodes:
            (node.folder / "s").mkdir()
            node.configure(
                HAD_USE_SHARED_PORT="true",
                SHARED_PORT_PORT=pool.network.port,
                DAEMON_SOCKET_DIR=node.folder / "s",
            )
        made.append(Ports(pool))
        made[-1].start()
        return pool, made[-1]

    yield make
    for ports in made:
        ports.close()


def hadctl(node, *words):
    """Run hadctl with a node's configuration."""
    return subprocess.run(
        [sys.executable, "-m", "had.ctl", *words, "-c", str(node.configuration)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.timed
def test_a_pool_behind_shared_ports(shared):
    """Members meet through one port; a killed daemon, whose server hangs up twice, is gone at once (P4)."""
    pool, _ = shared(2, timeout_seconds=10)
    pool.start()
    leader = pool.wait_settled(pool[0])
    assert (pool[0].folder / "s" / "had").is_socket()
    pool.wait(lambda: hadctl(pool[1], "check").returncode == 0, 30, "hadctl finds the pool in order")
    at = leader.kill()
    # T is 10 s, so only the hang-ups can have told it; a loaded machine gets five times what P4 names.
    assert pool.wait_new_life(at, 5, pool[1])
    leader.start()
    pool.wait_settled(pool[0], seconds=60)
    assert pool.overlap_seconds() == 0


@pytest.mark.timed
def test_a_dead_server_is_no_dead_daemon(shared):
    """A shared port server that is gone hides its daemons and proves nothing; when it is back, so are they."""
    pool, ports = shared(2, timeout_seconds=2)
    pool.start()
    pool.wait_settled(pool[0])
    ports.kill(pool[1])
    # Connections that stand were passed on already; the follower goes on hearing its leader on them.
    pool[1].kill()
    pool[1].start()
    pool.wait(
        lambda: pool[0].peer_state(pool[1]) != "refused" and pool[1].status(), 20, "the follower's return"
    )
    ports.start(pool[1])
    assert pool.wait_settled(pool[0], seconds=30) is pool[0]
    assert len(pool.lives()) == 1
    assert not pool[0].logged("peer_gone", pool[1].entry)


@pytest.mark.timed
def test_an_own_port_beside_shared_ones(shared):
    """One member with a port of its own, named so in the lists, takes part with one behind a shared port."""
    pool, _ = shared(2, timeout_seconds=2)
    own = f"{pool[1].host}:{pool.network.http_port + 10}"
    members = f"{pool[0].entry}, {own}"
    pool[0].configure(HAD_LIST=members)
    pool[1].configure(HAD_LIST=members, HAD_SELF=own)
    pool[1].entry = own
    pool.start()
    assert pool.wait_settled(pool[0]) is pool[0]
    at = pool[0].kill_host()
    assert pool.wait_new_life(at, 1.5 * 2 + 0.5 + 2, pool[1])


@pytest.mark.timed
def test_states_are_copied_behind_shared_ports(shared):
    """A copy process too names the daemon that it wants: what the leader writes arrives behind the other port."""
    pool, _ = shared(2, timeout_seconds=2, has_replication=True)
    for node in pool.nodes:
        node.configure(REPLICATION_USE_SHARED_PORT="true")
    pool.start()
    leader = pool.wait_settled(pool[0], 30)
    wanted = pool.wait(leader.replica.value, 20, "a first value", 0.01)
    pool.wait(lambda: pool[1].replica.value() >= wanted, 30, f"{wanted} behind the other port")
