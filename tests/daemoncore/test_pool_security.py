"""What holds when a configuration says nothing about security."""

import pytest

from daemoncore.config import load
from daemoncore.pool_security import is_loopback_only, security_of

HERE = "HAD_LIST = 127.0.0.1:1 127.0.0.2:1\nREPLICATION_LIST = 127.0.0.1:2 127.0.0.2:2\n"


def configured(tmp_path, text):
    """The configuration of a text."""
    path = tmp_path / "pool.conf"
    path.write_text(text)
    return load(str(path), environment={})


@pytest.mark.parametrize(
    ("more", "is_open"),
    [
        ("", True),
        ("HAD_WITNESS_LIST = 127.0.0.3:1\n", True),
        ("HAD_LIST = 127.0.0.1:1 192.0.2.2:1\n", False),
        ("HAD_WITNESS_LIST = 192.0.2.3:1\n", False),
        ("REPLICATION_LIST = 127.0.0.1:2 192.0.2.2:2\n", False),
        ("SEC_DEFAULT_AUTHENTICATION = REQUIRED\n", False),
    ],
)
def test_only_a_pool_on_one_machine_needs_no_policy(tmp_path, more, is_open):
    """Every list counts, and a word about security ends it."""
    assert is_loopback_only(configured(tmp_path, HERE + more)) is is_open


def test_each_daemon_has_its_own_settings(tmp_path):
    """A session lasts as long as the daemon's own setting says, where there is one."""
    text = HERE + "SEC_DEFAULT_SESSION_DURATION = 60\nSEC_REPLICATION_DEFAULT_SESSION_DURATION = 90\n"
    configuration = configured(tmp_path, text)
    found = {
        subsystem: security_of(configuration, is_tool=False, subsystem=subsystem)
        for subsystem in ("HAD", "REPLICATION")
    }
    durations = {
        subsystem: {policy.session_duration_seconds for policy in security.policies.values()}
        for subsystem, security in found.items()
    }
    assert durations == {"HAD": {60}, "REPLICATION": {90}}
    assert found["REPLICATION"].ourselves.subsystem == "REPLICATION"
