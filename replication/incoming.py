"""One download: a transferer that fetches, from its start until nothing that it brought is wanted any more.

It stays for one version after another, if the other end has more: offered, taken, received, installed. What is
received lies beside its target in files whose names hold the transferer's pid, and may outlive the transferer: while
the disk installs it, and, of a real peer, whose transferer ends with what it brings, until somebody wants it or not.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import trio

from replication import transferer_words as words
from replication.manifest import FileRecord, total_bytes
from replication.transfer_ending import Ending, ending_of
from replication.transfer_figures import Gauge
from replication.transfer_terms import TransferObserver
from replication.transferer_process import NonsenseError, TransfererEvent, TransfererProcess
from replication.transferer_words import Arrived, Exit
from replication.version import Version, VersionError

#: How figures call the phases.
_STATES: Final = {"idle": "waiting", "offered": "waiting", "received": "waiting"}


class Phase(enum.Enum):
    """How far a download is."""

    STARTING = "starting"
    #: The other end has no newer version at present.
    IDLE = "idle"
    #: A version was offered, and waits for our word.
    OFFERED = "offered"
    MOVING = "moving"
    #: A version is here, and waits for its moment.
    RECEIVED = "received"
    INSTALLING = "installing"
    #: It is not wanted any more.
    STOPPING = "stopping"


class Incoming:
    """One download.

    Args:
        process: the transferer.
        gauge: shows how far it is.
        observer: hears of it.
        staged: where it puts what it receives.
        is_folder: its target is one folder.
        is_ours: the other end is; a real one offers nothing, and sends one version.
        grace_seconds: it is killed so long after it should have ended.
        on_offer: called with each version that is offered; `take` or `refuse` answers.
        on_received: called with each version that has arrived; `installed` or `refuse` answers.
    """

    def __init__(
        self,
        process: TransfererProcess,
        gauge: Gauge,
        observer: TransferObserver,
        *,
        staged: Sequence[Path],
        is_folder: bool,
        is_ours: bool,
        grace_seconds: float,
        on_offer: Callable[[Version], None],
        on_received: Callable[[Version, Arrived], None],
    ) -> None:
        self.process = process
        self.gauge = gauge
        self.phase = Phase.STARTING
        self.arrived: Arrived | None = None
        #: The document of the version that was offered last, as it came.
        self.document: object = None
        self._observer = observer
        self._staged = staged
        self._is_folder = is_folder
        self._is_ours = is_ours
        self._grace_seconds = grace_seconds
        self._on_offer = on_offer
        self._on_received = on_received
        self._version: Version | None = None
        self._exit: Exit | None = None
        self._stop_reason = ""
        self._bad_version = ""
        self._is_moving = self._is_dead = self._has_dropped = False
        self._is_settled = trio.Event()

    # --- orders -----------------------------------------------------------------------------------------------

    def take(self, have: Sequence[FileRecord] | None) -> None:
        """Fetch what is offered; nothing happens if it is not any more."""
        if self.phase is Phase.OFFERED:
            self._enter(Phase.MOVING)
            self._is_moving = True
            self.process.tell(words.take(have))

    def refuse(self, reason: str, result: str = "stale") -> None:
        """Do not take what was offered or received; the transferer ends by it."""
        if self.phase in {Phase.OFFERED, Phase.RECEIVED}:
            self._finish(words.end(reason, result))

    def stop(self, reason: str) -> None:
        """End it; what was not installed is dropped. Nothing is being installed any more."""
        if self.phase is Phase.STOPPING:
            return
        self._stop_reason = reason
        is_listening = self._is_ours and self.phase not in {Phase.STARTING, Phase.MOVING}
        if not is_listening and not self._is_dead:
            self.process.terminate()
        self._finish(words.end(reason, "cancelled") if is_listening else None)

    def begin_install(self) -> Arrived | None:
        """Return what was received, which nobody removes from now on; None if there is nothing."""
        if self.phase is Phase.RECEIVED:
            self._enter(Phase.INSTALLING)
        return self.arrived if self.phase is Phase.INSTALLING else None

    def installed(self) -> None:
        """What was received is where it belongs."""
        if self.phase not in {Phase.RECEIVED, Phase.INSTALLING}:
            return
        self.arrived = None
        if self._is_dead:
            self._finish(None)
            return
        self._enter(Phase.IDLE)
        if self._is_ours:
            self.process.tell({"what": "installed"})

    def leave(self, reason: str) -> None:
        """Ask for no later version; what came is installed."""
        if self.phase is Phase.IDLE:
            self._finish(words.end(reason))

    def _finish(self, document: dict[str, object] | None) -> None:
        """Nothing more is wanted of it."""
        self._has_dropped = self._has_dropped or self.arrived is not None
        self.arrived = None
        self.phase = Phase.STOPPING
        if self._is_dead:
            self._is_settled.set()
            return
        if document is not None:
            self.process.tell(document)
        self.process.expire_within(self._grace_seconds, "it did not end when it was asked to")

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.gauge.state = _STATES.get(phase.value, phase.value)

    # --- its life ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look after the process until it is dead; what it brought may still be wanted."""
        try:
            await self.process.run(self._hear)
        finally:
            self._is_dead = True
        if self.phase is not Phase.INSTALLING and not self.outlives_process:
            self._finish(None)

    @property
    def outlives_process(self) -> bool:
        """Whether the process ended in good order, and what it brought still waits to be wanted or is being installed."""
        is_orderly = self._exit is not None and self._exit.result == "ok" and not self.process.failure
        return self.arrived is not None and is_orderly

    async def wait_until_settled(self) -> None:
        """Wait until nothing that it brought is being installed, or waits for that."""
        await self._is_settled.wait()

    @property
    def is_installing(self) -> bool:
        """Whether what it brought is becoming the state, so that nobody may remove it."""
        return self.phase is Phase.INSTALLING

    @property
    def is_clean(self) -> bool:
        """Whether nothing can be left beside the state: all that came was installed, and the process ended well."""
        return self.ending().result == "ok" and not self._has_dropped

    @property
    def in_vain_bytes(self) -> int:
        """How much was moved of a version that did not come through."""
        return self.gauge.bytes if self._is_moving else 0

    def ending(self) -> Ending:
        """Say how the process ended, which is dead."""
        if self._bad_version:
            return Ending("failed", self._bad_version, "protocol")
        return ending_of(self.process, self._exit, stop_reason=self._stop_reason)

    # --- what it says -----------------------------------------------------------------------------------------

    def _hear(self, event: TransfererEvent) -> None:
        """Take an event; whatever is no event of a download is passed over, since it may be a later version's."""
        match event["event"]:
            case "offer":
                self._offered(event)
            case "progress":
                self._progressed(event)
            case "received":
                self._received(event)
            case "exit":
                self._exit = words.read_exit(event)

    def _expects(self, *phases: Phase) -> bool:
        """Whether an event comes at its time; one that crossed our word to stop is nobody's fault."""
        if self.phase not in {*phases, Phase.STOPPING}:
            raise NonsenseError(f"that is not said while a download is {self.phase.value}")
        return self.phase is not Phase.STOPPING

    def _offered(self, event: TransfererEvent) -> None:
        if not self._expects(*((Phase.STARTING, Phase.IDLE) if self._is_ours else ())):
            return
        size_bytes = words.read_total_bytes(event)
        self._enter(Phase.OFFERED)
        version = self._version_of(event)
        if version is not None:
            self._version, self.document = version, event.get("version")
            self.gauge.begin(version.point, size_bytes, "waiting")
            self._on_offer(version)

    def _progressed(self, event: TransfererEvent) -> None:
        self.gauge.progressed(event)
        if self.phase is Phase.STARTING:
            # A real peer offers nothing; it just sends.
            self._is_moving, self.gauge.state = True, "moving"

    def _received(self, event: TransfererEvent) -> None:
        if not self._expects(Phase.MOVING if self._is_ours else Phase.STARTING):
            return
        arrived = words.read_arrived(event, self._staged, is_folder=self._is_folder)
        self._is_moving = False
        self._enter(Phase.RECEIVED)
        version = self._version if self._is_ours else self._version_of(event)
        if version is None:
            return
        self.arrived = arrived
        self.gauge.begin(version.point, total_bytes(arrived.files), "waiting")
        self.gauge.bytes = arrived.moved.bytes
        self._observer.version_received(
            self.gauge.peer, version.point, arrived.moved.bytes, arrived.moved.seconds
        )
        self._on_received(version, arrived)

    def _version_of(self, event: TransfererEvent) -> Version | None:
        """Read which version it is; a peer whose version makes no sense is refused, and told why."""
        try:
            return words.read_version_untrusted(event)
        except VersionError as error:
            self._bad_version = f"the peer's version makes no sense: {error}"
            self.refuse(self._bad_version, "failed")
            return None
