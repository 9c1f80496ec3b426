"""The families of every daemon: names, zeros from the start, bounded labels."""

import prometheus_client.parser
import pytest

from daemoncore.families import Families, Family, Kind
from daemoncore.metrics import FAMILIES, DaemonMetrics


def samples(metrics):
    """Every sample of a scrape: (name, sorted labels) -> value."""
    text = metrics.render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in prometheus_client.parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def metrics():
    """A daemon's metrics."""
    return DaemonMetrics(
        "had", version="0.1.0", revision="abc", start_time=1000.5, routes=["/metrics", "/leader"]
    )


def test_facts_and_zeros_are_there_from_the_start(metrics):
    """The first scrape has the build, the start and a zero for all else."""
    found = samples(metrics)
    build = [dict(labels) for name, labels in found if name == "had_build_info"]
    assert len(build) == 1
    assert build[0]["version"] == "0.1.0"
    assert set(build[0]) == {"daemon", "python_version", "revision", "version"}
    assert found[("had_start_timestamp_seconds", (("daemon", "had"),))] == 1000.5
    assert found[("had_ready", (("daemon", "had"),))] == 0
    assert found[("had_http_requests_total", (("code", "503"), ("route", "/leader")))] == 0
    assert found[("had_http_requests_total", (("code", "404"), ("route", "other")))] == 0
    assert not any(name.endswith("_created") for name, _ in found)


def test_two_daemons_do_not_share_numbers(metrics):
    """Each daemon has a registry of its own."""
    other = DaemonMetrics("replication", version="0.1.0", revision="", start_time=1, routes=[])
    metrics.readiness(True)
    assert samples(metrics)[("had_ready", (("daemon", "had"),))] == 1
    assert samples(other)[("had_ready", (("daemon", "replication"),))] == 0


def test_reloads_are_told(metrics):
    """A load sets time and hash; a refused one keeps them and says so."""
    labels = (("daemon", "had"),)
    metrics.configuration_loaded(2000.0, 0xABCDEF012345)
    metrics.configuration_refused()
    found = samples(metrics)
    assert found[("had_config_last_reload_successful", labels)] == 0
    assert found[("had_config_last_reload_success_timestamp_seconds", labels)] == 2000
    assert found[("had_config_shared_hash", labels)] == 0xABCDEF012345
    metrics.configuration_loaded(3000.0, 1)
    assert samples(metrics)[("had_config_last_reload_successful", labels)] == 1


def test_lost_lines_are_a_running_total(metrics):
    """The log tells its total, and the counter follows."""
    for total in (0, 3, 3, 5):
        metrics.log_lines_lost(total)
    assert samples(metrics)[("had_log_lines_lost_total", (("daemon", "had"),))] == 5


@pytest.mark.parametrize(
    ("route", "code", "labels"),
    [
        ("/leader", 503, ("503", "/leader")),
        ("/secret", 404, ("404", "other")),
        ("other", 400, ("400", "other")),
        ("/leader", 418, ("400", "other")),
    ],
)
def test_requests_are_counted_under_bounded_labels(metrics, route, code, labels):
    """Whatever is asked for, no new time series appears."""
    before = samples(metrics)
    metrics.http_request(route, code)
    after = samples(metrics)
    assert after.keys() == before.keys()
    changed = [key for key in after if after[key] != before[key]]
    assert changed == [("had_http_requests_total", (("code", labels[0]), ("route", labels[1])))]


def test_table_rows_are_well_formed():
    """Counters end in _total, labels are in order, and every help is a sentence's beginning."""
    for family in FAMILIES:
        assert family.name.endswith("_total") == (family.kind is Kind.COUNTER), family.name
        assert list(family.labels) == sorted(family.labels), family.name
        assert family.help.endswith("."), family.name


def test_forgetting_drops_only_what_is_gone():
    """Combinations with a label value that is gone leave the scrape; equal values of other labels stay."""
    import prometheus_client

    registry = prometheus_client.CollectorRegistry()
    family = Family("test_total", Kind.COUNTER, "Test.", ("peer", "type"))
    families = Families(registry, [family])
    families.allow("test_total", ["a", "b"], ["a", "x"])
    families.forget("peer", "a".__eq__)
    text = prometheus_client.generate_latest(registry).decode()
    assert 'peer="b",type="a"' in text
    assert 'peer="a"' not in text
    assert not families.is_allowed("test_total", "a", "x")
    families.allow("test_total", ["a"], ["x"])
    assert families.is_allowed("test_total", "a", "x")


def test_sessions_are_counted_when_they_are_asked_for(metrics):
    """What is shown is what is kept at that moment, on each side."""
    ours, theirs = [1, 2], [3]
    metrics.watch_sessions(ours.__len__, theirs.__len__)
    theirs.clear()
    found = samples(metrics)
    assert found[("had_sessions", (("daemon", "had"), ("side", "server")))] == 2
    assert found[("had_sessions", (("daemon", "had"), ("side", "client")))] == 0
