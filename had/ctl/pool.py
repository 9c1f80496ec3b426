"""What the members of a pool say, side by side: the value on which every reading verb works.

`Answer` is one daemon's status document, or one word for why there is none. `Pool` is all of them with the lists of
the configuration. Nothing here asks anybody; `had.ctl.ask` does.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import attrs

from had.status import Peer, Status

if TYPE_CHECKING:
    from had.ctl.replicas import Replicas


class Failure(enum.Enum):
    """Why a member did not answer; the value is the sentence's end."""

    #: Its machine answers, its daemon is gone.
    REFUSED = "nobody listens there, so its daemon is gone"
    #: Nothing came within the deadline.
    TIMEOUT = "it did not answer in time"
    #: There is no way to that host, or its name is not known.
    UNREACHABLE = "there is no way to it"
    #: It is alive and does not let us read its status.
    DENIED = "it does not let us in"
    #: It is alive and does not know the question, as a real condor_had or condor_replication does not.
    UNKNOWN_COMMAND = "it does not know the question, as HTCondor's own daemon does not"
    #: What answers there does not speak the protocol.
    PROTOCOL = "what answers there does not speak the protocol"

    @property
    def word(self) -> str:
        """One word, for tables and JSON."""
        return "protocol" if self is Failure.UNKNOWN_COMMAND else self.name.lower()


class Dated(Protocol):
    """A status document says when it was said."""

    @property
    def time(self) -> float | None:
        """Unix time, by the clock of who said it."""


Said = TypeVar("Said", bound=Dated)


@attrs.frozen
class Answer(Generic[Said]):
    """What one daemon said.

    Attributes:
        entry: the member, as the list spells it.
        document: its status document as it was sent; None when there is none.
        status: the same, typed.
        failure: why there is no document.
        detail: what exactly went wrong.
        seconds: how long the answer took.
        received_at: Unix time here, in the middle of the exchange.
    """

    entry: str
    document: Mapping[str, Any] | None = None
    status: Said | None = None
    failure: Failure | None = None
    detail: str = ""
    seconds: float = 0.0
    received_at: float = 0.0

    @property
    def clock_skew_seconds(self) -> float | None:
        """How far the member's clock is ahead of ours, to the precision of half the exchange."""
        if self.status is None or self.status.time is None:
            return None
        return self.status.time - self.received_at


@attrs.frozen
class Pool:
    """Everything that is known at one moment.

    Attributes:
        members: entries of HAD_LIST, best first.
        witnesses: entries of HAD_WITNESS_LIST.
        answers: one answer for each of them.
        replicas: what their replication daemons say; None if they were not asked, or there are none.
    """

    members: tuple[str, ...]
    witnesses: tuple[str, ...] = ()
    answers: Mapping[str, Answer[Status]] = attrs.field(factory=dict)
    replicas: Replicas | None = None

    @property
    def everyone(self) -> tuple[str, ...]:
        """Members and witnesses, in the order of the lists."""
        return (*self.members, *self.witnesses)

    @property
    def statuses(self) -> dict[str, Status]:
        """What those say that answered, in the order of the lists."""
        found = ((entry, self.answers[entry].status) for entry in self.everyone if entry in self.answers)
        return {entry: status for entry, status in found if status is not None}

    @property
    def leaders(self) -> tuple[str, ...]:
        """Everybody who leads: by their own word, or if they cannot be asked, by others' who hear them."""
        own = [entry for entry, status in self.statuses.items() if status.state == "leader"]
        heard = {
            status.leader
            for status in self.statuses.values()
            if status.leader in self.everyone and status.leader not in self.statuses
        }
        # Hearsay counts for a real condor_had and for a member that only this machine cannot reach.
        foreign = [entry for entry in self.everyone if entry in heard and self.is_heard(entry)]
        return tuple(entry for entry in self.everyone if entry in {*own, *foreign})

    @property
    def leader(self) -> str | None:
        """The one leader whom nobody contradicts, else None."""
        leaders = self.leaders
        if len(leaders) != 1:
            return None
        is_agreed = all(status.leader == leaders[0] for status in self.statuses.values())
        return leaders[0] if is_agreed else None

    def replica_of(self, entry: str) -> str | None:
        """The replication daemon beside a member: both lists name the same hosts in the same order. None for a witness."""
        return dict(self._pairs).get(entry)

    def member_of(self, replica: str) -> str | None:
        """The member beside a replication daemon."""
        return {beside: entry for entry, beside in self._pairs}.get(replica)

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        entries = () if self.replicas is None else self.replicas.entries
        is_alike = len(entries) == len(self.members)
        return list(zip(self.members, entries, strict=True)) if is_alike else []

    def views_of(self, entry: str) -> dict[str, Peer]:
        """What each member that answered knows of another."""
        return {
            other: peer
            for other, status in self.statuses.items()
            for peer in status.peers
            if peer.address == entry
        }

    def is_heard(self, entry: str) -> bool:
        """Whether some member hears this one."""
        return any(peer.state == "alive" for peer in self.views_of(entry).values())

    def is_condor(self, entry: str) -> bool:
        """Whether the others found a real condor_had there, which cannot be asked."""
        return entry not in self.statuses and any(
            peer.implementation == "condor" for peer in self.views_of(entry).values()
        )
