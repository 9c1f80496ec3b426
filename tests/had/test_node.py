"""What surrounds the machine: the controllee's environment from the settings."""

import pytest

from daemoncore.startup import Options
from had.loading import load
from had.node import environment_of

CONFIGURATION = """
HAD_LIST = 127.0.0.1:9620, 127.0.0.2:9620
HAD_SELF = 127.0.0.1:9620
HAD_CONTROLLEE = negotiator
NEGOTIATOR = /bin/true
STATE_FILE = {}
"""


def environment(folder, state_file):
    """Return what the controllee of this state file would get."""
    path = folder / "had.conf"
    path.write_text(CONFIGURATION.format(state_file))
    settings = load(Options(str(path)), {"HOME": str(folder)}).settings
    return environment_of(settings, 258, folder / "epoch")


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


@pytest.mark.parametrize("name", ["x" * 300, "had.conf/below", "loop"])
def test_a_state_file_that_cannot_be_looked_for_is_missing(tmp_path, name):
    """Whatever the file system answers, a leader is made all the same."""
    (tmp_path / "loop").symlink_to("loop")
    assert environment(tmp_path, tmp_path / name)["HAD_STATE"] == "missing"
