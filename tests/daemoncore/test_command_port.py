"""Where a daemon takes its commands: what was handed down, what it makes itself, and what does not fit together."""

import os
import socket

import attrs
import pytest

from daemoncore.address import Address
from daemoncore.command_port import open_command_port
from daemoncore.inheritance import Inheritance, SharedPortEnd
from daemoncore.startup import Options, StartError

KNOBS = "HAD_LIST, -p"
BEHIND = Address("127.0.0.1", 9618, "had")


@pytest.fixture
def inheritance():
    """A parent that handed nothing down yet."""
    return Inheritance(1, "<127.0.0.1:1>")


@pytest.fixture
def listening():
    """A descriptor of our own, of a socket that listens, and its port; the daemon closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        return listener.detach(), port


def refused(port):
    """Whether nobody listens there."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("is_inherited", [True, False])
async def test_a_name_that_nobody_asks_for_is_refused(tmp_path, inheritance, is_inherited):
    """The others dial the name of the list, so a daemon under another one would be alone, and lead."""
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "had_1"))
        end.listen()
        inheritance = attrs.evolve(inheritance, shared_port=SharedPortEnd("COOKIE/had_1", end.fileno()))
        options = Options(inheritance=inheritance) if is_inherited else Options(sock="had_1")
        with pytest.raises(StartError, match=r"HAD_SOCKET_NAME: .* for had, .* is had_1 \(-sock\)"):
            await open_command_port(BEHIND, KNOBS, options, tmp_path, None)


async def test_who_is_behind_the_shared_port_listens_nowhere_else(tmp_path, inheritance, listening):
    """A port that was handed down and is not served refuses its callers at once, and does not keep them waiting."""
    descriptor, port = listening
    options = Options(inheritance=attrs.evolve(inheritance, listeners=(descriptor,)))
    assert not refused(port)
    opened = await open_command_port(BEHIND, KNOBS, options, tmp_path, (os.geteuid() + 1, 0))
    assert refused(port)
    assert opened.listeners == []
    assert os.geteuid() + 1 in opened.behind.trusted
    await opened.behind.listener.aclose()


async def test_the_port_that_was_handed_down_is_served(tmp_path, inheritance, listening):
    """It listens as long as the daemon does, and no longer."""
    descriptor, port = listening
    options = Options(inheritance=attrs.evolve(inheritance, listeners=(descriptor,)))
    opened = await open_command_port(Address("127.0.0.1", port), KNOBS, options, tmp_path, None)
    assert opened.behind is None
    assert not refused(port)
    await opened.listeners[0].aclose()
    assert refused(port)
