"""The TOML form."""

import pytest

from daemoncore.config import ConfigurationError, load


def load_toml(tmp_path, text, **environment):
    """Load a TOML text."""
    path = tmp_path / "had.toml"
    path.write_text(text)
    return load(str(path), environment=environment)


def messages(tmp_path, text):
    """What is wrong with a TOML text."""
    with pytest.raises(ConfigurationError) as caught:
        load_toml(tmp_path, text)
    return [(problem.source.line, problem.message) for problem in caught.value.problems]


def test_values(tmp_path):
    """Strings, numbers, booleans and lists become the knobs' types; names are in any case."""
    text = """
had_list = ["127.0.0.1:1", "[::1]:2"]
HAD_CONNECTION_TIMEOUT = 0.2
HAD_USE_PRIMARY = true
HAD_HTTP_PORT = 8080
HAD_UPDATE_INTERVAL = "5 * $(MINUTE)"
HAD_CONTROLLEE = "worker"
WORKER = "/bin/sleep"
WORKER_ARGS = "infinity"
SEC_DEFAULT_ENCRYPTION = "REQUIRED"
ALLOW_DAEMON = "*"
LOCAL_DIR = "/srv"
HAD_DIR = "$(LOCAL_DIR)/had"
"""
    configuration = load_toml(tmp_path, text)
    assert configuration.get("HAD_LIST") == ("127.0.0.1:1", "[::1]:2")
    assert configuration.get("HAD_CONNECTION_TIMEOUT") == 0.2
    assert configuration.get("HAD_USE_PRIMARY") is True
    assert configuration.get("HAD_HTTP_PORT") == 8080
    assert configuration.get("HAD_UPDATE_INTERVAL") == 300.0
    assert configuration.text("WORKER_ARGS") == "infinity"
    assert configuration.text("HAD_DIR") == "/srv/had"
    assert configuration.source("HAD_CONNECTION_TIMEOUT").line == 3


def test_unknown_key(tmp_path):
    """An unknown key is an error with a suggestion."""
    assert messages(tmp_path, "\nHAD_CONECTION_TIMEOUT = 2\nNONSENSE = 1\n") == [
        (2, "HAD_CONECTION_TIMEOUT is not a knob; did you mean HAD_CONNECTION_TIMEOUT?"),
        (3, "NONSENSE is not a knob"),
    ]


def test_other_controllees_program_is_unknown(tmp_path):
    """Only the controllee that is named has a program."""
    assert messages(tmp_path, 'WORKER = "/bin/sleep"\n') == [(1, "WORKER is not a knob")]


def test_tables_and_odd_values(tmp_path):
    """The file is flat, and values are plain."""
    text = "HAD_SELF = 1979-05-27\nHAD_LIST = [[1]]\n[had]\nlist = 1\n"
    found = messages(tmp_path, text)
    assert found[0] == (
        1,
        "HAD_SELF must be a string, a number, true or false, or a list of strings (got 1979-05-27)",
    )
    assert found[1][0] == 2
    assert found[2][1] == "had is a table; the file is flat: a knob stands at the top, as NAME = value"


def test_syntax_error_has_its_line(tmp_path):
    """A file that is no TOML is one problem with a line."""
    assert messages(tmp_path, "HAD_USE_PRIMARY = true\nHAD_LIST =\n") == [(2, "is not TOML: invalid value")]


def test_all_wrong_values_at_once(tmp_path):
    """Each wrong value is reported."""
    text = 'HAD_CONNECTION_TIMEOUT = -3\nHAD_USE_PRIMARY = "maybe"\nHAD_HTTP_PORT = 99999\n'
    assert sorted(line for line, _message in messages(tmp_path, text)) == [1, 2, 3]


def test_reference_to_nothing(tmp_path):
    """A reference to a name that means nothing is an error, not an empty text."""
    assert messages(tmp_path, 'HAD_DIR = "$(NOWHERE)/had"\n') == [
        (1, "HAD_DIR refers to $(NOWHERE), which is not set")
    ]


def test_instances(tmp_path):
    """A quoted key may be for one instance."""
    path = tmp_path / "had.toml"
    path.write_text('HAD_SELF = "a:1"\n"node2.HAD_SELF" = "b:2"\n')
    assert load(str(path), environment={}).text("HAD_SELF") == "a:1"
    assert load(str(path), local_name="node2", environment={}).text("HAD_SELF") == "b:2"


def test_environment_wins(tmp_path):
    """_CONDOR_NAME wins over a TOML file too, and is checked like it."""
    assert (
        load_toml(tmp_path, "HAD_USE_PRIMARY = true\n", _CONDOR_HAD_USE_PRIMARY="false").get(
            "HAD_USE_PRIMARY"
        )
        is False
    )
    with pytest.raises(ConfigurationError) as caught:
        load_toml(tmp_path, "", _CONDOR_HAD_USE_PRIMARY="maybe")
    assert str(caught.value) == "<Environment>: HAD_USE_PRIMARY must be true or false (got maybe)"


@pytest.mark.parametrize("name", ["ALLOW_DEAMON", "DENY_ADMINISTRATION", "HOSTALLOW_WRIT"])
def test_a_list_for_no_level_is_refused(tmp_path, name):
    """A misspelt level would leave the one that was meant open, so it is no knob."""
    assert messages(tmp_path, f'{name} = "somebody@example.org"\n') == [(1, f"{name} is not a knob")]


@pytest.mark.parametrize("name", ["ALLOW_DAEMON", "ALLOW_WRITE_COLLECTOR", "DENY_ADVERTISE_STARTD_COLLECTOR"])
def test_a_list_for_a_level_may_be_one_daemons(tmp_path, name):
    """The lists of a level, and those of a level at one daemon, are knobs."""
    assert load_toml(tmp_path, f'{name} = "somebody@example.org"\n').text(name) == "somebody@example.org"
