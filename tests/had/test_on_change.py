"""HAD_ON_CHANGE with real commands: what they are told, in which order, and that they cannot hold anything up."""

import time
from contextlib import asynccontextmanager

import pytest
import trio

from daemoncore.children import Children
from had.events import Transition
from had.on_change import MAXIMUM_WAITING, OnChange
from had.transitions import Reason, State
from tests.had.living import environment, living, new_mark, shell, until

pytestmark = pytest.mark.timed

WON = Transition(State.ELECTION, State.LEADER, Reason.won_by_answers, 257)
LOST = Transition(State.LEADER, State.PASSIVE, Reason.outranked, 514)


@pytest.fixture
def on_change():
    """Run a command for the length of a block; yields it with its mark and its reports."""

    @asynccontextmanager
    async def open_command(program, time_limit_seconds=10.0):
        mark = new_mark()
        daemon = {**environment(mark), "NOTIFY_SOCKET": "/run/x", "LISTEN_FDS": "1"}
        reports = []
        command = OnChange(
            shell(program), "[::1]:9620", daemon, Children(), reports.append, time_limit_seconds
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(command.run)
            yield command, mark, reports
            nursery.cancel_scope.cancel()
        # The command itself has been waited for; the kernel may still be busy with the rest of its group.
        await until(lambda: not living(mark))

    return open_command


async def test_it_is_told_what_changed(on_change, tmp_path):
    """The command finds the transition in its environment, and not what systemd gave the daemon."""
    told = tmp_path / "told"
    program = f"echo $HAD_FROM $HAD_TO $HAD_REASON $HAD_EPOCH $HAD_NODE $NOTIFY_SOCKET $LISTEN_FDS > {told}.new; mv {told}.new {told}"
    async with on_change(program) as (command, _, reports):
        command.tell(WON)
        await until(told.exists)
        assert told.read_text() == "election leader won_by_answers 257 [::1]:9620\n"
        assert reports == []


async def test_commands_run_one_after_another(on_change, tmp_path):
    """Transitions are told in their order, each after the command for the one before has ended."""
    told = tmp_path / "told"
    told.touch()
    async with on_change(f"echo $HAD_TO begins >> {told}; sleep 0.05; echo $HAD_TO ends >> {told}") as (
        command,
        *_,
    ):
        for transition in (WON, LOST, WON):
            command.tell(transition)
        await until(lambda: told.read_text().count("ends") == 3)
    lines = told.read_text().splitlines()
    assert lines == [
        f"{state} {part}" for state in ("leader", "passive", "leader") for part in ("begins", "ends")
    ]


async def test_a_failure_is_reported(on_change):
    """A command that fails is reported with its exit status, and the next transition is told all the same."""
    async with on_change("exit 9") as (command, _, reports):
        command.tell(WON)
        command.tell(LOST)
        await until(lambda: len(reports) == 2)
        assert reports[0] == "HAD_ON_CHANGE: /bin/sh: exit status 9"


async def test_a_hanging_command_is_killed(on_change):
    """A command that exceeds its time is killed with its group, and that is reported."""
    async with on_change("sleep 600 & sleep 600", time_limit_seconds=0.1) as (command, mark, reports):
        command.tell(WON)
        await until(lambda: reports)
        assert reports == ["HAD_ON_CHANGE: /bin/sh: killed after 0.1 s"]
        await until(lambda: not living(mark))


async def test_telling_never_waits(on_change):
    """However many transitions come while a command hangs, telling is instant, and the oldest are dropped aloud."""
    async with on_change("sleep 600") as (command, mark, reports):
        command.tell(WON)
        await until(lambda: living(mark))
        began = time.monotonic()
        for _ in range(MAXIMUM_WAITING + 3):
            command.tell(LOST)
        assert time.monotonic() - began < 0.1
        assert len(reports) == 3
        assert "was not told of leader -> passive" in reports[0]
