"""The table of the replication daemon's metric families: names, labels, help, buckets, legal label values.

docs/reference/metrics.md shows the same table, and a test compares. A transfer is one version that moves; a transferer
that stays for later ones is in progress all the while.
"""

from typing import Final

from daemoncore.cedar.handshake import Refusal
from daemoncore.families import Family, Kind
from replication.events import State
from replication.version import Relation

STATES: Final = tuple(state.value for state in State)
DIRECTIONS: Final = ("upload", "download")
TRANSFER_RESULTS: Final = ("ok", "failed", "cancelled", "stale")

#: Why an offered version was not taken (`replication.objections`): this node leads, or what the version is to ours.
VERSION_REASONS: Final = ("leading", *(r.value for r in Relation if r is not Relation.NEWER), "other")

#: Why a message was not taken: the machine's reasons first, then the command port's; `other` is the rest.
REJECT_REASONS: Final = (
    *("wrong_address", "not_a_member", "replayed"),
    *(refusal.value for refusal in Refusal),
    *("slow", "too_many", "other"),
)

#: Why a report could not be delivered (`daemoncore.links`).
SEND_REASONS: Final = ("timeout", "refused", "unreachable", "reset", "denied", "protocol")

#: Seconds. A kilobyte that was appended takes milliseconds, a gigabyte seconds, and MAX_TRANSFER_LIFETIME is 300.
DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

_PEER: Final = ("peer",)
_FILE: Final = ("file",)
_DIRECTION: Final = ("direction",)

VERSIONS: Final = (
    Family(
        "had_replication_state",
        Kind.STATESET,
        "State of the replication state machine of this node.",
        states=STATES,
    ),
    Family("had_replication_version", Kind.GAUGE, "Logical version of the state on this node."),
    Family(
        "had_replication_peer_version",
        Kind.GAUGE,
        "Logical version of the state last reported by the peer.",
        _PEER,
    ),
    Family(
        "had_replication_peer_in_sync",
        Kind.GAUGE,
        "1 if the peer reported the version of the leader, else 0.",
        _PEER,
    ),
    Family(
        "had_replication_peer_lag_seconds",
        Kind.GAUGE,
        "Age of the oldest version that the peer still lacks, 0 if it lacks none.",
        _PEER,
    ),
)

TRANSFERS: Final = (
    Family(
        "had_replication_last_success_timestamp_seconds",
        Kind.GAUGE,
        "Unix time of the last completed transfer.",
        ("direction", "peer"),
    ),
    Family(
        "had_replication_transfers_total",
        Kind.COUNTER,
        "State transfers that ended, by result.",
        ("direction", "peer", "result"),
    ),
    Family("had_replication_transfer_bytes_total", Kind.COUNTER, "Bytes of state moved.", _DIRECTION),
    Family(
        "had_replication_transfer_duration_seconds",
        Kind.HISTOGRAM,
        "Duration of one state transfer.",
        _DIRECTION,
        buckets=DURATION_BUCKETS,
    ),
    Family("had_replication_transfers_in_progress", Kind.GAUGE, "State transfers running now.", _DIRECTION),
    Family(
        "had_replication_checksum_failures_total",
        Kind.COUNTER,
        "Transfers dropped because the checksum did not match.",
        _PEER,
    ),
    Family(
        "had_replication_versions_rejected_total",
        Kind.COUNTER,
        "Offered versions that were not taken, by reason.",
        ("reason",),
    ),
)

KEPT: Final = (
    Family(
        "had_replication_conflicts",
        Kind.GAUGE,
        "Diverged copies of the state kept on this node and not yet exported or merged.",
    ),
    Family(
        "had_replication_file_size_bytes",
        Kind.GAUGE,
        "Size of the replicated file on this node.",
        _FILE,
    ),
    Family(
        "had_replication_file_modified_timestamp_seconds",
        Kind.GAUGE,
        "Unix modification time of the replicated file on this node.",
        _FILE,
    ),
)

PEERS: Final = (
    Family(
        "had_peer_send_failures_total",
        Kind.COUNTER,
        "Messages that could not be delivered to the peer, by reason.",
        ("peer", "reason"),
    ),
    Family(
        "had_peer_messages_rejected_total",
        Kind.COUNTER,
        "Messages rejected on receipt, by reason.",
        ("reason",),
    ),
)

FAMILIES: Final = VERSIONS + TRANSFERS + KEPT + PEERS
