"""Processes as the kernel sees them: who descends from whom, and how to be rid of all of them.

A program that is started here may double-fork, call setsid, or fork for ever; it must still be possible to end
everything that came from it. Two facts of Linux make that exact. A *child subreaper* (prctl(2),
PR_SET_CHILD_SUBREAPER) becomes the parent of every orphan below it, so no descendant can escape upwards. And a
process that was sent SIGKILL cannot complete another fork: copy_process() in kernel/fork.c looks for a pending fatal
signal under the lock that makes the child visible. So killing from the top down, and again until nothing is left,
ends even a fork bomb; stopping processes first would not be stronger, because SIGSTOP gives no such guarantee.

The standard library only, and only its lighter parts: the guard process imports this module and should stay small.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Collection, Mapping

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies (linux/prctl.h)."""

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2): orphaned descendants become children of this process (linux/prctl.h)."""

WAIT_FOR_ALL_KINDS = 0x40000000
"""__WALL of waitpid(2): also children that do not announce their end with SIGCHLD (linux/wait.h)."""

_SIGNALS_FOR_DAEMONS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

_PRIVATE_VARIABLES = frozenset({"NOTIFY_SOCKET", "CONDOR_INHERIT", "CONDOR_PRIVATE_INHERIT"})
_PRIVATE_PREFIXES = ("WATCHDOG_", "LISTEN_")

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {argument}): {os.strerror(number)}")


def become_subreaper() -> None:
    """Adopt every orphan below this process from now on, instead of leaving it to init.

    Raises:
        OSError: the kernel is older than 3.4 or forbids it.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Ask the kernel to SIGKILL this process when its parent's thread ends.

    A change of user or a set-user-ID program clears the wish (prctl(2)), so it comes after setuid. The parent may be
    dead already: compare os.getppid() afterwards.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_signals_to_daemon() -> None:
    """Ignore what a terminal or a service manager sends to all: a helper process ends when its daemon does.

    No signal stays blocked that the daemon blocked when it started this process.
    """
    for number in _SIGNALS_FOR_DAEMONS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def prefer_us() -> None:
    """Come before ordinary processes, if we may: a lease must hold on a machine that is drowning in work."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def open_standard_files() -> None:
    """Give this process its three standard files, /dev/null for those that it was started without.

    Otherwise the next file or socket takes the number 2, and the next line for standard error goes there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Copy an environment without what is meant for this daemon alone.

    Those are systemd's sockets and watchdog (sd_notify(3), sd_listen_fds(3)), which a child must not answer in our
    name, and the descriptors that DaemonCore hands from parent to child (CONDOR_INHERIT).
    """
    return {
        name: value
        for name, value in environment.items()
        if name not in _PRIVATE_VARIABLES and not name.startswith(_PRIVATE_PREFIXES)
    }


def children(pid: int) -> list[int]:
    """List the children of all threads of a process, zombies included; empty if there is no such process.

    proc(5) warns that a list may miss a child while others exit, so an empty list proves nothing while processes
    come and go. Only waitpid's ECHILD does, in a subreaper.
    """
    return _listed_children(pid) if _HAS_CHILDREN_FILES else _scanned_children(pid)


def _listed_children(pid: int) -> list[int]:
    """Read /proc/PID/task/*/children, which a kernel has with CONFIG_PROC_CHILDREN (every distribution's does)."""
    found: list[int] = []
    try:
        with os.scandir(f"/proc/{pid}/task") as tasks:
            for task in tasks:
                found.extend(map(int, _read_whole(f"{task.path}/children").split()))
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def _scanned_children(pid: int) -> list[int]:
    """Ask every process for its parent: slower, but works on every kernel."""
    found = []
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                # The program's name stands in parentheses and may hold blanks and parentheses itself.
                fields = _read_whole(f"{entry.path}/stat").rpartition(b")")[2].split()
                if fields and int(fields[1]) == pid:
                    found.append(int(entry.name))
    return found


def _read_whole(path: str) -> bytes:
    """Read a file of /proc; empty if its process is gone."""
    parts = []
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            while part := os.read(descriptor, 65536):
                parts.append(part)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return b"".join(parts)


_HAS_CHILDREN_FILES = os.access(f"/proc/self/task/{os.getpid()}/children", os.R_OK)


def signal_descendants(
    pid: int, number: int, spare: Collection[int] = (), except_group: int | None = None
) -> int:
    """Send a signal once to everything below a process, from the top down.

    Args:
        pid: the process whose descendants are meant; it gets no signal itself.
        number: the signal. SIGKILL also goes to each process group at once, which is one step for the kernel, so
            a group cannot outrun it.
        spare: children of `pid` that are left alone, with everything below them.
        except_group: the members of this process group get no signal, those below them do.

    Returns:
        How many processes were found, zombies included. More may have appeared meanwhile: repeat until waitpid
        reports ECHILD.
    """
    groups = {os.getpgrp(), 0}
    waiting = [child for child in children(pid) if child not in spare]
    seen: set[int] = set()
    while waiting:
        target = waiting.pop()
        if target in seen:
            continue
        seen.add(target)
        if number == signal.SIGKILL:
            _kill_group_of(target, groups)
        _send(target, number, except_group)
        waiting.extend(children(target))
    return len(seen)


def _kill_group_of(pid: int, done: set[int]) -> None:
    """Kill the group of a descendant; a group below us holds nothing but descendants, since it has a session there."""
    try:
        group = os.getpgid(pid)
        if group not in done:
            done.add(group)
            os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _send(pid: int, number: int, except_group: int | None) -> None:
    """Send a signal, unless the process is gone or (a set-user-ID program) beyond our power."""
    try:
        if except_group is None or os.getpgid(pid) != except_group:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def reap_any() -> tuple[int, int] | None:
    """Collect one dead child without waiting.

    Returns:
        (pid, wait status); (0, 0) if children live and none is dead; None if there is no child at all, which in a
        subreaper means that no descendant is left.
    """
    try:
        return os.waitpid(-1, os.WNOHANG | WAIT_FOR_ALL_KINDS)
    except ChildProcessError:
        return None


def describe_status(status: int) -> str:
    """Say in words what a wait status means, for logs: `exit status 3` or `SIGSEGV`."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
