"""What a merge or a restoring would change, as the leader's replica computed it: read, and shown per user.

The leader's daemon knows how to merge; this tool only renders the numbers that it gives for each customer: of the
common ancestor, of the state that the leader holds, of the kept one and of the result, in this order. A number is null
where a side has no such customer.
"""

from __future__ import annotations

from typing import Any

import attrs

from had.ctl import documents, tables
from had.ctl.replica_status import Point

HERE, RESULT = 1, 3

_COLUMNS = ("CUSTOMER", "ANCESTOR", "HERE", "THERE")


@attrs.frozen
class Row:
    """What becomes of one customer; four numbers each, see above.

    Attributes:
        customer: user or group.
        usage_seconds: what was used, with what is still to be charged.
        weighted_seconds: the same, weighted by slots.
        priority: the effective user priority without its factor; smaller is better.
        notes: sentences about settings and removals.
    """

    customer: str
    usage_seconds: tuple[float | None, ...]
    weighted_seconds: tuple[float | None, ...]
    priority: tuple[float | None, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether the result differs from what the leader holds, as far as it is shown: decay leaves crumbs everywhere."""
        seconds = (self.usage_seconds, self.weighted_seconds)
        is_other = any(_seconds(four[HERE]) != _seconds(four[RESULT]) for four in seconds)
        return bool(self.notes) or is_other or _rank(self.priority[HERE]) != _rank(self.priority[RESULT])


@attrs.frozen
class MergePlan:
    """The dry run.

    Attributes:
        rows: every customer of either side.
        warnings: what people should look at.
        base: the common ancestor, if it is known.
        kind: `merge` or `restore`.
    """

    rows: tuple[Row, ...] = ()
    warnings: tuple[str, ...] = ()
    base: str | None = None
    kind: str = "merge"


def plan_from(document: dict[str, Any]) -> MergePlan:
    """Read what the leader's daemon sent.

    Raises:
        DocumentError: it is no such document.
    """
    plan = documents.value_from(MergePlan, document | {"base": _base(document.get("base"))})
    for row in plan.rows:
        for numbers in (row.usage_seconds, row.weighted_seconds, row.priority):
            if len(numbers) != 4:
                raise documents.DocumentError(
                    f"{row.customer} has {len(numbers)} numbers where there are four"
                )
    return plan


def _base(value: object) -> str | None:
    """Give the point in one spelling, whichever of the three it was sent in."""
    if value is None or isinstance(value, str):
        return value
    return str(documents.value_from(Point, value))


def plan_table(plan: MergePlan) -> str:
    """Return the table of the customers that change, and the sums of all."""
    changed = [row for row in plan.rows if row.is_changed]
    is_weighted = any(row.usage_seconds != row.weighted_seconds for row in plan.rows)
    result = "RESTORED" if plan.kind == "restore" else "MERGED"
    columns = (*_COLUMNS, result, *(("WEIGHTED",) if is_weighted else ()), "PRIORITY", "AFTER", "NOTES")
    rows = [_cells(row, is_weighted=is_weighted) for row in changed]
    sums = [f"{sum(row.usage_seconds[place] or 0.0 for row in plan.rows):.0f}" for place in range(4)]
    weighted = f"{sum(row.weighted_seconds[RESULT] or 0.0 for row in plan.rows):.0f}"
    rows.append(("(all)", *sums, *((weighted,) if is_weighted else ()), "", "", ""))
    return tables.render(columns, rows)


def _cells(row: Row, *, is_weighted: bool) -> tuple[str, ...]:
    weighted = (_seconds(row.weighted_seconds[RESULT]),) if is_weighted else ()
    after = row.priority[RESULT]
    return (
        row.customer,
        *(_seconds(number) for number in row.usage_seconds),
        *weighted,
        _rank(row.priority[HERE]),
        "removed" if after is None else _rank(after),
        "; ".join(row.notes),
    )


def _seconds(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"


def _rank(priority: float | None) -> str:
    return "" if priority is None else f"{priority:.2f}"


def plan_sentences(plan: MergePlan, identifier: str, leader: str) -> list[str]:
    """Say what the table shows, and what people should look at."""
    changed = sum(row.is_changed for row in plan.rows)
    if not plan.rows:
        what = "the state is no Accountant log, so there is no table of users"
    else:
        what = (
            f"{changed} of {len(plan.rows)} users change; the columns are seconds used:"
            f" HERE is {leader}, THERE is {identifier}"
        )
    base = f"the common ancestor is {plan.base}" if plan.base else "the common ancestor is not known"
    grounds = [] if plan.kind == "restore" else [base]
    return [what, *grounds, *(f"warning: {text}" for text in plan.warnings)]
