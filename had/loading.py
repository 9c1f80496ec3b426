"""Reads everything that the files say about this daemon: its settings and its security, or all that is wrong.

It may take its time (a name server, an included command), so a running daemon calls it on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from daemoncore import local_addresses
from daemoncore.config import Configuration, ConfigurationError, Problem
from daemoncore.config import load as load_configuration
from daemoncore.config.problems import Source
from daemoncore.security import (
    Security,
    SecurityError,
    has_security_policy,
    loopback_policy,
    read_security,
)
from had.membership import Examination, read_members
from had.settings import HOST_NETWORK, Settings, settings_from


@attrs.frozen
class Options:
    """What the command line says."""

    config: str | None = None
    local_name: str | None = None
    port: int | None = None
    is_terminal: bool = False


@attrs.frozen
class Loaded:
    """A configuration that can be used."""

    settings: Settings
    security: Security
    #: Nothing is said about security: only this machine's own accounts are let in.
    is_loopback_only: bool


def load(options: Options, environment: Mapping[str, str]) -> Loaded:
    """Read the configuration.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    configuration = load_configuration(options.config, local_name=options.local_name, environment=environment)
    settings = settings_from(
        configuration,
        HOST_NETWORK,
        port=options.port,
        is_terminal=options.is_terminal,
        environment=environment,
    )
    security = security_of(configuration, is_tool=False)
    return Loaded(settings, security, is_loopback_only(configuration))


def is_loopback_only(configuration: Configuration) -> bool:
    """Whether nothing is said about security and nothing needs to be: the whole pool is on this machine.

    A pool across machines with host lists of the time before HTCondor 8 (HOSTALLOW_) gets HTCondor's defaults and
    those lists, no more (hard case 5).
    """
    if has_security_policy(configuration.text):
        return False
    examination = Examination(configuration, HOST_NETWORK, is_member_required=False)
    everyone = [m for knob in ("HAD_LIST", "HAD_WITNESS_LIST") for m in read_members(knob, examination)]
    return all(member.numeric.is_loopback for member in everyone)


def security_of(configuration: Configuration, *, is_tool: bool) -> Security:
    """Read the security settings; without any, those of one machine for itself.

    Raises:
        ConfigurationError: every setting that cannot be.
    """
    is_open = is_loopback_only(configuration)
    get = loopback_policy(configuration.text) if is_open else configuration.text
    try:
        return read_security(get, is_tool=is_tool, addresses_of=_addresses)
    except SecurityError as error:
        source = Source("security")
        raise ConfigurationError(Problem(source, text) for text in error.problems) from error


def _addresses(name: str) -> Sequence[str]:
    try:
        return local_addresses.resolve(name)
    except OSError:
        return ()
