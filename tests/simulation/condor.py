"""A model of the real condor_had and the condor_master that runs its negotiator.

Written from the behaviour of HTCondor 25 (StateMachine.cpp: the cycle timer, the step, the send round; command
numbers and ads do not matter here). What counts for mixed pools is kept exactly: one step and two rounds of messages
per hadInterval = 2 * (2 * T * N + 1); sets of ids that are cleared at most transitions and *kept* from PASSIVE to
ELECTION; blocking sends, one after another, of T for a peer that does not answer, during which nothing is
heard; CHILD_ON and CHILD_OFF_FAST that nobody acknowledges; a negotiator that outlives a killed condor_had (in truth its
master ends that one and starts another a second later, which lives until condor_had is back and has it stopped).
"""

from __future__ import annotations

from had import election_settings, events
from had.overheard import Overheard
from had.transitions import State
from tests.simulation.invariants import Watch
from tests.simulation.network import PROCESS_DOWN, PROCESS_FROZEN, PROCESS_UP, Network
from tests.simulation.world import Timer, World

RETRY_SECONDS = 1.0
"""So long HTCondor waits before it tries a refused connection again (sock.cpp, Sock::do_connect_finish)."""

KEEPS_IDS = (State.PASSIVE, State.ELECTION)
"""The one step that does not forget the ids received before it."""


def next_state(state: State, alive: set[int], elected: set[int], me: int, *, is_primary: bool) -> State:
    """Return where one step of condor_had leads (StateMachine.cpp, HADStateMachine::step).

    Args:
        state: where it is.
        alive: ids of the HAD_ALIVE_CMDs received since they were last forgotten.
        elected: ids of the HAD_SEND_ID_CMDs.
        me: its own id.
        is_primary: HAD_USE_PRIMARY, and it is the first entry.
    """
    if state is State.PASSIVE and (not alive or is_primary):
        return State.ELECTION
    if state is State.ELECTION and (is_primary or not alive) and all(other <= me for other in elected):
        return State.LEADER
    if state is State.LEADER and all(other <= me for other in alive):
        return State.LEADER
    return State.PASSIVE


