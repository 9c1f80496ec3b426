"""condor_master as our parent: what it is told, on which session, and what its end means."""

import contextlib
import os
import subprocess
import sys

import attrs
import pytest
import trio

from daemoncore.authorization import Level
from daemoncore.cedar.commands import Command
from daemoncore.cedar.sessions import family_session
from daemoncore.client import Client
from daemoncore.inheritance import Inheritance
from daemoncore.parent import Parent
from daemoncore.security import read_security
from daemoncore.server import CommandServer
from tests.daemoncore.command_ports import Observer, settings
from tests.vector_files import load

FAMILY = family_session(load("09-master-family-session")["environment"]["CONDOR_PRIVATE_INHERIT"])
OTHER_FAMILY = attrs.evolve(FAMILY, identifier="family:another")


@attrs.define
class Master:
    """Takes what a child tells its parent."""

    server: CommandServer
    observer: Observer
    alive: list = attrs.field(factory=list)
    ready: list = attrs.field(factory=list)

    @classmethod
    def of(cls, values, family):
        """A master of these settings, and of this family."""
        observer = Observer()
        security = attrs.evolve(read_security(values.get), family=family)
        made = cls(CommandServer(security, observer), observer)
        made.server.register(Command.DC_CHILDALIVE, Level.DAEMON, made._alive)
        made.server.register(Command.DC_SET_READY, Level.DAEMON, made._ready)
        return made

    async def _alive(self, request):
        reader = request.reader
        self.alive.append((reader.get_int(), reader.get_int(), reader.get_double()))
        reader.end()

    async def _ready(self, request):
        self.ready.append(dict(request.reader.get_ad().items()))
        request.reader.end()


@attrs.define
class Child:
    """A daemon with a parent."""

    said: list = attrs.field(factory=list)
    stopped: trio.Event = attrs.field(factory=trio.Event)

    def tell(self, event, **fields):
        """Keep a line."""
        self.said.append((event, fields))

    def parent(self, port, client, *, pid, hang_seconds=3600.0):
        """Its parent, at this port."""
        inheritance = Inheritance(pid, f"<127.0.0.1:{port}?alias=cm1>", family=FAMILY)
        return Parent(inheritance, "HAD", lambda: client, lambda: hang_seconds, self.stopped.set, self.tell)


@contextlib.asynccontextmanager
async def running(master):
    """Let a master listen, and say where."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.server.serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def until(condition):
    """Wait for something, half a minute at most."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 -- whatever it is
            await trio.sleep(0.01)


def family_client(values, family=FAMILY):
    """A client of one of the family."""
    return Client(attrs.evolve(read_security(values.get), family=family))


async def test_a_master_is_told_that_we_live_and_are_ready(tmp_path):
    """On the family's session, without any login, a sign of life at once and a third of the time later; ready once."""
    values = settings(tmp_path)
    master, child = Master.of(values, FAMILY), Child()
    async with running(master) as port, trio.open_nursery() as nursery:
        nursery.start_soon(child.parent(port, family_client(values), pid=os.getppid(), hang_seconds=1).run)
        await until(lambda: len(master.alive) >= 3)
        nursery.cancel_scope.cancel()
    assert set(master.alive) == {(os.getpid(), 1, 0.0)}
    assert master.ready == [{"DaemonPID": os.getpid(), "DaemonName": "HAD", "DaemonState": "Ready"}]
    assert {(user, method) for _, user, method, _ in master.observer.commands} == {
        ("condor@family", "FAMILY")
    }
    assert (child.said, child.stopped.is_set()) == ([], False)


async def test_one_that_is_not_our_family_is_logged_in_to(tmp_path):
    """A server on this host that does not know the session is asked once, and then logged in to as ever."""
    values = settings(tmp_path)
    master = Master.of(values, OTHER_FAMILY)
    client = family_client(values)
    async with running(master) as port:
        address = Child().parent(port, client, pid=1).inheritance.parent
        for _ in range(3):
            async with await client.connect(address, Command.DC_CHILDALIVE) as connection:
                await connection.send(connection.writer().put_int(1).put_int(2).put_double(0.0))
        await until(lambda: len(master.alive) == 3)
    assert master.observer.reasons == ["session_not_found"]
    assert [user for _, user, _, _ in master.observer.commands] == ["condor@password"] * 3


async def test_who_asks_for_a_session_gets_one_of_its_own(tmp_path):
    """A session without a command says nothing of the family; what follows it is on the family's again."""
    values = settings(tmp_path)
    master, client = Master.of(values, FAMILY), family_client(values)
    async with running(master) as port:
        address = Child().parent(port, client, pid=1).inheritance.parent
        asked = await client.connect(address, Command.DC_AUTHENTICATE, asked_about=Command.DC_SET_READY)
        async with asked:
            assert asked.our_identity.user == "condor@password"
        client.sessions.clear()
        async with await client.connect(address, Command.DC_SET_READY) as connection:
            assert connection.our_identity.user == "condor@family"
    assert master.observer.reasons == []


async def test_the_family_outlives_a_reload_and_a_flood(tmp_path):
    """Other sessions come and go; this one was agreed on elsewhere and cannot be made anew."""
    values = settings(tmp_path)
    master = Master.of(values, FAMILY)
    for number in range(1200):
        master.server.sessions.add(attrs.evolve(FAMILY, identifier=str(number)), 0.0)
    master.server.replace_security(attrs.evolve(read_security(values.get), family=FAMILY))
    assert master.server.sessions.find(FAMILY.identifier, 1e12) is FAMILY
    master.server.replace_security(read_security(values.get))
    assert master.server.sessions.find(FAMILY.identifier, 0.0) is None


async def test_a_master_that_cannot_be_reached_is_told_of_once(tmp_path, autojump_clock):
    """The daemon goes on; each kind of word is complained of once in a row, and tried again."""
    values = settings(tmp_path)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    child = Child()
    with trio.move_on_after(60):
        await child.parent(port, family_client(values), pid=os.getppid()).run()
    assert sorted(fields["command"] for _, fields in child.said) == ["DC_CHILDALIVE", "DC_SET_READY"]
    assert {(event, fields["reason"]) for event, fields in child.said} == {("parent_unreachable", "refused")}


async def test_what_nobody_foresaw_ends_no_daemon(autojump_clock):
    """A sign of life that fails in another way is told, once in a row, and given again."""

    def client():
        raise trio.BrokenResourceError("the unforeseen")

    child = Child()
    with trio.move_on_after(60):
        await attrs.evolve(child.parent(1, None, pid=os.getppid()), client=client).run()
    assert [event for event, _ in child.said] == ["parent_unreachable"] * 2
    assert {fields["reason"] for _, fields in child.said} == {"unexpected"}
    assert "the unforeseen" in child.said[0][1]["text"]


@pytest.mark.parametrize("is_dead", [True, False])
async def test_the_end_of_the_master_is_ours(tmp_path, is_dead):
    """A master that dies, or was dead before we looked, ends the daemon at once."""
    values, child = settings(tmp_path), Child()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:  # noqa: ASYNC220 -- at once
        if is_dead:
            process.kill()
            process.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child.parent(1, family_client(values), pid=process.pid).run)
            await trio.sleep(0.1)
            process.kill()
            with trio.fail_after(30):
                await child.stopped.wait()
            nursery.cancel_scope.cancel()
    assert ("parent_gone", {"pid": process.pid}) in child.said
