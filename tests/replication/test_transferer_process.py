"""The channel to a process that may not listen: what goes with it, and who closes what."""

import os

import pytest
import trio
import trio.testing

from daemoncore.children import Children
from daemoncore.process import children
from replication.transferer_process import TransfererProcess


def start(script):
    """Start a program in a transferer's place."""
    return TransfererProcess(
        Children(), ("/bin/sh", "-c", script), {}, lifetime_seconds=60.0, grace_seconds=10.0
    )


def is_open(descriptor):
    """Whether there is such a descriptor."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.fixture
def nothing():
    """A descriptor that somebody else will close."""
    return os.open(os.devnull, os.O_RDONLY)


async def test_a_descriptor_is_closed_when_it_has_gone_over(nothing):
    """The process has its own; its standard input is a socket, and the document stands on one line."""
    process = start('read line; printf \'{"event":"%s"}\\n\' "${#line}"')
    heard = []
    process.tell({"what": "x" * 1000}, [nothing])
    await process.run(heard.append)
    assert heard == [{"event": str(len('{"what":"","descriptors":1}') + 1000)}]
    assert not is_open(nothing)
    process.collect()


async def test_a_descriptor_is_closed_when_nobody_is_there_any_more(nothing):
    """What is told to a dead process is lost, and nothing else is."""
    process = start("exit 0")
    await process.run(lambda _event: None)
    process.tell({}, [nothing])
    assert not is_open(nothing)
    assert process.exit_words == ""
    process.collect()


async def test_a_descriptor_is_closed_when_its_document_has_to_wait(nothing):
    """A process that does not read holds nobody up, and what waits for it ends with it."""
    process = start("exec sleep 600")
    process.tell({"what": "x" * 10_000_000})
    process.tell({}, [nothing])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(process.run, lambda _event: None)
        await trio.testing.wait_all_tasks_blocked()
        assert is_open(nothing)
        process.kill("nobody reads here")
    assert not is_open(nothing)
    assert (process.failure, process.exit_words) == ("nobody reads here", "SIGKILL")
    process.collect()
    assert process.pid not in children(os.getpid())
