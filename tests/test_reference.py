"""The reference pages and the samples say what the code does: every family, path, key and alert."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import attrs
import pytest

from daemoncore import http, log_file, log_levels, log_repeats, metrics, page
from had import families, status, web
from had.transitions import LEGAL

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "sample-configs" / "prometheus"


def table_rows(name):
    """The cells of every table row of a reference page, backquotes and all."""
    text = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| name |")
    ]


def prefixed(rows, prefix):
    """The rows whose first cell is code that begins with a prefix."""
    return [row for row in rows if row[0].startswith(f"`{prefix}")]


ALL_FAMILIES = {row.name: row for row in metrics.FAMILIES + families.FAMILIES}


def test_every_family_is_documented_as_it_is():
    """Name, type, labels and help of each family stand in the manual, in the same order."""
    documented = [
        (row[0].strip("`"), row[1], row[2], row[3])
        for row in prefixed(table_rows("metrics.md"), "had_")
        if len(row) == 4
    ]
    assert documented == [
        (row.name, row.kind.value, ", ".join(row.shown_labels), row.help)
        for row in metrics.FAMILIES + families.FAMILIES
    ]


def test_every_label_value_is_documented():
    """The manual's values of each fixed label are the code's, and in its order."""
    found = {
        (label.strip("`"), name.strip("`")): tuple(re.findall(r"`(\w+)`", row[2]))
        for row in table_rows("metrics.md")
        if len(row) == 3 and row[0] != "label"
        for label in row[0].split(", ")
        for name in row[1].split(", ")
    }
    assert found["had_state", "all"] == families.STATES
    assert found["type", "had_peer_messages_sent_total"] == families.MESSAGE_TYPES
    assert found["result", "had_elections_total"] == families.ELECTION_RESULTS
    assert found["result", "had_switchovers_total"] == families.SWITCHOVER_RESULTS
    assert found["reason", "had_peer_send_failures_total"] == families.SEND_REASONS
    assert found["reason", "had_peer_messages_rejected_total"] == families.REJECT_REASONS
    assert found["reason", "had_controllee_exits_total"] == families.EXIT_REASONS
    assert found["action", "had_controllee_transition_seconds"] == families.ACTIONS


def test_every_path_is_documented():
    """The manual lists the paths that are served, in their order."""
    paths = [row[0].strip("`") for row in prefixed(table_rows("http.md"), "/")]
    assert tuple(paths) == web.ROUTES


def test_every_status_code_is_documented():
    """The manual lists each status that can be answered."""
    codes = [row[0] for row in table_rows("http.md") if re.fullmatch(r"\d{3}", row[0])]
    possible = {*metrics.ROUTE_CODES, *metrics.OTHER_CODES} - {"413"}
    assert codes == sorted(possible)


def test_limits_in_the_manual_are_the_codes():
    """The numbers that the manual gives are the constants of the server."""
    text = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    for sentence in (
        f"every {page.REFRESH_SECONDS} seconds",
        f"within {http.REQUEST_SECONDS:g} seconds",
        f"longer than {http.HEADER_LIMIT_BYTES // 1024} KiB",
        f"more than {http.CONNECTION_LIMIT} connections",
        f"after {http.IDLE_SECONDS:g} seconds without a request",
        f"last {status.HISTORY_LIMIT} transitions",
    ):
        assert sentence in text


def keys(value_class, prefix=""):
    """Every key that a status class gives, in order, as the manual spells it."""
    parts = {
        "majority": (status.Majority, "."),
        "paused": (status.Paused, "."),
        "hold": (status.Hold, "."),
        "controllee": (status.Controllee, "."),
        "peers": (status.Peer, "[]."),
        "history": (status.Change, "[]."),
    }
    for field in attrs.fields(value_class):
        name = field.metadata.get("key", field.name)
        yield prefix + name
        if not prefix and name in parts:
            part, joint = parts[name]
            yield from keys(part, name + joint)


def test_every_status_key_is_documented():
    """The manual lists each key of /status, in the document's order."""
    rows = table_rows("http.md")
    start = [row[0] for row in rows].index("`schema`")
    documented = [row[0].strip("`") for row in rows[start:]]
    assert documented == ["schema", *keys(status.Status)]


