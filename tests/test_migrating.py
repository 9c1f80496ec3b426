"""The guide from condor_had: its blocks load in the pool it speaks of, and the commands that it shows exist."""

import re
from pathlib import Path

import pytest

from daemoncore.config import load
from daemoncore.config.knobs import find
from daemoncore.membership import Network
from had.control_settings import ControlKind
from had.settings import settings_from

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample-configs"
GUIDE = (ROOT / "docs" / "guides" / "migrating.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```condor\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)

#: HTCondor's tools, with the options that the guide uses. They were tried against HTCondor 25.14.
TOOLS = {
    "condor_off": {"-subsystem", "-negotiator", "-master", "-all"},
    "condor_on": {"-subsystem", "-negotiator"},
    "condor_restart": {"-subsystem", "-negotiator"},
    "condor_reconfig": {"-negotiator"},
    "condor_status": {"-subsystem", "-master", "-af"},
    "condor_ping": {"-type", "-table"},
    "condor_who": {"-quick", "-daemons"},
}
#: What the guide warns of.
WRONG = {("condor_status", "-had")}
#: Programs of HTCondor's that are no tools.
DAEMONS = {
    *("condor_had", "condor_replication", "condor_transferer", "condor_master", "condor_preen"),
    *("condor_config", "condor_shared_port"),
}


def settings(tmp_path, *blocks):
    """The settings of a central manager whose pool has the drop-in and these blocks."""
    path = tmp_path / "condor_config"
    names = ("htcondor-fixed-port.conf", "htcondor-drop-in.conf")
    lines = [f"include : {SAMPLES / name}" for name in names]
    path.write_text("\n".join((*lines, *blocks)), encoding="utf-8")
    configuration = load(str(path), environment={"PWD": "/nowhere"})
    addresses = {"cm1.example.org": "192.0.2.1", "cm2.example.org": "192.0.2.2"}
    network = Network(lambda asked: (addresses.get(asked, asked),), "192.0.2.2".__eq__, lambda _interface: ())
    return settings_from(configuration, network, environment={})


def test_there_are_blocks():
    """The guide shows the three lines, what it recommends, and the steps of the manual."""
    assert len(BLOCKS) == 6
    sample = (SAMPLES / "htcondor-drop-in.conf").read_text(encoding="utf-8")
    assert BLOCKS[0] == "".join(
        line + "\n" for line in sample.splitlines() if line and not line.startswith("#")
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_the_guides_blocks_load(block, tmp_path):
    """Each block is of knobs, and a central manager of the pool starts with it."""
    names = re.findall(r"^(\S+) +=", block, flags=re.MULTILINE)
    assert names
    assert {name for name in names if find(name.partition(".")[2] or name, "negotiator") is None} == set()
    found = settings(tmp_path, block)
    listed = re.search(r"^DAEMON_LIST.*", block, flags=re.MULTILINE)
    keeps_negotiator = listed is None or "NEGOTIATOR" in listed[0]
    # Without HAD in the list nobody starts had there, and what it would do is no matter.
    if listed is None or "HAD" in listed[0]:
        assert found.control.kind is (ControlKind.MASTER if keeps_negotiator else ControlKind.SPAWN)


def commands(text):
    """Every command line of HTCondor's tools that a page shows, in backquotes or in a block."""
    lines = re.findall(r"^ {4}# (condor_\w+[^\n]*)$", text, flags=re.MULTILINE)
    return [*lines, *re.findall(r"`(condor_[a-z]+[^`]*)`", text)]


def test_the_guides_commands_exist():
    """Each of HTCondor's tools that the guide names is one, and each option is one of its."""
    found = commands(GUIDE)
    assert len(found) > 20
    used = set()
    for line in found:
        tool, *words = line.split()
        assert tool in TOOLS or tool in DAEMONS, line
        used |= {(tool, word) for word in words if word.startswith("-")}
    assert used - WRONG == {(tool, option) for tool, options in TOOLS.items() for option in options}
    mentioned = set(re.findall(r"\bcondor_[a-z]+(?:_port)?\b", GUIDE))
    assert mentioned <= set(TOOLS) | DAEMONS


def test_the_daemons_stop_and_start_in_one_order():
    """Wherever both are exchanged, had stops before its replica and starts after it, and condor_reconfig is between."""
    whole = re.findall(r"(?:^ {4}# .*\n)+", GUIDE, flags=re.MULTILINE)
    exchanges = [block for block in whole if "condor_on -subsystem had" in block]
    assert len(exchanges) == 2
    for block in exchanges:
        order = [
            "condor_off -subsystem had",
            "condor_off -subsystem replication",
            "condor_reconfig",
            "condor_on -subsystem replication",
            "condor_on -subsystem had",
        ]
        places = [block.index(command) for command in order]
        assert places == sorted(places)
