"""Asks a replication daemon to do something with a kept state: REPLICATION_CONFLICT, at level ADMINISTRATOR."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.client import Client
from had.ctl.ask import REQUEST_SECONDS, Reply, request
from had.ctl.changing import PlanError, operator_name
from had.ctl.configured import Configured
from had.ctl.naming import NamingError, entry_named

#: A kept state is copied at this rate at least; whoever waits for a copy gives it that time.
COPY_BYTES_PER_SECOND = 20e6

NOTHING_MORE: Mapping[str, str] = MappingProxyType({})


async def conflict_request(
    configured: Configured,
    entry: str,
    act: str,
    identifier: str,
    caller: Client,
    values: Mapping[str, str] = NOTHING_MORE,
    seconds: float = REQUEST_SECONDS,
) -> Reply:
    """Ask one replication daemon to act.

    Args:
        configured: the pool.
        entry: whom to ask, as REPLICATION_LIST spells it.
        act: `show`, `export`, `drop`, `plan`, `schedule` or `cancel`.
        identifier: the whole name of the kept state.
        caller: our end.
        values: what belongs to the act.
        seconds: how long it may take.

    Raises:
        RequestError: there is no reply.
    """
    ad = ClassAd({"Act": act, "Identifier": identifier, "By": operator_name(), **values})
    return await request(configured.replica(entry), Command.REPLICATION_CONFLICT, ad, caller, seconds)


def copy_seconds(size_bytes: int) -> float:
    """Return how long a copy of that size may take, beside the time that any reply may take."""
    return size_bytes / COPY_BYTES_PER_SECOND


def replica_named(name: str | None, configured: Configured) -> str | None:
    """Return the entry of REPLICATION_LIST that `--node` means; a member's entry of HAD_LIST serves too.

    Raises:
        PlanError: none or several; exit status 2.
    """
    if name is None:
        return None
    entries = [target.entry for target in configured.replicas]
    members = [target.entry for target in configured.members]
    if name in members and len(members) == len(entries):
        return entries[members.index(name)]
    try:
        return entry_named(name, entries)
    except NamingError as error:
        raise PlanError(str(error), status=2) from error
