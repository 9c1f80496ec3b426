"""The values that go into and come out of `had.custody`, beside the election's own.

Into it: the election's effects about the controllee, the controllee's events, `ReplicaFound`, `ReplicaLost`,
`ReplicaAnswered`, `StateSeen`, `Incumbent`, `CustodyChanged`, `Tick`. Out of it: `Tell`, `LookForState`, `StartOnState`,
`Deliver`, and the election's `StopControllee`, `PublishEpoch`, `Transition` and `Note`, passed on.

`StateReady`, `StartPostponed`, `HandoverCalledOff` and `EpochKnown` are what the custody tells the election.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

import attrs

from had.replica_words import Currency, ReplicaAnswer, ToReplica

if TYPE_CHECKING:
    from had.events import Event


class MissingState(enum.Enum):
    """HAD_MISSING_STATE: what a winner without any usable state does."""

    #: Start the controllee on nothing.
    START = "start"
    #: Start it only when every member says that it has none.
    WAIT = "wait"
    #: Start `<CONTROLLEE>_DISASTER` instead.
    DISASTER = "disaster"


class Replica(enum.Enum):
    """What looks after the state on this node."""

    #: Nobody answers.
    UNREACHABLE = "unreachable"
    OURS = "ours"
    #: A real condor_replication.
    CONDOR = "condor"


@attrs.frozen
class CustodySettings:
    """What the configuration says of the state; times in seconds."""

    #: HAD_CONNECTION_TIMEOUT, called T.
    timeout_seconds: float = 5.0
    #: MAX_TRANSFER_LIFETIME.
    lifetime_seconds: float = 300.0
    #: How often a real condor_replication is told that this node leads (HTCondor's hadInterval).
    condor_interval_seconds: float = 42.0
    missing_state: MissingState = MissingState.START
    #: Each member of HAD_LIST and the address of its replica, the entry of REPLICATION_LIST in its place.
    replicas: tuple[tuple[str, str], ...] = ()

    def replica_of(self, member: str | None) -> str | None:
        """The address of a member's replica; None if there is no such member, or none is meant."""
        return next((replica for name, replica in self.replicas if name == member), None)


# --- into the custody -----------------------------------------------------------------------------------------


@attrs.frozen
class ReplicaFound:
    """The replica of this node answers on a new connection; a real condor_replication is only ever told things."""

    is_ours: bool


@attrs.frozen
class ReplicaLost:
    """The connection to it ended, or nobody listens there."""


@attrs.frozen
class ReplicaAnswered:
    """It replied."""

    answer: ReplicaAnswer


@attrs.frozen
class StateSeen:
    """Whether STATE_FILE is there, as `LookForState` asked."""

    request: int
    is_there: bool


@attrs.frozen
class Incumbent:
    """Who serves while this node does not: the epoch of the leader it knows of, 0 if that has none, None for nobody."""

    epoch: int | None


@attrs.frozen
class CustodyChanged:
    """A new configuration is in force."""

    settings: CustodySettings


# --- out of the custody ---------------------------------------------------------------------------------------


@attrs.frozen
class Tell:
    """Say this to the replica if it can be reached, in order."""

    message: ToReplica


@attrs.frozen
class LookForState:
    """See whether STATE_FILE is there, and answer with `StateSeen`."""

    request: int


@attrs.frozen
class StartOnState:
    """Start the controllee with this fencing token and HAD_STATE, or the program for a disaster."""

    epoch: int
    currency: Currency
    is_disaster: bool = False


@attrs.frozen
class Deliver:
    """Hand this event to the election, now."""

    event: Event


# --- what the custody tells the election ----------------------------------------------------------------------


@attrs.frozen
class StateReady:
    """Whether this node could take over with nothing lost, or, leading, could hand over so."""

    is_ready: bool


@attrs.frozen
class StartPostponed:
    """The start of the controllee has not begun yet: it waits for its state. Its time counts from now."""


@attrs.frozen
class HandoverCalledOff:
    """The controllee is gone, but what it wrote last cannot be handed over in time: this node goes on leading."""

    text: str


@attrs.frozen
class EpochKnown:
    """The state was written under this epoch: a later leadership needs a larger one."""

    epoch: int


ToElection: TypeAlias = StateReady | StartPostponed | HandoverCalledOff | EpochKnown
