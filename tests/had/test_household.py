"""The controllee as a child of condor_master: real processes below this one, which stands for condor_master."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from had.household import Household, Likeness, Resident, command_line, listener_of

BINARY = "/usr/sbin/condor_negotiator"
LIKENESS = Likeness("negotiator", frozenset({BINARY, "/opt/wrapped"}))


@pytest.mark.parametrize(
    "words",
    [
        # As condor_master starts it: the file's name alone.
        ["condor_negotiator", "-f"],
        [BINARY],
        # A script, and one whose first line has an argument.
        ["/bin/sh", "/opt/wrapped"],
        ["/usr/bin/python3", "-I", "/opt/wrapped", "-f"],
        ["wrapped"],
        # What a wrapper became.
        ["/srv/new/condor_negotiator", "-f"],
        ["condor_negotiator", "-local-name", "NEGOTIATOR"],
    ],
)
def test_the_controllee_is_known(words):
    """Binaries, scripts and what wrappers end in are the controllee."""
    assert LIKENESS.is_of(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["condor_collector"],
        ["condor_master", "-f"],
        ["/bin/sh", "-c", "exec", "/opt/wrapped"],
        ["grep", "condor_negotiator"],
        # Another daemon of the same program.
        ["condor_negotiator", "-local-name", "NEGOTIATOR2"],
    ],
)
def test_others_are_not_the_controllee(words):
    """What only names it, or shares its program, is something else."""
    assert not LIKENESS.is_of(words)


def test_a_second_negotiator_is_known_by_its_name():
    """The local name in its arguments tells one of two daemons that share a program; so does condor_master's own."""
    second = Likeness("negotiator2", frozenset({BINARY}), "spare")
    assert second.is_of(["condor_negotiator", "-local-name", "SPARE"])
    assert second.is_of(["condor_negotiator", "-local-name", "NEGOTIATOR2"])
    assert not second.is_of(["condor_negotiator"])


TOOL = Likeness("mytool", frozenset({"/usr/bin/python3"}), arguments=frozenset({("/opt/x.py", "-v")}))


@pytest.mark.parametrize(
    ("likeness", "words", "is_it"),
    [
        (TOOL, ["python3", "/opt/x.py", "-v"], True),
        (TOOL, ["python3", "-local-name", "MYTOOL", "/opt/x.py", "-v", "-sock", "mytool"], True),
        (TOOL, ["python3", "/opt/x.py"], False),
        (TOOL, ["/usr/bin/python3", "/opt/y.py", "-v"], False),
        (TOOL, ["/usr/bin/python3", "/usr/bin/had", "-f"], False),
        # Without arguments all that the interpreter runs looks alike, but for what is ours.
        (Likeness("mytool", frozenset({"/usr/bin/python3"})), ["python3", "/usr/bin/had-replication"], False),
        (Likeness("mytool", frozenset({"/usr/bin/python3"})), ["python3", "-m", "had", "-f"], False),
        # A wrapper does with its arguments what it likes.
        (
            Likeness("negotiator", frozenset({"/opt/wrapped"}), arguments=frozenset({("--site", "a")})),
            ["condor_negotiator", "-f"],
            True,
        ),
    ],
)
def test_what_an_interpreter_runs_is_told_apart(likeness, words, is_it):
    """Where the program is an interpreter, the configured arguments count, and our own daemons are never meant."""
    assert likeness.is_of(words) == is_it


def sleeper(tmp_path, *, word="sleeper"):
    """Start a child that sleeps, under a name of its own."""
    return subprocess.Popen([word, "600"], executable="/bin/sleep", cwd=tmp_path)


def until(condition):
    """Wait until something holds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def master():
    """This process, which stands for condor_master."""
    held = Resident.hold(os.getpid())
    yield held
    held.close()


@pytest.fixture
def household(master):
    """The children of this process that are called sleeper."""
    made = Household(lambda: master, Likeness("worker", frozenset({"/somewhere/sleeper"})))
    yield made
    made.close()


def test_a_life(tmp_path, household):
    """It is there when it runs under its name, and gone when it is dead, collected or not."""
    assert household.look() == []
    process = sleeper(tmp_path)
    other = sleeper(tmp_path, word="another")
    try:
        until(household.look)
        (resident,) = household.look()
        assert resident.pid == process.pid
        assert resident.is_alive
        assert resident.send(signal.SIGKILL) == ""
        until(lambda: not resident.is_alive)
        assert household.look() == []
        assert process.wait(10) == -signal.SIGKILL
    finally:
        for child in (process, other):
            child.kill()
            child.wait(10)


def test_a_process_outlives_its_parent(tmp_path, master):
    """What was seen once is still known when condor_master is dead and nobody's child is listed."""
    process, dead = sleeper(tmp_path), sleeper(tmp_path, word="master")
    masters = [master]
    household = Household(lambda: masters[0], Likeness("worker", frozenset({"sleeper"})))
    try:
        until(household.look)
        masters[0] = Resident.hold(dead.pid)
        assert not household.is_abandoned()
        dead.kill()
        until(household.is_abandoned)
        assert household.is_blind()
        assert [resident.pid for resident in household.look()] == [process.pid]
        masters[0].close()
        dead.wait(10)
    finally:
        process.kill()
        process.wait(10)
        household.close()


def test_an_unknown_master_is_not_a_dead_one():
    """While nobody knows condor_master it may start things, which nobody would see."""
    household = Household(lambda: None, Likeness("worker", frozenset({"sleeper"})))
    assert household.is_blind()
    assert not household.is_abandoned()
    assert household.look() == []


def test_a_process_of_ours_is_never_taken(tmp_path, master):
    """The hand's daemon is a child of condor_master too, and may look like anything."""
    process = sleeper(tmp_path)
    try:
        until(lambda: command_line(process.pid) == ["sleeper", "600"])
        household = Household(lambda: master, Likeness("worker", frozenset({"sleeper"})), {process.pid})
        assert household.look() == []
    finally:
        process.kill()
        process.wait(10)


def test_the_dead_are_kept_for_who_waits(tmp_path, household):
    """A look beside somebody who waits for an end leaves him his descriptor, whose number would be used again."""
    process = sleeper(tmp_path)
    until(household.look)
    (resident,) = household.look()
    process.kill()
    process.wait(10)
    assert household.living() == []
    os.fstat(resident.descriptor)
    assert household.look() == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(resident.descriptor)


def test_a_number_that_is_somebody_elses_is_not_taken(tmp_path, household):
    """A process that is named as the controllee and does not look like it is left alone."""
    other = sleeper(tmp_path, word="another")
    try:
        until(lambda: command_line(other.pid) == ["another", "600"])
        household.note(other.pid)
        household.note(2**22 + 1)
        assert household.look() == []
    finally:
        other.kill()
        other.wait(10)


def test_a_child_before_its_exec_is_expected(master):
    """Between fork and exec a child has its parent's command line, and may become anything."""
    reader, writer = os.pipe()
    household = Household(lambda: master, Likeness("worker", frozenset({"sleeper"})))
    assert not household.is_expecting()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        assert household.is_expecting()
    finally:
        os.close(writer)
        os.waitpid(child, 0)
        os.close(reader)
    assert not household.is_expecting()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_who_listens_is_found(host):
    """The one that opened a socket is condor_master, not a child that still holds it."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen()
        port = listener.getsockname()[1]
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=[listener.fileno()]
        )
        try:
            assert listener_of("127.0.0.1", port) == os.getpid()
        finally:
            child.kill()
            child.wait(10)
    assert listener_of("127.0.0.1", port) is None
