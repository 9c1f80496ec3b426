"""The safety invariants, checked at every step of a run.

`Watch` sees everything that goes into and comes out of every machine, and every controllee that starts or ends. It
keeps its own, much simpler idea of what each node has heard, so that a machine which fools itself does not fool the
check. The numbers in the messages are those of this list:

1. An epoch belongs to one leadership; it is on disk before its leadership is announced or its controllee starts.
2. Nobody starts a controllee while it hears, at first hand, a live leader that is not yielding, or within the
   guard's time after finding a leader's daemon gone.
3. In a quiet network there are never two controllees.
4. A controllee's lease ends before T after the last heartbeat that its leader sent.
5. Only legal changes of state, each from the state before it; a lease is renewed only for a controllee of a leader.
6. The controllee is started when it is stopped, and a finished daemon has none.
7. Under a pause nobody elects, hands over or abstains; an abstaining node takes leadership only when every member that
   it hears abstains too.
8. Where a majority is needed there are never two controllees, whatever the network does; the epochs of leaderships
   rise; a grant is on disk before it is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from had import election_settings, events
from had.custody_events import HandoverCalledOff
from had.transitions import LEGAL, Reason, State
from tests.simulation.controllee import GUARD_SECONDS, Phase
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from tests.simulation.network import Network
    from tests.simulation.node import Node

UNDER_PAUSE = frozenset(
    {Reason.handed_over, Reason.primary_returned, Reason.switchover, Reason.controllee_failed}
)
"""Reasons for which nobody changes state while automatic failover is paused."""


@attrs.define(slots=True)
class Heard:
    """The last message that a node had from another, and when by the node's own clock."""

    message: events.Message
    at: float
    refused_at: float | None = None


@attrs.define(slots=True)
class View:
    """What the watch knows of one daemon."""

    state: State
    heard: dict[str, Heard] = attrs.field(factory=dict)
    leader_gone_at: float = -1e9
    told: Phase = Phase.STOPPED
    epoch: int = 0
    was_paused: bool = False
    was_handing_over: Reason | None = None
    #: Whether the controllee was started once under the present leadership.
    has_started: bool = False


@attrs.define(slots=True)
class Run:
    """One controllee, from its first instruction to its end."""

    node: str
    epoch: int
    since: float
    until: float | None = None
    reason: str = ""
    is_ours: bool = True


