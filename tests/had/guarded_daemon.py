"""A daemon reduced to its guard: starts a controllee, renews its lease, and prints what happens. Tests kill it.

Its one argument is JSON: `argv`, `stop` (optional, then `argv` is a start command), `environment`, `log`,
`lease_seconds`. Each event is printed as one line of JSON: `[name, value, guard's pid]`.
"""

import json
import sys

import trio

from daemoncore import boottime
from had.controllee import Commands, GuardedControllee, Program
from had.events import ControlleeStarted


async def main() -> None:
    """Start the controllee, keep its lease, tell what happens."""
    settings = json.loads(sys.argv[1])
    argv = tuple(settings["argv"])
    lease_seconds = settings["lease_seconds"]
    what = (
        Commands(start=argv, stop=tuple(settings["stop"]), log_path=settings["log"])
        if "stop" in settings
        else Program(argv, settings["log"])
    )
    send, receive = trio.open_memory_channel(100)
    controllee = GuardedControllee(what, send.send_nowait, answer_seconds=1.0)

    async def renew() -> None:
        while True:
            controllee.renew(boottime.now() + lease_seconds)
            await trio.sleep(lease_seconds / 4)

    async with trio.open_nursery() as nursery:
        await nursery.start(controllee.run)
        nursery.start_soon(renew)
        controllee.start(settings["environment"])
        async for event in receive:
            value = event.pid if isinstance(event, ControlleeStarted) else event.reason
            print(json.dumps([type(event).__name__, value, controllee.guard_pid]), flush=True)


if __name__ == "__main__":
    trio.run(main)
