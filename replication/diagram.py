"""Draws the replica machine for the manual from the table that the machine obeys.

`python -m replication.diagram` prints the generated part of docs/internals/replication.md; a test compares the two, so
that the manual cannot say what the machine does not do.
"""

from __future__ import annotations

from collections.abc import Iterator

from replication.events import State
from replication.transitions import LEGAL

FIRST_STATE = State.VERSION_REQUESTING
"""Where every daemon starts."""


def diagram() -> str:
    """Return the states and their changes as a Mermaid diagram, with the reasons on the arrows."""
    lines = ["stateDiagram-v2", f"    [*] --> {FIRST_STATE.name}"]
    for (source, target), reasons in LEGAL.items():
        sentences = "<br/>".join(reason.value for reason in reasons)
        lines.append(f"    {source.name} --> {target.name}: {sentences}")
    return "\n".join(lines)


def _rows() -> Iterator[str]:
    yield "| from | to | reason |"
    yield "|---|---|---|"
    for (source, target), reasons in LEGAL.items():
        for reason in reasons:
            yield f"| {source.name} | {target.name} | {reason.value} |"


def manual() -> str:
    """Return the generated part of the manual: the diagram, then every change with its reason."""
    return "\n".join(["```mermaid", diagram(), "```", "", *_rows()])


if __name__ == "__main__":
    print(manual())  # noqa: T201 -- printing is what it was started for
