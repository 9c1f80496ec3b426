"""The controllee through its interface, with real guards and real programs."""

import os
import signal
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import pytest
import trio

from daemoncore import boottime
from daemoncore.children import Children
from daemoncore.process import children
from had.controllee import Commands, GuardedControllee, Program, controllee_environment
from had.events import ControlleeExited, ControlleeStarted
from tests.daemoncore import starving
from tests.had.living import FAMILY, STUBBORN, environment, living, new_mark, python, shell, until

pytestmark = pytest.mark.timed

LONG_SECONDS = 60.0
LIMIT_SECONDS = 10.0


class Case:
    """A controllee under test, its mark, its log and what it delivered."""

    def __init__(self, what, log, answer_seconds):
        self.mark = new_mark()
        self.log = log
        self.environment = environment(self.mark)
        self._send, self._receive = trio.open_memory_channel(100)
        self.controllee = GuardedControllee(what, self._send.send_nowait, answer_seconds)

    async def event(self):
        """What was delivered next."""
        with trio.fail_after(LIMIT_SECONDS):
            return await self._receive.receive()

    def is_quiet(self):
        """Whether nothing more was delivered."""
        return self._receive.statistics().current_buffer_used == 0

    async def start(self, lease_seconds=LONG_SECONDS):
        """Start it and wait for the news; returns the process id."""
        self.controllee.renew(boottime.now() + lease_seconds)
        self.controllee.start(self.environment)
        event = await self.event()
        assert isinstance(event, ControlleeStarted), event
        return event.pid

    async def end(self):
        """Wait for the end; returns the reason and the detail, after checking that nothing lives."""
        event = await self.event()
        assert not living(self.mark)
        assert isinstance(event, ControlleeExited), event
        return event.reason, event.detail

    async def until_logged(self, text="ready"):
        """Wait until the controllee wrote something."""
        await until(lambda: self.log.exists() and text in self.log.read_text())


@pytest.fixture
def guarded(tmp_path):
    """Open a controllee, with a guard that runs, for the length of a block."""

    @asynccontextmanager
    async def open_case(argv=("/bin/sleep", "600"), answer_seconds=1.0, **more):
        log = tmp_path / "controllee.log"
        what = Program(argv, str(log), **more) if isinstance(argv, tuple) else argv
        case = Case(what, log, answer_seconds)
        async with trio.open_nursery() as nursery:
            await nursery.start(case.controllee.run)
            yield case
            nursery.cancel_scope.cancel()
        assert not living(case.mark)

    return open_case


def status_of(pid):
    """The fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


def variables_of(pid):
    """The environment of a process, as bytes."""
    return Path(f"/proc/{pid}/environ").read_bytes().rstrip(b"\0").split(b"\0")


def descriptors_of(pid):
    """The open descriptors of a process and what they are."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        # The descriptor that lists them is gone when it is asked for.
        with suppress(FileNotFoundError):
            found[entry.name] = str(entry.readlink())
    return found


# --- the start ----------------------------------------------------------------------------------------------------


async def test_the_environment_is_exactly_the_one_given(guarded):
    """Nothing is added to the environment and nothing is lost, bytes that are no UTF-8 included."""
    async with guarded() as case:
        case.environment |= {"EMPTY": "", "EQUALS": "a=b", "BYTES": os.fsdecode(b"\xff\xfe"), "LINES": "a\nb"}
        pid = await case.start()
        assert sorted(variables_of(pid)) == sorted(
            os.fsencode(f"{name}={value}") for name, value in case.environment.items()
        )


