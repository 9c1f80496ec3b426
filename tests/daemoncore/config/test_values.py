"""From text to types."""

import pytest

from daemoncore.config.arguments import split_arguments, split_environment
from daemoncore.config.knobs import TABLE
from daemoncore.config.values import ValueRefusedError, convert, split_list
from daemoncore.log_file import RotationLimit


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HAD_CONNECTION_TIMEOUT", "0.2", 0.2),
        ("HAD_CONNECTION_TIMEOUT", "0.05", 0.05),
        ("HAD_CONNECTION_TIMEOUT", "2", 2.0),
        ("HAD_CONNECTION_TIMEOUT", "1/2.0", 0.5),
        ("HAD_USE_PRIMARY", "TRUE", True),
        ("HAD_USE_PRIMARY", "f", False),
        ("HAD_USE_PRIMARY", "0", False),
        ("HAD_USE_PRIMARY", "1 == 1", True),
        ("HAD_HTTP_PORT", "8080", 8080),
        ("HAD_CONTROL", "Spawn", "spawn"),
        ("HAD_LIST", "a:1, b:2\tc:3,", ("a:1", "b:2", "c:3")),
        ("MAX_HAD_LOG", "640000", RotationLimit(640000)),
        ("MAX_HAD_LOG", "10 Mb", RotationLimit(10 << 20)),
        ("MAX_HAD_LOG", "1 day", RotationLimit(86400, is_time=True)),
        ("HAD_DIR", "/a b", "/a b"),
    ],
)
def test_converts(name, text, value):
    """A value has the type of its knob."""
    assert convert(TABLE[name], text) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("HAD_CONNECTION_TIMEOUT", "-3", "must be at least 0.05 seconds (got -3)"),
        ("HAD_CONNECTION_TIMEOUT", "0", "must be at least 0.05 seconds (got 0)"),
        ("HAD_CONNECTION_TIMEOUT", "1e9", "must be at most 3600 seconds (got 1e9)"),
        (
            "HAD_CONNECTION_TIMEOUT",
            "nan",
            "must be a number of seconds or an expression of numbers (got nan)",
        ),
        (
            "HAD_CONNECTION_TIMEOUT",
            "5m",
            "must be a number of seconds or an expression of numbers, without a unit (got 5m)",
        ),
        ("HAD_USE_PRIMARY", "maybe", "must be true or false (got maybe)"),
        ("HAD_USE_PRIMARY", "yes", "must be true or false (got yes)"),
        ("HAD_HTTP_PORT", "70000", "must be at most 65535 (got 70000)"),
        ("HAD_CONTROL", "magic", "must be auto, spawn, command or master (got magic)"),
        ("REPLICATION_MERGE", "x", "must be accountant (got x)"),
        ("HAD_UPDATE_INTERVAL", "1e300", "must be a number of at most 64 bits (got 1e300)"),
    ],
)
def test_refuses(name, text, message):
    """A value that breaks a rule is refused with the rule and the value."""
    with pytest.raises(ValueRefusedError) as caught:
        convert(TABLE[name], text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["a,b", "a b", " a , b ", "a,,b,", "a,\tb"])
def test_lists_by_comma_or_blank(text):
    """The field joins lists by commas, blanks or both, and leaves some at the end."""
    assert split_list(text) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("-f -p 51450", ("-f", "-p", "51450")),
        ("", ()),
        ("-c 'sleep 1; exit'", ("-c", "sleep 1; exit")),
        ('-m "two words" x', ("-m", "two words", "x")),
        ("\"a 'b c' d''e\"", ("a", "b c", "de")),
        ("\"it''s 'it''s'\"", ("its", "it's")),
        ('"say ""hi"""', ("say", '"hi"')),
    ],
)
def test_arguments(text, arguments):
    """Arguments split as HTCondor's two forms say; quotes keep blanks together."""
    assert split_arguments(text) == arguments


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1", {"A": "1"}),
        ("A=1 B=2", {"A": "1", "B": "2"}),
        ("A=1;B=two words;", {"A": "1", "B": "two words"}),
        ("\"A=1 B='two words'\"", {"A": "1", "B": "two words"}),
        ("A=", {"A": ""}),
    ],
)
def test_environment(text, variables):
    """Variables split as HTCondor's two forms say."""
    assert split_environment(text) == variables


@pytest.mark.parametrize("text", ["'open", '"it\'s"', 'x "open'])
def test_open_quote(text):
    """A quote that is never closed is refused."""
    with pytest.raises(ValueError, match="not closed"):
        split_arguments(text)


def test_environment_without_equals():
    """A word that is no variable is refused."""
    with pytest.raises(ValueError, match="NAME=value"):
        split_environment("A=1 nonsense")
