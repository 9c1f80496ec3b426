"""The one download that a replica may have under way: how far it is, and when it should have done better."""

from __future__ import annotations

import attrs

from replication.events import Received
from replication.peers import Own
from replication.replica_settings import Member, ReplicaSettings
from replication.version import Version

IDLE_SECONDS = 5.0
"""A transferer that neither offers nor sends what its other end reports is ended after this and T."""


@attrs.define
class Download:
    """A transferer that fetches, and what became of it; times on this node's clock."""

    number: int
    peer: Member
    is_ours: bool
    began: float
    #: The last moment at which something came from it.
    moved_at: float
    #: What was offered and is being fetched; None while it is idle.
    taking: Version | None = None
    #: What has arrived, and waits for its moment.
    received: Received | None = None
    is_installing: bool = False
    is_stopping: bool = False
    #: Its process is gone; what it brought may still be being installed.
    is_over: bool = False
    has_installed: bool = False

    def renamed(self, version: Version, own: Own | None) -> Version:
        """Give what was received its name here.

        A real peer goes on under the gid it found and knows no lineage: where the gid is that of `own`, so is the lineage.
        """
        if self.is_ours or own is None or own.version.gid != version.gid:
            return version
        return attrs.evolve(own.version, clock=version.clock)

    def clear(self) -> None:
        """What it brought is installed, or is not wanted."""
        self.received, self.taking, self.is_installing = None, None, False

    def failure(self, settings: ReplicaSettings, now: float, *, is_more_wanted: bool) -> str | None:
        """Say what it should have done better; None if nothing."""
        began, silent = self.deadlines(settings)
        if now >= began:
            return "MAX_TRANSFER_LIFETIME is over"
        # Nothing is known of how far a real peer's is: it is not offered before it is sent.
        if is_more_wanted and self.is_ours and self.taking is None and now >= silent:
            return "it does not send what it reports"
        return None

    def deadlines(self, settings: ReplicaSettings) -> tuple[float, float]:
        """When it has lived too long, and when it has been idle too long."""
        idle_seconds = IDLE_SECONDS + settings.timeout_seconds
        return self.began + settings.lifetime_seconds, self.moved_at + idle_seconds
