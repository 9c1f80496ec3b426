"""Every short history of three members with votes, over the real `Election`: is there one with two controllees?

The simulator draws histories at random; this goes through all of them, up to a bound. Time runs in rounds of T/4, the time
between two heartbeats. Before each round something is chosen: which of the three pairs of members can talk during it (all
eight ways), and, so often as the budget allows, one mishap: one direction only is mute, a direction delivers
only at the round's end, a member's daemon stands still for the round, or is killed and starts again. Within a round
messages and writes take a thousandth of T, and everything happens in one order. Equal states are visited once.

What is worst for the promise is fixed: the first member's clock is as slow as HAD_CLOCK_DRIFT allows and the others' as
fast, so that it counts its lease long and they count their promises short; and a controllee that is asked to stop takes
the whole of its time, which is the guard's lease.
"""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Iterable, Iterator
from io import BytesIO

import attrs

from had import events
from had.election import Election
from had.election_settings import ElectionSettings, Member
from had.transitions import State

T = 1.0
ROUND_SECONDS = T / 4
HOP_SECONDS = T / 1000
DRIFT = 0.01
MEMBERS = ("n1:1", "n2:1", "n3:1")
PAIRS = tuple(itertools.combinations(range(3), 2))
DIRECTIONS = tuple(itertools.permutations(range(3), 2))
RATES = (1 - DRIFT, 1 + DRIFT, 1 + DRIFT)


@attrs.frozen
class Choice:
    """What is so during one round."""

    #: Pairs that can talk.
    pairs: tuple[tuple[int, int], ...] = PAIRS
    #: Deliveries in this direction are lost.
    mute: tuple[int, int] | None = None
    #: Deliveries in this direction come at the round's end.
    late: tuple[int, int] | None = None
    #: This member's daemon stands still.
    frozen: int | None = None
    #: This member's daemon is killed and starts again.
    killed: int | None = None

    @property
    def is_mishap(self) -> bool:
        """Tell whether it costs a unit of the budget."""
        return (self.mute, self.late, self.frozen, self.killed) != (None, None, None, None)


def choices(*, with_mishaps: bool) -> Iterator[Choice]:
    """Yield everything that a round can be."""
    for count in range(len(PAIRS) + 1):
        for pairs in itertools.combinations(PAIRS, count):
            yield Choice(pairs)
            if not with_mishaps:
                continue
            for direction in DIRECTIONS:
                if tuple(sorted(direction)) in pairs:
                    yield Choice(pairs, mute=direction)
                    yield Choice(pairs, late=direction)
            for who in range(3):
                yield Choice(pairs, frozen=who)
                yield Choice(pairs, killed=who)


@attrs.define
class Host:
    """One member: its daemon, its disk, and its controllee."""

    settings: ElectionSettings
    rate: float
    machine: Election
    record: events.Record = attrs.field(factory=events.Record)
    instance: int = 1
    inbox: list[events.Event] = attrs.field(factory=list)
    #: True times of the controllee's start and of its end at the latest; none runs without a start.
    started: float | None = None
    #: When the guard's lease ends, in true time.
    lease_until: float = -math.inf
    #: When the end of a stop that was asked for is reported.
    stops_at: float = math.inf