class CondorNode:
    """One host with HTCondor's own daemons on it."""

    is_ours = False
    clock_rate = 1.0

    def __init__(
        self,
        world: World,
        network: Network,
        watch: Watch,
        settings: election_settings.ElectionSettings,
        stop_seconds: tuple[float, float],
    ):
        self.world, self.network, self.watch, self.settings = world, network, watch, settings
        self.name = settings.me
        self.label = settings.me.partition(":")[0]
        self.timeout_seconds = settings.timeout_seconds
        self.interval = settings.condor_interval_seconds
        self.is_host_up = True
        self.process = PROCESS_DOWN
        self.state = State.PRE
        self.alive: set[int] = set()
        self.elected: set[int] = set()
        #: Its programs were replaced by ours: nobody starts condor_had again.
        self.is_retired = False
        self._stop_seconds = stop_seconds
        self._firings = 0
        #: Sending, and so deaf: nothing is read, and no login answered.
        self.is_busy = False
        self._is_due = False
        self._inbox: list[events.Heard] = []
        #: The start of each daemon of ours with which there is a session.
        self._sessions: dict[str, int] = {}
        self._timers: list[Timer] = []
        self._negotiator: Timer | None = None
        network.nodes[self.name] = self

    @property
    def is_up(self) -> bool:
        """Tell whether condor_had exists."""
        return self.process != PROCESS_DOWN

    @property
    def is_leading(self) -> bool:
        """Tell whether it says LEADER."""
        return self.is_up and self.state is State.LEADER

    @property
    def is_empty(self) -> bool:
        """Tell whether neither condor_had nor its negotiator runs."""
        return not self.is_up and self.name not in self.watch.running

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start condor_had: the master is told to stop the negotiator, then the cycle begins."""
        if self.is_up or not self.is_host_up or self.is_retired:
            return
        self.world.tell(self.label, "condor_had started")
        self.process = PROCESS_UP
        self.state, self._firings, self.is_busy, self._is_due = State.PRE, 0, False, False
        self.alive.clear()
        self.elected.clear()
        self._inbox.clear()
        self._sessions.clear()
        self._child_off()
        self.network.open_all(self.name, self.settings.others)
        self._fire()

    def kill(self) -> None:
        """SIGKILL of condor_had; its negotiator goes on, and the master starts condor_had again after 10 s."""
        if not self.is_up:
            return
        self.world.tell(self.label, "condor_had killed")
        self._end()
        self.network.process_ended(self.name)

    def stop(self) -> None:
        """SIGTERM of condor_had: it has the master stop the negotiator, tells no other member, and ends."""
        if not self.is_up:
            return
        self.world.tell(self.label, "condor_had stopped")
        self._end()
        self._child_off()
        self.network.process_ended(self.name)

    def host_death(self) -> None:
        """Power is cut."""
        if not self.is_host_up:
            return
        self.world.tell(self.label, "host died")
        self._end()
        self.is_host_up = False
        self._cancel_negotiator()
        if self.name in self.watch.running:
            self.watch.end(self.name, "killed")
        self.network.host_died(self.name)

    def host_return(self, *, is_disk_lost: bool = False) -> None:
        """The machine boots; the master starts condor_had."""
        del is_disk_lost  # condor_had keeps nothing
        if not self.is_host_up:
            self.is_host_up = True
            self.network.host_returned(self.name)
            self.world.after(self.world.between(0.05, 1), self.start)

    def freeze(self) -> None:
        """SIGSTOP of condor_had."""
        if self.process == PROCESS_UP:
            self.world.tell(self.label, "condor_had frozen")
            self.process = PROCESS_FROZEN
            self.network.process_froze(self.name)

    def thaw(self) -> None:
        """SIGCONT."""
        if self.process == PROCESS_FROZEN:
            self.world.tell(self.label, "condor_had continued")
            self.process = PROCESS_UP
            self.network.process_thawed(self.name)
            self._read()

    def _end(self) -> None:
        self.process, self.is_busy = PROCESS_DOWN, False
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # --- messages ---------------------------------------------------------------------------------------------

    def receive(self, event: events.Event) -> None:
        """Take a message; it waits while a blocking send is under way."""
        if not isinstance(event, events.Heard) or self.process == PROCESS_DOWN:
            return
        self._inbox.append(event)
        if not self.is_busy and self.process == PROCESS_UP:
            self._read()

    def _read(self) -> None:
        for heard in self._inbox:
            ids = {events.Kind.ALIVE: self.alive, events.Kind.SEND_ID: self.elected}.get(heard.kind)
            if ids is not None and heard.message.controllee == self.settings.controllee:
                ids.add(heard.message.rank_id)
        self._inbox.clear()
        if self._is_due:
            self._is_due = False
            self._fire()

    # --- the cycle --------------------------------------------------------------------------------------------

    def _fire(self) -> None:
        if self.is_busy or self.process != PROCESS_UP:
            self._is_due = True
            return
        self._timers = [t for t in self._timers if t.act is not None and t.when >= self.world.now]
        self._timers.append(self.world.after(self.interval / 2, self._fire))
        self._firings += 1
        if self._firings % 2 == 1:
            self._step()
        kind = {State.LEADER: events.Kind.ALIVE, State.ELECTION: events.Kind.SEND_ID}.get(self.state)
        if kind is not None:
            self.is_busy = True
            self._send_round(kind, list(self.settings.others))

    def _step(self) -> None:
        before = self.state
        after = next_state(
            before, self.alive, self.elected, self.settings.my_id, is_primary=self.settings.is_primary
        )
        self._become(after, keep=(before, after) == KEEPS_IDS)
        if after is State.LEADER and before is State.ELECTION:
            self._child_on()
        elif before is State.LEADER and after is State.PASSIVE:
            self._child_off()

    def _become(self, state: State, *, keep: bool = False) -> None:
        if state is not self.state:
            self.world.tell(self.label, f"condor_had: {self.state.value} -> {state.value}")
        self.state = state
        if not keep:
            self.alive.clear()
            self.elected.clear()

    def _send_round(self, kind: events.Kind, targets: list[str], tried_seconds: float = 0.0) -> None:
        """Send to one target after another; a dead one costs T, during which nothing is read.

        A refused connection is tried again each second, so a daemon that comes up meanwhile gets the message.
        """
        if not targets:
            self.is_busy = False
            self._read()
            return
        target, *rest = targets
        node = self.network.nodes.get(target)
        pair, t = (self.name, target), self.timeout_seconds
        if node is None or pair in self.network.cuts or not node.is_host_up or node.process == PROCESS_FROZEN:
            self._timers.append(self.world.after(t, self._send_round, kind, rest))
        elif node.process == PROCESS_UP or tried_seconds >= t:
            if node.process == PROCESS_UP and pair not in self.network.denied:
                self._send(kind, target)
            self._timers.append(self.world.after(0.005, self._send_round, kind, rest))
        else:
            again = min(RETRY_SECONDS, t - tried_seconds)
            self._timers.append(
                self.world.after(again, self._send_round, kind, targets, tried_seconds + again)
            )

    def _send(self, kind: events.Kind, target: str) -> None:
        s = self.settings
        message = events.Message(
            self.name,
            s.my_id,
            s.controllee,
            self.state,
            members=s.members,
            is_ours=False,
            is_primary=s.is_primary,
        )
        self.world.after(0.004, self._arrive, target, events.Heard(message, kind))

    def _arrive(self, target: str, heard: events.Heard) -> None:
        node = self.network.nodes[target]
        if not node.is_host_up or (self.name, target) in self.network.one_way:
            return
        if self._is_lost(target, node):
            # The daemon has a number for its start; another condor_had that cannot read it says nothing of it.
            if heard.kind is events.Kind.ALIVE and node.process == PROCESS_UP:
                node.receive(Overheard(self.name))
            return
        node.receive(heard)

    def _is_lost(self, target: str, node: object) -> bool:
        """Whether a message goes out on a session with the daemon that ran there before; the next one negotiates."""
        number = getattr(node, "instance", 0)
        known = self._sessions.get(target, number)
        self._sessions[target] = number
        return known != number

    # --- the master and its negotiator --------------------------------------------------------------------------

    def _child_on(self) -> None:
        self._cancel_negotiator()
        if self.name not in self.watch.running:
            self._negotiator = self.world.after(self.world.between(0.01, 0.1), self._negotiator_runs)

    def _child_off(self) -> None:
        self._cancel_negotiator()
        if self.name in self.watch.running:
            self._negotiator = self.world.after(
                self.world.between(*self._stop_seconds), self._negotiator_gone
            )

    def _cancel_negotiator(self) -> None:
        if self._negotiator:
            self._negotiator.cancel()

    def _negotiator_runs(self) -> None:
        self.world.tell(self.label, "negotiator runs")
        self.watch.begin(self.name, 0, is_ours=False)

    def _negotiator_gone(self) -> None:
        if self.name in self.watch.running:
            self.world.tell(self.label, "negotiator gone")
            self.watch.end(self.name, "requested")
