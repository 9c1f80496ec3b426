"""What both roles have in common: a task of the daemon's, its deadlines, its connection, and how they report the end."""

import socket
import time
from typing import Any, Final

from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.stream import Stream
from daemoncore.cedar.stream_state import StreamState
from transferer.control import Control
from transferer.failure import CopyFailed, Fault
from transferer.progress import Progress
from transferer.versions import End, Result
from transferer.wire import Wire

#: How a version travels: our own way, condor_transferer's, and condor_transferer's before HTCondor 8.7.4.
PROTOCOLS: Final = ("ours", "condor", "callback")
#: How a process ends that has lived as long as it may, between two versions.
TIME_IS_OVER: Final = End(Result.OK, "its time is over")
_BEGIN_SECONDS: Final = 30.0


class Task:
    """One life of this process."""

    def __init__(self, control: Control) -> None:
        """Wait for the daemon's first document; CopyFailed when it is none."""
        self.control = control
        self.began = time.monotonic()
        self.document = control.next_document(self.began + _BEGIN_SECONDS)
        self.versions = self.bytes = 0
        protocol = self.document.get("protocol")
        if self.document.get("what") != "begin" or protocol not in PROTOCOLS:
            raise CopyFailed(
                Fault.TASK, f"the daemon's first document is a task (got {str(self.document)[:80]})"
            )
        self.protocol: str = protocol
        self.descriptors = control.take_descriptors(self.document)
        self.stall_seconds = float(self.document.get("stall_seconds", 30.0))
        self.ends_at = self.began + float(self.document["lifetime_seconds"])

    def inherited_connection(self) -> tuple[socket.socket, Stream] | None:
        """Return the connection that the daemon hands over, if it does; CopyFailed when it cannot be used."""
        inherited = self.document.get("connection")
        if inherited is None:
            return None
        try:
            connection = socket.socket(fileno=self.descriptors[int(inherited["descriptor"])])
            state = inherited.get("stream")
            stream = (
                Stream.take_over(StreamState.from_document(state)) if state else Stream(AFTER_AUTHENTICATION)
            )
        except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
            raise CopyFailed(Fault.TASK, f"the connection that was handed over is none: {error!r}") from error
        return connection, stream

    def wire(self, connection: socket.socket, stream: Stream) -> Wire:
        """Return a connection with the deadlines of this task."""
        return Wire(connection, stream, self.control, stall_seconds=self.stall_seconds, ends_at=self.ends_at)

    def progress(self, total_bytes: int) -> Progress:
        """Begin to count the bytes of one version."""
        return Progress(self.control.tell, total_bytes)

    def next_document(self) -> dict[str, Any]:
        """Return what the daemon says next, within the lifetime of this process."""
        return self.control.next_document(self.ends_at)

    def tell_end(self, end: End, fault: Fault | None) -> None:
        """Write the last event."""
        self.control.tell(
            "exit",
            result=end.result.value,
            reason=end.reason,
            fault=fault.value if fault else None,
            versions=self.versions,
            bytes=self.bytes,
            seconds=round(time.monotonic() - self.began, 6),
        )


def end_of(document: dict[str, Any]) -> End:
    """Return the end that the daemon's document speaks of: its `result`, ok unless it says otherwise, and `reason`."""
    try:
        return End(Result(document.get("result", "ok")), str(document.get("reason", "")))
    except ValueError as error:
        raise CopyFailed(Fault.TASK, f"the daemon's word has no such result: {error}") from error
