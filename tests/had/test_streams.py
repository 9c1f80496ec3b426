"""The streams of heartbeats that members open to us: how many there are, and what their end tells."""

import trio
import trio.testing

from daemoncore.cedar.scalars import MessageReader, MessageWriter
from had import messages
from had.events import Message
from had.service import Reins, Service
from had.transitions import State

HOST = "127.0.0.2"
MEMBER = f"{HOST}:9450"


def heartbeat(sequence):
    """The body of a heartbeat."""
    message = Message(
        MEMBER, 0, "keeper", State.PASSIVE, (MEMBER,), instance=1, sequence=sequence, validity_seconds=1.0
    )
    return MessageWriter().put_ad(messages.encode(message, 0.0)).body()


class Stream:
    """A connection as a handler sees it; it stays open until it is closed."""

    command = 0
    address = HOST

    def __init__(self, sequence):
        self.reader = MessageReader(heartbeat(sequence))
        self._closed = trio.Event()

    async def messages(self):
        """Say nothing more, then end."""
        await self._closed.wait()
        for nothing in ():
            yield nothing

    def close(self):
        """End it from the other side."""
        self._closed.set()


def make_service(heard):
    """Make a service that only tells whom it heard."""
    nothing = lambda *_: None  # noqa: E731 -- stands for everything that is not of interest here
    return Service(
        Reins(
            post=nothing,
            answers={},
            members=tuple,
            heard=heard.append,
            is_ours=lambda _: True,
            status=str,
            timeout_seconds=lambda: 1000.0,
            reload=nothing,
            stop=nothing,
            wall_clock=lambda: 0.0,
            reject=nothing,
            find=nothing,
            log_command=nothing,
        )
    )


async def test_the_end_of_a_stream_has_us_dial(nursery, autojump_clock):
    """A member is streaming until its connection ends; then our own connection looks at it again."""
    heard = []
    service, stream = make_service(heard), Stream(1)
    nursery.start_soon(service._heartbeats, stream)
    await trio.testing.wait_all_tasks_blocked()
    assert service.is_streaming(MEMBER)
    heard.clear()
    stream.close()
    await trio.testing.wait_all_tasks_blocked()
    assert not service.is_streaming(MEMBER)
    assert heard == [MEMBER]


async def test_a_stream_replaces_the_one_before(nursery, autojump_clock):
    """A connection that was cut off without a word is no sign of life once its member has made another."""
    heard = []
    service, old, new = make_service(heard), Stream(1), Stream(2)
    ended = []

    async def serve(stream):
        await service._heartbeats(stream)
        ended.append(stream)

    nursery.start_soon(serve, old)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(serve, new)
    await trio.testing.wait_all_tasks_blocked()
    assert ended == [old]
    assert service.is_streaming(MEMBER)
    new.close()
    await trio.testing.wait_all_tasks_blocked()
    assert not service.is_streaming(MEMBER)
