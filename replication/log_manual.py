"""Writes the table of the replication daemon's log events for the manual, from the table by which it logs.

`python -m replication.log_manual` prints its generated part of docs/reference/log-events.md; a test compares the two, so
that the manual has every event and no other.
"""

from __future__ import annotations

from daemoncore.event_manual import manual_of
from replication.log_events import EVENTS

if __name__ == "__main__":
    print(manual_of(EVENTS))  # noqa: T201 -- printing is what it was started for
