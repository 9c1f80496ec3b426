"""Advertising to real command ports: what is sent when, and that a collector which fails costs nothing."""

import itertools
import socket
import time

import attrs
import pytest
import trio
import trio.testing

from daemoncore.address import Address
from daemoncore.advertising import (
    LONGEST_PAUSE_SECONDS,
    RETIRE_SECONDS,
    SHORTEST_PAUSE_SECONDS,
    TRY_SECONDS,
    Advertiser,
    Means,
)
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.client import Client, ConnectionRefused, Denied, Reset
from daemoncore.collector_ads import HAD_AD, invalidation
from daemoncore.collectors import Advertising, Collector
from daemoncore.security import read_security
from tests.daemoncore.collector_double import CollectorDouble
from tests.daemoncore.command_ports import settings

NAME = "condor@cm1.example.org"
FAR = Collector("cm1", Address("10.0.0.1", 9618))


@attrs.define
class Notes:
    """Remembers lines of the log and numbers."""

    lines: list = attrs.field(factory=list)
    up: dict = attrs.field(factory=dict)
    updates: int = 0
    failures: list = attrs.field(factory=list)
    collectors: tuple = ()
    news: trio.Event = attrs.field(factory=trio.Event)

    def tell(self, event, **fields):
        """Remember a line."""
        self.lines.append((event, fields))
        self._wake()

    def _wake(self):
        self.news.set()
        self.news = trio.Event()

    async def until(self, condition):
        """Wait until a condition holds."""
        with trio.fail_after(30):
            while not condition():
                await self.news.wait()

    def collectors_changed(self, collectors):
        """Remember them."""
        self.collectors = tuple(collectors)

    def collector_up(self, collector, is_up):
        """Remember it."""
        self.up[collector] = is_up

    def collector_updated(self, _collector):
        """Count it."""
        self.updates += 1

    def collector_failed(self, _collector, reason):
        """Remember it."""
        self.failures.append(reason)
        self._wake()

    @property
    def events(self):
        """The names of the lines, with the reason if there is one."""
        return [(event, fields.get("reason")) for event, fields in self.lines]


class Stage:
    """An advertiser and its surroundings; the ad says `Said = said`."""

    def __init__(self, client, *collectors, interval=3600.0, timeout=2.0, means=Means):
        self.notes = Notes()
        self.settings = Advertising(tuple(collectors), interval, NAME, "cm1.example.org")
        self.said = 0
        self.made = 0
        self.client = client
        self.advertiser = Advertiser(
            means(
                HAD_AD,
                lambda: self.settings,
                self.make_ad,
                lambda: self.client,
                lambda: timeout,
                self.notes.tell,
                self.notes,
            )
        )

    def make_ad(self):
        """Make the ad."""
        self.made += 1
        return ClassAd({"MyType": "HAD", "Name": self.settings.name, "Said": self.said})

    def say(self, what):
        """Let the ad say something else."""
        self.said = what
        self.advertiser.look(what)

    def configure(self, **changes):
        """Read another configuration."""
        self.settings = attrs.evolve(self.settings, **changes)
        self.advertiser.look(self.said)


@pytest.fixture
def security(tmp_path):
    """Security settings with a key."""
    return read_security(settings(tmp_path).get)


def free_port():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def serve(nursery, security, port=0):
    """Start a collector on loopback; return it, its entry, and the scope that ends it."""
    double = CollectorDouble.of(security)
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    number = listeners[0].socket.getsockname()[1]
    scope = trio.CancelScope()

    async def run():
        with scope:
            await double.server.serve(listeners)

    nursery.start_soon(run)
    address = Address("127.0.0.1", number)
    return double, Collector(str(address), address), scope


def said(heard):
    """What the ads said, in order."""
    return [ad.get_int("Said") for _command, ad in heard]


RAW = {
    f"SEC_DEFAULT_{name}": "NEVER" for name in ("NEGOTIATION", "AUTHENTICATION", "ENCRYPTION", "INTEGRITY")
}


