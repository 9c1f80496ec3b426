"""What a replica says of itself to the others of ours: a pure reading of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replication.events import Report, State

if TYPE_CHECKING:
    from replication.replica import Replica


def compose(replica: Replica) -> Report:
    """Make the report of this moment, without its numbers and the size of the state: two are equal if nothing is news.

    A leader says so only when its leadership has a version of its own, and until its end: what it reports then is the
    leader's word, which goes over what others hold.
    """
    own = replica.ledger.own
    is_its_word = replica.is_leading and replica.ledger.is_leading and replica.ledger.claim is None
    state = State.BACKUP if replica.state is State.LEADER and not is_its_word else replica.state
    conflicts, merged = replica.revisions.reported
    return Report(
        replica.settings.me,
        state,
        replica.version,
        "" if own is None else own.fingerprint,
        validity_seconds=replica.settings.timeout_seconds,
        conflicts=conflicts,
        merged=merged,
    )
