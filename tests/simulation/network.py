"""The network between simulated hosts: connections as the daemon's link layer keeps them, and messages on them.

A node keeps one outgoing connection to every other member. What can happen to it is what TCP does to a program:
it is made (`Linked`), refused because nobody listens (`Refused`), authenticated in vain (`Denied`), cut by the death
of the process at the other end (an immediate redial), or it falls silent (closed after T and dialled again every
T/2). Beyond TCP, the model can also lose, repeat, delay and reorder single messages and cut one direction only,
which is harsher than any real link is to the election.

Nothing here knows what a message means.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from had import events
from tests.simulation.world import Timer, World

PROCESS_DOWN = "down"
PROCESS_UP = "up"
PROCESS_FROZEN = "frozen"


class Endpoint(Protocol):
    """What the network needs to know of a node, ours or a real condor_had."""

    name: str
    is_ours: bool
    is_host_up: bool
    process: str
    is_busy: bool

    @property
    def timeout_seconds(self) -> float:
        """T, from which the node derives how often it redials."""

    def receive(self, event: events.Event) -> None:
        """Take an event from the network."""


@attrs.define(slots=True, eq=False)
class Link:
    """One outgoing connection."""

    source: str
    target: str
    is_up: bool = False
    #: A short cut may leave TCP waiting for its retransmission timer long after the heal.
    is_stalled: bool = False
    #: Deliveries keep their order on one connection.
    last_delivery: float = 0.0
    redial: Timer | None = None
    #: Closes the connection after T of silence.
    silence: Timer | None = None


@attrs.define(slots=True)
class Weather:
    """How messages fare on every link at present; the default is a quiet local network."""

    latency: tuple[float, float] = (0.0002, 0.001)
    loss: float = 0.0
    repeats: float = 0.0
    reorders: float = 0.0
    #: Delay added to some messages: (probability, largest seconds).
    delays: tuple[float, float] = (0.0, 0.0)


class Network:
    """All links of the pool, their faults, and when the network was last anything but quiet."""

    def __init__(self, world: World, latency: tuple[float, float] = (0.0002, 0.001)):
        self.world = world
        self.weather = Weather(latency=latency)
        self.nodes: dict[str, Endpoint] = {}
        self.links: dict[tuple[str, str], Link] = {}
        #: Ordered pairs between which no packet passes (a packet cut is always laid both ways).
        self.cuts: dict[tuple[str, str], int] = {}
        #: Ordered pairs, cut too, between which a firewall answers every packet with a refusal.
        self.rejected: dict[tuple[str, str], int] = {}
        #: Ordered pairs whose messages vanish although their connection stands.
        self.one_way: dict[tuple[str, str], int] = {}
        #: Ordered pairs (who, whom): the second refuses the first's credentials.
        self.denied: set[tuple[str, str]] = set()
        #: When the last message between two hosts arrives that travels in order.
        self.last_arrival: dict[tuple[str, str], float] = {}
        self.faults = 0
        self.last_fault = -1e9
        self.messages = 0

    # --- faults -----------------------------------------------------------------------------------------------

    def disturb(self, change: int) -> None:
        """Count one more (+1) or one fewer (-1) fault that makes the network, a node or a disk slow or deaf."""
        self.faults += change
        self.last_fault = self.world.now

    def is_quiet_since(self, seconds: float) -> bool:
        """Tell whether nothing has disturbed the network for so long."""
        return self.faults == 0 and self.world.now - self.last_fault >= seconds

    def cut(self, one: str, other: str) -> None:
        """Let no packet pass between two hosts."""
        self.disturb(1)
        for pair in ((one, other), (other, one)):
            self.cuts[pair] = self.cuts.get(pair, 0) + 1
            self._watch_silence(pair)

    def heal(self, one: str, other: str) -> None:
        """Undo one `cut`."""
        self.disturb(-1)
        for pair in ((one, other), (other, one)):
            self.cuts[pair] -= 1
            if not self.cuts[pair]:
                del self.cuts[pair]
                link = self.links.get(pair)
                if link and link.is_up and self.world.chance(0.5):
                    link.is_stalled = True

    def reject(self, one: str, other: str) -> None:
        """Have a firewall refuse what passes between two hosts, so that each takes the other's daemon for gone."""
        self.cut(one, other)
        for pair in ((one, other), (other, one)):
            self.rejected[pair] = self.rejected.get(pair, 0) + 1
            self.world.after(self._latency(), self._break, pair)

    def admit(self, one: str, other: str) -> None:
        """Undo one `reject`."""
        for pair in ((one, other), (other, one)):
            self.rejected[pair] -= 1
            if not self.rejected[pair]:
                del self.rejected[pair]
        self.heal(one, other)

    def mute(self, source: str, target: str) -> None:
        """Lose every message in one direction, leaving the connection up."""
        self.disturb(1)
        self.one_way[source, target] = self.one_way.get((source, target), 0) + 1

    def unmute(self, source: str, target: str) -> None:
        """Undo one `mute`."""
        self.disturb(-1)
        self.one_way[source, target] -= 1
        if not self.one_way[source, target]:
            del self.one_way[source, target]

    def deny(self, source: str, target: str) -> None:
        """Have the target refuse the source's credentials, and end the present connection."""
        self.disturb(1)
        self.denied.add((source, target))
        self._break((source, target))

    def allow(self, source: str, target: str) -> None:
        """Undo `deny`."""
        self.disturb(-1)
        self.denied.discard((source, target))

    # --- connections ------------------------------------------------------------------------------------------

    def open_all(self, source: str, targets: tuple[str, ...]) -> None:
        """Dial every target, as a daemon does when it starts or gets a new list."""
        for target in targets:
            if (source, target) not in self.links and target in self.nodes:
                self.links[source, target] = Link(source, target)
                self._dial(self.links[source, target])

    def close_all(self, source: str, keep: tuple[str, ...] = ()) -> None:
        """Forget the source's connections, as its process ends or its list shrinks."""
        for pair in [p for p in self.links if p[0] == source and p[1] not in keep]:
            link = self.links.pop(pair)
            for timer in (link.redial, link.silence):
                if timer:
                    timer.cancel()

    def process_ended(self, name: str) -> None:
        """The process died while its host lives: the kernel closes its connections, so peers redial at once."""
        self.close_all(name)
        for pair, link in self.links.items():
            if pair[1] == name and link.is_up and pair not in self.cuts:
                self.world.after(self._latency(), self._break, pair, link)

    def host_died(self, name: str) -> None:
        """The machine is gone and says nothing any more."""
        self.close_all(name)
        for pair in self.links:
            if pair[1] == name:
                self._watch_silence(pair)

    def host_returned(self, name: str) -> None:
        """The machine answers again: the next packet on an old connection is answered by a reset."""
        for pair, link in self.links.items():
            if pair[1] == name and link.is_up:
                wait = self.world.between(0, self.nodes[pair[0]].timeout_seconds / 4)
                self.world.after(wait, self._break, pair, link)

    def process_froze(self, name: str) -> None:
        """The process was stopped: its kernel still takes bytes until the peers give up after T."""
        for pair in self.links:
            if pair[1] == name:
                self._watch_silence(pair)

    def process_thawed(self, name: str) -> None:
        """The process goes on: its timers are long due, so it dials at once whoever it is not linked to."""
        for pair, link in self.links.items():
            if pair[0] == name and not link.is_up:
                self._dial(link)

    def _latency(self) -> float:
        low, high = self.weather.latency
        return self.world.between(low, high)

    def _is_silent(self, pair: tuple[str, str]) -> bool:
        target = self.nodes[pair[1]]
        return pair in self.cuts or not target.is_host_up or target.process == PROCESS_FROZEN

    def _break(self, pair: tuple[str, str], link: Link | None = None) -> None:
        present = self.links.get(pair)
        if present is None or (link is not None and link is not present):
            return
        if present.is_up:
            present.is_up = False
            self._dial(present)

    def _watch_silence(self, pair: tuple[str, str]) -> None:
        link = self.links.get(pair)
        if link and link.is_up and not (link.silence and link.silence.act):
            link.silence = self.world.after(self.nodes[pair[0]].timeout_seconds, self._silence_over, link)

    def _silence_over(self, link: Link) -> None:
        link.silence = None
        if link.is_up and (link.is_stalled or self._is_silent((link.source, link.target))):
            link.is_up = link.is_stalled = False
            self._dial(link)

    def _dial(self, link: Link) -> None:
        source = self.nodes[link.source]
        if link.redial:
            link.redial.cancel()
        link.redial = self.world.after(source.timeout_seconds / 2, self._dial, link)
        pair = link.source, link.target
        if source.process == PROCESS_UP and (pair in self.rejected or not self._is_silent(pair)):
            self.world.after(3 * self._latency(), self._dialled, link)

    def _dialled(self, link: Link) -> None:
        pair = link.source, link.target
        if self.links.get(pair) is not link or link.is_up:
            return
        source, target = self.nodes[link.source], self.nodes[link.target]
        if pair in self.rejected:
            source.receive(events.Refused(link.target))
            return
        if self._is_silent(pair) or target.is_busy:
            return
        if target.process == PROCESS_DOWN:
            # What the dead process had sent on its own connection is read before anybody calls it gone.
            last = self.last_arrival.get((link.target, link.source), 0.0)
            self.world.at(last, self._refused, link)
        elif pair in self.denied:
            source.receive(events.Denied(link.target))
        else:
            link.is_up = True
            link.is_stalled = False
            if link.redial:
                link.redial.cancel()
            source.receive(events.Linked(link.target, target.is_ours))
            self._dial_back(link)

    def _refused(self, link: Link) -> None:
        if (
            self.links.get((link.source, link.target)) is link
            and self.nodes[link.target].process == PROCESS_DOWN
        ):
            self.nodes[link.source].receive(events.Refused(link.target))

    def _dial_back(self, link: Link) -> None:
        """Whoever is dialled and has no connection the other way dials back at once."""
        back = self.links.get((link.target, link.source))
        if back is not None and not back.is_up and self.nodes[link.target].is_ours:
            self._dial(back)

    # --- messages ---------------------------------------------------------------------------------------------

    def is_linked(self, source: str, target: str) -> bool:
        """Tell whether the source's connection to the target stands, as far as the source knows."""
        link = self.links.get((source, target))
        return link is not None and link.is_up

    def send(self, source: str, target: str, event: events.Heard) -> None:
        """Carry a message, or not."""
        link = self.links.get((source, target))
        if link is None or not link.is_up:
            return
        self.messages += 1
        weather, world = self.weather, self.world
        if link.is_stalled or (self.cuts and (source, target) in self.cuts):
            return
        if (self.one_way and (source, target) in self.one_way) or not self.nodes[target].is_host_up:
            return
        if weather.loss and world.chance(weather.loss):
            return
        arrival = world.now + self._latency()
        if weather.delays[0] and world.chance(weather.delays[0]):
            arrival += world.between(0, weather.delays[1])
        if not (weather.reorders and world.chance(weather.reorders)):
            arrival = link.last_delivery = max(arrival, link.last_delivery)
            self.last_arrival[source, target] = arrival
        world.at(arrival, self._deliver, link, event)
        if weather.repeats and world.chance(weather.repeats):
            world.at(arrival + world.between(0, 1), self._deliver, link, event)

    def _deliver(self, link: Link, event: events.Heard) -> None:
        target = self.nodes[link.target]
        if not target.is_host_up or target.process == PROCESS_DOWN or (link.source, link.target) in self.cuts:
            return
        target.receive(event)
        # As had/service.py does: who is heard can be reached, so a broken connection to it is not waited for.
        if target.process == PROCESS_UP and self.nodes[link.source].is_ours:
            self._dial_back(link)
