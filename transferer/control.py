"""The channel to the daemon that started this process: documents and descriptors come in, events go out.

Standard input is one end of a pair of UNIX sockets. Each line on it is one JSON document; descriptors that it speaks of
travel beside its first byte (SCM_RIGHTS), so a path that is replaced meanwhile does not matter, and neither keys nor paths
show in a list of processes. Its end means that the daemon is gone. Standard output gets one JSON document a line.
"""

import json
import os
import select
import socket
import stat
import time
from collections import deque
from typing import Any, Final

from transferer.failure import Cancelled, CopyFailed, Fault

#: A version with ten thousand entries is some MB.
_LONGEST_LINE_BYTES: Final = 16 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
#: The kernel passes no more at once (SCM_MAX_FD).
_MOST_DESCRIPTORS: Final = 253
_GONE: Final = "the daemon that started this copy is gone"


class Control:
    """Both directions of the channel."""

    def __init__(self, input_descriptor: int = 0, output_descriptor: int = 1) -> None:
        self.descriptor = input_descriptor
        self._output = output_descriptor
        is_socket = stat.S_ISSOCK(os.fstat(input_descriptor).st_mode)
        self._socket = socket.socket(fileno=os.dup(input_descriptor)) if is_socket else None
        self._descriptors: deque[int] = deque()
        self._buffer = bytearray()

    def tell(self, event: str, **fields: object) -> None:
        """Write an event; Cancelled when nobody reads it any more."""
        line = json.dumps({"event": event, **fields}, separators=(",", ":")) + "\n"
        data = memoryview(line.encode())
        try:
            while data:
                data = data[os.write(self._output, data) :]
        except BrokenPipeError:
            raise Cancelled(_GONE) from None

    def next_document(self, deadline: float) -> dict[str, Any]:
        """Wait for a document, until `time.monotonic()` is at the deadline.

        Raises:
            Cancelled: the daemon is gone.
            CopyFailed: it said something else than a document, or nothing in time.
        """
        while (line := self._take_line()) is None:
            if not self.has_input(deadline - time.monotonic()):
                raise CopyFailed(
                    Fault.LIFETIME, "the daemon that started this copy did not answer in its time"
                )
            self._read()
        try:
            document = json.loads(line)
        except ValueError as error:
            raise CopyFailed(Fault.TASK, f"the daemon sent something else than JSON: {error}") from error
        if not isinstance(document, dict):
            raise CopyFailed(Fault.TASK, f"the daemon sent something else than a document: {line[:80]!r}")
        return document

    def has_document(self, seconds: float = 0.0) -> bool:
        """Wait for input for so long, and say whether `next_document` returns at once; Cancelled when the daemon is gone."""
        if b"\n" not in self._buffer and self.has_input(seconds):
            self._read()
        return b"\n" in self._buffer

    def has_input(self, seconds: float) -> bool:
        """Wait for input, or the end of it, for so long."""
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        return bool(poller.poll(max(0.0, seconds) * 1000))

    def is_gone(self) -> bool:
        """Say whether the daemon has closed its end, whatever it may have said before."""
        poller = select.poll()
        poller.register(self.descriptor, 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poller.poll(0))

    def take_descriptors(self, document: dict[str, Any]) -> list[int]:
        """Return the descriptors that came with a document; their number is in it."""
        count = document.get("descriptors", 0)
        if not isinstance(count, int) or not 0 <= count <= len(self._descriptors):
            raise CopyFailed(
                Fault.TASK, f"a document speaks of {count} descriptors, {len(self._descriptors)} came"
            )
        return [self._descriptors.popleft() for _ in range(count)]

    def _take_line(self) -> bytes | None:
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            if len(self._buffer) > _LONGEST_LINE_BYTES:
                raise CopyFailed(
                    Fault.TASK, f"a document of the daemon has more than {len(self._buffer)} bytes"
                )
            return None
        self._buffer = rest
        return bytes(line)

    def _read(self) -> None:
        if self._socket is None:
            data = os.read(self.descriptor, _CHUNK_BYTES)
        else:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _CHUNK_BYTES, _MOST_DESCRIPTORS)
            self._descriptors.extend(descriptors)
        if not data:
            raise Cancelled(_GONE)
        self._buffer += data
