"""The manual speaks of what exists: files, headings, knobs, verbs, options, events and tests."""

import argparse
import re
import shlex
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from daemoncore import command_line
from daemoncore.cedar.commands import Command
from daemoncore.config import knobs, load
from daemoncore.membership import Network
from daemoncore.pool_security import security_of
from had.ctl import __main__ as hadctl_program
from had.log_events import EVENTS as HAD_EVENTS
from had.settings import settings_from
from replication.log_events import EVENTS as REPLICATION_EVENTS
from replication.settings import settings_from as replication_settings_from

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
)

NO_KNOBS = {
    *Command.__members__,
    *("HAD_NODE", "HAD_EPOCH", "HAD_EPOCH_FILE", "HAD_STATE", "HAD_STATE_FILE"),
    *("HAD_FROM", "HAD_TO", "HAD_REASON", "HAD_CONFIG", "HAD_PORT", "REPLICATION_PORT"),
    *("HAD_ALIVE", "HAD_SEND_ID", "HAD_CONECTION_TIMEOUT"),
}
"""What begins like a knob and is none: commands of the wire, variables, a macro of the samples, a misspelling."""

EVENTS = {*HAD_EVENTS, *REPLICATION_EVENTS}

LOG_FIELDS = r"(?:\w+=(?:\"[^\"]*\"|\S+))"


@pytest.fixture(params=[pytest.param(path, id=str(path.relative_to(ROOT))) for path in PAGES])
def page(request):
    """A page of the manual and its text."""
    return request.param, request.param.read_text(encoding="utf-8")


def without_code(text):
    """A page without its fenced and indented blocks."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)


def anchors(path):
    """The fragment of every heading of a page, as code hosts make them."""
    text = without_code(path.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_there_are_pages():
    """The list of pages is not empty, and the first page that anybody sees has something on it."""
    assert ROOT / "docs" / "index.md" in PAGES
    assert "make demo" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_lead_somewhere(page):
    """Every relative link leads to a file of the project, and its fragment to a heading."""
    path, text = page
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if "://" in link:
            continue
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if fragment:
            assert fragment in anchors(target), link


def test_every_page_is_in_the_index():
    """Whoever begins at docs/index.md can reach every page of the manual."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for path in PAGES:
        if path.is_relative_to(ROOT / "docs") and path.name != "index.md":
            assert f"({path.relative_to(ROOT / 'docs')})" in index, path


def test_knobs_exist(page):
    """Every word that begins like a knob of ours is in the table of knobs."""
    _, text = page
    words = set(
        re.findall(r"(?<![\w<$])(?:HAD|REPLICATION|SEC|ALLOW|MASTER_HAD)_[A-Z_]*[A-Z](?![\w>*<{.])", text)
    )
    unknown = {word for word in words - NO_KNOBS if knobs.find(word) is None}
    assert not unknown


def subparsers(parser):
    """The verbs of a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


def test_verbs_and_options_exist(page):
    """Every `hadctl ...` that a page names begins with a verb of the parser, and its options are that verb's."""
    _, text = page
    for words in re.findall(r"hadctl ((?:-?-?[a-z]+[a-z-]*)(?: [^\n`\"|;,)]*)?)", text):
        parser, rest = hadctl_program.parser(), words.split()
        if not is_command(text, words):
            continue
        while subparsers(parser) and rest and not rest[0].startswith("-"):
            assert rest[0].rstrip(".:") in subparsers(parser), words
            parser = subparsers(parser)[rest.pop(0).rstrip(".:")]
        options = {word.partition("=")[0].rstrip(".:") for word in rest if re.match(r"--?[a-z]", word)}
        assert options <= set(parser._option_string_actions), words


def is_command(text, words):
    """Whether a mention of hadctl is a command: in backquotes, or on a line of a code block."""
    command = re.escape(f"hadctl {words}")
    return re.search(rf"`{command}[^`\n]*`|^ {{4}}(?:[#$] )?{command}", text, flags=re.MULTILINE) is not None


def test_daemon_options_exist(page):
    """Every `had -...` that a page shows is a command line that the daemon takes."""
    _, text = page
    known = set(command_line.parser("had", "")._option_string_actions)
    lines = re.findall(r"(?:^ {4}(?:[#$] )?|`)(?:/usr/bin/)?had (-[^\n`]*)", text, flags=re.MULTILINE)
    for line in lines:
        options = {word for word in shlex.split(line) if re.match(r"--?[a-z]", word)}
        assert options <= known, line


