"""What had says to condor_master, and how it knows that it was heard; said to a real command port."""

import attrs
import pytest
import trio

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.client import Client
from daemoncore.inheritance import Inheritance, read_inheritance
from daemoncore.security import read_security
from had.master_voice import MasterVoice, master_address
from tests.daemoncore.command_ports import settings
from tests.had.fake_master import ENVIRONMENT, FAMILY, Master


async def say(tmp_path, command, master, *, port=None):
    """Have a voice say something to a master that listens; what came of it."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = Client(attrs.evolve(read_security(settings(tmp_path).get), family=FAMILY))
    address = Address("127.0.0.1", port or listener.socket.getsockname()[1])
    voice = MasterVoice(lambda: client, lambda: address, "negotiator")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.server.serve, [listener])
        result = await voice.say(command)
        nursery.cancel_scope.cancel()
    return result


@pytest.mark.parametrize("command", [Command.CHILD_ON, Command.CHILD_OFF_FAST])
async def test_an_order_is_carried_out(tmp_path, command):
    """The name is in upper case, on the family's session, and the end of the connection is the answer."""
    master = Master(tmp_path)
    assert await say(tmp_path, command, master) == ""
    assert master.orders == [(command, "NEGOTIATOR", "condor@family")]


async def test_a_frozen_master_is_not_waited_for(tmp_path):
    """An order that was taken and is not carried out has failed, and so will be given again."""
    master = Master(tmp_path)
    master.is_frozen = True
    assert "did not carry out CHILD_ON within 2 s" in await say(tmp_path, Command.CHILD_ON, master)


async def test_a_master_that_denies_us(tmp_path):
    """Of another family, and with a policy that does not make us its administrator, it says so."""
    other = attrs.evolve(FAMILY, identifier="family:other")
    master = Master(tmp_path, other)
    assert "denied" in (await say(tmp_path, Command.CHILD_ON, master)).lower()
    assert master.orders == []


async def test_no_master(tmp_path):
    """A port where nobody listens, and a file that is not there, are words and no exceptions."""
    master = Master(tmp_path)
    assert "refused" in await say(tmp_path, Command.CHILD_ON, master, port=1)
    missing = str(tmp_path / "nobody")
    voice = MasterVoice(lambda: None, lambda: master_address(None, missing), "negotiator")
    assert missing in await voice.say(Command.CHILD_ON)


def test_where_the_master_is(tmp_path):
    """Who started us says it; otherwise the first line of its address file does."""
    inheritance = read_inheritance(ENVIRONMENT)
    assert isinstance(inheritance, Inheritance)
    assert str(master_address(inheritance, "")) == "10.99.0.1:41775"
    file = tmp_path / ".master_address"
    file.write_text("<10.99.0.1:9618?addrs=10.99.0.1-9618&sock=master_1_2>\n$CondorVersion: 25.14.0 $\n")
    found = master_address(None, str(file))
    assert (str(found), found.sock) == ("10.99.0.1:9618", "master_1_2")
    file.write_text("")
    with pytest.raises(ValueError, match="master_address: an address is host:port"):
        master_address(None, str(file))
