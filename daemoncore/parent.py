"""condor_master, when it started us: told that we live and that we are ready, and followed when it dies.

A master kills a child that has promised signs of life (DC_CHILDALIVE) and stopped giving them; the first sign makes the
promise, and each names the seconds until the next is overdue. They come from a task of the daemon's loop, so a stuck
loop gives none. DC_SET_READY says that start-up is over, which `condor_who -wait` and whoever starts daemons in order
wait for. When the master is gone, so is everything that it started, at once.

Facts: HTCondor src/condor_daemon_core.V6/daemon_keep_alive.cpp, daemon_core_main.cpp (`check_parent`); transcripts in
tests/vectors (09-master-family-session).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import attrs
import trio

from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.client import CallFailed, Client, TimedOut
from daemoncore.event_log import Tell
from daemoncore.inheritance import Inheritance

CALL_SECONDS: Final = 20.0
"""A master that starts others may be slow to answer."""

RETRY_SECONDS: Final = 5.0
"""A sign of life that did not arrive is given again so soon."""

ALIVE_SHARE: Final = 3
"""So many signs of life fit into the time after which one is overdue."""

_WATCH_SECONDS: Final = 1.0


@attrs.frozen
class Parent:
    """The master of this daemon.

    Args:
        inheritance: what it handed down.
        subsystem: what we are called there, `HAD` or `REPLICATION`.
        client: gives what connects.
        hang_seconds: gives NOT_RESPONDING_TIMEOUT, after which it may kill us.
        stop: ends the daemon at once.
        tell: writes lines of the log.
    """

    inheritance: Inheritance
    subsystem: str
    client: Callable[[], Client]
    hang_seconds: Callable[[], float]
    stop: Callable[[], None]
    tell: Tell

    async def run(self) -> None:
        """Give signs of life, say that we are ready, and watch over the parent, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            nursery.start_soon(self._live)
            nursery.start_soon(self._be_ready)

    async def _live(self) -> None:
        """Give a sign of life at once and then thrice in the time after which one is overdue."""
        has_failed = False
        while True:
            hang_seconds = max(1, int(self.hang_seconds()))
            has_arrived = await self._say(Command.DC_CHILDALIVE, _alive(hang_seconds), is_told=not has_failed)
            has_failed = not has_arrived
            pause = hang_seconds / ALIVE_SHARE
            await trio.sleep(pause if has_arrived else min(pause, RETRY_SECONDS))

    async def _be_ready(self) -> None:
        ad = ClassAd({"DaemonPID": os.getpid(), "DaemonName": self.subsystem, "DaemonState": "Ready"})
        await self._say(Command.DC_SET_READY, lambda writer: writer.put_ad(ad), is_told=True)

    async def _say(
        self, command: Command, payload: Callable[[MessageWriter], MessageWriter], *, is_told: bool
    ) -> bool:
        """Say one thing; return whether it arrived. Nothing is owed to a master that cannot be reached."""
        address: Address = self.inheritance.parent
        reason, text = TimedOut.kind, f"no answer within {CALL_SECONDS:g} s"
        try:
            with trio.move_on_after(CALL_SECONDS):
                async with await self.client().connect(address, command) as connection:
                    await connection.send(payload(connection.writer()))
                    return True
        except CallFailed as failure:
            reason, text = failure.kind, failure.reason
        except Exception as error:  # noqa: BLE001 -- what we should have foreseen must not end a leader
            reason, text = "unexpected", repr(error)
        if is_told:
            self.tell("parent_unreachable", command=command.name, reason=reason, text=text)
        return False

    async def _watch(self) -> None:
        """End when the parent does; the kernel says so at once."""
        pid = self.inheritance.parent_pid
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._orphaned(pid)
            return
        except OSError:
            # No descriptor is left: look now and then instead.
            while os.getppid() == pid:  # noqa: ASYNC110 -- nothing announces the end
                await trio.sleep(_WATCH_SECONDS)
            self._orphaned(pid)
            return
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        self._orphaned(pid)

    def _orphaned(self, pid: int) -> None:
        self.tell("parent_gone", pid=pid)
        self.stop()


def _alive(hang_seconds: int) -> Callable[[MessageWriter], MessageWriter]:
    """The payload of a sign of life: who, the seconds until the next is overdue, and what we waited for our log's lock."""
    return lambda writer: writer.put_int(os.getpid()).put_int(hang_seconds).put_double(0.0)
