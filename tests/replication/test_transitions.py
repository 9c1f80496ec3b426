"""The table of a replica's legal changes covers every state and reason, and the manual shows the same table."""

import subprocess
import sys
from pathlib import Path

import pytest

from replication.diagram import FIRST_STATE, diagram, manual
from replication.events import State
from replication.transitions import LEGAL, Reason

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs" / "internals" / "replication.md"


def test_every_reason_is_a_reason_for_some_change():
    """No reason stands in the enumeration that no change of state can have, and no change names one twice."""
    assert {reason for reasons in LEGAL.values() for reason in reasons} == set(Reason)
    assert all(len(reasons) == len(set(reasons)) >= 1 for reasons in LEGAL.values())


def test_every_state_can_be_reached_and_left():
    """From the first state the legal changes lead everywhere, and no state is an end."""
    reached = {FIRST_STATE}
    for _ in State:
        reached |= {target for source, target in LEGAL if source in reached}
    assert reached == set(State)
    assert {source for source, _ in LEGAL} == set(State)


@pytest.mark.parametrize("target", [State.VERSION_REQUESTING, State.VERSION_DOWNLOADING])
def test_joining_happens_once(target):
    """A replica joins when its daemon starts, and never again: a leader becomes a backup and nothing else."""
    assert (State.LEADER, target) not in LEGAL
    assert (State.BACKUP, target) not in LEGAL


@pytest.mark.parametrize("state", [state for state in State if state is not State.LEADER])
def test_leading_is_had_s_business(state):
    """Whatever a replica is doing, it leads when had does, and for no other reason."""
    assert LEGAL[state, State.LEADER] == (Reason.LEADS,)


def test_reasons_are_sentences_for_people():
    """A sentence fits after a colon, so it has no capital and no full stop."""
    for reason in Reason:
        assert reason.value[0].islower()
        assert not reason.value.endswith(".")


def test_the_diagram_has_an_arrow_for_every_change():
    """Every legal change, and nothing else, is an arrow with its reasons."""
    arrows = [line.strip() for line in diagram().splitlines()[1:] if "[*]" not in line]
    assert len(arrows) == len(LEGAL)
    for (source, target), reasons in LEGAL.items():
        (arrow,) = [line for line in arrows if line.startswith(f"{source.name} --> {target.name}:")]
        assert arrow.split(": ", 1)[1].split("<br/>") == [reason.value for reason in reasons]


def test_the_manual_shows_the_table_of_the_machine():
    """Run `python -m replication.diagram` and put what it prints into the manual when this fails."""
    assert manual() in MANUAL.read_text(encoding="utf-8")


def test_the_generated_part_is_what_the_program_prints():
    """The command that the manual and the failure above name exists and does it."""
    printed = subprocess.run(
        [sys.executable, "-m", "replication.diagram"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout == manual() + "\n"
    assert printed.stderr == ""
