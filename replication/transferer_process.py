"""One transferer: the copy process, and the daemon's end of the channel to it.

Documents go to its standard input, one JSON object a line, with descriptors beside them (SCM_RIGHTS); its events come
from its standard output in the same form. The other end of the channel is `transferer.control`.

It is a process of our own, and yet its word is not taken for anything: a line that is no event, or longer than any
event, is the end of it. So is a life beyond its time, or beyond the moment at which it should have ended. It is
started without a thread and waited for without one, by a pidfd; a dead one is not collected before `collect`, so that
until then no other process can have its number, which is in the names of what it left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs
import trio

from daemoncore.children import Children

#: A version with ten thousand files is some MB.
LONGEST_LINE_BYTES: Final = 32 << 20
_CHUNK_BYTES: Final = 64 * 1024
#: The kernel passes no more in one message (SCM_MAX_FD).
_MOST_DESCRIPTORS: Final = 253
#: A killed process is waited for so long when the daemon ends; one that is stuck in the kernel is left to init.
_KILL_SECONDS: Final = 1.0

TransfererEvent: TypeAlias = Mapping[str, Any]
"""What a transferer says, with its name under `event`; nothing of it was checked."""


class NonsenseError(Exception):
    """A transferer said what no transferer says; the text says what."""


@attrs.frozen
class _Letter:
    """A document on its way, and the descriptors that are closed when it has gone, or never will."""

    data: bytes
    descriptors: tuple[int, ...]


class TransfererProcess:
    """One process, from its start until it is dead.

    Args:
        children: starts and collects it.
        argv: the program and its arguments.
        environment: all of its environment.
        lifetime_seconds: after so long it is killed.
        grace_seconds: so long it may live after it has closed its output.

    Raises:
        OSError: no process could be started.
    """

    def __init__(
        self,
        children: Children,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        lifetime_seconds: float,
        grace_seconds: float,
    ) -> None:
        self._children = children
        self._grace_seconds = grace_seconds
        self._letters: deque[_Letter] = deque()
        self._has_letter = trio.Event()
        self._is_deaf = False
        self._patience = trio.CancelScope(deadline=trio.current_time() + lifetime_seconds)
        self._why_impatient = f"it lived longer than {lifetime_seconds:g} seconds"
        #: Why it had to be killed; empty if it did not.
        self.failure = ""
        #: How a dead one ended, in words; empty if well.
        self.exit_words = ""
        with contextlib.ExitStack() as on_failure, contextlib.ExitStack() as theirs:
            ours, its = socket.socketpair()
            on_failure.callback(ours.close)
            theirs.callback(its.close)
            reading, writing = os.pipe()
            on_failure.callback(os.close, reading)
            theirs.callback(os.close, writing)
            self._process = children.start(argv, environment, stdin=its.fileno(), stdout=writing)
            on_failure.pop_all()
        self._input = trio.socket.from_stdlib_socket(ours)
        self._output = trio.lowlevel.FdStream(reading)

    @property
    def pid(self) -> int:
        """Its number, which nobody else has before it is collected."""
        return self._process.pid

    # --- orders -----------------------------------------------------------------------------------------------

    def tell(self, document: Mapping[str, Any], descriptors: Iterable[int] = ()) -> None:
        """Send a document; returns at once.

        Args:
            document: JSON.
            descriptors: what it speaks of; they are ours to close from here on.
        """
        descriptors = tuple(descriptors)
        line = json.dumps({**document, "descriptors": len(descriptors)}, separators=(",", ":")) + "\n"
        self._letters.append(_Letter(line.encode(), descriptors))
        if self._is_deaf:
            self._drop_letters()
        self._has_letter.set()

    def terminate(self) -> None:
        """Ask it to end: it removes what it was writing, and tells its peer."""
        self._signal(signal.SIGTERM)

    def kill(self, why: str) -> None:
        """End it."""
        self.failure = self.failure or why
        self._signal(signal.SIGKILL)

    def expire_within(self, seconds: float, why: str) -> None:
        """Kill it if it is not dead within so many seconds."""
        deadline = trio.current_time() + seconds
        if deadline < self._patience.deadline:
            self._patience.deadline = deadline
            self._why_impatient = why

    def _signal(self, number: int) -> None:
        # It leads a group of its own and has not been collected, so the number is still its.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    # --- its life ---------------------------------------------------------------------------------------------

    async def run(self, hear: Callable[[TransfererEvent], None]) -> None:
        """Pass on what it says until it is dead; killed first when this is cancelled.

        Args:
            hear: takes each event; NonsenseError from it is the end of the process.
        """
        try:
            with self._patience:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send_letters)
                    await self._listen(hear)
                    self.expire_within(self._grace_seconds, "it did not end after its last word")
                    await self._children.until_dead(self._process)
                    nursery.cancel_scope.cancel()
            if self._patience.cancelled_caught:
                self.kill(self._why_impatient)
        finally:
            self._signal(signal.SIGKILL)
            self._close()
            with trio.move_on_after(_KILL_SECONDS, shield=True):
                await self._children.until_dead(self._process)
        # One that is stuck in the kernel, on a disk that hangs, is not replaced by another that would hang there too.
        self.exit_words = await self._children.until_dead(self._process)

    def collect(self) -> None:
        """Let the kernel give its number away."""
        self._children.collect(self._process)

    def _close(self) -> None:
        self._is_deaf = True
        self._drop_letters()
        self._input.close()
        self._output.close()

    def _drop_letters(self) -> None:
        while self._letters:
            _close_all(self._letters.popleft().descriptors)

    async def _send_letters(self) -> None:
        """Send documents as they come; it may be gone, or not listen, which its end or its time will show."""
        while True:
            await self._has_letter.wait()
            self._has_letter = trio.Event()
            while self._letters:
                letter = self._letters.popleft()
                try:
                    await self._send(letter)
                except (BrokenPipeError, ConnectionResetError):
                    self._is_deaf = True
                    self._drop_letters()
                except OSError as error:
                    self.kill(f"a descriptor cannot be passed on: {error.strerror or error}")
                finally:
                    _close_all(letter.descriptors)

    async def _send(self, letter: _Letter) -> None:
        data = memoryview(letter.data)
        for batch in _batches(letter.descriptors):
            sent = await self._input.sendmsg([data[:1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, batch)])
            data = data[sent:]
        while data:
            data = data[await self._input.send(data) :]

    async def _listen(self, hear: Callable[[TransfererEvent], None]) -> None:
        """Hear it until it closes its output, or says what is none of its words."""
        buffer = bytearray()
        while chunk := await self._output.receive_some(_CHUNK_BYTES):
            buffer += chunk
            try:
                for line in _take_lines(buffer, len(buffer) - len(chunk)):
                    hear(_decode_untrusted(line))
            except NonsenseError as error:
                self.kill(f"it talks nonsense: {error}")
                return


def _batches(descriptors: tuple[int, ...]) -> Iterator[bytes]:
    """Pack descriptors as the kernel takes them, so many at once."""
    for start in range(0, len(descriptors), _MOST_DESCRIPTORS):
        batch = descriptors[start : start + _MOST_DESCRIPTORS]
        yield struct.pack(f"{len(batch)}i", *batch)


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _take_lines(buffer: bytearray, new_at: int) -> Iterator[bytes]:
    """Take all whole lines out of a buffer, in which nothing before `new_at` ends a line."""
    while (end := buffer.find(b"\n", new_at)) >= 0:
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        new_at = 0
        yield line
    if len(buffer) > LONGEST_LINE_BYTES:
        raise NonsenseError(f"a line of more than {LONGEST_LINE_BYTES} bytes")


def _decode_untrusted(line: bytes) -> TransfererEvent:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NonsenseError(f"{line[:80]!r} is no JSON") from error
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise NonsenseError(f"{line[:80]!r} is no event")
    return event
