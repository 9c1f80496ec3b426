"""The bench's comparison with other tools: what it makes of figures, without any of the tools."""

import json
import math

import pytest

from tests.bench.__main__ import parse
from tests.bench.report import Results
from tests.bench.rivals.comparison import TITLES, Comparison, columns_of, ratio
from tests.bench.rivals.faults import FAULTS, Idle
from tests.bench.rivals.programs import version_in, why_missing


@pytest.fixture
def comparison():
    """A rival and ours, with a takeover each, and a cut that the rival never ends."""
    comparison = Comparison("tool 1.2", "quick", "had, T = 1 s", is_by_majority=True)
    for seconds in (3.0, 2.0, 4.0):
        comparison.keep("rival", "host_killed", seconds)
    comparison.keep("ours", "host_killed", 0.5)
    comparison.keep("rival", "packets_lost_two", math.inf)
    comparison.keep("ours", "packets_lost_two", 0.0)
    return comparison


def test_a_table_has_both_sides_and_the_ratio_of_the_medians(comparison):
    """A row has number, median and maximum of each side; what was not measured has no row."""
    _, _, _, _, *rows = comparison.text().splitlines()
    assert [row.split() for row in rows] == [
        [*TITLES["host_killed"].split(), "3", "3.000", "4.000", "1", "0.500", "0.500", "6.0"],
        [*TITLES["packets_lost_two"].split(), "1", *["no", "end"] * 2, "1", "0.000", "0.000", "-"],
    ]


def test_one_side_alone_is_shown(comparison):
    """A row that only one side has shows dashes for the other."""
    comparison.keep("ours", "cold_start", 1.0)
    row = comparison.text().splitlines()[4]
    assert row.split()[-7:] == ["-", "-", "-", "1", "1.000", "1.000", "-"]


def test_idle_costs_stand_side_by_side(comparison):
    """Each role has a row for processor time, memory and network, with its ratio."""
    comparison.idle = {
        "rival": {"leader": Idle(0.1, 4.0, 100.0)},
        "ours": {"leader": Idle(0.4, 40.0, 1000.0)},
    }
    rows = comparison.text().splitlines()[-3:]
    assert [row.split()[-3:] for row in rows] == [
        ["0.100", "0.400", "0.25"],
        ["4.0", "40.0", "0.10"],
        ["100", "1000", "0.10"],
    ]


def test_columns_line_up(comparison):
    """All rows are as wide as the head, whatever stands in them."""
    comparison.idle = {
        "rival": {"leader": Idle(0.1, 4.0, 100.0)},
        "ours": {"leader": Idle(0.4, 40.0, 1000.0)},
    }
    comparison.disorders["rival"] = 1
    _, _, names, head, *rows = comparison.text().splitlines()
    *rows, replaced = rows
    assert {len(row) for row in rows} == {len(head)}
    assert len(names) == len(replaced) < len(head)


@pytest.mark.parametrize(
    ("rival", "ours", "expected"),
    [
        ([2.0, 4.0], [1.0], "3.0"),
        ([1.0], [4.0], "0.25"),
        ([math.inf], [1.0], "-"),
        ([1.0], [0.0], "-"),
        ([], [1.0], "-"),
    ],
)
def test_a_ratio_is_one_of_medians(rival, ours, expected):
    """Above one ours is quicker; where one side has no end or takes no time there is none."""
    assert ratio(rival, ours) == expected


def test_an_end_that_sometimes_came_is_not_hidden():
    """The maximum tells of the one run in three without an end, the median of the other two."""
    assert columns_of([0.5, math.inf, 0.7]).split() == ["3", "0.700", "no", "end"]


@pytest.mark.parametrize(("is_by_majority", "count"), [(True, 2), (False, 1)])
def test_two_of_ours_are_reported(is_by_majority, count):
    """Two of ours at once break a promise; in a cut only if they lead by majority."""
    comparison = Comparison("tool", "quick", "had", is_by_majority=is_by_majority)
    comparison.keep("ours", "cable_pulled_two", math.inf)
    comparison.keep("ours", "daemon_killed_two", 0.1)
    comparison.keep("rival", "daemon_killed_two", math.inf)
    results = Results()
    results.comparisons = [comparison]
    assert len(results.broken_promises()) == count


def test_what_was_not_measured_has_no_table(comparison):
    """An interrupted bench shows the pairs that it came to."""
    results = Results()
    results.comparisons = [comparison, Comparison("other 3.4", "slow", "had, T = 9 s", is_by_majority=False)]
    assert "tool 1.2" in results.text()
    assert "other 3.4" not in results.text()


def test_plain_values_are_json(comparison):
    """What has no end is null, since JSON knows no infinity."""
    comparison.idle = {"ours": {"leader": Idle(0.4, 40.0, 1000.0)}}
    plain = json.loads(json.dumps(comparison.as_plain(), allow_nan=False))
    assert plain["seconds"]["rival"]["packets_lost_two"] == [None]
    assert plain["idle"]["ours"]["leader"]["pss_mb"] == 40.0


def test_every_fault_has_its_rows():
    """What a fault measures has a title, and so a place in the table."""
    assert {name for fault in ("cold_start", *FAULTS) for name in (fault, f"{fault}_two")} <= set(TITLES)


def test_versions_are_found():
    """The version is the first number with a point in what a program says."""
    assert version_in("Keepalived v2.2.7 (01/16,2022)") == "2.2.7"
    assert version_in("etcd Version: 3.4.23\nGo Version: go1.19.8") == "3.4.23"
    assert version_in("no number") == "unknown"


def test_a_missing_tool_is_named():
    """The reason for leaving a tool out names the program that is missing."""
    assert why_missing("sh") is None
    assert "no-such-tool" in why_missing("sh", "no-such-tool")


def test_rivals_are_chosen_on_the_command_line():
    """`--only rivals` is that alone, all is all, and a quick run leaves them out."""
    assert parse(["--only", "rivals"]).scenarios == ["rivals"]
    assert "rivals" in parse([]).scenarios
    assert "rivals" not in parse(["--quick"]).scenarios
    assert "rivals" not in parse(["--only", "election"]).scenarios
