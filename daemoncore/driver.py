"""The one loop of a daemon that touches the world.

It waits for an event or for the machine's deadline, asks the machine, and performs the effects; nothing else calls
the machine's `handle`. Effects are performed by `perform`, which only ever queues: the loop never waits for a disk, a
peer or a child. So the age of the last turn is the daemon's health, and how late a deadline was handled is the one
honest measure of a starved host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import trio

from daemoncore import boottime

MAXIMUM_WAITING: Final = 4096
"""So many events may wait before messages are dropped: forty seconds of talk in a pool of fifty members at T = 2."""

Event = TypeVar("Event")
Effect = TypeVar("Effect")
_Event_contra = TypeVar("_Event_contra", contravariant=True)
_Effect_co = TypeVar("_Effect_co", covariant=True)


class Machine(Protocol[_Event_contra, _Effect_co]):
    """What decides: events and times go in, effects come out."""

    @property
    def deadline(self) -> float | None:
        """When it wants to be asked though nothing happens, on the clock of `boottime`; None and infinity are never."""

    def handle(self, event: _Event_contra, now: float) -> Sequence[_Effect_co]:
        """Take note of an event, and say what is to be done."""


class Watcher(Protocol[_Event_contra]):
    """Who wants to know how the loop fares."""

    def turned(self, event: _Event_contra, now: float, lag_seconds: float) -> None:
        """The loop handled an event; `lag_seconds` is by how much a deadline was missed, 0.0 if none was due."""

    def dropped(self, event: _Event_contra) -> None:
        """An event was lost because too many were waiting."""


class Driver(Generic[Event, Effect]):
    """Drives one machine.

    Args:
        machine: decides.
        perform: does one effect, without waiting.
        watcher: is told of each turn.
        tick: the event that stands for the passing of time.
        droppable: the kind of events that may get lost: messages, which the network might lose as well.
        finished: the kind of effect after which the loop ends.
    """

    def __init__(
        self,
        machine: Machine[Event, Effect],
        perform: Callable[[Effect], None],
        watcher: Watcher[Event],
        *,
        tick: Event,
        droppable: type | tuple[type, ...],
        finished: type,
    ) -> None:
        self._machine = machine
        self._perform = perform
        self._watcher = watcher
        self._tick = tick
        self._droppable = droppable
        self._finished = finished
        self._send, self._receive = trio.open_memory_channel[Event](math.inf)

    def post(self, event: Event) -> None:
        """Hand in an event from any task.

        A message too many for a starved loop is dropped, as the network might. Nothing else is: there are few other
        events, and a machine that never heard of a finished write or a dead child would wait for ever.
        """
        waiting = self._send.statistics().current_buffer_used
        if isinstance(event, self._droppable) and waiting >= MAXIMUM_WAITING:
            self._watcher.dropped(event)
        else:
            self._send.send_nowait(event)

    async def run(self) -> None:
        """Turn until the machine is finished."""
        event: Event | None = self._tick
        while event is not None:
            is_finished = self._turn(event)
            event = None if is_finished else await self._next()

    def _turn(self, event: Event) -> bool:
        now = boottime.now()
        # A starved loop finds events waiting, so the turn that handles a missed deadline is seldom a tick.
        due = self._machine.deadline
        effects = self._machine.handle(event, now)
        for effect in effects:
            self._perform(effect)
        self._watcher.turned(event, now, 0.0 if due is None else max(0.0, now - due))
        return any(isinstance(effect, self._finished) for effect in effects)

    async def _next(self) -> Event:
        """Wait for the next event, but not past the machine's deadline."""
        try:
            event = self._receive.receive_nowait()
        except trio.WouldBlock:
            pass
        else:
            # The links must have sent our heartbeat before the next turn can vouch for another.
            await trio.lowlevel.checkpoint()
            return event
        deadline = self._machine.deadline
        seconds = float("inf") if deadline is None else max(0.0, deadline - boottime.now())
        with trio.move_on_after(seconds):
            return await self._receive.receive()
        return self._tick
