"""The faults of one seed: which happens when, to whom, for how long, and how it ends.

Each kind is one method of `Chaos`, which does the damage and says how and when it is undone. At the end of the
chaotic phase everything that is still broken is mended at once, apart from hosts that stay dead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from had import events
from tests.simulation.controllee import Habits
from tests.simulation.network import PROCESS_UP
from tests.simulation.node import Node

if TYPE_CHECKING:
    from tests.simulation.pool import Pool

Undo = Callable[[], None]


class Chaos:
    """Breaks things at random, as the seed's options allow."""

    def __init__(self, pool: Pool):
        self.pool = pool
        self.world = pool.world
        self.network = pool.network
        self.options = pool.options
        self._undo: dict[int, Undo] = {}
        self._count = 0
        self._is_over = False
        self._is_relisting = False

    def begin(self) -> None:
        """Start breaking things."""
        if self.options.kinds:
            self._next()

    def end(self) -> None:
        """Mend whatever is still broken."""
        self._is_over = True
        for undo in list(self._undo.values()):
            undo()
        self._undo.clear()

    def _next(self) -> None:
        gap = self.world.dice.expovariate(1 / (self.options.gap_timeouts * self.options.timeout_seconds))
        self.world.after(gap, self._strike)

    def _strike(self) -> None:
        if self._is_over:
            return
        getattr(self, "_" + self.world.dice.choice(self.options.kinds))()
        self._next()

    def _until(self, timeouts: tuple[float, float], undo: Undo) -> None:
        """Undo after a time drawn in T."""
        self._count += 1
        number = self._count
        self._undo[number] = undo
        wait = self.world.between(*timeouts) * self.options.timeout_seconds
        self.world.after(wait, self._expire, number)

    def _expire(self, number: int) -> None:
        undo = self._undo.pop(number, None)
        if undo is not None:
            undo()

    def _say(self, text: str) -> None:
        self.world.tell("**", text)

    def _anyone(self, *, leader_share: float = 0.5) -> Node:
        """Pick a host, the leader's more often than chance would."""
        leaders = [n for n in self.pool.everyone if n.is_leading]
        if leaders and self.world.chance(leader_share):
            return self.world.dice.choice(leaders)
        return self.world.dice.choice(self.pool.everyone)

    def _ours(self) -> Node:
        leaders = [n for n in self.pool.nodes if n.is_leading]
        if leaders and self.world.chance(0.5):
            return self.world.dice.choice(leaders)
        return self.world.dice.choice(self.pool.nodes)

    # --- processes and hosts ------------------------------------------------------------------------------------

    def _kill(self) -> None:
        node = self._anyone()
        node.kill()
        self._until(self.world.dice.choice(((0, 0.02), (0, 1), (0, 5))), node.start)

    def _host(self) -> None:
        node = self._anyone()
        node.host_death()
        is_disk_lost = self.options.loses_disks and self.world.chance(0.3)
        self.pool.watch.lost_disks |= is_disk_lost
        self._until((0.1, 6), lambda: node.host_return(is_disk_lost=is_disk_lost))

    def _freeze(self) -> None:
        node = self._anyone()
        node.freeze()
        self._until(self.world.dice.choice(((0, 0.3), (0.3, 1.5), (1, 4))), node.thaw)

    def _suspend(self) -> None:
        node = self._ours()
        node.suspend()
        self._until(self.world.dice.choice(((0, 0.3), (0.3, 1.5), (1, 4))), node.thaw)

    def _slow(self) -> None:
        node = self._ours()
        self._say(f"{node.label} is slow")
        self.network.disturb(1)
        node.lag_seconds = self.world.between(0, 0.3) * self.options.timeout_seconds

        def recover() -> None:
            self.network.disturb(-1)
            node.lag_seconds = 0.0

        self._until((0.5, 4), recover)

    # --- network ------------------------------------------------------------------------------------------------

    def _pair(self) -> tuple[str, str]:
        one, other = self.world.dice.sample([n.name for n in self.pool.everyone], 2)
        return one, other

    def _cut(self) -> None:
        one, other = self._pair()
        self._say(f"cut {one} {other}")
        self.network.cut(one, other)
        self._until((0.05, 5), lambda: self._heal([(one, other)]))

    def _partition(self) -> None:
        names = [n.name for n in self.pool.everyone]
        self.world.dice.shuffle(names)
        where = self.world.dice.randint(1, len(names) - 1)
        left, right = names[:where], names[where:]
        pairs = [(a, b) for a in left for b in right]
        self._say(f"partition {' '.join(left)} | {' '.join(right)}")
        for one, other in pairs:
            self.network.cut(one, other)
        self._until((0.5, 6), lambda: self._heal(pairs))

    def _reject(self) -> None:
        """A firewall that refuses comes between two hosts, or between one and all others."""
        one, other = self._pair()
        pairs = [(one, other)]
        if self.world.chance(0.5):
            pairs = self._around(self._anyone())
        self._refuse(pairs, (0.05, 4))

    def _siege(self) -> None:
        """The leader is taken for dead while its lease runs on, and voters start again meanwhile.

        The hardest moment for a vote: the controllee stays to the end, and another candidate asks at once.
        """
        leader = next((n for n in self.pool.nodes if n.is_leading), None)
        if leader is None or len(self.pool.nodes) < 2:
            return
        t = self.options.timeout_seconds
        leader.guard.habits = attrs.evolve(leader.guard.habits, stubborn=1.0)
        self._refuse(self._around(leader), (0.5, 3))
        for node in self.pool.nodes:
            if node is not leader and self.world.chance(0.5):
                self.world.after(self.world.between(0, 0.5) * t, self._restart, node)

    def _restart(self, node: Node) -> None:
        if node.is_up and not self._is_over:
            node.kill()
            self._until((0, 0.1), node.start)

    def _around(self, node: Node) -> list[tuple[str, str]]:
        return [(node.name, n.name) for n in self.pool.everyone if n is not node]

    def _refuse(self, pairs: list[tuple[str, str]], timeouts: tuple[float, float]) -> None:
        self._say("a firewall refuses " + ", ".join(f"{a} {b}" for a, b in pairs))
        for pair in pairs:
            self.network.reject(*pair)

        def undo() -> None:
            self._say("a firewall admits " + ", ".join(f"{a} {b}" for a, b in pairs))
            for pair in pairs:
                self.network.admit(*pair)

        self._until(timeouts, undo)

    def _heal(self, pairs: list[tuple[str, str]]) -> None:
        self._say("heal " + ", ".join(f"{a} {b}" for a, b in pairs))
        for one, other in pairs:
            self.network.heal(one, other)

    def _one_way(self) -> None:
        one, other = self._pair()
        pairs = [(one, other)]
        if self.world.chance(0.3):
            pairs = [(one, n.name) for n in self.pool.everyone if n.name != one]
            if self.world.chance(0.5):
                pairs = [(b, a) for a, b in pairs]
        self._say("mute " + ", ".join(f"{a}->{b}" for a, b in pairs))
        for pair in pairs:
            self.network.mute(*pair)

        def undo() -> None:
            self._say("unmute " + ", ".join(f"{a}->{b}" for a, b in pairs))
            for pair in pairs:
                self.network.unmute(*pair)

        self._until((0.5, 5), undo)

    def _weather(self) -> None:
        weather, world, t = self.network.weather, self.world, self.options.timeout_seconds
        weather.loss = world.dice.choice((0, 0.05, 0.3))
        weather.repeats = world.dice.choice((0, 0.1))
        weather.reorders = world.dice.choice((0, 0.3))
        weather.delays = (world.dice.choice((0, 0.1, 0.5)), world.between(0, 2 * t))
        self._say(f"bad weather: {weather}")
        self.network.disturb(1)

        def clear() -> None:
            self._say("fair weather")
            weather.loss = weather.repeats = weather.reorders = 0.0
            weather.delays = (0.0, 0.0)
            self.network.disturb(-1)

        self._until((1, 6), clear)

    def _deny(self) -> None:
        one, other = self._pair()
        pairs = {(one, other)} if self.world.chance(0.5) else {(one, other), (other, one)}
        pairs -= self.network.denied
        self._say(f"denied: {sorted(pairs)}")
        for pair in sorted(pairs):
            self.network.deny(*pair)

        def allow() -> None:
            self._say(f"allowed: {sorted(pairs)}")
            for pair in sorted(pairs):
                self.network.allow(*pair)

        self._until((0.5, 5), allow)

    # --- disk and controllee --------------------------------------------------------------------------------------

    def _disk(self) -> None:
        node = self._ours()
        old = node.disk.delay
        self.network.disturb(1)
        if self.world.chance(0.5):
            node.disk.failure = self.world.dice.choice((0.5, 1.0))
        else:
            node.disk.delay = (0.0, self.world.between(0.1, 3))
        self._say(f"{node.label} disk fails {node.disk.failure}, takes {node.disk.delay}")

        def mend() -> None:
            self._say(f"{node.label} disk mended")
            node.mend_disk(self.options.disk_delay)
            self.network.disturb(-1)

        del old
        self._until((0.5, 5), mend)

    def _die(self) -> None:
        self._ours().guard.die_by_itself()

    def _broken(self) -> None:
        node = self._ours()
        longest = self.world.dice.choice((0.01, self.options.timeout_seconds))
        habits = attrs.evolve(
            node.guard.habits, breaks=(0.0, longest), start_fails=self.world.dice.choice((0, 0.5))
        )
        self._say(f"{node.label} controllee is broken")
        node.guard.habits = habits

        def repair() -> None:
            self._say(f"{node.label} controllee is repaired")
            node.guard.habits = attrs.evolve(node.guard.habits, breaks=None, start_fails=0.0)

        self._until((1, 10), repair)

    def _stubborn(self) -> None:
        node = self._ours()
        node.guard.habits = Habits(stop=(0.0, self.options.stop_timeout_seconds), stubborn=0.5)

    # --- operators ------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        node = self._ours()
        if node.is_up:
            node.stop(is_fast=self.world.chance(0.3))
            self._until((0.5, 4), node.start)

    def _switchover(self) -> None:
        node = self._ours()
        to = None if self.world.chance(0.4) else self.world.dice.choice(self.pool.members)
        self._say(f"switchover asked of {node.label} to {to}")
        node.receive(events.SwitchoverRequested(self.pool.next_request(), to, "operator", "test", 0.0))

    def _pause(self) -> None:
        node = self._ours()
        seconds = None if self.world.chance(0.5) else self.world.between(0, 5) * self.options.timeout_seconds
        self._say(f"pause asked of {node.label} for {seconds}")
        pause = events.Pause("operator", "test", 0.0, None, seconds)
        node.receive(events.PauseRequested(self.pool.next_request(), pause))

        def resume() -> None:
            other = self.world.dice.choice(self.pool.nodes)
            self._say(f"resume asked of {other.label}")
            other.receive(events.ResumeRequested(self.pool.next_request()))

        self._until((0.5, 6), resume)

    def _retime(self) -> None:
        timeout = self.options.timeout_seconds * self.world.dice.choice((0.5, 1, 2))
        if "freeze" in self.options.kinds:
            # A frozen leader's lease has the old T; who wakes or starts with a shorter one cannot know of it.
            self.network.disturb(1)
            self.network.disturb(-1)
        for node in self.pool.nodes:
            self.world.after(self.world.between(0, 0.5), self._change, node, {"timeout_seconds": timeout})

    def _change(self, node: Node, change: dict) -> None:
        node.reconfigure(attrs.evolve(node.settings, **change))

    def _relist(self) -> None:
        """Take one member out of everybody's list and stop it; it comes back later."""
        if len(self.pool.nodes) < 3 or self._is_relisting:
            return
        leaver = self.world.dice.choice([n for n in self.pool.nodes if n.name in self.pool.members])
        leaver.is_retired = self._is_relisting = True
        leaver.stop()
        self.pool.watch.lists_differ = True
        for node in self.pool.nodes:
            if node is not leaver:
                members = tuple(m for m in node.settings.members if m != leaver.name)
                if members:
                    self._relist_one(node, members, 0.0)

        def back() -> None:
            # As the manual says: first every other daemon learns the list, then the new member starts.
            for node in self.pool.nodes:
                self._relist_one(node, self.pool.members, 0.5)
            self.world.after(1.05, self._rejoin, leaver)

        self._until((1, 5), back)

    def _rejoin(self, leaver: Node) -> None:
        self._is_relisting = leaver.is_retired = False
        leaver.start()

    def _relist_one(self, node: Node, members: tuple[str, ...], delay: float) -> None:
        self.world.after(delay + self.world.between(0, 0.5), self._change, node, {"members": members})

    def _exchange(self) -> None:
        """Upgrade a host that runs condor_had, or roll one of ours back; one of ours stays."""
        steady = [n for n in self.pool.everyone if n.process == PROCESS_UP and not n.is_retired]
        if sum(not n.is_retired for n in self.pool.nodes) < 2:
            steady = [n for n in steady if not n.is_ours]
        if not steady:
            return
        host = self.world.dice.choice(steady)
        if isinstance(host, Node):
            self.pool.downgrade(host)
        else:
            self.pool.upgrade(host)

    def _hard(self) -> None:
        node = self._ours()
        node.reconfigure(node.settings, is_hard=True)
