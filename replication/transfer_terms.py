"""What transfers are done under, and who hears of them: values of the daemon's, and an observer."""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import attrs

from daemoncore.process import clean_environment
from replication.replica_settings import Member
from replication.version import Point

#: Our own copy process, wherever the daemon's working folder is.
TRANSFERER: Final = (sys.executable, "-P", "-m", "transferer")
_ROOT: Final = Path(__file__).resolve().parents[1]


class Direction(enum.Enum):
    """Which way a transfer goes, as seen from here; the value is the metric's label."""

    UPLOAD = "upload"
    DOWNLOAD = "download"


@attrs.frozen
class Terms:
    """What holds for the transferers that are started from now on.

    Attributes:
        lifetime_seconds: MAX_TRANSFER_LIFETIME.
        stall_seconds: how long a peer may do nothing when it is its turn.
        grace_seconds: how much longer than it may, or than it was asked to, a process lives before it is killed.
        security: the settings by which a downloader logs in (`daemoncore.security.read_security`); they name files of
            keys, and never hold one.
        source_address: the numeric address to speak from, when not the kernel's choice.
        argv: the copy process; one of ours, of whatever version.
        environment: the daemon's.
        is_fips: HAD_FIPS_MODE: a real peer's MD5 is no digest.
        is_plain: commands go without any negotiation, so nothing is known of a real peer's version; as HTCondor does it
            then, it is asked to call back.
        maximum_bytes: no larger version is taken; None is no limit.
        takes_tails: what was appended to a file stays apart until it is installed (`staging.Start`).
        mode: permission bits of a file that a real peer sends where none is.
        asking: what this node says of itself in the ad by which it asks one of ours.
    """

    lifetime_seconds: float
    stall_seconds: float = 30.0
    grace_seconds: float = 5.0
    security: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    source_address: str | None = None
    argv: tuple[str, ...] = TRANSFERER
    environment: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    is_fips: bool = True
    is_plain: bool = False
    maximum_bytes: int | None = None
    takes_tails: bool = True
    mode: int = 0o600
    asking: Mapping[str, str | int] = attrs.field(factory=dict)

    def environment_of_transferer(self) -> dict[str, str]:
        """The daemon's environment without what is meant for it alone, and where this package lies."""
        cleaned = clean_environment(self.environment)
        path = cleaned.get("PYTHONPATH")
        return cleaned | {"PYTHONPATH": f"{_ROOT}:{path}" if path else str(_ROOT)}


class TransferObserver(Protocol):
    """Hears what transfers do; called synchronously, must not raise.

    Each version that moves is told as such, whereas a process may move many: so a transfer that went well is counted
    by `version_sent` and `version_received`, one that did not by `transfer_ended`.
    """

    def transfer_started(self, direction: Direction, peer: Member) -> None:
        """A process was started."""

    def version_sent(self, peer: Member, version: Point, moved_bytes: int, seconds: float) -> None:
        """The peer has a version, which is durable there if it is one of ours."""

    def version_received(self, peer: Member, version: Point, moved_bytes: int, seconds: float) -> None:
        """A version is here: whole, checked, and durable beside the state."""

    def checksum_failed(self, peer: Member) -> None:
        """What came from a peer was not what it has."""

    def transfer_ended(
        self, direction: Direction, peer: Member, result: str, moved_bytes: int, seconds: float, reason: str
    ) -> None:
        """A process is gone; `result` is ok, failed, cancelled or stale, `moved_bytes` are those that no version came of."""

    def remark(self, event: str, **fields: str | float | None) -> None:
        """Something that is worth a line in the log: an event of `REMARKS`."""


REMARKS: Final = {
    "transferer_not_started": "A copy process could not be started; the error says why.",
    "transferer_killed": "A copy process was killed; the reason says why it had to be.",
    "transfer_leftovers": "What a copy process left beside the state was removed, or could not be.",
}
"""Events of `TransferObserver.remark`, and what each means."""
