"""Draws the state machine for the manual from the table that the machine obeys.

`python -m had.diagram` prints the generated part of docs/internals/election.md; a test compares the two, so that the
manual cannot say what the machine does not do.
"""

from __future__ import annotations

from collections.abc import Iterator

from had.transitions import LEGAL, State

FIRST_STATES = (State.PRE, State.WITNESS)
"""Where a daemon starts: a member of HAD_LIST, and one of HAD_WITNESS_LIST."""


def diagram() -> str:
    """Return the states and their changes as a Mermaid diagram, with the reasons' slugs on the arrows."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state.name}" for state in FIRST_STATES]
    for (source, target), reasons in LEGAL.items():
        slugs = "<br/>".join(reason.slug for reason in reasons)
        lines.append(f"    {source.name} --> {target.name}: {slugs}")
    return "\n".join(lines)


def _rows() -> Iterator[str]:
    yield "| from | to | reason | in words |"
    yield "|---|---|---|---|"
    for (source, target), reasons in LEGAL.items():
        for reason in reasons:
            yield f"| {source.name} | {target.name} | `{reason.slug}` | {reason.value} |"


def manual() -> str:
    """Return the generated part of the manual: the diagram, then every change with its reason as a sentence."""
    return "\n".join(["```mermaid", diagram(), "```", "", *_rows()])


if __name__ == "__main__":
    print(manual())  # noqa: T201 -- printing is what it was started for