async def test_signals_are_as_a_fresh_program_expects(guarded):
    """No signal is blocked or ignored, although the daemon blocks one and Python and the guard ignore several."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        async with guarded() as case:
            status = status_of(await case.start())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # Signals 32 and 33 are glibc's own: whoever was started by posix_spawn, as by make, ignores them, and nobody can ask
    # glibc to change that.
    public = ~(1 << 31 | 1 << 32)
    assert [int(status[name], 16) & public for name in ("SigBlk", "SigIgn", "SigPnd", "ShdPnd")] == [
        0,
        0,
        0,
        0,
    ]


async def test_it_leads_its_own_session_below_the_guard(guarded):
    """The controllee has a process group and a session of its own; its parent is the guard, not the daemon."""
    async with guarded() as case:
        pid = await case.start()
        assert (os.getpgid(pid), os.getsid(pid)) == (pid, pid)
        assert int(status_of(pid)["PPid"]) == case.controllee.guard_pid
        assert case.controllee.guard_pid in children(os.getpid())
        assert case.controllee.pid == pid


async def test_it_has_three_descriptors(guarded):
    """Input is empty, both outputs go to the log, and no descriptor of the daemon or the guard leaks into it."""
    async with guarded() as case:
        pid = await case.start()
        assert descriptors_of(pid) == {"0": os.devnull, "1": str(case.log), "2": str(case.log)}


async def test_the_log_is_appended_to(guarded):
    """A restart keeps what the log holds."""
    async with guarded(shell("echo out; echo err >&2")) as case:
        for _ in range(2):
            await case.start()
            await case.end()
        assert case.log.read_text() == "out\nerr\n" * 2


async def test_an_ordinary_priority_is_restored(guarded):
    """The guard may run at real-time priority; the controllee does not."""
    async with guarded() as case:
        pid = await case.start()
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_it_runs_as_the_user_it_is_told(guarded):
    """Started by root for another user, it has that user and group, no other groups, and its log belongs to them."""
    async with guarded(user_id=65534, group_id=65534) as case:
        status = status_of(await case.start())
        assert status["Uid"].split() == ["65534"] * 4
        assert status["Gid"].split() == ["65534"] * 4
        assert status["Groups"].split() == ["65534"]
        assert case.log.stat().st_uid == 65534
        os.kill(case.controllee.guard_pid, signal.SIGKILL)
        await case.end()


async def test_a_disaster_has_a_program_of_its_own(guarded, tmp_path):
    """It runs where the state is lost and only then; a new one is taken up like any other setting."""
    async with guarded() as case:
        report = Program(("/bin/sh", "-c", "echo rescue; exec sleep 600"), str(case.log))
        case.controllee.change(
            Program(("/bin/sh", "-c", "echo plain; exec sleep 600"), str(case.log)), 1.0, report
        )
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        for is_disaster, word in ((True, "rescue"), (False, "plain"), (True, "rescue")):
            case.log.write_text("")
            case.controllee.start(case.environment, is_disaster=is_disaster)
            assert isinstance(await case.event(), ControlleeStarted)
            await case.until_logged(word)
            case.controllee.stop(5)
            assert (await case.end())[0] == "requested"


async def test_a_missing_program_is_a_failed_start(guarded):
    """A program that does not exist is never reported as started; the detail names it and says why."""
    async with guarded(("/no/such/program", "argument")) as case:
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        case.controllee.start(case.environment)
        assert await case.end() == ("start_failed", "running /no/such/program: No such file or directory")


async def test_a_log_that_cannot_be_opened_is_a_failed_start(guarded, tmp_path):
    """Without its log the controllee is not started, and the log is named."""
    log = tmp_path / "missing" / "log"
    async with guarded(Commands(("/bin/true",), ("/bin/true",), log_path=str(log))) as case:
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        case.controllee.start(case.environment)
        reason, detail = await case.end()
        assert reason == "start_failed"
        assert detail.startswith(f"opening the log {log}: No such file or directory")


@pytest.mark.parametrize("value", ["NUL\0", "x" * 200_000])
async def test_an_impossible_environment_is_a_failed_start(guarded, value):
    """What cannot be said to the guard fails this start and not the next."""
    async with guarded() as case:
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        case.controllee.start({**case.environment, "BAD": value})
        assert (await case.end())[0] == "start_failed"
        await case.start()


async def test_a_start_waits_for_a_lease(guarded):
    """Without a lease in force nothing starts; the first renewal starts it."""
    async with guarded() as case:
        case.controllee.renew(boottime.now() - 1.0)
        case.controllee.start(case.environment)
        await trio.sleep(0.05)
        assert not living(case.mark)
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        assert isinstance(await case.event(), ControlleeStarted)


async def test_a_start_that_waits_can_be_taken_back(guarded):
    """A stop before the lease ends the wish at once."""
    async with guarded() as case:
        case.controllee.start(case.environment)
        case.controllee.stop(1.0)
        assert (await case.end())[0] == "requested"


# --- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "reason", "detail"),
    [
        ("exit 7", "exited", "exit status 7"),
        ("exit 0", "exited", "exit status 0"),
        ("kill -SEGV $$", "signalled", "SIGSEGV"),
    ],
)
async def test_an_end_of_its_own_says_how(guarded, program, reason, detail):
    """A controllee that ends at once was started nevertheless, and its exit status or signal is told."""
    async with guarded(shell(program)) as case:
        await case.start()
        assert await case.end() == (reason, detail)


async def test_it_may_be_started_again_and_again(guarded):
    """Each start is answered by one start and one exit."""
    async with guarded(shell("exit 3")) as case:
        for _ in range(20):
            await case.start()
            assert (await case.end())[0] == "exited"
        assert case.is_quiet()


async def test_a_stop_is_quick_when_obeyed(guarded):
    """SIGTERM ends an ordinary program in far less than the time-out."""
    async with guarded() as case:
        await case.start()
        began = time.monotonic()
        case.controllee.stop(LONG_SECONDS)
        assert await case.end() == ("requested", "SIGTERM")
        assert time.monotonic() - began < 1.0


async def test_a_stubborn_controllee_is_killed_after_the_time_out(guarded):
    """A controllee that ignores SIGTERM gets SIGKILL when the time-out is over, not before."""
    async with guarded(python(STUBBORN)) as case:
        await case.start()
        await case.until_logged()
        began = time.monotonic()
        case.controllee.stop(0.3)
        assert await case.end() == ("requested", "SIGKILL")
        assert 0.3 <= time.monotonic() - began < 1.0


async def test_a_second_stop_shortens_the_first(guarded):
    """A fast stop after a graceful one kills at once."""
    async with guarded(python(STUBBORN)) as case:
        await case.start()
        await case.until_logged()
        case.controllee.stop(LONG_SECONDS)
        case.controllee.stop(0.0)
        assert await case.end() == ("requested", "SIGKILL")


async def test_a_stopped_process_obeys_too(guarded):
    """A controllee that somebody froze is thawed so that it can obey SIGTERM."""
    async with guarded() as case:
        os.kill(await case.start(), signal.SIGSTOP)
        case.controllee.stop(LONG_SECONDS)
        assert await case.end() == ("requested", "SIGTERM")


async def test_the_group_may_finish_its_work(guarded, tmp_path):
    """After a stop the first process may end first; its group still has the rest of the time-out."""
    written = tmp_path / "written"
    worker = f"trap 'sleep 0.2; echo done > {written}; exit' TERM; echo ready; while :; do sleep 0.05; done"
    async with guarded(shell(f'sh -c "{worker}" & trap exit TERM; wait')) as case:
        await case.start()
        await case.until_logged()
        case.controllee.stop(LONG_SECONDS)
        assert (await case.end())[0] == "requested"
        assert written.read_text() == "done\n"


async def test_strays_are_told_too(guarded, tmp_path):
    """Who left the group for a session of its own gets its SIGTERM when the first process is gone."""
    written = tmp_path / "written"
    stray = f"trap 'echo done > {written}; exit' TERM; echo ready; while :; do sleep 0.05; done"
    async with guarded(shell(f'setsid sh -c "{stray}" & wait')) as case:
        await case.start()
        await case.until_logged()
        case.controllee.stop(LONG_SECONDS)
        assert (await case.end())[0] == "requested"
        assert written.read_text() == "done\n"


async def test_what_a_crash_leaves_behind_is_killed_first(guarded):
    """When the first process dies by itself, the exit is told only after everything else is dead."""
    async with guarded(shell(FAMILY)) as case:
        pid = await case.start()
        await until(lambda: len(living(case.mark)) >= 6)
        os.kill(pid, signal.SIGKILL)
        assert await case.end() == ("signalled", "SIGKILL")


async def test_a_stop_that_comes_too_late_changes_nothing(guarded):
    """A stop without a controllee is no error and has no answer."""
    async with guarded(shell("exit 0")) as case:
        await case.start()
        await case.end()
        case.controllee.stop(1.0)
        await case.start()
        assert (await case.end())[0] == "exited"
        assert case.is_quiet()


# --- the lease ----------------------------------------------------------------------------------------------------


async def test_an_unrenewed_lease_ends_it_in_time(guarded):
    """SIGTERM comes at two thirds of the lease, not before; all are dead by its end, and a late renewal is in vain."""
    lease_seconds = 0.9
    async with guarded(python(STUBBORN)) as case:
        await case.start()
        await case.until_logged()
        began = boottime.now()
        case.controllee.renew(began + lease_seconds)
        await case.until_logged("TERM")
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        reason, detail = await case.end()
        assert boottime.now() < began + lease_seconds
        assert reason == "killed"
        assert "lease" in detail
        told_at = float(case.log.read_text().split("TERM ")[1].split()[0])
        assert 2 / 3 * lease_seconds <= told_at - began < 0.8 * lease_seconds


async def test_a_renewal_after_the_lease_is_in_vain(guarded):
    """When guard and controllee wake after the lease, as after a suspension, a renewal that waits there saves nothing."""
    async with guarded(python(STUBBORN), answer_seconds=30.0) as case:
        pid = await case.start()
        await case.until_logged()
        case.controllee.renew(boottime.now() + 0.3)
        await trio.sleep(0.05)
        for frozen in (case.controllee.guard_pid, pid):
            os.kill(frozen, signal.SIGSTOP)
        await trio.sleep(0.3)
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        os.kill(case.controllee.guard_pid, signal.SIGCONT)
        began = time.monotonic()
        assert (await case.end())[0] == "killed"
        assert time.monotonic() - began < 0.5


async def test_a_renewed_lease_goes_on(guarded):
    """A controllee whose lease is renewed lives longer than any one lease."""
    async with guarded() as case:
        pid = await case.start(lease_seconds=0.3)
        for _ in range(10):
            case.controllee.renew(boottime.now() + 0.3)
            await trio.sleep(0.075)
        assert living(case.mark) == {pid}
        assert case.is_quiet()


async def test_a_stop_in_progress_keeps_its_lease(guarded):
    """While a stop is in progress and renewed, its own time-out governs, though longer than the lease."""
    async with guarded(python(STUBBORN)) as case:
        await case.start()
        await case.until_logged()
        began = time.monotonic()
        case.controllee.stop(0.6)
        while case.is_quiet():
            case.controllee.renew(boottime.now() + 0.2)
            await trio.sleep(0.02)
        assert (await case.end())[0] == "requested"
        assert time.monotonic() - began >= 0.6


async def test_a_stop_in_progress_ends_with_its_lease(guarded):
    """A stop whose daemon stops renewing is cut short by the end of the lease."""
    async with guarded(python(STUBBORN)) as case:
        await case.start()
        await case.until_logged()
        began = boottime.now()
        case.controllee.renew(began + 0.4)
        case.controllee.stop(LONG_SECONDS)
        assert (await case.end())[0] == "requested"
        assert boottime.now() < began + 0.4


# --- the guard's own misfortunes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_lost_guard_takes_the_controllee_along(guarded, number):
    """A guard that dies or freezes is noticed and replaced; the daemon kills the family itself, and starts again."""
    async with guarded(shell(FAMILY), answer_seconds=0.4) as case:
        await case.start()
        await until(lambda: len(living(case.mark)) >= 6)
        guard = case.controllee.guard_pid
        began = time.monotonic()
        os.kill(guard, number)
        assert await case.end() == ("killed", "the guard process died or froze")
        assert time.monotonic() - began < 1.0
        await case.start()
        assert case.controllee.guard_pid != guard


async def test_a_frozen_guard_cannot_be_asked_to_stop(guarded):
    """A stop asked of a frozen guard ends all the same, as the stop it was."""
    async with guarded(answer_seconds=0.3) as case:
        await case.start()
        os.kill(case.controllee.guard_pid, signal.SIGSTOP)
        case.controllee.stop(LONG_SECONDS)
        assert (await case.end())[0] == "requested"


async def test_a_guard_that_froze_while_idle_is_noticed_at_its_first_order(guarded):
    """An idle guard is rarely pinged; an order is followed by a ping at once, so a frozen one is soon found out."""
    async with guarded(answer_seconds=0.4) as case:
        await trio.sleep(0.05)
        os.kill(case.controllee.guard_pid, signal.SIGSTOP)
        began = time.monotonic()
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        case.controllee.start(case.environment)
        assert await case.end() == ("killed", "the guard process died or froze")
        assert time.monotonic() - began < 1.0


async def test_a_daemon_without_descriptors_keeps_its_guard_and_its_controllee(guarded):
    """Looking at the guard needs a descriptor; when there is none the daemon goes on with what it saw last."""
    async with guarded(answer_seconds=0.6) as case:
        pid = await case.start()
        with starving.no_descriptors():
            await trio.sleep(0.5)
        assert case.is_quiet()
        assert case.controllee.pid == pid


async def test_an_idle_guard_is_replaced_silently(guarded):
    """The death of a guard without a controllee is nobody's concern; a start meanwhile waits for the next guard."""
    async with guarded() as case:
        os.kill(case.controllee.guard_pid, signal.SIGKILL)
        await until(lambda: case.controllee.guard_pid is None)
        assert await case.start() > 0


