"""Virtual time: one queue of things to do, one source of dice, one story.

Everything in the simulator happens inside a callback of the queue, so a run is a pure function of its seed: the
same seed gives the same story, on any machine and however Python hashes strings. Two records are kept. The *story*
holds what a person wants to know (changes of state, controllees, faults) and is always written; the *trace* adds
every message and event, and is written only when somebody replays one seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import attrs


class Violation(AssertionError):  # noqa: N818 - the word of the trade
    """An invariant does not hold: the machine, or the simulator's understanding of it, is wrong."""


@attrs.define(slots=True, order=False, eq=False)
class Timer:
    """Something that will happen; `cancel` makes it not happen."""

    when: float
    act: Callable[..., None] | None
    arguments: tuple

    def cancel(self) -> None:
        """Make sure that it never happens; harmless when it already did."""
        self.act = None


class World:
    """The queue of events, the time, the dice and the story of one run.

    `now` is true time in seconds, which no simulated node can see: each has its own drifting clock.
    """

    def __init__(self, seed: int, *, is_tracing: bool = False):
        self.now = 0.0
        self.dice = random.Random(seed)
        self.is_tracing = is_tracing
        self.lines: list[str] = []
        self.steps = 0
        self._queue: list[tuple[float, int, Timer]] = []
        self._order = 0

    def at(self, when: float, act: Callable[..., None], *arguments) -> Timer:
        """Have `act(*arguments)` called at `when` (never earlier than now)."""
        timer = Timer(max(when, self.now), act, arguments)
        self._order += 1
        heapq.heappush(self._queue, (timer.when, self._order, timer))
        return timer

    def after(self, delay_seconds: float, act: Callable[..., None], *arguments) -> Timer:
        """Have `act(*arguments)` called after a delay."""
        return self.at(self.now + delay_seconds, act, *arguments)

    def run_until(self, when: float) -> None:
        """Let everything happen that is due before or at `when`, which is then the time."""
        queue = self._queue
        while queue and queue[0][0] <= when:
            due, _, timer = heapq.heappop(queue)
            if timer.act is None:
                continue
            self.now = due
            self.steps += 1
            timer.act(*timer.arguments)
        self.now = when

    def run_while(self, condition: Callable[[], bool], limit: float) -> bool:
        """Go on while the condition holds, at most until `limit`; return whether it ceased to hold."""
        queue = self._queue
        while condition():
            if not queue or queue[0][0] > limit:
                self.now = limit
                return not condition()
            due, _, timer = heapq.heappop(queue)
            if timer.act is None:
                continue
            self.now = due
            self.steps += 1
            timer.act(*timer.arguments)
        return True

    def tell(self, who: str, text: str) -> None:
        """Add a line to the story."""
        self.lines.append(f"{self.now:9.3f}  {who:<4}{text}")

    def trace(self, who: str, text: str) -> None:
        """Add a line that only a replay wants to see; callers ask `is_tracing` first when the text costs time."""
        if self.is_tracing:
            self.lines.append(f"{self.now:9.4f}  {who:<4}  . {text}")

    def chance(self, probability: float) -> bool:
        """Throw the dice once."""
        return self.dice.random() < probability

    def between(self, low: float, high: float) -> float:
        """Draw a number, evenly spread."""
        return low + (high - low) * self.dice.random()


@attrs.frozen
class Clock:
    """One host's clock: it starts anywhere and runs a little fast or slow."""

    start: float = 0.0
    rate: float = 1.0

    def local(self, true_time: float) -> float:
        """Return what this clock shows at a true time."""
        return self.start + true_time * self.rate

    def true(self, local_time: float) -> float:
        """Return the true time at which this clock shows `local_time`."""
        return (local_time - self.start) / self.rate
