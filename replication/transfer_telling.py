"""Tells people what the transferers do: the log and the metrics.

A transfer is one version that moves. So a transferer that stays for later ones is many transfers, and one that ended
without its version is a transfer that failed, was stale (the version was not wanted) or was cancelled on its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from daemoncore.event_log import Tell
from replication.metrics import ReplicationMetrics
from replication.replica_settings import Member
from replication.transfer_terms import Direction
from replication.version import Point


class TransferTelling:
    """A `transfer_terms.TransferObserver`.

    Args:
        tell: is told of what is worth a line.
        metrics: the numbers.
        name: how the configuration spells a member.
        wall_clock: Unix time.
    """

    def __init__(
        self,
        tell: Tell,
        metrics: ReplicationMetrics,
        name: Callable[[Member], str],
        wall_clock: Callable[[], float],
    ) -> None:
        self._tell = tell
        self._metrics = metrics
        self._name = name
        self._wall_clock = wall_clock
        self._running: Counter[Direction] = Counter()
        #: What each replica was sent last, whole.
        self.sent: dict[Member, Point] = {}

    def transfer_started(self, direction: Direction, peer: Member) -> None:
        """A process was started."""
        self._count(direction, 1)
        self._tell("transfer_started", direction=direction.value, peer=self._name(peer))

    def version_sent(self, peer: Member, version: Point, moved_bytes: int, seconds: float) -> None:
        """The peer has a version."""
        self.sent[peer] = version
        self._moved(Direction.UPLOAD, peer, moved_bytes, seconds)
        self._tell("version_sent", peer=self._name(peer), version=version, bytes=moved_bytes, seconds=seconds)

    def version_received(self, peer: Member, version: Point, moved_bytes: int, seconds: float) -> None:
        """A version is here."""
        self._moved(Direction.DOWNLOAD, peer, moved_bytes, seconds)
        fields = {"version": version, "bytes": moved_bytes, "seconds": seconds}
        self._tell("version_received", peer=self._name(peer), **fields)

    def checksum_failed(self, peer: Member) -> None:
        """What came from a peer was not what it has."""
        self._metrics.checksum_failed(self._name(peer))
        self._tell("checksum_failed", peer=self._name(peer))

    def transfer_ended(
        self, direction: Direction, peer: Member, result: str, moved_bytes: int, seconds: float, reason: str
    ) -> None:
        """A process is gone; `moved_bytes` are those that no version came of."""
        self._count(direction, -1)
        self._metrics.bytes_moved(direction.value, moved_bytes)
        # One that was ended while it only waited for a later version took nothing from anybody.
        is_idle = result == "cancelled" and not moved_bytes
        if result != "ok" and not is_idle:
            self._metrics.transfer_unsuccessful(direction.value, self._name(peer), result)
        fields = {"result": result, "seconds": round(seconds, 3), "reason": reason}
        event = "transfer_failed" if result == "failed" else "transfer_ended"
        self._tell(event, direction=direction.value, peer=self._name(peer), **fields)

    def remark(self, event: str, **fields: str | float | None) -> None:
        """Something that is worth a line in the log."""
        shown = {key: self._name(str(value)) if key == "peer" else value for key, value in fields.items()}
        self._tell(event, **shown)

    def _count(self, direction: Direction, difference: int) -> None:
        self._running[direction] += difference
        self._metrics.transfers_running(direction.value, self._running[direction])

    def _moved(self, direction: Direction, peer: Member, moved_bytes: int, seconds: float) -> None:
        self._metrics.bytes_moved(direction.value, moved_bytes)
        self._metrics.transfer_succeeded(direction.value, self._name(peer), seconds, self._wall_clock())
