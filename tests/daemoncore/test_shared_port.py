"""Connections that a shared port server passes to us: real sockets, a real server of ours, and what is no connection."""

import array
import contextlib
import socket
from pathlib import Path

import pytest
import trio

from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.cedar.stream import Stream
from daemoncore.client import CallFailed, Client, Reset
from daemoncore.inheritance import SharedPortEnd
from daemoncore.security import read_security
from daemoncore.shared_port import SharedPortListener, inherited_listener, make_listener
from tests.daemoncore.command_ports import UPDATE, port, settings
from tests.vector_files import load

ORDER = Stream().encode(MessageWriter().put_int(Command.SHARED_PORT_PASS_SOCK))


def passed(path, descriptor, *, order=ORDER):
    """Do what condor_shared_port does once it knows for whom a connection is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as messenger:
        messenger.connect(str(path))
        messenger.sendall(order)
        messenger.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])


async def serve_shared_port(listener, folder, *, task_status):
    """A small condor_shared_port: read the first message of each connection, and pass it to whom it names."""

    async def take(connection):
        stream = Stream()
        async with connection:
            while (message := stream.next_message()) is None:
                # Byte by byte: what follows the first message is the daemon's.
                stream.receive_data(bytes(await connection.receive_some(1)))
            assert message.get_int() == Command.SHARED_PORT_CONNECT
            name = message.get_string()
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                await trio.to_thread.run_sync(passed, folder / name, connection.socket.fileno())

    task_status.started()
    await trio.serve_listeners(take, [listener])


def test_the_order_is_the_recorded_one():
    """What our small shared port server sends is what the real one sent."""
    first = load("10-shared-port-endpoint")["connections"][0]["stream"][0]
    assert [ORDER.hex()] == [packet["hex"] for packet in first["packets"]]


async def test_a_client_is_passed_on(tmp_path):
    """Who names the daemon behind the port talks to it as if it had called it directly; a wrong name is hung up on."""
    values = settings(tmp_path)
    made = port(values)
    behind = make_listener(tmp_path, "had")
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    place = Address("127.0.0.1", listener.socket.getsockname()[1], "had")
    client = Client(read_security(values.get))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.server.serve_behind, behind)
        await nursery.start(serve_shared_port, listener, tmp_path)
        with trio.fail_after(20):
            for _ in range(2):
                async with await client.connect(place, UPDATE) as connection:
                    assert connection.our_identity.user == "condor@password"
                    await connection.send(connection.writer().put_ad(ClassAd({"Name": "root@cm1"})))
                while not made.received:  # noqa: ASYNC110 -- a handler of the port's keeps it
                    await trio.sleep(0.01)
                assert made.received.pop()[0] == UPDATE
            with pytest.raises(Reset) as hung_up:
                await client.connect(Address(place.host, place.port, "nobody"), UPDATE)
            assert not hung_up.value.has_heard
        nursery.cancel_scope.cancel()
    assert made.observer.commands[0][3] == "127.0.0.1"
    assert not (tmp_path / "had").exists()


def open_descriptors():
    """Every descriptor of this process."""
    return list(Path("/proc/self/fd").iterdir())


async def refusals_of(tmp_path, *attacks):
    """What our end says of those who pass no connection."""
    behind, said, taken = make_listener(tmp_path, "had"), [], []

    async def take(stream):
        taken.append(stream)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(behind.serve, take, said.append)
        with trio.fail_after(20):
            for attack in attacks:
                await trio.to_thread.run_sync(attack)
                while not said and not taken:  # noqa: ASYNC110 -- either will do
                    await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    return said, taken


async def test_what_is_no_connection_is_refused(tmp_path):
    """A file, a local socket, a wrong order and a sudden end each end their own messenger, and leave no descriptor open."""
    path = tmp_path / "had"
    wrong = Stream().encode(MessageWriter().put_int(Command.DC_NOP))

    def hang_up():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as messenger:
            messenger.connect(str(path))
            messenger.sendall(ORDER[:4])

    def without_a_descriptor():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as messenger:
            messenger.connect(str(path))
            messenger.sendall(ORDER + b"\0")

    with (tmp_path / "file").open("w") as file, socket.socket(socket.AF_UNIX) as local:
        attacks = (
            (lambda: passed(path, file.fileno()), "non-socket"),
            (lambda: passed(path, local.fileno()), "no TCP connection"),
            (lambda: passed(path, local.fileno(), order=wrong), "begins with SHARED_PORT_PASS_SOCK"),
            (hang_up, "ended early"),
            (without_a_descriptor, "one descriptor is passed, not 0"),
        )
        for attack, reason in attacks:
            before = len(open_descriptors())
            said, taken = await refusals_of(tmp_path, attack)
            assert not taken
            assert reason in said[0]
            assert len(open_descriptors()) == before


async def test_a_socket_that_was_left_over_is_replaced(tmp_path):
    """A daemon that was killed leaves its socket's name behind; one that serves it keeps it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "had"))
    behind = make_listener(tmp_path, "had")
    assert (tmp_path / "had").stat().st_mode & 0o077 == 0
    with pytest.raises(OSError, match="in use"):
        make_listener(tmp_path, "had")
    await behind.listener.aclose()
    with pytest.raises(OSError, match="107 bytes"):
        make_listener(tmp_path / ("x" * 200), "had")


@pytest.mark.parametrize("is_abstract", [False, True])
async def test_a_daemon_of_the_same_master_is_called_without_the_server(tmp_path, is_abstract):
    """While the shared port has no number yet, the caller passes one end of a connection itself."""
    values = settings(tmp_path)
    made = port(values)
    if is_abstract:
        folder = f"cookie-{tmp_path.name}"
        local = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        await local.bind(f"\0{folder}/master_1")
        local.listen()
        behind = SharedPortListener("master_1", trio.SocketListener(local))
    else:
        folder, behind = str(tmp_path), make_listener(tmp_path, "master_1")
    client = Client(read_security(values.get), local_sockets=folder)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.server.serve_behind, behind)
        with trio.fail_after(20):
            place = Address("127.0.0.1", 0, "master_1")
            async with await client.connect(place, UPDATE) as connection:
                assert connection.our_identity.user == "condor@password"
            with pytest.raises(CallFailed):
                await client.connect(Address("127.0.0.1", 0, "nobody"), UPDATE)
        nursery.cancel_scope.cancel()


async def test_the_end_that_condor_master_handed_down(tmp_path):
    """It listens already; its name is what clients ask for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as handed_down:
        handed_down.bind(str(tmp_path / "made"))
        handed_down.listen()
        behind = inherited_listener(SharedPortEnd("COOKIE/had", handed_down.fileno()))
    assert (behind.sock, behind.path) == ("had", None)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as near,
    ):
        taken = []

        async def take(stream):
            taken.append(stream.socket.getpeername())
            await stream.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(behind.serve, take, pytest.fail)
            with trio.fail_after(20):
                await trio.to_thread.run_sync(passed, tmp_path / "made", near.fileno())
                while not taken:  # noqa: ASYNC110 -- as above
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert taken == [listener.getsockname()]
    assert (tmp_path / "made").exists()
