"""Calls over real sockets on loopback: how each kind of failure shows, where we call from, and sessions."""

import socket

import pytest
import trio

from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.client import ConnectionRefused, Denied, Reset, Unreachable
from tests.daemoncore import command_ports, starving
from tests.daemoncore.command_ports import HEARTBEAT, UPDATE

AD = ClassAd({"MyType": "HAD"})


async def listening(nursery, serve):
    """Listen on loopback and return the address."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    return Address("127.0.0.1", listener.socket.getsockname()[1])


@pytest.fixture
def values(tmp_path):
    """Settings in which everything is required."""
    return command_ports.settings(tmp_path)


async def test_a_call_goes_out_from_where_it_is_told(values):
    """A node on 127.0.0.2 speaks from 127.0.0.2, without delay for small packets."""
    port = command_ports.port(values)
    client = command_ports.client(values, source_address="127.0.0.2", user_timeout_seconds=2.5)
    async with trio.open_nursery() as nursery:
        address = await listening(nursery, port.server._serve_socket)
        async with await client.connect(address, UPDATE) as connection:
            used = connection.transport.socket
            assert used.getsockname()[0] == "127.0.0.2"
            assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2500
            await connection.send(connection.writer().put_ad(AD))
            async with await client.connect(address, Command.DC_NOP) as nothing:
                assert nothing.peer.is_ours
        nursery.cancel_scope.cancel()
    assert port.observer.commands[0][3] == "127.0.0.2"


async def test_a_forgotten_session_costs_a_connection_not_the_call(values):
    """After the server's restart the same call succeeds, by a second connection."""
    ports, client = [command_ports.port(values)], command_ports.client(values)

    async def serve(stream):
        await ports[-1].server._serve_socket(stream)

    async with trio.open_nursery() as nursery:
        address = await listening(nursery, serve)
        for _ in range(3):
            async with await client.connect(address, HEARTBEAT) as connection:
                await connection.send(connection.writer().put_int(1))
                await connection.send(connection.writer().put_int(HEARTBEAT).put_int(2))
                await connection.receive()
            ports.append(command_ports.port(values))
        nursery.cancel_scope.cancel()
    assert [port.observer.reasons for port in ports[:3]] == [[], ["session_not_found"], ["session_not_found"]]
    assert all(port.received[:2] == [(HEARTBEAT, 1), (HEARTBEAT, 2)] for port in ports[:3])


async def test_a_port_without_a_daemon_refuses(values):
    """A host that answers without a daemon is told apart from silence."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", bound.getsockname()[1])
        with pytest.raises(ConnectionRefused) as refused:
            await command_ports.client(values).connect(address, UPDATE)
    assert refused.value.address == address


async def test_an_address_that_is_not_ours_leads_nowhere(values):
    """Calling from an address that this host does not have is an unreachable peer, not a crash."""
    client = command_ports.client(values, source_address="192.0.2.1")
    with pytest.raises(Unreachable):
        await client.connect(Address("127.0.0.1", 9), UPDATE)


async def test_a_connection_that_is_closed_at_once_is_a_reset(values):
    """A peer that accepts and closes without a word has said nothing."""
    async with trio.open_nursery() as nursery:
        address = await listening(nursery, lambda stream: stream.aclose())
        with pytest.raises(Reset) as reset:
            await command_ports.client(values).connect(address, UPDATE)
        assert not reset.value.has_heard
        nursery.cancel_scope.cancel()


async def test_a_deadline_leaves_nothing_open(values):
    """A peer that accepts and stays silent costs the caller's deadline, and the connection is closed."""
    closed = trio.Event()

    async def stay_silent(stream):
        while await stream.receive_some():
            pass
        closed.set()

    async with trio.open_nursery() as nursery:
        address = await listening(nursery, stay_silent)
        with trio.move_on_after(0.05) as scope:
            await command_ports.client(values).connect(address, UPDATE)
        assert scope.cancelled_caught
        await closed.wait()
        nursery.cancel_scope.cancel()


async def test_a_denial_says_as_whom(values):
    """The caller learns the name under which the server knows it."""
    port = command_ports.port(values | {"ALLOW_DAEMON": "alice@example.org"})
    async with trio.open_nursery() as nursery:
        address = await listening(nursery, port.server._serve_socket)
        with pytest.raises(Denied, match="condor@password by IDTOKENS"):
            await command_ports.client(values).connect(address, UPDATE)
        nursery.cancel_scope.cancel()


async def test_a_shared_port_is_asked_by_name(values):
    """A daemon of ours with a port of its own swallows the question for a shared port, and the handshake holds."""
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        address = await listening(nursery, port.server._serve_socket)
        shared = Address(address.host, address.port, "had")
        for _ in range(2):
            async with await client.connect(shared, UPDATE) as connection:
                await connection.send(connection.writer().put_ad(AD))
                await connection.send(connection.writer().put_int(UPDATE).put_int(99))
                with pytest.raises(Reset):
                    await connection.receive()
        nursery.cancel_scope.cancel()
    assert port.received == [(UPDATE, AD)] * 2


async def test_a_call_without_a_descriptor_fails_as_a_call(values):
    """When no socket is to be had the caller hears so as of any host that cannot be reached, and can try again."""
    made = command_ports.client(values)
    with starving.no_descriptors(), pytest.raises(Unreachable, match="Too many open files"):
        await made.connect(Address("127.0.0.1", 9), command_ports.UPDATE)
