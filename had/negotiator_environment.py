"""What a negotiator that had runs is told beyond its configuration: whom to ask first, and whose child it is.

A negotiator that starts after a failover asks the collectors of COLLECTOR_HOST one after another. By default it begins
with any of them, and with the dead manager's it waits for a minute, until the connection gives up. HTCondor has two
settings for this, and needs both: COLLECTOR_HOST_FOR_NEGOTIATOR puts the collector of a host at the head of the list, where
the names of hosts can be compared; but the list is only gone through in its order where HAD_USE_PRIMARY is true, whose name
says nothing of it. A collector that is slow to fail is then avoided for up to DEAD_COLLECTOR_MAX_AVOIDANCE_TIME, which does
not help the first question.

So a negotiator of ours gets HAD_USE_PRIMARY = true and a COLLECTOR_HOST that begins with the collector of its own host, by
address. Nothing else in a negotiator reads the one, and for all else the order of the other does not matter. What the
administrator gives it in `<CONTROLLEE>_ENVIRONMENT` comes after this and wins.

A daemon of condor_master's may speak to the others on its host on the session that they share, whatever ALLOW_NEGOTIATOR
says. A negotiator below had, which condor_master started, is given that session too, and condor_master as the parent whose
death it follows. It is told of no sockets, since those are had's.

Facts: HTCondor 25.14, src/condor_daemon_client/daemon_list.cpp (`CollectorList::query`, `resortLocal`),
src/condor_negotiator.V6/matchmaker.cpp (`reinitialize`), src/condor_daemon_core.V6/daemon_core.cpp (`Inherit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from daemoncore.inheritance import PRIVATE, PUBLIC, InheritanceError, read_inheritance

NEGOTIATOR: Final = "negotiator"
"""HAD_CONTROLLEE where all of this applies, in whatever case."""

_ORDERED: Final = "_CONDOR_HAD_USE_PRIMARY"
_LIST: Final = "_CONDOR_COLLECTOR_HOST"
_FAMILY: Final = "FamilySessionKey:"


def negotiator_environment(
    controllee: str, collectors: Sequence[str], own: Sequence[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables for a controllee; none where they would change nothing. It asks nobody, so it takes no time.

    Args:
        controllee: HAD_CONTROLLEE.
        collectors: COLLECTOR_HOST, as it is spelled.
        own: those of them that are on this host (`had.own_collectors`).
        environment: the daemon's, with what condor_master handed down.
    """
    if controllee.casefold() != NEGOTIATOR:
        return {}
    return {**collector_order(collectors, own), **family_of(environment)}


def family_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what makes a program one of condor_master's daemons, given what condor_master handed down to us."""
    session = [word for word in environment.get(PRIVATE, "").split() if word.startswith(_FAMILY)]
    try:
        inheritance = read_inheritance(environment)
    except InheritanceError:
        return {}
    if inheritance is None or not session:
        return {}
    return {PUBLIC: f"{inheritance.parent_pid} {inheritance.parent_address} 0 0", PRIVATE: session[0]}


def collector_order(collectors: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    """Return what has the collector of this host asked first; nothing if there is no order."""
    if len(collectors) < 2 or not own:
        return {}
    others = [entry for entry in collectors if entry not in own]
    return {_ORDERED: "true", _LIST: ", ".join((*own, *others))}
