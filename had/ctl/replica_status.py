"""What a replication daemon says of itself, as values: the other side of its `/status`, which `had` may not import.

Daemons do not import each other, so the keys stand here a second time; the reader of documents (`had.ctl.documents`)
passes over a key that this tool does not know and gives a missing one its default. Times are Unix time in seconds, members
are named as REPLICATION_LIST spells them. `IS_LIST_TOO` marks what is sent as a list of its values.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

#: Further behind than this a replica does not hold what a failover needs. While a controllee writes every replica is
#: behind by moments, and R1 promises one second.
BEHIND_SECONDS = 5.0


@attrs.frozen
class Point:
    """One published state: the leadership that published it, and its number there."""

    IS_LIST_TOO: ClassVar = True

    gid: int
    clock: int

    def __str__(self) -> str:
        return f"{self.gid}.{self.clock}"


@attrs.frozen
class Held:
    """What the daemon holds.

    Attributes:
        gid: the leadership that wrote it.
        clock: how many changes that leadership published before.
        bytes: the size of the state.
        sha256: names the bytes of the whole state.
        changed: when it became the version that is held.
        lineage: where its leadership began, where that one began, and so on; the newest first.
        rooted: whether the lineage is known to its beginning.
    """

    gid: int
    clock: int
    bytes: int = 0
    sha256: str | None = None
    changed: float | None = None
    lineage: tuple[Point, ...] = ()
    rooted: bool = False

    @property
    def point(self) -> Point:
        """The version without what belongs to it."""
        return Point(self.gid, self.clock)

    def has(self, point: Point) -> bool:
        """Whether this state is, or is known to have grown out of, the state that `point` names."""
        history = (self.point, *self.lineage)
        return any(own.gid == point.gid and own.clock >= point.clock for own in history)


@attrs.frozen
class Seen:
    """What the daemon knows of another replica.

    Attributes:
        address: its entry.
        version: what it said it holds.
        lag_seconds: the age of the oldest version that it lacks; None if that is not known.
        state: `alive`, `silent`, `gone` or `unknown`.
        implementation: `ours`, `condor` or `unknown`.
        in_sync: whether it holds what the leader holds.
    """

    address: str
    version: Point | None = None
    lag_seconds: float | None = None
    state: str = "unknown"
    implementation: str = "unknown"
    in_sync: bool = False


@attrs.frozen
class KeptFile:
    """One file of a kept state: its name in the state, its size, the digest and the permission bits."""

    IS_LIST_TOO: ClassVar = True

    name: str
    size_bytes: int
    sha256: str
    mode: int = 0o600


@attrs.frozen
class Conflict:
    """A state that lost, and is kept for people.

    Attributes:
        id: its name.
        version: what the state is called, or what it was changed from if nobody published it.
        files: what it holds.
        bytes: its size.
        reason: why it was kept, as a sentence.
        kept_at: when.
        replaced_by: what stands in its place.
        exported_to: the folder that it was written out to.
        merged_into: the version that holds what it held, be it merged or restored.
        failure: why it could not be merged or restored the last time.
    """

    id: str
    version: Held
    files: tuple[KeptFile, ...] = ()
    bytes: int = 0
    reason: str | None = None
    kept_at: float | None = None
    replaced_by: Held | None = None
    exported_to: str | None = None
    merged_into: str | None = None
    failure: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether people have taken what they wanted of it."""
        return bool(self.exported_to or self.merged_into)


@attrs.frozen
class Transfer:
    """A copying of the state that goes on now.

    Attributes:
        direction: `upload` or `download`.
        peer: the other end.
        state: `starting`, `moving`, `waiting` or `installing`.
        version: what moves.
        bytes: how much has moved.
        total_bytes: how much will have.
        bytes_per_second: of late.
        seconds_left: at that rate; None if it is not known.
        since: when it began.
    """

    direction: str
    peer: str
    state: str
    version: Point | None = None
    bytes: int = 0
    total_bytes: int = 0
    bytes_per_second: float = 0.0
    seconds_left: float | None = None
    since: float | None = None


@attrs.frozen
class StateFile:
    """One file of the state, where it is on that node."""

    name: str
    path: str
    bytes: int = 0


@attrs.frozen
class Pending:
    """A conflict that is merged or restored at the next stop of the controllee, or could not be at the last."""

    id: str
    #: None if it waits no more.
    act: str | None
    #: Why it could not be, if another node keeps it.
    failure: str | None = None


@attrs.frozen
class Turn:
    """One transition of the replica machine."""

    time: float
    source: str = attrs.field(metadata={"key": "from"})
    target: str = attrs.field(metadata={"key": "to"})
    reason: str


@attrs.frozen
class ReplicaStatus:
    """What one replication daemon says.

    Attributes:
        node: its entry.
        state: `version_requesting`, `version_downloading`, `backup` or `leader`.
        leader: the replica whose node leads; None if it knows none.
        epoch: of had, while its node leads.
        version: what it holds; None is no state at all.
        replicas: the others.
        conflicts: what it keeps, the oldest first.
        transfers: what moves now.
        files: the state on this node.
        is_folder: whether STATE_FILE is a folder.
        watching: why changes are not noticed at once, or the state cannot be read; None if all is well.
        pending: what waits for the next stop of the controllee.
        history: its last transitions, the newest last.
        program: the version of the program.
        time: its host's clock when this was said.
        configuration: twelve hexadecimal digits over all settings that the members must share.
    """

    node: str
    state: str
    leader: str | None = None
    epoch: int | None = None
    version: Held | None = None
    replicas: tuple[Seen, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    files: tuple[StateFile, ...] = ()
    is_folder: bool = False
    watching: str | None = None
    pending: tuple[Pending, ...] = ()
    history: tuple[Turn, ...] = ()
    program: str | None = None
    time: float | None = None
    configuration: str | None = None

    @property
    def kind(self) -> str:
        """What STATE_FILE is on this node, for comparing."""
        if self.is_folder:
            return "a folder"
        return "one file" if len(self.files) == 1 else f"a list of {len(self.files)} files"
