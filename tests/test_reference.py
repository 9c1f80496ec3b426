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
from had.replica_words import Currency
from had.transitions import LEGAL
from replication import families as replication_families
from replication import page as replication_page
from replication import status as replication_status
from replication import view as replication_view
from replication import web as replication_web
from tests.replication.documents import CONFLICT

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "sample-configs" / "prometheus"


def table_rows(name, heading=None):
    """The cells of every table row of a reference page, or of what stands under one heading, backquotes and all."""
    text = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    if heading is not None:
        text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| name |")
    ]


def prefixed(rows, prefix):
    """The rows whose first cell is code that begins with a prefix."""
    return [row for row in rows if row[0].startswith(f"`{prefix}")]


TABLES = {
    "Families of every daemon": metrics.FAMILIES,
    "Families of had": families.FAMILIES,
    "Families of had-replication": replication_families.FAMILIES,
}
ALL_FAMILIES = {row.name: row for table in TABLES.values() for row in table}


@pytest.mark.parametrize("heading", TABLES)
def test_every_family_is_documented_as_it_is(heading):
    """Name, type, labels and help of each family stand in the manual, in the same order."""
    documented = [
        (row[0].strip("`"), row[1], row[2], row[3])
        for row in prefixed(table_rows("metrics.md", heading), "had_")
    ]
    assert documented == [
        (row.name, row.kind.value, ", ".join(row.shown_labels), row.help) for row in TABLES[heading]
    ]


def test_a_family_means_the_same_in_both_daemons():
    """A family that both daemons have is of one type, with one help text and the same labels."""
    for table in TABLES.values():
        assert all(row == ALL_FAMILIES[row.name] for row in table)


def test_every_family_of_replication_is_in_the_design():
    """Beyond its own families the replication daemon has only such as had has too."""
    own = {row.name for row in replication_families.FAMILIES if row.name.startswith("had_replication_")}
    others = {row.name for row in replication_families.FAMILIES} - own
    assert len(own) == 15
    assert others <= {row.name for row in families.FAMILIES}


def test_every_label_value_is_documented():
    """The manual's values of each fixed label are the code's, and in its order."""
    found = {
        (label.strip("`"), name.replace("`", "")): tuple(re.findall(r"`(\w+)`", row[2]))
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
    assert found["reason", "had_peer_messages_rejected_total of had"] == families.REJECT_REASONS
    assert found["reason", "had_controllee_exits_total"] == families.EXIT_REASONS
    assert found["action", "had_controllee_transition_seconds"] == families.ACTIONS


def test_every_label_value_of_replication_is_documented():
    """The manual's values of each fixed label are the code's, and in its order."""
    found = {
        (row[0].strip("`"), row[1].replace("`", "")): tuple(re.findall(r"`(\w+)`", row[2]))
        for row in table_rows("metrics.md", "Label values")
    }
    assert found["had_replication_state", "all"] == replication_families.STATES
    assert found["direction", "all"] == replication_families.DIRECTIONS
    assert found["result", "had_replication_transfers_total"] == replication_families.TRANSFER_RESULTS
    assert found["reason", "had_replication_versions_rejected_total"] == replication_families.VERSION_REASONS
    rejected = found["reason", "had_peer_messages_rejected_total of had-replication"]
    assert rejected == replication_families.REJECT_REASONS
    assert replication_families.SEND_REASONS == families.SEND_REASONS


@pytest.mark.parametrize(("daemon", "served"), [("had", web), ("had-replication", replication_web)])
def test_every_path_is_documented(daemon, served):
    """The manual lists the paths that are served, in their order."""
    paths = [row[0].strip("`") for row in prefixed(table_rows("http.md", f"Pages of {daemon}"), "/")]
    assert tuple(paths) == served.ROUTES


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
        f"in seconds; {replication_web.MAX_LAG_SECONDS:g} if it does not",
        f"of a folder the first {replication_view.FILES_LIMIT}",
    ):
        assert sentence in text
    assert replication_status.HISTORY_LIMIT == status.HISTORY_LIMIT
    assert replication_page.FILES_SHOWN < replication_view.FILES_LIMIT


#: The parts of each document: the class of their values, or one value where it has no class, and how the keys join.
PARTS = {
    status.Status: {
        "majority": (status.Majority, "."),
        "paused": (status.Paused, "."),
        "hold": (status.Hold, "."),
        "controllee": (status.Controllee, "."),
        "peers": (status.Peer, "[]."),
        "history": (status.Change, "[]."),
        "replica": (status.Replica, "."),
    },
    replication_status.Status: {
        "version": (replication_status.Version, "."),
        "replicas": (replication_status.Replica, "[]."),
        "conflicts": (CONFLICT, "[]."),
        "transfers": (replication_status.Transfer, "[]."),
        "files": (replication_status.File, "[]."),
        "pending": (replication_status.Pending, "[]."),
        "history": (replication_status.Change, "[]."),
    },
}


