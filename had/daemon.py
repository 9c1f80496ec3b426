"""The life of one `had`, from its configuration to its exit status.

`Daemon.run` opens what only one daemon may have, starts every part in one nursery, and ends when the machine is
finished. A signal, or an operator's command, becomes an event or a reload (`daemoncore.life`); nothing here decides.
The parts and who talks to whom: docs/architecture.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import cast

import attrs
import trio

from daemoncore import boottime
from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.children import Children
from daemoncore.client import Client
from daemoncore.command_port import open_command_port
from daemoncore.driver import Driver, Machine
from daemoncore.early_signals import EarlySignals
from daemoncore.http import HttpServer
from daemoncore.life import Life
from daemoncore.links import Link, Links
from daemoncore.log import DaemonLog, serve_logger
from daemoncore.membership import find_named
from daemoncore.metrics import DaemonMetrics
from daemoncore.pages import Pages, health_limit_seconds
from daemoncore.security import Security
from daemoncore.server import CommandServer
from daemoncore.startup import Options, StartError, listen_for_pages
from daemoncore.version import REVISION, VERSION
from had.advertising import HadAdvertising
from had.custody import Informed
from had.custody_events import CustodyChanged
from had.election_settings import ElectionSettings, Member
from had.events import Event, Finished, Heard, Reconfigured, StopRequested, Tick
from had.letters import Ears, Letters
from had.loading import Loaded, load
from had.node import (
    Durable,
    Surroundings,
    change_controllee,
    make_controllee,
    make_custody,
    make_election,
    make_hands,
    make_metrics,
    open_durable,
)
from had.on_change import OnChange
from had.replica_link import ReplicaLink
from had.service import Reins, Service
from had.settings import Change, Settings, compare, needs_restart
from had.status import Status
from had.tandem import Act, Tandem
from had.telling import Telling
from had.view import status_of
from had.web import ROUTES, Web

FLUSH_SECONDS = 0.5
"""How long a daemon that ends waits for its last words to leave."""


class Daemon:
    """One election daemon.

    Args:
        loaded: its configuration.
        options: the command line, for reading the configuration again.
        environment: the process environment.
        early_signals: what came while the configuration was read.
    """

    def __init__(
        self,
        loaded: Loaded,
        options: Options,
        environment: Mapping[str, str],
        early_signals: EarlySignals | None = None,
    ) -> None:
        self._loaded = loaded
        self._options = options
        self._environment = environment
        self._children = Children()
        self._log = DaemonLog(loaded.settings.log, environment=environment, has_thread=True)
        self._logger = serve_logger("", self._log)
        self._common = DaemonMetrics(
            "had", version=VERSION, revision=REVISION, start_time=time.time(), routes=ROUTES
        )
        self._common.configuration_loaded(time.time(), self.settings.shared_hash)
        self._metrics = make_metrics(self.settings, self._common)
        self._on_change = self._make_on_change()
        self._telling = Telling(self._logger, self._metrics, self._labels(), self._on_change)
        self._life = self._make_life(early_signals or EarlySignals())
        self._present_client: Client | None = None

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
        await self._life.live(self._live)

    async def _live(self) -> None:
        self._warn(self._loaded)
        durable = await open_durable(self.settings)
        try:
            await self._serve(durable)
        finally:
            durable.close()

    def _warn(self, loaded: Loaded) -> None:
        for warning in loaded.settings.warnings:
            self._telling.log("configuration_warning", text=str(warning))
        if loaded.is_loopback_only:
            self._telling.log("loopback_only", members=" ".join(m.entry for m in loaded.settings.members))

    async def _serve(self, durable: Durable) -> None:
        """Put the parts together and let them run."""
        if durable.damage is not None:
            self._telling.log("record_damaged", text=durable.damage)
        port = await open_command_port(
            self.settings.me.numeric,
            "HAD_LIST, -p",
            self._options,
            self.settings.socket_folder,
            self.settings.owner,
        )
        web_listeners = await listen_for_pages(
            self.settings.http_address, self.settings.http_port, "HAD_HTTP_ADDRESS, HAD_HTTP_PORT"
        )
        self._make_parts(durable)
        async with trio.open_nursery() as nursery:
            await self._start_controllee_guard(nursery)
            nursery.start_soon(self._hands.report_writes, self._driver.post)
            nursery.start_soon(port.serve, self._server)
            nursery.start_soon(self._links.run)
            nursery.start_soon(self._ads.run)
            if self._replica is not None:
                nursery.start_soon(self._replica.run)
            nursery.start_soon(self._life.run)
            if self._on_change is not None:
                nursery.start_soon(self._on_change.run)
            if web_listeners:
                nursery.start_soon(self._make_web().serve, web_listeners)
            self._report_ready()
            await self._driver.run()
            self._life.stopping()
            await self._flush()
            nursery.cancel_scope.cancel()
        self._hands.close()
        self._telling.log("daemon_stopped", node=self.settings.me.entry)

    def _make_parts(self, durable: Durable) -> None:
        self._election = make_election(self.settings, durable, VERSION)
        self._custody = make_custody(self.settings, durable)
        self._driver = Driver[Event | Informed, Act](
            self._machine(), self._perform, self, tick=Tick(), droppable=Heard, finished=Finished
        )
        self._controllee = make_controllee(self.settings, self._driver.post, self._surroundings(durable))
        self._links = Links(self._make_link)
        self._links.keep(self._peers())
        self._replica = None if self._custody is None else self._make_replica_link()
        self._hands = make_hands(
            lambda: self.settings,
            durable,
            sender=Letters(self._links, time.time, self._address_of),
            controllee=self._controllee,
            observer=self._telling,
            replica=self._replica,
        )
        self._server = CommandServer(self._security(), self._telling.commands)
        self._common.watch_sessions(self._server.sessions.__len__, lambda: len(self._client().sessions))
        self._service = Service(self._reins())
        self._service.register(self._server)
        self._ads = HadAdvertising(self, self._client, self._server, self._telling.log, self._common)

    def _surroundings(self, durable: Durable) -> Surroundings:
        lock, tell = durable.folder.lock_descriptor, self._telling.log
        return Surroundings(self._options, self._environment, self._client, tell, self._children, lock)

    def _machine(self) -> Machine[Event | Informed, Act]:
        """What decides. Without a replica that is the election alone: nobody posts what only the custody takes."""
        if self._custody is None:
            return cast("Machine[Event | Informed, Act]", self._election)
        return Tandem(self._election, self._custody)

    async def _flush(self) -> None:
        """Let the last words leave."""
        with trio.move_on_after(FLUSH_SECONDS):
            await self._links.flush(FLUSH_SECONDS)
            if self._replica is not None:
                await self._replica.flush(FLUSH_SECONDS)
        await self._ads.retire()

    async def _start_controllee_guard(self, nursery: trio.Nursery) -> None:
        try:
            await nursery.start(self._controllee.run)
        except OSError as error:
            raise StartError(f"the guard process cannot be started: {error}") from error

    def _report_ready(self) -> None:
        s, pid = self.settings, os.getpid()
        fields = {"timeout": s.connection_timeout_seconds, "members": " ".join(m.entry for m in s.members)}
        self._telling.log("daemon_started", node=s.me.entry, version=VERSION, pid=pid, **fields)
        self._life.ready(f"{s.me.entry} takes part")

    # --- the parts --------------------------------------------------------------------------------------------

    def _labels(self) -> dict[Member, str]:
        return {m.name: m.entry for m in (*self.settings.members, *self.settings.witnesses)}

    def _peers(self) -> tuple[Member, ...]:
        return self.settings.election().others

    def _security(self) -> Security:
        return self._loaded.security.speaking_from(str(self.settings.me.numeric.sinful()))

    def _make_life(self, early_signals: EarlySignals) -> Life[Loaded]:
        return Life(
            "had",
            load=lambda: load(self._options, self._environment),
            take=self._take,
            stop=lambda is_fast: self._driver.post(StopRequested(is_fast)),
            tell=self._telling.log,
            log=self._log,
            metrics=self._common,
            environment=self._environment,
            early_signals=early_signals,
            inheritance=self._options.inheritance,
            client=self._client,
            hang_seconds=lambda: self.settings.hang_seconds,
            last_turn=lambda: self._telling.last_turn,
            health_limit_seconds=self._health_limit_seconds,
        )

    def _health_limit_seconds(self) -> float:
        return health_limit_seconds(self.settings.connection_timeout_seconds)

    def _make_on_change(self) -> OnChange | None:
        if not self.settings.on_change:
            return None

        def report(text: str) -> None:
            self._telling.log("on_change_failed", text=text)

        return OnChange(
            self.settings.on_change, self.settings.me.entry, self._environment, self._children, report
        )

    def _make_link(self, member: Member) -> Link:
        return Link(
            member,
            self._client,
            Ears(self._driver.post),
            lambda: self.settings.connection_timeout_seconds,
            self._telling.links,
            self._service.is_streaming,
            stream_command=Command.HAD_HEARTBEAT,
            asked_about=Command.HAD_ALIVE_CMD,
            address_of=self._address_of,
        )

    def _make_replica_link(self) -> ReplicaLink:
        return ReplicaLink(
            lambda: self.settings.replica,
            str(self.settings.me.numeric.sinful()),
            self._client,
            self._driver.post,
            lambda: self.settings.connection_timeout_seconds,
            self._telling.log,
        )

    def _address_of(self, member: Member) -> Address:
        """A member's whole address, by the settings that are in force when it is dialled."""
        return self.settings.address_of(member)

    def _make_client(self) -> Client:
        return Client(
            self._security(),
            source_address=self.settings.me.numeric.host,
            user_timeout_seconds=self.settings.connection_timeout_seconds,
            local_sockets=self._options.local_sockets(self.settings.socket_folder),
        )

    def _client(self) -> Client:
        """The present client; a reload makes another, and with it new sessions."""
        if self._present_client is None:
            self._present_client = self._make_client()
        return self._present_client

    def _make_web(self) -> HttpServer:
        pages = Pages(
            metrics=self._life.scrape,
            why_not_ready=self._life.why_not_ready,
            last_turn_seconds=self._life.last_turn_seconds,
            health_limit_seconds=self._health_limit_seconds,
        )
        web = Web(self.status, pages)
        return HttpServer(web.routes(), observer=self._common.http_request)

    def _reins(self) -> Reins:
        return Reins(
            post=self._driver.post,
            answers=self._hands.answers,
            members=self._peers,
            heard=self._links.heard,
            is_ours=self._links.is_ours,
            status=lambda: self.status().to_text(),
            timeout_seconds=lambda: self.settings.connection_timeout_seconds,
            reload=self._life.reload,
            stop=self._life.stop,
            wall_clock=time.time,
            reject=self._telling.rejected,
            find=lambda text: find_named(self._labels(), text),
            log_command=self._telling.commanded,
        )

    def status(self) -> Status:
        """The status document as of now."""
        return status_of(
            self._election,
            boottime.now(),
            names=self._telling.name,
            pid=self._controllee.pid,
            restarts=self._telling.controllee_restarts,
            controllee_since=self._telling.controllee_since,
            history=tuple(self._telling.history),
            custody=self._custody,
        )

    def turned(self, event: Event | Informed, now: float, lag_seconds: float) -> None:
        """The loop turned."""
        self._telling.turned(self._election, event, now, lag_seconds)
        self._ads.turned(self._election)

    def dropped(self, event: Event | Informed) -> None:
        """The loop is so far behind that an event was lost."""
        self._telling.log("event_dropped", kind=type(event).__name__)

    # --- reloads ----------------------------------------------------------------------------------------------

    def _take(self, loaded: Loaded) -> None:
        """Put a new configuration in force, as far as that is possible without a restart."""
        old, new = self.settings, loaded.settings
        fixed = needs_restart(old, new)
        if fixed:
            self._telling.log("restart_needed", knobs=" ".join(fixed))
        if old.me.numeric != new.me.numeric or old.is_witness != new.is_witness:
            self._life.refuse(["this node's own entry changed: restart had"])
            return
        change = compare(old, new)
        self._loaded = loaded
        self._present_client = None
        self._server.replace_security(self._security())
        self._life.took(new.log, new.shared_hash)
        self._warn(loaded)
        self._metrics.settings(new.connection_timeout_seconds)
        self._metrics.members_changed([m.entry for m in new.members], [m.entry for m in new.witnesses])
        self._metrics.controllee_named(new.control.controllee)
        self._telling.labels = self._labels()
        self._links.keep(self._peers())
        change_controllee(self._controllee, new)
        if change is Change.UNCHANGED:
            self._telling.log("configuration_unchanged", timeout=new.connection_timeout_seconds)
            return
        self._telling.log("configuration_changed", change=change.value)
        if self._custody is not None:
            self._driver.post(CustodyChanged(new.custody()))
        self._driver.post(Reconfigured(self._election_settings(new), is_hard=change is Change.HARD))

    def _election_settings(self, settings: Settings) -> ElectionSettings:
        """What the machine works with; only a restart changes whether there are a replica and votes."""
        return attrs.evolve(
            settings.election(VERSION),
            has_replica=self._custody is not None,
            require_majority=self._election.settings.require_majority,
        )

    def _perform(self, effect: Act) -> None:
        self._hands.perform(effect)
