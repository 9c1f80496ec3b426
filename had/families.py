"""The table of the election daemon's metric families: names, labels, help, buckets, legal label values.

docs/reference/metrics.md shows the same table, and a test compares. What a node *saw* says so (`_seen_`);
what it *is* is `had_is_leader`, leadership only: the pair with `had_controllee_up` is the path /leader.
"""

from typing import Final

from daemoncore.cedar.handshake import Refusal
from daemoncore.families import Family, Kind
from had.events import Kind as MessageKind
from had.transitions import State

STATES: Final = tuple(state.value for state in State)
MESSAGE_TYPES: Final = tuple(kind.value for kind in MessageKind)
ELECTION_RESULTS: Final = ("won", "lost", "aborted")
SWITCHOVER_RESULTS: Final = ("done", "refused", "failed")
SEND_REASONS: Final = ("timeout", "refused", "unreachable", "reset", "denied", "protocol")
EXIT_REASONS: Final = ("requested", "exited", "signalled", "killed", "start_failed")
ACTIONS: Final = ("start", "stop")

#: Why a message was not taken: the machine's reasons first, then the command port's; `other` is the rest.
REJECT_REASONS: Final = (
    *("own_identity", "wrong_address", "not_a_member", "controllee_mismatch", "epoch_jump", "replayed"),
    *(refusal.value for refusal in Refusal),
    *("slow", "too_many", "other"),
)

#: Seconds. A round trip on one host takes a tenth of a millisecond; T is 0.05 to 10.
ROUND_TRIP_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

#: Seconds without a leader: a handover takes at most 0.3, a dead host 1.5 T + 0.5, a real condor_had minutes.
LEADERLESS_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3.5, 5, 8, 15.5, 30, 60, 180)

#: Seconds. A late loop misses heartbeats from a part of T on.
LAG_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

#: Seconds. A start is a message and an exec; a stop lasts until HAD_CONTROLLEE_STOP_TIMEOUT (10).
CONTROLLEE_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 15, 30)

_PEER: Final = ("peer",)
_CONTROLLEE: Final = ("controllee",)

SETTINGS: Final = (
    Family("had_config_connection_timeout_seconds", Kind.GAUGE, "HAD_CONNECTION_TIMEOUT in force."),
    Family(
        "had_config_stabilization_seconds",
        Kind.GAUGE,
        "Longest time the configured timeouts let a failover take.",
    ),
)

ELECTION: Final = (
    Family("had_state", Kind.STATESET, "State of the election state machine of this node.", states=STATES),
    Family("had_is_leader", Kind.GAUGE, "1 if this node holds leadership now, else 0."),
    Family(
        "had_has_leader",
        Kind.GAUGE,
        "1 if this node leads or heard a live leader within the timeout, else 0.",
    ),
    Family(
        "had_observed_leader",
        Kind.GAUGE,
        "1 for the peer that this node takes to be the leader now, 0 for every other peer.",
        _PEER,
    ),
    Family("had_epoch", Kind.GAUGE, "Highest epoch (fencing token) that this node knows of."),
    Family(
        "had_leader_since_timestamp_seconds",
        Kind.GAUGE,
        "Unix time at which the present leader was first observed, 0 if there is none.",
    ),
    Family("had_leader_changes_seen_total", Kind.COUNTER, "Leader changes that this node has seen."),
    Family(
        "had_elections_total",
        Kind.COUNTER,
        "Elections that this node took part in, by how they ended.",
        ("result",),
    ),
    Family(
        "had_state_transitions_total",
        Kind.COUNTER,
        "State machine transitions.",
        ("from_state", "reason", "to_state"),
    ),
    Family("had_leadership_acquired_total", Kind.COUNTER, "Times this node became leader."),
    Family(
        "had_leadership_lost_total",
        Kind.COUNTER,
        "Times this node stopped leading, by reason.",
        ("reason",),
    ),
    Family(
        "had_leader_conflicts_total",
        Kind.COUNTER,
        "Times a second live leader was heard while this node led.",
        _PEER,
    ),
    Family(
        "had_leaderless_duration_seconds",
        Kind.HISTOGRAM,
        "Time without any known leader, per leader change.",
        buckets=LEADERLESS_BUCKETS,
    ),
    Family(
        "had_loop_lag_seconds",
        Kind.HISTOGRAM,
        "How late the driver loop handled a deadline.",
        buckets=LAG_BUCKETS,
    ),
    Family(
        "had_lease_remaining_seconds",
        Kind.GAUGE,
        "Time left of the lease that this node leads under, 0 if it does not lead.",
    ),
    Family(
        "had_votes_granted",
        Kind.GAUGE,
        "Members whose lease this leader holds now (majority mode), itself included.",
    ),
    Family("had_paused", Kind.GAUGE, "1 if automatic failover is paused, else 0."),
    Family(
        "had_switchovers_total",
        Kind.COUNTER,
        "Planned switchovers that were asked for, by result.",
        ("result",),
    ),
)

