"""Performs the replica machine's effects: the only place where a decision becomes a message, a write or a process.

Every act here only queues: messages go to the links, what touches the disk to the store's thread, transfers to their
processes. What comes back comes as an event, through `post`. Two things are put together here because no part knows
both: a version that was installed is told to the transferer that brought it, and a request for the state waits here, with
its connection, until the machine has said yes or no.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Protocol

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.cedar.stream_state import StreamState
from daemoncore.links import Letter
from replication import effects, messages, objections
from replication.events import (
    CondorCommand,
    Event,
    Installed,
    InstallFailed,
    Report,
    State,
    UploadAsked,
    UploadEnded,
)
from replication.manifest import FileRecord, Held
from replication.peers import Own
from replication.replica import Replica
from replication.replica_settings import Member
from replication.sendable import Arrival, Sendable
from replication.service import Asked
from replication.version import Point, Version


class Sender(Protocol):
    """What carries messages to the other replicas."""

    def send(self, to: Member, letter: Letter) -> None:
        """Send it now or drop it; never waits."""


class Shelf(Protocol):
    """The disk side: `replication.store`."""

    @property
    def sendable(self) -> Sendable | None:
        """The version that is held, with its bytes."""

    def note(self, held: Held) -> None:
        """Write down what is held."""

    def keep_conflict(self, version: Version) -> None:
        """Keep a copy of what stands there."""

    def install(self, download: int, held: Held, arrival: Arrival, *, is_conflict: bool) -> None:
        """Let what has arrived replace what is held."""

    def revise(self, version: Version) -> None:
        """Merge or restore what waits for it, as this version."""

    def mark_merged(self, identifiers: tuple[str, ...], point: Point) -> None:
        """Remember that these conflicts are in a version of the leader's."""

    def watch(self) -> None:
        """Tell each change at once."""

    def settle(self, quiet_seconds: float) -> None:
        """Look a last time."""


class Carrier(Protocol):
    """The processes that copy: `replication.transfers`."""

    def start_download(self, number: int, peer: Member, protocol: str) -> None:
        """Start one that fetches."""

    def take(self, number: int, have: tuple[FileRecord, ...] | None) -> None:
        """Let it fetch what was offered."""

    def refuse(self, number: int, reason: str) -> None:
        """Let it refuse what was offered or received."""

    def stop_download(self, number: int, reason: str) -> None:
        """End it."""

    def arrival(self, number: int) -> Arrival | None:
        """What it has received."""

    def installed(self, number: int) -> None:
        """What it received is installed."""

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
        """Start one that sends."""

    def announce(self, sendable: Sendable) -> None:
        """Let those that stay go on to this version."""

    def end_uploads(self, reason: str) -> None:
        """Let those that stay finish."""


class Observer(Protocol):
    """Who is told what happened."""

    def transition(self, transition: effects.Transition) -> None:
        """The state changed."""

    def remark(self, remark: effects.Remark) -> None:
        """Something worth a line happened."""


