"""What the replica machine needs to know of the configuration, as one frozen value."""

from __future__ import annotations

from typing import TypeAlias

import attrs

Member: TypeAlias = str
"""A replica's identity: the numeric address of its entry in REPLICATION_LIST, `127.0.0.1:41450`."""


@attrs.frozen
class ReplicaSettings:
    """One node's configuration; times in seconds."""

    me: Member
    #: REPLICATION_LIST.
    members: tuple[Member, ...]
    #: HAD_CONNECTION_TIMEOUT, called T.
    timeout_seconds: float = 5.0
    #: MAX_TRANSFER_LIFETIME.
    lifetime_seconds: float = 300.0
    #: NEWLY_JOINED_WAITING_VERSION_INTERVAL, for replicas that are not ours.
    joining_seconds: float = 12.0
    #: How many transferers may send at once.
    maximum_uploads: int = 16

    @property
    def others(self) -> tuple[Member, ...]:
        """Every other replica."""
        return tuple(m for m in self.members if m != self.me)

    @property
    def place(self) -> int:
        """This node's reversed place in the list, as HAD's id: gids of its own making are this modulo 128."""
        return len(self.members) - 1 - self.members.index(self.me)

    @property
    def report_seconds(self) -> float:
        """A replica speaks so often when there is no news; a report is good for T.

        Each report costs both sides about half a millisecond, which is all that an idle replica costs.
        """
        return self.timeout_seconds / 2

    @property
    def condor_interval_seconds(self) -> float:
        """HTCondor's hadInterval, by which a real had confirms its leadership (HTCondor: ReplicatorStateMachine.cpp)."""
        return 2 * (2 * self.timeout_seconds * len(self.members) + 1)
