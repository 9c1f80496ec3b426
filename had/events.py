"""The values that go into and come out of the election machine.

`Election.handle(event, now)` takes one *event* and returns *effects*; both are frozen values with no behaviour, so
that the daemon, the simulator and the scenario files can make, print and compare them. Times are seconds on the
machine's one clock (CLOCK_BOOTTIME, in the simulator virtual time) unless a name says otherwise. A member of the
pool is named by its resolved address text, `ip:port`.

Events (what happened): `Heard`, `Overheard`, `Linked`, `Refused`, `Denied`, `Persisted`, `PersistFailed`,
`ControlleeStarted`, `ControlleeExited`, `Reconfigured`, `StopRequested`, `SwitchoverRequested`, `PauseRequested`,
`ResumeRequested`, `RestartRequested`, `Tick`; and of the node's own replica `ToElection` (`had.custody_events`).

Effects (what to do, never blocking): `Send`, `Persist`, `StartControllee`, `StopControllee`, `RenewLease`,
`PublishEpoch`, `Answer`, `Finished`; and the two that only observers read: `Transition` and `Note`.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs

from had.ballots import LISTED, Electorate, Grant, Vote
from had.custody_events import ToElection
from had.election_settings import ElectionSettings, Member
from had.overheard import Overheard
from had.transitions import Reason, State


class Kind(enum.Enum):
    """Which command carries a message."""

    #: Our own heartbeat, on a connection that both sides marked as ours.
    HEARTBEAT = "heartbeat"
    #: HAD_ALIVE_CMD: a real condor_had takes its sender for the leader.
    ALIVE = "alive"
    #: HAD_SEND_ID_CMD: the sender takes part in an election.
    SEND_ID = "send_id"


@attrs.frozen
class Pause:
    """Automatic failover is switched off in the whole pool."""

    by: str
    reason: str
    #: Unix time of the request, for people.
    since: float
    #: Unix time of its end, for people; None is until `resume`.
    until: float | None = None
    #: Seconds left when the message was sent or the record was read; None is until `resume`.
    seconds_left: float | None = None


@attrs.frozen
class Hold:
    """A switchover took leadership from this member, which therefore does not ask for it back."""

    member: Member
    by: str
    reason: str
    #: Unix time of the request, for people.
    since: float


@attrs.frozen
class Directive:
    """What an operator asked of the whole pool; the larger version replaces the smaller everywhere."""

    #: (epoch, counter): ordered, unique enough, and monotone over switchovers and pauses.
    version: tuple[int, int] = (0, 0)
    pause: Pause | None = None
    hold: Hold | None = None


@attrs.frozen
class Record:
    """What a node keeps on disk: written and synced before the message that depends on it leaves."""

    #: The largest epoch this node has heard of or made.
    epoch: int = 0
    directive: Directive = Directive()
    vote: Vote | None = None
    electorate: Electorate = LISTED


@attrs.frozen
class Sighting:
    """What the sender of a message knows at first hand about a third member."""

    member: Member
    #: Seconds since the sender heard it, measured when the message was made.
    age_seconds: float
    #: Seconds for which that hearing is still good, measured likewise.
    remaining_seconds: float
    state: State
    #: Which of that member's messages was heard; 0 and 0 for a real condor_had's.
    instance: int = 0
    sequence: int = 0
    epoch: int = 0
    rank_id: int = -1
    #: The candidacy that member announced, 0 for none: seeing one's own number here is the answer to it.
    candidacy: int = 0
    #: That member asks for leadership as the returning primary.
    wants: bool = False
    #: Seconds since that member began to abstain, None if it does not.
    abstains_seconds: float | None = None
    #: That member leads, but is stopping its controllee.
    is_yielding: bool = False
    #: The successor that member named, if it is handing over or has just handed over.
    successor: Member | None = None
    #: The epoch of the leadership that is handed over.
    offer_epoch: int = 0


@attrs.frozen
class Message:
    """What members tell each other: one HAD ad. A real condor_had fills only the first block."""

    sender: Member
    #: HadSelfID: reversed index in the sender's own HAD_LIST, -1 for a witness.
    rank_id: int
    controllee: str
    state: State
    members: tuple[Member, ...] = ()
    is_ours: bool = True

    #: Counts the starts of the sender's daemon; with `sequence` it orders its messages.
    instance: int = 0
    sequence: int = 0
    #: Seconds for which it vouches for its sender; None is HTCondor's formula.
    validity_seconds: float | None = None
    up_seconds: float = 0.0
    epoch: int = 0
    #: HAD_USE_PRIMARY and first in the list.
    is_primary: bool = False
    #: The leader the sender follows (itself when it leads), None if it knows none.
    follows: Member | None = None
    is_active: bool = False
    sightings: tuple[Sighting, ...] = ()
    candidacy: int = 0
    wants: bool = False
    #: Leading, but stopping the controllee: no rival to any other leader.
    is_yielding: bool = False
    #: To whom leadership is being handed or, after it, was.
    successor: Member | None = None
    #: The epoch of the leadership that is handed over: whoever knows a later one does not take it.
    offer_epoch: int = 0
    #: Seconds since the sender began to abstain, None if it does not.
    abstains_seconds: float | None = None
    #: The crashed leader that is given time to come back (HAD_DAEMON_RESTART_WINDOW).
    awaits: Member | None = None
    directive: Directive = Directive()
    #: 48-bit hash of the settings that must agree; 0 if unknown.
    shared_hash: int = 0
    version: str = ""
    #: The sender could lead, or hand over, with nothing lost of what the controllee wrote.
    is_ready: bool = True
    #: Majority mode: the epoch under which the sender asks for a lease, and for how long; 0 if it does not.
    lease_epoch: int = 0
    lease_seconds: float = 0.0
    #: Whose request the sender has granted, None if its vote is free, its own, or not yet on disk.
    grant: Grant | None = None
    electorate: Electorate = LISTED
    #: The sender's wall clock (Unix time), for the skew metric only.
    wall_clock: float = 0.0


# --- events ---------------------------------------------------------------------------------------------------


@attrs.frozen
class Heard:
    """A message arrived and was decoded; the machine decides whether to believe it."""

    message: Message
    kind: Kind = Kind.HEARTBEAT


@attrs.frozen
class Linked:
    """Our connection to a member was made and negotiated, so we know what it is and can send to it."""

    peer: Member
    is_ours: bool


@attrs.frozen
class Refused:
    """A member's machine answers, but nobody listens there: its daemon is gone."""

    peer: Member


