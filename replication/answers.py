"""What the replica machine answers to had, as pure readings of the machine.

HAD_STATE says `current`, `stale` or `missing` (hard cases 18 and 19), and a flush says who lacks what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replication import revisions
from replication.effects import Answer, Currency
from replication.events import CurrentAsked, FlushAsked, State
from replication.peers import is_newer_known

if TYPE_CHECKING:
    from replication.replica import Replica


@attrs.frozen
class Question:
    """Something that had asked and that is not answered yet."""

    asked: CurrentAsked | FlushAsked
    deadline: float

    @property
    def is_of_a_stop(self) -> bool:
        """Whether had's controllee is gone while this is open, if this node leads."""
        return isinstance(self.asked, FlushAsked) or self.asked.incumbent_epoch is None


def answer_to(replica: Replica, asked: CurrentAsked | FlushAsked, *, is_late: bool) -> Answer | None:
    """Answer a question; None while the answer may still get better."""
    if isinstance(asked, FlushAsked):
        return flush(replica, asked, is_late=is_late)
    return current(replica, asked, is_late=is_late)


def current(replica: Replica, asked: CurrentAsked, *, is_late: bool) -> Answer | None:
    """Say how good the state here is; None while that may still get better.

    Args:
        replica: the machine.
        asked: the question.
        is_late: its time is up.
    """
    # A leader's state is current; but what is scheduled for a stop of its controllee is done before the next start.
    is_good = replica.is_leading and not revisions.is_due(replica)
    is_moving = replica.is_installing or replica.ledger.revising is not None
    if is_moving or not (is_good or is_late or _is_up_to_date(replica, asked)):
        return None
    own, others = replica.ledger.own, replica.peers.values()
    is_beaten = is_newer_known(own, others) or replica.wanted() is not None
    is_good_enough = replica.is_leading or _is_a_step_behind(replica, asked)
    is_stale = replica.ledger.is_altered or (is_beaten and not is_good_enough)
    currency = Currency.STALE if is_stale else Currency.CURRENT
    return Answer(
        asked.request,
        Currency.MISSING if own is None else currency,
        replica.version,
        good_for_seconds=replica.settings.timeout_seconds if asked.incumbent_epoch is None else 0.0,
        is_missing_everywhere=own is None and _is_missing_everywhere(replica),
        known_gid=max(replica.known_gids(), default=0),
    )


def _is_up_to_date(replica: Replica, asked: CurrentAsked) -> bool:
    """Whether nothing better can be had, and nothing is left to find out."""
    is_written = not replica.ledger.is_busy and replica.is_resting
    if replica.state is not State.BACKUP or not is_written or not replica.has_listened:
        return False
    own, epoch = replica.ledger.own, asked.incumbent_epoch
    if replica.wanted() is not None:
        return _is_a_step_behind(replica, asked)
    if asked.is_missing_refused and own is None:
        return _is_missing_everywhere(replica)
    if not epoch:
        return True
    # The incumbent's own history, or one that is later; until it is heard of there is something to wait for.
    return own is not None and any(point.gid >= epoch for point in own.version.history)


def _is_a_step_behind(replica: Replica, asked: CurrentAsked) -> bool:
    """Whether only the incumbent's last words are lacking, and they keep coming.

    While its controllee writes its followers are always a step behind, and the flush brings the last. Who cannot take
    what it is sent is no successor: its handover would be called off, with the controllee stopped for nothing.
    """
    own, wanted = replica.ledger.standing, replica.wanted()
    if own is None or wanted is None or not asked.incumbent_epoch:
        return False
    is_coming = replica.peers[wanted.holders[0]].failures == 0
    return wanted.is_leaders and own.version.gid == wanted.version.gid and is_coming


def _is_missing_everywhere(replica: Replica) -> bool:
    return all(p.is_alive(replica.now) and p.version is None for p in replica.peers.values())


def flush(replica: Replica, asked: FlushAsked, *, is_late: bool) -> Answer | None:
    """Say that the last version is where it has to be, or who lacks it; None while that may still get better."""
    own, behind = replica.ledger.own, replica.behind()
    # Who has just started has heard nobody yet, and knows of nobody who lacks anything.
    has_listened = asked.successor is not None or replica.has_listened
    if asked.successor is not None:
        peer = replica.peers.get(asked.successor)
        # A real condor_replication never says what it holds. Who is no member of REPLICATION_LIST here gets nothing.
        is_silent = peer is not None and peer.is_ours is False
        is_behind = own is not None and not is_silent and (peer is None or not peer.holds(own))
        behind = (asked.successor,) if is_behind else ()
    is_complete = replica.ledger.is_written and replica.is_resting and has_listened and not behind
    if not (is_complete or is_late):
        return None
    return Answer(
        asked.request,
        Currency.MISSING if own is None else Currency.CURRENT,
        replica.version,
        known_gid=max(replica.known_gids(), default=0),
        behind=behind,
        is_complete=is_complete,
        text="" if is_complete else "the last version is not where it has to be",
    )