async def test_guards_that_keep_dying_fail_the_start(guarded):
    """A start does not wait for ever for a guard that cannot live: the second death in a row is an answer."""
    async with guarded() as case:
        case.controllee.start(case.environment)
        for _ in range(2):
            await until(lambda: case.controllee.guard_pid is not None)
            os.kill(case.controllee.guard_pid, signal.SIGKILL)
            await until(lambda: case.controllee.guard_pid is None)
        reason, detail = await case.end()
        assert reason == "start_failed"
        assert "guard" in detail
        await case.start()


async def test_an_end_of_the_daemon_ends_everything(guarded):
    """Cancelling the task leaves no process, and no zombie."""
    before = children(os.getpid())
    async with guarded(shell(FAMILY)) as case:
        await case.start()
        await until(lambda: len(living(case.mark)) >= 6)
    assert children(os.getpid()) == before


async def test_no_descriptor_and_no_zombie_is_left_by_use(guarded):
    """Starts, stops and lost guards leave the daemon and its guard with the descriptors they had."""

    def count(pid):
        return len(descriptors_of(pid))

    async with guarded() as case:
        await case.start()
        case.controllee.stop(1.0)
        await case.end()
        guard = case.controllee.guard_pid
        before = count("self"), count(guard)
        for _ in range(10):
            await case.start()
            case.controllee.stop(1.0)
            await case.end()
        assert (count("self"), count(guard)) == before
        assert children(guard) == []
        os.kill(guard, signal.SIGKILL)
        await until(lambda: case.controllee.guard_pid not in {None, guard})
        assert count("self") == before[0]
        assert children(os.getpid()).count(guard) == 0


