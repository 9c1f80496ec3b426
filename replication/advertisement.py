"""The ad by which a collector knows a replication daemon: HTCondor's attributes, and ours (docs/reference/wire.md).

The original's says where the daemon is and no more (ReplicatorStateMachine.cpp, `initializeClassAd`); ours adds what it
holds, from whom, and how far that may lag.
"""

from __future__ import annotations

from collections.abc import Hashable

from daemoncore.cedar.classad import ClassAd, ValueLike
from daemoncore.collector_ads import REPLICATION_AD, Moments, common_items
from replication.replica import Replica
from replication.settings import Settings
from replication.status import Status
from replication.view import Freshness


def advertisement(settings: Settings, status: Status, freshness: Freshness, moments: Moments) -> ClassAd:
    """Make the ad, without UpdateSequenceNumber.

    Args:
        settings: those in force.
        status: what the daemon says of itself everywhere.
        freshness: how far its copy may lag.
        moments: when it began, and now.
    """
    items: list[tuple[str, ValueLike]] = [
        ("ReplicationList", ",".join(member.entry for member in settings.members)),
        ("ReplicationNode", status.node),
        ("ReplicationState", status.state),
        ("ReplicationConflicts", status.unsettled),
    ]
    if status.leader is not None:
        items.append(("ReplicationLeader", status.leader))
    if status.version is not None:
        version = status.version
        items.append(("ReplicationGid", version.gid))
        items.append(("ReplicationClock", version.clock))
        items.append(("ReplicationBytes", version.bytes))
        if version.changed is not None:
            items.append(("ReplicationChanged", int(version.changed)))
    if freshness.lag_seconds is not None:
        items.append(("ReplicationLagSeconds", round(freshness.lag_seconds, 3)))
    who = settings.advertising
    address = str(settings.me.numeric.sinful())
    common = common_items(
        REPLICATION_AD, name=who.name, machine=who.machine, address=address, moments=moments
    )
    return ClassAd([*common, *items])


def essence(replica: Replica) -> Hashable:
    """What of the ad is told at once when it changes.

    The clock of a busy state changes many times in a second, and goes out with the next ad.
    """
    version = replica.version
    return replica.state, None if version is None else version.point.gid, replica.settings.members
