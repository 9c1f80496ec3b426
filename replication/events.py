"""The values that go into the replica machine, and the words that it and its peers use.

As in the election: frozen values without behaviour. Times are seconds on the machine's one clock. What comes out of
the machine is in `replication.effects`.

Events: of other replicas `Heard`, `CondorSaid`, `Linked`, `Gone`; of had `LeadershipBegan`, `LeadershipConfirmed`,
`LeadershipEnded`, `CurrentAsked`, `FlushAsked`, `Withdrawn`; of the state and its version `StateChanged`, `Settled`,
`Noted`, `NoteFailed`; of kept conflicts `RevisionsWaiting`, `Revised`, `ReviseFailed`, `Archived`; of transfers `Offered`, `Received`, `Installed`, `InstallFailed`, `DownloadEnded`,
`UploadAsked`, `UploadEnded`; and `Reconfigured`, `StopRequested`, `Tick`.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs

from replication.manifest import FileRecord, Held
from replication.replica_settings import Member, ReplicaSettings
from replication.version import Point, Version


class State(enum.Enum):
    """HTCondor's four states; `number` is what goes over its wire."""

    #: Just started: collecting the versions that the others hold.
    VERSION_REQUESTING = "version_requesting"
    #: Fetching the best of them.
    VERSION_DOWNLOADING = "version_downloading"
    #: Following a leader, or waiting for one.
    BACKUP = "backup"
    #: Here the controllee writes; its changes become versions.
    LEADER = "leader"

    @property
    def number(self) -> int:
        """The state's integer in HTCondor's messages (src/condor_had/ReplicatorStateMachine.h)."""
        return list(State).index(self)


IDENTIFIERS_LIMIT = 64
"""So many names of conflicts are in a report; who keeps more names the rest when these are settled."""


@attrs.frozen
class Report:
    """What replicas of ours tell each other, in full, each time."""

    sender: Member
    state: State
    #: What it durably holds; None is no state at all. So a report is also an acknowledgement.
    version: Version | None = None
    #: Names the bytes of that version (`replication.manifest`); the same everywhere.
    fingerprint: str = ""
    #: Counts the starts of the sender's daemon; with `sequence` it orders its reports.
    instance: int = 0
    sequence: int = 0
    #: Seconds for which this report is good.
    validity_seconds: float = 5.0
    #: The size of what it holds.
    total_bytes: int = 0
    #: Identifiers of conflicts that are kept there and that nobody has settled; at most `IDENTIFIERS_LIMIT`.
    conflicts: tuple[str, ...] = ()
    #: Identifiers of conflicts, anybody's, that were merged there into what it holds: the newest of them, the last last.
    merged: tuple[str, ...] = ()


class CondorCommand(enum.Enum):
    """HTCondor's replication messages."""

    LEADER_VERSION = 801
    NEWLY_JOINED_VERSION = 802
    GIVING_UP_VERSION = 803
    SOLICIT_VERSION = 804
    SOLICIT_VERSION_REPLY = 805


# --- of other replicas ----------------------------------------------------------------------------------------


@attrs.frozen
class Heard:
    """A replica of ours reported."""

    report: Report


@attrs.frozen
class CondorSaid:
    """A real condor_replication spoke; a solicitation carries no version."""

    peer: Member
    command: CondorCommand
    point: Point | None = None
    #: Its state's number.
    state: int = 0


@attrs.frozen
class Linked:
    """Our connection to a replica was made, so we know what it is."""

    peer: Member
    is_ours: bool


@attrs.frozen
class Gone:
    """Nobody listens at a replica's address, though its machine answers."""

    peer: Member


# --- of had ---------------------------------------------------------------------------------------------------


@attrs.frozen
class LeadershipBegan:
    """had leads with this epoch; None is a real condor_had, which knows none (704)."""

    epoch: int | None


@attrs.frozen
class LeadershipConfirmed:
    """had still leads (706); it also comes where 704 was missed. Ours says it each T/2, and whenever it calls."""

    epoch: int | None


@attrs.frozen
class LeadershipEnded:
    """had does not lead (705), which ours also says whenever it calls; or its daemon is gone.

    Unless `is_stopped` the controllee may still be writing its last: a real condor_had says this while its master
    only begins to stop the negotiator, and a guard needs its moment after had was killed.
    """

    is_stopped: bool


Leadership: TypeAlias = LeadershipBegan | LeadershipConfirmed | LeadershipEnded