@pytest.mark.parametrize("changes", [{}, RAW | {"ALLOW_DAEMON": "*"}], ids=["negotiated", "raw"])
async def test_changes_go_out_at_once_on_one_connection(tmp_path, changes):
    """The first ad comes with the connection, each change with number and ad on it, and the end takes it back."""
    security = read_security(settings(tmp_path, **changes).get)
    async with trio.open_nursery() as nursery:
        double, collector, _scope = await serve(nursery, security)
        stage = Stage(Client(security), collector)
        nursery.start_soon(stage.advertiser.run)
        await double.until(lambda heard: said(heard) == [0])
        for number in (1, 2, 3):
            stage.say(number)
            await double.until(lambda heard, number=number: said(heard)[-1] == number)
        stage.say(3)
        await stage.advertiser.retire()
        await double.until(lambda heard: len(heard) == 5)
        nursery.cancel_scope.cancel()
    assert double.commands() == ["UPDATE_HAD_AD"] * 4 + ["INVALIDATE_HAD_ADS"]
    assert [ad.get_int("UpdateSequenceNumber") for _, ad in double.heard[:4]] == [1, 2, 3, 4]
    assert double.ads == {}
    assert [command for command, *_ in double.observer.commands] == [55, 55, 55, 55, 57]
    assert double.observer.refusals == []
    assert stage.notes.events == [("collector_reached", None)]
    assert stage.notes.updates == 4


async def test_without_a_change_it_goes_out_again(security):
    """Each interval brings an ad, made anew."""
    async with trio.open_nursery() as nursery:
        double, collector, _scope = await serve(nursery, security)
        stage = Stage(Client(security), collector, interval=0.05)
        nursery.start_soon(stage.advertiser.run)
        await double.until(lambda heard: len(heard) >= 4)
        nursery.cancel_scope.cancel()
    assert set(said(double.heard)) == {0}


async def test_a_collector_that_comes_back_gets_what_is_so_then(security):
    """Nothing is kept for it: of three changes meanwhile it hears the last one, once."""
    async with trio.open_nursery() as nursery:
        double, collector, scope = await serve(nursery, security)
        stage = Stage(Client(security), collector)
        nursery.start_soon(stage.advertiser.run)
        await double.until(lambda heard: said(heard) == [0])
        scope.cancel()
        for number in (1, 2, 3):
            await trio.sleep(0.01)
            stage.say(number)
        await trio.sleep(0.1)
        double, _collector, _scope = await serve(nursery, security, port=collector.address.port)
        await double.until(lambda heard: len(heard) > 0)
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()
    assert said(double.heard) == [3]


async def test_one_that_freezes_holds_nobody_up(security):
    """A collector that takes connections and says nothing costs a deadline, and the other one hears all the same."""
    async with trio.open_nursery() as nursery:
        frozen = socket.create_server(("127.0.0.1", 0))
        address = Address("127.0.0.1", frozen.getsockname()[1])
        double, collector, _scope = await serve(nursery, security)
        stage = Stage(Client(security), Collector("frozen", address), collector)
        nursery.start_soon(stage.advertiser.run)
        await double.until(lambda heard: said(heard) == [0])
        began = time.monotonic()
        stage.say(1)
        assert time.monotonic() - began < 1
        await double.until(lambda heard: said(heard) == [0, 1])
        await stage.notes.until(lambda: ("collector_unreachable", "timeout") in stage.notes.events)
        await stage.advertiser.retire()
        nursery.cancel_scope.cancel()
        frozen.close()
    assert double.ads == {}
    assert stage.notes.up == {"frozen": False, collector.entry: True}


async def test_one_that_denies_us_is_told_once(security, tmp_path):
    """A collector with another key is a line in the log, and no more."""
    (tmp_path / "other").mkdir()
    values = settings(tmp_path / "other", ALLOW_DAEMON="nobody@nowhere")
    async with trio.open_nursery() as nursery:
        double, collector, _scope = await serve(nursery, read_security(values.get))
        stage = Stage(Client(security), collector)
        nursery.start_soon(stage.advertiser.run)
        await stage.notes.until(lambda: len(stage.notes.failures) == 2)
        nursery.cancel_scope.cancel()
    assert stage.notes.events == [("collector_unreachable", "denied")]
    assert double.heard == []


async def test_another_configuration_is_taken_up(security):
    """A collector that left the list has the ad taken back, a new one gets it; another name is another ad."""
    async with trio.open_nursery() as nursery:
        first, first_collector, _scope = await serve(nursery, security)
        second, second_collector, _other = await serve(nursery, security)
        stage = Stage(Client(security), first_collector)
        nursery.start_soon(stage.advertiser.run)
        await first.until(lambda heard: said(heard) == [0])
        stage.configure(collectors=(second_collector,))
        await first.until(lambda heard: heard[-1][0] == 57)
        await second.until(lambda heard: said(heard) == [0])
        assert stage.notes.collectors == (second_collector.entry,)
        stage.configure(name="condor@cm1.example.org#b")
        await second.until(lambda heard: len(heard) == 3)
        stage.configure(collectors=())
        await second.until(lambda heard: len(heard) == 4)
        nursery.cancel_scope.cancel()
    assert first.ads == {}
    assert second.ads == {}
    assert stage.notes.collectors == ()


