"""HTCondor's debug flags, as a table."""

import logging

import pytest

from daemoncore.log_levels import (
    ALWAYS,
    COMMAND,
    ERROR,
    FULLDEBUG,
    NETWORK,
    SECURITY,
    STATUS,
    WARNING,
    DebugFlags,
)

LEVELS = {
    "always": ALWAYS,
    "status": STATUS,
    "warning": WARNING,
    "error": ERROR,
    "full": FULLDEBUG,
    "command": COMMAND,
    "command:2": COMMAND.verbose,
    "network": NETWORK,
    "network:2": NETWORK.verbose,
    "security": SECURITY,
}
FIRST = {"always", "status", "warning", "error"}


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        ([None], FIRST),
        ([""], FIRST),
        (["D_FULLDEBUG"], FIRST | {"full"}),
        (["D_ALWAYS:2"], FIRST | {"full"}),
        (["D_FULLDEBUG -D_FULLDEBUG"], FIRST),
        (["-D_ALWAYS -D_ERROR D_STATUS:0"], FIRST),
        (["D_COMMAND"], FIRST | {"command"}),
        (["d_command"], FIRST | {"command"}),
        (["D_COMMAND:2,D_NETWORK|D_SECURITY"], FIRST | {"command", "command:2", "network", "security"}),
        (["D_COMMAND:2 -D_COMMAND"], FIRST),
        (["D_COMMAND:0"], FIRST),
        (["+D_NETWORK"], FIRST | {"network"}),
        (["D_NETWORK", "-D_NETWORK D_COMMAND"], FIRST | {"command"}),
        (["D_ANY"], FIRST | {"command", "network", "security"}),
        (["D_ALL:2"], set(LEVELS)),
        (["D_JOB D_PID"], FIRST),
    ],
)
def test_flags_show_what_htcondor_shows(texts, shown):
    """Each combination of knobs shows exactly the levels of the table."""
    flags = DebugFlags.parse(*texts)
    assert {name for name, level in LEVELS.items() if flags.is_shown(level)} == shown
    assert flags.unknown == ()


@pytest.mark.parametrize(
    ("texts", "header"),
    [
        (["D_PID D_CAT D_SUB_SECOND D_TIMESTAMP"], {"pid", "category", "sub_second", "timestamp"}),
        (["D_CATEGORY", "D_LEVEL"], {"category"}),
        (["D_PID", "-D_PID"], set()),
        (["D_ALL"], {"pid", "category", "descriptors"}),
        (["D_IDENT D_BACKTRACE"], set()),
    ],
)
def test_header_flags_are_merged(texts, header):
    """Header parts add up over the knobs and can be taken away again."""
    assert DebugFlags.parse(*texts).header == header


def test_unknown_words_are_kept_for_a_warning():
    """A word that is no flag changes nothing and is told."""
    flags = DebugFlags.parse("D_COMAND D_PID loud")
    assert flags.unknown == ("D_COMAND", "loud")
    assert flags.header == {"pid"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("", logging.INFO), ("D_ERROR D_PID", logging.INFO), ("D_NETWORK", 10), ("D_FULLDEBUG", 10)],
)
def test_cheap_first_test_lets_through_what_can_be_shown(text, number):
    """The logger's own level is low only when some line below INFO can be shown."""
    assert DebugFlags.parse(text).lowest_number == number
