"""The controllee in condor_master's hands, and our hand beside it: real processes, below the test's as condor_master."""

import ctypes
import os
import signal
import socket
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from daemoncore import boottime
from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.children import Children
from daemoncore.client import Client
from daemoncore.inheritance import read_inheritance
from daemoncore.process import PR_SET_CHILD_SUBREAPER, children
from daemoncore.security import read_security
from daemoncore.startup import Options
from had.control_settings import Control
from had.events import ControlleeExited, ControlleeStarted
from had.household import command_line
from had.loading import load
from had.master_controllee import MasterControllee
from had.master_hand_link import HandLink
from had.master_hand_messages import (
    Failed,
    Lapsed,
    Lease,
    Noted,
    Ready,
    Rest,
    decode_from_hand,
    decode_to_hand,
    encode,
)
from had.master_reach import MasterReach
from had.master_voice import MasterVoice
from tests.daemoncore.command_ports import settings
from tests.had.fake_master import ENVIRONMENT, FAMILY, Master

LIMIT_SECONDS = 15.0


@attrs.define
class Stage:
    """A condor_master (this process), a had reduced to its keeper of the controllee, and what it said."""

    master: Master
    configuration: Path
    control: Control
    controllee: MasterControllee
    hand: HandLink
    events: list
    told: list
    process: subprocess.Popen | None = None

    def start_worker(self):
        """Start what is the controllee by its name."""
        self.process = subprocess.Popen(["worker", "600"], executable="/bin/sleep")

    def obey(self, command):
        """Do what condor_master does."""
        if command == Command.CHILD_ON and self.process is None:
            self.start_worker()
        elif command == Command.CHILD_OFF_FAST and self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)

    async def freeze(self):
        """Stop it, and wait until it has: a signal with a smaller number that comes at once would be first."""
        self.process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/stat")
        await self.until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    async def until(self, condition, seconds=LIMIT_SECONDS):
        """Wait until something holds."""
        with trio.fail_after(seconds):
            while not condition():  # noqa: ASYNC110 -- processes do not announce what they do
                await trio.sleep(0.005)

    async def event(self):
        """What was delivered next."""
        await self.until(lambda: self.events)
        return self.events.pop(0)

    async def start(self, lease_seconds=60.0):
        """Start it and return its process id."""
        self.controllee.renew(boottime.now() + lease_seconds)
        self.controllee.start({})
        event = await self.event()
        assert isinstance(event, ControlleeStarted), event
        return event.pid


@asynccontextmanager
async def staged(folder, *, is_inherited=True):
    """Run it all for the length of a block; the hand is left to itself then.

    Args:
        folder: for its files.
        is_inherited: whether had is known to be a child of condor_master.
    """
    # A test before this one may have made this process the heir of its orphans, which this had is not.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    # A shell without job control starts what runs in the background with SIGQUIT ignored, and children inherit that.
    before = signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    configuration = folder / "had.conf"
    configuration.write_text(
        f"HAD_LIST = 127.0.0.1:1\nHAD_CONTROL = master\nHAD_CONTROLLEE = worker\nWORKER = /nowhere/worker\n"
        f"HAD_DIR = {folder}\nLOG = {folder}\nHAD_CONTROLLEE_STOP_TIMEOUT = 5\n"
    )
    inherited = ENVIRONMENT | {"CONDOR_INHERIT": f"{os.getpid()} <127.0.0.1:{port}> 0 0"}
    environment = {**os.environ, **inherited}
    options = Options(str(configuration), inheritance=read_inheritance(inherited))
    control = load(options, environment).settings.control
    client = Client(attrs.evolve(read_security(settings(folder).get), family=FAMILY))
    voice = MasterVoice(lambda: client, lambda: Address("127.0.0.1", port), "worker")
    events, told = [], []
    with (folder / "lock").open("w") as lock:
        tell = lambda event, **fields: told.append((event, fields))  # noqa: E731 -- passed on twice
        hand = HandLink(options, environment, Children(), lock.fileno(), tell)
        reach = MasterReach(options.inheritance if is_inherited else None, control)
        controllee = MasterControllee(reach, voice, events.append, hand, tell, 5.0)
        stage = Stage(Master(folder), configuration, control, controllee, hand, events, told)
        stage.master.obey = stage.obey
        try:
            async with trio.open_nursery() as server:
                server.start_soon(stage.master.server.serve, [listener])
                async with trio.open_nursery() as nursery:
                    await nursery.start(controllee.run)
                    await hand.until_there()
                    yield stage
                    nursery.cancel_scope.cancel()
                server.cancel_scope.cancel()
        finally:
            # They would look after whatever this process starts for the next test.
            for pid in _hands(configuration):
                os.kill(pid, signal.SIGKILL)
            if stage.process:
                stage.process.kill()
                stage.process.wait(10)
            signal.signal(signal.SIGQUIT, before)


