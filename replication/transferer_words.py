"""What the daemon says to a transferer, and what it hears from one, as pure values.

The documents are those of `transferer.task`, `transferer.download` and `transferer.upload`. The events come from a
process of our own, but half of what is in them came from a peer: a version that makes no sense is a peer's doing
(`VersionError`), everything else is the process's (`NonsenseError`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from daemoncore.cedar.sessions import Session
from daemoncore.cedar.stream_state import StreamState
from replication.manifest import FileRecord, ManifestError
from replication.sendable import Sendable
from replication.staging import Start
from replication.transfer_terms import Terms
from replication.transferer_process import NonsenseError, TransfererEvent
from replication.version import Version, parse_text_untrusted

#: How a transferer may say that it ended.
RESULTS: Final = ("ok", "failed", "cancelled", "stale")
_REASON_CHARACTERS: Final = 1000


# --- what it is told ------------------------------------------------------------------------------------------


def begin(terms: Terms, protocol: str, **task: Any) -> dict[str, Any]:
    """Return the first document of either role."""
    return {
        "what": "begin",
        "protocol": protocol,
        "lifetime_seconds": terms.lifetime_seconds,
        "stall_seconds": terms.stall_seconds,
        "source_address": terms.source_address,
        "is_fips": terms.is_fips,
        **task,
    }


def login(terms: Terms, address: str, session: Session | None) -> dict[str, Any]:
    """Return the part of a downloader's task that says whom to call, and how to be let in."""
    document: dict[str, Any] = {"address": address, "settings": dict(terms.security), "is_known_ours": True}
    if session is not None:
        document["session"] = {
            "identifier": session.identifier,
            "key": session.key.hex(),
            "user": session.identity.user,
            "method": session.identity.method,
            "peer_version": session.peer_version,
        }
    return document


def limits(terms: Terms) -> dict[str, Any]:
    """Return the part of a downloader's task that says what it may take."""
    return {
        "maximum_bytes": terms.maximum_bytes,
        "takes_tails": terms.takes_tails,
        "mode": terms.mode,
    }


def handed_over(state: StreamState) -> dict[str, Any]:
    """Return the part of an uploader's task that says on which connection it was asked: its first descriptor."""
    return {"connection": {"descriptor": 0, "stream": state.to_document()}}


def take(have: Sequence[FileRecord] | None) -> dict[str, Any]:
    """Return the answer to an offer that is wanted.

    Args:
        have: what is there already, with its digests; None lets the downloader read it.
    """
    known = [{"name": one.name, "bytes": one.size_bytes, "sha256": one.sha256} for one in have or ()]
    return {"what": "take", "have": None if have is None else known}


def end(reason: str, result: str = "ok") -> dict[str, Any]:
    """Return the word after which a transferer has nothing more to do; a downloader's offer is refused by it."""
    return {"what": "end", "result": result, "reason": reason}


def version(sendable: Sendable, number_of: Mapping[int, int]) -> dict[str, Any]:
    """Return the document that has an uploader send a version.

    Args:
        sendable: the version.
        number_of: the place of each of its descriptors among those that go with the document.
    """
    entries = []
    for file in sendable.files:
        record = file.record
        entry: dict[str, Any] = {"name": record.name, "mode": record.mode}
        if file.is_folder:
            entry["kind"] = "folder"
        else:
            entry |= {"bytes": record.size_bytes, "sha256": record.sha256, "is_append": file.is_append}
            place = {"path": str(file.path)}
            entry |= {"descriptor": number_of[file.descriptor]} if file.descriptor >= 0 else place
        entries.append(entry)
    return {
        "what": "version",
        "version": {**sendable.version.to_document(), **sendable.notes},
        "version_text": sendable.version.text.decode("ascii"),
        "is_folder": sendable.is_folder,
        "entries": entries,
    }


def continued(sendable: Sendable, skipped: Sendable) -> Sendable:
    """Return a version as the uploader has to see it that was not told of the one before.

    A file whose first bytes are those of the skipped version's continues what the uploader knows only if the skipped
    one did.
    """
    growing = {file.record.name for file in skipped.files if file.is_append}
    files = (
        attrs.evolve(file, is_append=file.is_append and file.record.name in growing)
        for file in sendable.files
    )
    return attrs.evolve(sendable, files=tuple(files))


# --- what it says ---------------------------------------------------------------------------------------------


@attrs.frozen
class Moved:
    """What one version cost.

    Attributes:
        result: ok, or how the copy ended instead.
        bytes: that went over the wire.
        seconds: that it took.
        reason: a sentence, if it did not go well.
    """

    result: str
    bytes: int
    seconds: float
    reason: str = ""


