"""What every ad for a collector has, whoever sends it: the attributes of DaemonCore, and the ad that takes it back.

Facts of HTCondor's side: DaemonCore::publish, DCCollector::sendUpdate, HADStateMachine's destructor; transcripts in
tests/vectors (07-had-collector-ads, 08-replication-collector-ads).
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Final

import attrs

from daemoncore.cedar.classad import ClassAd, ValueLike
from daemoncore.cedar.commands import Command
from daemoncore.cedar.handshake import MARKER, OUR_PROTOCOL
from daemoncore.cedar.values import Expression, quote
from daemoncore.cedar.version import OUR_VERSION
from daemoncore.version import VERSION

PLATFORM: Final = f"$CondorPlatform: {platform.machine().upper()}-{platform.system()} $"


@attrs.frozen
class AdKind:
    """One type of ad, and the collector's commands for it."""

    my_type: str
    update: Command
    invalidate: Command
    #: The query that asks for ads of this type and no other; None if there is none.
    query: Command | None = None


HAD_AD: Final = AdKind("HAD", Command.UPDATE_HAD_AD, Command.INVALIDATE_HAD_ADS, Command.QUERY_HAD_ADS)
REPLICATION_AD: Final = AdKind("Replication", Command.UPDATE_AD_GENERIC, Command.INVALIDATE_ADS_GENERIC)


@attrs.frozen
class Moments:
    """Unix times in whole seconds."""

    started: int
    #: When a configuration was last put in force.
    reconfigured: int
    now: int


class ConfiguredSince:
    """Remembers when the daemon was started, and when its settings came in force.

    Args:
        wall_clock: Unix time.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._started = self._reconfigured = int(wall_clock())
        self._settings: object = None

    def moments(self, settings: object) -> Moments:
        """Return the times as of now; other settings than the last ones, be they equal, were read again."""
        now = int(self._wall_clock())
        if self._settings is not None and settings is not self._settings:
            self._reconfigured = now
        self._settings = settings
        return Moments(self._started, self._reconfigured, now)


def common_items(
    kind: AdKind, *, name: str, machine: str, address: str, moments: Moments
) -> list[tuple[str, ValueLike]]:
    """Return the attributes that every ad has; `address` is where the daemon takes commands, as a sinful string."""
    return [
        ("MyType", kind.my_type),
        ("Name", name),
        ("Machine", machine),
        ("MyAddress", address),
        ("CondorVersion", OUR_VERSION),
        ("CondorPlatform", PLATFORM),
        ("MyCurrentTime", moments.now),
        ("DaemonStartTime", moments.started),
        ("DaemonLastReconfigTime", moments.reconfigured),
        (MARKER, OUR_PROTOCOL),
        ("HadVersion", VERSION),
    ]


def invalidation(kind: AdKind, ad: ClassAd) -> ClassAd:
    """Return the ad that takes `ad` back: a query that names it."""
    name = ad.get_string("Name", "")
    items: list[tuple[str, ValueLike]] = [
        ("MyType", "Query"),
        ("TargetType", kind.my_type),
        ("Requirements", Expression(f"TARGET.Name == {quote(name)}")),
        ("Name", name),
        ("DaemonStartTime", ad.get_int("DaemonStartTime", 0)),
        ("DaemonLastReconfigTime", ad.get_int("DaemonLastReconfigTime", 0)),
        ("UpdateSequenceNumber", 1),
    ]
    return ClassAd(items)
