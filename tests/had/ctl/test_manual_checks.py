"""The manual's check list, applied to this machine's configuration."""

import pytest

from daemoncore.config import load
from had.ctl.manual_checks import check_configuration

GOOD = """\
HAD_LIST = 127.0.0.1:51450, 127.0.0.2:51450
HAD_SELF = 127.0.0.1:51450
HAD_CONTROLLEE = negotiator
HAD_CONTROL = spawn
NEGOTIATOR = /bin/sleep
ALLOW_DAEMON = *
"""


def texts(tmp_path, *lines):
    """What is found in the good configuration with lines added."""
    path = tmp_path / "pool.conf"
    path.write_text(GOOD + "".join(f"{line}\n" for line in lines))
    configuration = load(str(path), environment={"HOME": str(tmp_path)})
    found = check_configuration(configuration, {"HOME": str(tmp_path)})
    return [one.text for one in found if one.severity]


def test_a_pool_that_is_no_htcondor_pool_is_not_asked_for_its_knobs(tmp_path):
    """Without COLLECTOR_HOST, DAEMON_LIST and HAD_ARGS nothing is missed."""
    assert texts(tmp_path) == []


def test_a_timeout_that_a_busy_machine_does_not_keep_is_warned_of(tmp_path):
    """What the daemon warns of in its log is a finding here too, with the value to take."""
    (found,) = texts(tmp_path, "HAD_CONNECTION_TIMEOUT = 0.1")
    assert "leadership may move without a fault while this machine is busy" in found
    assert "make it at least 0.5 seconds (got 0.1), line 7" in found


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "COLLECTOR_HOST = 127.0.0.1, 127.0.0.3",
            "COLLECTOR_HOST must name the hosts of HAD_LIST (got 127.0.0.1, 127.0.0.3)",
        ),
        ("COLLECTOR_HOST = 127.0.0.2:9618, 127.0.0.1", "COLLECTOR_HOST must have the order of HAD_LIST"),
        ("DAEMON_LIST = MASTER, COLLECTOR", "DAEMON_LIST must contain HAD"),
        ("DAEMON_LIST = MASTER, HAD", "DAEMON_LIST must contain COLLECTOR"),
        ("DAEMON_LIST = MASTER, HAD, COLLECTOR, NEGOTIATOR", "DAEMON_LIST must not contain NEGOTIATOR"),
        ("HAD_ARGS = -f -p 51451", "HAD_ARGS names port 51451, which no entry of HAD_LIST has"),
        ("ALLOW_NEGOTIATOR = 127.0.0.1", "ALLOW_NEGOTIATOR must contain the central manager 127.0.0.2"),
        (
            "HOSTALLOW_ADMINISTRATOR = 127.0.0.2",
            "HOSTALLOW_ADMINISTRATOR must contain the central manager 127.0.0.1",
        ),
        ("HAD_SELF = 127.0.0.9:1", "HAD_SELF must be an entry of HAD_LIST"),
    ],
)
def test_what_the_manual_asks_for_is_missed(tmp_path, line, text):
    """Each rule of the manual that is broken is one finding that names the knob, its file and its line."""
    (found,) = [one for one in texts(tmp_path, line) if text in one]
    assert "pool.conf" in found
    assert "line 7" in found


@pytest.mark.parametrize(
    "line",
    [
        "COLLECTOR_HOST = 127.0.0.1:9618, 127.0.0.2",
        "DAEMON_LIST = MASTER, HAD, COLLECTOR",
        "HAD_ARGS = -f -p 51450",
        "ALLOW_NEGOTIATOR = 127.0.0.*",
        "ALLOW_NEGOTIATOR = *",
        "ALLOW_NEGOTIATOR = condor@example.org",
        "HOSTALLOW_NEGOTIATOR = 127.0.0.1 127.0.0.2",
    ],
)
def test_what_the_manual_asks_for_is_enough(tmp_path, line):
    """Configurations as the manual has them are in order."""
    assert texts(tmp_path, line) == []


def test_several_members_on_one_machine_are_no_problem(tmp_path):
    """A machine that could be several members is looked at as the first of them."""
    path = tmp_path / "pool.conf"
    path.write_text(GOOD.replace("HAD_SELF", "# HAD_SELF"))
    configuration = load(str(path), environment={})
    assert [one.severity.name for one in check_configuration(configuration, {})] == ["OK"]
