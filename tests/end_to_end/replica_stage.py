"""A stage for impostors: a leader and a follower that are real, and many members that are not there.

A test stands in for one of these, does what it does, and ends with `Stage.assert_goes_on`: the leader's next change arrives
at the follower, which is what must go on whatever was tried. What a replica counts meanwhile shows `Counted`.
"""

import contextlib
import itertools
import os
import subprocess

import pytest

from tests.end_to_end.attending_had import AttendingHad
from tests.end_to_end.pool import Pool
from tests.end_to_end.replica_impostor import ReplicaImpostor

MEMBERS = 32
LEADER_EPOCH = 129
SECURITY = {
    "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
    "SEC_DEFAULT_ENCRYPTION": "REQUIRED",
    "SEC_DEFAULT_INTEGRITY": "REQUIRED",
    "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS",
    "ALLOW_DAEMON": "*/127.0.0.0/8",
    "ALLOW_ADMINISTRATOR": "*/127.0.0.0/8",
}


class Stage:
    """A leader and a follower that are real, and places for impostors.

    Args:
        folder: where everything is kept.
        knobs: further lines of the configuration.
    """

    def __init__(self, folder, **knobs):
        self.pool = Pool(folder, MEMBERS, timeout_seconds=1, has_replication=True, knobs=knobs)
        self.leader, self.follower = self.pool[0].replica, self.pool[1].replica
        network = self.leader.node.host.rpartition(".")[0]
        self.stranger, self.denied = f"{network}.250", f"{network}.251"
        for node in self.pool.nodes:
            node.configure(**SECURITY, DENY_DAEMON=f"*/{self.denied}")
        self._values = itertools.count(1)
        self._places = iter(self.pool.nodes[2:])
        self._claims = itertools.count(1_000_000, 1000)
        for replica in (self.leader, self.follower):
            replica.start()
        self.pids = [replica.process.pid for replica in (self.leader, self.follower)]
        self.hads = [AttendingHad(self.pool, node) for node in self.pool.nodes[:2]]
        self.had = self.hads[0]
        self.pool.wait(lambda: self.leader.status() and self.follower.status(), 20, "both to answer", 0.05)
        self.had.lead(LEADER_EPOCH)
        self.wait(lambda: self.leader.status()["state"] == "leader", "the leader to lead")
        self.assert_goes_on()

    def close(self):
        """End everything."""
        for had in self.hads:
            had.close()
        self.pool.close()

    def wait(self, condition, what, seconds=15):
        """Wait for something that other processes bring about."""
        return self.pool.wait(condition, seconds, what, 0.02)

    def impostor(self):
        """Return an impostor at a place where nobody spoke before, so that nothing of an earlier test is held against it."""
        return ReplicaImpostor(self.pool, next(self._places))

    def claim(self):
        """Return a gid larger than all that were heard of."""
        return next(self._claims)

    def assert_goes_on(self):
        """The leader's next change arrives at the follower, both daemons are the same all along, and nothing is left over."""
        value = next(self._values)
        self.had.write(value)
        self.wait(
            lambda: self.follower.value() == self.leader.value() == value, f"{value} at the follower", 25
        )
        self.wait(lambda: self.follower.point() == self.leader.point(), "one version on both")
        self.wait(lambda: not self.follower.beside(), "nothing beside the state")
        assert not self.leader.beside()
        for replica, pid in zip((self.leader, self.follower), self.pids, strict=True):
            assert replica.is_up
            assert replica.process.pid == pid
            assert not replica.torn()
            assert not replica.logged("handler_failed")
            assert not replica.logged("replication_crashed")
            assert "Traceback" not in replica.errors() + replica.log()


class Troupe:
    """Replication daemons, each with a had and a controllee that the test plays.

    Args:
        pool: a pool that has replication; nothing of it runs.
        count: so many members are real; the others have places for impostors.
    """

    def __init__(self, pool, count=None):
        self.pool = pool
        self.nodes = pool.nodes[:count]
        self.replicas = [node.replica for node in self.nodes]
        self.hads = []

    def start(self):
        """Start every daemon, and wait until each answers and has heard its had."""
        for replica in self.replicas:
            replica.start()
        self.hads = [AttendingHad(self.pool, node) for node in self.nodes]
        self.wait(lambda: all(replica.status() for replica in self.replicas), "all to answer", 20)

    def close(self):
        """End what is on threads of ours; the pool ends the rest."""
        for had in self.hads:
            had.close()

    def wait(self, condition, what, seconds=15):
        """Wait for something that other processes bring about."""
        return self.pool.wait(condition, seconds, what, 0.02)

    def restart(self, index):
        """Start a daemon that was ended, and wait until it answers."""
        self.replicas[index].start()
        self.wait(self.replicas[index].status, "it to answer")

    def lead(self, index, epoch):
        """Let a node lead."""
        self.hads[index].lead(epoch)
        self.wait(
            lambda: (self.replicas[index].point() or (None,))[0] == epoch,
            f"leadership {epoch} to be recorded",
        )

    def publish(self, index, value=None):
        """Let a node's controllee write the next value, and wait until all that are up hold that as one version."""
        value = self.replicas[index].value() + 1 if value is None else value
        self.hads[index].write(value)
        self.wait_in_step(value)

    def wait_in_step(self, value=None, seconds=20):
        """Wait until all that are up hold one version, in which this value is the last one."""

        def look():
            up = [replica for replica in self.replicas if replica.is_up]
            points = {replica.point() for replica in up}
            values = {replica.value() for replica in up}
            return len(points) == 1 and points != {None} and (value is None or values == {value})

        self.wait(look, f"one version with {value} everywhere", seconds)
        self.wait(lambda: not any(r.beside() for r in self.replicas if r.is_up), "nothing beside the states")
        for replica in self.replicas:
            assert not replica.is_up or not replica.torn()
            assert not replica.logged("handler_failed")
            assert not replica.logged("replication_crashed")
            assert "Traceback" not in replica.errors() + replica.log()


@contextlib.contextmanager
def small_disk(folder, size_bytes):
    """Mount an empty disk of this size on a folder; skips where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root")
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow to mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def enlarge(folder, size_bytes):
    """Give the disk that `small_disk` mounted another size."""
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", str(folder)], check=True)


class Counted:
    """What a replica counts more of than when this was made."""

    def __init__(self, replica):
        self._replica = replica
        self._before = replica.metrics()

    def __call__(self, name, **labels):
        """Return by how much a sample has grown."""
        shown = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        sample = f"{name}{{{shown}}}"
        return self._replica.metrics()[sample] - self._before[sample]

    def rejected(self, reason):
        """Return how many more messages were not taken for a reason."""
        return self("had_peer_messages_rejected_total", reason=reason)

    def failed(self, peer, direction="download"):
        """Return how many more transfers with a peer failed."""
        return self("had_replication_transfers_total", direction=direction, peer=peer, result="failed")
