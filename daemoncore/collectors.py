"""Which collectors a daemon tells of itself, how often, and under which name its ad stands there.

COLLECTOR_HOST is a list of `host`, `host:port`, sinful strings with or without their brackets (`sock` is honoured), and
in stand-alone pools nothing at all. A collector without a port of its own (`host:0`) cannot be found by anybody but
its condor_master, and an entry that is no address is passed over with a warning: neither is a reason not to lead.

The collector keeps one ad for each name. The name is the original's, so that a daemon of HTCondor's that is put back
into its place replaces the ad: `user@host` of condor_had, `replication@host -p port` of condor_replication, with -1 for
a port behind a shared one. Where several members live on one machine theirs would replace each other, so each name then
has an end of its own.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Sequence
from typing import Final

import attrs

from daemoncore.address import Address
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.sinful import Sinful
from daemoncore.membership import Examination, Member

COLLECTOR_PORT: Final = 9618
"""Where a collector, or the shared port in front of it, listens when nobody says otherwise (condor_config.h)."""

_BARE_ADDRESS: Final = re.compile(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
"""An IPv6 address without brackets, which leaves no place for a port."""


@attrs.frozen
class Collector:
    """One entry of COLLECTOR_HOST."""

    #: As the list spells it.
    entry: str
    #: Its host may be a name, which is looked up whenever it is dialled.
    address: Address


@attrs.frozen
class Advertising:
    """What a daemon's advertising does by configuration.

    Attributes:
        collectors: who is told.
        interval_seconds: how often, when nothing changes.
        name: the ad's key in the collector.
        machine: this host's full name.
    """

    collectors: tuple[Collector, ...]
    interval_seconds: float
    name: str
    machine: str


def read_advertising(examination: Examination, interval_knob: str, name: str) -> Advertising:
    """Return what the configuration says of advertising.

    Args:
        examination: gets a warning for each entry that is no address.
        interval_knob: HAD_UPDATE_INTERVAL, or replication's.
        name: what `name_of_had` or `name_of_replication` gave.
    """
    interval = examination.configuration.get(interval_knob)
    assert isinstance(interval, int | float), interval_knob
    return Advertising(read_collectors(examination), float(interval), name, machine_of(examination))


def read_collectors(examination: Examination) -> tuple[Collector, ...]:
    """Return the collectors of COLLECTOR_HOST, each once."""
    found: dict[Address, Collector] = {}
    for entry in examination.items("COLLECTOR_HOST"):
        try:
            address = parse_collector(entry)
        except ValueError as error:
            examination.warn("COLLECTOR_HOST", f"has an entry that is no address, and is not told: {error}")
            continue
        if address is not None:
            found.setdefault(address, Collector(entry, address))
    return tuple(found.values())


def parse_collector(text: str) -> Address | None:
    """Return the place that an entry names; None if only its condor_master knows the port.

    Raises:
        ValueError: it is no address.
    """
    stripped = text.strip().removeprefix("<").removesuffix(">")
    if _BARE_ADDRESS.fullmatch(stripped):
        stripped = f"[{stripped}]"
    try:
        sinful = Sinful.parse(f"<{stripped}>")
        if sinful.port == 0:
            return None
        return Address.of(attrs.evolve(sinful, port=COLLECTOR_PORT if sinful.port is None else sinful.port))
    except ProtocolError as error:
        raise ValueError(f"a collector is host, host:port or <host:port?sock=name> (got {text!r})") from error


# --- names ------------------------------------------------------------------------------------------------------


def machine_of(examination: Examination) -> str:
    """Return this host's full name."""
    return examination.configuration.text("FULL_HOSTNAME") or os.uname().nodename


def name_of_had(
    examination: Examination, me: Member, everyone: Sequence[Member], owner: tuple[int, int] | None
) -> str:
    """Return `user@host`, as StateMachine.cpp makes it, with an end of its own where there are several on this host.

    Args:
        examination: the configuration, and what the network says.
        me: this node's own entry.
        everyone: the members and the witnesses.
        owner: CONDOR_IDS; None if not set.
    """
    return f"{account_name(owner)}@{machine_of(examination)}{_end(examination, me, everyone)}"


def name_of_replication(examination: Examination, me: Member, everyone: Sequence[Member]) -> str:
    """Return `replication@host -p port`, as ReplicatorStateMachine.cpp makes it, with an end where that is not enough."""
    port = _own_port(me)
    same_port = [member for member in everyone if _own_port(member) == port]
    return f"replication@{machine_of(examination)} -p {port}{_end(examination, me, same_port)}"


def _own_port(member: Member) -> int:
    """Return the port of the daemon's own; -1 behind a shared port, as DaemonCore::InfoCommandPort has it."""
    return member.numeric.port if member.numeric.sock is None else -1


def account_name(owner: tuple[int, int] | None) -> str:
    """Return the account that a daemon of HTCondor's would run as here: root's give way to CONDOR_IDS or condor."""
    uid = os.geteuid()
    try:
        if uid == 0:
            uid = pwd.getpwnam("condor").pw_uid if owner is None else owner[0]
    except KeyError:
        pass
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        # The original's word for it (HADStateMachine::softReconfigure).
        return "UNKNOWN"


def _end(examination: Examination, me: Member, everyone: Sequence[Member]) -> str:
    """Return what tells this member from its neighbours on this host; empty if it has none."""
    if any(member != me and examination.network.is_bindable(member.numeric.host) for member in everyone):
        return f"#{me.entry}"
    configuration = examination.configuration
    local_name, subsystem = configuration.text("LOCALNAME"), configuration.text("SUBSYSTEM")
    return f"#{local_name}" if local_name and local_name != subsystem else ""
