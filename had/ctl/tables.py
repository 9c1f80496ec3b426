"""Tables for people: columns as wide as their widest cell, no lines, so that `awk` likes them too."""

from collections.abc import Iterable, Iterator, Sequence

from had.ctl.pool import Pool
from had.ctl.replica_verdict import standing


def render(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the table; every row has one cell for each column, and an empty cell shows as `-`."""
    lines = [tuple(columns), *(tuple(printable(cell) or "-" for cell in row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def printable(text: str) -> str:
    """Take control characters out of a text that another machine sent: a terminal would obey them."""
    return "".join(character if character.isprintable() else "?" for character in text)


STATUS_COLUMNS = ("NODE", "STATE", "LEADER", "EPOCH", "CONTROLLEE", "HEARD", "VERSION", "KIND")


def status_text(pool: Pool) -> str:
    """Return the table of the members; with how good their replicas are, if the replication daemons were asked."""
    rows = status_rows(pool)
    votes = "".join(f"\n{line}" for line in votes_lines(pool))
    if pool.replicas is None:
        return render(STATUS_COLUMNS, rows) + votes
    cells = (_replica(pool, entry) for entry in pool.everyone)
    longer = [(*row, cell) for row, cell in zip(rows, cells, strict=True)]
    return render((*STATUS_COLUMNS, "REPLICA"), longer) + votes


def votes_lines(pool: Pool) -> Iterator[str]:
    """Yield who grants whom a lease, where a majority is needed."""
    for entry, status in pool.statuses.items():
        majority = status.majority
        if majority is not None and status.state in {"leader", "election"}:
            voters = ", ".join(majority.voters) or "nobody"
            needed, left = majority.needed, majority.lease_seconds
            yield printable(
                f"{entry} is granted its lease by {voters}; {needed} are needed, {left:.1f} s are left"
            )


def status_rows(pool: Pool) -> list[tuple[str, ...]]:
    """Return one row for each member, in the order of the lists."""
    return [_row(pool, entry) for entry in pool.everyone]


def _replica(pool: Pool, entry: str) -> str:
    replica = pool.replica_of(entry)
    return "" if replica is None or pool.replicas is None else standing(pool.replicas, replica)


def _row(pool: Pool, entry: str) -> tuple[str, ...]:
    views = pool.views_of(entry).values()
    ages = [view.last_heard_seconds for view in views if view.last_heard_seconds is not None]
    heard = f"{min(ages):.1f} s ago" if ages else ""
    status = pool.statuses.get(entry)
    if status is None:
        answer = pool.answers.get(entry)
        word = answer.failure.word if answer is not None and answer.failure is not None else "unknown"
        version = next((view.version for view in views if view.version), "")
        kind = next((view.implementation for view in views if view.implementation != "unknown"), "")
        return (entry, word, "", "", "", heard, version or "", kind)
    controllee = status.controllee
    process = f", pid {controllee.pid}" if controllee.pid is not None else ""
    shown = f"{controllee.name} {controllee.state}{process}" if controllee.name is not None else ""
    state = f"{status.state}{' (paused)' if status.paused else ''}"
    version = status.version or next((view.version for view in views if view.version), None) or ""
    return (entry, state, status.leader or "", str(status.epoch), shown, heard, version, "ours")
