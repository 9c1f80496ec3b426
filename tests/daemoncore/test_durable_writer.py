"""The writer's thread: order, failures as values, a loop that goes on, and an orderly end."""

import errno
import threading
import time
from pathlib import Path

import pytest
import trio
import trio.testing

from daemoncore.durable import DurableError, SlotStore
from daemoncore.durable_writer import DurableWriter


@pytest.fixture
def writer():
    """A writer that is closed again."""
    writer = DurableWriter()
    yield writer
    writer.close()


def failing(number):
    """An act that fails as a disk does."""

    def act():
        raise DurableError("disk", path=Path("/disk"), errno=number)

    return act


async def test_results_come_in_the_order_of_submission(writer):
    """Many acts are performed and reported first in, first out."""
    performed = []
    for number in range(100):
        writer.submit(number, lambda number=number: performed.append(number))
    finished = [await anext(writer) for _ in range(100)]
    assert performed == [one.tag for one in finished] == list(range(100))
    assert all(one.error is None for one in finished)
    assert writer.pending_count == 0


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
async def test_a_failure_is_a_value_and_the_writer_lives_on(writer, number):
    """A disk's failure arrives as the result of its act, and the next act is performed."""
    writer.submit("bad", failing(number))
    writer.submit("good", lambda: None)
    bad, good = await anext(writer), await anext(writer)
    assert (bad.tag, bad.error.errno) == ("bad", number)
    assert (good.tag, good.error) == ("good", None)


async def test_the_loop_turns_while_the_disk_hangs(writer):
    """While an act waits, tasks of the loop run, and the act's end wakes them."""
    gate = threading.Event()
    writer.submit("slow", gate.wait)
    turns = 0
    for _ in range(1000):
        await trio.lowlevel.checkpoint()
        turns += 1
    assert turns == 1000
    assert writer.pending_count == 1
    gate.set()
    finished = await anext(writer)
    assert finished.tag == "slow"
    assert finished.duration_seconds >= 0


async def test_no_thread_is_started_by_a_submission(writer):
    """The one thread is there before the first act and there is no other after many."""
    names = sorted(thread.name for thread in threading.enumerate())
    assert names.count("durable-writer") == 1
    for number in range(20):
        writer.submit(number, lambda: None)
        await anext(writer)
    assert sorted(thread.name for thread in threading.enumerate()) == names


async def test_a_store_is_written_through_the_writer(writer, tmp_path):
    """The payload is on disk when its result arrives."""
    store = SlotStore.open(tmp_path / "promises")
    writer.submit(385, lambda: store.write(b"385"))
    assert (await anext(writer)).tag == 385
    store.close()
    again = SlotStore.open(tmp_path / "promises")
    assert again.read() == b"385"
    again.close()


async def test_a_programmers_error_is_raised_in_the_loop(writer):
    """An exception that is no DurableError reaches the task that iterates, and the thread lives on."""
    writer.submit("wrong", lambda: {}["absent"])
    writer.submit("right", lambda: None)
    with pytest.raises(KeyError, match="absent"):
        await anext(writer)
    assert (await anext(writer)).tag == "right"


async def test_close_delivers_what_had_ended_and_ends_the_iteration():
    """Closing lets queued acts end; the iteration gives their results and stops."""
    writer = DurableWriter()
    for number in range(3):
        writer.submit(number, lambda: None)
    assert writer.close()
    assert [finished.tag async for finished in writer] == [0, 1, 2]


async def test_close_wakes_a_task_that_waits():
    """A task in the middle of its wait sees the end of the iteration."""
    writer = DurableWriter()
    tags = []

    async def collect():
        tags.extend([finished.tag async for finished in writer])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect)
        await trio.testing.wait_all_tasks_blocked()
        assert writer.close()
    assert tags == []


def test_close_does_not_wait_for_a_disk_that_never_answers():
    """A hung act bounds the close by its timeout, and the close says so."""
    writer = DurableWriter()
    gate = threading.Event()
    writer.submit("hung", gate.wait)
    began = time.monotonic()
    assert not writer.close(timeout_seconds=0.05)
    assert time.monotonic() - began < 1
    gate.set()
    assert writer.close(timeout_seconds=5)


def test_close_gives_the_descriptor_back():
    """Writers that were closed leave no open descriptor."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        assert DurableWriter().close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
