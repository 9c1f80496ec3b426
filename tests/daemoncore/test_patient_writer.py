"""Acts on a thread of their own: each end is told, and so is the lack of one."""

import threading

import pytest
import trio
import trio.testing

from daemoncore.patient_writer import PATIENCE_SECONDS, PatientWriter


class Listener:
    """Keeps what a writer reports."""

    def __init__(self):
        self.ended = []
        self.stuck = []

    def end(self, finished):
        """Keep one."""
        self.ended.append(finished.tag)

    async def until(self, count):
        """Wait, in real time, until so many ended."""
        while len(self.ended) < count:
            await trio.testing.wait_all_tasks_blocked(0.001)


async def pass_seconds(clock, seconds):
    """Let virtual time pass; it stands still while a thread is waited for."""
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
async def writer(nursery):
    """A writer that reports."""
    made, heard = PatientWriter(), Listener()
    nursery.start_soon(made.run, heard.end, heard.stuck.append)
    await trio.testing.wait_all_tasks_blocked()
    yield made, heard
    made.close()


async def test_acts_end_in_order(writer):
    """What ends in time is never called stuck."""
    made, heard = writer
    for number in range(20):
        made.submit(number, lambda: None)
    await heard.until(20)
    assert heard.ended == list(range(20))
    assert heard.stuck == []
    assert made.pending_count == 0


async def test_an_act_may_be_over_before_anybody_looks(writer):
    """An act that ends while the loop is busy harms nothing, whichever task has its turn first (trio throws dice)."""
    made, heard = writer
    for number in range(500):
        made.submit(number, lambda: None)
        threading.Event().wait(0.0001)
        for _ in range(number % 5):
            await trio.lowlevel.checkpoint()
    await heard.until(500)
    assert heard.ended == list(range(500))


async def test_an_act_without_an_end_is_told_once_with_all_behind_it(mock_clock, writer):
    """When it ends after all, the others follow, and the next one that hangs is news again."""
    made, heard = writer
    for _ in range(2):
        gate = threading.Event()
        made.submit("hangs", gate.wait)
        made.submit("waits", lambda: None)
        await trio.testing.wait_all_tasks_blocked()
        await pass_seconds(mock_clock, 3 * PATIENCE_SECONDS)
        assert made.is_stuck
        count = len(heard.ended)
        gate.set()
        await heard.until(count + 2)
        assert not made.is_stuck
    assert heard.stuck == [("hangs", "waits")] * 2
    assert heard.ended == ["hangs", "waits"] * 2


async def test_each_act_has_patience_of_its_own(mock_clock, writer):
    """A long queue before a disk that is only slow is no hang: patience begins when an act has its turn."""
    made, heard = writer
    gates = [threading.Event() for _ in range(4)]
    for number, gate in enumerate(gates):
        made.submit(number, gate.wait)
    await trio.testing.wait_all_tasks_blocked()
    for number, gate in enumerate(gates):
        await pass_seconds(mock_clock, 0.6 * PATIENCE_SECONDS)
        gate.set()
        await heard.until(number + 1)
    assert heard.stuck == []
