"""The document behind /status of the replication daemon: one object, every key always there.

Its keys are a promise to scripts (docs/reference/http.md lists them, and a test compares): keys are added, never renamed
or left out; what is not known is null. Nothing here decides anything.

Times are Unix time in seconds. Members are named as REPLICATION_LIST spells them.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from daemoncore.documents import as_document

#: Grows when a key changes its meaning.
SCHEMA: Final = 1

#: Transitions remembered.
HISTORY_LIMIT: Final = 50

REPLICA_STATES: Final = ("alive", "silent", "gone", "unknown")
IMPLEMENTATIONS: Final = ("ours", "condor", "unknown")
TRANSFER_STATES: Final = ("starting", "moving", "waiting", "installing")
ACTS: Final = ("merge", "restore")


@attrs.frozen
class Point:
    """A version without its lineage: the leadership that published it, and its number there."""

    gid: int
    clock: int


@attrs.frozen
class Version:
    """What this node holds."""

    gid: int
    clock: int
    #: Of all files together.
    bytes: int
    #: Names the bytes of the whole state (`replication.manifest.fingerprint`); the same on every node.
    sha256: str
    #: When it became held here.
    changed: float | None
    #: The parent that this leadership began from, its parent, and so on: gid and clock of each.
    lineage: tuple[tuple[int, int], ...]
    #: The oldest leadership of all these began with nothing.
    rooted: bool


@attrs.frozen
class Replica:
    """What this node knows of another replica."""

    address: str
    #: What it reported last.
    version: Point | None = None
    #: The age of the oldest version that it lacks, 0 if it lacks none; None if nobody has led yet.
    lag_seconds: float | None = None
    #: One of `REPLICA_STATES`.
    state: str = "unknown"
    #: One of `IMPLEMENTATIONS`.
    implementation: str = "unknown"
    #: It reported the version of the leader.
    in_sync: bool = False


@attrs.frozen
class Transfer:
    """One transferer that runs."""

    #: `upload` or `download`.
    direction: str
    peer: str
    #: One of `TRANSFER_STATES`.
    state: str
    version: Point | None
    #: Moved of this version so far, and to be moved.
    bytes: int
    total_bytes: int
    bytes_per_second: float
    seconds_left: float | None
    #: When the transferer was started.
    since: float


@attrs.frozen
class File:
    """One file that the version covers."""

    #: In the version: its place in STATE_FILE, or its path inside the folder.
    name: str
    path: str
    bytes: int


@attrs.frozen
class Pending:
    """A conflict that is to be merged or restored at the next stop of the controllee, or could not be at the last."""

    id: str
    #: One of `ACTS`; None if it waits no more.
    act: str | None
    #: Why it could not be, if it is another node's; this node's own say it themselves.
    failure: str | None = None


@attrs.frozen
class Change:
    """One transition; `reason` is a sentence."""

    time: float
    source: str = attrs.field(metadata={"key": "from"})
    target: str = attrs.field(metadata={"key": "to"})
    reason: str


@attrs.frozen
class Status:
    """What one node says of its copy of the state, and of the others."""

    node: str
    #: A value of `replication.events.State`.
    state: str
    leader: str | None = None
    #: What had leads with, while it leads here.
    epoch: int | None = None
    version: Version | None = None
    replicas: tuple[Replica, ...] = ()
    #: What `replication.conflicts.document` gives for each, the oldest first.
    conflicts: tuple[Mapping[str, Any], ...] = ()
    transfers: tuple[Transfer, ...] = ()
    files: tuple[File, ...] = ()
    #: STATE_FILE is a folder.
    is_folder: bool = False
    #: Why inotify is not used, or the state cannot be read; None if all is well.
    watching: str | None = None
    pending: tuple[Pending, ...] = ()
    #: The newest last.
    history: tuple[Change, ...] = ()
    #: The version of the program.
    program: str | None = None
    #: Its host's clock when this was said, Unix time.
    time: float | None = None
    #: Twelve hexadecimal digits over all settings that the members must share.
    configuration: str | None = None

    @property
    def unsettled(self) -> int:
        """How many conflicts nobody has exported or merged."""
        return sum(not (one.get("exported_to") or one.get("merged_into")) for one in self.conflicts)

    def to_json(self) -> dict[str, Any]:
        """Give the document, ready for `json.dumps`."""
        return {"schema": SCHEMA, **as_document(self)}

    def to_text(self) -> str:
        """Give the document as one line of JSON."""
        return json.dumps(self.to_json(), separators=(",", ":"), allow_nan=False)
