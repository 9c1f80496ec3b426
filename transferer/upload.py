"""The sending end: answers one asking transferer, with one version or with each new one for a while."""

import functools
import socket
from typing import Any

from daemoncore.address import Address
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.stream import Stream
from transferer import protocol, versions
from transferer.failure import CopyFailed, Declined, Fault
from transferer.progress import Progress
from transferer.source import Sources, open_sources
from transferer.talk import CHUNK_BYTES
from transferer.task import TIME_IS_OVER, Task, end_of
from transferer.versions import End, EntryKind, Offer, Result
from transferer.wire import News, PeerClosed, Wire, mapped


class Upload:
    """One uploader's life."""

    def __init__(self, task: Task) -> None:
        """Take the task on; nothing happens before `run`."""
        self._task = task
        self._sources: Sources | None = None

    def run(self) -> End:
        """Send what the daemon says; return how it ended in good order, or raise one of the failures."""
        connection, stream = self._connection()
        wire = self._task.wire(connection, stream)
        try:
            return self._run_ours(wire) if self._task.protocol == "ours" else self._run_condor(wire)
        except WireError as error:
            raise mapped(error) from error
        finally:
            wire.close()
            if self._sources:
                self._sources.close()

    def _connection(self) -> tuple[socket.socket, Stream]:
        inherited = self._task.inherited_connection()
        if inherited:
            return inherited
        if self._task.protocol != "callback":
            raise CopyFailed(Fault.TASK, "an uploader is given the connection on which it was asked")
        from transferer.dial import connect

        address = Address.parse(str(self._task.document["address"]))
        source_address = self._task.document.get("source_address")
        return connect(address, source_address, self._task.stall_seconds), Stream(AFTER_AUTHENTICATION)

    def _next_version(self) -> End | dict[str, Any]:
        document = self._task.next_document()
        if document.get("what") == "end":
            return end_of(document)
        if document.get("what") != "version":
            raise CopyFailed(Fault.TASK, f"an uploader is told of versions (got {str(document)[:80]})")
        earlier = self._sources
        self._sources = open_sources(document, self._task.control.take_descriptors(document), earlier)
        if earlier:
            earlier.close()
        return document

    def _run_ours(self, wire: Wire) -> End:
        while True:
            news = wire.wait_for_news()
            if news is News.PEER:
                return self._peers_word(wire)
            document = self._next_version() if news is News.DAEMON else TIME_IS_OVER
            if isinstance(document, End):
                wire.say_farewell(versions.encode_end(wire.stream, document))
                return document
            assert self._sources is not None, "a version has its files"
            progress = self._task.progress(self._sources.offer.total_bytes)
            try:
                end = self._send(wire, self._sources, progress)
            except Declined as declined:
                end = declined.end
            self._tell_sent(end, document, progress, self._sources)
            if end.result is not Result.OK:
                return end

    def _peers_word(self, wire: Wire) -> End:
        """Hear what a peer says that should wait: goodbye, or nonsense."""
        try:
            while (end := versions.read_receipt(wire.next_message())) is None:
                continue
        except PeerClosed as error:
            return End(Result.OK, error.reason)
        return end

    def _send(self, wire: Wire, sources: Sources, progress: Progress) -> End:
        """Send one version; the end is the peer's receipt."""
        offer, stream = sources.offer, wire.stream
        try:
            wire.queue(versions.encode_offer(stream, offer))
        except ValueError as error:
            raise CopyFailed(Fault.TASK, str(error)) from error
        while (held := versions.read_have(wire.next_message(), offer)) is None:
            continue
        if isinstance(held, End):
            return held
        for index, (file, one) in enumerate(zip(sources.files, held, strict=True)):
            if file is None:
                continue
            digest_of_head = functools.partial(file.digest_of_head, ask_for_patience=wire.ask_for_patience)
            start = versions.start_of_content(one, file.size, digest_of_head)
            is_same = start > 0 and start == file.size
            wire.queue(versions.encode_content(stream, index, start, is_same=is_same))
            if not is_same:
                wire.send_content(file, start, progress)
                wire.queue(versions.encode_digest(stream, file.sha256))
        while (end := versions.read_receipt(wire.next_message())) is None:
            continue
        return end

    def _tell_sent(self, end: End, document: dict[str, Any], progress: Progress, sources: Sources) -> None:
        self._task.bytes += progress.bytes
        self._task.versions += end.result is Result.OK
        pairs = zip(sources.offer.entries, sources.files, strict=True)
        self._task.control.tell(
            "sent",
            result=end.result.value,
            reason=end.reason,
            version=document["version"],
            bytes=progress.bytes,
            total_bytes=sources.offer.total_bytes,
            seconds=round(progress.seconds, 6),
            sha256={
                entry.name: file.sha256.hex() for entry, file in pairs if file and end.result is Result.OK
            },
        )

    def _run_condor(self, wire: Wire) -> End:
        """Answer a real condor_transferer: one version file, one state file."""
        document = self._next_version()
        if isinstance(document, End):
            return document
        assert self._sources is not None, "a version has its files"
        file = _only_file(self._sources.offer, self._sources)
        progress = self._task.progress(file.size)
        if self._task.protocol == "condor":
            wire.queue(protocol.encode_willing(wire.stream))
        uses_md5 = not self._task.document.get("is_fips", True)
        text = str(document["version_text"]).encode()
        wire.queue(protocol.encode_small_file(wire.stream, text, uses_md5=uses_md5))
        md5 = file.md5() if uses_md5 else None
        sha256 = None if uses_md5 else file.sha256.hex()
        header = protocol.FileHeader(file.size, sha256, md5, CHUNK_BYTES)
        wire.queue(protocol.encode_header(wire.stream, header))
        if file.size:
            wire.send_content(file, 0, progress)
        else:
            wire.queue(protocol.encode_end_of_empty_file(wire.stream))
        wire.flush()
        end = _wait_until_taken(wire)
        self._tell_sent(end, document, progress, self._sources)
        return end


def _only_file(offer: Offer, sources: Sources) -> Any:
    file = sources.files[0] if len(sources.files) == 1 else None
    if file is None or offer.is_folder or offer.entries[0].kind is not EntryKind.FILE:
        raise CopyFailed(
            Fault.TASK, "a real condor_transferer takes one plain file, not a list and not a folder"
        )
    return file


def _wait_until_taken(wire: Wire) -> End:
    """Wait until a real peer has closed the connection: it reads everything first, and says nothing."""
    wire.finish_sending()
    try:
        wire.next_message()
    except PeerClosed:
        return End(Result.OK)
    except Declined as declined:
        raise CopyFailed(Fault.PROTOCOL, "a real peer says nothing after a transfer") from declined
    raise CopyFailed(Fault.PROTOCOL, "a real peer says nothing after a transfer")
