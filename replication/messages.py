"""What replication daemons tell each other and hear from had, as HTCondor's messages and as ads of ours, and back.

Towards a real condor_replication these are the six values of its Version class (HAD_Version.cpp; transcripts in
tests/vectors, 08-replication): sender, gid, clock, sender again, 0 and the state's number, all of them strings and
integers. Between two of ours it is an ad on a stream (REPLICATION_REPORT), which also says where a version came from.
had speaks to the daemon beside it in ads too (REPLICATION_ATTEND). `docs/reference/wire.md` lists the attributes;
unknown ones are ignored, so that our own versions can be mixed.
"""

from __future__ import annotations

import functools
import json
from typing import Final, TypeVar

from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd, ValueLike
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.handshake import MARKER, OUR_PROTOCOL
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from replication.effects import Answer
from replication.events import (
    IDENTIFIERS_LIMIT,
    CondorCommand,
    CondorSaid,
    CurrentAsked,
    FlushAsked,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
    Report,
    State,
    Withdrawn,
)
from replication.replica_settings import Member
from replication.version import INTEGER_LIMIT, Point, Version, VersionError

MAXIMUM_COUNT: Final = 2**53
"""No counter or size of ours comes near."""

MAXIMUM_SECONDS: Final = 1e6
"""No duration that anybody speaks of here is longer than eleven days."""

REMEMBERED: Final = 64
"""So many of the latest versions and addresses are remembered as texts: one for each of fifty replicas."""

_STATES: Final = {state.value: state for state in State}
_T = TypeVar("_T")

Attended = LeadershipBegan | LeadershipConfirmed | LeadershipEnded | CurrentAsked | FlushAsked | Withdrawn
"""What had says."""


# --- between replicas of ours -----------------------------------------------------------------------------------


def encode_report(report: Report) -> ClassAd:
    """Make the ad of a report."""
    items: list[tuple[str, ValueLike]] = [
        ("MyType", "Replication"),
        (MARKER, OUR_PROTOCOL),
        ("ReplicationSender", report.sender),
        ("ReplicationState", report.state.value),
        ("ReplicationInstance", report.instance),
        ("ReplicationSequence", report.sequence),
        ("ReplicationValidity", float(report.validity_seconds)),
        ("ReplicationBytes", report.total_bytes),
        ("ReplicationFingerprint", report.fingerprint),
        ("ReplicationConflicts", " ".join(report.conflicts[-IDENTIFIERS_LIMIT:])),
        ("ReplicationMerged", " ".join(report.merged[-IDENTIFIERS_LIMIT:])),
    ]
    if report.version is not None:
        items.append(("ReplicationVersion", _version_text(report.version)))
    return ClassAd(items)


def decode_report_untrusted(ad: ClassAd) -> Report:
    """Read a peer's report.

    Raises:
        WireError: the ad is none; nothing else is raised, whatever it holds.
    """
    if ad.get_int(MARKER) is None:
        raise ProtocolError(f"a report carries {MARKER}")
    state = _STATES.get(_required(ad.get_string("ReplicationState"), "ReplicationState"))
    if state is None:
        raise ProtocolError(f"ReplicationState {ad.get_string('ReplicationState')!r:.40} is none")
    text = ad.get_string("ReplicationVersion")
    return Report(
        sender=member_untrusted(_required(ad.get_string("ReplicationSender"), "ReplicationSender")),
        state=state,
        version=None if text is None else version_untrusted(text),
        fingerprint=_word(ad.get_string("ReplicationFingerprint", "")),
        instance=_count(ad, "ReplicationInstance"),
        sequence=_count(ad, "ReplicationSequence"),
        validity_seconds=_seconds(ad, "ReplicationValidity"),
        total_bytes=_count(ad, "ReplicationBytes"),
        conflicts=_identifiers(ad.get_string("ReplicationConflicts", "")),
        merged=_identifiers(ad.get_string("ReplicationMerged", "")),
    )


# Idle replicas say the same again and again, each to all others; what is remembered need not be worked out anew. It is
# this node's own version, and each has a lineage: those before it are not worth their memory.
@functools.lru_cache(maxsize=2)
def _version_text(version: Version) -> str:
    return json.dumps(version.to_document(), separators=(",", ":"))


def version_untrusted(text: str) -> Version:
    """Read a version with its lineage, a JSON document.

    Raises:
        WireError: it is none.
    """
    try:
        return Version.from_document_untrusted(json.loads(text))
    except (ValueError, RecursionError, VersionError) as error:
        raise ProtocolError(f"a version is a JSON document with its lineage: {error}") from error


# --- with a real condor_replication -----------------------------------------------------------------------------


def write_condor(
    writer: MessageWriter, me: str, command: CondorCommand, point: Point, state: State
) -> MessageWriter:
    """Put HTCondor's payload of a command; `me` is our sinful string."""
    writer.put_string(me)
    if command is CondorCommand.SOLICIT_VERSION:
        return writer
    writer.put_int(point.gid).put_int(point.clock).put_string(me)
    # HTCondor has a place for "is the primary", and never sets it.
    return writer.put_int(0).put_int(state.number)


