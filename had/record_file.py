"""The node's record on disk: epoch, directive and the count of starts, as one small JSON document in two slots.

`daemoncore.durable.SlotStore` keeps it whole whatever happens at the write; this module only says what the bytes
mean. Unknown keys are ignored, so that an older version can read what a newer one wrote. A document that cannot be
understood is refused with its path: guessing an epoch could elect two leaders with one number.
"""

from __future__ import annotations

import json
from typing import Any

import attrs

from had.events import Directive, Hold, Pause, Record

SCHEMA = 1


class RecordError(Exception):
    """The record on disk makes no sense; the text says why."""


@attrs.frozen
class Stored:
    """What the disk holds."""

    record: Record = attrs.field(factory=Record)
    #: How often a daemon has started here; orders its messages for others.
    instance: int = 0


def encode(stored: Stored) -> bytes:
    """Make the document."""
    document = {"schema": SCHEMA, "instance": stored.instance, **attrs.asdict(stored.record)}
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
                hold=Hold(**directive["hold"]) if directive.get("hold") else None,
            ),
        )
        return Stored(record, _whole(document["instance"]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RecordError(f"not a record of had: {error!r}") from error


def _whole(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"a whole number is wanted (got {value!r})")
    return value


def _pause(document: dict[str, Any] | None, wall_clock: float) -> Pause | None:
    if not document:
        return None
    pause = Pause(**document)
    left = None if pause.until is None else max(0.0, pause.until - wall_clock)
    return attrs.evolve(pause, seconds_left=left)
