"""The safety invariants of the replicas, checked whenever anything becomes durable or a controllee starts.

The numbers in the messages are those of this list:

1. Nothing is lost: whatever replaces a state holds every record of it, unless the state was kept as a conflict first.
2. Nothing is installed while a controllee is there.
3. A version has the same bytes everywhere, and a node holds what it reports.
4. A controllee that is told `current` starts on nothing older than what a reachable replica holds.
5. No conflict is kept for nothing: the new state lacks something of it, or has it by a merge, of which lineages say
   nothing.
6. What a stopped controllee wrote is there when the one to which it was handed over starts; or it was kept as a
   conflict, because there was another leader and its word went over it.
7. A merge is made on a leader whose controllee is gone, and loses no record nor has one twice.
8. A conflict counts as merged only where its records are in the state of its owner (`tests.simulation.archivist`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replication import effects, events
from replication.effects import Currency
from replication.events import State
from replication.manifest import FileRecord, Held
from replication.version import Version
from tests.simulation.network import PROCESS_UP
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from tests.simulation.replicas import Content, ReplicaNode


@attrs.define(slots=True)
class TransferWeather:
    """How transfers fare at present: seconds, and the shares that fail or never end."""

    seconds: tuple[float, float] = (0.002, 0.05)
    failure: float = 0.0
    endless: float = 0.0


class Keeper:
    """Knows every state that ever was, by its description, and what every version ever was."""

    def __init__(self, world: World):
        self.world = world
        self.contents: dict[tuple[FileRecord, ...], Content] = {(): ()}
        self.versions: dict[tuple[int, int], tuple[FileRecord, ...]] = {}
        self.transfers = TransferWeather()
        self.replicas: list[ReplicaNode] = []
        #: Somebody edits state files, so that lineages end where a leader starts on an edited one.
        self.has_intruders = False
        self.conflicts = 0
        self.installations = self.revisions = 0
        #: When each replica reported that it leads, and what it then held.
        self._led: dict[str, tuple[float, Content]] = {}
        #: Records that came into some state by a merge.
        self._merged: set[tuple[int, int]] = set()
        #: What each replica held before its last installation.
        self._replaced: dict[str, Held | None] = {}

    def noted(self, node: ReplicaNode, version: Version, files: tuple[FileRecord, ...]) -> None:
        """Check 3 for what a node is about to hold."""
        known = self.versions.setdefault((version.gid, version.clock), files)
        if known != files:
            raise Violation(f"{node.label}: 3: {version.point} is {files}, elsewhere it is {known}")

    def installs(self, node: ReplicaNode, effect: effects.Install) -> None:
        """Check 1, 3 and 5 for an installation."""
        self.installations += 1
        held, disk = effect.held, node.disk
        self._replaced[node.name] = disk.held
        self.noted(node, held.version, held.files)
        old, new = set(disk.content or ()), set(self.contents[held.files])
        if not old <= new and disk.content not in disk.archive.conflicts:
            lost = sorted(old - new)
            raise Violation(f"{node.label}: 1: {held.version.point} loses {lost[:5]} of {disk.held}")
        is_known = not (self.has_intruders or old & self._merged)
        if effect.is_conflict and old <= new and is_known:
            raise Violation(f"{node.label}: 5: {held.version.point} has all that is kept of {disk.held}")

    def revises(self, node: ReplicaNode, effect: effects.Revise, old: Content, new: Content) -> None:
        """Check 7 for what a node is about to write."""
        self.revisions += 1
        self._merged |= set(new) - set(old)
        machine = node.machine
        if node.has_controllee or machine is None or not machine.ledger.is_leading:
            raise Violation(f"{node.label}: 7: a merge where a controllee is, or nobody leads")
        if not set(old) <= set(new) or len(set(new)) < len(new):
            raise Violation(f"{node.label}: 7: {effect.version.point} is {new}, and was {old}")
        self.world.tell(node.label, f"{len(new) - len(old)} records are merged as {effect.version.point}")

    def reported(self, node: ReplicaNode, report: events.Report) -> None:
        """Check 3: what is said is on disk; or was, until a replacement of which the machine was not told yet."""
        held = node.disk.held
        if report.state is State.LEADER and held is not None:
            self._led[node.name] = (self.world.now, self.contents[held.files])
        is_untold = node.machine is not None and node.machine.is_installing
        there = [h for h in (held, self._replaced.get(node.name) if is_untold else None) if h is not None]
        if report.version is not None and not any(h.version.has(report.version.point) for h in there):
            raise Violation(f"{node.label}: 3: reports {report.version.point}, on disk is {held}")

    def starts(self, node: ReplicaNode, currency: Currency, reachable: list[ReplicaNode]) -> None:
        """Check 4: nobody who is heard has more, unless that was said."""
        machine = node.machine
        if currency is not Currency.CURRENT or machine is None:
            return
        mine = set(node.disk.content or ())
        for other in reachable:
            # One that has just started is not connected yet.
            is_new = self.world.now < other.started_at + other.timeout_seconds
            # Nor was one heard yet that has just written something down.
            is_untold = self.world.now < other.held_since + 0.05 + 4 * node.network.weather.latency[1]
            if other is node or other.process != PROCESS_UP or is_new or is_untold:
                continue
            held = other.disk.held
            if held is not None and set(self.contents[held.files]) > mine:
                raise Violation(
                    f"{node.label}: 4: starts as current, but {other.label} holds {held.version.point}"
                )

    def handed_over(self, node: ReplicaNode, flushed: Content, flushed_at: float) -> None:
        """Check 6."""
        lost = set(flushed) - set(node.disk.content or ())
        # What was reported a moment before may arrive after.
        since = flushed_at - node.timeout_seconds
        is_overruled = any(at >= since and not lost <= set(content) for at, content in self._led.values())
        is_kept = any(lost <= set(c) for r in self.replicas for c in r.disk.archive.conflicts)
        if lost and not (is_overruled and is_kept):
            raise Violation(f"{node.label}: 6: {sorted(lost)[:5]} were flushed and are not here")
