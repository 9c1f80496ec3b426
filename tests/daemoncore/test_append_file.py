"""What root appends to for somebody else: its own new file or a plain one, and never where a link leads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemoncore.append_file import open_to_append
from daemoncore.log_file import LogFile, RotationLimit

CONDOR = (4321, 4322)
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for somebody else")


@pytest.fixture
def secret(tmp_path):
    """A file of ours that whoever owns the folder of the logs wants."""
    path = tmp_path / "shadow"
    path.write_text("secret\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def log(tmp_path):
    """The name of a log in a folder of somebody else's."""
    folder = tmp_path / "log"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, *CONDOR)
    return folder / "HADLog"


def facts(path):
    """What an attacker would change."""
    status = path.stat()
    return path.read_bytes(), status.st_uid, status.st_gid, status.st_mode


@ONLY_ROOT
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("is_truncated", [False, True])
def test_root_writes_to_no_link(log, secret, link, is_truncated):
    """A log that was replaced by a link costs the lines of the log, and nothing else."""
    before, fallen = facts(secret), []
    link(log, secret)
    opened = LogFile(
        log, limit=RotationLimit(0), owner=CONDOR, is_truncated=is_truncated, fallback=fallen.append
    )
    opened.write("now ", "a line")
    opened.touch()
    opened.close()
    assert facts(secret) == before
    assert b"log_not_writable" in fallen[0]


@ONLY_ROOT
def test_root_follows_no_link_that_comes_later(log, secret):
    """The same while the log is open: the name is looked at before each line."""
    before, fallen = facts(secret), []
    opened = LogFile(log, limit=RotationLimit(0), owner=CONDOR, fallback=fallen.append)
    opened.write("now ", "a line")
    log.unlink()
    log.symlink_to(secret)
    opened.write("now ", "another line")
    opened.close()
    assert facts(secret) == before
    assert b"log_not_writable" in fallen[0]


@ONLY_ROOT
def test_root_waits_for_no_reader(log):
    """A pipe in the place of a log is refused, with a reader and without."""
    os.mkfifo(log)
    with pytest.raises(OSError, match="No such device"):
        open_to_append(log, CONDOR)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="plain files only"):
        open_to_append(log, CONDOR)
    os.close(reader)


@ONLY_ROOT
def test_only_a_new_file_is_given_away(log):
    """What was there, made by root or by anybody, keeps its owner and its lines."""
    os.close(open_to_append(log, CONDOR))
    assert facts(log)[1:3] == CONDOR
    log.write_text("before\n")
    os.chown(log, 0, 0)
    descriptor = open_to_append(log, CONDOR)
    os.write(descriptor, b"after\n")
    assert os.get_blocking(descriptor)
    os.close(descriptor)
    assert facts(log)[:3] == (b"before\nafter\n", 0, 0)
    os.close(open_to_append(log, CONDOR, flags=os.O_TRUNC))
    assert facts(log)[0] == b""


@pytest.mark.parametrize("owner", [None, (0, 0)])
def test_a_link_of_ones_own_is_followed(log, secret, tmp_path, owner):
    """A log elsewhere, by a link, is a habit of those who own the folder themselves, or say that all is root's."""
    link = tmp_path / "link" if owner is None else log
    link.symlink_to(secret)
    descriptor = open_to_append(link, owner)
    os.write(descriptor, b"more\n")
    os.close(descriptor)
    assert secret.read_text() == "secret\nmore\n"


LAUNCH = """
import os, sys
from had.guard_messages import Start
from had.launch import launch

log, report, user, group = sys.argv[1:]
report = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
order = Start(("/bin/true",), (), log, 0.0, 0.0, user_id=int(user), group_id=int(group))
print(os.waitstatus_to_exitcode(os.waitpid(launch(order, order.argv, report), 0)[1]))
"""


@ONLY_ROOT
def test_the_guard_gives_no_file_away_either(tmp_path, log, secret):
    """The log of the program that a leader runs, likewise: it does not start, and the file stays ours."""
    before, report = facts(secret), tmp_path / "report"
    log.symlink_to(secret)
    arguments = [log, report, *map(str, CONDOR)]
    ended = subprocess.run([sys.executable, "-c", LAUNCH, *arguments], check=True, stdout=subprocess.PIPE)
    assert (ended.stdout, report.read_text()) == (
        b"127\n",
        f"opening the log {log}: Too many levels of symbolic links",
    )
    assert facts(secret) == before


@ONLY_ROOT
def test_without_an_owner_the_folder_says_whose_it_is(log, secret, tmp_path):
    """A controllee's log in a folder of condor's is condor's, and no link there is followed; in root's own folder one is."""
    os.close(open_to_append(log, None))
    assert (log.stat().st_uid, log.stat().st_gid) == CONDOR
    log.unlink()
    log.symlink_to(secret)
    with pytest.raises(OSError, match="symbolic"):
        open_to_append(log, None)
    link = tmp_path / "link"
    link.symlink_to(secret)
    os.close(open_to_append(link, None))
