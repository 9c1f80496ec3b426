"""The receiving end: asks the uploader's daemon, takes one version, or each new one for a while."""

import socket
import time
from pathlib import Path
from typing import Any, Final

import attrs

from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.stream import Stream
from transferer import protocol, versions
from transferer.failure import Cancelled, CopyFailed, Fault, outcome
from transferer.progress import Progress
from transferer.target import Heads, Target, hash_file, look
from transferer.task import TIME_IS_OVER, Task, end_of
from transferer.versions import End, Entry, EntryKind, Held, Offer, Received, Result
from transferer.wire import News, Wire, mapped

_COMMANDS: Final = {
    "ours": Command.REPLICATION_FETCH,
    "condor": Command.REPLICATION_TRANSFER_FILE_NEW,
    "callback": Command.REPLICATION_TRANSFER_FILE,
}
_PEBIBYTE: Final = 1 << 50


class Download:
    """One downloader's life."""

    def __init__(self, task: Task) -> None:
        """Take the task on; nothing happens before `run`."""
        self._task = task
        document = task.document
        self._folder = Path(document["folder"]) if document.get("folder") else None
        self._files = [Path(path) for path in document.get("files", [])]
        self._maximum_bytes = int(document.get("maximum_bytes") or _PEBIBYTE)
        self._takes_tails = bool(document.get("takes_tails", False))
        self._heads = Heads()

    def run(self) -> End:
        """Take what the peer sends; return how it ended in good order, or raise one of the failures."""
        wire = self._open()
        try:
            return self._run_ours(wire) if self._task.protocol == "ours" else self._run_condor(wire)
        except WireError as error:
            raise mapped(error) from error
        finally:
            wire.close()

    def _open(self) -> Wire:
        """Return a connection on which the command has been given and the answer is to come."""
        inherited = self._task.inherited_connection()
        if inherited:
            return self._task.wire(*inherited)
        from transferer.dial import dial, request_ad

        document = self._task.document
        connection, stream, prefix = dial(document, _COMMANDS[self._task.protocol], self._task.stall_seconds)
        writer = stream.writer().put_bytes(prefix)
        if self._task.protocol == "ours":
            writer.put_ad(request_ad(document.get("request", {})))
        elif self._task.protocol == "condor":
            writer.put_string("")
        else:
            return self._called_back(
                connection, stream.encode(writer.put_string(document["call_back_address"]))
            )
        wire = self._task.wire(connection, stream)
        wire.queue(stream.encode(writer))
        return wire

    def _called_back(self, connection: socket.socket, request: bytes) -> Wire:
        """Ask to be called back at the listening socket that the daemon gave us, and take that call from that host only."""
        listener = socket.socket(fileno=self._task.descriptors[int(self._task.document["listener"])])
        host = connection.getpeername()[0]
        with connection, listener:
            connection.sendall(request)
            until = time.monotonic() + self._task.stall_seconds
            while (left := until - time.monotonic()) > 0:
                listener.settimeout(left)
                try:
                    call, caller = listener.accept()
                except TimeoutError:
                    break
                if caller[0] == host:
                    return self._task.wire(call, Stream(AFTER_AUTHENTICATION))
                call.close()
        raise CopyFailed(Fault.SLOW, f"{host} did not call back within {self._task.stall_seconds:g} seconds")

    def _run_ours(self, wire: Wire) -> End:
        while True:
            news = wire.wait_for_news()
            if news is not News.PEER:
                end = end_of(self._task.next_document()) if news is News.DAEMON else TIME_IS_OVER
                wire.say_farewell(versions.encode_receipt(wire.stream, end))
                return end
            message = wire.next_message()
            try:
                offer = versions.read_offer(message, self._maximum_bytes)
                if isinstance(offer, End):
                    return offer
                refusal = self._take(wire, offer)
            except (CopyFailed, WireError, Cancelled) as error:
                failure = mapped(error) if isinstance(error, WireError) else error
                wire.say_farewell(versions.encode_receipt(wire.stream, outcome(failure)[0]))
                raise
            if refusal:
                return refusal

    def _take(self, wire: Wire, offer: Offer) -> End | None:
        """Take one version; the result is None unless our daemon does not want it."""
        paths = self._paths(offer)
        self._task.control.tell(
            "offer",
            version=offer.version,
            is_folder=offer.is_folder,
            total_bytes=offer.total_bytes,
            entries=len(offer.entries),
        )
        word = self._daemons_word(wire)
        if word.get("what") != "take":
            return self._refuse(wire, word)
        held = self._held(wire, offer, paths, word.get("have"))
        wire.queue(versions.encode_have(wire.stream, held))
        progress = self._task.progress(offer.total_bytes)
        target = Target(
            offer,
            paths,
            held,
            self._heads,
            folder=self._folder,
            takes_tails=self._takes_tails,
            ask_for_patience=wire.ask_for_patience,
        )
        try:
            received = wire.receive(versions.receive_entries(wire.stream, offer, held), target, progress)
            target.complete(received)
        except BaseException:
            target.discard()
            raise
        self._tell_received(offer, received, target, progress, version=offer.version)
        word = self._daemons_word(wire)
        if word.get("what") != "installed":
            return self._refuse(wire, word)
        wire.queue(versions.encode_receipt(wire.stream, End(Result.OK)))
        wire.flush()
        return None

    def _daemons_word(self, wire: Wire) -> dict[str, Any]:
        """Wait for our daemon, while the peer waits for us."""
        while not self._task.control.has_document(seconds=min(1.0, wire.seconds_left())):
            wire.ask_for_patience()
        return self._task.next_document()

    def _refuse(self, wire: Wire, word: dict[str, Any]) -> End:
        end = end_of({"result": "stale", **word})
        wire.say_farewell(versions.encode_receipt(wire.stream, end))
        return end

    def _paths(self, offer: Offer) -> dict[str, Path]:
        """Return our own path of each entry; CopyFailed when the two daemons replicate different things."""
        if offer.is_folder != (self._folder is not None):
            kinds = ("a list of files", "a folder")
            raise CopyFailed(
                Fault.PROTOCOL,
                f"the peer replicates {kinds[offer.is_folder]}, we {kinds[self._folder is not None]}",
            )
        if self._folder:
            return {entry.name: self._folder / entry.name for entry in offer.entries}
        # Nothing at all is the state of a leadership whose controllee has not written yet.
        if offer.entries and len(offer.entries) != len(self._files):
            raise CopyFailed(
                Fault.PROTOCOL, f"the peer replicates {len(offer.entries)} files, we {len(self._files)}"
            )
        return {str(index): path for index, path in enumerate(self._files)}

    def _held(
        self, wire: Wire, offer: Offer, paths: dict[str, Path], have: list[dict[str, Any]] | None
    ) -> list[Held | None]:
        if have is None:
            names = [entry.name for entry in offer.entries if entry.kind is EntryKind.FILE]
            known = look({name: paths[name] for name in names}, self._heads, wire.ask_for_patience)
        else:
            try:
                known = {
                    str(one["name"]): Held(int(one["bytes"]), bytes.fromhex(one["sha256"])) for one in have
                }
            except (KeyError, TypeError, ValueError) as error:
                raise CopyFailed(Fault.TASK, f"what we have cannot be read: {error!r}") from error
        return [known.get(entry.name) for entry in offer.entries]

    def _tell_received(
        self, offer: Offer, received: list[Received], target: Target, progress: Progress, **which: Any
    ) -> None:
        self._task.bytes += progress.bytes
        self._task.versions += 1
        self._task.control.tell(
            "received",
            **which,
            is_folder=offer.is_folder,
            entries=[_entry(index, one, target) for index, one in enumerate(received)],
            staging=str(target.staging) if target.staging else None,
            bytes=progress.bytes,
            total_bytes=offer.total_bytes,
            seconds=round(progress.seconds, 6),
        )

    def _run_condor(self, wire: Wire) -> End:
        """Take the one version that a real condor_transferer sends."""
        if self._folder or len(self._files) != 1:
            raise CopyFailed(Fault.TASK, "a real peer sends one file; STATE_FILE here is a folder or a list")
        terms = protocol.Terms(self._maximum_bytes, bool(self._task.document.get("is_fips", True)))
        offer = Offer(
            None, is_folder=False, entries=(Entry("0", mode=int(self._task.document.get("mode", 0o600))),)
        )
        progress = self._task.progress(0)
        target = Target(offer, {"0": self._files[0]}, [None], self._heads)
        is_call_back = self._task.protocol == "callback"
        try:
            text, header = wire.receive(
                protocol.receive_files(wire.stream, terms, is_call_back=is_call_back), target, progress
            )
            sha256 = bytes.fromhex(header.sha256) if header.sha256 else None
            if sha256 is None:
                # An MD5 was compared; but ours name a state by its SHA-256.
                sha256 = hash_file(target.temporaries[0], header.size, lambda: None)[0].digest()
            received = Received(attrs.evolve(offer.entries[0], size=header.size), 0, sha256)
            target.complete([received])
        except BaseException:
            target.discard()
            raise
        self._tell_received(offer, [received], target, progress, version_text=text)
        return End(Result.OK)


def _entry(index: int, one: Received, target: Target) -> dict[str, Any]:
    temporary = target.temporaries.get(index)
    return {
        "name": one.entry.name,
        "kind": one.entry.kind.name.lower(),
        "mode": one.entry.mode,
        "bytes": one.entry.size,
        "sha256": one.sha256.hex() if one.sha256 else None,
        "from_bytes": target.starts.get(index, 0),
        "temporary": str(temporary) if temporary else None,
    }
