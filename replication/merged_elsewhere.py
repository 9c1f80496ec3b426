"""Which conflicts others merged into the state, remembered on disk.

Whoever merged a conflict notes it with its own copy. Everybody else only hears of it, and must not forget: if all who
know were to restart before the conflict's owner comes back, it would be merged again and what it charged be charged twice.

What is remembered is a fact for ever, *this version holds that conflict*, so facts are only added, the oldest go when
there are too many, and of a conflict that was merged twice, into two histories, the later one counts. A damaged file is as
good as none: it is heard again from whoever still knows. What a full disk did not take is known in memory, and written with
the next fact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from daemoncore.durable import DurableError
from replication.disk import Disk, Kind
from replication.revisions import CLAIMS_LIMIT
from replication.version import Point, VersionError, point_untrusted

_LIMIT_BYTES: Final = 1 << 20
_NAME_LIMIT_CHARACTERS: Final = 200


class MergedElsewhere:
    """The facts. Blocks on the disk; writing raises `DurableError` when it fails.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path, self._disk = path, disk
        self._points: dict[str, Point] = {}
        self._is_written = True

    @property
    def points(self) -> Mapping[str, Point]:
        """Conflicts by their identifiers, each with a version that holds it; the last learned last."""
        return self._points

    def recall(self) -> None:
        """Read what was remembered."""
        facts = self._disk.facts(self._path)
        if facts is None or facts.kind is not Kind.FILE:
            return
        try:
            self._points = _decode_untrusted(self._disk.read(self._path, _LIMIT_BYTES))
        except (DurableError, VersionError, ValueError, RecursionError):
            self._points = {}

    def add(self, merged: Mapping[str, Point]) -> None:
        """Remember these too; durable on return."""
        if self._is_written and merged.items() <= self._points.items():
            return
        for one, point in merged.items():
            self._points.pop(one, None)
            self._points[one] = point
        self._points = dict(list(self._points.items())[-CLAIMS_LIMIT:])
        self._is_written = False
        document = {one: [point.gid, point.clock] for one, point in self._points.items()}
        self._disk.replace(self._path, json.dumps(document).encode(), mode=0o600, owner=None)
        self._is_written = True


def _decode_untrusted(data: bytes) -> dict[str, Point]:
    """Read what was written; whatever else stands there raises VersionError or ValueError."""
    document = json.loads(data)
    if not isinstance(document, dict):
        raise VersionError("a JSON object is expected")
    known = {
        one: point_untrusted(pair) for one, pair in document.items() if len(one) <= _NAME_LIMIT_CHARACTERS
    }
    return dict(list(known.items())[-CLAIMS_LIMIT:])
