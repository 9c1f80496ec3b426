"""Tells people what the machine does: the log, the metrics, the history and HAD_ON_CHANGE.

The machine emits values; this observer is the one place where they become words and numbers. It decides nothing, and
a fault here stops nothing. Members are named as the configuration spells them, not by their numeric identity.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Mapping

from daemoncore import boottime
from daemoncore.cedar.commands import Command
from daemoncore.command_watch import CommandWatch
from daemoncore.event_log import EventLog
from daemoncore.link_watch import LinkWatch
from had.custody import Informed
from had.election import Election
from had.election_settings import Member
from had.events import ControlleeExited, ControlleeStarted, Event, Heard, Note, Transition
from had.lateness import Lateness
from had.log_events import EVENTS
from had.metrics import HadMetrics
from had.on_change import OnChange
from had.status import HISTORY_LIMIT, Change
from had.transitions import Reason, State

_FIELDS_OF_MEMBERS = frozenset({"peer", "leader"})


class Telling:
    """Observes one daemon.

    Args:
        logger: where lines go.
        metrics: the numbers.
        labels: how the configuration spells each member.
        on_change: runs HAD_ON_CHANGE; None if it is not set.
    """

    def __init__(
        self,
        logger: logging.Logger,
        metrics: HadMetrics,
        labels: Mapping[Member, str],
        on_change: OnChange | None,
    ) -> None:
        self.log = EventLog(logger, EVENTS)
        self._metrics = metrics
        self.links = LinkWatch(self.log, metrics, self.entry)
        self.commands = CommandWatch(self.log, metrics.message_rejected)
        self._on_change = on_change
        self.labels = labels
        self.history: deque[Change] = deque(maxlen=HISTORY_LIMIT)
        #: Unix time since which the controllee is in its present state.
        self.controllee_since = time.time()
        self.controllee_restarts = 0
        self.last_turn = boottime.now()
        self._has_turned = False
        self._lateness = Lateness(self.log)
        self._wanted_at = self.last_turn
        self._is_rerun = False
        self._switchover_to: str | None = None

    def name(self, member: Member | None) -> str | None:
        """A member as the configuration spells it."""
        return None if member is None else self.entry(member)

    def entry(self, member: Member) -> str:
        """A member as the configuration spells it; a stranger's own number."""
        return self.labels.get(member, member)

    # --- what the machine tells -------------------------------------------------------------------------------

    def transition(self, transition: Transition) -> None:
        """The state changed."""
        source, target, reason = transition.source.value, transition.target.value, transition.reason
        self.history.append(Change(time.time(), source, target, reason.value, transition.epoch))
        self._metrics.transition(source, target, reason.slug)
        fields = {"from": source, "to": target, "why": reason.slug, "epoch": transition.epoch}
        self.log("state_changed", **fields, reason=reason.value)
        if self._on_change is not None:
            self._on_change.tell(transition)

    def note(self, note: Note) -> None:
        """Something happened without a change of state."""
        fields = dict(note.fields)
        peer = self.name(str(fields["peer"])) if "peer" in fields else None
        match note.name:
            case "message_rejected":
                self._metrics.message_rejected(str(fields["reason"]))
            case "leader_conflict" if peer is not None:
                self._metrics.leader_conflict(peer)
            case "peer_up" if peer is not None:
                self.links.reached(str(fields["peer"]))
                self._metrics.peer_up(peer, is_up=True)
            case "peer_silent" | "peer_gone" if peer is not None:
                self._metrics.peer_up(peer, is_up=False)
            case "directive":
                self._metrics.paused(bool(fields["paused"]))
        shown = {k: self._shown(k, v) for k, v in fields.items()}
        self.log(note.name, **shown)

    def _shown(self, key: str, value: object) -> object:
        if key in _FIELDS_OF_MEMBERS:
            return self.name(str(value)) if value is not None else "none"
        return value

    def controllee_wanted(self, *, is_wanted: bool) -> None:
        """The controllee was asked to run, or to stop."""
        self._wanted_at = boottime.now()
        self._metrics.controllee_wanted(is_wanted)
        self.log("controllee_wanted", wanted=is_wanted)

    def lease_renewed(self, until: float) -> None:
        """The lease was renewed."""
        self._metrics.lease(until)

    # --- what the command port tells --------------------------------------------------------------------------

    def rejected(self, member: Member, reason: str, text: str) -> None:
        """A message was understood, but not handed to the machine."""
        self._metrics.message_rejected(reason)
        self.log("message_rejected", peer=self.name(member), reason=reason, text=text)

    def commanded(self, command: str, by: str, answer: str, *, is_accepted: bool) -> None:
        """An operator's command was answered."""
        if command == Command.HAD_SWITCHOVER.name and not is_accepted:
            self._metrics.switchover("refused")
        self.log("command_received", command=command, by=by, accepted=is_accepted, answer=answer)

    # --- what the loop tells ----------------------------------------------------------------------------------

    def turned(self, election: Election, event: Event | Informed, now: float, lag_seconds: float) -> None:
        """The loop handled an event."""
        self.last_turn = now
        # The first turn is as late as the start took, which nobody waits for.
        if self._has_turned and lag_seconds:
            self._metrics.loop_lag(lag_seconds)
            self._lateness.turned(now, lag_seconds, election.settings.timeout_seconds)
        self._has_turned = True
        match event:
            case Heard():
                self._heard(election, event)
            case ControlleeStarted(pid):
                self.controllee_since = time.time()
                self._metrics.controllee_started(time.time(), now - self._wanted_at)
                self.log("controllee_started", pid=pid, epoch=election.leadership_epoch)
                self.controllee_restarts += self._is_rerun
                self._is_rerun = False
            case ControlleeExited(reason, detail):
                self._exited(reason, detail, now)
        self._metrics.epoch(election.epoch)
        self._metrics.leader_observed(self.name(election.leader), time.time())
        is_leader = election.state is State.LEADER
        if not is_leader:
            self._metrics.lease(0.0)
        if election.settings.require_majority:
            self._metrics.votes(len(election.votes.voters(election, now)) if is_leader else 0)
        restart_at = election.fitness.restart_at
        self._metrics.backoff(restart_at if math.isfinite(restart_at) else 0.0)
        self._follow_switchover(election)

    def _follow_switchover(self, election: Election) -> None:
        """Count a switchover by its true end: the successor leads, or somebody else does."""
        if election.handing_over is Reason.switchover:
            self._switchover_to = election.successor
        elif self._switchover_to is not None and election.leader is not None:
            self._metrics.switchover("done" if election.leader == self._switchover_to else "failed")
            self._switchover_to = None

    def _heard(self, election: Election, event: Heard) -> None:
        message = event.message
        peer = election.peers.get(message.sender)
        if peer is None or peer.message is not message:
            return
        name = self.entry(message.sender)
        self._metrics.message_received(name, event.kind.value, time.time())
        if message.is_ours:
            self._metrics.clock_skew(name, message.wall_clock - time.time())
            mismatch = message.shared_hash != election.settings.shared_hash
            self._metrics.configuration_mismatch(name, mismatch)

    def _exited(self, reason: str, detail: str, now: float) -> None:
        self.controllee_since = time.time()
        is_asked = reason == "requested"
        self._is_rerun = not is_asked
        self._metrics.controllee_exited(reason, now - self._wanted_at if is_asked else None)
        self.log("controllee_exited", reason=reason, detail=detail)
