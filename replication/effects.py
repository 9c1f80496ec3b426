"""What the replica machine wants done: frozen values that its driver performs in order, without waiting for any.

Effects: `Send`, `SendCondor`, `Note`, `Watch`, `Settle`, `KeepConflict`, `Revise`, `MarkMerged`, `StartDownload`,
`StopDownload`, `Take`, `Refuse`, `Install`, `StartUpload`, `RefuseUpload`, `Announce`, `EndUploads`, `Answer`,
`Finished`; and the two that only observers read, `Transition` and `Remark`.

`Note`, `Install` and `Revise` change the durable pair. They are done one after another in the order in which they come, and
the machine never asks for one before the last is answered.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs

from replication.events import CondorCommand, Report, State
from replication.manifest import Held
from replication.replica_settings import Member
from replication.version import Point, Version


class Currency(enum.Enum):
    """How good this node's state is, for the controllee that is to start on it (HAD_STATE)."""

    #: Nobody is known to hold, or to have held, a newer one.
    CURRENT = "current"
    #: A newer one is known of, and could not be had; or what stands here is not what should.
    STALE = "stale"
    #: There is no state here.
    MISSING = "missing"


@attrs.frozen
class Send:
    """Report to a replica of ours; losing it is allowed."""

    to: Member
    report: Report


@attrs.frozen
class SendCondor:
    """Say something to a real condor_replication."""

    to: Member
    command: CondorCommand
    point: Point
    state: State


@attrs.frozen
class Note:
    """Write down durably what this node holds; answer `Noted` or `NoteFailed`."""

    held: Held


@attrs.frozen
class Watch:
    """A controllee writes here: tell each change of the state at once.

    Without it the state is looked at now and then, so that a change which nobody should make is found.
    """


@attrs.frozen
class Settle:
    """Go on for so long, and until the state was quiet for so long, look once more, thoroughly; then `Settled`.

    Then watch no more. 0 seconds: the controllee is known to be gone.
    """

    quiet_seconds: float


@attrs.frozen
class KeepConflict:
    """Keep a copy of what stands there: it was changed by somebody who must not, and may have grown from `version`."""

    version: Version


@attrs.frozen
class Revise:
    """Merge and restore what is scheduled, and write the state that comes of it down under this version.

    No controllee is there. The pair changes as one, as at an installation, and what stands there has to be what is
    held: answer `ReviseFailed` if it is not, or if nothing was changed. Else answer `Revised` with what was held but
    for the version and the files.
    """

    version: Version


@attrs.frozen
class MarkMerged:
    """Remember of conflicts kept here that the version at this point, which stands here, holds what they held."""

    identifiers: tuple[str, ...]
    point: Point


@attrs.frozen
class StartDownload:
    """Start a transferer that fetches from there, and stays for what comes after while that one leads."""

    download: int
    peer: Member
    is_ours: bool


@attrs.frozen
class StopDownload:
    """End a download; what it has not installed is dropped. Answer `DownloadEnded` when it is gone."""

    download: int
    reason: str


@attrs.frozen
class Take:
    """Fetch the offered version."""

    download: int
    version: Version


@attrs.frozen
class Refuse:
    """Do not take the version that was offered or received."""

    download: int
    reason: str


@attrs.frozen
class Install:
    """Let the received version replace ours; answer `Installed` or `InstallFailed`.

    If `is_conflict`, ours holds what the new one lacks: what stands there is kept first, durably. It is also kept if
    it is not what is held here, because somebody changed it a moment ago.
    """

    download: int
    held: Held
    is_conflict: bool


@attrs.frozen
class StartUpload:
    """Start a transferer that sends our state there, and later ones if `is_staying`."""

    request: int
    version: Version
    is_staying: bool


@attrs.frozen
class RefuseUpload:
    """Send nothing; the connection is closed, as HTCondor does."""

    request: int
    reason: str


@attrs.frozen
class Announce:
    """Living uploads go on to this version."""

    version: Version


@attrs.frozen
class EndUploads:
    """Living uploads finish what they send, and end."""

    reason: str


@attrs.frozen
class Answer:
    """The reply to had."""

    request: int
    currency: Currency
    version: Version | None
    #: A controllee may be started on this state within so many seconds; nothing is installed meanwhile.
    good_for_seconds: float = 0.0
    #: No member has any state: the pool is new (only said with `Currency.MISSING`).
    is_missing_everywhere: bool = False
    #: The largest gid that is known here: an epoch of had's has to be larger.
    known_gid: int = 0
    #: For a flush: those waited for who are reachable and do not hold the last version.
    behind: tuple[Member, ...] = ()
    #: For a flush: the last bytes have a version, and all who were waited for hold it.
    is_complete: bool = True
    #: A sentence, for people.
    text: str = ""


@attrs.frozen
class Finished:
    """Nothing is left to do: the daemon may exit."""


@attrs.frozen
class Transition:
    """The state changed; the reason is a sentence."""

    source: State
    target: State
    reason: str


@attrs.frozen
class Remark:
    """Something worth a log line or a counter happened."""

    name: str
    fields: tuple[tuple[str, str | int | float | bool | None], ...] = ()


Effect: TypeAlias = (
    Send
    | SendCondor
    | Note
    | Watch
    | Settle
    | KeepConflict
    | Revise
    | MarkMerged
    | StartDownload
    | StopDownload
    | Take
    | Refuse
    | Install
    | StartUpload
    | RefuseUpload
    | Announce
    | EndUploads
    | Answer
    | Finished
    | Transition
    | Remark
)
