"""sd_notify: datagrams to a real socket, and silence without one."""

import os
import socket

import pytest

from daemoncore.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A service manager's socket, and the address it gives to its services."""
    name = f"@had-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind("\0" + name[1:] if name.startswith("@") else name)
    listener.settimeout(5)
    yield listener, name
    listener.close()


def test_states_arrive_as_datagrams(manager):
    """Each call is one datagram of assignments."""
    listener, address = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.ready("leads\nor not")
    notifier.status("follows 127.0.0.1:9620")
    notifier.watchdog()
    notifier.stopping()
    assert [listener.recv(1000) for _ in range(4)] == [
        b"READY=1\nSTATUS=leads or not",
        b"STATUS=follows 127.0.0.1:9620",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}])
def test_without_a_manager_nothing_happens(environment):
    """A daemon that systemd did not start notifies nobody."""
    notifier = Notifier.from_environment(environment)
    assert notifier == Notifier()
    notifier.ready()


def test_a_manager_that_is_gone_or_full_does_no_harm(manager, tmp_path):
    """Nobody reading, or nobody there, neither raises nor waits."""
    _, address = manager
    notifier = Notifier(address)
    for _ in range(3000):
        notifier.watchdog()
    Notifier(str(tmp_path / "nobody")).ready()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "42"}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_interval_is_half_of_what_is_asked(environment, seconds):
    """The keep-alive interval leaves a margin, and is for this process only."""
    assert Notifier.from_environment(environment, pid=42).watchdog_seconds == seconds
