"""What kept conflicts hold of one another, and what of them a state holds already: pure readings of their notes.

What one conflict holds of another may be charged once only. It holds it in one of two ways:

- It *grew out of* it, as a leader's last state did out of what a follower had of it.
- The other was *merged into* it while it was the state of a leader, which then lost. Whoever keeps such a state notes
  the names of all conflicts that it holds (`HOLDS`), since afterwards nobody could tell; they go with each copy of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from replication.archive import Copy
from replication.version import Point, Version, VersionError, parse_text_untrusted

IS_VERSION: Final = "is_version"
MERGED_INTO: Final = "merged_into"
HOLDS: Final = "holds"

HOLDS_LIMIT: Final = 1024
"""Names that one copy may bring from another node; each is some forty characters."""


def grew_out_of(one: Copy, other: Copy) -> bool:
    """Whether one conflict grew out of another, and neither was changed by other hands."""
    are_versions = one.notes.get(IS_VERSION) and other.notes.get(IS_VERSION)
    is_later = one.version.point != other.version.point and one.version.has(other.version.point)
    return bool(are_versions) and is_later


def covers(one: Copy, other: Copy) -> bool:
    """Whether one conflict holds all that another holds."""
    return grew_out_of(one, other) or other.identifier in holds(one)


def holds(copy: Copy) -> tuple[str, ...]:
    """Name the conflicts that were merged into a state before it was kept."""
    return tuple(copy.notes.get(HOLDS) or ())


def merged_point(copy: Copy) -> Point | None:
    """Name the version into which a conflict was merged, None if it was not."""
    text = copy.notes.get(MERGED_INTO)
    return point_of(text) if text else None


def is_in(copy: Copy, version: Version) -> bool:
    """Whether a conflict was merged into what a version holds."""
    point = merged_point(copy)
    return point is not None and version.has(point)


def merged_in(copies: Iterable[Copy], version: Version) -> dict[str, Point]:
    """Name all conflicts that a version holds, by themselves or within another, with the version that took them in."""
    found: dict[str, Point] = {}
    for copy in copies:
        point = merged_point(copy)
        if point is not None and version.has(point):
            for identifier in (copy.identifier, *holds(copy)):
                found[identifier] = min(point, found.get(identifier, point))
    return found


def notes_untrusted(document: Any) -> dict[str, Any]:
    """Read what another node says of a copy that it sends; what makes no sense is as if it were not said."""
    notes: dict[str, Any] = {IS_VERSION: document.get(IS_VERSION) is True}
    names, text = document.get(HOLDS), document.get(MERGED_INTO)
    if isinstance(names, list) and names:
        notes[HOLDS] = [str(name)[:100] for name in names[:HOLDS_LIMIT]]
    if isinstance(text, str) and point_of(text).gid >= 0:
        notes[MERGED_INTO] = text
    return notes


def told_notes(copy: Copy) -> dict[str, Any]:
    """Say of a copy what another node needs to know of it; the other end of `notes_untrusted`."""
    told = {key: copy.notes[key] for key in (HOLDS, MERGED_INTO) if copy.notes.get(key)}
    return {IS_VERSION: copy.notes.get(IS_VERSION) is True, **told}


def point_of(text: Any) -> Point:
    """Read what `str` made of a point; nonsense is a version that never was."""
    try:
        return parse_text_untrusted(str(text).replace(".", "\n").encode())
    except (VersionError, UnicodeEncodeError):
        return Point(-1, 0)
