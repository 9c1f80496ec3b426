"""Statuses of replication in several situations, for the tests of whatever shows them."""

import attrs

from replication.archive import Copy
from replication.conflicts import document
from replication.manifest import FileRecord
from replication.status import (
    Change,
    File,
    Pending,
    Point,
    Replica,
    Status,
    Transfer,
    Version,
)
from replication.version import Version as HeldVersion

ME, OTHER, THIRD = "127.0.0.1:41450", "127.0.0.2:41450", "127.0.0.3:41450"
STATE = "/var/lib/condor/spool/Accountantnew.log"

#: What the archive says of one kept copy.
CONFLICT = document(
    Copy(
        "385.17-0badcafe",
        HeldVersion(385, 17, (), is_rooted=True),
        (FileRecord("0", 65536, "a" * 64),),
        {"reason": "it diverged from what the leader holds", "kept_at": 1795324200.0},
    )
)
MERGED = {**CONFLICT, "id": "385.9-0badcafe", "merged_into": "513.2"}
EXPORTED = {**CONFLICT, "id": "385.4-0badcafe", "exported_to": "/root/old"}

_VERSION = Version(513, 17, 65536, "b" * 64, 1795324321.0, ((385, 12), (130, 4)), rooted=True)

LEADING = Status(
    node=ME,
    state="leader",
    leader=ME,
    epoch=513,
    version=_VERSION,
    replicas=(
        Replica(OTHER, Point(513, 17), 0.0, "alive", "ours", in_sync=True),
        Replica(THIRD, Point(385, 17), 12.5, "silent", "ours"),
    ),
    transfers=(Transfer("upload", OTHER, "moving", Point(513, 17), 4096, 65536, 20480.0, 3.0, 1795324300.0),),
    files=(File("0", STATE, 65536),),
    history=(
        Change(1795324310.0, "version_requesting", "backup", "nothing newer is held elsewhere"),
        Change(1795324320.0, "backup", "leader", "had leads"),
    ),
    program="0.1.0",
    time=1795324400.0,
    configuration="00c0ffee0123",
)
FOLLOWING = attrs.evolve(
    LEADING,
    node=OTHER,
    state="backup",
    epoch=None,
    replicas=(
        Replica(ME, Point(513, 17), 0.0, "alive", "ours", in_sync=True),
        Replica(THIRD, None, None, "alive", "condor"),
    ),
    transfers=(),
)
TROUBLED = attrs.evolve(
    FOLLOWING,
    conflicts=(MERGED, EXPORTED, CONFLICT),
    pending=(Pending(CONFLICT["id"], "restore"),),
    watching="inotify: no watches are left",
)
#: Just started, with nothing.
EMPTY = Status(node=OTHER, state="version_requesting", replicas=(Replica(ME),))
