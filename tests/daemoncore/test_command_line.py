"""The command line of a daemon: what it is given, and the exit statuses."""

import signal

import attrs
import pytest
import trio

from daemoncore.command_line import (
    ASKED_TO_STOP,
    CONFIGURATION_REFUSED,
    FAILED,
    Program,
    main,
)
from daemoncore.config import ConfigurationError, Problem
from daemoncore.config.problems import Source
from daemoncore.early_signals import STOPPING
from daemoncore.startup import Options, StartError


@attrs.frozen
class Loaded:
    """A configuration with one oddity."""

    entry: str = "127.0.0.1:9620"
    warnings: tuple = ("had.toml: odd",)


@pytest.fixture(autouse=True)
def _signals():
    """What the daemon does with signals ends with the test."""
    before = {number: signal.getsignal(number) for number in (*STOPPING, signal.SIGHUP)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in before.items():
        signal.signal(number, handler)


def refuse(_options, _environment):
    """Find the configuration wanting."""
    raise ConfigurationError([Problem(Source("had.toml"), "HAD_LIST is not set")])


async def serve_nothing(*_given):
    """Be a daemon that is asked to stop at once."""
    await trio.lowlevel.checkpoint()


def program(load=lambda _options, _environment: Loaded(), serve=serve_nothing):
    """A program that loads and serves in these ways."""
    return Program("had", "HAD", "Be tested.", load, serve)


def test_it_serves_with_what_the_command_line_says():
    """Everything that condor_master passes on is taken; the daemon gets the options and the configuration."""
    given = []

    async def serve(loaded, options, environment, early_signals):
        await trio.lowlevel.checkpoint()
        given.append((loaded, options))
        assert "PATH" in environment
        early_signals.take(given.append)

    argv = ["-f", "-t", "-p", "9620", "-sock", "s", "-local-name", "n", "-c", "f"]
    assert main(program(serve=serve), argv) == ASKED_TO_STOP
    assert given == [(Loaded(), Options("f", "n", 9620, is_terminal=True, sock="s"))]


def test_a_configuration_that_cannot_be_is_printed(capsys):
    """There is no log yet, so standard error has it."""
    assert main(program(load=refuse), []) == CONFIGURATION_REFUSED
    assert "HAD_LIST is not set" in capsys.readouterr().err


def test_check_prints_and_serves_nothing(capsys):
    """Warnings go to standard error, the verdict to standard output."""

    async def serve(*_given):
        await trio.lowlevel.checkpoint()
        raise AssertionError("it was only to be checked")

    assert main(program(serve=serve), ["--check"]) == ASKED_TO_STOP
    printed = capsys.readouterr()
    assert printed.out == "127.0.0.1:9620: the configuration is in order\n"
    assert printed.err == "warning: had.toml: odd\n"


def test_what_prevents_the_start_is_printed(capsys):
    """The log may be what failed; a group of errors is told one by one."""

    async def serve(*_given):
        async with trio.open_nursery():
            raise StartError("the port is taken")

    assert main(program(serve=serve), []) == FAILED
    assert capsys.readouterr().err == "had: the port is taken\n"


def test_why_it_does_not_start_is_in_the_log_too(tmp_path, monkeypatch):
    """condor_master throws standard error away, so the log has a line for each reason; `--check` writes none."""
    configuration = tmp_path / "pool.conf"
    configuration.write_text(f"LOG = {tmp_path}\n")
    monkeypatch.setenv("CONDOR_CONFIG", str(configuration))
    monkeypatch.delenv("HAD_CONFIG", raising=False)
    log = tmp_path / "HADLog"
    assert main(program(load=refuse), ["--check"]) == CONFIGURATION_REFUSED
    assert not log.exists()
    assert main(program(load=refuse), []) == CONFIGURATION_REFUSED
    monkeypatch.setenv("CONDOR_INHERIT", "nonsense")
    assert main(program(), []) == CONFIGURATION_REFUSED
    lines = log.read_text().splitlines()
    assert 'start_refused error="had.toml: HAD_LIST is not set"' in lines[0]
    assert "CONDOR_INHERIT cannot be read" in lines[1]
    configuration.write_text(f"LOG = {tmp_path}\nHAD_CONNECTION_TIMEOUT = 5m\n")
    assert main(program(load=refuse), []) == CONFIGURATION_REFUSED
    lines = log.read_text().splitlines()
    assert len(lines) == 3
    configuration.write_text("this is no configuration\n")
    assert main(program(load=refuse), []) == CONFIGURATION_REFUSED
    assert log.read_text().splitlines() == lines
