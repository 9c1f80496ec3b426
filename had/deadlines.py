"""When the election machine has to be asked again though nothing happened: a pure reading of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from had.fitness import start_ends_at
from had.ledger import DISK_RETRY_SECONDS
from had.pool import CONDOR_TAKEOVER_INTERVALS, listening_seconds, listens_until, succession_seconds
from had.speech import condor_kind
from had.transitions import State

if TYPE_CHECKING:
    from had.election import Election

UNHEARD_SHARE = 1 / 5
"""A leader that nobody hears stops after this share of T: longer than a connection takes to come back after a heal."""


def deadlines(node: Election) -> list[float]:
    """Every time at which something may change by itself, infinity among them."""
    t, i = node.settings.timeout_seconds, node.settings.condor_interval_seconds
    found = [
        node.voice.next_beat,
        *(p.expires_at for p in node.peers.values()),
        *(r.expires_at for r in node.leaders.values()),
    ]
    if condor_kind(node) is not None:
        found.append(node.voice.next_condor_beat)
    if node.state is State.PRE:
        found.append(node.started_at + listening_seconds(node.peers, node.settings))
    if node.state in {State.PASSIVE, State.ELECTION}:
        found += [
            node.not_before,
            node.awaits_successor_until,
            node.awaits_until,
            node.candidacy_since + t / 4,
            listens_until(node.peers, node.started_at, node.settings),
            *(p.heard_at + CONDOR_TAKEOVER_INTERVALS * i for p in node.peers.values()),
        ]
        wait = succession_seconds(node.settings)
        found += [p.heard_at + wait for p in node.peers.values() if p.names_successor]
    if node.state is State.LEADER:
        found += [node.fitness.restart_at, start_ends_at(node.run_since, node.settings)]
        found.append(node.fitness.yields_from)
        if node.unheard_since is not None:
            found.append(node.unheard_since + t * UNHEARD_SHARE)
    if node.settings.require_majority:
        found += node.votes.deadlines(node)
    if node.fitness.abstains_since is not None:
        found.append(node.fitness.abstains_until)
    found.append(node.ledger.patience_ends_at(t))
    if node.ledger.failed_at is not None:
        found.append(node.ledger.failed_at + DISK_RETRY_SECONDS)
    if node.ledger.wanted.directive.pause is not None:
        found.append(node.pause_ends_at)
    return [*found, math.inf]
