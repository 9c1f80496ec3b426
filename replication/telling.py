"""Tells people what the replica machine does: the log, the metrics and the history.

The machine emits values; this observer is the one place where they become words and numbers. It decides nothing, and
a fault here stops nothing. Members are named as the configuration spells them, not by their numeric identity. What the
parts around the machine tell goes to observers of their own: `transfers`, `store`, `links` and `commands`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping

from daemoncore import boottime
from daemoncore.command_watch import CommandWatch
from daemoncore.event_log import EventLog
from daemoncore.link_watch import LinkWatch
from replication import view
from replication.effects import Remark, Transition
from replication.events import Event, Installed, Revised
from replication.lag import Lag
from replication.log_events import EVENTS
from replication.metrics import ReplicationMetrics
from replication.replica import Replica
from replication.replica_settings import Member
from replication.status import HISTORY_LIMIT, Change
from replication.store_telling import StoreTelling
from replication.transfer_telling import TransferTelling
from replication.version import Version

_FIELDS_OF_MEMBERS = frozenset({"peer", "leader"})

_PEER_EVENTS = {"alive": "peer_up", "silent": "peer_silent", "gone": "peer_gone"}


class Telling:
    """Observes one daemon.

    Args:
        logger: where lines go.
        metrics: the numbers.
        labels: how the configuration spells each member.
        wall_clock: Unix time.
    """

    def __init__(
        self,
        logger: logging.Logger,
        metrics: ReplicationMetrics,
        labels: Mapping[Member, str],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._metrics = metrics
        self._wall_clock = wall_clock
        self.labels = labels
        #: Writes a line for an event of the table.
        self.log = EventLog(logger, EVENTS)
        self.history: deque[Change] = deque(maxlen=HISTORY_LIMIT)
        self.lag = Lag()
        self.last_turn = boottime.now()
        self.commands = CommandWatch(self.log, metrics.message_rejected)
        self.links = LinkWatch(self.log, metrics, self.name)
        self.transfers = TransferTelling(self.log, metrics, self.name, wall_clock)
        self.store = StoreTelling(self.log, metrics)
        self._peers: dict[Member, str] = {}
        self._leader: Member | None = None
        self._version: Version | None = None
        self._has_turned = False

    def name(self, member: Member) -> str:
        """A member as the configuration spells it."""
        return self.labels.get(member, member)

    # --- what the machine tells -------------------------------------------------------------------------------

    def transition(self, transition: Transition) -> None:
        """The state changed."""
        source, target, reason = transition.source.value, transition.target.value, transition.reason
        self.history.append(Change(self._wall_clock(), source, target, reason))
        self._metrics.state(target)
        self.log("state_changed", **{"from": source, "to": target}, reason=reason)

    def remark(self, remark: Remark) -> None:
        """Something happened without a change of state."""
        fields = dict(remark.fields)
        match remark.name:
            case "report_rejected":
                self._metrics.message_rejected(str(fields["reason"]))
            case "version_rejected":
                self._metrics.version_rejected(str(fields["why"]))
            case "upload_refused":
                self._metrics.message_rejected(str(fields["why"]))
        self.log(remark.name, **{key: self._shown(key, value) for key, value in fields.items()})

    def _shown(self, key: str, value: object) -> object:
        return self.name(str(value)) if key in _FIELDS_OF_MEMBERS else value

    # --- what the command port tells --------------------------------------------------------------------------

    def rejected(self, member: Member, reason: str, text: str) -> None:
        """A message was understood, but not handed to the machine."""
        self._metrics.message_rejected(reason)
        self.log("message_rejected", peer=self.name(member), reason=reason, text=text)

    def commanded(self, command: str, by: str, answer: str, *, is_accepted: bool) -> None:
        """An operator's command was answered."""
        self.log("command_received", command=command, by=by, accepted=is_accepted, answer=answer)

    # --- what the loop tells ----------------------------------------------------------------------------------

    def turned(self, replica: Replica, event: Event, now: float) -> None:
        """The loop handled an event."""
        self.last_turn = now
        word = view.leaders_word(replica, now)
        if word is not None and word.version is not None:
            self.lag.heard(word.version, word.said_at, word.good_until)
        self._follow_leader(None if word is None else word.member)
        self._follow_peers(replica, now)
        self._follow_version(replica, event)
        self._has_turned = True

    def _follow_leader(self, leader: Member | None) -> None:
        if leader != self._leader:
            self._leader = leader
            self.log("following", leader="none" if leader is None else self.name(leader))

    def _follow_peers(self, replica: Replica, now: float) -> None:
        """Say who is heard, who is not any more; a peer that was never heard is no news."""
        states = {member: view.peer_state(peer, now) for member, peer in replica.peers.items()}
        for member, state in states.items():
            if state != self._peers.get(member, "unknown") and state in _PEER_EVENTS:
                if state == "alive":
                    self.links.reached(member)
                self.log(_PEER_EVENTS[state], peer=self.name(member))
        self._peers = states

    def _follow_version(self, replica: Replica, event: Event) -> None:
        """Say which version is held here now, and how it came; the one of the start is no news."""
        own, before = replica.ledger.own, self._version
        version = None if own is None else own.version
        self._version = version
        if version is None or version == before or not self._has_turned:
            return
        is_other = before is None or before.gid != version.gid
        match event:
            case Installed():
                self.log("state_joined" if is_other else "version_installed", version=version.point)
            case Revised():
                self.log("state_revised", version=version.point)
            case _ if is_other and not replica.ledger.is_leading:
                self.log("state_numbered", version=version.point)
            case _ if is_other:
                parent = version.lineage[0] if version.lineage else "none"
                self.log("leadership_recorded", version=version.point, parent=parent)
            case _:
                self.log("version_published", version=version.point)

    # --- what a scrape asks -----------------------------------------------------------------------------------

    def measure(self, replica: Replica, now: float) -> None:
        """Bring the numbers that only time changes up to date; to be called before each scrape.

        A replica that was never heard lacks everything that is known of; its lag is the age of that.
        """
        own = replica.ledger.own
        self._metrics.version(0 if own is None else own.version.clock)
        word = view.leaders_word(replica, now)
        for member, peer in replica.peers.items():
            version = view.version_of(peer, self.transfers.sent)
            age = self.lag.age(version, now)
            self._metrics.peer(
                self.name(member),
                clock=0 if version is None else version.clock,
                is_in_sync=view.is_in_sync(peer, version, word),
                lag_seconds=0.0 if age is None else age.seconds,
            )
