"""Every event that the election daemon logs: its constant name, its category, and what it means.

A log line is one of these names and key=value fields; docs/reference/log-events.md is compared with this table by a
test. Heartbeats are never logged; changes are, once.
"""

from __future__ import annotations

from typing import Final

from daemoncore.daemon_events import COLLECTOR_EVENTS, COMMAND_EVENTS, LIFE_EVENTS, PEER_EVENTS
from daemoncore.log_levels import ALWAYS, ERROR, WARNING, Level

EVENTS: Final[dict[str, tuple[Level, str]]] = {
    # The daemon's life.
    **LIFE_EVENTS,
    "record_damaged": (
        ERROR,
        "The durable record cannot be read; this node starts as with an empty HAD_DIR.",
    ),
    "loop_late": (
        WARNING,
        "The loop missed deadlines by more than T/4, so heartbeats were late: the machine starves this daemon.",
    ),
    "had_crashed": (ERROR, "A programmer's error ends the daemon; the exception follows."),
    # The election.
    "state_changed": (ALWAYS, "This node's state; the reason is a sentence, its slug the metric's label."),
    "following": (ALWAYS, "The leader that this node follows changed; `leader=none` while there is none."),
    "leader_conflict": (ERROR, "A second live leader was heard while this node led."),
    "list_mismatch": (
        WARNING,
        "A leader that our HAD_LIST lacks has us in its list; it is not elected over.",
    ),
    "condor_in_majority": (
        ERROR,
        "A member is a real condor_had, which gives no votes: with HAD_REQUIRE_MAJORITY this node does not lead.",
    ),
    "directive": (ALWAYS, "An operator's pause, resume or hold is in force here."),
    **PEER_EVENTS,
    "peer_denied": (ERROR, "A member answers, but denies us; it is alive, so it is never elected over."),
    # What must be durable.
    "record_not_written": (
        ERROR,
        "The epoch could not be written, or the disk does not answer; this node does not lead until it can be.",
    ),
    "epoch_file_not_written": (ERROR, "HAD_EPOCH_FILE could not be replaced; the controllee has HAD_EPOCH."),
    "epochs_exhausted": (ERROR, "No epoch is left below 2^31; HAD_DIR must be renewed on all members."),
    # The controllee.
    "controllee_wanted": (ALWAYS, "The controllee is asked to run, or to stop."),
    "controllee_started": (ALWAYS, "The controllee runs."),
    "controllee_exited": (ALWAYS, "The controllee is gone; the reason is the metric's label."),
    "hand_failed": (
        WARNING,
        "The process that ends condor_master's controllee when this daemon cannot is gone; another one is started.",
    ),
    "stray_controllee": (
        WARNING,
        "condor_master runs a controllee that this node did not ask for; it is ended.",
    ),
    "master_unreachable": (
        ERROR,
        "condor_master does not take CHILD_OFF_FAST, so it may start the controllee by itself; told once until it does.",
    ),
    "start_hangs": (
        ERROR,
        "The controllee's start was not reported in time; it is given up and counts as a death.",
    ),
    "controllee_died": (
        WARNING,
        "The controllee ended without being asked to; `deaths` counts them in a row.",
    ),
    "abstaining": (WARNING, "The controllee keeps dying here: this node abstains for so many seconds."),
    "abstention_over": (ALWAYS, "This node may lead again."),
    # The state, where a replica looks after it.
    "replica_link": (
        ALWAYS,
        "This node's own replication daemon answers: ours, or a real condor_replication.",
    ),
    "replica_unreachable": (
        WARNING,
        "This node's own replication daemon cannot be reached; told once for each reason, until it can be again.",
    ),
    "readiness": (
        ALWAYS,
        "Whether this node could take over, or hand over, with nothing lost of the state changed.",
    ),
    "state_awaited": (
        ALWAYS,
        "The start of the controllee still waits for the state, since so many seconds.",
    ),
    "state_ready": (ALWAYS, "The controllee starts on a state that is current; the wait was so long."),
    "state_stale": (
        WARNING,
        "The controllee starts on a state older than one that is known of, or may well exist.",
    ),
    "state_missing": (WARNING, "The controllee starts, or its `_DISASTER` does, where there is no state."),
    "state_flushed": (ALWAYS, "What the controllee wrote last is where the handover needs it."),
    "flush_incomplete": (
        WARNING,
        "What the controllee wrote last is not where the handover needs it; `behind` lacks it.",
    ),
    "handover_called_off": (
        WARNING,
        "This node goes on leading, since what was written last could not be handed on.",
    ),
    "on_change_failed": (WARNING, "The HAD_ON_CHANGE command failed."),
    # Other people.
    **COLLECTOR_EVENTS,
    **COMMAND_EVENTS,
}
"""Name of the event: its category, and the sentence of the manual."""
