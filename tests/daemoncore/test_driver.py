"""The one loop: events and deadlines reach the machine, effects are performed, and `Finished` ends it.

The clock is the machine's own, CLOCK_BOOTTIME, so waits here are real and short; a scripted machine takes the place of
the election.
"""

import math

import attrs
import pytest
import trio
import trio.testing

from daemoncore import boottime
from daemoncore.driver import MAXIMUM_WAITING, Driver
from had.events import (
    ControlleeExited,
    Finished,
    Heard,
    Linked,
    Note,
    Persisted,
    Record,
    Refused,
    StopRequested,
    Tick,
)
from tests.had.speakers import A, said

pytestmark = pytest.mark.timed

LONG_SECONDS = 3600.0


class Script:
    """A machine that writes down its events and answers each with the effects of its script."""

    def __init__(self, deadline_in=LONG_SECONDS):
        self.deadline_in = deadline_in
        self.deadline = None if deadline_in is None else boottime.now() + deadline_in
        self.handled = []
        self.last_turn = math.inf
        self.answers = {}

    def handle(self, event, now):
        """Note the event and its time; the next deadline is counted from it."""
        self.handled.append((event, now))
        if len(self.handled) == self.last_turn:
            return [Finished()]
        if self.deadline_in is not None:
            self.deadline = now + self.deadline_in
        return self.answers.get(type(event), [])

    @property
    def events(self):
        """The events so far."""
        return [event for event, _ in self.handled]


@attrs.define
class Watch:
    """Keeps the reports of turns and losses."""

    turns: list = attrs.field(factory=list)
    losses: list = attrs.field(factory=list)

    def turned(self, event, now, lag_seconds):
        """Keep one."""
        self.turns.append((event, now, lag_seconds))

    def dropped(self, event):
        """Keep one that was lost."""
        self.losses.append(event)


def driving(machine, perform, watch):
    """A driver of a machine that speaks the election's words."""
    return Driver(machine, perform, watch, tick=Tick(), droppable=Heard, finished=Finished)


class Run:
    """A driver in a task of its own."""

    def __init__(self, script):
        self.script = script
        self.performed = []
        self.watch = Watch()
        self.driver = driving(script, self.performed.append, self.watch)

    async def settle(self):
        """Wait until the loop has nothing to do."""
        await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
async def run(nursery):
    """A driver whose machine has nothing to do for an hour."""
    run = Run(Script())
    nursery.start_soon(run.driver.run)
    await run.settle()
    return run


async def test_the_machine_is_asked_once_at_the_start(run):
    """The first turn is a tick, since a machine may want something before anything happens."""
    assert run.script.events == [Tick()]


async def test_events_come_in_order_and_their_effects_are_performed(run):
    """Each event is one turn; its effects are done before the next event is looked at."""
    run.script.answers = {Linked: [Note("one"), Note("two")], Refused: [Note("three")]}
    run.driver.post(Linked("a", is_ours=True))
    run.driver.post(Refused("b"))
    await run.settle()
    assert run.script.events == [Tick(), Linked("a", is_ours=True), Refused("b")]
    assert run.performed == [Note("one"), Note("two"), Note("three")]


async def test_a_burst_is_drained_without_ticks_in_between(run):
    """A thousand events that wait are a thousand turns, in order."""
    burst = [Refused(str(number)) for number in range(1000)]
    for event in burst:
        run.driver.post(event)
    await run.settle()
    assert run.script.events[1:] == burst


async def test_a_burst_does_not_keep_the_links_from_sending(nursery):
    """What a turn queued for other tasks is taken up before the next turn, or a lease would outlive its heartbeats."""
    sent = []
    send, receive = trio.open_memory_channel(math.inf)

    async def link():
        async for effect in receive:
            sent.append((effect, len(script.handled)))  # noqa: PERF401 -- one by one is the point

    script = Script()
    script.answers = {Refused: [Note("heartbeat")]}
    driver = driving(script, send.send_nowait, Watch())
    nursery.start_soon(link)
    for number in range(100):
        driver.post(Refused(str(number)))
    nursery.start_soon(driver.run)
    await trio.testing.wait_all_tasks_blocked()
    assert len(sent) == 100
    # Two tasks take turns, in an order that is trio's affair.
    assert all(handled <= place + 3 for place, (_, handled) in enumerate(sent))


