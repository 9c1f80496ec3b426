"""The daemon's end of the guard: starts it, talks to it, notices that it died or froze, and then kills in its place.

Nothing here blocks: a message is one non-blocking send, and messages are few and small, so a full buffer means a
guard that does not read. Death shows as the end of the socket. A frozen guard shows as unanswered pings, counted in
ticks of our own loop, not in seconds: a daemon that was frozen itself must not blame the guard for it.

When the guard is gone, its orphans become ours (both are child subreapers). While it lives they are its own, so
whatever was a child of ours at the last tick of its life cannot be one of them and is spared.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import trio

import had
from daemoncore.children import Children
from daemoncore.process import become_subreaper, signal_descendants
from had.guard_messages import (
    MAXIMUM_MESSAGE_BYTES,
    Ping,
    Pong,
    Start,
    ToDaemon,
    ToGuard,
    decode_to_daemon,
    encode,
)

TICKS_UNANSWERED = 2
"""The guard is frozen when a ping is unanswered at this many ticks after the one that sent it."""

IDLE_TICKS = 6
"""So many ticks go by between two pings while the guard has nothing to guard."""

_PATIENCE_SECONDS = 5.0
"""How long a daemon that ends waits for processes that the kernel cannot kill at once."""


class GuardLink:
    """One guard process, from its start to the end of everything below it.

    Args:
        owned: the daemon's processes.
        inherited: descriptors that stay open for as long as the guard lives, such as a lock that must
            not be had by the next daemon while a controllee of this one is still being killed.

    Raises:
        OSError: the guard could not be started.
    """

    def __init__(self, owned: Children, inherited: tuple[int, ...] = ()) -> None:
        become_subreaper()
        self._inherited = inherited
        self._children = owned
        self._spare = owned.present()
        self._ping = 0
        self._pong = 0
        self._is_broken = False
        self._ordered = trio.Event()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        try:
            with theirs:
                self._process = self._start(theirs.fileno())
        except OSError:
            self._socket.close()
            raise

    def _start(self, descriptor: int) -> subprocess.Popen[bytes]:
        """Run `had.guard` with nothing in its environment but the place where this package lies.

        Without the site module (-S), the working folder on its path (-P) and what -m would import, it starts in
        about 30 ms and stays under 12 MB.
        """
        code = "from had.guard import main; main()"
        numbers = (descriptor, os.getpid(), *self._inherited)
        argv = (sys.executable, "-S", "-P", "-c", code, *map(str, numbers))
        root = Path(had.__file__).resolve().parents[1]
        return self._children.start(argv, {"PYTHONPATH": str(root)}, pass_fds=(descriptor, *self._inherited))

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid

    def send(self, message: ToGuard) -> None:
        """Tell the guard; if it cannot be told, it counts as failed.

        Raises:
            ValueError: the message cannot be written (its text says why); the guard is none the worse.
        """
        data = encode(message)
        try:
            self._socket.send(data)
        except OSError:
            # A full buffer, or a dead guard. The pings end the first, the end of the socket the second.
            self._is_broken = True
        if isinstance(message, Start):
            self._ordered.set()

    async def receive(self) -> ToDaemon | None:
        """The guard's next word, answers to pings excepted; None when it is dead."""
        while data := await self._receive():
            message = decode_to_daemon(data)
            if not isinstance(message, Pong):
                return message
            self._pong = message.number
        return None

    async def _receive(self) -> bytes:
        """One message; empty at the end."""
        while True:
            try:
                return self._socket.recv(MAXIMUM_MESSAGE_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)
            except ConnectionResetError:
                return b""

    async def until_frozen(self, answer_seconds: float, is_idle: Callable[[], bool]) -> None:
        """Ping the guard; return when it has not answered for about `answer_seconds`.

        While it has nothing to guard it is pinged more rarely, and at once with its next order: each ping wakes two
        processes, and that is half of what a follower would do.
        """
        tick_seconds = answer_seconds / (TICKS_UNANSWERED + 1)
        while not self._is_broken and self._ping - self._pong < TICKS_UNANSWERED:
            self._ping += 1
            self.send(Ping(self._ping))
            self._note_present()
            with trio.move_on_after(IDLE_TICKS * tick_seconds if is_idle() else tick_seconds):
                await self._ordered.wait()
                self._ordered = trio.Event()

    def _note_present(self) -> None:
        """Remember our children, provided that the guard still lives *after* they were listed.

        The kernel makes a process a zombie and moves its orphans in one step, so then none of them is the guard's.
        """
        try:
            present = self._children.present()
        except OSError:
            # Out of descriptors: what was remembered at the tick before will do.
            return
        if self._process.poll() is None:
            self._spare = present

    async def destroy(self) -> None:
        """Kill everything below the guard, and the guard; return when nothing is left of them.

        If it is cancelled, it still kills, but waits no longer than a few seconds.
        """
        try:
            await self._kill_all()
        finally:
            with trio.move_on_after(_PATIENCE_SECONDS, shield=True):
                await self._kill_all()
            self._socket.close()

    async def _kill_all(self) -> None:
        if self._process.poll() is None:
            signal_descendants(self._process.pid, signal.SIGKILL)
            self._process.kill()
        await self._children.wait(self._process)
        await self._children.kill_adopted(self._spare)
