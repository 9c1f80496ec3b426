"""What had and the replica of its own node say to each other, as values.

`had` calls, the replica answers on the same connection (hard case 17). What the replica learns is whether this node leads
and with which epoch; what it is asked is how good the state here is, and that the last version be handed on. The
names are the replica's own, so that both sides of the wire read alike.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs


class Currency(enum.Enum):
    """How good this node's state is: HAD_STATE in the controllee's environment."""

    #: Nobody is known to hold a newer one.
    CURRENT = "current"
    #: A newer one is known of, or may well exist, and could not be had.
    STALE = "stale"
    #: There is no state here.
    MISSING = "missing"


@attrs.frozen
class LeadershipBegan:
    """This node leads with this epoch, and its controllee is about to start."""

    epoch: int


@attrs.frozen
class LeadershipConfirmed:
    """This node still leads; said each T/2, and whenever the connection is new."""

    epoch: int


@attrs.frozen
class LeadershipEnded:
    """This node does not lead, and its controllee is gone; said each T/2 by whoever does not."""


@attrs.frozen
class CurrentAsked:
    """Bring the state of this node up to date, and say how good it is."""

    request: int
    #: The epoch of the leader that serves meanwhile: then the answer takes as long as it takes. 0 is a leader whose
    #: epoch nobody knows, None is no leader: then a controllee is about to start on this state.
    incumbent_epoch: int | None = None
    #: HAD_MISSING_STATE = wait: having none is only answered when every member has none.
    is_missing_refused: bool = False


@attrs.frozen
class FlushAsked:
    """The controllee has stopped: the last version shall reach the successor's replica, or everybody's if None."""

    request: int
    timeout_seconds: float
    #: An address of REPLICATION_LIST.
    successor: str | None = None


@attrs.frozen
class Withdrawn:
    """Nobody waits for this answer any more; a start that was answered for does not happen."""

    request: int


ToReplica: TypeAlias = (
    LeadershipBegan | LeadershipConfirmed | LeadershipEnded | CurrentAsked | FlushAsked | Withdrawn
)


@attrs.frozen
class ReplicaAnswer:
    """The replica's reply to `CurrentAsked` or `FlushAsked`."""

    request: int
    currency: Currency
    #: A controllee may be started on this state within so many seconds; nothing is installed meanwhile. 0: no matter.
    good_for_seconds: float = 0.0
    #: No member has any state: the pool is new.
    is_missing_everywhere: bool = False
    #: The largest gid that the replica knows of.
    known_gid: int = 0
    #: For a flush: the last bytes have a version, and all who were waited for hold it.
    is_complete: bool = True
    #: For a flush: those waited for who lack it.
    behind: tuple[str, ...] = ()
    #: A sentence, for people.
    text: str = ""
