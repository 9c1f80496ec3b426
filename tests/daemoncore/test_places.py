"""Where a daemon's files are when the configuration says little: its folder and its log."""

import os
from pathlib import Path

import pytest

from daemoncore.config import load
from daemoncore.log_file import LogFile, RotationLimit
from daemoncore.membership import HOST_NETWORK, Examination
from daemoncore.places import had_dir, read_log, read_owner


@pytest.mark.parametrize(
    ("text", "is_root", "folder"),
    [
        ("HAD_DIR = /x\n", True, "/x"),
        ("LOCAL_DIR = /srv\n", True, "/srv/had"),
        ("LOCAL_DIR = /srv\n", False, "/srv/had"),
        ("LOCAL_DIR =\n", True, "/var/lib/had"),
        ("LOCAL_DIR =\n", False, "/state/had"),
        ("", False, "/state/had"),
    ],
)
def test_folder_of_durable_files(tmp_path, text, is_root, folder):
    """HAD_DIR, else below LOCAL_DIR, else /var/lib/had for root and the state home for others."""
    path = tmp_path / "pool.conf"
    path.write_text(text)
    configuration = load(str(path), environment={})
    assert had_dir(configuration, {"XDG_STATE_HOME": "/state"}, is_root=is_root) == Path(folder)


def test_state_home_defaults_to_the_home(tmp_path):
    """Without XDG_STATE_HOME it is ~/.local/state."""
    path = tmp_path / "pool.conf"
    path.write_text("")
    configuration = load(str(path), environment={})
    assert had_dir(configuration, {"HOME": "/h"}, is_root=False) == Path("/h/.local/state/had")


@pytest.mark.parametrize(
    ("text", "subsystem", "path"),
    [
        ("LOCAL_DIR = /srv\n", "HAD", "/srv/log/HADLog"),
        ("LOCAL_DIR = /srv\n", "REPLICATION", "/srv/log/ReplicationLog"),
        ("LOCAL_DIR =\nREPLICATION_LOG = /x/Own\n", "REPLICATION", "/x/Own"),
        ("LOCAL_DIR =\nHAD_LOG = /x/Own\n", "REPLICATION", None),
    ],
)
def test_each_daemon_has_its_own_log(tmp_path, text, subsystem, path):
    """The settings are named after the daemon, and a place that is only set for the other one is none."""
    configuration_file = tmp_path / "pool.conf"
    configuration_file.write_text(text)
    examination = Examination(load(str(configuration_file), environment={}), HOST_NETWORK)
    log = read_log(examination, subsystem, (12, 34), is_terminal=False)
    assert examination.problems == []
    assert log.path == (None if path is None else Path(path))
    assert log.owner == (12, 34)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_of_root_belong_to_who_owns_the_spool(tmp_path):
    """A real daemon, which is not root when it writes, must find its log its own again (hard case 24)."""
    os.chown(tmp_path, 4321, 4322)
    path = tmp_path / "pool.conf"
    path.write_text(f"SPOOL = {tmp_path}\n")
    examination = Examination(load(str(path), environment={}), HOST_NETWORK)
    assert read_owner(examination) == (4321, 4322)
    log = tmp_path / "HADLog"
    LogFile(log, limit=RotationLimit(100), owner=(4321, 4322), fallback=pytest.fail).close()
    assert (log.stat().st_uid, log.stat().st_gid) == (4321, 4322)
    gone = tmp_path.rename(tmp_path.with_name("gone"))
    assert read_owner(examination) == (4321, 4322)
    path = gone / path.name
    path.write_text("SPOOL = /nowhere\n")
    assert read_owner(Examination(load(str(path), environment={}), HOST_NETWORK)) is None