class Hands:
    """Performs effects.

    Args:
        me: where this node listens; replicas of HTCondor's hear it as a sinful string.
        sender: carries messages.
        shelf: the disk side.
        carrier: the processes that copy.
        answer: takes the machine's answers to had.
        observer: is told.
        post: takes events.
    """

    def __init__(
        self,
        me: Address,
        sender: Sender,
        shelf: Shelf,
        carrier: Carrier,
        answer: Callable[[effects.Answer], None],
        observer: Observer,
        post: Callable[[Event], None],
    ) -> None:
        self._sinful = str(me.sinful())
        self._sender = sender
        self._shelf = shelf
        self._carrier = carrier
        self._answer = answer
        self._observer = observer
        self._post = post
        self._requests = itertools.count(1)
        self._waiting: dict[int, Asked] = {}
        #: Kept copies that are being sent.
        self._copies: set[int] = set()
        self._standing: tuple[FileRecord, ...] | None = None

    # --- who wants the state ----------------------------------------------------------------------------------

    def copy_asked(self, asked: Asked, replica: Replica, copy: Sendable | None) -> None:
        """Somebody wants a kept copy: it is sent, unless there is an objection, such as that there is none."""
        objection = objections.to_copy(replica, asked.peer, len(self._copies), is_kept=copy is not None)
        if objection is not None or copy is None:
            assert objection is not None, "what is not kept is not sent"
            why, reason = objection.label, objection.sentence
            fields = (("peer", asked.peer), ("why", why), ("reason", reason))
            self._observer.remark(effects.Remark("upload_refused", fields))
            _hang_up(asked)
            return
        number = next(self._requests)
        self._copies.add(number)
        self._send(number, asked, copy, is_staying=False)

    def upload_asked(self, asked: Asked) -> None:
        """Somebody wants the state: the machine says whether it gets it."""
        number = next(self._requests)
        self._waiting[number] = asked
        self._post(UploadAsked(number, asked.peer, is_ours=asked.protocol == "ours"))

    def _start_upload(self, effect: effects.StartUpload) -> None:
        asked, sendable = self._waiting.pop(effect.request), self._shelf.sendable
        if sendable is None or not sendable.version.has(effect.version.point):
            # It stood there a moment ago; whoever asks will ask again.
            _hang_up(asked)
            self._post(UploadEnded(effect.request))
            return
        self._send(effect.request, asked, sendable, is_staying=effect.is_staying)

    def _send(self, request: int, asked: Asked, sendable: Sendable, *, is_staying: bool) -> None:
        connection = None if asked.stream is None else (asked.stream, asked.descriptor)
        self._carrier.start_upload(
            request,
            asked.peer,
            connection,
            sendable,
            asked.protocol,
            is_staying=is_staying,
            call_back=asked.call_back_address or None,
        )

    def close(self) -> None:
        """Hang up on everybody who still waits."""
        for asked in self._waiting.values():
            _hang_up(asked)
        self._waiting.clear()

    # --- effects ----------------------------------------------------------------------------------------------

    def perform(self, effect: effects.Effect) -> None:
        """Do one effect."""
        match effect:
            case effects.Send(to, report):
                self._sender.send(to, _letter_of(report))
            case effects.SendCondor(to, command, point, state):
                self._sender.send(to, self._condors_letter(command, point, state))
            case effects.Answer():
                self._answer(effect)
            case effects.Transition():
                self._observer.transition(effect)
            case effects.Remark():
                self._observer.remark(effect)
            case effects.Finished():
                pass
            case (
                effects.Note()
                | effects.Watch()
                | effects.Settle()
                | effects.KeepConflict()
                | effects.Install()
                | effects.Revise()
                | effects.MarkMerged()
            ):
                self._on_the_shelf(effect)
            case _:
                self._carry(effect)

    def _on_the_shelf(
        self,
        effect: effects.Note
        | effects.Watch
        | effects.Settle
        | effects.KeepConflict
        | effects.Install
        | effects.Revise
        | effects.MarkMerged,
    ) -> None:
        shelf = self._shelf
        match effect:
            case effects.Note(held):
                shelf.note(held)
            case effects.Watch():
                shelf.watch()
            case effects.Settle(quiet_seconds):
                shelf.settle(quiet_seconds)
            case effects.KeepConflict(version):
                shelf.keep_conflict(version)
            case effects.Revise(version):
                shelf.revise(version)
            case effects.MarkMerged(identifiers, point):
                shelf.mark_merged(identifiers, point)
            case effects.Install(download, held, is_conflict):
                arrival = self._carrier.arrival(download)
                if arrival is None:
                    self._post(InstallFailed(download, "the transferer that received it is gone"))
                else:
                    shelf.install(download, held, arrival, is_conflict=is_conflict)

    def _carry(
        self,
        effect: effects.StartDownload
        | effects.StopDownload
        | effects.Take
        | effects.Refuse
        | effects.StartUpload
        | effects.RefuseUpload
        | effects.Announce
        | effects.EndUploads,
    ) -> None:
        carrier = self._carrier
        match effect:
            case effects.StartDownload(number, peer, is_ours):
                carrier.start_download(number, peer, "ours" if is_ours else "condor")
            case effects.StopDownload(number, reason):
                carrier.stop_download(number, reason)
            case effects.Take(number, _):
                carrier.take(number, self._standing)
            case effects.Refuse(number, reason):
                carrier.refuse(number, reason)
            case effects.StartUpload():
                self._start_upload(effect)
            case effects.RefuseUpload(request, _):
                # As HTCondor does it: the connection ends without a word.
                _hang_up(self._waiting.pop(request))
            case effects.Announce(version):
                sendable = self._shelf.sendable
                if sendable is not None and sendable.version.has(version.point):
                    carrier.announce(sendable)
            case effects.EndUploads(reason):
                carrier.end_uploads(reason)

    # --- what comes back --------------------------------------------------------------------------------------

    def stands(self, own: Own | None) -> None:
        """This version stands here now, to the last byte: what a download need not send again."""
        self._standing = None if own is None else own.held.files

    def came_back(self, event: Event) -> None:
        """The machine has heard of this; tell the transferer whose work it ends."""
        if isinstance(event, Installed):
            self._carrier.installed(event.download)
        elif isinstance(event, UploadEnded):
            self._copies.discard(event.request)

    # --- words ------------------------------------------------------------------------------------------------

    def _condors_letter(self, command: CondorCommand, point: Point, state: State) -> Letter:
        def encode(is_encrypted: bool) -> bytes:
            writer = MessageWriter(encrypted=is_encrypted)
            return messages.write_condor(writer, self._sinful, command, point, state).body()

        number = Command(command.value)
        return Letter(number, encode, number.name, slot=number, is_streamed=False)


def _letter_of(report: Report) -> Letter:
    def encode(is_encrypted: bool) -> bytes:
        return MessageWriter(encrypted=is_encrypted).put_ad(messages.encode_report(report)).body()

    return Letter(None, encode, "report", slot="report")


def _hang_up(asked: Asked) -> None:
    if asked.descriptor >= 0:
        os.close(asked.descriptor)
