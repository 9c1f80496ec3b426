"""Writes the table of log events for the manual, from the table by which the daemon logs.

`python -m had.log_manual` prints had's generated part of docs/reference/log-events.md; a test compares the two, so that
the manual has every event and no other.
"""

from __future__ import annotations

from daemoncore.event_manual import manual_of
from had.log_events import EVENTS

if __name__ == "__main__":
    print(manual_of(EVENTS))  # noqa: T201 -- printing is what it was started for
