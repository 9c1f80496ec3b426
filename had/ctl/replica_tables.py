"""The tables of replication: one row for each replica, each transfer, each kept state."""

from __future__ import annotations

from collections.abc import Iterable

from had.ctl.kept import Kept
from had.ctl.replica_status import Conflict, Transfer
from had.ctl.replica_verdict import failure_word
from had.ctl.replicas import Replicas
from had.ctl.sizes import rate_words, size_words, time_words
from had.ctl.tables import printable, render
from had.ctl.verdict import moment

REPLICA_COLUMNS = ("NODE", "STATE", "VERSION", "BYTES", "LAG", "SYNC", "CONFLICTS", "PROGRAM")
TRANSFER_COLUMNS = ("NODE", "DIRECTION", "PEER", "STATE", "VERSION", "MOVED", "RATE", "LEFT")
KEPT_COLUMNS = ("ID", "NODE", "KEPT", "BYTES", "STATE", "REASON")
FILE_COLUMNS = ("FILE", "BYTES", "MODE", "SHA256")

#: Ancestors of a kept state that are shown; a version remembers many.
LINEAGE_SHOWN = 4


def replica_rows(replicas: Replicas) -> list[tuple[str, ...]]:
    """Return one row for each replica, in the order of the list."""
    return [_replica(replicas, entry) for entry in replicas.entries]


def _replica(replicas: Replicas, entry: str) -> tuple[str, ...]:
    status, version = replicas.statuses.get(entry), replicas.version(entry)
    point = "" if version is None else str(version.point)
    lag_seconds, is_in_sync = replicas.lag_seconds(entry), replicas.is_in_sync(entry)
    lag = "" if lag_seconds is None else time_words(lag_seconds)
    sync = "" if is_in_sync is None else ("yes" if is_in_sync else "no")
    if status is None:
        program = "condor" if replicas.is_condor(entry) else ""
        return (entry, failure_word(replicas, entry), point, "", lag, sync, "", program)
    size = "" if version is None else str(version.bytes)
    conflicts = str(len(status.conflicts))
    return (entry, status.state, point, size, lag, sync, conflicts, status.program or "")


def transfer_rows(replicas: Replicas) -> list[tuple[str, ...]]:
    """Return one row for each end of each transfer under way; both ends of one are two rows."""
    statuses = replicas.statuses.items()
    return [_transfer(entry, transfer) for entry, status in statuses for transfer in status.transfers]


def _transfer(entry: str, transfer: Transfer) -> tuple[str, ...]:
    total = f" of {size_words(transfer.total_bytes)}" if transfer.total_bytes else ""
    left = "" if transfer.seconds_left is None else time_words(transfer.seconds_left)
    return (
        entry,
        transfer.direction,
        transfer.peer,
        transfer.state,
        "" if transfer.version is None else str(transfer.version),
        f"{size_words(transfer.bytes)}{total}",
        rate_words(transfer.bytes_per_second) if transfer.bytes_per_second else "",
        left,
    )


def replication_text(replicas: Replicas) -> str:
    """Return the table of replicas, and below it that of transfers if any are under way."""
    parts = [render(REPLICA_COLUMNS, replica_rows(replicas))]
    transfers = transfer_rows(replicas)
    if transfers:
        parts.append(render(TRANSFER_COLUMNS, transfers))
    return "\n\n".join(parts)


def kept_rows(kept: Iterable[Kept]) -> list[tuple[str, ...]]:
    """Return one row for each holder of each kept state."""
    return [_kept(one, entry) for one in kept for entry in one.holders]


def _kept(kept: Kept, entry: str) -> tuple[str, ...]:
    conflict = kept.copies[entry]
    kept_at = "" if conflict.kept_at is None else moment(conflict.kept_at)
    return (kept.id, entry, kept_at, str(conflict.bytes), _fate(kept, entry), conflict.reason or "")


def _fate(kept: Kept, entry: str) -> str:
    """Say what has become of it there; what happened to the same state elsewhere counts too."""
    conflict = kept.copies[entry]
    merged_into = conflict.merged_into or kept.merged_into
    exported_to = conflict.exported_to or kept.exported_to
    words = [f"{kept.pending} waits"] if kept.pending else []
    words += [f"merged into {merged_into}"] if merged_into else []
    words += [f"exported to {exported_to}"] if exported_to else []
    return ", ".join(words) or "kept"


def conflict_text(conflict: Conflict, kept: Kept) -> str:
    """Return all that is known of one kept state: a line for each thing, and a table of its files."""
    version, replaced_by = conflict.version, conflict.replaced_by
    ancestors = ", ".join(str(point) for point in version.lineage[:LINEAGE_SHOWN])
    more = ", ..." if len(version.lineage) > LINEAGE_SHOWN else ""
    known = {
        "id": conflict.id,
        "kept by": ", ".join(kept.holders),
        "version": str(version.point),
        "grown from": f"{ancestors}{more}",
        "reason": conflict.reason or "",
        "kept at": "" if conflict.kept_at is None else moment(conflict.kept_at),
        "replaced by": "" if replaced_by is None else str(replaced_by.point),
        "exported to": kept.exported_to or "",
        "merged into": kept.merged_into or "",
        "waiting": kept.pending or "",
        "failed": conflict.failure or "",
        "bytes": str(conflict.bytes),
    }
    lines = [f"{name:<12}{printable(value) or '-'}" for name, value in known.items()]
    files = [(one.name, str(one.size_bytes), f"{one.mode:04o}", one.sha256) for one in conflict.files]
    return "\n".join([*lines, "", render(FILE_COLUMNS, files)])
