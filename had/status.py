"""The document behind /status, `hadctl status --json` and the status page: one object, every key always there.

Its keys are a promise to scripts (docs/reference/http.md lists them, and a test compares): keys are added,
never renamed or left out; what is not known is null. The driver fills it; nothing here decides anything.

Times are Unix time in seconds. Members are named as HAD_LIST spells them.
"""

import json
from typing import Any, Final

import attrs

from daemoncore.documents import as_document

#: Grows when a key changes its meaning.
SCHEMA: Final = 1

#: Transitions remembered.
HISTORY_LIMIT: Final = 50

CONTROLLEE_STATES: Final = ("stopped", "starting", "running", "stopping", "backoff")
REPLICA_STATES: Final = ("off", "unreachable", "ours", "condor")
PEER_STATES: Final = ("alive", "silent", "refused", "denied", "unknown")
IMPLEMENTATIONS: Final = ("ours", "condor", "unknown")


@attrs.frozen
class Majority:
    """Votes and lease in majority mode."""

    needed: int
    #: Votes that this node holds, its own included.
    granted: int
    lease_seconds: float
    #: Who grants this node its lease.
    voters: tuple[str, ...] = ()
    #: To whom this node's own vote is bound.
    vote: str | None = None


@attrs.frozen
class Paused:
    """Automatic failover is paused."""

    by: str
    reason: str
    since: float
    #: None until `resume`.
    until: float | None = None


@attrs.frozen
class Hold:
    """A switchover took leadership from `node`, which does not ask for it back meanwhile."""

    node: str
    by: str
    reason: str
    since: float


@attrs.frozen
class Controllee:
    """The controlled process on this node; a witness has none, so all is None."""

    name: str | None = None
    #: One of `CONTROLLEE_STATES`.
    state: str | None = None
    pid: int | None = None
    #: How often it was started again after it had died, since the daemon started.
    restarts: int | None = None
    #: When it got into this state.
    since: float | None = None


@attrs.frozen
class Replica:
    """This node's own replica, as `had` sees it."""

    #: One of `REPLICA_STATES`.
    state: str = "off"
    #: On what the controllee was started last in this leadership: HAD_STATE; None if it was not.
    currency: str | None = None
    #: Whether this node could take over, or hand over, with nothing lost of the state; None without a replica.
    is_ready: bool | None = None
    #: What is being waited for, as a sentence without names of its own; None if nothing is.
    waiting: str | None = None


@attrs.frozen
class Peer:
    """What this node knows of another member."""

    address: str
    #: One of `PEER_STATES`.
    state: str = "unknown"
    last_heard_seconds: float | None = None
    #: The leader that it follows.
    follows: str | None = None
    version: str | None = None
    #: One of `IMPLEMENTATIONS`.
    implementation: str = "unknown"


@attrs.frozen
class Change:
    """One transition; `reason` is the sentence."""

    time: float
    source: str = attrs.field(metadata={"key": "from"})
    target: str = attrs.field(metadata={"key": "to"})
    reason: str
    epoch: int


@attrs.frozen
class Status:
    """What one node says of itself and of the pool."""

    node: str
    #: `pre`, `passive`, `election`, `leader` or `witness`.
    state: str
    leader: str | None = None
    epoch: int = 0
    #: Whether this node is the primary (HAD_USE_PRIMARY, and first in HAD_LIST).
    primary: bool = False
    majority: Majority | None = None
    paused: Paused | None = None
    hold: Hold | None = None
    controllee: Controllee = Controllee()
    peers: tuple[Peer, ...] = ()
    #: The newest last.
    history: tuple[Change, ...] = ()
    #: The version of the program.
    version: str | None = None
    #: Its host's clock when this was said, Unix time; whoever asks learns how far the clocks are apart.
    time: float | None = None
    #: Twelve hexadecimal digits over all settings that the members must share.
    configuration: str | None = None
    #: How long this node has abstained because its controllee keeps dying here, None if it does not.
    abstains_seconds: float | None = None
    replica: Replica = Replica()

    def to_json(self) -> dict[str, Any]:
        """Give the document, ready for `json.dumps`."""
        return {"schema": SCHEMA, **as_document(self)}

    def to_text(self) -> str:
        """Give the document as one line of JSON."""
        return json.dumps(self.to_json(), separators=(",", ":"), allow_nan=False)
