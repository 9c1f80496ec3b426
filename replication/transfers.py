"""All transfers of this node: what performs the machine's effects on them, with a transferer process for each.

The driver calls an order for each effect (`start_download`, `take`, `announce` ...) and is never kept waiting; what
comes of it is posted as events. The disk side asks for what has arrived (`arrival`), and says when it is installed.

A dead transferer may have left something beside the state. It is removed on the disk side's thread, never while it is
being installed, and not after an installation that was cut short (`replication.leftovers`). Until then the process is
not collected, so that no other one gets its number and finds its own files swept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio

from daemoncore.address import Address
from daemoncore.cedar.sessions import Session
from daemoncore.cedar.stream_state import StreamState
from daemoncore.children import Children
from replication.copy_fetch import CopyFetch, Fetched
from replication.events import DownloadEnded, Event, Offered, Received, UploadEnded
from replication.incoming import Incoming
from replication.leftovers import Background, InBackground, swept
from replication.manifest import FileRecord
from replication.outgoing import Outgoing
from replication.places import Places
from replication.replica_settings import Member
from replication.sendable import Arrival, Sendable
from replication.transfer_ending import Ending
from replication.transfer_figures import Figure, Gauge
from replication.transfer_launch import Launcher, no_session
from replication.transfer_terms import Direction, Terms, TransferObserver
from replication.transferer_words import Arrived
from replication.version import Version


class Transfers:
    """The transfers of one node.

    Args:
        places: where the state lies.
        post: takes events for the machine; it only queues them.
        observer: hears what happens.
        terms: what holds for transfers that are started from now on.
        children: the daemon's processes.
        in_background: the disk side's thread; it has to outlive `run`.
        address_of: where a replica listens.
        session_of: what the daemon has agreed on with a replica, good for a command; it saves a login.
        wall_clock: Unix time.
    """

    def __init__(
        self,
        places: Places,
        post: Callable[[Event], None],
        observer: TransferObserver,
        terms: Callable[[], Terms],
        children: Children,
        in_background: InBackground,
        *,
        address_of: Callable[[Member], Address] = Address.parse,
        session_of: Callable[[Member, int], Session | None] = no_session,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._places = places
        self._post = post
        self._observer = observer
        self._terms = terms
        self._background = Background(in_background, observer)
        self._launcher = Launcher(children, terms, address_of, session_of)
        self._wall_clock = wall_clock
        self._nursery: trio.Nursery | None = None
        self._downloads: dict[int, Incoming] = {}
        self._uploads: dict[int, Outgoing] = {}
        self._copies: list[Incoming] = []

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look after the processes until cancelled, which kills all of them; orders are taken from `started` on."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def figures(self) -> tuple[Figure, ...]:
        """Say how far each transfer is."""
        gauges = [one.gauge for one in (*self._downloads.values(), *self._copies)]
        gauges += [one.gauge for one in self._uploads.values()]
        return tuple(gauge.figure() for gauge in gauges)

    # --- downloads --------------------------------------------------------------------------------------------

    def start_download(self, number: int, peer: Member, protocol: str) -> None:
        """Fetch the state from a replica, and stay for what comes after; `DownloadEnded` tells when that is over.

        Args:
            number: the machine's.
            peer: from whom.
            protocol: `ours` or `condor`.
        """
        assert number not in self._downloads, "each download has its own number"
        paths = [str(path) for path in self._places.paths]
        target = {"folder": paths[0]} if self._places.is_folder else {"files": paths}
        try:
            incoming = self._start_incoming(
                peer,
                protocol,
                target,
                {},
                is_folder=self._places.is_folder,
                staged_by=self._places.staged,
                on_offer=lambda version: self._post(Offered(number, version)),
                on_received=lambda version, arrived: self._post(Received(number, version, arrived.files)),
            )
        except OSError as error:
            self._post(DownloadEnded(number, is_orderly=False, reason=f"it could not be started: {error}"))
            return
        self._downloads[number] = incoming
        self._start_soon(self._look_after_download, number, incoming)

    def take(self, number: int, have: tuple[FileRecord, ...] | None) -> None:
        """Fetch what a download offers.

        Args:
            number: the download.
            have: what stands here, with its digests; None has the downloader read it.
        """
        if number in self._downloads:
            self._downloads[number].take(have)

    def refuse(self, number: int, reason: str) -> None:
        """Do not take what a download offers, or has brought; it ends by that."""
        if number in self._downloads:
            self._downloads[number].refuse(reason)

    def stop_download(self, number: int, reason: str) -> None:
        """End a download. What it brought is dropped, also when it could not be installed."""
        if number in self._downloads:
            self._downloads[number].stop(reason)

    def arrival(self, number: int) -> Arrival | None:
        """Return what a download has brought, to be installed; None if there is nothing, or nothing any more.

        It stays where it is until `installed`, or until `stop_download` says that it could not be.
        """
        incoming = self._downloads.get(number)
        arrived = None if incoming is None else incoming.begin_install()
        if incoming is None or arrived is None:
            return None
        return Arrival(incoming.process.pid, arrived.files, arrived.starts)

    def installed(self, number: int) -> None:
        """What a download has brought is installed; its other end hears of it, and may go on."""
        if number in self._downloads:
            self._downloads[number].installed()

    async def _look_after_download(self, number: int, incoming: Incoming) -> None:
        sweep = partial(swept, self._places, incoming.process.pid)
        is_swept = False
        try:
            ending = await self._run_incoming(incoming)
            if incoming.outlives_process:
                await incoming.wait_until_settled()
            self._post(DownloadEnded(number, is_orderly=ending.result == "ok", reason=ending.reason))
            await incoming.wait_until_settled()
            is_swept = incoming.is_clean or await self._background.remove(sweep)
        finally:
            del self._downloads[number]
            if not (is_swept or incoming.is_installing):
                self._background.remove_soon(sweep)
            incoming.process.collect()

    # --- uploads ----------------------------------------------------------------------------------------------

    def start_upload(
        self,
        request: int,
        peer: Member,
        connection: tuple[StreamState, int] | None,
        sendable: Sendable,
        protocol: str,
        *,
        is_staying: bool,
        call_back: str | None = None,
    ) -> None:
        """Send a version to a replica that asked for it; `UploadEnded` tells when that is over.

        Args:
            request: whose answer this is.
            peer: to whom.
            connection: on which it was asked for (`Request.hand_over`); its descriptor is closed here.
            sendable: what to send; its descriptors stay its owner's.
            protocol: `ours`, `condor`, or `callback` for one that has us call it back, as before 8.7.4.
            is_staying: send later versions too.
            call_back: where to call instead, for `callback`.
        """
        assert request not in self._uploads, "each request has its own number"
        try:
            process = self._launcher.upload(peer, protocol, connection, call_back)
        except OSError as error:
            if connection is not None:
                os.close(connection[1])
            self._observer.remark("transferer_not_started", peer=peer, error=str(error))
            self._post(UploadEnded(request))
            return
        outgoing = Outgoing(
            process,
            self._gauge(Direction.UPLOAD, peer),
            self._observer,
            is_staying=is_staying,
            grace_seconds=self._terms().grace_seconds,
        )
        outgoing.send(sendable)
        self._uploads[request] = outgoing
        self._start_soon(self._look_after_upload, request, outgoing)

    def announce(self, sendable: Sendable) -> None:
        """Let every upload that stays go on to this version, after what it is sending; see `start_upload`."""
        for outgoing in self._uploads.values():
            outgoing.announce(sendable)

    def end_uploads(self, reason: str) -> None:
        """Let every upload end when it has sent what it has to."""
        for outgoing in self._uploads.values():
            outgoing.end(reason)

    async def _look_after_upload(self, request: int, outgoing: Outgoing) -> None:
        try:
            await self._run(outgoing)
            self._post(UploadEnded(request))
        finally:
            del self._uploads[request]
            outgoing.process.collect()

    # --- copies -----------------------------------------------------------------------------------------------

    async def fetch_copy(self, peer: Member, request: Mapping[str, str | int], folder: Path) -> Fetched:
        """Fetch a state of a replica of ours that is not its present one, such as a kept conflict.

        Its sender sends it as a folder (`Sendable.is_folder`), also when it is a list of files.

        Args:
            peer: from whom.
            request: says which, in attributes of the asking ad.
            folder: where to put it; nothing may stand there.

        Raises:
            FetchError: it did not come, or could not be put there. Nothing is left.
        """
        start = partial(self._start_incoming, peer, "ours", {"folder": str(folder)}, request, is_folder=True)
        copying = CopyFetch(folder, self._background, start, self._run_incoming)
        self._copies.append(copying.incoming)
        try:
            return await copying.run()
        finally:
            self._copies.remove(copying.incoming)

    # --- what both have in common -----------------------------------------------------------------------------

    def _start_incoming(
        self,
        peer: Member,
        protocol: str,
        target: Mapping[str, Any],
        request: Mapping[str, str | int],
        *,
        is_folder: bool,
        staged_by: Callable[[int], Sequence[Path]],
        on_offer: Callable[[Version], None],
        on_received: Callable[[Version, Arrived], None],
    ) -> Incoming:
        """Start a download; OSError when that cannot be."""
        if protocol == "condor" and self._terms().is_plain:
            protocol = "callback"
        try:
            process = self._launcher.download(peer, protocol, target, request)
        except OSError as error:
            self._observer.remark("transferer_not_started", peer=peer, error=str(error))
            raise
        return Incoming(
            process,
            self._gauge(Direction.DOWNLOAD, peer),
            self._observer,
            staged=staged_by(process.pid),
            is_folder=is_folder,
            is_ours=protocol == "ours",
            grace_seconds=self._terms().grace_seconds,
            on_offer=on_offer,
            on_received=on_received,
        )

    async def _run_incoming(self, incoming: Incoming) -> Ending:
        ending = await self._run(incoming)
        if ending.fault == "connect":
            self._launcher.not_let_in(incoming.gauge.peer)
        if ending.fault == "digest":
            self._observer.checksum_failed(incoming.gauge.peer)
        return ending

    async def _run(self, one: Incoming | Outgoing) -> Ending:
        """Look after a transfer until its process is dead, and tell how it ended."""
        began = trio.current_time()
        ending = Ending("cancelled", "nobody waits for it any more")
        try:
            await one.run()
            ending = one.ending()
        finally:
            self._tell_ending(one, ending, trio.current_time() - began)
        return ending

    def _tell_ending(self, one: Incoming | Outgoing, ending: Ending, seconds: float) -> None:
        gauge = one.gauge
        if one.process.failure:
            self._observer.remark("transferer_killed", peer=gauge.peer, reason=one.process.failure)
        self._observer.transfer_ended(
            gauge.direction, gauge.peer, ending.result, one.in_vain_bytes, seconds, ending.reason
        )

    def _gauge(self, direction: Direction, peer: Member) -> Gauge:
        self._observer.transfer_started(direction, peer)
        return Gauge(direction, peer, self._wall_clock())

    def _start_soon(self, task: Callable[..., Any], *arguments: object) -> None:
        assert self._nursery is not None, "orders are taken while `run` runs"
        self._nursery.start_soon(task, *arguments)
