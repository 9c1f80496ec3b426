"""What condor_master hands down in the environment: recorded, made up, and nonsense."""

import os
import socket
from pathlib import Path

import pytest

from daemoncore.address import Address
from daemoncore.inheritance import InheritanceError, SharedPortEnd, read_inheritance
from daemoncore.startup import Options
from tests.vector_files import load

PARENT = "1108 <10.99.0.1:41775?addrs=10.99.0.1-41775&alias=cm1.example.org>"


def recorded(name):
    """What a real condor_master gave a daemon."""
    return read_inheritance(load(name)["environment"])


def test_a_port_of_its_own():
    """The parent, the listening socket, the UDP socket that we do not use, and the family's session."""
    found = recorded("09-master-family-session")
    assert (found.parent_pid, found.parent) == (1108, Address("10.99.0.1", 41775))
    assert (found.listeners, found.others, found.shared_port) == ((9,), (11,), None)
    assert found.family.identifier == "family:1840cb7422ad5bff6386db4f70422771481527840d414edc"
    assert found.family.identity.user == "condor@family"
    assert "1840cb" not in repr(found)


def test_an_end_behind_a_shared_port():
    """The socket of the AF_UNIX kind, the name that clients ask for, and a parent that is itself behind the port."""
    found = recorded("10-shared-port-endpoint")
    assert found.shared_port.descriptor == 8
    assert found.shared_port.sock == "had"
    assert found.listeners == found.others == ()
    assert found.parent == Address("10.99.0.1", 9660, "master_1149_b268")


def test_a_shared_port_without_a_number_yet():
    """A master whose shared port server has not started says 0; its daemons reach each other by their local sockets."""
    parent = "384 <127.0.0.1:0?alias=cm1.smoke.invalid&sock=master_384_f875>"
    found = read_inheritance(
        {"CONDOR_INHERIT": f"{parent} 0 SharedPort:a300/had*12*6*0*0*0*0***1**0*0*0*0*0*0*0* 0"}
    )
    assert found.parent == Address("127.0.0.1", 0, "master_384_f875")
    assert found.local_sockets == "a300"
    assert recorded("09-master-family-session").local_sockets is None


@pytest.mark.parametrize(
    ("shared_port", "cookie", "folder"),
    [
        ("", {}, "/run/condor/daemon_sock"),
        ("", {"CONDOR_PRIVATE_SHARED_PORT_COOKIE": "a300"}, "a300"),
        ("SharedPort:b400/had*12*6*0 ", {"CONDOR_PRIVATE_SHARED_PORT_COOKIE": "a300"}, "b400"),
    ],
)
def test_where_the_daemons_of_the_master_are(shared_port, cookie, folder):
    """One with a port of its own finds the others, too: beside its end, by the cookie, or in DAEMON_SOCKET_DIR."""
    found = read_inheritance({"CONDOR_INHERIT": f"{PARENT} 0 {shared_port}0"} | cookie)
    options = Options(inheritance=found)
    assert options.local_sockets(Path("/run/condor/daemon_sock")) == folder
    assert Options().local_sockets(Path("/x")) == "/x"
    assert "a300" not in repr(found)


def test_what_was_opened_for_other_ends_is_not_ours():
    """Sockets before the first 0 are no command sockets."""
    text = f"{PARENT} 1 5*6*0 2 6*2*0 0 SharedPort:/run/condor/daemon_sock/had*8*6*0 1 9*6*0 2 11*2*0 0"
    found = read_inheritance({"CONDOR_INHERIT": text})
    assert (found.listeners, found.others) == ((9,), (5, 6, 11))
    assert found.shared_port == SharedPortEnd("/run/condor/daemon_sock/had", 8)
    assert found.family is None


@pytest.mark.parametrize("environment", [{}, {"CONDOR_INHERIT": " "}, {"CONDOR_PRIVATE_INHERIT": "x"}])
def test_nobody_handed_anything_down(environment):
    """Without the variable there is no parent of that kind."""
    assert read_inheritance(environment) is None


@pytest.mark.parametrize(
    "text",
    [
        "1108",
        "x <10.0.0.1:1> 0 0",
        "1108 nonsense: 0 0",
        "1108 <127.0.0.1:0> 0 0",
        f"{PARENT}",
        f"{PARENT} 3 9*6*0 0",
        f"{PARENT} 0 1",
        f"{PARENT} 0 1 nine*6*0 0",
        f"{PARENT} 0 1 -9*6*0 0",
        f"{PARENT} 0 SharedPort:had 0",
    ],
)
def test_what_cannot_be_read_is_said(text):
    """A daemon that cannot read where it is must not guess."""
    with pytest.raises(InheritanceError, match="CONDOR_INHERIT cannot be read"):
        read_inheritance({"CONDOR_INHERIT": text})


def test_the_port_that_was_handed_down_is_found_by_its_number():
    """Only the socket that listens on our port is taken, and no child of ours gets it."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(type=socket.SOCK_DGRAM) as other:
        port = listener.getsockname()[1]
        listener.set_inheritable(True)
        useless = os.dup(other.fileno())
        text = f"{PARENT} 0 1 {listener.fileno()}*6*0 2 {useless}*2*0 0"
        found = read_inheritance({"CONDOR_INHERIT": text})
        found.keep_from_children()
        assert not os.get_inheritable(listener.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(useless)
        assert found.listener_on(port + 1) is None
        with found.listener_on(port) as taken, socket.create_connection(("127.0.0.1", port)):
            taken.accept()[0].close()


def test_a_descriptor_that_is_not_open_is_said():
    """Whoever cleaned up between the master and us must hear of it."""
    found = read_inheritance({"CONDOR_INHERIT": f"{PARENT} 0 1 999*6*0 0"})
    with pytest.raises(InheritanceError, match="not open"):
        found.keep_from_children()
