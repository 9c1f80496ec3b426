"""The ad by which a collector knows a had: HTCondor's attributes with its meaning, and ours (docs/reference/wire.md).

HadIsActive is a boolean throughout, and true exactly while this node leads. (The original's is a boolean only until the
first change of leadership, then the text "True" or "False", and a reload makes it false on a leader;
StateMachine.cpp, `updateCollectorsClassAd` and `softReconfigure`.)
"""

from __future__ import annotations

from collections.abc import Hashable

from daemoncore.cedar.classad import ClassAd, ValueLike
from daemoncore.collector_ads import HAD_AD, Moments, common_items
from had.election import Election
from had.settings import Settings
from had.status import Status


def advertisement(settings: Settings, status: Status, moments: Moments) -> ClassAd:
    """Make the ad, without UpdateSequenceNumber.

    Args:
        settings: those in force.
        status: what the daemon says of itself everywhere.
        moments: when it began, and now.
    """
    members = settings.members
    index = members.index(settings.me) if settings.me in members else len(members)
    items: list[tuple[str, ValueLike]] = [
        ("HadSelfID", len(members) - 1 - index),
        ("HadIndex", index),
        ("HadControlleeName", settings.control.controllee),
        ("HadList", ",".join(str(member.numeric.sinful()) for member in members)),
        ("HadIsActive", status.state == "leader"),
        ("HadNode", status.node),
        ("HadState", status.state),
        ("HadEpoch", status.epoch),
        ("HadIsPrimary", status.primary),
        ("HadPaused", status.paused is not None),
        ("HadControlleeRuns", status.controllee.state == "running"),
    ]
    if status.leader is not None:
        items.append(("HadLeader", status.leader))
    if status.replica.is_ready is not None:
        items.append(("HadIsReady", status.replica.is_ready))
    who = settings.advertising
    address = str(settings.me.numeric.sinful())
    common = common_items(HAD_AD, name=who.name, machine=who.machine, address=address, moments=moments)
    return ClassAd([*common, *items])


def essence(election: Election) -> Hashable:
    """What of the ad is told at once when it changes; that it is cheap counts, since it is asked for on every turn."""
    return (
        election.state,
        election.run,
        election.epoch,
        election.leader,
        election.directive.pause is None,
        election.settings.members,
        election.settings.controllee,
    )