@attrs.define
class Pool:
    """Three hosts, the time, and what is under way: (when, who, event)."""

    hosts: list[Host]
    now: float = 0.0
    flights: list[tuple[float, int, int, events.Event]] = attrs.field(factory=list)
    mishaps: int = 0

    @classmethod
    def new(cls, drift: float = DRIFT) -> Pool:
        """Make three members that have just started, with empty disks; `drift` is what they think of clocks."""
        hosts = []
        for member, rate in zip(MEMBERS, RATES, strict=True):
            settings = ElectionSettings(
                member, MEMBERS, timeout_seconds=T, clock_drift=drift, require_majority=True
            )
            hosts.append(Host(settings, rate, Election(settings, events.Record(), 1, 0.0)))
        pool = cls(hosts)
        for one, other in DIRECTIONS:
            pool.give(one, events.Linked(MEMBERS[other], is_ours=True))
        return pool

    # --- one round --------------------------------------------------------------------------------------------

    def play(self, choice: Choice) -> None:
        """Let one round pass; two controllees at once are an AssertionError."""
        self.mishaps += choice.is_mishap
        if choice.killed is not None:
            self._restart(choice.killed)
        end = self.now + ROUND_SECONDS
        while True:
            when, act = min(self._next(choice), key=lambda item: item[0], default=(math.inf, None))
            if act is None or when > end:
                break
            self.now = max(self.now, when)
            act()
            self.check()
        self.now = end
        if choice.frozen is not None:
            self._thaw(choice.frozen)
        for flight in [f for f in self.flights if f[0] == math.inf]:
            self.flights.remove(flight)
            self.give(flight[2], flight[3])
        self.check()

    def _next(self, choice: Choice) -> Iterator:
        """Yield what can happen next, with its time."""
        for index, host in enumerate(self.hosts):
            if host.started is not None:
                over = min(host.lease_until, host.stops_at)
                yield over, lambda i=index: self._ends(i)
            due = host.machine.deadline
            if due is not None and index != choice.frozen:
                yield due / host.rate + 1e-9, lambda i=index: self._handle(i, events.Tick())
        for flight in self.flights:
            if flight[0] < math.inf:
                yield flight[0], lambda f=flight: self._lands(f, choice)

    def _lands(self, flight: tuple[float, int, int, events.Event], choice: Choice) -> None:
        self.flights.remove(flight)
        _, source, target, event = flight
        direction = (source, target)
        if source != target:
            if tuple(sorted(direction)) not in choice.pairs or direction == choice.mute:
                return
            if direction == choice.late:
                self.flights.append((math.inf, source, target, event))
                return
        if target == choice.frozen:
            self.hosts[target].inbox.append(event)
        else:
            self.give(target, event)

    def _thaw(self, index: int) -> None:
        host = self.hosts[index]
        waiting, host.inbox = host.inbox, []
        for event in waiting:
            self.give(index, event)

    def _restart(self, index: int) -> None:
        """SIGKILL; the guard kills the controllee; the writes under way are lost; the daemon starts again."""
        host = self.hosts[index]
        host.started, host.stops_at, host.inbox = None, math.inf, []
        host.instance += 1
        self.flights = [f for f in self.flights if f[2] != index]
        host.machine = Election(host.settings, host.record, host.instance, self.now * host.rate)
        for other in range(3):
            if other != index:
                self.give(index, events.Linked(MEMBERS[other], is_ours=True))

    # --- one host ---------------------------------------------------------------------------------------------

    def give(self, index: int, event: events.Event) -> None:
        """Hand an event to a machine now."""
        self._handle(index, event)

    def _handle(self, index: int, event: events.Event) -> None:
        host = self.hosts[index]
        if isinstance(event, events.Persisted):
            host.record = event.record
        for effect in host.machine.handle(event, self.now * host.rate):
            self._perform(index, host, effect)

    def _perform(self, index: int, host: Host, effect: events.Effect) -> None:
        match effect:
            case events.Send(to, message, kind):
                self._fly(index, MEMBERS.index(to), events.Heard(message, kind))
            case events.Persist(record):
                self._fly(index, index, events.Persisted(record))
            case events.RenewLease(until):
                host.lease_until = until / host.rate
            case events.StartControllee():
                host.started, host.stops_at = self.now, math.inf
                self._fly(index, index, events.ControlleeStarted(1))
            case events.StopControllee(timeout_seconds):
                host.stops_at = min(host.stops_at, self.now + timeout_seconds / host.rate)

    def _fly(self, source: int, target: int, event: events.Event) -> None:
        self.flights.append((round(self.now + HOP_SECONDS, 6), source, target, event))

    def _ends(self, index: int) -> None:
        host = self.hosts[index]
        host.started, host.stops_at = None, math.inf
        self._fly(index, index, events.ControlleeExited("requested"))

    def check(self) -> None:
        """Object to two controllees."""
        running = [MEMBERS[i] for i, host in enumerate(self.hosts) if host.started is not None]
        assert len(running) < 2, f"two controllees at {self.now:.3f}: {running}"

    @property
    def leader(self) -> Member | None:
        """Who leads, if one does."""
        leading = [h.settings.me for h in self.hosts if h.machine.state is State.LEADER]
        return leading[0] if len(leading) == 1 else None

    # --- states -----------------------------------------------------------------------------------------------

    def packed(self) -> bytes:
        """The whole state, by value: equal states have equal bytes."""
        for host in self.hosts:
            host.machine.ledger.emit = print
            host.machine._effects = []
        buffer = BytesIO()
        pickler = pickle.Pickler(buffer, protocol=5)
        pickler.fast = True
        pickler.dump((self.hosts, self.now, self.flights, self.mishaps))
        return buffer.getvalue()

    @classmethod
    def unpacked(cls, data: bytes) -> Pool:
        """The state again."""
        pool = cls(*pickle.loads(data))
        for host in pool.hosts:
            host.machine.ledger.emit = host.machine._emit
        return pool


@attrs.define
class Found:
    """What an exploration came to."""

    states: int = 0
    rounds: int = 0
    leaders: set[Member] = attrs.field(factory=set)
    #: The choices that lead to two controllees, and what was said then.
    counterexample: tuple[tuple[Choice, ...], str] | None = None


def explore(start: Pool, rounds: int, mishaps: int) -> Found:
    """Go through every history of so many rounds, with so many mishaps at most; stop at the first bad one."""
    found = Found()
    front: dict[bytes, tuple[Choice, ...]] = {start.packed(): ()}
    for _ in range(rounds):
        following: dict[bytes, tuple[Choice, ...]] = {}
        for data, path in front.items():
            for choice in choices(with_mishaps=Pool.unpacked(data).mishaps < mishaps):
                pool = Pool.unpacked(data)
                try:
                    pool.play(choice)
                except AssertionError as error:
                    found.counterexample = ((*path, choice), str(error))
                    return found
                found.rounds += 1
                if pool.leader is not None:
                    found.leaders.add(pool.leader)
                following.setdefault(pool.packed(), (*path, choice))
        found.states += len(following)
        front = following
    return found


def settled(then: Iterable[Choice] = (), drift: float = DRIFT) -> Pool:
    """A pool whose first member has led for a while, after these further rounds."""
    pool = Pool.new(drift)
    for choice in (*(Choice(),) * 7, *then):
        pool.play(choice)
    return pool


ALONE = Choice(((1, 2),))
"""The first member is cut off."""
