"""The daemon's end of its hand for condor_master: starts it, renews the lease there, replaces it when it fails.

Nothing here blocks: a message is one non-blocking send. The hand answers each lease; one that leaves several unanswered
is frozen, and is killed and replaced. They are counted in leases, not in seconds: a daemon that was frozen itself must not
blame the hand for it. A hand that is to know a new configuration is replaced too, the old one leaving when the new one
is ready.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import trio

import had
from daemoncore.children import Children
from daemoncore.event_log import Tell
from daemoncore.startup import Options
from had.master_hand_messages import (
    MAXIMUM_MESSAGE_BYTES,
    Failed,
    FromHand,
    Lapsed,
    Lease,
    Noted,
    Ready,
    Rest,
    ToHand,
    decode_from_hand,
    encode,
)

UNANSWERED: Final = 8
"""So many leases without an answer, and the hand is frozen."""

READY_SECONDS: Final = 15.0
"""A hand that is not ready by then has failed; it reads the configuration first."""

_FIRST_RETRY_SECONDS: Final = 0.1
_LAST_RETRY_SECONDS: Final = 5.0
_ANCESTORS: Final = "_CONDOR_ANCESTOR_"


class HandLink:
    """The hand of one daemon, whichever process it is at the moment.

    Args:
        options: the daemon's command line.
        environment: the daemon's environment, with what condor_master handed down.
        owned: the daemon's processes.
        lock: a descriptor that the hand keeps open.
        tell: writes lines of the log.
    """

    def __init__(
        self, options: Options, environment: Mapping[str, str], owned: Children, lock: int, tell: Tell
    ) -> None:
        self._arguments = json.dumps(
            {"config": options.config, "local_name": options.local_name, "port": options.port}
        )
        self._environment = {
            name: value for name, value in environment.items() if not name.startswith(_ANCESTORS)
        }
        self._children = owned
        self._lock = lock
        self._tell = tell
        self._hand: _OneHand | None = None
        self._lease: Lease | None = None
        self._appeared = trio.Event()
        self._is_outdated = trio.Event()
        #: Whether the hand has ended what had a lease since `rest` was last said.
        self.has_lapsed = False

    @property
    def pid(self) -> int | None:
        """The hand's process id; None while it is being replaced."""
        return self._hand.pid if self._hand else None

    async def until_there(self) -> None:
        """Wait until there is one that can act; it takes as long as reading the configuration."""
        while self._hand is None:
            await self._appeared.wait()

    def renew(self, lease: Lease) -> None:
        """Let the controllee live until then."""
        self._lease = lease
        if self._hand:
            self._hand.send(lease)

    def rest(self) -> None:
        """Say that nothing runs."""
        self._lease = None
        self.has_lapsed = False
        if self._hand:
            self._hand.send(Rest())

    def replace(self) -> None:
        """Have a hand that knows the present configuration."""
        self._is_outdated.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a hand, replacing it when it fails, until cancelled."""
        task_status.started()
        successor = await self._try_to_start()
        delay_seconds = _FIRST_RETRY_SECONDS
        try:
            while True:
                if successor is None:
                    await trio.sleep(delay_seconds)
                    delay_seconds = min(2 * delay_seconds, _LAST_RETRY_SECONDS)
                    successor = await self._try_to_start()
                    continue
                began = trio.current_time()
                successor = await self._serve(successor)
                if successor is not None or trio.current_time() - began > _LAST_RETRY_SECONDS:
                    delay_seconds = _FIRST_RETRY_SECONDS
        finally:
            if self._hand:
                self._hand.close()

    async def _start(self) -> _OneHand:
        """Start one and wait until it is ready; OSError if it does not come to that."""
        hand = _OneHand.start(self._arguments, self._environment, self._lock)
        try:
            try:
                process = self._children.start(hand.command, hand.environment, pass_fds=hand.inherited)
            finally:
                hand.theirs.close()
            # The shell, which has put the hand into the background.
            await self._children.wait(process)
            await hand.until_ready()
        except BaseException:
            # Also when cancelled: nobody else knows of it.
            hand.close()
            raise
        return hand

    async def _try_to_start(self) -> _OneHand | None:
        try:
            return await self._start()
        except OSError as error:
            self._tell("hand_failed", text=error.strerror)
            return None

    async def _serve(self, hand: _OneHand) -> _OneHand | None:
        """Work with one until it fails or another one knows better; return that other one."""
        self._hand = hand
        self._appeared.set()
        self._appeared = trio.Event()
        hand.send(self._lease or Rest())
        successor: _OneHand | None = None
        try:
            async with trio.open_nursery() as nursery:

                async def succeed() -> None:
                    nonlocal successor
                    while successor is None:
                        await self._is_outdated.wait()
                        self._is_outdated = trio.Event()
                        successor = await self._try_to_start()
                    nursery.cancel_scope.cancel()

                async def give_up() -> None:
                    await hand.is_frozen.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(succeed)
                nursery.start_soon(give_up)
                while (message := await hand.receive()) is not None:
                    self._heard(hand, message)
                nursery.cancel_scope.cancel()
        finally:
            if successor is not None:
                hand.send(Rest())
            self._hand = None
            if hand.is_frozen.is_set() and successor is None:
                hand.kill()
            else:
                hand.close()
        if successor is None:
            self._tell("hand_failed", text="it is frozen" if hand.is_frozen.is_set() else "it has ended")
        return successor

    def _heard(self, hand: _OneHand, message: FromHand) -> None:
        if isinstance(message, Noted):
            hand.unanswered = 0
        elif isinstance(message, Lapsed):
            self.has_lapsed = True


@attrs.define(eq=False)
class _OneHand:
    """One process and our end of the socket to it."""

    ours: socket.socket
    theirs: socket.socket
    command: tuple[str, ...]
    environment: Mapping[str, str]
    inherited: tuple[int, ...]
    pid: int = 0
    unanswered: int = 0
    #: Set when it leaves leases unanswered.
    is_frozen: trio.Event = attrs.field(factory=trio.Event)

    @classmethod
    def start(cls, arguments: str, environment: Mapping[str, str], lock: int) -> _OneHand:
        """Make the socket and the command; the shell ends at once, so that the hand is nobody's descendant."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        code = "import sys; from had.master_hand import main; sys.exit(main())"
        words = (str(theirs.fileno()), str(os.getpid()), str(lock), arguments)
        command = ("/bin/sh", "-c", '"$0" "$@" &', sys.executable, "-P", "-c", code, *words)
        root = str(Path(had.__file__).resolve().parents[1])
        return cls(ours, theirs, command, {**environment, "PYTHONPATH": root}, (theirs.fileno(), lock))

    async def until_ready(self) -> None:
        """Wait until it can act; OSError if it cannot."""
        with trio.move_on_after(READY_SECONDS):
            message = await self.receive()
            if isinstance(message, Ready):
                self.pid = message.pid
                return
            if isinstance(message, Failed):
                raise OSError(errno.EINVAL, message.text)
        raise OSError(errno.ETIMEDOUT, "the hand for condor_master did not become ready")

    def send(self, message: ToHand) -> None:
        """Tell it; what cannot be sent is unanswered."""
        self.unanswered += isinstance(message, Lease)
        with contextlib.suppress(OSError):
            self.ours.send(encode(message))
        if self.unanswered >= UNANSWERED:
            self.is_frozen.set()

    async def receive(self) -> FromHand | None:
        """Its next word; None when it is dead."""
        while True:
            try:
                data = self.ours.recv(MAXIMUM_MESSAGE_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.ours)
            except ConnectionResetError:
                return None
            else:
                return decode_from_hand(data) if data else None

    def kill(self) -> None:
        """End a hand that is frozen; it would wake to find its daemon gone, and act."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Let go of it: it acts if it has a lease, and ends."""
        self.ours.close()
