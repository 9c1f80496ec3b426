"""Tells the collectors of this daemon: one connection to each, kept open, with the newest ad on it.

An ad goes out at once when what it says has changed, again after each interval, and first of all on every new
connection, since a collector that was restarted knows nothing. It is made when it is sent, so nothing waits in memory
for a collector that cannot be reached, and what it gets when it returns is news. Updates after the first are number and
ad on the same connection, as DCCollector::sendUpdate does it; a collector never answers.

Nobody waits for a collector. Each has a task of its own; names are looked up in threads of ours alone; each try and each
sending has a deadline, and an address that let one pass is the last to be tried again; after a failure the pauses grow
from one second to a minute, and only a change cuts one short. A collector's failure is worth a line once for each
reason, until it takes an ad again.

When the daemon ends, the ad is taken back where it was taken, for as long as the end may wait. It is also taken back when
an entry leaves COLLECTOR_HOST. Another entry may lead to the same collector, by a name or by another of its addresses, so
all are told again after that.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, Protocol

import attrs
import trio

from daemoncore import local_addresses
from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.client import CallFailed, Client, Connection, ProtocolFailure, TimedOut, Unreachable
from daemoncore.collector_ads import AdKind, invalidation
from daemoncore.collectors import Advertising, Collector
from daemoncore.event_log import Tell

TRY_SECONDS: Final = 5.0
"""A connection, and each sending, has so long; T if that is longer. The collector of a large pool is a busy one."""

SHORTEST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
"""Between two tries of one collector; each failure doubles the pause."""

SETTLED_SECONDS: Final = 10.0
"""A connection that lasted so long was in order, whatever ended it."""

SHORT_LIVED_IN_A_ROW: Final = 3
"""So many connections that ended sooner are a collector that hangs up on us."""

RETIRE_SECONDS: Final = 0.5
"""How long a daemon that ends waits for the collectors to take the last word."""

MAXIMUM_LOOKUPS: Final = 4
"""Threads that may wait for a name server at a time, those that nobody waits for any more included."""


class CollectorMetrics(Protocol):
    """Who counts; `collector` is an entry of COLLECTOR_HOST."""

    def collectors_changed(self, collectors: Sequence[str]) -> None:
        """These are the collectors from now on."""

    def collector_up(self, collector: str, is_up: bool) -> None:
        """The collector has this daemon's ad on an open connection, or has not."""

    def collector_updated(self, collector: str) -> None:
        """An ad was handed to the network."""

    def collector_failed(self, collector: str, reason: str) -> None:
        """A try ended without an ad sent."""


@attrs.frozen
class Means:
    """What is needed to tell a collector anything."""

    kind: AdKind
    settings: Callable[[], Advertising]
    #: Makes the ad as of now, without UpdateSequenceNumber.
    make_ad: Callable[[], ClassAd]
    client: Callable[[], Client]
    #: HAD_CONNECTION_TIMEOUT, which can change.
    timeout_seconds: Callable[[], float]
    tell: Tell
    metrics: CollectorMetrics
    lookups: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(MAXIMUM_LOOKUPS))

    def try_seconds(self) -> float:
        """How long a try has."""
        return max(TRY_SECONDS, self.timeout_seconds())

    async def numbers_of(self, address: Address) -> tuple[Address, ...]:
        """Return the numeric addresses of a collector, asking the name server if it has to.

        Raises:
            Unreachable: there are none.
        """
        if address.is_numeric:
            return (address,)
        try:
            hosts = await trio.to_thread.run_sync(
                local_addresses.resolve, address.host, abandon_on_cancel=True, limiter=self.lookups
            )
        except (OSError, RuntimeError) as error:
            # The name server does not know it; or there is no thread left to ask with.
            raise Unreachable(address, f"no address is known: {error}") from error
        return tuple(attrs.evolve(address, host=host) for host in hosts)


