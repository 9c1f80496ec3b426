"""Reads everything that the files say about this daemon: its settings and its security, or all that is wrong.

It may take its time (a name server, an included command), so a running daemon calls it on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from daemoncore.config import Problem
from daemoncore.config import load as load_configuration
from daemoncore.membership import HOST_NETWORK
from daemoncore.pool_security import in_family, is_loopback_only, security_of
from daemoncore.security import Security
from daemoncore.startup import Options
from had.settings import Settings, settings_from


@attrs.frozen
class Loaded:
    """A configuration that can be used."""

    settings: Settings
    security: Security
    #: Nothing is said about security: only this machine's own accounts are let in.
    is_loopback_only: bool

    @property
    def entry(self) -> str:
        """This node's own entry."""
        return self.settings.me.entry

    @property
    def warnings(self) -> Sequence[Problem]:
        """What was odd and can be lived with."""
        return self.settings.warnings


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
    security = in_family(security, configuration, options.inheritance)
    return Loaded(settings, security, is_loopback_only(configuration))