async def test_children_of_the_daemon_are_spared(guarded):
    """When a guard dies the daemon kills the guard's orphans and not its own children."""
    async with guarded(shell(FAMILY)) as case:
        ours = Children().start(("/bin/sleep", "600"), {})
        known = case.controllee._children.start(("/bin/sleep", "600"), {})
        await trio.sleep(case.controllee._answer_seconds)
        try:
            await case.start()
            os.kill(case.controllee.guard_pid, signal.SIGKILL)
            await case.end()
            assert (ours.poll(), known.poll()) == (None, None)
        finally:
            for process in (ours, known):
                process.kill()
                process.wait()


# --- commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def commands(tmp_path):
    """Commands that govern a file: there while the controllee runs."""
    running = tmp_path / "running"

    def make(start=f"touch {running}", stop=f"rm -f {running}; echo stopped >> {tmp_path}/stops", **more):
        check = shell(more.pop("check", f"test -e {running}"))
        settings = {
            "check_interval_seconds": 0.05,
            "stop_timeout_seconds": 5.0,
            "log_path": str(tmp_path / "log"),
        }
        return Commands(shell(start), shell(stop), check, **{**settings, **more})

    make.running = running
    make.stops = lambda: (tmp_path / "stops").read_text().count("stopped")
    return make


