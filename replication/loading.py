"""Reads everything that the files say about this daemon: its settings and its security, or all that is wrong.

It may take its time (a name server, an included command), so a running daemon calls it on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from daemoncore.config import Configuration, Problem
from daemoncore.config import load as load_configuration
from daemoncore.membership import HOST_NETWORK
from daemoncore.pool_security import in_family, is_loopback_only, policy_of, security_of
from daemoncore.security import Security, read_security
from daemoncore.startup import Options
from replication.settings import Settings, settings_from

SUBSYSTEM = "REPLICATION"


@attrs.frozen
class Loaded:
    """A configuration that can be used."""

    settings: Settings
    security: Security
    #: Nothing is said about security: only this machine's own accounts are let in.
    is_loopback_only: bool
    #: The security settings as text, for the transferers, which read no files.
    security_texts: Mapping[str, str]

    @property
    def entry(self) -> str:
        """This node's entry of REPLICATION_LIST."""
        return self.settings.me.entry

    @property
    def warnings(self) -> Sequence[Problem]:
        """What was odd."""
        return self.settings.warnings


def load(options: Options, environment: Mapping[str, str]) -> Loaded:
    """Read the configuration.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    configuration = load_configuration(
        options.config, subsystem=SUBSYSTEM, local_name=options.local_name, environment=environment
    )
    settings = settings_from(
        configuration,
        HOST_NETWORK,
        port=options.port,
        is_terminal=options.is_terminal,
        environment=environment,
    )
    security = security_of(configuration, is_tool=False, subsystem=SUBSYSTEM)
    security = in_family(security, configuration, options.inheritance)
    texts = _texts_of(configuration)
    return Loaded(settings, security, is_loopback_only(configuration), texts)


def _texts_of(configuration: Configuration) -> dict[str, str]:
    """Return every setting that matters to a transferer's security: what is asked for while it is read."""
    get = policy_of(configuration)
    texts: dict[str, str] = {}

    def remember(name: str) -> str | None:
        text = get(name)
        if text is not None:
            texts[name.upper()] = text
        return text

    read_security(remember, subsystem="TRANSFERER")
    return texts
