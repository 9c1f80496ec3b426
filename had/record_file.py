"""The node's record on disk: epoch, directive and the count of starts, as one small JSON document in two slots.

`daemoncore.durable.SlotStore` keeps it whole whatever happens at the write; this module only says what the bytes
mean. Unknown keys are ignored, so that an older version can read what a newer one wrote. A document that cannot be
understood is refused: guessing an epoch could elect two leaders with one number. What operators wrote is cut on
disk when it would not fit a slot, since a long reason must not keep an epoch from being written.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import attrs

from daemoncore.durable import PAYLOAD_LIMIT_BYTES
from had.ballots import Electorate, Vote
from had.events import Directive, Hold, Pause, Record

SCHEMA: Final = 1

_TEXT_LIMITS: Final = (1024, 256, 64, 16)
"""Characters kept of each operator's text, tried in turn; with the last, four texts fit a slot however they are escaped."""


class RecordError(Exception):
    """The record on disk makes no sense; the text says why."""


@attrs.frozen
class Stored:
    """What the disk holds."""

    record: Record = attrs.field(factory=Record)
    #: How often a daemon has started here; orders its messages for others.
    instance: int = 0


def encode(stored: Stored) -> bytes:
    """Make the document; it fits a slot of `daemoncore.durable`."""
    documents = (_document(stored, limit) for limit in _TEXT_LIMITS)
    return next(data for data in documents if len(data) <= PAYLOAD_LIMIT_BYTES)


def _document(stored: Stored, text_limit: int) -> bytes:
    document = {"schema": SCHEMA, "instance": stored.instance, **attrs.asdict(stored.record)}
    for name in ("pause", "hold"):
        operators = document["directive"][name]
        if operators is not None:
            operators["by"] = operators["by"][:text_limit]
            operators["reason"] = operators["reason"][:text_limit]
    return json.dumps(document, separators=(",", ":")).encode()


def decode(data: bytes, wall_clock: float) -> Stored:
    """Read the document.

    Args:
        data: the newest whole slot.
        wall_clock: Unix time, from which the rest of a pause is counted.

    Raises:
        RecordError: it is not what `encode` wrote.
    """
    try:
        document = json.loads(data)
        directive = document["directive"]
        record = Record(
            epoch=_whole(document["epoch"]),
            directive=Directive(
                version=(_whole(directive["version"][0]), _whole(directive["version"][1])),
                pause=_pause(directive.get("pause"), wall_clock),
                hold=_hold(directive.get("hold")),
            ),
            vote=_vote(document.get("vote")),
            electorate=_electorate(document.get("electorate")),
        )
        return Stored(record, _whole(document["instance"]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(f"not a record of had: {error!r}") from error


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"a whole number is wanted (got {value!r})")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted (got {value!r})")
    return value


def _seconds(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"a finite number of seconds is wanted (got {value!r})")
    return float(value)


def _pause(document: dict[str, Any] | None, wall_clock: float) -> Pause | None:
    if document is None:
        return None
    until = None if document["until"] is None else _seconds(document["until"])
    return Pause(
        by=_text(document["by"]),
        reason=_text(document["reason"]),
        since=_seconds(document["since"]),
        until=until,
        seconds_left=None if until is None else max(0.0, until - wall_clock),
    )


def _hold(document: dict[str, Any] | None) -> Hold | None:
    if document is None:
        return None
    return Hold(
        member=_text(document["member"]),
        by=_text(document["by"]),
        reason=_text(document["reason"]),
        since=_seconds(document["since"]),
    )


def _vote(document: dict[str, Any] | None) -> Vote | None:
    if document is None:
        return None
    return Vote(
        member=_text(document["member"]),
        instance=_whole(document["instance"]),
        sequence=_whole(document["sequence"]),
        epoch=_whole(document["epoch"]),
        seconds=_seconds(document["seconds"]),
    )


def _electorate(document: dict[str, Any] | None) -> Electorate:
    if document is None:
        return Electorate()
    epoch, count = document["number"]
    return Electorate((_whole(epoch), _whole(count)), tuple(_text(m) for m in document["members"]))
