"""Connections that a shared port server passes to us: real sockets, a real server of ours, and what is no connection."""

import array
import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.cedar.stream import Stream
from daemoncore.client import CallFailed, Client, Reset
from daemoncore.inheritance import SharedPortEnd
from daemoncore.security import read_security
from daemoncore.shared_port import (
    MESSENGER_LIMIT,
    TOUCH_SECONDS,
    SharedPortListener,
    dial_locally,
    inherited_listener,
    make_listener,
    trusted_users,
)
from tests.daemoncore.command_ports import UPDATE, port, settings
from tests.vector_files import load

ORDER = Stream().encode(MessageWriter().put_int(Command.SHARED_PORT_PASS_SOCK))


def passed(path, *descriptors, order=ORDER):
    """Do what condor_shared_port does once it knows for whom a connection is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as messenger:
        messenger.connect(str(path))
        messenger.sendall(order)
        messenger.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])


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

    with (
        (tmp_path / "file").open("w") as file,
        socket.socket(socket.AF_UNIX) as local,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        attacks = (
            (lambda: passed(path, datagrams.fileno()), "no TCP connection"),
            (lambda: passed(path, listening.fileno()), "no TCP connection"),
            (lambda: passed(path, file.fileno(), local.fileno()), "one descriptor is passed, not 2"),
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


@contextlib.contextmanager
def connections():
    """Make accepted connections, as a shared port server has them."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def make():
            stack.enter_context(socket.create_connection(listener.getsockname()))
            return stack.enter_context(listener.accept()[0]).fileno()

        yield make


async def test_only_some_users_are_heard(tmp_path):
    """Whoever passes a connection could stop our loop with it, so a stranger's is not even looked at."""
    assert trusted_users((4321, 4322)) == {0, os.geteuid(), 4321}
    assert trusted_users(None) == {0, os.geteuid()}
    behind, said = make_listener(tmp_path, "had", (4321, 4322)), []
    assert behind.trusted == {0, os.geteuid(), 4321}
    behind.trusted = frozenset({os.geteuid() + 1})
    with connections() as make:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(behind.serve, pytest.fail, said.append)
            passed(tmp_path / "had", make())
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert said == [f"a process of user {os.geteuid()} is no shared port server (CONDOR_IDS)"]


async def test_only_so_many_are_heard_at_once(tmp_path, mock_clock):
    """Silent messengers take no more than their share of our descriptors; one that leaves makes room."""
    behind, said, taken = make_listener(tmp_path, "had"), [], []

    async def take(stream):
        taken.append(stream)
        await stream.aclose()

    with connections() as make, contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            for _ in range(MESSENGER_LIMIT + 1)
        ]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(behind.serve, take, said.append)
            for messenger in silent:
                messenger.connect(str(tmp_path / "had"))
            await trio.testing.wait_all_tasks_blocked()
            assert said == [f"more than {MESSENGER_LIMIT} pass a connection at once"]
            assert silent[-1].recv(1) == b""
            silent[0].close()
            await trio.testing.wait_all_tasks_blocked()
            passed(tmp_path / "had", make())
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert len(taken) == 1


async def test_the_socket_is_touched_and_made_again(tmp_path, autojump_clock):
    """condor_preen removes what nobody touched for a day; who is served then is served on."""
    path = tmp_path / "run" / "had"
    path.parent.mkdir()
    behind, said, taken, ended = make_listener(path.parent, "had"), [], trio.Event(), []

    async def take(stream):
        async with stream:
            taken.set()
            await trio.sleep(4 * TOUCH_SECONDS)
        ended.append(stream)

    with connections() as make:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(behind.serve, take, said.append)
            os.utime(path, (1000, 1000))
            passed(path, make())
            await trio.sleep(TOUCH_SECONDS + 1)
            assert taken.is_set()
            assert path.stat().st_mtime > 1000
            path.unlink()
            path.parent.rmdir()
            await trio.sleep(TOUCH_SECONDS)
            assert "cannot be made again" in said.pop()
            path.parent.mkdir()
            await trio.sleep(TOUCH_SECONDS)
            assert said == ["the local socket vanished and was made again"]
            assert path.stat().st_mode & 0o077 == 0
            passed(path, make())
            await trio.sleep(5 * TOUCH_SECONDS)
            assert len(ended) == 2
            nursery.cancel_scope.cancel()
    assert not path.exists()


async def test_a_socket_of_the_masters_is_touched_and_left(tmp_path, autojump_clock):
    """It has a file unless it is in the abstract namespace; no link leads the touch elsewhere."""
    path, other = tmp_path / "had", tmp_path / "other"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as handed_down:
        handed_down.bind(str(path))
        handed_down.listen()
        behind = inherited_listener(SharedPortEnd(str(path), handed_down.fileno()))
    os.utime(path, (1000, 1000))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(behind.serve, pytest.fail, pytest.fail)
        await trio.sleep(TOUCH_SECONDS + 1)
        assert path.stat().st_mtime > 1000
        path.rename(other)
        path.symlink_to(other)
        os.utime(other, (1000, 1000))
        await trio.sleep(TOUCH_SECONDS)
        assert other.stat().st_mtime == 1000
        nursery.cancel_scope.cancel()
    assert path.is_symlink()


async def test_nothing_passed_is_lost_when_we_end(tmp_path):
    """Cancelled at whatever point, what was passed is closed: an open connection would keep a client waiting."""
    taken = []

    async def take(stream):
        taken.append(stream)
        await trio.aclose_forcefully(stream)

    for turns in range(30):
        behind = make_listener(tmp_path, "had")
        with connections() as make:
            before = len(open_descriptors())
            passed(tmp_path / "had", make())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(behind.serve, take, pytest.fail)
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            del behind
            # The listener was open before, and the two ends of the connection were not.
            assert len(open_descriptors()) == before - 1 + 2
    assert 0 < len(taken) < 30


async def test_a_daemon_that_takes_no_more_is_no_surprise(tmp_path):
    """A full queue is a failed call, like everything else that may go wrong at a local socket."""
    client = Client(read_security(settings(tmp_path).get), local_sockets=str(tmp_path))
    place = Address("127.0.0.1", 0, "stuck")
    with socket.socket(socket.AF_UNIX) as stuck, contextlib.ExitStack() as stack:
        stuck.bind(str(tmp_path / "stuck"))
        stuck.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(tmp_path / "stuck"))
        with trio.fail_after(20), pytest.raises(CallFailed):
            await client.connect(place, UPDATE)


async def test_a_daemon_that_hangs_up_at_once_is_no_surprise(tmp_path):
    """Whenever it does so: the call fails or the connection ends."""
    with socket.socket(socket.AF_UNIX) as rude:
        rude.bind(str(tmp_path / "rude"))
        rude.listen()

        def hang_up():
            with contextlib.suppress(OSError):
                while True:
                    rude.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            with trio.fail_after(30):
                for _ in range(100):
                    with contextlib.suppress(OSError):
                        await (await dial_locally(str(tmp_path), "rude")).aclose()
        finally:
            rude.shutdown(socket.SHUT_RDWR)
            thread.join()
