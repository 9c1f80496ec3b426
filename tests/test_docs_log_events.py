"""The manual's tables of log events are those that the daemons log by, and the daemons log nothing else."""

import ast
import re
from pathlib import Path

import pytest

from daemoncore.event_manual import manual_of
from had.log_events import EVENTS
from replication.log_events import EVENTS as REPLICATION_EVENTS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "log-events.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guides" / "operations.md").read_text(encoding="utf-8")


def strings_of(path):
    """Every string that stands in a file as code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize(("package", "events"), [("had", EVENTS), ("had-replication", REPLICATION_EVENTS)])
def test_the_page_has_the_table_of_the_code(package, events):
    """Name, weight and sentence of every event stand in the daemon's part of the manual, in the order of the code."""
    section = PAGE.split(f"\n## {package}\n")[1].split("\n## ")[0]
    assert manual_of(events) in section


@pytest.mark.parametrize(("package", "events"), [("had", EVENTS), ("replication", REPLICATION_EVENTS)])
def test_every_event_can_happen(package, events):
    """No event of the table is one that nothing logs; a crash's name is put together from the program's."""
    tables = {"log_events.py", "daemon_events.py", "transfer_terms.py"}
    sources = [
        path
        for folder in (package, "daemoncore")
        for path in (ROOT / folder).glob("*.py")
        if path.name not in tables
    ]
    said = set().union(*map(strings_of, sources))
    assert "_crashed" in said
    assert set(events) - said == {f"{package}_crashed"}


@pytest.mark.parametrize("events", [EVENTS, REPLICATION_EVENTS], ids=["had", "replication"])
def test_the_guide_says_what_to_do_about_each_warning(events):
    """Whoever reads a warning or an error in the log finds it in the operations guide."""
    rows = re.findall(r"^\| (`.*?) \|", GUIDE, flags=re.MULTILINE)
    answered = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    asks = {name for name, (level, _) in events.items() if level.number > events["peer_up"][0].number}
    assert asks - answered == set()
