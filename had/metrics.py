"""What the election daemon tells Prometheus: an observer that the driver tells plain values.

Every method is one thing that happened, or that is so from now on; none decides anything. The families
are the table in `had.families`; the legal changes of state come from the table that the machine obeys
(`had.transitions`). Peers are labelled by their entry of HAD_LIST or HAD_WITNESS_LIST, so that the number
of time series is bounded by the configuration. An entry or reason that is not known is left out or counted
as `other`: a metric must not stop the daemon.
"""

from collections.abc import Callable, Iterable

from daemoncore.families import Families
from daemoncore.metrics import DaemonMetrics
from had.families import (
    ACTIONS,
    ELECTION_RESULTS,
    EXIT_REASONS,
    FAMILIES,
    MESSAGE_TYPES,
    REJECT_REASONS,
    SEND_REASONS,
    SWITCHOVER_RESULTS,
)
from had.transitions import LEADERSHIP_LOST, LEGAL, State


class HadMetrics:
    """The numbers of one `had`. Times named `now` are Unix time in seconds."""

    def __init__(
        self,
        common: DaemonMetrics,
        *,
        me: str,
        members: Iterable[str],
        witnesses: Iterable[str] = (),
        controllee: str,
        now: float,
        boottime: Callable[[], float],
    ) -> None:
        """Register the families and set every legal combination to 0.

        Args:
            common: the daemon's own families and registry.
            me: this node's entry.
            members: entries of HAD_LIST.
            witnesses: entries of HAD_WITNESS_LIST.
            controllee: its name.
            now: Unix time.
            boottime: the clock of leases and backoffs (CLOCK_BOOTTIME), read at each scrape.
        """
        self._families = Families(common.registry, FAMILIES)
        self._me = me
        self._members: frozenset[str] = frozenset()
        self._candidates: frozenset[str] = frozenset()
        self._heard: frozenset[str] = frozenset()
        self._controllee = ""
        self._leader: str | None = None
        self._leaderless_since = now
        self._lease_until = 0.0
        self._backoff_until = 0.0
        self._boottime = boottime
        families = self._families
        for (source, target), reasons in LEGAL.items():
            slugs = [reason.slug for reason in reasons]
            families.allow("had_state_transitions_total", [source.value], slugs, [target.value])
        families.allow("had_leadership_lost_total", [reason.slug for reason in LEADERSHIP_LOST])
        families.allow("had_elections_total", ELECTION_RESULTS)
        families.allow("had_switchovers_total", SWITCHOVER_RESULTS)
        families.allow("had_peer_messages_rejected_total", REJECT_REASONS)
        families.gauge("had_lease_remaining_seconds").set_function(lambda: self._left(self._lease_until))
        self.members_changed(members, witnesses)
        self.controllee_named(controllee)
        self.state(State.WITNESS.value if me in witnesses else State.PRE.value)

    def _left(self, until: float) -> float:
        return max(0.0, until - self._boottime())

    # --- settings ---------------------------------------------------------------------------------------------

    def settings(self, connection_timeout_seconds: float) -> None:
        """This HAD_CONNECTION_TIMEOUT is in force; the promise of a takeover (P1) follows from it."""
        self._families.gauge("had_config_connection_timeout_seconds").set(connection_timeout_seconds)
        self._families.gauge("had_config_stabilization_seconds").set(1.5 * connection_timeout_seconds + 0.5)

    def members_changed(self, members: Iterable[str], witnesses: Iterable[str] = ()) -> None:
        """These are the entries of the lists now; numbers of those that left are dropped."""
        candidates = list(members)
        self._candidates = frozenset(candidates)
        everyone = [*candidates, *witnesses]
        gone = self._members.difference(everyone)
        self._families.forget("peer", gone.__contains__)
        self._members = frozenset(everyone)
        others = [entry for entry in everyone if entry != self._me]
        families = self._families
        families.allow("had_observed_leader", candidates)
        for name in (
            "had_leader_conflicts_total",
            "had_peer_up",
            "had_peer_last_contact_timestamp_seconds",
            "had_peer_round_trip_seconds",
            "had_peer_config_mismatch",
            "had_peer_clock_skew_seconds",
        ):
            families.allow(name, others)
        families.allow("had_peer_messages_sent_total", others, MESSAGE_TYPES)
        families.allow("had_peer_messages_received_total", others, MESSAGE_TYPES)
        families.allow("had_peer_send_failures_total", others, SEND_REASONS)
        families.gauge("had_peers").set(len(candidates))
        self._count_peers_up()

    # --- election ---------------------------------------------------------------------------------------------

    def state(self, state: str) -> None:
        """This node is in `state` (`pre`, `passive`, `election`, `leader` or `witness`)."""
        self._families.set_state("had_state", state)
        self._families.gauge("had_is_leader").set(state == State.LEADER.value)

    def transition(self, source: str, target: str, reason: str) -> None:
        """The state changed for the reason with this slug."""
        families = self._families
        self.state(target)
        if families.is_allowed("had_state_transitions_total", source, reason, target):
            families.counter("had_state_transitions_total", source, reason, target).inc()
        if target == State.LEADER.value:
            families.counter("had_leadership_acquired_total").inc()
        if source == State.LEADER.value and families.is_allowed("had_leadership_lost_total", reason):
            families.counter("had_leadership_lost_total", reason).inc()
        if source == State.ELECTION.value:
            result = "won" if target == State.LEADER.value else "lost"
            is_aborted = reason not in {"leader_heard", "better_candidate"} and result == "lost"
            families.counter("had_elections_total", "aborted" if is_aborted else result).inc()

    def leader_observed(self, leader: str | None, now: float) -> None:
        """This node takes `leader` (an entry, perhaps its own; None is nobody) to be the leader."""
        if leader == self._leader:
            return
        families = self._families
        for entry, is_leader in ((self._leader, 0), (leader, 1)):
            if entry is not None and families.is_allowed("had_observed_leader", entry):
                families.gauge("had_observed_leader", entry).set(is_leader)
        families.gauge("had_has_leader").set(leader is not None)
        families.gauge("had_leader_since_timestamp_seconds").set(0 if leader is None else now)
        if leader is None:
            self._leaderless_since = now
        else:
            families.counter("had_leader_changes_seen_total").inc()
            without_seconds = now - self._leaderless_since if self._leader is None else 0.0
            families.histogram("had_leaderless_duration_seconds").observe(max(0.0, without_seconds))
        self._leader = leader

    def epoch(self, epoch: int) -> None:
        """This is the largest epoch known."""
        self._families.gauge("had_epoch").set(epoch)

    def leader_conflict(self, peer: str) -> None:
        """A second live leader was heard while this node led."""
        if self._families.is_allowed("had_leader_conflicts_total", peer):
            self._families.counter("had_leader_conflicts_total", peer).inc()

    def loop_lag(self, seconds: float) -> None:
        """The loop handled a deadline so many seconds late."""
        self._families.histogram("had_loop_lag_seconds").observe(max(0.0, seconds))

    def lease(self, until: float) -> None:
        """The lease ends at `until` on the boot clock; 0 when this node does not lead."""
        self._lease_until = until

    def votes(self, granted: int) -> None:
        """So many members grant this leader their lease."""
        self._families.gauge("had_votes_granted").set(granted)

    def paused(self, is_paused: bool) -> None:
        """Automatic failover is paused, or not any more."""
        self._families.gauge("had_paused").set(is_paused)

    def switchover(self, result: str) -> None:
        """A planned switchover ended: `done`, `refused` or `failed`."""
        if self._families.is_allowed("had_switchovers_total", result):
            self._families.counter("had_switchovers_total", result).inc()

    # --- peers ------------------------------------------------------------------------------------------------

    def peer_up(self, peer: str, is_up: bool) -> None:
        """The peer is heard, or has been silent for the timeout."""
        self._set_peer("had_peer_up", peer, is_up)
        self._heard = self._heard | {peer} if is_up else self._heard - {peer}
        self._count_peers_up()

    def _count_peers_up(self) -> None:
        """Count the members of HAD_LIST that are heard, and this node if it is one of them."""
        self._heard &= self._members
        up = self._candidates & (self._heard | {self._me})
        self._families.gauge("had_peers_up").set(len(up))

    def message_received(self, peer: str, kind: str, now: float) -> None:
        """A valid message of a kind (`heartbeat`, `alive`, `send_id`) arrived at Unix time `now`."""
        self._set_peer("had_peer_last_contact_timestamp_seconds", peer, now)
        self._count("had_peer_messages_received_total", peer, kind)

    def message_sent(self, peer: str, kind: str) -> None:
        """A message of a kind was handed to the network."""
        self._count("had_peer_messages_sent_total", peer, kind)

    def send_failed(self, peer: str, reason: str) -> None:
        """A message could not be delivered (reasons: `had.families.SEND_REASONS`)."""
        self._count("had_peer_send_failures_total", peer, reason)

    def message_rejected(self, reason: str) -> None:
        """A message was not taken (reasons: `had.families.REJECT_REASONS`, anything else is `other`)."""
        known = reason if reason in REJECT_REASONS else "other"
        self._families.counter("had_peer_messages_rejected_total", known).inc()

    def round_trip(self, peer: str, seconds: float) -> None:
        """An answer took so long."""
        if self._families.is_allowed("had_peer_round_trip_seconds", peer):
            self._families.histogram("had_peer_round_trip_seconds", peer).observe(seconds)

    def configuration_mismatch(self, peer: str, is_mismatch: bool) -> None:
        """The peer's shared settings differ from ours, or agree again."""
        self._set_peer("had_peer_config_mismatch", peer, is_mismatch)

    def clock_skew(self, peer: str, seconds: float) -> None:
        """The peer's wall clock is so far ahead of ours."""
        self._set_peer("had_peer_clock_skew_seconds", peer, seconds)

    def _set_peer(self, name: str, peer: str, value: float) -> None:
        if self._families.is_allowed(name, peer):
            self._families.gauge(name, peer).set(value)

    def _count(self, name: str, peer: str, kind: str) -> None:
        if self._families.is_allowed(name, peer, kind):
            self._families.counter(name, peer, kind).inc()

    # --- controllee -------------------------------------------------------------------------------------------

    def controllee_named(self, controllee: str) -> None:
        """This is the controllee's name from now on; the numbers of the former one are dropped."""
        if controllee == self._controllee:
            return
        families = self._families
        families.forget("controllee", self._controllee.__eq__)
        self._controllee = controllee
        for name in (
            "had_controllee_up",
            "had_controllee_wanted",
            "had_controllee_starts_total",
            "had_controllee_start_timestamp_seconds",
            "had_controllee_backoff_seconds",
        ):
            families.allow(name, [controllee])
        families.allow("had_controllee_exits_total", [controllee], EXIT_REASONS)
        families.allow("had_controllee_transition_seconds", ACTIONS, [controllee])
        backoff = families.gauge("had_controllee_backoff_seconds", controllee)
        backoff.set_function(lambda: self._left(self._backoff_until))

    def controllee_wanted(self, is_wanted: bool) -> None:
        """The controllee should run here, or should not."""
        self._families.gauge("had_controllee_wanted", self._controllee).set(is_wanted)

    def controllee_started(self, now: float, took_seconds: float) -> None:
        """The controllee runs, `took_seconds` after that was decided."""
        families, name = self._families, self._controllee
        families.counter("had_controllee_starts_total", name).inc()
        families.gauge("had_controllee_up", name).set(1)
        families.gauge("had_controllee_start_timestamp_seconds", name).set(now)
        families.histogram("had_controllee_transition_seconds", "start", name).observe(took_seconds)

    def controllee_exited(self, reason: str, took_seconds: float | None = None) -> None:
        """The controllee is gone (reasons: `had.families.EXIT_REASONS`).

        Args:
            reason: why.
            took_seconds: for a stop that was asked for, how long ago that was.
        """
        families, name = self._families, self._controllee
        families.gauge("had_controllee_up", name).set(0)
        families.gauge("had_controllee_start_timestamp_seconds", name).set(0)
        self._count("had_controllee_exits_total", name, reason)
        if took_seconds is not None:
            families.histogram("had_controllee_transition_seconds", "stop", name).observe(took_seconds)

    def backoff(self, until: float) -> None:
        """The next start may be tried at `until` on the boot clock; 0 is at once."""
        self._backoff_until = until