def test_log_lines_are_real_events(page):
    """Every line of a log that a page shows, and every event that a table names, is one that a daemon writes."""
    _, text = page
    shown = set(
        re.findall(rf"^ {{4}}(?:[\d/]+ )?(?:[\d:]+ )?([a-z]+_[a-z_]+) {LOG_FIELDS}", text, flags=re.MULTILINE)
    )
    own = set(re.findall(r"^\| `(log_\w+|library_message)` \|", text, flags=re.MULTILINE))
    assert shown - EVENTS - own == set()


def test_events_of_the_guide_exist():
    """The operations guide answers no event that does not exist."""
    guide = (ROOT / "docs" / "guides" / "operations.md").read_text(encoding="utf-8")
    table = guide.partition("### What a line asks of you")[2]
    cells = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    assert cells
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} <= EVENTS


def test_named_tests_exist():
    """Every test, scenario and check that the guarantees name is there."""
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    names = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", text)
    assert len(names) > 20
    for name, function in names:
        assert (ROOT / name).is_file(), name
        if function:
            assert f"def {function}(" in (ROOT / name).read_text(encoding="utf-8"), f"{name}::{function}"
    promises = (ROOT / "tests" / "simulation" / "promises.py").read_text(encoding="utf-8")
    for line in re.findall(r"^- Simulator: (.*)$", text, flags=re.MULTILINE):
        for check in re.findall(r"`(\w+)`", line):
            assert f"def _{check}(" in promises, check


def test_every_promise_is_kept_by_a_scenario():
    """Each promise of the guarantees has a section that names a scenario, and each scenario of a promise is named."""
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    stories = {path.name for path in (ROOT / "tests" / "scenarios").glob("p*.txt")}
    assert {name for name in stories if f"tests/scenarios/{name}" not in text} == set()


def test_toml_of_the_manual_is_of_knobs(page):
    """Every key of a TOML block of a page is a knob, or one of its controllee's."""
    _, text = page
    for block in re.findall(r"^```toml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        named = re.search(r'^HAD_CONTROLLEE = "(\w+)"', block, flags=re.MULTILINE)
        controllee = named[1] if named else "negotiator"
        keys = re.findall(r"^([A-Z_]+) =", block, flags=re.MULTILINE)
        assert keys
        assert {key for key in keys if knobs.find(key, controllee) is None} == set()


@pytest.mark.parametrize("name", ["README.md", "docs/guides/any-singleton.md"])
def test_the_pools_of_the_manual_are_accepted(name, tmp_path):
    """The whole configurations that the manual shows load on each of their members, without a refusal."""
    blocks = re.findall(
        r"^```toml\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    (whole,) = [block for block in blocks if "HAD_LIST" in block]
    path = tmp_path / "had.toml"
    path.write_text(whole, encoding="utf-8")
    configuration = load(str(path), environment={})
    security_of(configuration, is_tool=False)
    for host in ("192.0.2.11", "192.0.2.12"):
        network = Network(lambda asked: (asked,), host.__eq__, lambda _interface: ())
        assert settings_from(configuration, network, environment={}).me.entry == f"{host}:51450"


def test_the_pool_of_the_manual_replicates(tmp_path):
    """The configuration of the first page loads in the replication daemon of each of its members too."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (whole,) = re.findall(r"^```toml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    path = tmp_path / "had.toml"
    path.write_text(whole, encoding="utf-8")
    # Its folder is not on this host.
    environment = {"_CONDOR_STATE_FILE": str(tmp_path / "state")}
    configuration = load(str(path), subsystem="REPLICATION", environment=environment)
    security_of(configuration, is_tool=False, subsystem="REPLICATION")
    for host in ("192.0.2.11", "192.0.2.12"):
        network = Network(lambda asked: (asked,), host.__eq__, lambda _interface: ())
        settings = replication_settings_from(configuration, network, environment={})
        assert settings.me.entry == f"{host}:41450"
        assert settings.paths == (tmp_path / "state",)


def test_the_picture_is_a_picture():
    """The drawing of the architecture is well-formed, has a title for those who cannot see it, and names real parts."""
    root = ET.parse(ROOT / "docs" / "architecture.svg").getroot()
    words = {"".join(node.itertext()).strip() for node in root.iter()}
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert {"driver", "Election", "hands", "links", "guard", "controllee"} <= words
