"""HAD_DIR: one folder per daemon and entry, one process per folder."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemoncore.durable import DurableError
from daemoncore.state_folder import StateFolder, folder_name, publish_epoch

HOLDER = """
import sys
from pathlib import Path
from daemoncore.state_folder import StateFolder
folder = StateFolder.claim(Path(sys.argv[1]), "had", "127.0.0.1:9620")
print("held", flush=True)
sys.stdin.read()
"""


def test_claim_makes_a_private_folder(tmp_path):
    """The subfolder is named after program and entry and is readable to its owner only."""
    folder = StateFolder.claim(tmp_path / "deep" / "had", "had", "127.0.0.1:9620")
    assert folder.path == tmp_path / "deep" / "had" / "had-127.0.0.1:9620"
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.close()


def test_entries_and_programs_do_not_share_a_folder(tmp_path):
    """Two nodes, and two programs of one node, live in one HAD_DIR together."""
    claims = [
        StateFolder.claim(tmp_path, "had", "127.0.0.1:9620"),
        StateFolder.claim(tmp_path, "had", "127.0.0.2:9620"),
        StateFolder.claim(tmp_path, "replication", "127.0.0.1:9620"),
    ]
    assert len({claim.path for claim in claims}) == 3
    for claim in claims:
        claim.close()


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("cm1.example.org:9620", "had-cm1.example.org:9620"),
        ("[fd00::1]:9620", "had-[fd00::1]:9620"),
        ("cm1:9618?sock=had", "had-cm1:9618%3Fsock=had"),
        ("../../etc", "had-..%2F..%2Fetc"),
    ],
)
def test_folder_name_stays_inside_had_dir(entry, name):
    """Whatever an entry holds, its folder is one name."""
    assert folder_name("had", entry) == name


def test_second_process_is_refused_with_the_pid_of_the_first(tmp_path):
    """A folder held by another process is refused, naming its pid, until that process is gone."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        expected = rf"another had is running with this HAD_DIR entry \(pid {holder.pid}\)"
        with pytest.raises(DurableError, match=expected) as caught:
            StateFolder.claim(tmp_path, "had", "127.0.0.1:9620")
        assert caught.value.errno == errno.EWOULDBLOCK
        holder.kill()
    StateFolder.claim(tmp_path, "had", "127.0.0.1:9620").close()


def test_children_do_not_inherit_the_claim(tmp_path):
    """A child that outlives its parent's claim does not hold the folder."""
    folder = StateFolder.claim(tmp_path, "had", "127.0.0.1:9620")
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    with child:
        folder.close()
        StateFolder.claim(tmp_path, "had", "127.0.0.1:9620").close()
        child.kill()


def test_unusable_had_dir_names_the_knob(tmp_path):
    """A HAD_DIR that is a file is refused with a message that names HAD_DIR."""
    (tmp_path / "had").write_text("a file", encoding="ascii")
    with pytest.raises(DurableError, match="check HAD_DIR"):
        StateFolder.claim(tmp_path / "had", "had", "127.0.0.1:9620")


@pytest.mark.root
def test_files_belong_to_the_given_owner(tmp_path):
    """Started as root, folder and lock belong to the owner that the caller names."""
    if os.geteuid() != 0:
        pytest.skip("changing the owner needs root")
    folder = StateFolder.claim(tmp_path / "had", "had", "127.0.0.1:9620", owner=(1234, 4321))
    for path in (tmp_path / "had", folder.path, folder.path / "lock"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)
    folder.close()


def test_published_epoch_is_one_line_that_others_may_read(tmp_path):
    """HAD_EPOCH_FILE always holds one whole decimal line."""
    path = tmp_path / "epoch"
    publish_epoch(path, 257)
    publish_epoch(path, 385)
    assert path.read_bytes() == b"385\n"
    assert path.stat().st_mode & 0o777 == 0o644