@attrs.frozen
class CurrentAsked:
    """had asks that this node's state be brought up to date; answered when it is, or cannot be.

    With an incumbent this is the question of a returning primary or a successor to be: it waits as long as it takes.
    Without one a controllee is about to start on this state: the wait is bounded, and after the answer nothing is
    installed for a while, so that had can start it (`Answer.good_for_seconds`). A leader whose controllee is gone asks
    it too, before another starts in its place: then what is scheduled of kept conflicts is merged first.
    """

    request: int
    #: The epoch of the leader that serves meanwhile, None if there is none.
    incumbent_epoch: int | None = None
    #: HAD_MISSING_STATE = wait: no state is answered only when every member reports that it has none.
    is_missing_refused: bool = False


@attrs.frozen
class FlushAsked:
    """had has stopped its controllee and asks that the last version reach its successor, or everybody if None.

    What is scheduled of kept conflicts is merged first; nothing of it takes longer than had waits.
    """

    request: int
    timeout_seconds: float
    successor: Member | None = None


@attrs.frozen
class Withdrawn:
    """Nobody waits for this answer any more; a start that was answered for does not happen."""

    request: int


# --- of the state and its version -----------------------------------------------------------------------------


@attrs.frozen
class StateChanged:
    """What stands there is not what was told, noted or installed last; the files are one consistent snapshot."""

    files: tuple[FileRecord, ...]


@attrs.frozen
class Settled:
    """The look that `Settle` asked for is over; what it found was told before."""


@attrs.frozen
class Noted:
    """This is durable."""

    held: Held


@attrs.frozen
class NoteFailed:
    """What was to be noted could not be written."""

    error: str


# --- of kept conflicts ----------------------------------------------------------------------------------------


@attrs.frozen
class RevisionsWaiting:
    """So many conflicts are scheduled here to be merged or restored; told at the start and when it changes."""

    count: int


@attrs.frozen
class Revised:
    """What `Revise` asked for is done and durable, state and version as one: this is what is held now."""

    held: Held


@attrs.frozen
class ReviseFailed:
    """The state could not be revised; the pair is what it was."""

    error: str


@attrs.frozen
class Archived:
    """Which conflicts this node knows of; told at the start and when it changes."""

    #: Kept here, and neither exported nor merged; the oldest first.
    conflicts: tuple[str, ...]
    #: Merged here, whoever keeps them, into a version from which the present one grew; the newest last.
    merged: tuple[str, ...] = ()
    #: Copies of other nodes' conflicts that were fetched to be merged here, and were not yet.
    borrowed: tuple[str, ...] = ()
    #: What is remembered of merges, this node's and others', with a version that holds each.
    remembered: tuple[tuple[str, Point], ...] = ()


# --- of transfers ---------------------------------------------------------------------------------------------


@attrs.frozen
class Offered:
    """A download's other end named the version that it would send; nothing of it has arrived."""

    download: int
    version: Version


@attrs.frozen
class Received:
    """A version is here, complete, checked and durable beside the state; a real peer's was not offered before."""

    download: int
    version: Version
    files: tuple[FileRecord, ...]


@attrs.frozen
class Installed:
    """A received version replaced ours, state and version as one."""

    download: int
    held: Held


@attrs.frozen
class InstallFailed:
    """A received version could not be installed; the pair is what it was."""

    download: int
    error: str


@attrs.frozen
class DownloadEnded:
    """A download process is gone; `is_orderly` if the other end had no more to send."""

    download: int
    is_orderly: bool
    reason: str = ""


@attrs.frozen
class UploadAsked:
    """A replica wants our state; the request is answered by its number."""

    request: int
    peer: Member
    is_ours: bool


@attrs.frozen
class UploadEnded:
    """An upload process is gone."""

    request: int


# --- of the daemon itself -------------------------------------------------------------------------------------


@attrs.frozen
class Reconfigured:
    """A new configuration is in force; it never restarts anything."""

    settings: ReplicaSettings


@attrs.frozen
class StopRequested:
    """The daemon is to end, but may go on for so long while had has not yet flushed or replicas still fetch."""

    timeout_seconds: float


@attrs.frozen
class Tick:
    """The deadline passed."""


Event: TypeAlias = (
    Heard
    | CondorSaid
    | Linked
    | Gone
    | LeadershipBegan
    | LeadershipConfirmed
    | LeadershipEnded
    | CurrentAsked
    | FlushAsked
    | Withdrawn
    | StateChanged
    | Settled
    | Noted
    | NoteFailed
    | RevisionsWaiting
    | Revised
    | ReviseFailed
    | Archived
    | Offered
    | Received
    | Installed
    | InstallFailed
    | DownloadEnded
    | UploadAsked
    | UploadEnded
    | Reconfigured
    | StopRequested
    | Tick
)