async def test_times_are_the_machines_clock_and_never_go_back(run):
    """Every `now` is CLOCK_BOOTTIME."""
    before = run.script.handled[0][1]
    run.driver.post(Refused("a"))
    await run.settle()
    after = run.script.handled[1][1]
    assert before <= after <= boottime.now()


async def test_the_deadline_is_a_tick_in_time():
    """With nothing else happening the machine is asked at its deadline and not before."""
    run = Run(Script(deadline_in=0.03))
    run.script.last_turn = 3
    began = boottime.now()
    with trio.fail_after(5):
        await run.driver.run()
    assert run.script.events == [Tick()] * 3
    times = [now for _, now in run.script.handled]
    assert times[1] - times[0] >= 0.03
    assert times[2] - times[1] >= 0.03
    assert times[0] >= began


async def test_a_deadline_that_is_past_is_a_tick_at_once():
    """A machine that is late is asked without waiting, and the watcher hears by how much."""
    run = Run(Script(deadline_in=None))
    run.script.deadline = boottime.now() - 5.0
    run.script.answers = {Tick: [Finished()]}
    with trio.fail_after(5):
        await run.driver.run()
    ((event, _, lag_seconds),) = run.watch.turns
    assert event == Tick()
    assert 5.0 <= lag_seconds < 10.0


@pytest.mark.parametrize("deadline", [None, math.inf])
async def test_without_a_deadline_only_events_wake_the_loop(deadline, nursery):
    """None and infinity both mean never."""
    run = Run(Script(deadline_in=None))
    run.script.deadline = deadline
    nursery.start_soon(run.driver.run)
    await run.settle()
    assert run.script.events == [Tick()]
    run.driver.post(Refused("a"))
    await run.settle()
    assert run.script.events == [Tick(), Refused("a")]


async def test_an_event_before_the_deadline_has_no_lag(run):
    """An event that came long before the deadline reports no lag."""
    run.driver.post(Refused("a"))
    await run.settle()
    assert [lag for _, _, lag in run.watch.turns] == [0.0, 0.0]


async def test_an_event_that_waited_past_the_deadline_has_the_lag():
    """A loop that was kept from running finds an event, not the deadline: the lag is told all the same."""
    run = Run(Script(deadline_in=LONG_SECONDS))
    run.script.last_turn = 2
    run.script.answers = {Tick: [Note("slow")]}

    def perform(_effect):
        """Be so slow that the next deadline has passed before the event gets its turn."""
        run.script.deadline = boottime.now() - 5.0

    run.driver = driving(run.script, perform, run.watch)
    run.driver.post(Refused("a"))
    with trio.fail_after(5):
        await run.driver.run()
    (_, (event, _, lag_seconds)) = run.watch.turns
    assert event == Refused("a")
    assert 5.0 <= lag_seconds < 10.0


async def test_finished_ends_the_loop_after_its_other_effects():
    """The last words are still sent; events that come later are not handled."""
    run = Run(Script())
    run.script.answers = {StopRequested: [Note("last"), Finished()]}
    run.driver.post(StopRequested())
    run.driver.post(Refused("late"))
    with trio.fail_after(5):
        await run.driver.run()
    assert run.performed == [Note("last"), Finished()]
    assert run.script.events == [Tick(), StopRequested()]


async def test_a_flood_of_messages_loses_messages_and_nothing_else():
    """A loop that does not run keeps what fits and every event that comes once; `post` returns, and no turn is told."""
    run = Run(Script())
    flood = [Heard(said(A, sequence=number)) for number in range(MAXIMUM_WAITING + 500)]
    for event in flood:
        run.driver.post(event)
    once = [ControlleeExited("killed"), Persisted(Record(5)), StopRequested()]
    for event in once:
        run.driver.post(event)
    assert run.watch.losses == flood[MAXIMUM_WAITING:]
    assert run.watch.turns == []
    run.script.answers = {StopRequested: [Finished()]}
    with trio.fail_after(30):
        await run.driver.run()
    assert run.script.events == [Tick(), *flood[:MAXIMUM_WAITING], *once]