class Outlet:
    """The way to one collector."""

    def __init__(self, collector: Collector, means: Means) -> None:
        self._collector = collector
        self._means = means
        self._news = trio.Event()
        #: How many ads were handed to the network; the number of the last one is UpdateSequenceNumber.
        self._sent_count = 0
        #: The last of them, which is what is to be taken back.
        self._sent_ad = ClassAd()
        self._is_retiring = False
        self._is_up = False
        #: Addresses of the collector's name that let a deadline pass, the last one at the end.
        self._silent: list[Address] = []
        self.is_done = trio.Event()
        #: Why the last try failed; None after one that did not, empty before the first.
        self._told: str | None = ""
        self._short_lived = 0

    def changed(self) -> None:
        """What the ad says has changed."""
        self._news.set()

    def respell(self, collector: Collector) -> None:
        """Go by what COLLECTOR_HOST now calls the same address."""
        if collector != self._collector:
            self._collector = collector
            self._means.metrics.collector_up(collector.entry, is_up=self._is_up)

    @property
    def sent_name(self) -> str:
        """The name of the last ad that was handed to the network; empty if there was none."""
        return self._sent_ad.get_string("Name", "")

    def retire(self) -> None:
        """Take the ad back, if the collector ever got it, and end after one try."""
        self._is_retiring = True
        self._news.set()
        if not self._sent_count:
            self.is_done.set()

    async def run(self) -> None:
        """Keep the collector told until cancelled, or retired."""
        pause = SHORTEST_PAUSE_SECONDS
        while not self.is_done.is_set():
            is_last = self._is_retiring
            has_lasted = await self._once()
            if is_last:
                self.is_done.set()
            elif not self.is_done.is_set():
                await self._pause(pause)
                pause = SHORTEST_PAUSE_SECONDS if has_lasted else min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Let the collector be, for a second at least; after that a change cuts the pause short."""
        with trio.move_on_after(seconds):
            if not self._is_retiring:
                await trio.sleep(SHORTEST_PAUSE_SECONDS)
            await self._news.wait()

    async def _once(self) -> bool:
        """Connect and tell for as long as it works; return whether that was a while."""
        began, sent_before = trio.current_time(), self._sent_count
        self._news = trio.Event()
        failure: CallFailed | None = None
        try:
            command = self._command
            async with await self._connect(command) as connection:
                await self._converse(connection, command)
        except CallFailed as error:
            failure = error
        except Exception as error:  # noqa: BLE001 -- what we should have foreseen must not end a leader
            failure = ProtocolFailure(self._collector.address, f"a defect of ours: {error!r}")
        has_sent = self._sent_count > sent_before
        has_lasted = has_sent and trio.current_time() >= began + SETTLED_SECONDS
        self._short_lived = 0 if has_lasted else self._short_lived + 1
        self._is_up = False
        if not self._is_retiring:
            self._means.metrics.collector_up(self._collector.entry, is_up=False)
            if failure is not None and (not has_sent or self._short_lived >= SHORT_LIVED_IN_A_ROW):
                self._failed(failure)
        return has_lasted

    def _failed(self, failure: CallFailed) -> None:
        self._means.metrics.collector_failed(self._collector.entry, failure.kind)
        if failure.kind != self._told:
            self._told = failure.kind
            fields = {"reason": failure.kind, "text": failure.reason}
            self._means.tell("collector_unreachable", collector=self._collector.entry, **fields)

    @property
    def _command(self) -> int:
        kind = self._means.kind
        return kind.invalidate if self._is_retiring else kind.update

    async def _connect(self, command: int) -> Connection:
        means, address = self._means, self._collector.address
        seconds, number = means.try_seconds(), None
        with trio.move_on_after(seconds):
            failure: CallFailed = Unreachable(address, "the name has no address")
            for number in self._in_turn(await means.numbers_of(address)):
                try:
                    return await means.client().connect(number, command)
                except CallFailed as error:
                    failure = error
            raise failure
        if number is not None:
            self._silent = [one for one in self._silent if one != number] + [number]
        raise TimedOut(address, f"no connection within {seconds:g} s")

    def _in_turn(self, numbers: Sequence[Address]) -> list[Address]:
        """Return the addresses in the order in which to try them: a silent one would take all the time of a try."""
        self._silent = [number for number in self._silent if number in numbers]
        return [number for number in numbers if number not in self._silent] + self._silent

    async def _converse(self, connection: Connection, command: int) -> None:
        """Send what there is to send until the connection ends, or the last word was said.

        Raises:
            CallFailed: it ended.
        """
        failures: list[CallFailed] = []
        async with trio.open_nursery() as nursery:

            async def until_it_ends(part: Callable[[], Awaitable[None]]) -> None:
                try:
                    await part()
                except CallFailed as failure:
                    failures.append(failure)
                nursery.cancel_scope.cancel()

            nursery.start_soon(until_it_ends, functools.partial(self._update, connection, command))
            nursery.start_soon(until_it_ends, functools.partial(self._until_closed, connection))
        if failures:
            raise failures[0]

    async def _until_closed(self, connection: Connection) -> None:
        await connection.receive()
        raise ProtocolFailure(connection.address, "it answered, which no collector does")

    async def _update(self, connection: Connection, command: int) -> None:
        """Send the ad whenever there is reason to; at last take it back. The first command came with the handshake."""
        is_first = True
        while self._sent_count or not self._is_retiring:
            self._news = trio.Event()
            await self._send(connection, command, is_first=is_first)
            if command == self._means.kind.invalidate:
                self.is_done.set()
                return
            is_first = False
            if not self._is_retiring:
                with trio.move_on_after(self._means.settings().interval_seconds):
                    await self._news.wait()
            command = self._command

    async def _send(self, connection: Connection, command: int, *, is_first: bool) -> None:
        means, seconds = self._means, self._means.try_seconds()
        is_update = command == means.kind.update
        number = self._sent_count + 1
        if is_update:
            ad = means.make_ad().with_values({"UpdateSequenceNumber": number})
        else:
            ad = invalidation(means.kind, self._sent_ad)
        writer = connection.writer()
        if not is_first:
            writer.put_int(command)
        with trio.move_on_after(seconds) as scope:
            await connection.send(writer.put_ad(ad))
        if scope.cancelled_caught:
            raise TimedOut(connection.address, f"it took nothing for {seconds:g} s")
        if is_update:
            self._sent_count, self._sent_ad = number, ad
            self._delivered(connection.address)

    def _delivered(self, address: Address) -> None:
        means, entry = self._means, self._collector.entry
        self._is_up = True
        means.metrics.collector_up(entry, is_up=True)
        means.metrics.collector_updated(entry)
        if self._told is not None and self._short_lived < SHORT_LIVED_IN_A_ROW:
            self._told = None
            means.tell("collector_reached", collector=entry, address=str(address))


class Advertiser:
    """Keeps all collectors told; they can come and go.

    Args:
        means: what tells them anything.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        self._settings = means.settings()
        self._outlets: dict[Address, Outlet] = {}
        self._nursery: trio.Nursery | None = None
        self._essence: Hashable = None

    async def run(self) -> None:
        """Keep the collectors told until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._keep()
            await trio.sleep_forever()

    def look(self, essence: Hashable) -> None:
        """Tell everybody if what matters in the ad, or the configuration, is not what it was at the last look."""
        settings = self._means.settings()
        before, self._settings = self._settings, settings
        if settings.name != before.name:
            # An ad under another name is another ad.
            self._drop(tuple(self._outlets))
        if settings != before:
            self._keep()
        if (essence, settings) != (self._essence, before):
            self._essence = essence
            for outlet in self._outlets.values():
                outlet.changed()

    def _keep(self) -> None:
        """Have outlets to exactly the collectors of the configuration."""
        nursery, collectors = self._nursery, self._settings.collectors
        if nursery is None:
            return
        self._drop(tuple(set(self._outlets) - {collector.address for collector in collectors}))
        self._means.metrics.collectors_changed([collector.entry for collector in collectors])
        for collector in collectors:
            outlet = self._outlets.get(collector.address)
            if outlet is None:
                self._outlets[collector.address] = outlet = Outlet(collector, self._means)
                nursery.start_soon(self._run, outlet)
            outlet.respell(collector)

    async def _run(self, outlet: Outlet) -> None:
        await outlet.run()
        # It took its ad back, perhaps from a collector that another one has told under the same name.
        if outlet.sent_name == self._settings.name:
            # A collector may read two connections in any order; this lets it read the last word first.
            await trio.sleep(SHORTEST_PAUSE_SECONDS)
            for other in self._outlets.values():
                other.changed()

    def _drop(self, addresses: Sequence[Address]) -> None:
        for address in addresses:
            self._outlets.pop(address).retire()

    async def retire(self) -> None:
        """Take the ad back wherever it is, as far as that is done in a moment."""
        outlets = tuple(self._outlets.values())
        for outlet in outlets:
            outlet.retire()
        with trio.move_on_after(RETIRE_SECONDS):
            for outlet in outlets:
                await outlet.is_done.wait()
