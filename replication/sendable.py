"""What is handed from the disk side to the transfers, and back: a version that can be sent, and one that has arrived.

The disk side (`replication.store`) owns every descriptor in a `Sendable` and keeps it open while that version is held;
whoever gives it to another process passes it on with the message and closes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from replication.manifest import FileRecord
from replication.staging import Start
from replication.version import Version


@attrs.frozen
class SendableFile:
    """One file or folder of a version that can be sent.

    Attributes:
        record: name, size, digest and mode of what belongs to the version; of a folder inside a state that is a folder, size 0.
        path: where it is.
        descriptor: open for reading, so that a compacted log can still be sent; -1 if it is to be opened by its path.
        is_append: its first bytes are those of the version that was held before, so that a digest can go on.
        is_folder: it is a folder inside the state.
    """

    record: FileRecord
    path: Path
    descriptor: int = -1
    is_append: bool = False
    is_folder: bool = False


@attrs.frozen
class Sendable:
    """A version with its bytes, as they stand here.

    Attributes:
        version: the version.
        is_folder: the state is one folder; every folder in `files` comes before what is in it.
        files: in the order of STATE_FILE, or folders and files by name.
        notes: what is said of it beside its version, to who fetches a kept copy.
    """

    version: Version
    is_folder: bool
    files: tuple[SendableFile, ...]
    notes: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Arrival:
    """A version that a transferer has received, whole, checked and durable beside the state.

    Attributes:
        number: the transferer's pid, which is in the names of the staged files (`Places.staged`).
        files: what the version covers.
        starts: for each of `Places.paths` where the staged bytes begin (`staging.Start`).
    """

    number: int
    files: tuple[FileRecord, ...]
    starts: tuple[Start, ...]
