"""docs/reference/hadctl.md names every verb and every option of the parser, and no other."""

import argparse
import re
from pathlib import Path

from had.ctl.__main__ import parser

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "hadctl.md").read_text()
COMMON = {"-c", "--config", "-local-name", "--local-name", "--timeout", "--json"}
CHANGING = {"--reason", "--dry-run", "--yes"}


def verbs(of):
    """The sub-parsers of a parser, by name."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


def options(of):
    """All options of a verb and its sub-verbs, but for --help."""
    own = {name for action in of._actions for name in action.option_strings} - {"-h", "--help"}
    return own.union(*(options(child) for child in verbs(of).values()))


def sections():
    """The text below each heading that is a verb."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return {
        title: text for title, text in zip(parts[1::2], parts[2::2], strict=True) if title in verbs(parser())
    }


def documented(text):
    """The options in the first cells of a section's tables."""
    cells = re.findall(r"^\| (`-[^|]*) \|", text, flags=re.MULTILINE)
    return {name.split()[0] for cell in cells for name in re.findall(r"`(-[^`]*)`", cell)}


def test_every_verb_has_its_section_in_the_parsers_order():
    """The page's sections are the parser's verbs; `config` and `demo`, which ask nobody, come last."""
    assert set(sections()) == set(verbs(parser()))
    assert list(sections())[-2:] == ["config", "demo"]


def test_every_option_is_documented():
    """Each verb's options are those of its section, beside those that most verbs have."""
    page = sections()
    shared = documented(PAGE.split("## Options of most verbs")[1].split("## status")[0])
    assert shared == COMMON
    for name, verb in verbs(parser()).items():
        wanted = options(verb) - COMMON
        written = documented(page[name])
        if name == "switchover":
            # The options of all three changing verbs stand below the first of them.
            assert written >= CHANGING
        assert wanted - CHANGING == written - CHANGING, name


def test_every_sub_verb_is_named():
    """The sub-verbs of a verb are named in its section."""
    assert [name for name, verb in verbs(parser()).items() if verbs(verb)] == [
        *("replication", "conflicts", "keys", "config"),
    ]
    for name, parent in verbs(parser()).items():
        for verb in verbs(parent):
            assert re.search(rf"`(?:hadctl )?{name} {verb}[ `]", sections()[name]), f"{name} {verb}"


def test_every_verb_explains_itself():
    """Each verb and each option has a line of help."""
    for verb in verbs(parser()).values():
        for action in verb._actions:
            assert action.help or isinstance(action, argparse._SubParsersAction) or not action.option_strings
