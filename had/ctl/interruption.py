"""Runs what has no end of its own until Ctrl-C, which is then its normal end and no error."""

import signal
from collections.abc import Awaitable, Callable

import trio


def run_until_interrupted(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` until it ends, or until SIGINT or SIGTERM asks it to."""
    trio.run(_run, work)


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def until_signal() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(until_signal)
            await work()
            nursery.cancel_scope.cancel()
