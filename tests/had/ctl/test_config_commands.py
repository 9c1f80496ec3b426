"""`hadctl config`: what it prints, where, and its exit status."""

import json

import pytest

from had.ctl.__main__ import main

GOOD = """\
T = 2
HAD_LIST = 127.0.0.1:51450 10.255.0.1:51450
HAD_CONNECTION_TIMEOUT = $(T)
HAD_CONTROLLEE = worker
WORKER = /bin/sleep
ALLOW_DAEMON = *
"""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No pool of this host shines through."""
    for name in ("HAD_CONFIG", "CONDOR_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def good(tmp_path):
    """A configuration that is in order on any machine."""
    path = tmp_path / "pool.conf"
    path.write_text(GOOD)
    return str(path)


def run(capsys, *arguments):
    """Exit status, standard output, standard error."""
    status = main(["config", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_get(capsys, good):
    """One value on standard output, expanded."""
    assert run(capsys, "get", "had_connection_timeout", "-c", good) == (0, "2\n", "")


def test_get_default(capsys, good):
    """A knob that is not set has its default."""
    assert run(capsys, "get", "HAD_UPDATE_INTERVAL", "-c", good) == (0, "300\n", "")


def test_get_undefined(capsys, good):
    """A name that means nothing is said so on standard error, with what was probably meant."""
    expected = (1, "", "Not defined: HAD_LITS; did you mean HAD_LIST?\n")
    assert run(capsys, "get", "HAD_LITS", "-c", good) == expected


def test_get_verbose(capsys, good):
    """With -v the value comes with place, raw text and default, as condor_config_val has it."""
    status, out, _ = run(capsys, "get", "HAD_CONNECTION_TIMEOUT", "-v", "-c", good)
    assert status == 0
    assert out.splitlines() == [
        "HAD_CONNECTION_TIMEOUT = 2",
        f" # at: {good}, line 3",
        " # raw: HAD_CONNECTION_TIMEOUT = $(T)",
        " # default: 5",
        "",
    ]


def test_get_json(capsys, good):
    """JSON has every key always."""
    _, out, _ = run(capsys, "get", "HAD_CONNECTION_TIMEOUT", "--json", "-c", good)
    assert json.loads(out) == {
        "name": "HAD_CONNECTION_TIMEOUT",
        "value": "2",
        "raw": "$(T)",
        "source": good,
        "line": 3,
        "via": None,
        "default": "5",
        "is_knob": True,
    }


def test_dump(capsys, good):
    """A dump has what is set, unexpanded, and the files it came from."""
    status, out, err = run(capsys, "dump", "-c", good)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("# Configuration from machine: ")
    assert "HAD_CONNECTION_TIMEOUT = $(T)" in lines
    assert lines[-2:] == ["# Contributing configuration file(s):", f"#\t{good}"]
    assert not any(line.startswith("HAD_UPDATE_INTERVAL") for line in lines)


def test_dump_of_some(capsys, good):
    """A pattern chooses names; --defaults adds knobs that are not set."""
    _, out, _ = run(capsys, "dump", "--defaults", "^HAD_U", "-c", good)
    names = [line.split(" = ")[0] for line in out.splitlines() if not line.startswith("#")]
    assert names == ["HAD_UPDATE_INTERVAL", "HAD_USE_PRIMARY", "HAD_USE_REPLICATION", "HAD_USE_SHARED_PORT"]
    assert run(capsys, "dump", "(", "-c", good)[0] == 2


def test_dump_json(capsys, good):
    """The JSON of a dump is an object by name."""
    _, out, _ = run(capsys, "dump", "--json", "-c", good)
    assert json.loads(out)["HAD_CONNECTION_TIMEOUT"]["value"] == "2"


def test_check_good(capsys, good):
    """A configuration in order says so on standard error."""
    assert run(capsys, "check", "-c", good) == (0, "", f"{good} is in order\n")


def test_check_on_another_machine(capsys, tmp_path):
    """A machine that is no member may check the file; --member insists."""
    path = tmp_path / "pool.conf"
    path.write_text(GOOD.replace("127.0.0.1:51450 ", ""))
    status, _, err = run(capsys, "check", "-c", str(path))
    assert status == 0
    assert "so it is no member here" in err
    status, _, err = run(capsys, "check", "--member", "-c", str(path))
    assert status == 1
    assert "HAD_LIST must have an entry for this host" in err


def test_check_bad(capsys, tmp_path):
    """Everything that is wrong is reported at once, and the status is 1."""
    path = tmp_path / "pool.conf"
    path.write_text(f"{GOOD}HAD_CONNECTION_TIMEOUT = -3\nHAD_USE_PRIMARY = maybe\nHAD_USE_PRIMRAY = true\n")
    status, out, err = run(capsys, "check", "-c", str(path))
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"{path}: HAD_CONNECTION_TIMEOUT must be at least 0.05 seconds (got -3), line 7",
        f"{path}: HAD_USE_PRIMARY must be true or false (got maybe), line 8",
        f"warning: {path}: HAD_USE_PRIMRAY is not a knob; did you mean HAD_USE_PRIMARY?, line 9",
        f"{path} is not in order",
    ]


def test_check_json(capsys, tmp_path):
    """The JSON of a check lists errors and warnings with file and line."""
    path = tmp_path / "had.toml"
    path.write_text("HAD_CONNECTION_TIMEOUT = -3\n")
    status, out, _ = run(capsys, "check", "--json", "-c", str(path))
    assert status == 1
    assert json.loads(out) == {
        "in_order": False,
        "is_member": False,
        "problems": [
            {
                "severity": "error",
                "file": str(path),
                "line": 1,
                "via": None,
                "message": "HAD_CONNECTION_TIMEOUT must be at least 0.05 seconds (got -3)",
            }
        ],
    }


def test_check_settings(capsys, good, monkeypatch):
    """A check goes beyond types: what the daemon would refuse is refused."""
    monkeypatch.setenv("_CONDOR_CONDOR_IDS", "condor")
    status, _, err = run(capsys, "check", "-c", good)
    assert status == 1
    assert "<Environment>: CONDOR_IDS must be uid.gid" in err


def test_check_security(capsys, good, monkeypatch):
    """What the daemon refuses about security is found too."""
    monkeypatch.setenv("_CONDOR_SEC_DEFAULT_ENCRYPTION", "SOMETIMES")
    status, _, err = run(capsys, "check", "-c", good)
    assert status == 1
    assert "SEC_DEFAULT_ENCRYPTION" in err


def test_explain(capsys, good):
    """A knob is explained with its value here; a misspelt one with what was meant."""
    status, out, _ = run(capsys, "explain", "HAD_CONNECTION_TIMEOUT", "-c", good)
    assert status == 0
    assert "at least 0.05" in out
    assert f"set at:   {good}, line 3" in out
    status, _, err = run(capsys, "explain", "HAD_CONNECTION_TIMEOT", "-c", good)
    assert (status, err.rstrip()) == (
        2,
        "hadctl: HAD_CONNECTION_TIMEOT is not a knob; did you mean HAD_CONNECTION_TIMEOUT?",
    )
    _, out, _ = run(capsys, "explain", "HAD_CONNECTION_TIMEOUT", "--json", "-c", good)
    assert json.loads(out)["minimum"] == 0.05


def test_missing_file(capsys):
    """A file that cannot be read is exit status 2."""
    status, out, err = run(capsys, "get", "HAD_LIST", "-c", "/nowhere/at/all.conf")
    assert (status, out) == (2, "")
    assert err == "/nowhere/at/all.conf: cannot be read: No such file or directory\n"


def test_sample_and_manual_need_no_file(capsys, monkeypatch):
    """The sample, the manual page and the list of names are there on any machine."""
    monkeypatch.setenv("CONDOR_CONFIG", "/nowhere/at/all.conf")
    assert "#HAD_CONNECTION_TIMEOUT = 5" in run(capsys, "sample")[1]
    assert "### `HAD_CONNECTION_TIMEOUT`" in run(capsys, "explain", "--markdown")[1]
    assert "HAD_CONNECTION_TIMEOUT" in run(capsys, "explain")[1].splitlines()


def test_other_view(capsys, tmp_path):
    """--subsystem and --local-name show another daemon's view."""
    path = tmp_path / "pool.conf"
    path.write_text("X = plain\nREPLICATION.X = theirs\nnode2.X = mine\n")
    assert run(capsys, "get", "X", "-c", str(path), "--subsystem", "replication")[1] == "theirs\n"
    assert run(capsys, "get", "X", "-c", str(path), "-local-name", "node2")[1] == "mine\n"


def test_usage():
    """Wrong usage is exit status 2."""
    with pytest.raises(SystemExit) as caught:
        main(["config", "nonsense"])
    assert caught.value.code == 2
