"""A stage for impostors: a leader and a follower that are real, and many members that are not there.

A test stands in for one of these, does what it does, and ends with `Stage.assert_goes_on`: the leader's next change arrives
at the follower, which is what must go on whatever was tried. What a replica counts meanwhile shows `Counted`.
"""

import itertools

from tests.end_to_end.attending_had import AttendingHad
from tests.end_to_end.pool import Pool
from tests.end_to_end.replica_impostor import ReplicaImpostor

MEMBERS = 40
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