@attrs.frozen
class Exit:
    """A transferer's last word: how it ended, for all versions together; `fault` is whose doing that was."""

    result: str
    reason: str
    fault: str | None
    seconds: float


@attrs.frozen
class Arrived:
    """A version that was received.

    Attributes:
        files: what it covers; folders are not among them.
        starts: for each target where its staged bytes begin.
        moved: what it cost.
    """

    files: tuple[FileRecord, ...]
    starts: tuple[Start, ...]
    moved: Moved


def read_moved(event: TransfererEvent) -> Moved:
    """Read how the copy of one version ended.

    Raises:
        NonsenseError: this is not said there.
    """
    return Moved(_result(event), _count(event, "bytes"), _seconds(event), _reason(event))


def read_exit(event: TransfererEvent) -> Exit:
    """Read the last word.

    Raises:
        NonsenseError: it is none.
    """
    fault = event.get("fault")
    # A task that was none has no times.
    seconds = _seconds(event) if "seconds" in event else 0.0
    return Exit(_result(event), _reason(event), fault if isinstance(fault, str) else None, seconds)


def read_version_untrusted(event: TransfererEvent) -> Version:
    """Read which version an offer, or what came from a real peer, is.

    Raises:
        VersionError: the peer's version makes no sense.
    """
    text = event.get("version_text")
    if isinstance(text, str):
        return Version.adopted(parse_text_untrusted(text.encode("utf-8", "replace")))
    return Version.from_document_untrusted(event.get("version"))


def read_total_bytes(event: TransfererEvent) -> int:
    """Read how large an offered version is.

    Raises:
        NonsenseError: this is not said there.
    """
    return _count(event, "total_bytes")


def read_arrived(event: TransfererEvent, staged: Sequence[Path], *, is_folder: bool) -> Arrived:
    """Read what was received, and where it lies.

    Args:
        event: the event.
        staged: where each target's bytes must lie, if any came.
        is_folder: the target is one folder.

    Raises:
        NonsenseError: they lie elsewhere, or are others than those of STATE_FILE.
    """
    entries = event.get("entries")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise NonsenseError("what was received has no list of entries")
    try:
        files = tuple(_record(entry) for entry in entries if entry.get("kind") != "folder")
    except ManifestError as error:
        raise NonsenseError(str(error)) from error
    starts: tuple[Start, ...]
    if is_folder:
        starts = (_start(event.get("staging") or "nothing", 0, staged[0]),)
    elif not entries and event.get("total_bytes") == 0:
        # A leadership whose controllee has not written yet: what stands here gives way to nothing.
        starts = (0,) * len(staged)
    elif [entry.get("name") for entry in entries] != [str(place) for place in range(len(staged))]:
        raise NonsenseError(f"{len(entries)} entries were received for {len(staged)} files")
    elif len(files) != len(entries):
        raise NonsenseError("a folder was received for a file")
    else:
        starts = tuple(_start_of(entry, path) for entry, path in zip(entries, staged, strict=True))
    return Arrived(files, starts, Moved("ok", _count(event, "bytes"), _seconds(event)))


def _record(entry: Mapping[str, Any]) -> FileRecord:
    return FileRecord.from_document_untrusted([entry.get(key) for key in ("name", "bytes", "sha256", "mode")])


def _start_of(entry: Mapping[str, Any], path: Path) -> Start:
    start = entry.get("from_bytes", 0)
    if not isinstance(start, int) or not 0 <= start <= entry["bytes"]:
        raise NonsenseError(f"{path}: begins at byte {start!r:.40}")
    return _start(entry.get("temporary"), start, path)


def _start(temporary: object, start: int, path: Path) -> Start:
    if temporary is None:
        return None
    if temporary != str(path):
        raise NonsenseError(f"{temporary!r:.120} was received, {path} should have been")
    return start


def _result(event: TransfererEvent) -> str:
    result = event.get("result")
    if result not in RESULTS:
        raise NonsenseError(f"{result!r:.40} is no result")
    return str(result)


def _reason(event: TransfererEvent) -> str:
    reason = event.get("reason")
    return reason[:_REASON_CHARACTERS] if isinstance(reason, str) else ""


def _count(event: TransfererEvent, key: str) -> int:
    value = event.get(key)
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise NonsenseError(f"{key} is {value!r:.40}")
    return value


def _seconds(event: TransfererEvent) -> float:
    value = event.get("seconds")
    if not isinstance(value, int | float) or not 0 <= value < 1 << 31:
        raise NonsenseError(f"seconds is {value!r:.40}")
    return float(value)


def descriptors_of(sendable: Sendable) -> Iterable[int]:
    """The descriptors of a version, each once."""
    return dict.fromkeys(file.descriptor for file in sendable.files if file.descriptor >= 0)
