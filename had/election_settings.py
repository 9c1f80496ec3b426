"""What the election needs to know of the configuration, and the rules of time that follow from it.

The times between members hang on one number, HAD_CONNECTION_TIMEOUT, called T: heartbeats go out each T/4, a message is
good for T, the lease ends a little before T, and a real condor_had is held to HTCondor's own formula.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

Member: TypeAlias = str
"""A member's identity: its numeric address, `127.0.0.1:9620` or `[::1]:9620`."""

EPOCH_STRIDE = 128
"""An epoch is `counter * EPOCH_STRIDE + id`, so two members can never make the same one (hard case 2)."""


@attrs.frozen
class ElectionSettings:
    """What the election needs to know of the configuration; times in seconds."""

    me: Member
    #: HAD_LIST: the candidates, best first.
    members: tuple[Member, ...]
    controllee: str = "negotiator"
    #: HAD_CONNECTION_TIMEOUT, called T below.
    timeout_seconds: float = 5.0
    use_primary: bool = False
    #: HAD_WITNESS_LIST: members that hear and report and never lead.
    witnesses: tuple[Member, ...] = ()
    clock_drift: float = 0.01
    #: HAD_REQUIRE_MAJORITY: lead only with leases from a majority of `voters`.
    require_majority: bool = False
    stop_timeout_seconds: float = 10.0
    restart_window_seconds: float = 0.0
    backoff_constant_seconds: float = 9.0
    backoff_factor: float = 2.0
    backoff_ceiling_seconds: float = 3600.0
    recover_seconds: float = 300.0
    #: HAD_USE_REPLICATION: a replica of this node's own looks after what the controllee writes.
    has_replica: bool = False
    shared_hash: int = 0
    version: str = ""
    labels: tuple[tuple[Member, str], ...] = ()
    """How the configuration spells each member, for people."""

    @property
    def my_id(self) -> int:
        """The reversed index in HAD_LIST: the first entry has the highest; a witness has -1."""
        if self.me not in self.members:
            return -1
        return len(self.members) - 1 - self.members.index(self.me)

    @property
    def is_primary(self) -> bool:
        """HAD_USE_PRIMARY, and this is the first entry."""
        return self.use_primary and self.members[:1] == (self.me,)

    @property
    def others(self) -> tuple[Member, ...]:
        """Every other member, witnesses last."""
        return tuple(m for m in (*self.members, *self.witnesses) if m != self.me)

    @property
    def voters(self) -> tuple[Member, ...]:
        """Everybody who has a vote, as the configuration lists them."""
        return (*self.members, *self.witnesses)

    @property
    def heartbeat_seconds(self) -> float:
        """Between two heartbeats to our own peers: three may be lost before the fourth is missed."""
        return self.timeout_seconds / 4

    @property
    def condor_interval_seconds(self) -> float:
        """HTCondor's hadInterval, 2 * (2 * T * N + 1) (StateMachine.cpp), to which a real peer is held."""
        return 2 * (2 * self.timeout_seconds * len(self.members) + 1)

    @property
    def lease_seconds(self) -> float:
        """How long a heartbeat lets our own controllee live: less than T on anybody's clock."""
        return self.timeout_seconds * (1 - 2 * self.clock_drift)
