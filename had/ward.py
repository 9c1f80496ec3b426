"""One controllee in the guard's hands, from the start order until nothing of it is left.

The phases, each entered once and in this order, some skipped:

* STARTING: forked; the program does not run yet, or the start command is not done.
* RUNNING: it was reported as started.
* STOPPING: it got SIGTERM, or its stop command runs; this has an end.
* KILLING: everything below the guard gets SIGKILL, again and again until waitpid says that nothing is left. Only then
  is the end reported, so that whoever hears of it may start another one elsewhere.

A *program* is a child: when it ends by itself, what it left behind is killed at once. When it ends because it was told
to, what it left behind is told too (once, with SIGTERM) and has the rest of the time-out. With *commands* the controllee
is wherever the start command put it; the end begins with the stop command, whose own end is followed by KILLING
whatever was left below the guard. A failed start command is undone by the stop command.

The lease: without renewal the end begins at `terminate_at`, and KILLING early enough before `expires_at` that all is
dead by then. A lapsed lease is not revived by a late renewal, neither after SIGTERM nor when the whole machine was
frozen and the daemon is the first to wake. With commands the stop command is given its own time
instead, since killing it would leave the controllee running.

Standard library only, since this runs in the guard.
"""

from __future__ import annotations

import contextlib
import enum
import math
import os
import signal
from collections.abc import Callable

from daemoncore import boottime
from daemoncore.process import describe_status, signal_descendants
from had.guard_messages import Cause, Exited, Renew, Start, Started, StartFailed, ToDaemon
from had.launch import launch

KILL_MARGIN_SECONDS = 0.05
"""Killing begins this long before the lease ends (or half of what is left after SIGTERM, if that is less)."""

KILL_RETRY_SECONDS = 0.005
"""How often what is still alive is killed again, at most."""

KILL_PAUSE = 3
"""A round of killing is followed by a pause, so that rounds take no more than this fraction of the time."""


class Phase(enum.Enum):
    """Where the controllee stands; see the module's text."""

    STARTING = 1
    RUNNING = 2
    STOPPING = 3
    KILLING = 4
    GONE = 5


