"""HAD_ON_CHANGE: a command of the user's that is run on every transition.

It is told, never asked: the election does not wait for it, and its failure is only reported. Commands run one after
another, in the order of the transitions (hooks that run side by side race), each for a limited time. When
transitions come faster than commands end, the oldest waiting ones are dropped and counted, so a hook that hangs costs
neither memory nor the last word.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import trio

from daemoncore.children import Children
from daemoncore.process import clean_environment
from had.events import Transition

MAXIMUM_WAITING = 64
"""More transitions than these, not yet told, are history rather than news."""

TIME_LIMIT_SECONDS = 30.0
"""A command that runs longer is killed with its process group."""


class OnChange:
    """Runs the command, one transition after the other.

    Args:
        argv: the command and its arguments.
        node: this node's entry of HAD_LIST.
        environment: the daemon's own, which is cleaned for the command.
        owned: the daemon's processes.
        report: called with a sentence when a command failed or a transition was dropped; it must only queue it.
        time_limit_seconds: how long one command may run.
    """

    def __init__(
        self,
        argv: tuple[str, ...],
        node: str,
        environment: Mapping[str, str],
        owned: Children,
        report: Callable[[str], None],
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> None:
        self._argv = argv
        self._node = node
        self._environment = clean_environment(environment)
        self._children = owned
        self._report = report
        self._time_limit_seconds = time_limit_seconds
        self._waiting: deque[Transition] = deque()
        self._has_work = trio.Event()

    def tell(self, transition: Transition) -> None:
        """Queue the command for a transition; returns at once."""
        if len(self._waiting) == MAXIMUM_WAITING:
            dropped = self._waiting.popleft()
            self._report(
                f"{self._argv[0]} was not told of {dropped.source.value} -> {dropped.target.value}: "
                f"{MAXIMUM_WAITING} later transitions are waiting"
            )
        self._waiting.append(transition)
        self._has_work.set()

    async def run(self) -> None:
        """Run the commands as transitions come, until cancelled; a running one is killed then."""
        while True:
            await self._has_work.wait()
            self._has_work = trio.Event()
            while self._waiting:
                await self._run_one(self._waiting.popleft())

    async def _run_one(self, transition: Transition) -> None:
        environment = {
            **self._environment,
            "HAD_FROM": transition.source.value,
            "HAD_TO": transition.target.value,
            "HAD_REASON": transition.reason.slug,
            "HAD_EPOCH": str(transition.epoch),
            "HAD_NODE": self._node,
        }
        failure = await self._children.run(self._argv, environment, self._time_limit_seconds)
        # What the command left in the background came to us; bury its dead.
        self._children.reap_adopted()
        if failure:
            self._report(f"HAD_ON_CHANGE: {failure}")