@attrs.frozen
class Denied:
    """A member answers TCP, but we could not authenticate or are not authorised: alive, and deaf to us."""

    peer: Member


@attrs.frozen
class Persisted:
    """The record is on disk."""

    record: Record


@attrs.frozen
class PersistFailed:
    """The record could not be written (full or broken disk)."""

    record: Record
    error: str


@attrs.frozen
class ControlleeStarted:
    """The controllee runs."""

    pid: int


@attrs.frozen
class ControlleeExited:
    """The controllee is gone, with every process it started."""

    reason: str  # requested, exited, signalled, killed or start_failed
    detail: str = ""


@attrs.frozen
class Reconfigured:
    """A new configuration is in force."""

    settings: ElectionSettings
    is_hard: bool = False  # the controllee is restarted, and an abstention ends


@attrs.frozen
class StopRequested:
    """SIGTERM (graceful) or SIGQUIT (fast): hand over, then finish."""

    is_fast: bool = False


@attrs.frozen
class SwitchoverRequested:
    """An operator moves leadership, to a named member or to the best other one."""

    request: int
    to: Member | None
    by: str
    reason: str
    #: Unix time, for people.
    since: float


@attrs.frozen
class PauseRequested:
    """An operator switches automatic failover off."""

    request: int
    pause: Pause


@attrs.frozen
class ResumeRequested:
    """An operator switches automatic failover on again, and ends a hold."""

    request: int


@attrs.frozen
class RestartRequested:
    """An operator has the controllee restarted where it runs, so that its replica can work on the state."""

    request: int


@attrs.frozen
class Tick:
    """The deadline passed."""


Request: TypeAlias = SwitchoverRequested | PauseRequested | ResumeRequested | RestartRequested
"""What operators ask; each is answered by `Answer`."""

Event: TypeAlias = (
    Heard
    | Linked
    | Refused
    | Denied
    | Overheard
    | Persisted
    | PersistFailed
    | ControlleeStarted
    | ControlleeExited
    | Reconfigured
    | StopRequested
    | Request
    | ToElection
    | Tick
)


# --- effects --------------------------------------------------------------------------------------------------


@attrs.frozen
class Send:
    """Send a message to one member, now, over the open connection or a new one; losing it is allowed."""

    to: Member
    message: Message
    kind: Kind


@attrs.frozen
class Persist:
    """Write the record and sync it, then answer with `Persisted` or `PersistFailed`; in order."""

    record: Record


@attrs.frozen
class StartControllee:
    """Start the controllee with this fencing token; answer `ControlleeStarted` or `ControlleeExited`."""

    epoch: int


@attrs.frozen
class StopControllee:
    """Stop the controllee: SIGTERM, and SIGKILL after the time-out; answer `ControlleeExited`."""

    timeout_seconds: float
    #: Why leadership is being handed over, None if it is not.
    reason: Reason | None = None
    successor: Member | None = None


@attrs.frozen
class RenewLease:
    """The guard may let the controllee live until then, and not a moment longer."""

    until: float


@attrs.frozen
class PublishEpoch:
    """The epoch in HAD_EPOCH_FILE is this one from now on."""

    epoch: int


@attrs.frozen
class Answer:
    """The reply to an operator's request."""

    request: int
    is_accepted: bool
    text: str


@attrs.frozen
class Finished:
    """The daemon may exit."""


@attrs.frozen
class Transition:
    """The state changed; for log, metrics, history and HAD_ON_CHANGE."""

    source: State
    target: State
    reason: Reason
    epoch: int


@attrs.frozen
class Note:
    """Something worth a log line or a counter happened without a change of state."""

    name: str
    fields: tuple[tuple[str, str | int | float | bool | None], ...] = ()


Effect: TypeAlias = (
    Send
    | Persist
    | StartControllee
    | StopControllee
    | RenewLease
    | PublishEpoch
    | Answer
    | Finished
    | Transition
    | Note
)
