"""Processes as the kernel sees them, with real ones."""

import os
import signal
import subprocess

import pytest

from daemoncore import process
from daemoncore.process import clean_environment, describe_status, reap_any


@pytest.fixture
def child():
    """A shell with two children, one with a name that is hard to parse."""
    program = "cp /bin/sleep './a) b (c' && { ./a\\)\\ b\\ \\(c 600 & sleep 600 & echo ready; wait; }"
    folder = subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip()
    shell = subprocess.Popen(["/bin/sh", "-c", program], cwd=folder, stdout=subprocess.PIPE, process_group=0)
    assert shell.stdout.readline() == b"ready\n"
    yield shell.pid
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    shell.stdout.close()
    subprocess.run(["rm", "-r", folder], check=True)


def test_both_ways_of_listing_children_agree(child):
    """The kernel's own list and the scan of all processes name the same children, whatever these are called."""
    listed = process._listed_children(child)
    assert len(listed) == 2
    assert sorted(process._scanned_children(child)) == sorted(listed)
    assert child in process.children(os.getpid())


def test_a_process_that_is_gone_has_no_children():
    """Asking for a process that does not exist is no error."""
    gone = subprocess.Popen(["/bin/true"])
    gone.wait()
    assert process._listed_children(gone.pid) == process._scanned_children(gone.pid) == []


def test_a_group_can_be_excepted(child):
    """A signal to the descendants leaves out the members of the named group."""
    assert process.signal_descendants(child, signal.SIGKILL, spare=process.children(child)) == 0
    process.signal_descendants(child, signal.SIGTERM, except_group=child)
    assert len(process.children(child)) == 2


def test_systemd_and_daemoncore_are_not_inherited():
    """What service managers and DaemonCore say to this daemon is not passed on; everything else is."""
    private = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
    private += ("CONDOR_INHERIT", "CONDOR_PRIVATE_INHERIT")
    kept = {
        "PATH": "/bin",
        "LISTENER": "x",
        "CONDOR_CONFIG": "/etc/condor/condor_config",
        "_CONDOR_HAD_LIST": "a",
    }
    assert clean_environment({**dict.fromkeys(private, "1"), **kept}) == kept


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit status 0"), (3 << 8, "exit status 3"), (11, "SIGSEGV"), (139, "SIGSEGV"), (60, "signal 60")],
)
def test_a_wait_status_in_words(status, words):
    """Exit statuses are numbers, signals have their names (a core dump or not), real-time signals a number."""
    assert describe_status(status) == words


def test_reaping_tells_apart_the_living_the_dead_and_nobody():
    """In a process of its own: first a child lives, then it is collected with its status, then there is none."""
    program = """
import os, signal, sys, time
from daemoncore.process import reap_any
assert reap_any() is None
child = os.fork()
if child == 0:
    signal.pause()
assert reap_any() == (0, 0)
os.kill(child, signal.SIGKILL)
while (dead := reap_any()) == (0, 0):
    time.sleep(0.001)
assert dead == (child, signal.SIGKILL), dead
assert reap_any() is None
"""
    subprocess.run([os.sys.executable, "-c", program], check=True)
    assert callable(reap_any)
