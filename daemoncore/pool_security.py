"""The security settings of a daemon or tool of the pool, and what holds when a configuration says nothing about security.

Then only a pool that is all on this machine may start, and only this machine's own accounts are let in. Names of hosts
are looked up here, so a running daemon calls it on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from daemoncore import local_addresses
from daemoncore.authorization import Get
from daemoncore.config import Configuration, ConfigurationError, Problem
from daemoncore.config.problems import Source
from daemoncore.inheritance import Inheritance
from daemoncore.membership import HOST_NETWORK, Examination, read_members
from daemoncore.security import (
    Security,
    SecurityError,
    has_security_policy,
    loopback_policy,
    read_security,
)

_LISTS: Final = ("HAD_LIST", "HAD_WITNESS_LIST", "REPLICATION_LIST")


def is_loopback_only(configuration: Configuration) -> bool:
    """Whether nothing is said about security and nothing needs to be: the whole pool is on this machine.

    A pool across machines with host lists of the time before HTCondor 8 (HOSTALLOW_) gets HTCondor's defaults and
    those lists, no more (hard case 5).
    """
    if has_security_policy(configuration.text):
        return False
    examination = Examination(configuration, HOST_NETWORK, is_member_required=False)
    everyone = [member for knob in _LISTS for member in read_members(knob, examination)]
    return all(member.numeric.is_loopback for member in everyone)


def policy_of(configuration: Configuration) -> Get:
    """Return what gives the security settings that are in force: the files', or those of one machine for itself."""
    return loopback_policy(configuration.text) if is_loopback_only(configuration) else configuration.text


def security_of(configuration: Configuration, *, is_tool: bool, subsystem: str = "HAD") -> Security:
    """Read the security settings; without any, those of one machine for itself.

    Args:
        configuration: what the files say.
        is_tool: whether this is a program that ends soon.
        subsystem: `HAD` or `REPLICATION`, whose own settings come before the general ones.

    Raises:
        ConfigurationError: every setting that cannot be.
    """
    get = policy_of(configuration)
    try:
        return read_security(get, subsystem=subsystem, is_tool=is_tool, addresses_of=_addresses)
    except SecurityError as error:
        source = Source("security")
        raise ConfigurationError(Problem(source, text) for text in error.problems) from error


def in_family(security: Security, configuration: Configuration, inheritance: Inheritance | None) -> Security:
    """Return the settings with the session that condor_master handed down, unless SEC_USE_FAMILY_SESSION is false."""
    if inheritance is None or not configuration.get("SEC_USE_FAMILY_SESSION"):
        return security
    return attrs.evolve(security, family=inheritance.family)


def _addresses(name: str) -> Sequence[str]:
    try:
        return local_addresses.resolve(name)
    except OSError:
        return ()
