"""How log lines read, and that one event is always one line."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.log_format import VALUE_LIMIT_CHARACTERS, header, render, render_value
from daemoncore.log_levels import ALWAYS, FULLDEBUG, NETWORK, STATUS

#: 2026-11-22 05:12:01.25 UTC.
NOW = 1795324321.25


@pytest.fixture(autouse=True)
def in_utc(monkeypatch):
    """Local time is UTC."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("127.0.0.1:9620", "127.0.0.1:9620"),
        (385, "385"),
        (0.25, "0.25"),
        (1 / 3, "0.333333"),
        (float("inf"), "inf"),
        (True, "true"),
        (None, "none"),
        ("", '""'),
        ("the leader was silent", '"the leader was silent"'),
        ('say "no"', '"say \\"no\\""'),
        ("a=b", '"a=b"'),
        ("back\\slash", '"back\\\\slash"'),
        ("two\nlines", '"two\\nlines"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("Zürich", "Zürich"),
        (["a", "b"], "a,b"),
        (("a b", 2), '"a b,2"'),
    ],
)
def test_values_are_bare_or_quoted(value, text):
    """Plain values stay bare; whatever could be misread is quoted and escaped."""
    assert render_value(value) == text


def test_line_has_event_and_fields_in_order():
    """The event comes first, then the fields as they were given."""
    line = render("leader_changed", {"leader": "127.0.0.1:9620", "epoch": 385, "reason": "no leader"})
    assert line == 'leader_changed leader=127.0.0.1:9620 epoch=385 reason="no leader"'


@given(st.text())
def test_no_value_can_end_a_line_or_begin_a_field(text):
    """Whatever text a peer sends, it stays one printable value."""
    shown = render_value(text)
    assert shown.isprintable()
    if not shown.startswith('"'):
        assert re.fullmatch(r'[^\s"=]+', shown)


def test_long_values_are_cut():
    """A peer cannot fill the log with one value."""
    assert render_value("x" * 5000) == "x" * VALUE_LIMIT_CHARACTERS + "..."


@pytest.mark.parametrize(
    ("level", "parts", "expected"),
    [
        (ALWAYS, set(), "11/22/26 05:12:01 "),
        (ALWAYS, {"sub_second"}, "11/22/26 05:12:01.250 "),
        (ALWAYS, {"timestamp"}, "1795324321 "),
        (ALWAYS, {"timestamp", "sub_second"}, "1795324321.250 "),
        (ALWAYS, {"pid"}, "11/22/26 05:12:01 (pid:{pid}) "),
        (NETWORK, {"category"}, "11/22/26 05:12:01 (D_NETWORK) "),
        (FULLDEBUG, {"category"}, "11/22/26 05:12:01 (D_ALWAYS:2) "),
        (STATUS, {"category"}, "11/22/26 05:12:01 (D_ALWAYS) "),
        (ALWAYS, {"pid", "category"}, "11/22/26 05:12:01 (pid:{pid}) (D_ALWAYS) "),
    ],
)
def test_header_is_htcondors(level, parts, expected):
    """Each header flag adds its part, in HTCondor's order."""
    assert header(NOW, level, frozenset(parts)) == expected.format(pid=os.getpid())


def test_header_shows_the_lowest_free_descriptor():
    """D_FDS shows a descriptor number, which creeps up when descriptors leak."""
    match = re.fullmatch(r"\S+ \S+ \(fd:(\d+)\) ", header(NOW, ALWAYS, frozenset({"descriptors"})))
    with open(os.devnull, "rb") as first:  # noqa: PTH123 - its descriptor is what counts
        assert first.fileno() == int(match[1])


def test_milliseconds_are_rounded_over_the_second():
    """A time just under a second reads as the next second, never as .1000."""
    assert header(NOW + 0.7496, ALWAYS, frozenset({"sub_second"})) == "11/22/26 05:12:02.000 "


def test_time_format_is_the_knobs():
    """DEBUG_TIME_FORMAT replaces the date and time."""
    assert header(NOW, ALWAYS, frozenset(), time_format="%Y-%m-%dT%H:%M:%S") == "2026-11-22T05:12:01 "
