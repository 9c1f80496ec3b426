"""The life of one `had-replication`, from its configuration to its exit status.

`Daemon.run` opens what only one daemon may have, brings the durable pair in order, starts every part in one nursery, and
ends when the machine is finished. A signal, or an operator's command, becomes an event or a reload; nothing here decides.
The parts and who talks to whom: docs/architecture.md.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path

import trio

from daemoncore import boottime
from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.cedar.sessions import Session
from daemoncore.children import Children
from daemoncore.client import Client
from daemoncore.command_port import open_command_port
from daemoncore.driver import Driver
from daemoncore.durable import DurableError
from daemoncore.early_signals import EarlySignals
from daemoncore.life import Life
from daemoncore.links import Link, Links
from daemoncore.log import DaemonLog, serve_logger
from daemoncore.membership import HOST_NETWORK, find_named
from daemoncore.metrics import DaemonMetrics
from daemoncore.pages import health_limit_seconds
from daemoncore.security import Security
from daemoncore.server import CommandServer
from daemoncore.standing_commands import StandingCommands
from daemoncore.startup import Options, StartError, claim_folder, listen_for_pages
from daemoncore.state_folder import StateFolder
from daemoncore.version import REVISION, VERSION
from replication.advertising import ReplicationAdvertising
from replication.attendance import Attendance
from replication.conflict_commands import ConflictCommands
from replication.effects import Effect, Finished
from replication.events import Event, Gone, Heard, Linked, Reconfigured, StopRequested, Tick
from replication.hands import Hands
from replication.loading import Loaded, load
from replication.metrics import ReplicationMetrics
from replication.outlook import Outlook
from replication.parts import store_settings, terms_of
from replication.places import Places
from replication.replica import CONFIRMATION_TIMEOUTS, Replica
from replication.replica_settings import Member
from replication.service import Asked, Reins, Service
from replication.settings import Settings, needs_restart
from replication.staging import RefusedError
from replication.starts import count_start
from replication.store import Store
from replication.telling import Telling
from replication.transfers import Transfers
from replication.web import ROUTES

FLUSH_SECONDS = 0.5
"""How long a daemon that ends waits for its last words to leave."""


class Daemon:
    """One replication daemon.

    Args:
        loaded: its configuration.
        options: the command line, for reading the configuration again.
        environment: the process environment.
        early_signals: what came while the configuration was read.
    """

    def __init__(
        self, loaded: Loaded, options: Options, environment: Mapping[str, str], early_signals: EarlySignals
    ) -> None:
        self._loaded = loaded
        self._options = options
        self._environment = environment
        self._children = Children()
        settings = loaded.settings
        log = DaemonLog(settings.log, environment=environment, has_thread=True)
        common = DaemonMetrics(
            "replication", version=VERSION, revision=REVISION, start_time=time.time(), routes=ROUTES
        )
        common.configuration_loaded(time.time(), settings.shared_hash)
        self._common = common
        entries, files = [m.entry for m in settings.members], [str(path) for path in settings.paths]
        self._metrics = ReplicationMetrics(common, me=settings.me.entry, members=entries, files=files)
        self._telling = Telling(serve_logger("", log), self._metrics, self._labels())
        self._life: Life[Loaded] = Life(
            "replication",
            load=functools.partial(load, options, environment),
            take=self._take,
            stop=self._stop,
            tell=self._telling.log,
            log=log,
            metrics=common,
            environment=environment,
            early_signals=early_signals,
            inheritance=options.inheritance,
            client=self._client,
            hang_seconds=lambda: self.settings.hang_seconds,
            last_turn=lambda: self._telling.last_turn,
            health_limit_seconds=lambda: health_limit_seconds(self.settings.connection_timeout_seconds),
        )
        self._attendance = Attendance(self._post, has_stood_still=self._has_stood_still)
        self._present_client: Client | None = None
        self._replica: Replica | None = None
        self._driver: Driver[Event, Effect] | None = None
        self._unposted: list[Event] = []

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._loaded.settings

    # --- start-up ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until asked to stop.

        Raises:
            StartError: the daemon cannot start.
        """
        await self._life.live(self._serve)

    async def _serve(self) -> None:
        """Open what only one daemon may have."""
        self._warn(self._loaded)
        settings = self.settings
        folder = await claim_folder(settings.had_dir, "replication", settings.me.entry, settings.owner)
        try:
            await self._serve_in(folder)
        finally:
            folder.close()

    async def _serve_in(self, folder: StateFolder) -> None:
        """Put the parts together and let them run."""
        settings = self.settings
        instance = count_start(folder.path, settings.owner, time.time())
        port = await open_command_port(
            settings.me.numeric,
            "REPLICATION_LIST, -p",
            self._options,
            settings.socket_folder,
            settings.owner,
        )
        web_listeners = await listen_for_pages(
            settings.http_address, settings.http_port, "HAD_HTTP_ADDRESS, REPLICATION_HTTP_PORT"
        )
        self._make_parts(folder.path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._life.run)
            nursery.start_soon(port.serve, self._server)
            if web_listeners:
                nursery.start_soon(self._outlook.pages(self._life, self._common).serve, web_listeners)
            # Whoever wants a kept copy may ask as soon as it is read.
            await nursery.start(self._transfers.run)
            driver = await self._open(instance)
            nursery.start_soon(self._store.run)
            nursery.start_soon(self._links.run)
            nursery.start_soon(self._ads.run)
            nursery.start_soon(self._conflicts.run)
            self._report_ready()
            await driver.run()
            self._life.stopping()
            await self._links.flush(FLUSH_SECONDS)
            await self._ads.retire()
            nursery.cancel_scope.cancel()
        self._hands.close()
        self._store.close()
        self._telling.log("daemon_stopped", node=settings.me.entry)

    def _make_parts(self, folder: Path) -> None:
        settings = self.settings
        version_file = (settings.spool or folder) / "Version"
        self._places = Places(settings.paths, settings.is_folder, version_file, folder, settings.owner)
        self._store = Store(
            self._places, store_settings(settings), self._post, self._telling.store, wall_clock=time.time
        )
        self._transfers = Transfers(
            self._places,
            self._post,
            self._telling.transfers,
            lambda: terms_of(self._loaded, self._environment),
            self._children,
            self._store.run_in_background,
            address_of=self._address_of,
            session_of=self._session_of,
        )
        self._links = Links(self._make_link)
        self._links.keep(settings.replica().others)
        self._hands = Hands(
            settings.me.numeric,
            sender=self._links,
            shelf=self._store,
            carrier=self._transfers,
            answer=self._attendance.answer,
            observer=self._telling,
            post=self._post,
        )
        self._conflicts = ConflictCommands(
            self._store,
            self._transfers.fetch_copy,
            replica=lambda: self._replica,
            find=lambda text: find_named(self._labels(), text),
            is_merging=lambda: self.settings.is_merging,
            tell=self._telling.log,
        )
        parts = self._places, self._store, self._transfers, self._telling
        self._outlook = Outlook(lambda: self.settings, lambda: self._replica, *parts)
        self._server = CommandServer(self._security(), self._telling.commands)
        self._common.watch_sessions(self._server.sessions.__len__, lambda: len(self._client().sessions))
        self._service = Service(self._reins(), self._attendance)
        self._service.register(self._server)
        StandingCommands(self._life.reload, self._life.stop, self._telling.commanded).register(self._server)
        told = self._telling.log, self._common
        self._ads = ReplicationAdvertising(self._outlook, self._client, self._server, *told)

    async def _open(self, instance: int) -> Driver[Event, Effect]:
        """Bring the pair in order and make the machine of what is held.

        A replacement that a crash interrupted is not gone on with before had has said whether its controllee runs:
        a rename over its state would be the end of what it writes.
        """
        settings = self.settings
        if self._store.has_journal:
            await self._attendance.first_word(CONFIRMATION_TIMEOUTS * settings.connection_timeout_seconds)
        open_store = functools.partial(
            self._store.open, is_controllee_running=lambda: self._attendance.may_run_controllee
        )
        try:
            opening = await trio.to_thread.run_sync(open_store)
        except (DurableError, RefusedError) as error:
            raise StartError(str(error)) from error
        for sentence in opening.sentences:
            self._telling.log("found_at_start", text=sentence)
        replica = self._replica = Replica(settings.replica(), opening.held, instance, boottime.now())
        self._driver = Driver(
            replica, self._hands.perform, self, tick=Tick(), droppable=(Heard,), finished=Finished
        )
        unposted, self._unposted = self._unposted, []
        for event in (*opening.events, *unposted):
            self._driver.post(event)
        return self._driver

    def _report_ready(self) -> None:
        settings = self.settings
        self._telling.log(
            "daemon_started",
            node=settings.me.entry,
            version=VERSION,
            state=" ".join(str(path) for path in settings.paths),
            members=" ".join(m.entry for m in settings.members),
        )
        self._life.ready(f"{settings.me.entry} keeps {settings.paths[0]}")

    def _warn(self, loaded: Loaded) -> None:
        for warning in loaded.settings.warnings:
            self._telling.log("configuration_warning", text=str(warning))
        if loaded.is_loopback_only:
            self._telling.log("loopback_only", members=" ".join(m.entry for m in loaded.settings.members))

    # --- the parts --------------------------------------------------------------------------------------------

    def _labels(self) -> dict[Member, str]:
        return {member.name: member.entry for member in self.settings.members}

    def _security(self) -> Security:
        return self._loaded.security.speaking_from(str(self.settings.me.numeric.sinful()))

    def _make_link(self, member: Member) -> Link:
        return Link(
            member,
            self._client,
            self,
            lambda: self.settings.connection_timeout_seconds,
            self._telling.links,
            self._service.is_streaming,
            stream_command=Command.REPLICATION_REPORT,
            asked_about=Command.REPLICATION_LEADER_VERSION,
            address_of=self._address_of,
        )

    def _address_of(self, member: Member) -> Address:
        """A replica's whole address, by the settings that are in force when it is dialled."""
        return self.settings.address_of(member)

    def _client(self) -> Client:
        """The present client; a reload makes another, and with it new sessions."""
        if self._present_client is None:
            self._present_client = Client(
                self._security(),
                source_address=self.settings.me.numeric.host,
                user_timeout_seconds=self.settings.connection_timeout_seconds,
                local_sockets=self._options.local_sockets(self.settings.socket_folder),
            )
        return self._present_client

    def _session_of(self, member: Member, command: int) -> Session | None:
        """What was agreed on with a replica and is good for a command, which saves a transferer the login."""
        place = str(self.settings.address_of(member).sinful())
        return self._client().sessions.find(place, command, time.time())

    def _reins(self) -> Reins:
        return Reins(
            post=self._post,
            upload=self._wanted_by,
            members=lambda: self.settings.replica().others,
            is_own_host=HOST_NETWORK.is_bindable,
            me=self.settings.me.name,
            is_ours=self._links.is_ours,
            timeout_seconds=lambda: self.settings.connection_timeout_seconds,
            heard=self._links.heard,
            status=lambda: self._outlook.status().to_text(),
            conflict=self._conflicts.answer,
            reject=self._telling.rejected,
        )

    # --- events and effects -----------------------------------------------------------------------------------

    def _post(self, event: Event) -> None:
        if self._driver is None:
            self._unposted.append(event)
            return
        self._hands.came_back(event)
        self._driver.post(event)

    def turned(self, event: Event, now: float, lag_seconds: float) -> None:  # noqa: ARG002 -- see below
        """The loop turned; how late it was is told by had, on the same machine."""
        assert self._replica is not None, "there is no turn without a machine"
        self._hands.stands(self._replica.ledger.standing)
        self._store.heard_merged(self._replica.revisions.merged)
        self._telling.turned(self._replica, event, now)
        self._ads.turned()

    def _has_stood_still(self) -> bool:
        """Whether the loop, which turns twice in each T, has not turned for T: a thawed daemon's disk wakes with it."""
        quiet_seconds = boottime.now() - self._telling.last_turn
        return self._driver is not None and quiet_seconds > self.settings.connection_timeout_seconds

    def dropped(self, event: Event) -> None:
        """The loop is so far behind that an event was lost."""
        self._telling.log("event_dropped", kind=type(event).__name__)

    def linked(self, member: Member, *, is_ours: bool) -> None:
        """Our connection to a replica was made."""
        self._post(Linked(member, is_ours))

    def refused(self, member: Member) -> None:
        """Nobody listens at a replica's address."""
        self._post(Gone(member))

    def denied(self, member: Member) -> None:
        """A replica answers and does not let us in; the links have told it."""

    def _wanted_by(self, asked: Asked) -> None:
        """Somebody wants the state, or a kept copy."""
        if asked.archive is None:
            self._hands.upload_asked(asked)
        else:
            self._hands.copy_asked(asked, self._outlook.machine(), self._store.sendable_copy(*asked.archive))

    # --- reloads and the end ----------------------------------------------------------------------------------

    def _stop(self, is_fast: bool) -> None:
        """End; a graceful stop leaves had the time to stop its controllee and to flush."""
        seconds = 0.0 if is_fast else 2 * self.settings.stop_timeout_seconds + 1
        self._post(StopRequested(seconds))

    def _take(self, loaded: Loaded) -> None:
        """Put a new configuration in force, as far as that is possible without a restart."""
        old, new = self.settings, loaded.settings
        fixed = needs_restart(old, new)
        if fixed:
            self._telling.log("restart_needed", knobs=" ".join(fixed))
        if old.me.numeric != new.me.numeric:
            self._life.refuse(["this node's own entry changed: restart had-replication"])
            return
        self._loaded = loaded
        self._present_client = None
        self._server.replace_security(self._security())
        self._life.took(new.log, new.shared_hash)
        self._warn(loaded)
        self._telling.labels = self._labels()
        self._metrics.members_changed([m.entry for m in new.members])
        self._store.change(store_settings(new))
        self._links.keep(new.replica().others)
        self._telling.log("configuration_unchanged" if old == new else "configuration_changed")
        self._post(Reconfigured(new.replica()))