@pytest.fixture
def stage(tmp_path):
    """Make the stage."""
    return lambda **options: staged(tmp_path, **options)


@pytest.mark.timed
async def test_a_life(stage):
    """Off at first, on when it is wanted, off again: with its process there in between, and nothing of it after."""
    async with stage() as it:
        await it.until(lambda: it.master.count(Command.CHILD_OFF_FAST))
        assert await it.start() == it.process.pid == it.controllee.pid
        assert it.master.orders[-1] == (Command.CHILD_ON, "WORKER", "condor@family")
        it.controllee.stop(5)
        event = await it.event()
        assert event == ControlleeExited("requested", "")
        assert it.process.wait(10) == -signal.SIGQUIT
        assert it.controllee.pid is None
        assert it.events == []


async def test_its_own_end_is_told_and_held(stage):
    """An end by itself is told when condor_master was told too, so that it starts none by its own clock."""
    async with stage() as it:
        await it.start()
        offs = it.master.count(Command.CHILD_OFF_FAST)
        it.process.kill()
        assert (await it.event()).reason == "exited"
        assert it.master.count(Command.CHILD_OFF_FAST) == offs + 1


async def test_an_order_is_given_again(stage):
    """A master that takes the last process for a running one starts nothing; asked again it does."""
    async with stage() as it:
        it.master.obey = lambda command: it.obey(command) if it.master.count(Command.CHILD_ON) >= 3 else None
        await it.start()
        assert it.master.count(Command.CHILD_ON) == 3


async def test_a_start_that_fails(stage):
    """When no process comes up it is a failed start, and condor_master is told to leave it at that."""
    async with stage() as it:
        it.master.obey = lambda _command: None
        it.controllee.renew(boottime.now() + 60)
        it.controllee.start({})
        event = await it.event()
        assert event.reason == "start_failed"
        assert "condor_master has started no worker within 5 s" in event.detail
        assert it.master.orders[-1][0] == Command.CHILD_OFF_FAST


async def test_a_start_that_is_called_off(stage):
    """Without a lease nothing is begun, and a stop ends that."""
    async with stage() as it:
        it.controllee.start({})
        await trio.sleep(0.1)
        it.controllee.stop(5)
        assert (await it.event()).reason == "requested"
        assert it.master.count(Command.CHILD_ON) == 0


@pytest.mark.timed
async def test_a_frozen_master_is_not_needed_for_an_end(stage):
    """A controllee is ended by us when condor_master does not do it; that it is not held is told."""
    async with stage() as it:
        await it.start()
        it.master.is_frozen = True
        it.controllee.stop(5)
        event = await it.event()
        assert event.reason == "requested"
        assert "did not carry out CHILD_OFF_FAST" in event.detail
        assert it.process.poll() == -signal.SIGQUIT
        assert it.told[-1][0] == "master_unreachable"


async def test_one_that_takes_no_signal_is_killed(stage):
    """SIGKILL comes when the time-out is over, which may be shortened meanwhile."""
    async with stage() as it:
        await it.start()
        await it.freeze()
        it.controllee.stop(60)
        await trio.sleep(0.1)
        assert it.process.poll() is None
        it.controllee.stop(0.1)
        event = await it.event()
        assert event == ControlleeExited("requested", "killed after the time-out")
        assert it.process.wait(10) == -signal.SIGKILL


@pytest.mark.timed
async def test_a_lapsed_lease(stage):
    """Without renewal the hand ends it before the lease is over, frozen or not, and condor_master is told."""
    async with stage() as it:
        await it.start(lease_seconds=60)
        await it.freeze()
        offs = it.master.count(Command.CHILD_OFF_FAST)
        until = boottime.now() + 1.5
        it.controllee.renew(until)
        event = await it.event()
        assert boottime.now() < until + 1
        assert event.reason == "killed"
        assert "the lease was not renewed in time" in event.detail
        assert it.master.count(Command.CHILD_OFF_FAST) > offs
        # The next life has a lease of its own.
        it.process = None
        await it.start()


@pytest.mark.timed
async def test_the_hand_ends_what_its_daemon_leaves(stage):
    """A daemon that is gone while its controllee runs leaves it to the hand, which is no descendant of it."""
    async with stage() as it:
        await it.start()
        assert it.hand.pid not in _descendants(os.getpid())
        # As if it had died: the end of the socket. Its keeper here sends no signal, and not so soon.
        process, master, hand = it.process, it.master, it.hand.pid
        offs = master.count(Command.CHILD_OFF_FAST)
        it.hand._hand.ours.shutdown(socket.SHUT_WR)
        # SIGKILL follows 0.1 s after SIGQUIT, which a busy machine may not have delivered by then.
        await it.until(lambda: process.poll() in {-signal.SIGQUIT, -signal.SIGKILL})
        await it.until(lambda: master.count(Command.CHILD_OFF_FAST) > offs)
        await it.until(lambda: not Path(f"/proc/{hand}").exists())