def test_status_values_are_documented():
    """The manual lists each value of the fixed words."""
    words = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in table_rows("http.md")}
    assert tuple(words["state"]) == families.STATES
    assert tuple(words["controllee.state"]) == status.CONTROLLEE_STATES
    assert tuple(words["peers[].state"]) == status.PEER_STATES
    assert [word for word in words["peers[].implementation"] if word != "condor_had"] == list(
        status.IMPLEMENTATIONS
    )


def names_used(text):
    """The family names in expressions; a histogram's parts count as the family."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bhad_\w+", text)}


def test_dashboard_shows_every_family():
    """Each family has a place on the dashboard, and each expression uses families that exist."""
    dashboard = json.loads((ROOT / "sample-configs" / "grafana" / "had.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    used = set().union(*map(names_used, expressions)) - {"had_state"}
    assert used == ALL_FAMILIES.keys() - {"had_state"}
    assert any("had_state{" in expression for expression in expressions)
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identities)) == len(identities)


def test_dashboard_panels_do_not_overlap():
    """Each place of the grid belongs to one panel."""
    dashboard = json.loads((ROOT / "sample-configs" / "grafana" / "had.json").read_text(encoding="utf-8"))
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_alert_rules_use_families_that_exist():
    """No alert waits for a family that nothing gives."""
    rules = (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")
    for expression in re.findall(r"expr: (.*)", rules):
        assert names_used(expression) <= ALL_FAMILIES.keys(), expression


def test_every_alert_has_a_test_in_which_it_fires():
    """The rules' unit tests make each alert fire once, and keep it silent in a good pool."""
    alerts = re.findall(r"- alert: (\w+)", (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))
    cases = (PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8")
    assert len(alerts) == len(set(alerts)) >= 11
    for alert in alerts:
        assert re.search(rf"alertname: {alert}\n +exp_alerts:\n", cases), alert
        assert re.search(rf"alertname: {alert}\n +exp_alerts: \[\]\n", cases), alert


@pytest.mark.parametrize(
    "arguments", [["test", "rules", "alerts_test.yml"], ["check", "config", "prometheus.yml"]]
)
def test_promtool_agrees(arguments):
    """The rules pass their unit tests, and the sample scrape configuration is valid."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    run = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_systemd_unit_is_valid(tmp_path):
    """Systemd has no complaint about the unit, and it notifies, reloads and is watched."""
    unit = (ROOT / "sample-configs" / "systemd" / "had.service").read_text(encoding="utf-8")
    for line in ("Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "WatchdogSec=30"):
        assert line in unit.splitlines()
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "had.service"
    path.write_text(unit.replace("/usr/bin/had", "/bin/true"), encoding="utf-8")
    run = subprocess.run([verify, "verify", "--man=no", path], capture_output=True, text=True, check=False)
    assert "had.service" not in run.stdout + run.stderr


def test_transition_reasons_are_slugs():
    """The reasons that become label values are plain words."""
    for reasons in LEGAL.values():
        assert all(re.fullmatch(r"[a-z_]+", reason.slug) for reason in reasons)


def test_log_page_is_the_codes():
    """The manual names the log's own events, the header flags and the numbers of the code."""
    text = (ROOT / "docs" / "reference" / "log.md").read_text(encoding="utf-8")
    sources = "".join((ROOT / "daemoncore" / name).read_text() for name in ("log.py", "log_file.py"))
    events = set(re.findall(r"\b(?:log_(?:not|writable)_\w+|library_message)\b", sources))
    assert events == {row[0].strip("`") for row in prefixed(table_rows("log.md"), "l")}
    shown = {flag for flag, part in log_levels.HEADER_FLAGS.items() if part}
    assert shown | log_levels.ALWAYS_SHOWN <= set(re.findall(r"D_\w+", text))
    assert f"every {log_file.RETRY_SECONDS:g} seconds" in text
    assert f"{log_repeats.BURST} within {log_repeats.WINDOW_SECONDS:g} seconds" in text
