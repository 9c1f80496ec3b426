"""What an operator types, and what a terminal is shown: names of members, lengths of time, answers, tables."""

import argparse
import io

import pytest

from had.ctl import tables
from had.ctl.confirmation import UnansweredError, is_confirmed
from had.ctl.durations import duration_argument
from had.ctl.naming import NamingError, entry_named
from had.ctl.pool import Failure
from tests.had.ctl.pools import A, B, C, failed, pool, status

ENTRIES = ("cm1.example.org:51450", "CM2.example.org:51450", "10.0.0.3:1", "10.0.0.3:2", "[fd00::1]:51450")


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("cm1.example.org:51450", "cm1.example.org:51450"),
        ("cm1.example.org", "cm1.example.org:51450"),
        ("cm1", "cm1.example.org:51450"),
        ("cm2", "CM2.example.org:51450"),
        ("10.0.0.3:2", "10.0.0.3:2"),
        ("fd00::1", "[fd00::1]:51450"),
        ("[fd00::1]", "[fd00::1]:51450"),
    ],
)
def test_members_go_by_entry_host_or_label(name, entry):
    """A member is found by whatever names it without doubt."""
    assert entry_named(name, ENTRIES) == entry


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("10.0.0.3", "could be 10.0.0.3:1 or 10.0.0.3:2"),
        ("cm3", "is no member"),
        ("10", "is no member"),
        ("", "is no member"),
    ],
)
def test_doubtful_names_are_refused(name, reason):
    """A name of nobody, or of several, is refused with the choices."""
    with pytest.raises(NamingError, match=reason):
        entry_named(name, ENTRIES)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5", 1.5),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1H 30m", 5400),
        ("1d", 86400),
        ("1w", 604800),
    ],
)
def test_lengths_of_time(text, seconds):
    """Times are read as people write them."""
    assert duration_argument(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "2 hours", "h", "1h30", "inf", "1e3", "5x"])
def test_what_is_no_length_of_time(text):
    """Anything else is refused, and the sentence repeats it."""
    with pytest.raises(argparse.ArgumentTypeError, match="length of time"):
        duration_argument(text)


class Terminal(io.StringIO):
    """A standard input at which somebody sits."""

    def isatty(self):
        """Say that it is a terminal."""
        return True


@pytest.mark.parametrize(
    ("typed", "is_yes"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_the_operator_is_asked(monkeypatch, typed, is_yes):
    """Only a clear yes is a yes."""
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert is_confirmed("Really?", is_yes=False) is is_yes


def test_without_a_terminal_nothing_is_assumed(monkeypatch):
    """Standard input that is no terminal answers nothing; --yes answers without it."""
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    with pytest.raises(UnansweredError, match="--yes"):
        is_confirmed("Really?", is_yes=False)
    assert is_confirmed("Really?", is_yes=True)


def test_the_status_table():
    """One line a member; who does not answer shows the word and what the others know."""
    made = pool(status(A), status(B), failed(C, Failure.TIMEOUT))
    lines = tables.render(tables.STATUS_COLUMNS, tables.status_rows(made)).splitlines()
    assert [line.split() for line in lines] == [
        ["NODE", "STATE", "LEADER", "EPOCH", "CONTROLLEE", "HEARD", "VERSION", "KIND"],
        [A, "leader", A, "130", "negotiator", "running,", "pid", "4711", "0.1", "s", "ago", "0.1.0", "ours"],
        [B, "passive", A, "130", "negotiator", "stopped", "0.1", "s", "ago", "0.1.0", "ours"],
        [C, "timeout", "-", "-", "-", "0.1", "s", "ago", "0.1.0", "ours"],
    ]
    assert len({line.index("0.1.0") for line in lines[1:]}) == 1


def test_control_characters_do_not_reach_the_terminal():
    """What another machine says cannot move the cursor or add a line."""
    assert tables.render(("A",), [("x\x1b[2J\ny",)]) == "A\nx?[2J?y"
