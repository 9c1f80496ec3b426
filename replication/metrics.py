"""What the replication daemon tells Prometheus: an observer that is told plain values.

Every method is one thing that happened, or that is so from now on; none decides anything. The families are the table in
`replication.families`. Peers are labelled by their entry of REPLICATION_LIST and files by their entry of STATE_FILE, so
that the number of time series is bounded by the configuration. An entry or reason that is not known is left out or
counted as `other`: a metric must not stop the daemon.
"""

from collections.abc import Iterable

from daemoncore.families import Families
from daemoncore.metrics import DaemonMetrics
from replication.events import State
from replication.families import (
    DIRECTIONS,
    FAMILIES,
    REJECT_REASONS,
    SEND_REASONS,
    TRANSFER_RESULTS,
    VERSION_REASONS,
)


class ReplicationMetrics:
    """The numbers of one `had-replication`. Times named `now` are Unix time in seconds."""

    def __init__(
        self, common: DaemonMetrics, *, me: str, members: Iterable[str], files: Iterable[str]
    ) -> None:
        """Register the families and set every legal combination to 0.

        Args:
            common: the daemon's own families and registry.
            me: this node's entry.
            members: entries of REPLICATION_LIST.
            files: entries of STATE_FILE.
        """
        self._families = Families(common.registry, FAMILIES)
        self._me = me
        self._members: frozenset[str] = frozenset()
        families = self._families
        for name in (
            "had_replication_transfer_bytes_total",
            "had_replication_transfer_duration_seconds",
            "had_replication_transfers_in_progress",
        ):
            families.allow(name, DIRECTIONS)
        families.allow("had_replication_versions_rejected_total", VERSION_REASONS)
        families.allow("had_peer_messages_rejected_total", REJECT_REASONS)
        names = list(files)
        families.allow("had_replication_file_size_bytes", names)
        families.allow("had_replication_file_modified_timestamp_seconds", names)
        self.members_changed(members)
        self.state(State.VERSION_REQUESTING.value)

    def members_changed(self, members: Iterable[str]) -> None:
        """These are the entries of REPLICATION_LIST now; numbers of those that left are dropped."""
        everyone = frozenset(members)
        gone = self._members - everyone
        self._families.forget("peer", gone.__contains__)
        self._members = everyone
        others = sorted(everyone - {self._me})
        families = self._families
        for name in (
            "had_replication_peer_version",
            "had_replication_peer_in_sync",
            "had_replication_peer_lag_seconds",
            "had_replication_checksum_failures_total",
        ):
            families.allow(name, others)
        families.allow("had_replication_last_success_timestamp_seconds", DIRECTIONS, others)
        families.allow("had_replication_transfers_total", DIRECTIONS, others, TRANSFER_RESULTS)
        families.allow("had_peer_send_failures_total", others, SEND_REASONS)

    # --- versions ---------------------------------------------------------------------------------------------

    def state(self, state: str) -> None:
        """The machine is in `state` (a value of `replication.events.State`)."""
        self._families.set_state("had_replication_state", state)

    def version(self, clock: int) -> None:
        """This is the logical clock of the version held here; 0 if there is none."""
        self._families.gauge("had_replication_version").set(clock)

    def peer(self, peer: str, *, clock: int, is_in_sync: bool, lag_seconds: float) -> None:
        """What a replica reported last: its logical clock, whether that is the leader's version, and how it lags."""
        self._set("had_replication_peer_version", clock, peer)
        self._set("had_replication_peer_in_sync", is_in_sync, peer)
        self._set("had_replication_peer_lag_seconds", lag_seconds, peer)

    def version_rejected(self, reason: str) -> None:
        """An offered version was not taken (`replication.families.VERSION_REASONS`, anything else is `other`)."""
        known = reason if reason in VERSION_REASONS else "other"
        self._count("had_replication_versions_rejected_total", known)

    # --- transfers --------------------------------------------------------------------------------------------

    def transfers_running(self, direction: str, count: int) -> None:
        """So many transferers are alive."""
        self._set("had_replication_transfers_in_progress", count, direction)

    def bytes_moved(self, direction: str, count: int) -> None:
        """So many bytes of state were moved, whether or not all of it arrived."""
        if self._families.is_allowed("had_replication_transfer_bytes_total", direction):
            self._families.counter("had_replication_transfer_bytes_total", direction).inc(max(0, count))

    def transfer_succeeded(self, direction: str, peer: str, seconds: float, now: float) -> None:
        """A version has moved to or from a replica, in so many seconds."""
        self._set("had_replication_last_success_timestamp_seconds", now, direction, peer)
        self._count("had_replication_transfers_total", direction, peer, "ok")
        if self._families.is_allowed("had_replication_transfer_duration_seconds", direction):
            self._families.histogram("had_replication_transfer_duration_seconds", direction).observe(seconds)

    def transfer_unsuccessful(self, direction: str, peer: str, result: str) -> None:
        """A transferer ended before a version had moved: `failed`, `cancelled` or `stale`."""
        self._count("had_replication_transfers_total", direction, peer, result)

    def checksum_failed(self, peer: str) -> None:
        """What came from a replica was not what its checksum says."""
        self._count("had_replication_checksum_failures_total", peer)

    # --- what is kept -----------------------------------------------------------------------------------------

    def conflicts(self, count: int) -> None:
        """So many conflicts are kept that nobody has exported or merged."""
        self._families.gauge("had_replication_conflicts").set(count)

    def file(self, name: str, size_bytes: int, modified: float) -> None:
        """An entry of STATE_FILE is so large, and was changed at this Unix time."""
        self._set("had_replication_file_size_bytes", size_bytes, name)
        self._set("had_replication_file_modified_timestamp_seconds", modified, name)

    # --- messages ---------------------------------------------------------------------------------------------

    def message_rejected(self, reason: str) -> None:
        """A message was not taken (`replication.families.REJECT_REASONS`, anything else is `other`)."""
        known = reason if reason in REJECT_REASONS else "other"
        self._count("had_peer_messages_rejected_total", known)

    def send_failed(self, peer: str, reason: str) -> None:
        """A report could not be delivered to a replica (`replication.families.SEND_REASONS`)."""
        self._count("had_peer_send_failures_total", peer, reason)

    def message_sent(self, peer: str, kind: str) -> None:
        """A report was handed to the network: three in each T say nothing, so they are not counted."""

    def round_trip(self, peer: str, seconds: float) -> None:
        """The network's round trip is had's to measure, which depends on it."""

    def _set(self, name: str, value: float, *labels: str) -> None:
        if self._families.is_allowed(name, *labels):
            self._families.gauge(name, *labels).set(value)

    def _count(self, name: str, *labels: str) -> None:
        if self._families.is_allowed(name, *labels):
            self._families.counter(name, *labels).inc()