async def test_another_spelling_is_the_same_collector(security):
    """The connection stays, nothing is taken back, and the numbers go on under the new spelling."""
    async with trio.open_nursery() as nursery:
        double, collector, _scope = await serve(nursery, security)
        stage = Stage(Client(security), collector)
        nursery.start_soon(stage.advertiser.run)
        await double.until(lambda heard: said(heard) == [0])
        respelled = attrs.evolve(collector, entry=f"<{collector.entry}>")
        stage.configure(collectors=(respelled,))
        assert stage.notes.up[respelled.entry]
        stage.say(1)
        await double.until(lambda heard: said(heard)[-1] == 1)
        nursery.cancel_scope.cancel()
    assert set(double.commands()) == {"UPDATE_HAD_AD"}
    assert [ad.get_int("UpdateSequenceNumber") for _, ad in double.heard] == [1, 2, 3][: len(double.heard)]
    assert stage.notes.events == [("collector_reached", None)]


@pytest.mark.parametrize("is_first_to_stay", [True, False])
async def test_what_another_entry_took_back_is_told_again(security, is_first_to_stay):
    """A collector that was named twice, by its name and its number, has the ad in the end, whichever entry goes."""
    async with trio.open_nursery() as nursery:
        double, by_number, _scope = await serve(nursery, security)
        by_name = Collector("localhost", Address("localhost", by_number.address.port))
        stage = Stage(Client(security), by_number, by_name)
        nursery.start_soon(stage.advertiser.run)
        await double.until(lambda heard: said(heard) == [0, 0])

        def say_more(command, _ad):
            """Let only an ad that is made after the last word say 9, without news."""
            if command == 57:
                stage.said = 9

        double.tell = say_more
        stage.configure(collectors=(by_number if is_first_to_stay else by_name,))
        await double.until(lambda heard: said(heard)[-1] == 9)
        nursery.cancel_scope.cancel()
    assert double.commands().count("INVALIDATE_HAD_ADS") == 1
    assert list(double.ads) == [("HAD", NAME)]


async def test_nobody_to_tell():
    """Without collectors nothing is made, sent or logged."""
    stage = Stage(None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.advertiser.run)
        await trio.testing.wait_all_tasks_blocked()
        stage.say(1)
        await stage.advertiser.retire()
        nursery.cancel_scope.cancel()
    assert stage.made == 0
    assert stage.notes.lines == []


# --- how often it tries, on a virtual clock -----------------------------------------------------------------------


class Nobody:
    """A client whose calls all fail; it remembers when they were."""

    def __init__(self, failure=None):
        self.failure = failure
        self.calls = []

    async def connect(self, address, _command):
        """Fail."""
        self.calls.append((trio.current_time(), address))
        if self.failure is None:
            await trio.sleep_forever()
        raise self.failure


async def test_pauses_grow_to_a_minute(autojump_clock):
    """The tries of a collector that refuses come after 1, 2, 4 seconds and so on, and one line is written."""
    client = Nobody(ConnectionRefused(FAR.address, "nobody listens"))
    stage = Stage(client, FAR)
    with trio.move_on_after(600):
        await stage.advertiser.run()
    times = [at - client.calls[0][0] for at, _ in client.calls]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[:7] == pytest.approx([1, 2, 4, 8, 16, 32, 60])
    assert set(map(round, pauses[6:])) == {LONGEST_PAUSE_SECONDS}
    assert stage.notes.events == [("collector_unreachable", "refused")]
    assert stage.made == 0


async def test_a_change_cuts_a_pause_short(autojump_clock):
    """A storm of changes makes one try a second, and no more."""
    client = Nobody(ConnectionRefused(FAR.address, "nobody listens"))
    stage = Stage(client, FAR)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.advertiser.run)
        await trio.sleep(100)
        before = len(client.calls)
        for number in range(1, 201):
            stage.say(number)
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    tries = len(client.calls) - before
    assert 15 <= tries <= 20 / SHORTEST_PAUSE_SECONDS + 1


async def test_a_new_reason_is_a_new_line(autojump_clock):
    """Refused, then denied, then refused again is three lines, however often each came."""
    client = Nobody()
    stage = Stage(client, FAR)
    refused = ConnectionRefused(FAR.address, "nobody listens")
    async with trio.open_nursery() as nursery:
        client.failure = refused
        nursery.start_soon(stage.advertiser.run)
        for failure in (Denied(FAR.address, "who are you", None), refused):
            await trio.sleep(200)
            client.failure = failure
        await trio.sleep(200)
        nursery.cancel_scope.cancel()
    assert [reason for _, reason in stage.notes.events] == ["refused", "denied", "refused"]


