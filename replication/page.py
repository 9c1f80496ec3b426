"""The status page of the replication daemon: who holds what, what moves, and what is kept for people to look at."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from daemoncore.page import document, facts, known, moment, notices, shaded, table, text
from replication.status import Point, Replica, Status, Transfer, Version

_REPLICA_SHADE: Final = {"alive": "good", "silent": "bad", "gone": "bad"}

#: A state that is a folder may hold thousands.
FILES_SHOWN: Final = 20

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def render(status: Status, now: float) -> str:
    """Give the page.

    Args:
        status: what to show.
        now: Unix time in seconds, for the footer.
    """
    body = (
        notices(_notices(status))
        + facts("This node", _facts(status))
        + _replicas(status.replicas)
        + _transfers(status.transfers)
        + _conflicts(status)
        + _history(status)
    )
    return document(
        f"{status.node} {status.state}",
        heading=f"{status.node} replication",
        headline=_headline(status),
        body=body,
        now=now,
    )


def _headline(status: Status) -> str:
    """Say in one sentence who leads, and what this node has of it."""
    if status.leader is None:
        return f"{shaded('No leader is known', 'bad')}; this node holds {_held(status.version)}."
    if status.leader == status.node:
        return f"{shaded('This node leads', 'good')} with {_held(status.version)}."
    leader = next((one for one in status.replicas if one.address == status.leader), None)
    is_same = (
        leader is not None
        and leader.version is not None
        and status.version is not None
        and leader.version == Point(status.version.gid, status.version.clock)
    )
    held = _held(status.version)
    own = f"{shaded('this node holds the same', 'good')}, {held}" if is_same else f"this node holds {held}"
    return f"{text(status.leader)} leads; {own}."


def _held(version: Version | None) -> str:
    if version is None:
        return shaded("no state", "wait")
    return f"version {version.gid}.{version.clock}, {size(version.bytes)}"


def _notices(status: Status) -> Iterable[str]:
    """Show what somebody should look at."""
    if status.watching is not None:
        yield f"The state is not watched as it should be: {text(status.watching)}"
    if status.unsettled:
        copies = (
            "A diverged copy of the state is"
            if status.unsettled == 1
            else f"{status.unsettled} diverged copies of the state are"
        )
        yield f"{copies} kept here that nobody has exported or merged."
    for one in status.pending:
        if one.failure is not None:
            yield f"{text(one.id)} could not be merged or restored: {text(one.failure)}"
        else:
            yield f"{text(one.act)} of {text(one.id)} waits for the next stop of the controllee."


def _facts(status: Status) -> Iterable[tuple[str, str]]:
    """Show the node's own facts."""
    version = status.version
    yield "State", text(status.state)
    yield "Leader", known(status.leader)
    yield "Epoch", known(status.epoch)
    yield "Version", _point(version)
    if version is not None:
        yield "Held since", "-" if version.changed is None else moment(version.changed)
        yield "SHA-256", text(version.sha256)
        lineage = " ".join(f"{gid}.{clock}" for gid, clock in version.lineage) or "-"
        yield "Grew out of", lineage + ("" if version.rooted else " and what is not known")
    for file in status.files[:FILES_SHOWN]:
        yield text(file.path), size(file.bytes)
    if len(status.files) > FILES_SHOWN:
        yield "Further files", text(len(status.files) - FILES_SHOWN)


def _replicas(replicas: Iterable[Replica]) -> str:
    rows = [
        (
            text(one.address),
            shaded(one.state, _REPLICA_SHADE.get(one.state, "wait")),
            _point(one.version),
            shaded("in sync", "good") if one.in_sync else shaded("not in sync", "wait"),
            "-" if one.lag_seconds is None else f"{one.lag_seconds:.1f} s",
            text(one.implementation),
        )
        for one in replicas
    ]
    columns = ("Replica", "State", "Version", "In sync", "Lag", "Implementation")
    return table("Replicas", columns, rows)


def _transfers(transfers: Iterable[Transfer]) -> str:
    rows = [
        (
            text(one.direction),
            text(one.peer),
            text(one.state),
            _point(one.version),
            f"{size(one.bytes)} of {size(one.total_bytes)}",
            f"{size(one.bytes_per_second)}/s",
            "-" if one.seconds_left is None else f"{one.seconds_left:.0f} s",
            moment(one.since),
        )
        for one in transfers
    ]
    columns = ("Direction", "Replica", "State", "Version", "Moved", "Rate", "Left", "Since")
    return table("Transfers", columns, rows)


def _conflicts(status: Status) -> str:
    """Show what is kept, the newest first."""
    rows = [
        (
            text(one["id"]),
            "-" if one["kept_at"] is None else moment(float(one["kept_at"])),
            size(one["bytes"]),
            known(one["reason"]),
            _fate(one),
        )
        for one in reversed(status.conflicts)
    ]
    return table("Diverged states that are kept", ("Name", "Kept", "Size", "Reason", "Became"), rows)


def _fate(conflict: Mapping[str, Any]) -> str:
    if conflict["merged_into"]:
        return f"merged into {text(conflict['merged_into'])}"
    if conflict["exported_to"]:
        return f"exported to {text(conflict['exported_to'])}"
    return shaded("not looked at", "wait")


def _history(status: Status) -> str:
    """Show the transitions, the newest first."""
    rows = [
        (moment(one.time), text(one.source), text(one.target), text(one.reason))
        for one in reversed(status.history)
    ]
    return table("History", ("Time", "From", "To", "Reason"), rows)


def _point(version: Point | Version | None) -> str:
    return "-" if version is None else f"{version.gid}.{version.clock}"


def size(count: float) -> str:
    """Show a number of bytes for people: `64.0 KiB`."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
