"""How the guard starts a program: a fork, a clean slate, an exec.

The child leads a session of its own, has default signal handlers and an empty signal mask, reads /dev/null, appends its
output to its log, has exactly the environment it is given, and dies with the guard. What goes wrong before the
program runs is written to a pipe that closes itself when it runs (close-on-exec), so *started* means what it says.

A plain fork is right here although Python warns of it elsewhere: the guard has one thread and about ten megabytes, and
posix_spawn can neither ask for the parent-death signal nor say which step failed. Standard library only.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from daemoncore.append_file import open_to_append
from daemoncore.process import die_with_parent
from had.guard_messages import NO_CHANGE, Start

EXIT_NOT_STARTED = 127
"""The exit status of a child that never became the program, as shells have it."""


def launch(order: Start, argv: tuple[str, ...], report: int | None = None) -> int:
    """Start a program with the order's environment, log and user.

    Args:
        order: says under which circumstances it runs.
        argv: the program, looked up in the PATH of its own environment if it has no slash, and its arguments.
        report: a descriptor, close-on-exec, that gets the text of what went wrong.

    Returns:
        The child's process id. It may not be the program yet, or may fail to become it.

    Raises:
        OSError: no process could be made.
    """
    guard = os.getpid()
    # Blocked until the child has its default handlers, so that a signal sent meanwhile is neither lost nor ignored.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        child = os.fork()
        if child == 0:
            _become(order, argv, report, guard)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return child


def _become(order: Start, argv: tuple[str, ...], report: int | None, guard: int) -> NoReturn:
    """Turn this child into the program, or say why not and exit; never return into the guard's code."""
    step = "preparing a new process"
    try:
        os.setsid()
        _reset_signals()
        step = f"opening the log {order.log_path}"
        _open_standard_files(order)
        step = f"changing to user {order.user_id} and group {order.group_id}"
        _change_user(order)
        step = "preparing a new process"
        die_with_parent()
        if os.getppid() != guard:
            os._exit(EXIT_NOT_STARTED)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        step = f"running {argv[0]}"
        os.execvpe(argv[0], argv, dict(order.environment))  # noqa: S606  no shell is wanted
    except OSError as error:
        text = f"{step}: {os.strerror(error.errno) if error.errno else error}"
        os.write(2 if report is None else report, os.fsencode(text))
    except BaseException as error:  # noqa: BLE001  whatever it is, a second guard must not come to life here
        os.write(2 if report is None else report, os.fsencode(f"{step}: {error!r}"))
    finally:
        os._exit(EXIT_NOT_STARTED)


def _reset_signals() -> None:
    """Undo what the guard and the Python runtime ignore; exec itself would keep ignored signals ignored."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)


def _open_standard_files(order: Start) -> None:
    """Input from /dev/null; output and errors to the log, if there is one; a new one belongs to the program's user."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if order.log_path:
        owner = None if order.user_id == NO_CHANGE else (order.user_id, order.group_id)
        log = open_to_append(order.log_path, owner)
        os.dup2(log, 2)
    os.dup2(2, 1)


def _change_user(order: Start) -> None:
    """Take the order's user and group, and no supplementary groups of the daemon's."""
    if order.group_id != NO_CHANGE:
        if os.geteuid() == 0:
            os.setgroups([order.group_id])
        os.setgid(order.group_id)
    if order.user_id != NO_CHANGE:
        os.setuid(order.user_id)