PEERS: Final = (
    Family("had_peers", Kind.GAUGE, "Peers in HAD_LIST, this one included."),
    Family("had_peers_up", Kind.GAUGE, "Peers heard from within the timeout, this one included."),
    Family("had_peer_up", Kind.GAUGE, "1 if the peer was heard from within the timeout, else 0.", _PEER),
    Family(
        "had_peer_last_contact_timestamp_seconds",
        Kind.GAUGE,
        "Unix time of the last valid message from the peer, 0 if never.",
        _PEER,
    ),
    Family("had_peer_messages_sent_total", Kind.COUNTER, "Messages sent to the peer.", ("peer", "type")),
    Family(
        "had_peer_messages_received_total",
        Kind.COUNTER,
        "Valid messages received from the peer.",
        ("peer", "type"),
    ),
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
    Family(
        "had_peer_round_trip_seconds",
        Kind.HISTOGRAM,
        "Round-trip time of a message to the peer.",
        _PEER,
        buckets=ROUND_TRIP_BUCKETS,
    ),
    Family(
        "had_peer_config_mismatch",
        Kind.GAUGE,
        "1 if the shared configuration of the peer differs from ours, else 0.",
        _PEER,
    ),
    Family("had_peer_clock_skew_seconds", Kind.GAUGE, "Estimated wall clock of the peer minus ours.", _PEER),
)

CONTROLLEE: Final = (
    Family(
        "had_controllee_up",
        Kind.GAUGE,
        "1 if the controlled process runs on this node, else 0.",
        _CONTROLLEE,
    ),
    Family(
        "had_controllee_wanted",
        Kind.GAUGE,
        "1 if the controlled process should run on this node, else 0.",
        _CONTROLLEE,
    ),
    Family(
        "had_controllee_starts_total",
        Kind.COUNTER,
        "Times the controlled process was started.",
        _CONTROLLEE,
    ),
    Family(
        "had_controllee_exits_total",
        Kind.COUNTER,
        "Times the controlled process ended, by reason.",
        ("controllee", "reason"),
    ),
    Family(
        "had_controllee_start_timestamp_seconds",
        Kind.GAUGE,
        "Unix time at which the controlled process started, 0 if it is not running.",
        _CONTROLLEE,
    ),
    Family(
        "had_controllee_transition_seconds",
        Kind.HISTOGRAM,
        "Time from the decision to the controlled process running or gone.",
        ("action", "controllee"),
        buckets=CONTROLLEE_BUCKETS,
    ),
    Family(
        "had_controllee_backoff_seconds",
        Kind.GAUGE,
        "Time left before the next start of the controlled process may be tried.",
        _CONTROLLEE,
    ),
)

FAMILIES: Final = SETTINGS + ELECTION + PEERS + CONTROLLEE
