"""One simulated pool: its hosts, its network, and what can be asked of it as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable

from had import election_settings
from had.transitions import State
from tests.simulation.condor import CondorNode
from tests.simulation.controllee import Habits
from tests.simulation.invariants import Run, Watch
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.options import Options
from tests.simulation.world import Clock, Violation, World

RESTING = frozenset({State.PASSIVE, State.WITNESS})
"""States of a member that does not lead and has nothing left to do."""

ORDERLY_KINDS = frozenset({"exchange", "stop", "host", "die"})
"""What leaves never two in a mixed pool too: no negotiator of HTCondor's outlives its daemon, and all hear each other."""


class Pool:
    """All hosts of one run."""

    def __init__(self, options: Options, seed: int = 0, *, is_tracing: bool = False):
        self.options = options
        self.world = World(seed, is_tracing=is_tracing)
        self.watch = Watch(self.world)
        self.network = Network(self.world, options.latency)
        self.watch.network = self.network
        self.watch.settle_seconds = (
            options.settle_timeouts * options.timeout_seconds + 2 + options.stop_timeout_seconds
        )
        self.watch.is_mixed = bool(options.condors) and not set(options.kinds) <= ORDERLY_KINDS
        self.watch.has_majority = options.majority
        self.members = options.members
        self.nodes: list[Node] = []
        self.condors: list[CondorNode] = []
        #: What ran on a host before its programs were exchanged, ready to be started again.
        self._replaced: dict[str, Node | CondorNode] = {}
        self._requests = 0
        for index, member in enumerate((*options.members, *options.witness_members)):
            if index in options.condors:
                self.condors.append(self._condor(member))
            else:
                self.nodes.append(self._node(member))

    @property
    def everyone(self) -> list[Node]:
        """All hosts, ours first; a CondorNode has the same verbs."""
        return [*self.nodes, *self.condors]  # type: ignore[list-item]

    @property
    def timeout(self) -> float:
        """T."""
        return self.options.timeout_seconds

    def settings_of(self, member: str) -> election_settings.ElectionSettings:
        """Return a member's configuration, as the seed has it."""
        o = self.options
        return election_settings.ElectionSettings(
            member,
            o.members,
            timeout_seconds=o.timeout_seconds,
            use_primary=o.use_primary,
            witnesses=o.witness_members,
            clock_drift=0.01,
            require_majority=o.majority,
            stop_timeout_seconds=o.stop_timeout_seconds,
            restart_window_seconds=o.restart_window_seconds,
            backoff_constant_seconds=o.backoff_constant_seconds,
            backoff_ceiling_seconds=o.backoff_ceiling_seconds,
            recover_seconds=o.recover_seconds,
        )

    def _node(self, member: str) -> Node:
        drift = self.options.clock_drift
        start, skew = (self.world.between(0, 1e5), self.world.between(-drift, drift)) if drift else (0.0, 0.0)
        if self.options.is_drift_extreme:
            skew = math.copysign(drift, skew)
        clock = Clock(start, 1 + skew)
        node = Node(self.world, self.network, self.watch, self.settings_of(member), clock)
        node.disk.delay = self.options.disk_delay
        return node

    def _condor(self, member: str) -> CondorNode:
        stop = (0.01, self.options.stop_timeout_seconds / 2)
        return CondorNode(self.world, self.network, self.watch, self.settings_of(member), stop)

    def next_request(self) -> int:
        """Number an operator's request."""
        self._requests += 1
        return self._requests

    # --- looking at it --------------------------------------------------------------------------------------------

    @property
    def runs(self) -> list[Run]:
        """The controllees that run now."""
        return list(self.watch.running.values())

    def leader(self) -> Node | None:
        """Return the one node that leads and runs the controllee, None unless there is exactly one."""
        leaders = [n for n in self.everyone if n.is_leading]
        if len(leaders) == 1 and [r.node for r in self.runs] == [leaders[0].name]:
            return leaders[0]
        return None

    def can_elect(self, *without: Node) -> bool:
        """Tell whether a leader could come of those that are up, these excepted."""
        up = [n for n in self.everyone if n.is_up and n not in without]
        has_votes = not self.options.majority or len(up) > len(self.everyone) // 2
        return has_votes and any(n.name in self.members for n in up)

    def is_settled(self) -> bool:
        """Tell whether one node leads, runs the controllee and may go on doing so, and all others rest."""
        leader = self.leader()
        if leader is None or leader is not self.rightful(leader):
            return False
        for node in self.nodes:
            machine = node.machine
            if node is leader or machine is None:
                continue
            if machine.state not in RESTING or (machine.leader != leader.name and not self.condors):
                return False
        return True

    def rightful(self, leader: Node) -> Node:
        """Return who should lead: the primary when it can and may, else whoever leads."""
        if not self.options.use_primary or self.condors:
            return leader
        primary = next((n for n in self.nodes if n.name == self.members[0]), None)
        if primary is None or primary.machine is None or primary.machine.abstains_seconds is not None:
            return leader
        hold = primary.machine.hold
        if hold is not None and hold.member == primary.name:
            return leader
        return primary

    def describe(self) -> str:
        """Say how every node stands, for the message of a failed check."""
        parts = []
        for node in self.nodes:
            m = node.machine
            state = "down" if m is None else f"{m.state.value} follows {m.leader} epoch {m.epoch}"
            parts.append(f"{node.label}: {node.process}, {state}, controllee {node.guard.phase.value}")
        parts += [f"{c.label}: {c.process}, condor_had {c.state.value}" for c in self.condors]
        return "; ".join(parts)

    # --- upgrades ---------------------------------------------------------------------------------------------

    def upgrade(self, old: CondorNode, prepare: Callable[[Node], None] = lambda _node: None) -> None:
        """Replace HTCondor's daemon of a host by ours; what ours once wrote to the disk is still there."""
        self.world.tell(old.label, "upgrade to our programs")
        new = self._replaced.get(old.name) or self._node(old.name)
        assert isinstance(new, Node)
        prepare(new)
        self._exchange(old, new, self.condors, self.nodes)

    def downgrade(self, old: Node) -> None:
        """Replace our daemon of a host by HTCondor's."""
        self.world.tell(old.label, "downgrade to HTCondor's programs")
        new = self._replaced.get(old.name) or self._condor(old.name)
        assert isinstance(new, CondorNode)
        self._exchange(old, new, self.nodes, self.condors)

    def _exchange(self, old: Node | CondorNode, new: Node | CondorNode, of_old: list, of_new: list) -> None:
        self._replaced[old.name] = old
        # A host enters itself into the network when it is made; this one's turn comes when the old one has ended.
        self.network.nodes[old.name] = old
        old.is_retired = True
        old.stop()
        self._exchange_when_empty(old, new, of_old, of_new)

    def _exchange_when_empty(
        self, old: Node | CondorNode, new: Node | CondorNode, of_old: list, of_new: list
    ) -> None:
        if not old.is_empty or not old.is_host_up:
            self.world.after(0.01, self._exchange_when_empty, old, new, of_old, of_new)
            return
        of_old.remove(old)
        of_new.append(new)
        for those in (self.nodes, self.condors):
            those.sort(key=lambda host: host.name)  # type: ignore[attr-defined]
        self.network.nodes[new.name] = new
        new.is_host_up, new.is_retired = True, False
        new.start()

    # --- doing things ---------------------------------------------------------------------------------------------

    def start_all(self, skew_seconds: float = 0.0) -> None:
        """Start every daemon, within a skew."""
        for node in self.everyone:
            self.world.after(self.world.between(0, skew_seconds) if skew_seconds else 0.0, node.start)

    def restore(self, dead: frozenset[str] = frozenset()) -> None:
        """Put every host and every setting back, apart from hosts that stay dead."""
        for node in self.everyone:
            if node.name in dead:
                node.host_death()
                continue
            node.thaw()
            node.host_return()
            node.start()
        for node in self.nodes:
            settings = self.settings_of(node.name)
            node.guard.habits = Habits()
            if node.settings != settings:
                node.reconfigure(settings)

    def bring_back(self, dead: frozenset[str]) -> None:
        """Put everything back and give it a moment; a daemon that was still ending then is started when it has ended."""
        while True:
            self.restore(dead)
            self.world.run_until(self.world.now + 3 * self.timeout + 1)
            if all(node.is_up or node.name in dead for node in self.everyone):
                return

    def settle(self, seconds: float, why: str) -> None:
        """Let the pool settle; object if it has not within so many seconds."""
        start = self.world.now
        if not self.world.run_while(lambda: not self.is_settled(), start + seconds):
            raise Violation(f"liveness: not settled {seconds:.2f} s after {why}: {self.describe()}")

    def stay(self, seconds: float, why: str) -> None:
        """Let time pass, in which nothing about leadership may change."""
        count = len(self.watch.transitions)
        runs = len(self.watch.runs)
        self.world.run_until(self.world.now + seconds)
        if len(self.watch.transitions) != count or len(self.watch.runs) != runs or not self.is_settled():
            raise Violation(f"liveness: not stable after {why}: {self.describe()}")
