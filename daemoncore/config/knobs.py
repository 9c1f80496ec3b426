"""THE table: every knob that our daemons read, write about, or must recognise in a pool's files.

The rows stand in four files by subject; this one joins them and answers questions. Parser, check, sample file,
manual page and reload logic all read the same rows, so a knob that is not here does not exist.
"""

import re
from collections.abc import Iterator

from daemoncore.config.knob import Knob
from daemoncore.config.knobs_election import CONTROLLEE, ELECTION
from daemoncore.config.knobs_logs import LOGS
from daemoncore.config.knobs_pool import FILES, MASTER, NETWORK, PATHS, SECURITY
from daemoncore.config.knobs_replication import REPLICATION

#: Title and rows, in the order of the manual.
SECTIONS: tuple[tuple[str, tuple[Knob, ...]], ...] = (
    ("Election", ELECTION),
    ("The controllee", CONTROLLEE),
    ("Replication", REPLICATION),
    ("Logs", LOGS),
    ("Network and HTTP", NETWORK),
    ("Security", SECURITY),
    ("condor_master", MASTER),
    ("Places", PATHS),
    ("Configuration files", FILES),
)

TABLE: dict[str, Knob] = {
    knob.name.upper(): knob for _title, rows in SECTIONS for knob in rows if not knob.is_family
}
FAMILIES: tuple[tuple[re.Pattern[str], Knob], ...] = tuple(
    (knob.pattern(), knob) for _title, rows in SECTIONS for knob in rows if knob.is_family
)

#: Spellings that were never read by HTCondor but stand in manuals and in the field, and what was meant.
MISSPELT = {"MAX_TRANSFERER_LIFETIME": "MAX_TRANSFER_LIFETIME"}

#: Groups of names that are the election's and replication's own; a stray name among them is a typing error.
_OWN = re.compile(
    r"(HAD|REPLICATION|TRANSFERER|NEWLY_JOINED)_.*|(MAX|MAX_NUM|MASTER)_(HAD|REPLICATION|TRANSFERER)_.*"
)
#: Macros of the manual's samples, which are no knobs and no mistakes either.
_SAMPLE_MACROS = frozenset({"HAD_PORT", "REPLICATION_PORT", "TRANSFERER_PORT"})
#: Names of HTCondor that start like ours and are other programs' business.
_FOREIGN = frozenset(
    {"HAD_ENVIRONMENT", "REPLICATION_ENVIRONMENT", "HAD_ADDRESS_FILE", "REPLICATION_ADDRESS_FILE"}
)


def defaults() -> dict[str, str]:
    """Return the default texts by upper-case name."""
    return {name: knob.default for name, knob in TABLE.items() if knob.default is not None}


def find(name: str, controllee: str = "") -> Knob | None:
    """Return the row of a name, or None.

    Args:
        name: any case, without a prefix.
        controllee: the value of HAD_CONTROLLEE, whose own knobs (`NEGOTIATOR`, `NEGOTIATOR_ARGS`) it opens.
    """
    upper = name.upper()
    if upper in TABLE:
        return TABLE[upper]
    for pattern, knob in FAMILIES:
        if knob.name.startswith("<CONTROLLEE>"):
            if upper == knob.name.replace("<CONTROLLEE>", controllee.upper()):
                return knob
        elif pattern.fullmatch(upper):
            return knob
    return None


def all_rows() -> Iterator[Knob]:
    """Every row, families included, in the order of the manual."""
    for _title, rows in SECTIONS:
        yield from rows


def suggest(name: str) -> str | None:
    """Return the knob that a name was probably meant to be, or None when nothing is near."""
    upper = name.upper()
    allowed = 1 if len(upper) < 9 else 2
    best = min(TABLE, key=lambda known: (_distance(upper, known, allowed + 1), known))
    return TABLE[best].name if _distance(upper, best, allowed + 1) <= allowed else None


def is_suspicious(name: str) -> bool:
    """Whether a name in a condor file looks like one of ours and is none."""
    upper = name.upper()
    if upper in TABLE or upper in _SAMPLE_MACROS or upper in _FOREIGN or find(upper) is not None:
        return False
    if _OWN.fullmatch(upper):
        return True
    meant = suggest(upper)
    return meant is not None and _OWN.fullmatch(meant.upper()) is not None


def _distance(left: str, right: str, limit: int) -> int:
    """Edits (insert, delete, replace, swap neighbours) between two names; `limit` when it is that or more."""
    if abs(len(left) - len(right)) >= limit:
        return limit
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        older, before, row = before, row, [i]
        for j, b in enumerate(right, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and b == left[i - 2]:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) >= limit:
            return limit
    return row[-1]