def read_condor_untrusted(reader: MessageReader, command: CondorCommand) -> CondorSaid:
    """Read HTCondor's payload of a command, to its end.

    Raises:
        WireError: it is none.
    """
    sender = sender_untrusted(reader)
    if command is CondorCommand.SOLICIT_VERSION:
        reader.end()
        return CondorSaid(sender, command)
    gid, clock = reader.get_int(), reader.get_int()
    reader.get_string()
    reader.get_int()
    state = reader.get_int()
    reader.end()
    if not (0 <= gid <= INTEGER_LIMIT and 0 <= clock <= INTEGER_LIMIT):
        raise ProtocolError(f"gid and clock are between 0 and {INTEGER_LIMIT} (got {gid} and {clock})")
    return CondorSaid(sender, command, Point(gid, clock), state)


def sender_untrusted(reader: MessageReader) -> Member:
    """Read the sinful string with which every message of HTCondor's replication begins.

    Raises:
        WireError: it is none.
    """
    return member_untrusted(reader.get_text())


# --- with had ---------------------------------------------------------------------------------------------------


def decode_attended_untrusted(ad: ClassAd) -> Attended:
    """Read what had says.

    Raises:
        WireError: it is nothing that had would say.
    """
    what = ad.get_string("What", "")
    match what:
        case "began":
            return LeadershipBegan(_count(ad, "Epoch", INTEGER_LIMIT))
        case "confirmed":
            return LeadershipConfirmed(_count(ad, "Epoch", INTEGER_LIMIT))
        case "ended":
            return LeadershipEnded(ad.get_bool("IsStopped", default=False))
        case "current":
            incumbent = (
                None if ad.get_int("IncumbentEpoch") is None else _count(ad, "IncumbentEpoch", INTEGER_LIMIT)
            )
            is_missing_refused = ad.get_bool("IsMissingRefused", default=False)
            return CurrentAsked(_count(ad, "Request"), incumbent, is_missing_refused)
        case "flush":
            successor = ad.get_string("Successor")
            return FlushAsked(
                _count(ad, "Request"),
                _seconds(ad, "TimeoutSeconds"),
                None if successor is None else member_untrusted(successor),
            )
        case "withdrawn":
            return Withdrawn(_count(ad, "Request"))
    raise ProtocolError(f"had says one of six things (got {what!r:.40})")


def encode_answer(answer: Answer) -> ClassAd:
    """Make the ad that answers had."""
    items: list[tuple[str, ValueLike]] = [
        (MARKER, OUR_PROTOCOL),
        ("Request", answer.request),
        ("Currency", answer.currency.value),
        ("GoodForSeconds", float(answer.good_for_seconds)),
        ("IsMissingEverywhere", answer.is_missing_everywhere),
        ("KnownGid", answer.known_gid),
        ("IsComplete", answer.is_complete),
        ("Behind", " ".join(answer.behind)),
        ("Text", answer.text),
    ]
    if answer.version is not None:
        items += [("Gid", answer.version.gid), ("Clock", answer.version.clock)]
    return ClassAd(items)


# --- small parts ------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=REMEMBERED)
def member_untrusted(text: str) -> Member:
    """Read a member's numeric address, whether it stands in `<>` with parameters or plainly.

    Raises:
        WireError: it is none.
    """
    try:
        address = Address.parse(text)
    except ValueError as error:
        raise ProtocolError(f"a replica names itself by its address: {error}") from error
    if not address.is_numeric:
        raise ProtocolError(f"a replica names itself by a numeric address (got {text!r:.80})")
    return str(Address(address.host, address.port))


def _required(value: _T | None, name: str) -> _T:
    if value is None:
        raise ProtocolError(f"{name} is missing")
    return value


def _count(ad: ClassAd, name: str, most: int = MAXIMUM_COUNT) -> int:
    number = _required(ad.get_int(name), name)
    if not 0 <= number <= most:
        raise ProtocolError(f"{name} is between 0 and {most} (got {number})")
    return number


def _seconds(ad: ClassAd, name: str) -> float:
    seconds = _required(ad.get_float(name), name)
    if not 0 <= seconds <= MAXIMUM_SECONDS:
        raise ProtocolError(f"{name} is between 0 and {MAXIMUM_SECONDS:g} seconds (got {seconds})")
    return seconds


def _word(text: str) -> str:
    if len(text) > 80 or not text.isascii():
        raise ProtocolError(f"a digest or an identifier is a short word (got {text!r:.100})")
    return text


def _identifiers(text: str) -> tuple[str, ...]:
    words = text.split()
    if len(words) > IDENTIFIERS_LIMIT:
        raise ProtocolError(
            f"a report names at most {IDENTIFIERS_LIMIT} conflicts of a kind (got {len(words)})"
        )
    return tuple(_word(word) for word in words)
