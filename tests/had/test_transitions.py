"""The table of legal changes covers every state and reason, and the manual shows the same table."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from had.diagram import FIRST_STATES, diagram, manual
from had.transitions import LEADERSHIP_LOST, LEGAL, Reason, State

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs" / "internals" / "election.md"


def test_every_reason_is_a_reason_for_some_change():
    """No reason stands in the enumeration that no change of state can have."""
    assert {reason for reasons in LEGAL.values() for reason in reasons} == set(Reason)


def test_no_change_names_a_reason_twice():
    """Each legal change, with its reason, is one label combination of the metric."""
    for reasons in LEGAL.values():
        assert reasons
        assert len(reasons) == len(set(reasons))


def test_every_state_can_be_reached_and_only_a_witness_stays():
    """From the first states the legal changes lead everywhere; every state but WITNESS can be left."""
    reached = set(FIRST_STATES)
    for _ in State:
        reached |= {target for source, target in LEGAL if source in reached}
    assert reached == set(State)
    assert {source for source, _ in LEGAL} == set(State) - {State.WITNESS}


@pytest.mark.parametrize(
    "change",
    [
        (State.PRE, State.ELECTION),
        (State.PRE, State.LEADER),
        (State.LEADER, State.ELECTION),
        (State.WITNESS, State.LEADER),
    ],
)
def test_there_is_no_short_cut_to_leadership(change):
    """A node listens before it wants anything, and a leader stops its controllee before it is a candidate again."""
    assert change not in LEGAL


def test_no_state_changes_into_itself_and_none_into_its_first():
    """PRE and WITNESS are entered by starting only."""
    assert all(source is not target for source, target in LEGAL)
    assert not {target for _, target in LEGAL} & set(FIRST_STATES)


def test_a_leader_can_lose_leadership_only_into_passive():
    """The reasons of had_leadership_lost_total are those of the one way out."""
    ways = {(source, target) for source, target in LEGAL if source is State.LEADER}
    assert ways == {(State.LEADER, State.PASSIVE)}
    assert LEGAL[State.LEADER, State.PASSIVE] == LEADERSHIP_LOST


def test_reasons_are_sentences_for_people_and_slugs_for_labels():
    """A slug is its lower-case name; a sentence fits after a colon, so it has no capital and no full stop."""
    for reason in Reason:
        assert reason.slug == reason.name == reason.name.lower()
        assert reason.value[0].islower()
        assert not reason.value.endswith(".")
    for one, other in itertools.combinations(Reason, 2):
        assert one.value != other.value


def test_the_diagram_has_an_arrow_for_every_change():
    """Every legal change, and nothing else, is an arrow with its reasons."""
    arrows = [line.strip() for line in diagram().splitlines()[1:] if "[*]" not in line]
    assert len(arrows) == len(LEGAL)
    for (source, target), reasons in LEGAL.items():
        (arrow,) = [line for line in arrows if line.startswith(f"{source.name} --> {target.name}:")]
        assert arrow.split(": ")[1].split("<br/>") == [reason.slug for reason in reasons]


def test_the_manual_shows_the_table_of_the_machine():
    """Run `python -m had.diagram` and put what it prints into the manual when this fails."""
    assert manual() in MANUAL.read_text(encoding="utf-8")


def test_the_generated_part_is_what_the_program_prints():
    """The command that the manual and the failure above name exists and does it."""
    printed = subprocess.run(
        [sys.executable, "-m", "had.diagram"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout == manual() + "\n"
    assert printed.stderr == ""
