"""Why a copy did not come to its end, with a label to count it by and a sentence for people."""

import enum

from transferer.versions import End, Result


class Fault(enum.Enum):
    """What was at fault; the value is the label."""

    #: Nobody could be reached, or the login failed.
    CONNECT = "connect"
    #: The peer closed the connection, or its host is gone.
    GONE = "gone"
    #: The peer stopped sending or taking bytes.
    SLOW = "slow"
    #: The peer's bytes are not the protocol.
    PROTOCOL = "protocol"
    #: All bytes came, and the digest is another one.
    DIGEST = "digest"
    #: Our own disk: full, read-only, broken.
    DISK = "disk"
    #: The file to be sent, or the own file that a tail belongs to, is not what the daemon said.
    SOURCE = "source"
    #: The time of this process is over.
    LIFETIME = "lifetime"
    #: The daemon that started this process gave it something impossible to do.
    TASK = "task"


class CopyFailed(Exception):  # noqa: N818 -- reads as what happened
    """A copy ends here; `fault` says whose doing it is."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason


class Cancelled(Exception):  # noqa: N818 -- the same
    """Our daemon is gone, or does not want this copy any more."""


class Declined(Exception):  # noqa: N818 -- the same
    """The peer does not want this copy any more, or does not give it, and says why."""

    def __init__(self, end: End) -> None:
        super().__init__(end.reason)
        self.end = end


def outcome(error: Exception) -> tuple[End, Fault | None]:
    """Return how a copy ended that ended with this."""
    match error:
        case Declined():
            return error.end, None
        case Cancelled():
            return End(Result.CANCELLED, str(error)), None
        case CopyFailed():
            return End(Result.FAILED, error.reason), error.fault
    raise error