class Watch:
    """Sees everything, and objects."""

    def __init__(self, world: World):
        self.world = world
        self.network: Network | None = None
        #: Events that a machine has handled, each judged when it was.
        self.steps = 0
        self.views: dict[str, View] = {}
        self.owners: dict[int, str] = {}
        self.runs: list[Run] = []
        self.running: dict[str, Run] = {}
        #: Controllees on hosts that stand still.
        self.suspended: dict[str, Run] = {}
        #: So long after the last disturbance a network counts as quiet; the runner sets it from T.
        self.settle_seconds = 10.0
        #: A real condor_had's negotiator outlives it, and real ones do not wait for each other: only two of ours count.
        self.is_mixed = False
        #: HAD_REQUIRE_MAJORITY is set everywhere.
        self.has_majority = False
        self.transitions: list[tuple[float, str, events.Transition]] = []
        self.answers: dict[int, events.Answer] = {}
        #: An epoch can come twice to a pool whose disks or lists differ.
        self.lost_disks = False
        self.lists_differ = False

    def object(self, node: Node, text: str) -> None:
        """Raise a violation."""
        raise Violation(f"{node.label}: {text}")

    # --- one step of a machine ----------------------------------------------------------------------------------

    def started(self, node: Node) -> None:
        """Note that a daemon begins."""
        assert node.machine is not None
        self.views[node.name] = View(node.machine.state, epoch=node.disk.record.epoch)

    def before(self, node: Node, event: events.Event, local: float) -> None:
        """Note what the machine is about to learn."""
        view = self.views[node.name]
        assert node.machine is not None
        view.was_paused = node.machine.is_paused
        view.was_handing_over = node.machine.handing_over
        if isinstance(event, events.Heard):
            message = event.message
            known = view.heard.get(message.sender)
            if known and known.message.is_ours and message.is_ours:
                old = (known.message.instance, known.message.sequence)
                if (message.instance, message.sequence) <= old:
                    return
                if message.state is not State.LEADER and known.message.state is State.LEADER:
                    view.leader_gone_at = -1e9
                elif known.refused_at is not None and message.instance == old[0]:
                    return
            view.heard[message.sender] = Heard(message, local)
        elif isinstance(event, events.Refused):
            known = view.heard.get(event.peer)
            if known and self._is_leading(node, known, local):
                view.leader_gone_at = local
            if known:
                known.refused_at = local
        elif isinstance(event, events.ControlleeStarted):
            view.told = Phase.RUNNING
        elif isinstance(event, (events.ControlleeExited, HandoverCalledOff)):
            view.told = Phase.STOPPED

    def after(self, node: Node, effects: list[events.Effect], local: float) -> None:
        """Judge what the machine wants done."""
        self.steps += 1
        view = self.views[node.name]
        assert node.machine is not None
        view.was_paused &= node.machine.is_paused
        begun = node.machine.handing_over
        if view.was_paused and begun is not view.was_handing_over and begun in UNDER_PAUSE:
            self.object(node, f"7: begins to hand over under a pause: {begun.slug}")
        for effect in effects:
            kind = type(effect)
            if kind is events.Send:
                self._grants(node, effect.message)
                if effect.message.state is State.LEADER:
                    self._leader_speaks(node, effect)
            elif kind is events.Transition:
                self._changes(node, view, effect)
            elif kind is events.StartControllee:
                self._starts(node, view, effect, local)
            elif kind is events.RenewLease:
                self._renews(node, effects, effect, local)
                if view.state is not State.LEADER:
                    self.object(node, f"5: renews the lease as {view.state.value}")
            elif kind is events.PublishEpoch:
                self._publishes(node, view, effect.epoch)
            elif kind is events.Finished:
                if view.told is not Phase.STOPPED:
                    self.object(node, "6: finished while its controllee runs")
            elif kind is events.Answer:
                self.answers[effect.request] = effect
                self.world.tell(
                    node.label, f"answers: {'yes' if effect.is_accepted else 'no'}, {effect.text}"
                )
            elif kind is events.Note and effect.name == "abstaining" and view.was_paused:
                self.object(node, "7: abstains under a pause")

    def done(self, node: Node) -> None:
        """Judge the step as a whole."""
        view = self.views[node.name]
        machine = node.machine
        if machine is None:
            return
        if machine.state is not view.state:
            self.object(node, f"5: state {machine.state.value} without a transition from {view.state.value}")

    def _renews(
        self, node: Node, effects: list[events.Effect], renewal: events.RenewLease, local: float
    ) -> None:
        assert node.machine is not None
        limit = local + node.machine.settings.lease_seconds
        if renewal.until > limit + 1e-6:
            self.object(node, f"4: the lease ends {renewal.until - limit:.3f} s too late")
        if self.has_majority:
            # It is counted from a request that left earlier: the voters that granted it are bound for longer.
            return
        told = {e.to for e in effects if type(e) is events.Send}
        untold = {m for m, p in node.machine.peers.items() if p.is_ours} - told
        if untold:
            self.object(node, f"4: renews its lease without a heartbeat to {sorted(untold)}")

    def _grants(self, node: Node, message: events.Message) -> None:
        grant, vote = message.grant, node.disk.record.vote
        if grant is not None and (vote is None or vote.member != grant.member):
            self.object(node, f"8: grants {grant.member} a lease, on disk is {vote}")

    def _leader_speaks(self, node: Node, send: events.Send) -> None:
        epoch = send.message.epoch
        if epoch > node.disk.record.epoch:
            self.object(node, f"1: announces epoch {epoch}, on disk is {node.disk.record.epoch}")

    def _changes(self, node: Node, view: View, change: events.Transition) -> None:
        self.world.tell(
            node.label,
            f"{change.source.value} -> {change.target.value}: {change.reason.value} (epoch {change.epoch})",
        )
        self.transitions.append((self.world.now, node.name, change))
        if change.source is not view.state or change.reason not in LEGAL.get(
            (change.source, change.target), ()
        ):
            self.object(node, f"5: illegal change {change} from {view.state.value}")
        view.state = change.target
        view.has_started = False
        if view.was_paused:
            was_mine = node.disk.record.epoch % election_settings.EPOCH_STRIDE == node.settings.my_id
            if self.has_majority:
                # What it was told last may be on its disk, or on the way there.
                assert node.machine is not None
                records = (node.disk.record, node.machine.ledger.wanted)
                leaders = {r.electorate.number[0] % election_settings.EPOCH_STRIDE for r in records}
                was_mine = node.settings.my_id in leaders
            if change.target is State.ELECTION and not was_mine and not self.lists_differ:
                self.object(node, f"7: {change.reason.slug} under a pause")
        if change.target is State.LEADER:
            self._publishes(node, view, change.epoch)

    def _publishes(self, node: Node, view: View, epoch: int) -> None:
        if node.disk.record.epoch < epoch:
            self.object(node, f"1: leads with epoch {epoch}, on disk is {node.disk.record.epoch}")
        if epoch < view.epoch and view.state is State.LEADER:
            self.object(node, f"1: the epoch falls from {view.epoch} to {epoch}")
        leadership = f"{node.label} instance {node.instance}, leadership {self._count(node)}"
        owner = self.owners.setdefault(epoch, leadership)
        if owner != leadership and not (self.lost_disks or self.lists_differ):
            self.object(node, f"1: epoch {epoch} belongs to {owner}")
        view.epoch = epoch

    def _count(self, node: Node) -> int:
        return sum(1 for _, name, c in self.transitions if name == node.name and c.target is State.LEADER)

    def _starts(self, node: Node, view: View, start: events.StartControllee, local: float) -> None:
        if view.told is not Phase.STOPPED:
            self.object(node, f"6: StartControllee while it is {view.told.value}")
        view.told = Phase.STARTING
        if view.state is not State.LEADER:
            self.object(node, f"5: starts the controllee as {view.state.value}")
        if start.epoch > node.disk.record.epoch:
            self.object(node, f"1: starts with epoch {start.epoch}, on disk is {node.disk.record.epoch}")
        # A leader that restarts its own controllee led already when the other's daemon was found gone.
        is_first, view.has_started = not view.has_started, True
        if is_first and local - view.leader_gone_at < GUARD_SECONDS:
            self.object(
                node, f"2: starts {local - view.leader_gone_at:.3f} s after a leader's daemon was found gone"
            )
        if node.network.is_quiet_since(self.settle_seconds):
            for heard in view.heard.values():
                if self._is_leading(node, heard, local):
                    age = local - heard.at
                    self.object(
                        node, f"2: starts though leader {heard.message.sender} was heard {age:.3f} s ago"
                    )

    def _is_leading(self, node: Node, heard: Heard, local: float) -> bool:
        message = heard.message
        formula = node.settings.condor_interval_seconds
        validity = formula if message.validity_seconds is None else min(message.validity_seconds, formula)
        # A real condor_had's negotiator does not die with it.
        is_proved_gone = heard.refused_at is not None and message.is_ours
        return (
            message.state is State.LEADER
            and message.successor is None
            and message.sender in node.settings.others
            and not is_proved_gone
            and local < heard.at + validity - 1e-6
        )

    # --- controllees --------------------------------------------------------------------------------------------

    def controllee_runs(self, node: Node, epoch: int) -> None:
        """Note a new controllee and count them."""
        self.world.tell(node.label, f"controllee runs (epoch {epoch})")
        self.begin(node.name, epoch, is_ours=True)

    def controllee_gone(self, node: Node, reason: str) -> None:
        """Note the end of a controllee."""
        self.world.tell(node.label, f"controllee gone ({reason})")
        self.end(node.name, reason)

    def begin(self, name: str, epoch: int, *, is_ours: bool) -> None:
        """Count one more controllee, and object to a second one in a quiet network."""
        run = Run(name, epoch, self.world.now, is_ours=is_ours)
        self.runs.append(run)
        self.running[name] = run
        if len(self.running) > 1:
            self.check_overlap()
        if self.has_majority and len(self.running) > 1:
            who = ", ".join(f"{r.node} (epoch {r.epoch})" for r in self.running.values())
            raise Violation(f"8: two controllees though a majority is needed: {who}")
        last = max((r.epoch for r in self.runs[:-1]), default=0)
        if self.has_majority and epoch < last and not self.lost_disks:
            raise Violation(f"8: {name} leads with epoch {epoch} after {last}")

    def end(self, name: str, reason: str) -> None:
        """Count one fewer."""
        run = self.running.pop(name, None) or self.suspended.pop(name)
        run.until, run.reason = self.world.now, reason

    def suspend(self, name: str) -> None:
        """Do not count a controllee that stands still with its host."""
        if name in self.running:
            self.suspended[name] = self.running.pop(name)

    def resume(self, name: str) -> None:
        """Count it again: its lease is not over, so there must be no other."""
        self.running[name] = self.suspended.pop(name)
        if self.has_majority and len(self.running) > 1:
            raise Violation(f"8: two controllees when {name} went on")

    def check_overlap(self) -> None:
        """Object to two controllees in a quiet network."""
        assert self.network is not None
        counted = [r for r in self.running.values() if r.is_ours or not self.is_mixed]
        if len(counted) > 1 and self.network.is_quiet_since(self.settle_seconds):
            who = ", ".join(f"{r.node} (epoch {r.epoch})" for r in counted)
            raise Violation(f"3: two controllees in a quiet network: {who}")