def keys_of(part):
    """The keys of one object of a document, in their order."""
    if isinstance(part, dict):
        return list(part)
    return [field.metadata.get("key", field.name) for field in attrs.fields(part)]


def keys(document):
    """Every key that a status document has, in order, as the manual spells it."""
    for name in keys_of(document):
        yield name
        if name in PARTS[document]:
            part, joint = PARTS[document][name]
            yield from (name + joint + key for key in keys_of(part))


@pytest.mark.parametrize(
    ("daemon", "document"), [("had", status.Status), ("had-replication", replication_status.Status)]
)
def test_every_status_key_is_documented(daemon, document):
    """The manual lists each key of /status, in the document's order."""
    rows = [row for row in table_rows("http.md", f"/status of {daemon}") if row[0].startswith("`")]
    assert [row[0].strip("`") for row in rows] == ["schema", *keys(document)]


def words_of(daemon):
    """The words that the manual gives for each key of a status document."""
    rows = table_rows("http.md", f"/status of {daemon}")
    return {row[0].strip("`"): tuple(re.findall(r"`(\w+)`", row[1])) for row in rows}


def test_status_values_are_documented():
    """The manual lists each value of the fixed words."""
    words = words_of("had")
    assert words["state"] == families.STATES
    assert words["controllee.state"] == status.CONTROLLEE_STATES
    assert words["peers[].state"] == status.PEER_STATES
    implementations = tuple(word for word in words["peers[].implementation"] if word != "condor_had")
    assert implementations == status.IMPLEMENTATIONS
    unsaid = {"condor_replication", "false"}
    assert tuple(word for word in words["replica.state"] if word not in unsaid) == status.REPLICA_STATES
    assert words["replica.currency"][:3] == tuple(currency.value for currency in Currency)


def test_status_values_of_replication_are_documented():
    """The manual lists each value of the fixed words."""
    words = words_of("had-replication")
    implementations = words["replicas[].implementation"]
    assert words["state"] == replication_families.STATES
    assert words["replicas[].state"] == replication_status.REPLICA_STATES
    assert tuple(one for one in implementations if one != "condor_replication") == (
        replication_status.IMPLEMENTATIONS
    )
    assert words["transfers[].direction"] == replication_families.DIRECTIONS
    assert words["transfers[].state"] == replication_status.TRANSFER_STATES
    assert words["pending[].act"] == replication_status.ACTS


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


@pytest.mark.parametrize("program", ["had", "had-replication"])
def test_systemd_unit_is_valid(program, tmp_path):
    """Systemd has no complaint about the unit, and it notifies, reloads and is watched."""
    name = f"{program}.service"
    unit = (ROOT / "sample-configs" / "systemd" / name).read_text(encoding="utf-8")
    for line in ("Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "WatchdogSec=30"):
        assert line in unit.splitlines()
    assert f"ExecStart=/usr/bin/{program} -f -t " in unit
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / name
    path.write_text(unit.replace(f"/usr/bin/{program}", "/bin/true"), encoding="utf-8")
    run = subprocess.run([verify, "verify", "--man=no", path], capture_output=True, text=True, check=False)
    assert name not in run.stdout + run.stderr


def test_transition_reasons_are_slugs():
    """The reasons that become label values are plain words."""
    for reasons in LEGAL.values():
        assert all(re.fullmatch(r"[a-z_]+", reason.slug) for reason in reasons)


def test_log_page_is_the_codes():
    """The manual names the log's own events, the header flags and the numbers of the code."""
    text = (ROOT / "docs" / "reference" / "log.md").read_text(encoding="utf-8")
    sources = "".join(
        (ROOT / "daemoncore" / name).read_text() for name in ("log.py", "log_file.py", "log_thread.py")
    )
    events = set(re.findall(r"\b(?:log_(?:not|writable|thread)_\w+|library_message)\b", sources))
    assert events == {row[0].strip("`") for row in prefixed(table_rows("log.md"), "l")}
    shown = {flag for flag, part in log_levels.HEADER_FLAGS.items() if part}
    assert shown | log_levels.ALWAYS_SHOWN <= set(re.findall(r"D_\w+", text))
    assert f"every {log_file.RETRY_SECONDS:g} seconds" in text
    assert f"{log_repeats.BURST} within {log_repeats.WINDOW_SECONDS:g} seconds" in text
