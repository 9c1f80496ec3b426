"""When the replica machine has to be asked again though nothing happened: a pure reading of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from replication.events import State

if TYPE_CHECKING:
    from replication.replica import Replica


def deadlines(replica: Replica) -> list[float]:
    """Every time at which something may change by itself, infinity among them."""
    s = replica.settings
    found = [
        replica.next_report_at,
        replica.next_condor_at,
        replica.ledger.retry_at,
        replica.fenced_until,
        replica.leads_until,
        replica.awaits_had_until,
        replica.prepared[1],
        replica.listens_since + s.timeout_seconds,
        replica.listens_since + s.joining_seconds,
        math.inf if replica.stops_by is None else replica.stops_by,
    ]
    for peer in replica.peers.values():
        found += [peer.expires_at, peer.retry_at, peer.tell_at, peer.ask_at]
    found += [q.deadline for q in replica.questions]
    if replica.state is State.VERSION_DOWNLOADING:
        found.append(replica.started_at + s.lifetime_seconds)
    if replica.download is not None:
        found += replica.download.deadlines(s)
    return found