class Ward:
    """One controllee; construct it to start it.

    Raises:
        OSError: the first process could not be made.
    """

    def __init__(self, order: Start, report: Callable[[ToDaemon], None]) -> None:
        self.phase = Phase.STARTING
        self._order = order
        self._report = report
        self._terminate_at = order.terminate_at
        self._expires_at = order.expires_at
        self._kill_at = math.inf
        self._retry_at = math.inf
        self._cause = Cause.OWN
        self._status = 0
        self._start_failure = ""
        self._stop_failure = ""
        self._stop_command = 0
        reader, writer = os.pipe()
        try:
            self.main = launch(order, order.argv, writer)
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self.exec_report: int | None = reader

    @property
    def _has_commands(self) -> bool:
        return bool(self._order.stop_argv)

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called next, if nothing happens before; infinity is never."""
        match self.phase:
            case Phase.STARTING | Phase.RUNNING:
                return self._terminate_at
            case Phase.STOPPING:
                return self._kill_time
            case Phase.KILLING:
                return self._retry_at
            case Phase.GONE:
                return math.inf

    @property
    def _kill_time(self) -> float:
        """When waiting for an end in good order is over."""
        if self._has_commands:
            return self._kill_at
        return min(self._kill_at, self._lease_kill_time)

    @property
    def _lease_kill_time(self) -> float:
        margin = min(KILL_MARGIN_SECONDS, (self._expires_at - self._terminate_at) / 2)
        return self._expires_at - margin

    def renew(self, renewal: Renew, now: float) -> None:
        """The daemon lives and lets the controllee live, unless it says so too late: others may have started one."""
        if self._cause is not Cause.LAPSED and now < self._expires_at:
            self._terminate_at, self._expires_at = renewal

    def read_exec_report(self) -> None:
        """Learn from the pipe whether the program runs; to be called when it is readable, or its writer dead."""
        if self.exec_report is None:
            return
        text = os.read(self.exec_report, 4096)
        os.close(self.exec_report)
        self.exec_report = None
        if text:
            self._start_failure = os.fsdecode(text)
        elif self.phase is Phase.STARTING and not self._has_commands:
            self._enter_running(self.main)

    def _enter_running(self, pid: int) -> None:
        self.phase = Phase.RUNNING
        self._report(Started(pid))

    def stop(self, cause: Cause, timeout_seconds: float, now: float) -> None:
        """Begin the end, or shorten one that has begun."""
        if self.phase in {Phase.KILLING, Phase.GONE}:
            return
        self._kill_at = min(self._kill_at, now + timeout_seconds)
        if self.phase is Phase.STOPPING:
            return
        self._cause = cause
        if self._has_commands:
            self._run_stop_command(now)
        elif now >= self._lease_kill_time:
            # A thawed daemon's order may come before our own look at the lease; see `_lapse`.
            self._enter_killing(now)
        else:
            self.phase = Phase.STOPPING
            self._terminate_group()

    def abandon(self, now: float) -> None:
        """The daemon is dead: end the controllee as fast as it can be done."""
        if self._has_commands:
            self.stop(Cause.LAPSED, self._order.stop_timeout_seconds, now)
        else:
            self._enter_killing(now)

    def reaped(self, pid: int, status: int, now: float) -> None:
        """A child is dead: perhaps the program, perhaps a command, perhaps an adopted orphan."""
        if pid == self.main:
            # The pipe first: a program that ran for an instant did start.
            self.read_exec_report()
            self._main_ended(status, now)
        elif pid == self._stop_command:
            if status != 0 and not self._stop_failure:
                self._stop_failure = f"stop command: {describe_status(status)}"
            self._enter_killing(now)

    def _main_ended(self, status: int, now: float) -> None:
        self._status = status
        if self.phase is Phase.STOPPING and not self._has_commands:
            # Those who shared its process group have the signal already.
            self._terminate_strays()
        elif not self._has_commands:
            self._enter_killing(now)
        elif self.phase is Phase.STARTING and status == 0:
            self._enter_running(0)
        elif self.phase is Phase.STARTING:
            self._start_failure = self._start_failure or f"start command: {describe_status(status)}"
            self._kill_at = now + self._order.stop_timeout_seconds
            self._run_stop_command(now)

    def all_gone(self) -> None:
        """No descendant is left, says waitpid. While commands govern the controllee, that says nothing."""
        if self.phase is Phase.KILLING or (self.phase is Phase.STOPPING and not self._has_commands):
            self.phase = Phase.GONE
            if self.exec_report is not None:
                os.close(self.exec_report)
            if self._start_failure:
                self._report(StartFailed("; ".join(filter(None, (self._start_failure, self._stop_failure)))))
            else:
                self._report(Exited(self._status, self._cause, self._stop_failure))

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self.phase in {Phase.STARTING, Phase.RUNNING} and now >= self._terminate_at:
            self._lapse(now)
        if self.phase is Phase.STOPPING and now >= self._kill_time:
            if self._stop_command:
                self._stop_failure = "stop command: killed after the time-out"
            self._enter_killing(now)
        elif self.phase is Phase.KILLING and now >= self._retry_at:
            self._kill(now)

    def _lapse(self, now: float) -> None:
        """Begin the end because the lease was not renewed; a whole host that was frozen past it is told nothing more."""
        if self._has_commands:
            self.stop(Cause.LAPSED, self._order.stop_timeout_seconds, now)
        elif now < self._lease_kill_time:
            self.stop(Cause.LAPSED, self._lease_kill_time - now, now)
        else:
            # SIGTERM, with SIGCONT, would let a frozen controllee run on although another one leads.
            self._cause = Cause.LAPSED
            self._enter_killing(now)

    def _enter_killing(self, now: float) -> None:
        if self.phase is not Phase.GONE:
            self.phase = Phase.KILLING
            self._kill(now)

    def _kill(self, now: float) -> None:
        signal_descendants(os.getpid(), signal.SIGKILL)
        # A crowd takes the kernel a while to bury; to walk through it without pause would only be in the way.
        took_seconds = boottime.now() - now
        self._retry_at = now + max(KILL_RETRY_SECONDS, KILL_PAUSE * took_seconds)

    def _terminate_group(self) -> None:
        """SIGTERM, and SIGCONT for those who are stopped and could not act on it."""
        for number in (signal.SIGTERM, signal.SIGCONT):
            # Between fork and setsid the child has no group of its own.
            for send in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    send(self.main, number)
                    break

    def _terminate_strays(self) -> None:
        """Tell those who left the program's process group."""
        guard = os.getpid()
        for number in (signal.SIGTERM, signal.SIGCONT):
            signal_descendants(guard, number, except_group=self.main)

    def _run_stop_command(self, now: float) -> None:
        """Undo what the start command did, or was about to do."""
        if self.phase is Phase.STARTING:
            signal_descendants(os.getpid(), signal.SIGKILL)
        self.phase = Phase.STOPPING
        try:
            self._stop_command = launch(self._order, self._order.stop_argv)
        except OSError as error:
            self._stop_failure = f"stop command: {error}"
            self._enter_killing(now)
