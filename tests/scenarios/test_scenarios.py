"""Golden scenarios: the election's behaviour as stories that people can read and review.

`SCENARIO_REWRITE=1 pytest tests/scenarios` writes what the machine does now into the files; the difference is then
read, not trusted. No golden file may hold a violation.
"""

from __future__ import annotations

import os

import pytest

from tests.scenarios.language import files, parse, play, render


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_scenario_plays_as_written(path):
    """The pool does exactly what the scenario file says."""
    played = render(play(path.read_text()))
    if os.environ.get("SCENARIO_REWRITE") == "1":
        path.write_text(played)
    assert played == path.read_text()
    assert "VIOLATION" not in played


def test_scenarios_begin_by_saying_what_they_show():
    """Every scenario file opens with a comment for people."""
    for path in files():
        assert parse(path.read_text())[0].comments, path.name


def test_the_promises_have_scenarios():
    """Each promise of the election and each hard case that asks for one has its scenario."""
    names = " ".join(path.stem for path in files())
    for wanted in ("p1_", "p2_", "p3_", "p4_", "p4b_", "p5_", "p6_", "p7_", "p8_", "p9_", "p10_"):
        assert wanted in names
    for case in (1, 3, 4, 5, 7, 8, 9, 10, 11, 12):
        assert f"case{case:02}_" in names
