"""Replicated pools for the tests of hadctl: what the replication daemons say, made by their own code, read by hadctl's."""

import attrs

from had.ctl import documents
from had.ctl.pool import Answer
from had.ctl.replica_status import ReplicaStatus
from had.ctl.replicas import Replicas
from replication import conflicts
from replication.archive import Copy
from replication.manifest import FileRecord
from replication.status import Change, File, Point, Replica, Status, Version
from replication.version import Version as Lineage
from tests.had.ctl import pools

RA, RB, RC = "10.0.0.1:51451", "10.0.0.2:51451", "10.0.0.3:51451"
NOW = pools.NOW
ENTRIES = (RA, RB, RC)
HELD = Version(513, 8, 1_250_000, "aa" * 32, NOW - 3, ((385, 3), (257, 14)), rooted=True)
OLDER = attrs.evolve(HELD, clock=7, sha256="bb" * 32, bytes=1_240_000)


def seen(address, **changes):
    """A replica that is in sync, as another one knows it."""
    made = Replica(address, Point(HELD.gid, HELD.clock), 0.0, "alive", "ours", in_sync=True)
    return attrs.evolve(made, **changes)


def replica(entry, leader=RA, everyone=ENTRIES, **changes):
    """What a replication daemon says when all is well."""
    is_leader = entry == leader
    made = Status(
        node=entry,
        state="leader" if is_leader else "backup",
        leader=leader,
        epoch=513 if is_leader else None,
        version=HELD,
        replicas=tuple(seen(other) for other in everyone if other != entry),
        files=(File("0", "/var/spool/Accountantnew.log", HELD.bytes),),
        history=(Change(NOW - 100, "version_requesting", "backup", "all have answered"),),
        program="0.1.0",
        time=NOW,
        configuration="00112233aabb",
    )
    return attrs.evolve(made, **changes)


def conflict(gid=385, clock=5, *, suffix="1a2b3c4d", lineage=(), **notes):
    """The document of a kept state; `notes` are what its owner remembers."""
    version = Lineage(gid, clock, lineage, is_rooted=True)
    record = FileRecord("0", 1000, "cc" * 32)
    known = {"reason": "the leader holds another state", "kept_at": NOW - 50} | notes
    return conflicts.document(Copy(f"{gid}.{clock}-{suffix}", version, (record,), known))


def behind(entry, lag_seconds=12.0):
    """What the leader says while another replica is behind."""
    others = [
        seen(other, version=Point(513, 7), lag_seconds=lag_seconds, in_sync=False)
        if other == entry
        else seen(other)
        for other in ENTRIES[1:]
    ]
    return replica(RA, replicas=tuple(others))


def answer(made, entry=None):
    """The answer that carries a status, as it arrives here."""
    document = documents.parse(made.to_text())
    status = documents.value_from(ReplicaStatus, document)
    return Answer(entry or made.node, document, status, received_at=NOW)


def replicas(*answers, entries=ENTRIES):
    """The replicas of statuses and failed answers."""
    made = [one if isinstance(one, Answer) else answer(one) for one in answers]
    return Replicas(entries, {one.entry: one for one in made})


def healthy():
    """Three replicas, the first leads."""
    return replicas(replica(RA), replica(RB), replica(RC))


def pool(made=None):
    """A healthy pool with these replicas, or with healthy ones."""
    return attrs.evolve(pools.healthy(), replicas=healthy() if made is None else made)
