"""What surrounds the machine: the controllee's environment from the settings."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemoncore.startup import Options
from had.loading import load
from had.node import environment_of
from had.replica_words import Currency
from had.state_place import StatePlace

NOBODY = 65534
"""A user without rights."""

CONFIGURATION = """
HAD_LIST = 127.0.0.1:9620, 127.0.0.2:9620
HAD_SELF = 127.0.0.1:9620
HAD_CONTROLLEE = negotiator
NEGOTIATOR = /bin/true
STATE_FILE = {}
"""


def environment(folder, state_file, currency=None):
    """Return what the controllee of this state file would get."""
    path = folder / "had.conf"
    path.write_text(CONFIGURATION.format(state_file))
    settings = load(Options(str(path)), {"HOME": str(folder)}).settings
    return environment_of(settings, 258, folder / "epoch", currency)


def test_the_controllee_is_told_of_its_state(tmp_path):
    """HAD_STATE says whether the file is there; name, epoch and files are as the contract has them."""
    state = tmp_path / "Accountantnew.log"
    assert environment(tmp_path, state)["HAD_STATE"] == "missing"
    state.write_text("1\n")
    found = environment(tmp_path, state)
    ours = {name: value for name, value in found.items() if name.startswith("HAD_")}
    assert ours == {
        "HAD_NODE": "127.0.0.1:9620",
        "HAD_EPOCH": "258",
        "HAD_EPOCH_FILE": str(tmp_path / "epoch"),
        "HAD_STATE": "current",
        "HAD_STATE_FILE": str(state),
    }


def test_a_replicas_word_goes_before_what_stands_there(tmp_path):
    """HAD_STATE is what the replica said, whether or not the file is there."""
    state = tmp_path / "Accountantnew.log"
    state.write_text("1\n")
    for currency in Currency:
        assert environment(tmp_path, state, currency)["HAD_STATE"] == currency.value


@pytest.mark.parametrize(
    ("spelled", "told"),
    [
        ("{0}/a {0}/b", "{0}/a {0}/b"),
        ("{0}/a, {0}/b", "{0}/a {0}/b"),
        ("{0}/jobs/", "{0}/jobs"),
        ("{0}/jobs", "{0}/jobs"),
        ("/", "/"),
    ],
)
def test_the_controllee_finds_a_list_or_a_folder(tmp_path, spelled, told):
    """HAD_STATE_FILE has the paths separated by blanks, or the folder (hard case 21)."""
    found = environment(tmp_path, spelled.format(tmp_path))
    assert found["HAD_STATE_FILE"] == told.format(tmp_path)


def test_a_part_of_the_state_is_a_state(tmp_path):
    """Of a list one file is enough; a folder has to hold something."""
    both = StatePlace((str(tmp_path / "a"), str(tmp_path / "b")))
    assert not both.is_there()
    (tmp_path / "b").write_text("")
    assert both.is_there()
    folder = tmp_path / "jobs"
    folder.mkdir()
    assert not StatePlace((str(folder),)).is_there()
    (folder / "1").write_text("")
    assert StatePlace((str(folder),)).is_there()
    assert not StatePlace(()).is_there()


@contextlib.contextmanager
def anybody() -> Iterator[None]:
    """Go on without root's right to read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_folder_that_cannot_be_read_is_not_there():
    """What nobody here may look at is no state to start on."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        folder = Path(place) / "jobs"
        folder.mkdir()
        (folder / "1").write_text("")
        with anybody():
            assert StatePlace((str(folder),)).is_there()
        folder.chmod(0)
        with anybody():
            assert not StatePlace((str(folder),)).is_there()
        folder.chmod(0o700)


@pytest.mark.parametrize("name", ["x" * 300, "had.conf/below", "loop"])
def test_a_state_file_that_cannot_be_looked_for_is_missing(tmp_path, name):
    """Whatever the file system answers, a leader is made all the same."""
    (tmp_path / "loop").symlink_to("loop")
    assert environment(tmp_path, tmp_path / name)["HAD_STATE"] == "missing"
