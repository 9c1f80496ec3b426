"""The conversation with the had of this host: what it says becomes events, and its questions get their answers.

had keeps one stream open (REPLICATION_ATTEND) and says on it whether it leads; its requests are answered on the same
stream, whenever the machine has an answer. When the stream ends had is gone: nothing it asked is answered any more, and
it leads no more, though its guard needs a moment. The one that came last counts.

A real condor_had says 704, 706 and 705 in connections of their own and expects no answer.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import attrs
import trio

from daemoncore import boottime
from daemoncore.cedar.commands import Command, command_name
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.scalars import MessageReader
from daemoncore.server_connection import Request
from replication import messages
from replication.effects import Answer
from replication.events import (
    CurrentAsked,
    Event,
    FlushAsked,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
    Withdrawn,
)

MAXIMUM_ANSWERS = 64
"""Answers that had has not taken: it asks one thing at a time, so these are for somebody else."""

MAXIMUM_QUESTIONS = 128
"""Questions that are open at a time, some of them without a deadline: had has a start, a flush and its readiness to ask."""

GUARD_SECONDS = 5.0
"""So long after the end of had's stream its controllee may still run: far more than its guard needs when had is dead, and
more than had needs to come back when only the stream broke."""


@attrs.define(eq=False)
class _Stream:
    """One had's stream."""

    request: Request
    answers: trio.MemorySendChannel[Answer]
    scope: trio.CancelScope
    #: Our numbers of its questions, by its own.
    numbers: dict[int, int] = attrs.field(factory=dict)


class Attendance:
    """Who attends, and what it has asked.

    Args:
        post: takes events for the machine.
        clock: CLOCK_BOOTTIME, in seconds.
        has_stood_still: whether this daemon has not listened for a while, so that had may have begun anything.
    """

    def __init__(
        self,
        post: Callable[[Event], None],
        clock: Callable[[], float] = boottime.now,
        has_stood_still: Callable[[], bool] = lambda: False,
    ) -> None:
        self._post = post
        self._has_stood_still = has_stood_still
        self._clock = clock
        self._numbers = itertools.count(1)
        self._stream: _Stream | None = None
        self._asked: dict[int, tuple[_Stream, int]] = {}
        self._spoken = trio.Event()
        #: Our numbers of its questions that it asks only while its controllee is stopped.
        self._of_stops: set[int] = set()
        #: Whether it has a controllee, by what it said last. It leads on while one is stopped or restarted.
        self._has_controllee = False
        #: When the last stream ended, if nothing was heard since.
        self._gone_at: float | None = None

    @property
    def is_present(self) -> bool:
        """Whether a had of ours has its stream open."""
        return self._stream is not None

    @property
    def may_run_controllee(self) -> bool:
        """Whether a controllee may be running here; any thread may ask."""
        gone_at = self._gone_at
        is_near = self._has_controllee and (gone_at is None or self._clock() < gone_at + GUARD_SECONDS)
        return is_near or self._has_stood_still()

    async def first_word(self, seconds: float) -> None:
        """Wait until had has said anything, but not longer than this."""
        with trio.move_on_after(seconds):
            await self._spoken.wait()

    async def attend(self, request: Request) -> None:
        """Serve one stream until it ends; WireError when had would not say that."""
        if self._stream is not None:
            self._stream.scope.cancel()
        send, receive = trio.open_memory_channel[Answer](MAXIMUM_ANSWERS)
        async with trio.open_nursery() as nursery:
            stream = self._stream = _Stream(request, send, nursery.cancel_scope)
            try:
                nursery.start_soon(self._send_answers, stream, receive)
                assert request.reader is not None, "this command was registered with a payload"
                self._take(stream, request.reader)
                await self._follow(stream)
            finally:
                self._left(stream)
            nursery.cancel_scope.cancel()

    async def _follow(self, stream: _Stream) -> None:
        async with contextlib.aclosing(stream.request.messages()) as following:
            async for command, reader in following:
                if command != Command.REPLICATION_ATTEND:
                    raise ProtocolError(f"had goes on as it began (got {command_name(command)})")
                self._take(stream, reader)

    def heard(self, event: Event) -> None:
        """A real condor_had spoke."""
        self._hear(event)

    def answer(self, answer: Answer) -> None:
        """Send the machine's answer to whom it is due."""
        asked = self._forget(answer.request)
        if asked is None:
            return
        stream, number = asked
        stream.numbers.pop(number, None)
        try:
            stream.answers.send_nowait(attrs.evolve(answer, request=number))
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            # It takes nothing any more; its end is on the way.
            stream.scope.cancel()

    def _take(self, stream: _Stream, reader: MessageReader) -> None:
        ad = reader.get_ad()
        reader.end()
        event: Event = messages.decode_attended_untrusted(ad)
        if stream is not self._stream:
            return
        if isinstance(event, CurrentAsked | FlushAsked):
            if event.request in stream.numbers or len(stream.numbers) >= MAXIMUM_QUESTIONS:
                raise ProtocolError(
                    f"had asks {MAXIMUM_QUESTIONS} questions at a time, and each once (got {event.request} "
                    f"beside {len(stream.numbers)})"
                )
            number = next(self._numbers)
            self._asked[number] = (stream, event.request)
            stream.numbers[event.request] = number
            if isinstance(event, FlushAsked) or event.incumbent_epoch is None:
                self._of_stops.add(number)
                self._has_controllee = False
            event = attrs.evolve(event, request=number)
        elif isinstance(event, Withdrawn):
            known = stream.numbers.pop(event.request, None)
            if known is None:
                return
            self._forget(known)
            event = Withdrawn(known)
        self._hear(event)

    def _hear(self, event: Event) -> None:
        if isinstance(event, LeadershipBegan | LeadershipConfirmed | LeadershipEnded):
            self._has_controllee = self._may_run(event)
        self._gone_at = None
        self._spoken.set()
        self._post(event)

    def _may_run(self, event: LeadershipBegan | LeadershipConfirmed | LeadershipEnded) -> bool:
        if isinstance(event, LeadershipConfirmed):
            # While it waits for an answer about a stop it goes on leading, without its controllee.
            return not self._of_stops
        return isinstance(event, LeadershipBegan)

    def _forget(self, number: int) -> tuple[_Stream, int] | None:
        self._of_stops.discard(number)
        return self._asked.pop(number, None)

    def _left(self, stream: _Stream) -> None:
        """Withdraw what was asked; had is gone unless another stream has taken this one's place."""
        stream.answers.close()
        for number in stream.numbers.values():
            self._forget(number)
            self._post(Withdrawn(number))
        if self._stream is stream:
            self._stream = None
            self._gone_at = self._clock()
            self._post(LeadershipEnded(is_stopped=False))

    async def _send_answers(self, stream: _Stream, answers: trio.MemoryReceiveChannel[Answer]) -> None:
        async for answer in answers:
            await stream.request.reply(stream.request.writer().put_ad(messages.encode_answer(answer)))