async def test_a_call_that_hangs_has_a_deadline(autojump_clock):
    """Each try ends after 5 seconds, or T if that is longer, and the end of the daemon waits for none of them."""
    client = Nobody()
    stage = Stage(client, FAR, timeout=8.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.advertiser.run)
        await trio.sleep(30)
        began = trio.current_time()
        await stage.advertiser.retire()
        assert trio.current_time() == began
        nursery.cancel_scope.cancel()
    first, second = (at for at, _ in client.calls[:2])
    assert second - first == pytest.approx(max(8.0, TRY_SECONDS) + SHORTEST_PAUSE_SECONDS)
    assert stage.notes.events == [("collector_unreachable", "timeout")]


class Brief:
    """A connection that the collector ends after the first ad."""

    def __init__(self, address):
        self.address = address
        self._is_sent = trio.Event()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exception):
        await trio.lowlevel.checkpoint()

    def writer(self):
        """A message."""
        return MessageWriter()

    async def send(self, _message):
        """Take it."""
        self._is_sent.set()
        await trio.lowlevel.checkpoint()

    async def receive(self):
        """End."""
        await self._is_sent.wait()
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        raise Reset(self.address, "the connection was closed", has_heard=True)


async def test_a_name_is_looked_up_at_each_try():
    """All addresses of a name are tried, and an unknown one is no more than a reason."""
    client = Nobody(ConnectionRefused(FAR.address, "nobody listens"))
    stage = Stage(
        client,
        Collector("localhost", Address("localhost", 9618)),
        Collector("nowhere.invalid", Address("nowhere.invalid", 9618)),
        Collector("a..b", Address("a..b", 9618)),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.advertiser.run)
        await stage.notes.until(lambda: len(stage.notes.events) == 3)
        nursery.cancel_scope.cancel()
    assert set(stage.notes.events) == {
        ("collector_unreachable", "refused"),
        ("collector_unreachable", "unreachable"),
    }
    assert Address("127.0.0.1", 9618) in {address for _, address in client.calls}


async def test_an_address_that_is_silent_is_the_last_one_next_time(autojump_clock):
    """Of the three addresses of a name two swallow everything; the third is reached, and then is the first."""
    numbers = tuple(Address(f"10.0.0.{number}", 9618) for number in (1, 2, 3))
    calls = []

    class Named(Means):
        """Knows the name, always in the same order."""

        async def numbers_of(self, _address):
            await trio.lowlevel.checkpoint()
            return numbers

    class Partly:
        """Reaches the last address only."""

        async def connect(self, address, _command):
            calls.append(address)
            if address != numbers[2]:
                await trio.sleep_forever()
            return Brief(address)

    stage = Stage(Partly(), Collector("cm1", Address("cm1", 9618)), means=Named)
    with trio.move_on_after(60):
        await stage.advertiser.run()
    assert calls[:2] == list(numbers[:2])
    assert len(calls) > 3
    assert set(calls[2:]) == {numbers[2]}
    assert stage.notes.events[:2] == [("collector_unreachable", "timeout"), ("collector_reached", None)]


async def test_a_collector_that_hangs_up_is_not_called_in_a_circle(autojump_clock, security):
    """One that takes every ad and then ends the connection gets its pauses, and one line after the third time."""
    calls = []

    class Hanging:
        """Connections that end at once after the first ad."""

        async def connect(self, address, _command):
            calls.append(trio.current_time())
            return Brief(address)

    stage = Stage(Hanging(), FAR)
    with trio.move_on_after(600):
        await stage.advertiser.run()
    assert 10 <= len(calls) <= 20
    assert stage.notes.events == [("collector_reached", None), ("collector_unreachable", "reset")]


async def test_a_defect_of_ours_ends_nothing(autojump_clock):
    """An ad that cannot be made is a failure like another."""
    stage = Stage(None, FAR)
    with trio.move_on_after(10):
        await stage.advertiser.run()
    [(event, fields)] = stage.notes.lines
    assert (event, fields["reason"]) == ("collector_unreachable", "protocol")
    assert "a defect of ours: AttributeError" in fields["text"]


def test_the_last_word_names_the_ad():
    """It is a query for the name, which the collector drops by its key."""
    ad = ClassAd({"Name": 'a"b@cm1', "DaemonStartTime": 5, "DaemonLastReconfigTime": 6})
    last = invalidation(HAD_AD, ad)
    assert last.text("Requirements") == 'TARGET.Name == "a\\"b@cm1"'
    assert (last["MyType"], last["TargetType"], last["Name"]) == ("Query", "HAD", 'a"b@cm1')


def test_the_end_does_not_wait_long():
    """A daemon that stops is soon gone, whatever its collectors do."""
    assert RETIRE_SECONDS <= 1
