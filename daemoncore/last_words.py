"""What a daemon that may not start says in its log, as far as its configuration tells where that is.

Whoever starts one by hand sees why on standard error. condor_master throws that away, and an administrator looks where
HTCondor's daemons say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from daemoncore.config import ConfigurationError
from daemoncore.config.configuration import read
from daemoncore.daemon_events import LIFE_EVENTS
from daemoncore.event_log import EventLog
from daemoncore.log import DaemonLog, serve_logger
from daemoncore.membership import HOST_NETWORK, Examination
from daemoncore.places import read_log, read_owner
from daemoncore.startup import Options


def write_last_words(
    subsystem: str, options: Options, environment: Mapping[str, str], sentences: Iterable[str]
) -> None:
    """Write why the daemon does not start, a line for each reason; nothing if there is no telling where.

    Args:
        subsystem: `HAD` or `REPLICATION`.
        options: the command line.
        environment: the process environment.
        sentences: the reasons.
    """
    try:
        configuration = read(
            options.config, subsystem=subsystem, local_name=options.local_name, environment=environment
        )
    except ConfigurationError:
        return
    examination = Examination(configuration, HOST_NETWORK)
    owner = read_owner(examination)
    settings = read_log(examination, subsystem, owner, is_terminal=options.is_terminal)
    if settings is None or settings.path is None:
        return
    log = DaemonLog(settings, environment=environment)
    tell = EventLog(serve_logger("", log), LIFE_EVENTS)
    for sentence in sentences:
        tell("start_refused", error=sentence)
    log.close()
