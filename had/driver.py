"""The one loop of the election daemon that touches the world.

It waits for an event or for the machine's deadline, asks the machine, and performs the effects; nothing else calls
`Election.handle`. Effects are performed by `perform`, which only ever queues: the loop never waits for a disk, a
peer or a child. So the age of the last turn is the daemon's health, and how late a deadline was handled is the one
honest measure of a starved machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Protocol

import trio

from daemoncore import boottime
from had.election import Election
from had.events import Effect, Event, Finished, Heard, Tick

MAXIMUM_WAITING: Final = 4096
"""So many events may wait before messages are dropped: forty seconds of talk in a pool of fifty members at T = 2."""


class Watcher(Protocol):
    """Who wants to know how the loop fares."""

    def turned(self, event: Event, now: float, lag_seconds: float) -> None:
        """The loop handled an event; `lag_seconds` is how late, for a `Tick`."""

    def dropped(self, event: Event) -> None:
        """An event was lost because too many were waiting."""


class Driver:
    """Drives one `Election`.

    Args:
        election: the machine.
        perform: does one effect, without waiting.
        watcher: is told of each turn.
    """

    def __init__(self, election: Election, perform: Callable[[Effect], None], watcher: Watcher) -> None:
        self._election = election
        self._perform = perform
        self._watcher = watcher
        self._send, self._receive = trio.open_memory_channel[Event](math.inf)

    def post(self, event: Event) -> None:
        """Hand in an event from any task.

        A message too many for a starved loop is dropped, as the network might. Nothing else is: there are few other
        events, and a machine that never heard of a finished write or a dead controllee would wait for ever.
        """
        waiting = self._send.statistics().current_buffer_used
        if isinstance(event, Heard) and waiting >= MAXIMUM_WAITING:
            self._watcher.dropped(event)
        else:
            self._send.send_nowait(event)

    async def run(self) -> None:
        """Turn until the machine is finished."""
        event: Event | None = Tick()
        while event is not None:
            is_finished = self._turn(event)
            event = None if is_finished else await self._next()

    def _turn(self, event: Event) -> bool:
        now = boottime.now()
        due = self._election.deadline if isinstance(event, Tick) else None
        effects = self._election.handle(event, now)
        for effect in effects:
            self._perform(effect)
        self._watcher.turned(event, now, 0.0 if due is None else max(0.0, now - due))
        return any(isinstance(effect, Finished) for effect in effects)

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
        deadline = self._election.deadline
        seconds = float("inf") if deadline is None else max(0.0, deadline - boottime.now())
        with trio.move_on_after(seconds):
            return await self._receive.receive()
        return Tick()
