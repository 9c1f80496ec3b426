"""The rules of the house: a rule without a test decays."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from daemoncore.cedar.commands import FIRST_OWN_COMMAND, LAST_OWN_COMMAND, Command
from had import messages
from had.ballots import Electorate, Grant
from had.events import Directive, Hold, Message, Pause, Sighting
from had.transitions import State

ROOT = Path(__file__).parents[1]
PACKAGES = ("daemoncore", "had", "replication", "transferer")

PRODUCT = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SAMPLES = sorted((ROOT / "sample-configs").rglob("*.py"))
EVERYTHING = [*PRODUCT, *TESTS, *SAMPLES]

SANS_IO = [
    *(
        ROOT / "had" / f"{name}.py"
        for name in (
            "ballots",
            "candidacy",
            "custody",
            "custody_events",
            "custody_waits",
            "deadlines",
            "election",
            "election_settings",
            "events",
            "fitness",
            "ledger",
            "messages",
            "overheard",
            "peers",
            "pool",
            "ranking",
            "readiness",
            "replica_messages",
            "replica_words",
            "requests",
            "speech",
            "tandem",
            "transitions",
            "votes",
        )
    ),
    *sorted((ROOT / "daemoncore" / "cedar").glob("*.py")),
    *(ROOT / "transferer" / f"{name}.py" for name in ("protocol", "talk", "versions")),
    *(
        ROOT / "replication" / f"{name}.py"
        for name in (
            "answers",
            "condors",
            "deadlines",
            "download",
            "effects",
            "events",
            "lag",
            "ledger",
            "looking",
            "manifest",
            "objections",
            "peers",
            "replica",
            "replica_settings",
            "revisions",
            "speech",
            "transitions",
            "version",
        )
    ),
]

WORLD = {
    "asyncio",
    "datetime",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "prometheus_client",
    "random",
    "secrets",
    "select",
    "socket",
    "subprocess",
    "threading",
    "time",
    "trio",
}
"""What a sans-IO module must not import: time, randomness and bytes come in as arguments."""

LINES_OF_A_FUNCTION = 50
LINES_OF_A_FILE = 400
LINES_OF_A_MACHINE = 700
"""The state machines keep all their transitions in one file."""

MACHINES = {"election.py", "replica.py"}

NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "base", "helpers", "helper", "misc"}


def named(paths):
    """Parameters that are shown by their path in the project."""
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def imported(path):
    """Every module that a file imports, at whatever depth of its code, by its full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(path):
    """Every function and method of a file, nested ones included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_there_is_something_to_look_at():
    """The lists above find the product, its machine and its wire, so that no rule holds for want of files."""
    assert {path.name for path in PRODUCT} >= {"election.py", "driver.py", "classad.py"}
    assert [path.name for path in SANS_IO if not path.exists()] == []
    assert len(SANS_IO) > 20
    assert len(TESTS) > 20


@pytest.mark.parametrize("path", named(PRODUCT))
def test_the_arrows_point_to_daemoncore_only(path):
    """No daemon imports another, and daemoncore imports none; nobody imports the tests."""
    own = path.relative_to(ROOT).parts[0]
    roots = {name.split(".")[0] for name in imported(path)}
    assert roots & {*PACKAGES, "tests"} <= {own, "daemoncore"}


@pytest.mark.parametrize("path", named(SANS_IO))
def test_sans_io_modules_do_not_touch_the_world(path):
    """No clock, no dice, no files and no sockets, not even through a module of ours that has them."""
    names = set(imported(path))
    assert not {name.split(".")[0] for name in names} & WORLD
    ours = {name for name in names if name.split(".")[0] in PACKAGES}
    modules = {(ROOT / name.replace(".", "/")).with_suffix(".py") for name in ours}
    # An address is a value, and is as pure as the rest though it lives outside the wire.
    pure = {*SANS_IO, ROOT / "daemoncore" / "address.py"}
    assert {module for module in modules if module.exists()} <= pure


def test_an_address_is_as_pure_as_the_machines_that_use_it():
    """`daemoncore.address` imports nothing that the sans-IO modules may not."""
    assert not {name.split(".")[0] for name in imported(ROOT / "daemoncore" / "address.py")} & WORLD


@pytest.mark.parametrize("path", named(EVERYTHING))
def test_every_module_says_what_it_is_and_why(path):
    """The docstring of a module is at least one sentence."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, "a module begins with a docstring"
    assert re.search(r"[.:!?](\s|$)", docstring)


@pytest.mark.parametrize("path", named(EVERYTHING))
def test_functions_can_be_seen_at_a_glance(path):
    """No function has more than 50 lines."""
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in functions(path)
        if node.end_lineno - node.lineno + 1 > LINES_OF_A_FUNCTION
    }
    assert long == {}


@pytest.mark.parametrize("path", named([*PRODUCT, *SAMPLES]))
def test_files_are_short(path):
    """No file has more than 400 lines, the state machines not more than 700."""
    limit = LINES_OF_A_MACHINE if path.name in MACHINES else LINES_OF_A_FILE
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length <= limit


@pytest.mark.parametrize("path", named(EVERYTHING))
def test_modules_are_named_after_what_they_hold(path):
    """There is no drawer for things without a place."""
    assert not {path.stem, *path.relative_to(ROOT).parts} & NAMES_THAT_SAY_NOTHING


@pytest.mark.parametrize("path", named(EVERYTHING))
def test_nothing_is_left_for_later(path):
    """No comment promises work, and no function only says that it was not written."""
    source = path.read_text(encoding="utf-8")
    comments = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    assert [text for text in comments if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)] == []
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    assert "NotImplementedError" not in names


