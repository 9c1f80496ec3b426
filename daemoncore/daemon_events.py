"""The events that every daemon logs, each with its weight and its sentence for the manual.

A daemon's own table begins with them, so that one line means the same whoever wrote it.
"""

from __future__ import annotations

from typing import Final

from daemoncore.log_levels import ALWAYS, ERROR, WARNING, Level

LIFE_EVENTS: Final[dict[str, tuple[Level, str]]] = {
    "daemon_started": (ALWAYS, "The daemon listens and takes part; the fields say as whom and with whom."),
    "daemon_stopped": (ALWAYS, "The daemon ends because it was asked to."),
    "stop_requested": (ALWAYS, "SIGTERM (graceful), SIGQUIT (fast) or a command asked the daemon to stop."),
    "parent_unreachable": (
        WARNING,
        "condor_master, which started this daemon, could not be told that it lives or is ready; told once in a row.",
    ),
    "parent_gone": (ERROR, "condor_master, which started this daemon, is gone; the daemon ends at once."),
    "start_refused": (
        ERROR,
        "The daemon cannot start, for this reason among others if there are several lines.",
    ),
    "configuration_warning": (WARNING, "Something in the configuration is odd, but can be lived with."),
    "configuration_changed": (
        ALWAYS,
        "A new configuration is in force; `had` says whether the change is soft or hard.",
    ),
    "configuration_unchanged": (ALWAYS, "The configuration was read again and is the same."),
    "configuration_refused": (ERROR, "The new configuration has problems; the old one stays in force."),
    "restart_needed": (WARNING, "These settings changed, but only a restart of the daemon takes them up."),
    "event_dropped": (
        ERROR,
        "The loop is so far behind that an event was lost, as the network might lose it.",
    ),
    "loopback_only": (
        WARNING,
        "No security is configured: only root, condor and this account, on this machine, are let in (FS).",
    ),
}
"""Of the daemon itself."""

PEER_EVENTS: Final[dict[str, tuple[Level, str]]] = {
    "peer_up": (ALWAYS, "A member is heard (again)."),
    "peer_silent": (WARNING, "A member was not heard for as long as its last message was good."),
    "peer_gone": (WARNING, "A member's machine refuses connections: its daemon is gone."),
    "peer_link": (ALWAYS, "The kind of daemon found at a member's address: ours or condor."),
    "peer_unreachable": (
        WARNING,
        "A message could not be delivered to a member; told once until it can be again.",
    ),
    "message_rejected": (
        WARNING,
        "A message was authenticated but not believed; the reason is the metric's label.",
    ),
}
"""Of the other members."""

COLLECTOR_EVENTS: Final[dict[str, tuple[Level, str]]] = {
    "collector_reached": (ALWAYS, "A collector takes this daemon's ad (again)."),
    "collector_unreachable": (
        WARNING,
        "A collector does not take this daemon's ad; told once for each reason, until it does. Nothing waits for it.",
    ),
}
"""Of the collectors."""

COMMAND_EVENTS: Final[dict[str, tuple[Level, str]]] = {
    "connection_refused": (
        WARNING,
        "A connection or command was refused; the reason is a label, the text says why.",
    ),
    "handler_failed": (ERROR, "A defect of ours ended one connection; please report it."),
    "command_received": (ALWAYS, "An operator's command was carried out, or refused, with the answer."),
}
"""Of the command port."""
