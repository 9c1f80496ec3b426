"""had as a contender, so that it goes through the same scenarios by the same code as the other tools."""

from tests.bench.rivals.contender import Contender, terminate
from tests.end_to_end.pool import Pool

#: What hosts apart need in their configuration: who may speak is decided by address.
APART = {
    "ALLOW_DAEMON": "*/10.77.0.*",
    "ALLOW_ADMINISTRATOR": "*/10.77.0.*",
    "SEC_DEFAULT_AUTHENTICATION": "OPTIONAL",
}


class Had(Contender):
    """had without a primary, with its defaults otherwise."""

    def __init__(self, folder, network, timeout_seconds, *, is_by_majority):
        super().__init__(folder, network, timeout_seconds)
        knobs = APART | {"HAD_REQUIRE_MAJORITY": is_by_majority}
        self._pool = Pool(
            folder / "pool",
            len(network.hosts),
            timeout_seconds=timeout_seconds,
            has_primary=False,
            network=lambda _count: network,
            knobs=knobs,
        )

    def lives_path(self, index):
        """Return the file that the pool has told its controllees to write."""
        return self.folder / "pool" / f"node{index}" / "lives"

    def start_host(self, index):
        """Start the daemon."""
        self._pool[index].start()

    def kill_host(self, index, spared=()):
        """Kill all that lives on a host but these."""
        at = super().kill_host(index, spared)
        if self._pool[index].process:
            self._pool[index].process.wait(10)
        return at

    def daemon_pid(self, index):
        """Return the daemon, which has a guard beside it."""
        return self._pool[index].pid

    def stop_host(self, index):
        """Stop the daemon by SIGTERM."""
        terminate(self.daemon_pid(index))

    def are_ready(self):
        """Whether all daemons follow one leader and hear each other."""
        statuses = [node.status() for node in self._pool.nodes]
        return (
            all(statuses)
            and len({status["leader"] for status in statuses}) == 1
            and all(peer["state"] == "alive" for status in statuses for peer in status["peers"])
        )

    def close(self):
        """Kill the pool, and take the network down."""
        self._pool.close()

    def story(self):
        """Return the end of every daemon's log."""
        return self._pool.story()