@pytest.mark.parametrize("path", named(TESTS))
def test_tests_use_real_parts_and_no_patches(path):
    """Nothing is replaced from outside: neither `unittest.mock` nor pytest's fixtures for it."""
    assert not {name for name in imported(path) if name.startswith(("unittest.mock", "mock", "pytest_mock"))}
    arguments = {argument.arg for node in functions(path) for argument in node.args.args}
    assert "mocker" not in arguments


@pytest.mark.parametrize("path", named([p for p in TESTS if p.name.startswith("test_")]))
def test_every_test_says_what_is_so(path):
    """Each test has a docstring that is a sentence."""
    silent = [
        node.name
        for node in functions(path)
        if node.name.startswith("test_") and not (ast.get_docstring(node) or "").rstrip().endswith(".")
    ]
    assert silent == []


@pytest.mark.parametrize("path", named([p for p in TESTS if p.name.startswith("test_")]))
def test_no_test_is_skipped_without_a_word(path):
    """Whoever reads the summary learns why."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"pytest.mark.skipif", "pytest.skip"}:
            assert node.args or node.keywords
            assert "skipif" not in ast.unparse(node.func) or {"reason"} <= {k.arg for k in node.keywords}


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("path", named(PAGES))
def test_the_manual_names_files_that_are_there(path):
    """A path in backquotes and the target of a link exist, seen from the top of the project or from the page."""
    text = path.read_text(encoding="utf-8")
    top = r"(?:daemoncore|had|replication|transferer|tests|docs|sample-configs)"
    named_files = set(re.findall(rf"`({top}/[\w./-]+\w)`", text))
    links = {link.split("#")[0] for link in re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", text)}
    missing = {name for name in named_files if not (ROOT / name).exists()}
    missing |= {name for name in links if not (path.parent / name).exists()}
    assert missing == set()


def words_in_backquotes(page):
    """Every word of a manual page that stands in backquotes."""
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    return set(re.findall(r"`([\w.-]+)`", text))


def test_every_command_of_ours_is_in_the_manual():
    """Number and name stand in one row of docs/reference/wire.md, and no row names a command that is not there."""
    text = (ROOT / "docs" / "reference" / "wire.md").read_text(encoding="utf-8")
    rows = {
        (int(number), name) for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", text, re.MULTILINE)
    }
    own = {(int(c), c.name) for c in Command if FIRST_OWN_COMMAND <= c <= LAST_OWN_COMMAND}
    assert rows == own


def fullest_ad():
    """An ad with every attribute that we ever send."""
    message = Message(
        "127.0.0.1:9620",
        0,
        "negotiator",
        State.LEADER,
        ("127.0.0.1:9620",),
        validity_seconds=1.0,
        abstains_seconds=1.0,
        directive=Directive(
            (1, 1), Pause("by", "why", 1.0, 2.0, 1.0), Hold("127.0.0.1:9620", "by", "why", 1.0)
        ),
        lease_epoch=1,
        lease_seconds=1.0,
        grant=Grant("127.0.0.1:9620", 1, 1, 1.0),
        electorate=Electorate((1, 1), ("127.0.0.1:9620",)),
    )
    return messages.encode(message, 1.0)


def test_every_attribute_of_ours_is_in_the_manual():
    """Each attribute that is sent stands in docs/reference/wire.md, and each that stands there is sent."""
    documented = {word for word in words_in_backquotes("wire.md") if re.match(r"Had[A-Z]", word)}
    # Those of the ads for collectors have tests of their own (tests/had/test_advertisement.py).
    documented -= {"HadNode", "HadLeader", "HadPaused"}
    assert documented == {name for name in fullest_ad() if name.startswith("Had")}


def test_every_attribute_that_is_read_is_in_the_manual():
    """The names in the source of the codec are those of the manual."""
    source = (ROOT / "had" / "messages.py").read_text(encoding="utf-8")
    read = set(re.findall(r'"(Had[A-Z]\w+)"', source))
    assert read == {name for name in fullest_ad() if name.startswith("Had")}


def test_the_example_in_the_manual_is_what_a_leader_says():
    """Each line of the example in docs/reference/wire.md is a line of the ad that it describes."""
    one, two, three = (f"127.0.0.{number}:9620" for number in (1, 2, 3))
    sightings = (
        Sighting(two, 0.012, 0.988, State.PASSIVE, epoch=386, rank_id=1, instance=7, sequence=41),
        Sighting(three, 0.02, 0.98, State.PASSIVE, epoch=386, rank_id=0, instance=3, sequence=88),
    )
    leader = Message(one, 2, "negotiator", State.LEADER, (one, two, three), epoch=386, sightings=sightings)
    page = (ROOT / "docs" / "reference" / "wire.md").read_text(encoding="utf-8")
    section = page.split("\n## An example\n")[1].split("\n## ")[0]
    example = [line.strip() for line in section.splitlines() if " = " in line]
    assert len(example) > 10
    assert set(example) <= set(messages.encode(leader, 1.0).to_lines())


def test_the_exit_statuses_are_in_the_manual():
    """docs/reference/exit-status.md has a row for each status of each program."""
    text = (ROOT / "docs" / "reference" / "exit-status.md").read_text(encoding="utf-8")
    for program in ("had", "had-replication", "hadctl"):
        section = text.split(f"\n## {program}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| (\d+) \|", section, re.MULTILINE) == ["0", "1", "2"]
