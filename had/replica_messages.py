"""What had and its node's own replica say to each other, as ads and back (`docs/reference/wire.md`, REPLICATION_ATTEND).

A real condor_replication is told the same in three commands of HTCondor's, 704, 706 and 705, each with had's sinful
string (HADStateMachine.cpp, `sendReplicationCommand`); it never answers, and what only ours understands is not sent.
"""

from __future__ import annotations

import re
from typing import Final, assert_never

from daemoncore.cedar.classad import ClassAd, ValueLike
from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.handshake import MARKER, OUR_PROTOCOL
from had.replica_words import (
    Currency,
    CurrentAsked,
    FlushAsked,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
    ReplicaAnswer,
    ToReplica,
    Withdrawn,
)

MAXIMUM_COUNT: Final = 2**53
"""No number of a question and no gid comes near."""

MAXIMUM_SECONDS: Final = 1e6
"""No state is good for eleven days."""

MAXIMUM_BEHIND: Final = 256
"""No pool has more members (`had.messages.MAXIMUM_MEMBERS`)."""

MAXIMUM_TEXT: Final = 1024
"""Characters of a sentence that are logged."""

_ADDRESS: Final = re.compile(r"[0-9A-Za-z.:\[\]-]{1,100}")


def encode(message: ToReplica) -> ClassAd:
    """Make the ad of a word to our own replication daemon."""
    return ClassAd([(MARKER, OUR_PROTOCOL), *_items(message)])


def _items(message: ToReplica) -> list[tuple[str, ValueLike]]:
    match message:
        case LeadershipBegan(epoch):
            return [("What", "began"), ("Epoch", epoch)]
        case LeadershipConfirmed(epoch):
            return [("What", "confirmed"), ("Epoch", epoch)]
        case LeadershipEnded():
            return [("What", "ended"), ("IsStopped", True)]
        case CurrentAsked(request, epoch, is_missing_refused):
            incumbent: list[tuple[str, ValueLike]] = [] if epoch is None else [("IncumbentEpoch", epoch)]
            return [
                ("What", "current"),
                ("Request", request),
                ("IsMissingRefused", is_missing_refused),
                *incumbent,
            ]
        case FlushAsked(request, seconds, successor):
            to: list[tuple[str, ValueLike]] = [] if successor is None else [("Successor", successor)]
            return [("What", "flush"), ("Request", request), ("TimeoutSeconds", float(seconds)), *to]
        case Withdrawn(request):
            return [("What", "withdrawn"), ("Request", request)]
        case _:
            assert_never(message)


def condor_command(message: ToReplica) -> Command | None:
    """Which of HTCondor's commands says this to a real condor_replication; None if none does."""
    match message:
        case LeadershipBegan():
            return Command.HAD_AFTER_ELECTION_STATE
        case LeadershipConfirmed():
            return Command.HAD_IN_LEADER_STATE
        case LeadershipEnded():
            return Command.HAD_AFTER_LEADER_STATE
        case _:
            return None


def decode_answer_untrusted(ad: ClassAd) -> ReplicaAnswer:
    """Read the ad with which our own replication daemon answers.

    Raises:
        WireError: the ad is no answer; nothing else is raised, whatever it holds.
    """
    try:
        currency = Currency(ad.get_string("Currency", ""))
    except ValueError:
        raise ProtocolError(f"no state is {ad.get_string('Currency')!r:.40}") from None
    behind = tuple(ad.get_string("Behind", "").split())
    if len(behind) > MAXIMUM_BEHIND or not all(map(_ADDRESS.fullmatch, behind)):
        raise ProtocolError(f"Behind holds at most {MAXIMUM_BEHIND} addresses (got {len(behind)} words)")
    return ReplicaAnswer(
        request=_count(ad, "Request"),
        currency=currency,
        good_for_seconds=_seconds(ad, "GoodForSeconds"),
        is_missing_everywhere=ad.get_bool("IsMissingEverywhere", default=False),
        known_gid=_count(ad, "KnownGid"),
        is_complete=ad.get_bool("IsComplete", default=False),
        behind=behind,
        text=ad.get_string("Text", "")[:MAXIMUM_TEXT],
    )


def _count(ad: ClassAd, name: str) -> int:
    number = ad.get_int(name, 0)
    if not 0 <= number < MAXIMUM_COUNT:
        raise ProtocolError(f"{name} must be between 0 and 2^53 (got {number})")
    return number


def _seconds(ad: ClassAd, name: str) -> float:
    seconds = ad.get_float(name, 0.0)
    if not 0 <= seconds <= MAXIMUM_SECONDS:
        raise ProtocolError(f"{name} must be between 0 and {MAXIMUM_SECONDS:g} seconds (got {seconds})")
    return seconds