async def test_an_unknown_master_gets_no_order_to_start(stage):
    """Where its process is hidden from us nothing that it starts would be seen: it is told to start none, and why is said."""
    async with stage(is_inherited=False) as it:
        it.controllee.renew(boottime.now() + 60)
        it.controllee.start({})
        event = await it.event()
        assert event.reason == "start_failed"
        assert "the process of condor_master is not known" in event.detail
        assert it.process is None
        assert {order[0] for order in it.master.orders} == {Command.CHILD_OFF_FAST}
        assert it.controllee.is_held


async def test_an_answer_about_another_daemon_counts_for_none(stage):
    """What condor_master takes about the old controllee, when another one is named, does not put the new one on hold."""
    async with stage() as it:
        await it.until(lambda: it.controllee.is_held)
        it.master.is_frozen = True
        it.start_worker()
        await it.until(lambda: it.process.poll() is not None)
        it.controllee.change(attrs.evolve(it.control, controllee="clerk", argv=("/nowhere/clerk",)))
        it.master.is_frozen = False
        await it.until(lambda: (Command.CHILD_OFF_FAST, "CLERK", "condor@family") in it.master.orders)
        await it.until(lambda: it.controllee.is_held)


@pytest.mark.timed
async def test_at_rest_the_hand_ends_nothing(stage):
    """A hand without a lease leaves with its daemon, and leaves all as it is."""
    async with stage() as it:
        await it.until(lambda: it.controllee.is_held)
        hand, offs = it.hand.pid, it.master.count(Command.CHILD_OFF_FAST)
        it.hand._hand.ours.shutdown(socket.SHUT_WR)
        await it.until(lambda: not Path(f"/proc/{hand}").exists())
        assert it.master.count(Command.CHILD_OFF_FAST) == offs


async def test_a_stray_is_ended(stage):
    """What runs without our order is ended, and that is told."""
    async with stage() as it:
        await it.until(lambda: it.controllee.is_held)
        it.start_worker()
        await it.until(lambda: it.process.poll() is not None)
        assert ("stray_controllee", {"pid": it.process.pid}) in it.told


async def test_another_daemon_is_meant(stage):
    """The one that runs is ended under its old name; the next order, and the word to start none, are for the new one."""
    async with stage() as it:
        await it.start()
        it.controllee.change(attrs.evolve(it.control, controllee="clerk", argv=("/nowhere/clerk",)))
        await trio.sleep(0.1)
        assert it.process.poll() is None
        it.controllee.stop(5)
        assert (await it.event()).reason == "requested"
        await it.until(lambda: it.controllee.is_held)
        assert [order[:2] for order in it.master.orders[-2:]] == [
            (Command.CHILD_OFF_FAST, "WORKER"),
            (Command.CHILD_OFF_FAST, "CLERK"),
        ]
        # The old program is another daemon's now.
        it.start_worker()
        await trio.sleep(1.5)
        assert it.process.poll() is None
        assert it.told == []


async def test_a_hand_that_cannot_read_the_configuration(stage):
    """The old one stays until there is a new one, and why there is none is told."""
    async with stage() as it:
        hand = it.hand.pid
        it.configuration.write_text("HAD_LIST =\n")
        it.controllee.change(it.control)
        await it.until(lambda: it.told)
        assert it.told[0][0] == "hand_failed"
        assert "HAD_LIST must name the members" in it.told[0][1]["text"]
        assert it.hand.pid == hand


@pytest.mark.parametrize("message", [Lease(1.5, 2.5, 77), Rest()])
def test_messages_to_the_hand(message):
    """What is written is read."""
    assert decode_to_hand(encode(message)) == message
    with pytest.raises(ValueError, match="unknown message to the hand"):
        decode_to_hand(encode(message) + b"x")


@pytest.mark.parametrize("message", [Ready(77), Failed("no"), Noted(), Lapsed()])
def test_messages_from_the_hand(message):
    """What is written is read, and which of them it is matters although some hold nothing."""
    found = decode_from_hand(encode(message))
    assert (type(found), found) == (type(message), message)
    with pytest.raises(ValueError, match="unknown message from the hand"):
        decode_from_hand(b"x" + encode(message))


def _hands(configuration):
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if any(str(configuration) in word for word in command_line(pid))]


def _descendants(pid):
    found, waiting = set(), children(pid)
    while waiting:
        child = waiting.pop()
        found.add(child)
        waiting.extend(children(child))
    return found