async def test_commands_start_and_stop_it(guarded, commands):
    """The start command's success is the start (without a process id), the stop command's end is the exit."""
    async with guarded(commands()) as case:
        assert await case.start() == 0
        assert commands.running.exists()
        assert case.controllee.pid is None
        case.controllee.stop(5.0)
        assert (await case.end())[0] == "requested"
        assert not commands.running.exists()


async def test_a_failed_check_is_a_death(guarded, commands):
    """When the check command fails the stop command makes sure, and the exit is one of its own."""
    async with guarded(commands()) as case:
        await case.start()
        commands.running.unlink()
        reason, detail = await case.end()
        assert reason == "exited"
        assert "check command: /bin/sh: exit status 1" in detail
        assert commands.stops() == 1


async def test_a_check_that_hangs_is_a_death(guarded, commands):
    """A check command without an answer counts as failed, and is killed."""
    async with guarded(commands(check="sleep 600", check_timeout_seconds=0.1)) as case:
        await case.start()
        reason, detail = await case.end()
        assert reason == "exited"
        assert "killed after 0.1 s" in detail


async def test_a_failed_start_command_is_undone(guarded, commands):
    """A start command that fails is followed by the stop command, and then reported."""
    async with guarded(commands(start="exit 5")) as case:
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        case.controllee.start(case.environment)
        assert await case.end() == ("start_failed", "start command: exit status 5")
        assert commands.stops() == 1


