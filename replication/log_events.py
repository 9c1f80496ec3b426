"""Every event that the replication daemon logs: its constant name, its category, and what it means.

A log line is one of these names and key=value fields; docs/reference/log-events.md is compared with this table by a test.
Reports are never logged; changes are, once. A state that changes ten times a second has as many versions, so each
version has its line only for who asks for them (REPLICATION_DEBUG = D_FULLDEBUG).
"""

from __future__ import annotations

from typing import Final

from daemoncore.daemon_events import COLLECTOR_EVENTS, COMMAND_EVENTS, LIFE_EVENTS, PEER_EVENTS
from daemoncore.log_levels import ALWAYS, ERROR, FULLDEBUG, WARNING, Level

EVENTS: Final[dict[str, tuple[Level, str]]] = {
    # The daemon's life.
    **LIFE_EVENTS,
    "replication_crashed": (ERROR, "A programmer's error ends the daemon; the exception follows."),
    # The replica machine.
    "state_changed": (ALWAYS, "This node's state; the reason is a sentence."),
    "following": (ALWAYS, "The replica whose node leads is another; `leader=none` while none is heard."),
    "leadership_recorded": (
        ALWAYS,
        "A leadership of this node has its first version; `parent` is the version that it began from.",
    ),
    "state_numbered": (ALWAYS, "A state stood here that nobody had numbered; HTCondor's number for it is 0."),
    "leadership_refused": (
        WARNING,
        "had leads with an epoch that is over: it, or this daemon, stood still for a long time.",
    ),
    "leadership_unconfirmed": (
        WARNING,
        "had has not said for too long that it leads, so it counts as gone; its last bytes get a version.",
    ),
    "had_silent": (WARNING, "had has not said anything since this daemon started; nobody leads here."),
    "clock_behind": (
        WARNING,
        "A replica holds a later version of this leadership than this node: a disk was put back. Numbers go on above it.",
    ),
    "report_rejected": (
        WARNING,
        "A report was not believed: `not_a_member`, or `replayed` (an older one than the last).",
    ),
    "version_published": (
        FULLDEBUG,
        "A change of the state here is a version, durably; the others are told.",
    ),
    "version_installed": (FULLDEBUG, "A version from a replica has replaced the one that was held here."),
    "state_joined": (
        ALWAYS,
        "A version of another leadership was installed; later ones of it are told as `version_installed`.",
    ),
    "version_not_written": (ERROR, "A version could not be written down; it is tried again each second."),
    "version_rejected": (
        WARNING,
        "An offered version was not taken; `why` is the metric's label, the reason a sentence.",
    ),
    "state_altered": (
        ERROR,
        "The state was changed while nobody led here. The change is kept as a conflict and not replicated.",
    ),
    "state_revised": (ALWAYS, "Kept conflicts were merged into the state, or restored, as this version."),
    "state_not_revised": (WARNING, "What was scheduled of kept conflicts could not be done; it still waits."),
    # The disk side.
    "found_at_start": (
        WARNING,
        "State and version were not as a clean end leaves them; the text says what was done about it.",
    ),
    "state_not_watched": (
        WARNING,
        "Changes are not noticed at once, or the state cannot be read or is not there; the text says why.",
    ),
    "state_watched": (ALWAYS, "The state is read and watched again."),
    "background_failed": (WARNING, "Something that was asked of the disk in passing failed."),
    # What is kept, and what is done with it.
    "conflict_kept": (
        WARNING,
        "A state that is about to be replaced, and that did not go into what replaces it, was kept as a conflict.",
    ),
    "conflict_made_room": (
        ALWAYS,
        "An older conflict, which was exported or merged, was removed for a new one.",
    ),
    "conflicts_over_limit": (
        ERROR,
        "More conflicts are kept than REPLICATION_KEEP_CONFLICTS, since nobody exported or merged any.",
    ),
    "conflict_not_kept": (
        ERROR,
        "What somebody changed who must not could not be kept; it will be before it is replaced.",
    ),
    "conflict_not_usable": (
        WARNING,
        "A conflict that was scheduled can be neither merged nor restored, and waits no more.",
    ),
    "ancestor_not_kept": (
        WARNING,
        "The state that a leadership began with could not be kept: a merge may have to do without.",
    ),
    "merge_scheduled": (
        ALWAYS,
        "A conflict is merged at the next stop of the controllee, because REPLICATION_MERGE says so.",
    ),
    "merge_not_possible": (
        WARNING,
        "A conflict cannot be merged as REPLICATION_MERGE wants; it stays for people. The text says why.",
    ),
    "ancestor_not_found": (
        WARNING,
        "The state that a merge would start from could not be fetched from any replica; the text has their words.",
    ),
    # Transfers.
    "download_stopped": (ALWAYS, "A download was ended; the reason says why it was of no use any more."),
    "download_failed": (
        WARNING,
        "A download brought nothing; the next try there comes after `retry_seconds`.",
    ),
    "upload_refused": (
        WARNING,
        "A replica asked for the state, or for a kept copy, and does not get it; `why` is the metric's label, the reason a sentence.",
    ),
    "transfer_started": (FULLDEBUG, "A copy process was started."),
    "version_sent": (
        FULLDEBUG,
        "A replica has received a version, and holds it durably if it is one of ours.",
    ),
    "version_received": (FULLDEBUG, "A version is here, whole and checked; it is not installed yet."),
    "transfer_ended": (FULLDEBUG, "A copy process has ended as it should, or was not wanted any more."),
    "transfer_failed": (WARNING, "A copy process ended before its version had moved; the reason says why."),
    "checksum_failed": (ERROR, "What came from a replica was not what its checksum says; it was dropped."),
    "transferer_not_started": (ERROR, "A copy process could not be started; the error says why."),
    "transferer_killed": (WARNING, "A copy process was killed; the reason says why it had to be."),
    "transfer_leftovers": (
        WARNING,
        "What a copy process left beside the state was removed, or could not be.",
    ),
    # Other replicas and other people.
    **PEER_EVENTS,
    **COLLECTOR_EVENTS,
    **COMMAND_EVENTS,
}
"""Name of the event: its category, and the sentence of the manual."""
