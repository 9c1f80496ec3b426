"""The table itself, and the pages made from it."""

from pathlib import Path

import pytest

from daemoncore.config import knobs
from daemoncore.config.knob import Kind
from daemoncore.config.manual import knob_text, markdown, sample
from daemoncore.config.metaknobs import fill, split_items

ROOT = Path(__file__).parents[3]

#: The knobs that the outside face promises, with their defaults.
PROMISED = {
    "HAD_CONTROL": "auto",
    "HAD_CONTROLLEE_STOP_TIMEOUT": "10",
    "HAD_SELF": None,
    "HAD_CLOCK_DRIFT": "0.01",
    "HAD_REQUIRE_MAJORITY": "false",
    "HAD_WITNESS_LIST": None,
    "HAD_DIR": None,
    "HAD_HTTP_PORT": None,
    "REPLICATION_HTTP_PORT": None,
    "HAD_HTTP_ADDRESS": "127.0.0.1",
    "HAD_DAEMON_RESTART_WINDOW": "0",
    "REPLICATION_KEEP_CONFLICTS": "8",
    "REPLICATION_MERGE": None,
    "HAD_ON_CHANGE": None,
    "HAD_MISSING_STATE": "start",
}


def test_promised_knobs():
    """Every knob of ours is in the table with its default."""
    assert {name: knobs.TABLE[name].default for name in PROMISED} == PROMISED


def test_rows_are_complete():
    """Every row has a name of its own, a sentence, and makes sense."""
    rows = list(knobs.all_rows())
    assert len({knob.name for knob in rows}) == len(rows)
    for knob in rows:
        assert knob.doc.endswith("."), knob.name
        assert (knob.kind is Kind.CHOICE) == bool(knob.choices), knob.name
        assert not knob.is_family or knob.default is None, knob.name


def test_manual_page_is_up_to_date():
    """docs/reference/configuration.md is what the table says (hadctl config explain --markdown)."""
    assert (ROOT / "docs/reference/configuration.md").read_text() == markdown()


def test_annotated_sample_is_up_to_date():
    """sample-configs/annotated.conf is what `hadctl config sample` prints."""
    assert (ROOT / "sample-configs/annotated.conf").read_text() == sample()


@pytest.mark.parametrize("knob", list(knobs.all_rows()), ids=lambda knob: knob.name)
def test_every_knob_is_explained(knob):
    """Each knob can be explained, and stands in the manual page."""
    assert knob_text(knob).startswith(knob.name)
    assert f"### `{knob.name}`" in markdown()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("had_list", "HAD_LIST"),
        ("SEC_DAEMON_AUTHENTICATION_METHODS", "SEC_<LEVEL>_<SETTING>"),
        ("ALLOW_DAEMON", "ALLOW_<LEVEL>"),
        ("HOSTALLOW_NEGOTIATOR_SCHEDD", "HOSTALLOW_<LEVEL>"),
        ("MASTER_HAD_BACKOFF_CEILING", "MASTER_<SUBSYSTEM>_BACKOFF_CEILING"),
        ("WORKER", "<CONTROLLEE>"),
        ("WORKER_ARGS", "<CONTROLLEE>_ARGS"),
        ("OTHER_ARGS", None),
    ],
)
def test_families(name, row):
    """A name finds its row, alone or in a family; only the controllee has a program."""
    found = knobs.find(name, "worker")
    assert (found.name if found else None) == row


@pytest.mark.parametrize(
    ("name", "meant"),
    [("HAD_LITS", "HAD_LIST"), ("HAD_USE_PRIMAY", "HAD_USE_PRIMARY"), ("SPOLL", "SPOOL"), ("XYZZY", None)],
)
def test_suggestions(name, meant):
    """A misspelt name finds the nearest knob, a strange one none."""
    assert knobs.suggest(name) == meant


@pytest.mark.parametrize(
    ("template", "arguments", "text"),
    [
        ("$(1)-$(2)", "a, b", "a-b"),
        ("$(0)", " a, b ", "a, b"),
        ("$(0#)", "a, b", "2"),
        ("$(1?)$(3?)", "a, b", "10"),
        ("$(3:x) $(1:x)", "a, b", "x a"),
        ("$(2+)", "a, b, c", "b, c"),
        ("$(2+:none)", "a", "none"),
        ("$(1:$(2))", ", b", ""),
        ("$(NAME) $(1)", "$(X)", "$(NAME) $(X)"),
        ("$(1)", "$(1)", "$(1)"),
    ],
)
def test_template_arguments(template, arguments, text):
    """Numbered arguments of a metaknob are filled in; other macros stay."""
    assert fill(template, arguments) == text


def test_items_of_use():
    """Items are separated by commas or blanks; parentheses nest."""
    items = [(item.name, item.arguments) for item in split_items(" A, B(x, f(y)) C (z) , D(")]
    assert items == [("A", ""), ("B", "x, f(y)"), ("C", "z"), ("D", "")]