async def test_a_stop_command_that_hangs_is_killed(guarded, commands):
    """The time-out of a stop governs the stop command too, and what was left running below the guard is killed."""
    async with guarded(commands(start="setsid sleep 600 &", stop="sleep 600", check="true")) as case:
        await case.start()
        case.controllee.stop(0.2)
        assert await case.end() == ("requested", "exit status 0; stop command: killed after the time-out")


async def test_a_lapsed_lease_runs_the_stop_command(guarded, commands):
    """Without renewal the stop command is run, and given its own time beyond the lease."""
    stop = f"sleep 0.4; rm {commands.running}"
    async with guarded(attrs.evolve(commands(stop=stop), check=())) as case:
        await case.start(lease_seconds=0.3)
        assert (await case.end())[0] == "killed"
        assert not commands.running.exists()


async def test_a_lost_guard_runs_the_stop_command(guarded, commands):
    """When the guard dies the daemon runs the stop command itself."""
    async with guarded(commands()) as case:
        await case.start()
        os.kill(case.controllee.guard_pid, signal.SIGKILL)
        assert (await case.end())[0] == "killed"
        assert commands.stops() == 1


async def test_a_stop_interrupts_a_start_command(guarded, commands):
    """A stop need not wait for a start command that takes its time."""
    async with guarded(commands(start="echo ready; sleep 600")) as case:
        case.controllee.renew(boottime.now() + LONG_SECONDS)
        case.controllee.start(case.environment)
        await until(lambda: living(case.mark))
        case.controllee.stop(5.0)
        assert (await case.end())[0] == "requested"
        assert commands.stops() == 1


def test_the_contract_names_the_variables():
    """The controllee is told its node, its fencing token and its state, and nobody's settings can change them."""
    assert controllee_environment(
        {"PATH": "/bin"},
        node="10.0.0.1:9620",
        epoch=257,
        epoch_file="/var/lib/had/epoch",
        state="current",
        state_file="/spool/Accountantnew.log",
        extra={"HAD_EPOCH": "1", "MORE": "x"},
    ) == {
        "PATH": "/bin",
        "MORE": "x",
        "HAD_NODE": "10.0.0.1:9620",
        "HAD_EPOCH": "257",
        "HAD_EPOCH_FILE": "/var/lib/had/epoch",
        "HAD_STATE": "current",
        "HAD_STATE_FILE": "/spool/Accountantnew.log",
    }
