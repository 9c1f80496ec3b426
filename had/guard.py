"""The guard: a small process beside the election daemon that lets no controllee outlive it.

One guard is started with each daemon, before it is needed, so that starting the controllee costs a message, a fork and
an exec. The controllee is the guard's child, not the daemon's, and the guard watches the daemon in three ways: a
pidfd (it died), the socket (it closed its end, or died), and the lease (it froze, or lost its way: its loop
stopped renewing). Whichever comes first, everything below the guard is killed, process groups or not, since the guard
is a child subreaper; `had/ward.py` tells that story, `had/guard_messages.py` the conversation.

The guard leads a session of its own and ignores the signals of a terminal and of a service manager: the daemon decides
what they mean, and the guard ends when the daemon does. Should the guard itself die or freeze, the daemon notices and
kills in its place (`had/guard_link.py`); the kernel kills the controllee's first process even then (parent-death
signal). Only when both freeze at once does the controllee go on, which is left to the fencing token.

Run as `python -m had.guard DESCRIPTOR PID [DESCRIPTOR ...]` with the socket's descriptor, the daemon's process id, and
descriptors that are only kept open (a lock). It imports nothing
but the standard library's lighter parts: about 11 MB resident, half of them shared with the daemon.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import sys
import time

from daemoncore import boottime
from daemoncore.process import (
    become_subreaper,
    leave_signals_to_daemon,
    prefer_us,
    reap_any,
    signal_descendants,
)
from had.guard_messages import (
    MAXIMUM_MESSAGE_BYTES,
    Cause,
    Ping,
    Pong,
    Renew,
    Start,
    StartFailed,
    Stop,
    ToDaemon,
    ToGuard,
    decode_to_guard,
    encode,
)
from had.ward import Phase, Ward

_LAST_RESORT_SECONDS = 2.0
"""How long a guard that stumbled over a defect of its own goes on killing before it gives up."""


class Guard:
    """The guard's one loop and what it waits for.

    Args:
        channel: our end of the socket pair to the daemon.
        daemon: a pidfd of the daemon.
    """

    def __init__(self, channel: int, daemon: int) -> None:
        self._channel = channel
        self._daemon = daemon
        self._is_abandoned = False
        self._ward: Ward | None = None
        self._alarm = boottime.Alarm()
        self._child_died, wakeup = os.pipe()
        for descriptor in (channel, self._child_died, wakeup):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve the daemon until it is gone and nothing that it started is left."""
        while not (self._is_abandoned and self._ward is None):
            self._alarm.set(self._ward.deadline if self._ward else math.inf)
            ready, _, _ = select.select(self._sources(), (), ())
            if self._child_died in ready:
                os.read(self._child_died, 4096)
            if self._daemon in ready:
                self._abandon()
            elif self._channel in ready:
                self._read_channel()
            self._look_after_ward(ready)

    def _sources(self) -> list[int]:
        sources = [self._child_died, self._alarm.fileno()]
        if not self._is_abandoned:
            sources += [self._daemon, self._channel]
        if self._ward and self._ward.exec_report is not None:
            sources.append(self._ward.exec_report)
        return sources

    def _look_after_ward(self, ready: list[int]) -> None:
        if self._ward and self._ward.exec_report in ready:
            self._ward.read_exec_report()
        self._reap()
        if self._ward:
            self._ward.tick(boottime.now())

    def _reap(self) -> None:
        """Collect the dead, adopted orphans too."""
        while (child := reap_any()) != (0, 0):
            if child is None:
                if self._ward:
                    self._ward.all_gone()
                break
            if self._ward:
                self._ward.reaped(*child, boottime.now())
        if self._ward and self._ward.phase is Phase.GONE:
            self._ward = None

    def _read_channel(self) -> None:
        """Obey every message that has arrived."""
        while not self._is_abandoned:
            try:
                data = os.read(self._channel, MAXIMUM_MESSAGE_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if data:
                self._obey(decode_to_guard(data))
            else:
                self._abandon()

    def _obey(self, message: ToGuard) -> None:
        match message:
            case Start():
                self._start(message)
            case Renew():
                if self._ward:
                    self._ward.renew(message, boottime.now())
            case Stop(timeout_seconds):
                # Without a ward its end is already on its way to the daemon.
                if self._ward:
                    self._ward.stop(Cause.ASKED, timeout_seconds, boottime.now())
            case Ping(number):
                self._say(Pong(number))

    def _start(self, order: Start) -> None:
        assert self._ward is None, "the daemon asked for a second controllee"
        late_seconds = boottime.now() - order.terminate_at
        if late_seconds >= 0:
            self._say(
                StartFailed(f"the order reached the guard {late_seconds:.3f} s after its lease had lapsed")
            )
            return
        try:
            self._ward = Ward(order, self._say)
        except OSError as error:
            self._say(StartFailed(f"making a new process: {error.strerror}"))

    def _say(self, message: ToDaemon) -> None:
        """Tell the daemon; one that does not listen is dead or frozen, and both are noticed otherwise."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            os.write(self._channel, encode(message))

    def _abandon(self) -> None:
        if not self._is_abandoned:
            self._is_abandoned = True
            if self._ward:
                self._ward.abandon(boottime.now())


def _kill_at_last() -> None:
    """End everything below us although our own loop failed."""
    give_up_at = time.monotonic() + _LAST_RESORT_SECONDS
    while time.monotonic() < give_up_at:
        signal_descendants(os.getpid(), signal.SIGKILL)
        while (child := reap_any()) not in {None, (0, 0)}:
            pass
        if child is None:
            return
        time.sleep(0.001)


def main() -> None:
    """Serve the daemon named on the command line."""
    channel, daemon_pid, *held = map(int, sys.argv[1:])
    leave_signals_to_daemon()
    for descriptor in (channel, *held):
        os.set_inheritable(descriptor, False)
    become_subreaper()
    prefer_us()
    try:
        daemon = os.pidfd_open(daemon_pid)
    except ProcessLookupError:
        # It died while we were starting: nobody gave us an order, so there is nothing to end.
        return
    if os.getppid() != daemon_pid:
        return
    try:
        Guard(channel, daemon).run()
    finally:
        _kill_at_last()


if __name__ == "__main__":
    main()
