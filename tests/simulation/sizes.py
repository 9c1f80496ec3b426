"""How much a machine holds: the length of every container that can be reached from it, by the way that leads there.

What grows without bound in a life of years shows as a length that is larger after a day than after an hour, whoever
added the container, and whatever it is for. Only objects of the daemons' own packages are looked into.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from enum import Enum
from typing import Any

import attrs

from daemoncore.event_log import EventLog
from daemoncore.families import Families
from replication.version import Point

OURS = ("daemoncore.", "had.", "replication.", "transferer.")

#: Tables of what there can be, which the daemons make at their start, and values that hold no containers.
LEFT_OUT = (EventLog, Families, Enum, Point)

CONTAINERS = (dict, list, tuple, set, frozenset, deque, bytes, bytearray)


def sizes(root: Any, name: str) -> Counter[str]:
    """Return the lengths by their ways, such as `replica.peers{}.report.version.lineage`; what shares a way is added up."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    waiting = [(name, root)]
    while waiting:
        way, one = waiting.pop()
        if isinstance(one, str | int | float | None) or id(one) in seen:
            continue
        if isinstance(one, CONTAINERS):
            seen.add(id(one))
            found[way] += len(one)
            waiting += _items(way, one)
        elif type(one).__module__.startswith(OURS) and not isinstance(one, (type, *LEFT_OUT)):
            seen.add(id(one))
            waiting += _parts(way, one)
    return found


def _items(way: str, container: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(container, dict):
        return ((f"{way}{{}}", value) for value in container.values())
    if isinstance(container, bytes | bytearray):
        return iter(())
    return ((f"{way}[]", value) for value in container)


def _parts(way: str, one: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object, with slots or without."""
    names = dict.fromkeys(vars(one) if hasattr(one, "__dict__") else ())
    if attrs.has(type(one)):
        names |= dict.fromkeys(field.name for field in attrs.fields(type(one)))
    return ((f"{way}.{name}", getattr(one, name)) for name in names if hasattr(one, name))
