"""The processes of a daemon, real ones, waited for on trio."""

import os
import time

import pytest
import trio

from daemoncore.children import Children
from daemoncore.process import become_subreaper
from daemoncore.process import children as list_children
from tests.daemoncore import starving

pytestmark = pytest.mark.timed

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def owned():
    """A daemon's processes."""
    become_subreaper()
    return Children()


@pytest.mark.parametrize(
    ("argv", "result"),
    [
        (("/bin/true",), ""),
        (("/bin/false",), "/bin/false: exit status 1"),
        (("/bin/sh", "-c", "kill -KILL $$"), "/bin/sh: SIGKILL"),
        (("/no/such/program", "x"), "/no/such/program: exit status 127"),
    ],
)
async def test_a_command_ends_in_words(owned, argv, result):
    """Success is silent; a failure says how the command ended."""
    before = list_children(os.getpid())
    assert await owned.run(argv, ENVIRONMENT, 10.0) == result
    assert list_children(os.getpid()) == before


async def test_a_command_that_takes_too_long_is_killed(owned):
    """At the time limit the command is killed and collected."""
    before = list_children(os.getpid())
    began = time.monotonic()
    assert await owned.run(("/bin/sleep", "600"), ENVIRONMENT, 0.1) == "/bin/sleep: killed after 0.1 s"
    assert time.monotonic() - began < 2.0
    assert list_children(os.getpid()) == before


async def test_a_cancelled_command_is_killed(owned):
    """Cancelling does not leave the command running."""
    before = list_children(os.getpid())
    with trio.move_on_after(0.05) as scope:
        await owned.run(("/bin/sleep", "600"), ENVIRONMENT, 10.0)
    assert scope.cancelled_caught
    assert list_children(os.getpid()) == before


async def test_orphans_are_told_from_children(owned):
    """An orphan from below is adopted: it can be killed and collected, and what was started here is left alone."""
    present = owned.present()
    ours = owned.start(("/bin/sleep", "600"), ENVIRONMENT)
    await owned.run(("/bin/sh", "-c", "setsid sleep 600 & setsid sleep 600 &"), ENVIRONMENT, 10.0)
    assert len(owned.adopted(present)) == 2
    await owned.kill_adopted(present)
    assert owned.adopted(present) == []
    assert ours.poll() is None
    ours.kill()
    assert await owned.wait(ours) == -9


async def test_dead_orphans_are_collected(owned):
    """An orphan that ends leaves no zombie behind once it is looked for."""
    present = owned.present()
    await owned.run(("/bin/sh", "-c", "true & true &"), ENVIRONMENT, 10.0)
    with trio.fail_after(5):
        while owned.adopted(present):
            owned.reap_adopted(present)
            await trio.sleep(0.001)


async def test_a_stranger_is_spared(owned):
    """A child that was there before, and was started by other means, is neither killed nor collected."""
    stranger = Children().start(("/bin/sleep", "600"), ENVIRONMENT)
    present = owned.present()
    await owned.kill_adopted(present)
    owned.reap_adopted(present)
    assert stranger.poll() is None
    stranger.kill()
    assert stranger.wait() == -9


async def test_a_command_is_waited_for_without_a_descriptor(owned):
    """When no pidfd is to be had its end is noticed all the same."""
    process = owned.start(("/bin/sleep", "0.05"), ENVIRONMENT)
    with starving.no_descriptors(), trio.fail_after(5):
        assert await owned.wait(process) == 0


@pytest.mark.parametrize(
    ("script", "words"), [("exit 0", ""), ("exit 3", "exit status 3"), ("kill -TERM $$", "SIGTERM")]
)
async def test_a_dead_process_keeps_its_number_until_it_is_collected(owned, script, words):
    """How it ended can be told before; only then may the kernel give the number to another."""
    process = owned.start(("/bin/sh", "-c", script), ENVIRONMENT)
    with trio.fail_after(5):
        assert await owned.until_dead(process) == words
        assert await owned.until_dead(process) == words
    assert process.pid in list_children(os.getpid())
    owned.collect(process)
    assert process.pid not in list_children(os.getpid())


async def test_a_living_process_is_not_collected(owned):
    """It stays ours, and is not taken for an orphan."""
    present = owned.present()
    process = owned.start(("/bin/sleep", "600"), ENVIRONMENT)
    owned.collect(process)
    assert owned.adopted(present) == []
    process.kill()
    assert await owned.wait(process) == -9


async def test_a_process_may_be_talked_to(owned):
    """Its standard input and output are the descriptors that it is given."""
    its_input, ours = os.pipe()
    output, its_output = os.pipe()
    process = owned.start(("/bin/cat",), ENVIRONMENT, stdin=its_input, stdout=its_output)
    for descriptor in (its_input, its_output):
        os.close(descriptor)
    os.write(ours, b"hello")
    os.close(ours)
    assert await owned.wait(process) == 0
    assert os.read(output, 100) == b"hello"
    os.close(output)
