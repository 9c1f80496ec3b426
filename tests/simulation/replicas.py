"""A simulated replication daemon: the real `Replica`, a disk that may fail at every step, transfers that take time.

A host's state file is a tuple of records that its controllee appends to: the number of the controllee's run, and that
of the record in this run. What is durable is the file, the version
beside it and the conflicts that were kept; the order of the writes is the daemon's, and a crash loses those that
were under way, or not, as the dice will. The file and its version are one (`replication.pair` and its own tests see
to that), so a crash during an installation leaves the old pair or the new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from had import events as had_events
from replication import effects, events
from replication.manifest import FileRecord, Held
from replication.replica import Replica
from replication.replica_settings import ReplicaSettings
from replication.version import Version
from tests.simulation.archivist import Archive, Archivist, Content, check_marks, digest_of
from tests.simulation.network import PROCESS_DOWN, PROCESS_FROZEN, PROCESS_UP, Network
from tests.simulation.world import Clock, Timer, Violation, World

if TYPE_CHECKING:
    from tests.simulation.keeper import Keeper

STALL_SECONDS = 2.0
"""A transfer that does not move for so long fails."""

SPIN_LIMIT = 200


def files_of(content: Content) -> tuple[FileRecord, ...]:
    """Describe a state file as a manifest does."""
    return (FileRecord("0", len(content), digest_of(content)),)


@attrs.define(slots=True)
class StateDisk:
    """What survives a crash of the host, and how the disk behaves; times in seconds."""

    content: Content | None = None
    held: Held | None = None
    archive: Archive = attrs.field(factory=Archive)
    delay: tuple[float, float] = (0.001, 0.02)
    failure: float = 0.0
    busy_until: float = 0.0

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """What a thorough look at the state file finds."""
        return () if self.content is None else files_of(self.content)


@attrs.define(slots=True, eq=False)
class Transfer:
    """One connection on which versions are fetched, with a process at each end."""

    number: int
    source: ReplicaNode
    target: ReplicaNode
    request: int = 0
    is_over: bool = False
    is_staying: bool = False
    #: The version on its way, and the one to send after it.
    sending: tuple[Version, Content] | None = None
    next: tuple[Version, Content] | None = None
    is_ending: bool = False
    stall: Timer | None = None


class ReplicaNode:
    """One host with our replication daemon on it."""

    is_ours = True
    is_busy = False

    def __init__(
        self,
        world: World,
        network: Network,
        keeper: Keeper,
        settings: ReplicaSettings,
        clock: Clock,
        is_controllee_there: Callable[[], bool],
    ):
        self.world, self.network, self.keeper, self.settings, self.clock = (
            world,
            network,
            keeper,
            settings,
            clock,
        )
        self.name = settings.me
        self.label = "r" + settings.me.partition(":")[0][1:]
        self.disk = StateDisk()
        self.archivist = Archivist(self, self.disk.archive)
        self.is_host_up = True
        self.process = PROCESS_DOWN
        self.machine: Replica | None = None
        self.instance = 0
        self.started_at = self.held_since = 0.0
        #: had's side: takes answers.
        self.on_answer: Callable[[effects.Answer], None] = lambda _answer: None
        self.on_start: Callable[[], None] = lambda: None
        self._is_controllee_there = is_controllee_there
        self._inbox: deque[events.Event] = deque()
        self._deadline: tuple[float, Timer] | None = None
        self._last_local = 0.0
        self._spins = (0.0, 0)
        self._operations: deque[Callable[[], events.Event | None]] = deque()
        #: What a frozen daemon was about to do.
        self._delayed: deque[Callable[[], None]] = deque()
        self._is_watching = False
        self._told: tuple[FileRecord, ...] | None = None
        self._look: Timer | None = None
        self._settle: Timer | None = None
        self._last_write = 0.0
        self._requests = 0
        #: Somebody who must not changed the state.
        self.was_altered = False
        self.downloads: dict[int, Transfer] = {}
        self.uploads: dict[int, Transfer] = {}
        network.nodes[self.name] = self
        keeper.replicas.append(self)

    @property
    def timeout_seconds(self) -> float:
        """T."""
        return self.settings.timeout_seconds

    @property
    def is_up(self) -> bool:
        """Tell whether the daemon exists, frozen or not."""
        return self.process != PROCESS_DOWN

    @property
    def has_controllee(self) -> bool:
        """Tell whether a controllee runs on this host, or begins to."""
        return self._is_controllee_there()

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon: recover the pair, look at the state, listen."""
        if self.is_up or not self.is_host_up:
            return
        self.instance += 1
        self.process = PROCESS_UP
        self.started_at = self.world.now
        self.world.tell(self.label, f"replica started, holds {self._held_text()}")
        self.machine = Replica(self.settings, self.disk.held, self.instance, self._local_now())
        self._inbox.clear()
        self._operations.clear()
        self._is_watching = False
        self._told = None if self.disk.held is None else self.disk.held.files
        self.disk.busy_until = self.world.now
        self.network.open_all(self.name, self.settings.others)
        if self.disk.content is not None:
            self._tell_changes()
        self.archivist.tell()
        self._handle(events.Tick())
        self.on_start()
        self._schedule_look()

    def kill(self) -> None:
        """SIGKILL, of its transferers too."""
        if self.is_up:
            self.world.tell(self.label, "replica killed")
            self._end()
            self.network.process_ended(self.name)

    def host_death(self) -> None:
        """Power is cut."""
        if self.is_host_up:
            self._end()
            self.is_host_up = False
            self.network.host_died(self.name)

    def host_return(self) -> None:
        """The machine boots."""
        if not self.is_host_up:
            self.is_host_up = True
            self.network.host_returned(self.name)
            self.world.after(self.world.between(0.01, 0.5), self.start)

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.process == PROCESS_UP:
            self.world.tell(self.label, "replica frozen")
            self.process = PROCESS_FROZEN

    def thaw(self) -> None:
        """SIGCONT."""
        if self.process == PROCESS_FROZEN:
            self.world.tell(self.label, "replica continued")
            self.process = PROCESS_UP
            while self._delayed:
                self._delayed.popleft()()
            while self._inbox and self.process == PROCESS_UP:
                self._handle(self._inbox.popleft())
            if self.process == PROCESS_UP:
                self._handle(events.Tick())

    def _end(self) -> None:
        was_frozen = self.process == PROCESS_FROZEN
        self.process = PROCESS_DOWN
        self.machine = None
        for timer in (self._deadline and self._deadline[1], self._look, self._settle):
            if timer:
                timer.cancel()
        self._deadline = self._look = self._settle = None
        if self._operations and not was_frozen and self.world.chance(0.5):
            # The first write under way reached the disk although nobody will be told.
            self._operations[0]()
        self._operations.clear()
        self._delayed.clear()
        for transfer in [*self.downloads.values(), *self.uploads.values()]:
            self._break(transfer, "the other end is gone")
        self.downloads.clear()
        self.uploads.clear()

    def _held_text(self) -> str:
        held = self.disk.held
        return "nothing" if held is None else f"{held.version.point}{'+' if held.is_leading else ''}"

    # --- events in --------------------------------------------------------------------------------------------

    def receive(self, event: events.Event | had_events.Event) -> None:
        """Take an event; the network speaks of links in had's words."""
        if isinstance(event, had_events.Linked):
            event = events.Linked(event.peer, event.is_ours)
        elif isinstance(event, had_events.Refused):
            event = events.Gone(event.peer)
        elif isinstance(event, had_events.Denied):
            return
        if self.process == PROCESS_FROZEN or self._inbox:
            self._inbox.append(event)
        elif self.process == PROCESS_UP:
            self._handle(event)

    def _local_now(self) -> float:
        self._last_local = max(self._last_local, self.clock.local(self.world.now))
        return self._last_local

    def _handle(self, event: events.Event) -> None:
        machine = self.machine
        assert machine is not None
        local = self._local_now()
        if type(event) is events.Tick and 0 < machine.deadline - local < 1e-6:
            local = self._last_local = machine.deadline
        found = machine.handle(event, local)
        self.disk.archive.remembered |= machine.revisions.merged
        if self.world.is_tracing:
            self._trace(event, found)
        for effect in found:
            self._perform(effect)
        if self.machine is machine and self.process == PROCESS_UP:
            self._arm(machine.deadline, local)

    def _trace(self, event: events.Event, found: list[effects.Effect]) -> None:
        shown = [str(e)[:200] for e in found if not isinstance(e, effects.Send)]
        if shown or not isinstance(event, (events.Heard, events.Tick)):
            self.world.trace(self.label, str(event)[:300] + "".join(f"\n{'':23}=> {e}" for e in shown))

    def _arm(self, deadline: float, local: float) -> None:
        if self._deadline:
            if self._deadline[0] == deadline:
                return
            self._deadline[1].cancel()
            self._deadline = None
        if deadline == float("inf"):
            return
        if deadline <= local:
            since, count = self._spins
            self._spins = (local, count + 1 if since == local else 0)
            if count > SPIN_LIMIT:
                raise Violation(f"{self.label}: the deadline {deadline} is never later than now {local}")
        self._deadline = (deadline, self.world.at(self.clock.true(deadline), self._deadline_reached))

    def _deadline_reached(self) -> None:
        self._deadline = None
        if self.process == PROCESS_UP:
            self._handle(events.Tick())

    # --- effects out ------------------------------------------------------------------------------------------

    def _perform(self, effect: effects.Effect) -> None:
        kind = type(effect)
        if kind is effects.Send:
            self.keeper.reported(self, effect.report)
            self.network.send(self.name, effect.to, events.Heard(effect.report))
        elif kind is effects.Note:
            self._do(lambda: self._noted(effect.held), events.Noted(effect.held), events.NoteFailed("full"))
        elif kind is effects.Watch:
            self._is_watching = True
            if self._settle:
                self._settle.cancel()
            self._changed_soon()
        elif kind is effects.Settle:
            self._is_watching = False
            self._last_write = max(self._last_write, self.world.now if effect.quiet_seconds else 0.0)
            self._settle = self.world.after(self.world.between(0.001, 0.02), self._settling, effect)
        elif kind is effects.KeepConflict:
            self._do(lambda: self._keep("changed by somebody else"), None, None)
        elif kind is effects.Revise:
            self._do(lambda: self.archivist.revise(effect), None, events.ReviseFailed("full"))
        elif kind is effects.MarkMerged:
            check_marks(self, effect)
            self._do(lambda: self.archivist.mark(effect), None, None)
        elif kind is effects.Answer:
            self.on_answer(effect)
        elif kind is effects.Transition:
            self.world.tell(self.label, f"{effect.source.value} -> {effect.target.value}: {effect.reason}")
        elif kind is effects.Finished:
            self._end()
            self.network.process_ended(self.name)
        else:
            self._perform_transfer(effect)

    def _perform_transfer(self, effect: effects.Effect) -> None:
        kind = type(effect)
        if kind is effects.StartDownload:
            self._start_download(effect)
        elif kind is effects.StopDownload:
            self._break(self.downloads.get(effect.download), effect.reason)
        elif kind is effects.Take:
            self._taken(self.downloads.get(effect.download))
        elif kind is effects.Refuse:
            self.world.tell(self.label, f"refuses: {effect.reason}")
            self._break(self.downloads.get(effect.download), "refused")
        elif kind is effects.Install:
            self._install(effect)
        elif kind is effects.StartUpload:
            self._start_upload(effect)
        elif kind is effects.RefuseUpload:
            self._break(self.uploads.pop(effect.request, None), effect.reason)
        elif kind is effects.Announce:
            for transfer in list(self.uploads.values()):
                if transfer.is_staying:
                    self._send_next(transfer, self._sendable())
        elif kind is effects.EndUploads:
            for transfer in list(self.uploads.values()):
                transfer.is_ending = True
                self._end_if_idle(transfer)

    # --- the disk ---------------------------------------------------------------------------------------------

    def _do(
        self,
        act: Callable[[], events.Event | None],
        good: events.Event | None,
        bad: events.Event | None,
        step: Callable[[], None] | None = None,
    ) -> None:
        """Do something durable after what was asked before, with a step of its own at half time.

        What it returns is told, else what is `good`.
        """
        disk, instance = self.disk, self.instance
        start = max(disk.busy_until, self.world.now)
        disk.busy_until = start + self.world.between(*disk.delay)
        self._operations.append(act)
        if step is not None:
            half = start + self.world.between(0, disk.busy_until - start)
            self.world.at(half, lambda: step() if instance == self.instance and self.is_up else None)

        def finish() -> None:
            if instance != self.instance or not self.is_up:
                return
            if self.process == PROCESS_FROZEN:
                self._delayed.append(finish)
                return
            self._operations.popleft()
            # The daemon stood still, and does not know what happens here by now.
            is_late = self.world.now > start + disk.delay[1] + self.timeout_seconds / 4
            is_bad = bad is not None and (is_late or self.world.chance(disk.failure))
            event = bad if is_bad else act() or good
            if event is not None:
                self.receive(event)

        self.world.at(disk.busy_until, finish)

    def _noted(self, held: Held) -> None:
        self.keeper.noted(self, held.version, held.files)
        self.disk.held = held
        self.has_written(held)
        self.world.tell(self.label, f"holds {self._held_text()}")

    def has_written(self, held: Held) -> None:
        """This is on disk now, and what stands there is it."""
        self.was_altered = False
        self._told, self.held_since = held.files, self.world.now
        self.archivist.tell()

    def _keep(self, why: str) -> None:
        content = self.disk.content
        if content is not None and content not in self.disk.archive.conflicts:
            self.world.tell(self.label, f"keeps {len(content)} records as a conflict: {why}")
            self.disk.archive.conflicts.append(content)
            self.keeper.conflicts += 1
            self.archivist.tell()

    def _install(self, effect: effects.Install) -> None:
        transfer = self.downloads[effect.download]
        assert transfer.sending is not None
        content = transfer.sending[1]

        def keep() -> None:
            held = self.disk.held
            is_altered = held is None or self.disk.files != held.files
            if effect.is_conflict or (is_altered and self.disk.content):
                self._keep(f"replaced by {effect.held.version.point}")

        def commit() -> None:
            keep()
            if self._is_controllee_there():
                raise Violation(f"{self.label}: installs over the state of a running controllee")
            self.keeper.installs(self, effect)
            self.disk.content, self.disk.held = (content if effect.held.files else None), effect.held
            self.has_written(effect.held)
            self.world.tell(self.label, f"installed {effect.held.version.point}, {len(content)} records")

        def installed() -> None:
            if self.process == PROCESS_FROZEN:
                self._delayed.append(installed)
                return
            if transfer.is_over:
                return
            transfer.sending = None
            self._after_one(transfer)

        good = events.Installed(effect.download, effect.held)
        self._do(commit, good, events.InstallFailed(effect.download, "No space left on device"), keep)
        self.world.at(self.disk.busy_until + 1e-6, installed)

    # --- looking at the state ---------------------------------------------------------------------------------

    def written(self) -> None:
        """The controllee appended a record."""
        self._last_write = self.world.now
        if self._is_watching or self._settle:
            self._changed_soon()

    def _changed_soon(self) -> None:
        if not (self._look and self._look.act):
            self._look = self.world.after(self.world.between(0, 0.02), self._look_now)

    def _schedule_look(self) -> None:
        instance = self.instance

        def floor() -> None:
            if self.instance == instance and self.is_up:
                self._look_now()
                self._schedule_look()

        self.world.after(1.0, floor)

    def _look_now(self) -> None:
        self._look = None
        if self.process == PROCESS_UP and self.disk.content is not None and not self._operations:
            self._tell_changes()

    def _tell_changes(self) -> None:
        if self.disk.files != self._told:
            self._told = self.disk.files
            assert self.disk.content is not None
            self.keeper.contents[self._told] = self.disk.content
            self.receive(events.StateChanged(self._told))

    def _settling(self, effect: effects.Settle) -> None:
        self._settle = None
        if self.process == PROCESS_DOWN:
            return
        wait = self._last_write + effect.quiet_seconds - self.world.now
        if wait > 0 or self._operations:
            self._settle = self.world.after(max(wait, 0.005), self._settling, effect)
            return
        if self.disk.content is not None:
            self._tell_changes()
        self.receive(events.Settled())

    # --- transfers --------------------------------------------------------------------------------------------

    def _start_download(self, effect: effects.StartDownload) -> None:
        source = self.network.nodes[effect.peer]
        assert isinstance(source, ReplicaNode)
        transfer = Transfer(effect.download, source, self)
        self.downloads[effect.download] = transfer
        self._restall(transfer)
        self._later(transfer, 0.05, source._upload_asked, transfer)

    def _later(self, transfer: Transfer, longest: float, act: Callable[..., None], *arguments) -> None:
        """Carry something over the connection, unless it is cut or over by then."""

        def arrive() -> None:
            pair = (transfer.source.name, transfer.target.name)
            if not transfer.is_over and pair not in self.network.cuts:
                act(*arguments)

        self.world.after(self.world.between(0.0005, longest), arrive)

    def _restall(self, transfer: Transfer | None) -> None:
        if transfer is None or transfer.is_over:
            return
        if transfer.stall:
            transfer.stall.cancel()
        wait = STALL_SECONDS + self.keeper.transfers.seconds[1]
        transfer.stall = self.world.after(wait, self._stalled, transfer)

    def _stalled(self, transfer: Transfer) -> None:
        is_idle = transfer.is_staying and transfer.sending is None
        pair = (transfer.source.name, transfer.target.name)
        if is_idle and pair not in self.network.cuts and transfer.source.is_host_up:
            self._restall(transfer)
        else:
            self._break(transfer, "stalled")

    def _upload_asked(self, transfer: Transfer) -> None:
        if self.process != PROCESS_UP:
            if self.process == PROCESS_DOWN:
                self._break(transfer, "connection refused")
            return
        self._requests += 1
        transfer.request = self.instance * 1_000_000 + self._requests
        self.uploads[transfer.request] = transfer
        self.receive(events.UploadAsked(transfer.request, transfer.target.name, is_ours=True))

    def _start_upload(self, effect: effects.StartUpload) -> None:
        transfer = self.uploads[effect.request]
        transfer.is_staying = effect.is_staying
        sendable = self._sendable()
        if sendable is None:
            self._break(transfer, "the snapshot is gone")
        else:
            self._send_next(transfer, sendable)

    def _sendable(self) -> tuple[Version, Content] | None:
        """The version that is held, with the bytes it covers: the snapshot that was told is still open."""
        assert self.machine is not None
        held = self.machine.ledger.held
        if held is None:
            return None
        return held.version, self.keeper.contents[held.files]

    def _send_next(self, transfer: Transfer, sendable: tuple[Version, Content] | None) -> None:
        if transfer.is_over or sendable is None:
            return
        if transfer.sending is not None:
            transfer.next = sendable
            return
        transfer.sending = sendable
        self._restall(transfer)
        offered = events.Offered(transfer.number, sendable[0])
        self._later(transfer, 0.005, transfer.target.receive, offered)

    def _taken(self, transfer: Transfer | None) -> None:
        if transfer is None or transfer.is_over or transfer.sending is None:
            return
        weather = self.keeper.transfers
        if self.world.chance(weather.endless):
            return
        if self.world.chance(weather.failure):
            self._later(transfer, weather.seconds[1], self._break, transfer, "broken off")
            return
        version, content = transfer.sending
        received = events.Received(transfer.number, version, files_of(content) if content else ())
        self._later(transfer, self.world.between(*weather.seconds), self.receive, received)

    def _after_one(self, transfer: Transfer) -> None:
        """The other end knows that a version was installed; it goes on or ends."""
        following, transfer.next = transfer.next, None
        if following is not None:
            transfer.source._send_next(transfer, following)
        else:
            self._end_if_idle(transfer)

    def _end_if_idle(self, transfer: Transfer) -> None:
        if transfer.sending is None and (transfer.is_ending or not transfer.is_staying):
            self._break(transfer, "nothing more", is_orderly=True)

    def _break(self, transfer: Transfer | None, reason: str, *, is_orderly: bool = False) -> None:
        """Both processes end."""
        if transfer is None or transfer.is_over:
            return
        transfer.is_over = True
        if transfer.stall:
            transfer.stall.cancel()
        source, target = transfer.source, transfer.target
        source.uploads.pop(transfer.request, None)
        if source.is_up and transfer.request:
            self.world.after(0.001, source.receive, events.UploadEnded(transfer.request))
        ended = events.DownloadEnded(transfer.number, is_orderly, reason)
        instance = target.instance

        def tell() -> None:
            if target.instance == instance:
                target.receive(ended)

        self.world.after(0.001, tell)
