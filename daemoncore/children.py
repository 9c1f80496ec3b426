"""The processes that a daemon started, waited for without threads, and the orphans that it adopted.

A daemon that is a child subreaper gets two kinds of children: those it started, and orphans from below. It must not
confuse them, because it owes the first kind a wait and may have to kill or bury the second. So a daemon starts all of
its processes through one `Children`, which remembers them.

Waiting is a pidfd (pidfd_open(2), Linux 5.3), which trio polls like a socket.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence

import trio

from daemoncore.process import children, describe_status, signal_descendants

_KILL_RETRY_SECONDS = 0.002
_POLL_SECONDS = 0.02


class Children:
    """Starts processes, and knows which children this process did not start."""

    def __init__(self) -> None:
        self._started: set[int] = set()

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        pass_fds: Collection[int] = (),
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own; its standard error is ours.

        Args:
            argv: the program and its arguments.
            environment: all of its environment.
            pass_fds: descriptors that it gets under the same numbers.
            stdin: a descriptor that becomes its standard input; nothing is to be read there by default.
            stdout: a descriptor that becomes its standard output; by default what it says is lost.

        Raises:
            OSError: there is no such program, or no process could be made.
        """
        process = subprocess.Popen(
            argv,
            env=dict(environment),
            stdin=stdin,
            stdout=stdout,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
        self._started.add(process.pid)
        return process

    async def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a process that `start` returned, and collect it.

        Returns:
            Its exit code, or minus the number of the signal that killed it (as subprocess has it).
        """
        if process.poll() is None:
            await _until_dead(process.pid)
        self._started.discard(process.pid)
        return process.wait()

    async def until_dead(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the death of a process that has not been collected, and do not collect it.

        Until it is, the kernel gives its number to nobody else, and whatever carries that number is still its.

        Returns:
            How it ended, in words; empty if well.
        """
        assert process.returncode is None, "a collected process has no number any more"
        await _until_dead(process.pid)
        found = _look_at(process.pid)
        assert found is not None, "it is dead"
        code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        return _describe_exit_code(code) if code else ""

    def collect(self, process: subprocess.Popen[bytes]) -> None:
        """Collect a process that is dead; one that lives after all is left alone."""
        if process.poll() is not None:
            self._started.discard(process.pid)

    async def run(
        self, argv: Sequence[str], environment: Mapping[str, str], time_limit_seconds: float
    ) -> str:
        """Run a command to its end; kill its process group when it takes too long, or when we are cancelled.

        The command is executed by /bin/sh, so that a program on a hung file system hangs the shell and not this
        daemon, which would otherwise wait for the exec.

        Returns:
            Empty if it ended with exit status 0, else what happened, in words.
        """
        try:
            process = self.start(("/bin/sh", "-c", 'exec "$0" "$@"', *argv), environment)
        except OSError as error:
            return f"{argv[0]}: {error.strerror}"
        try:
            with trio.fail_after(time_limit_seconds):
                status = await self.wait(process)
        except trio.TooSlowError:
            return f"{argv[0]}: killed after {time_limit_seconds:g} s"
        finally:
            if process.returncode is None:
                # The group is the command's own, and it has not been waited for, so the number is still its.
                os.killpg(process.pid, signal.SIGKILL)
                with trio.CancelScope(shield=True):
                    await self.wait(process)
        return f"{argv[0]}: {_describe_exit_code(status)}" if status else ""

    def adopted(self, spare: Collection[int] = ()) -> list[int]:
        """List the children that this process did not start, without those in `spare`."""
        return [pid for pid in children(os.getpid()) if pid not in self._started and pid not in spare]

    def present(self) -> frozenset[int]:
        """All children of this moment, started and adopted."""
        return frozenset(children(os.getpid()))

    def reap_adopted(self, spare: Collection[int] = ()) -> int:
        """Collect adopted orphans that are dead; how many there were."""
        return sum(_reap(pid) for pid in self.adopted(spare))

    async def kill_adopted(self, spare: Collection[int] = ()) -> None:
        """Kill the adopted orphans and all below them, until none is left.

        It takes as long as the kernel needs; a process that cannot be killed (stuck in a device) keeps it waiting.
        """
        while orphans := self.adopted(spare):
            signal_descendants(os.getpid(), signal.SIGKILL, self.present() - frozenset(orphans))
            if not sum(map(_reap, orphans)):
                await trio.sleep(_KILL_RETRY_SECONDS)


async def _until_dead(pid: int) -> None:
    """Wait on a pidfd; when there is no descriptor to be had, look again and again."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        while not _look_at(pid):  # noqa: ASYNC110 -- nothing announces the end
            await trio.sleep(_POLL_SECONDS)
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


def _look_at(pid: int) -> os.waitid_result | None:
    """Say how a child of ours ended, None if it lives; it stays to be collected."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def _reap(pid: int) -> bool:
    """Collect one child if it is dead."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return False


def _describe_exit_code(code: int) -> str:
    """The words of `describe_status` for the code that subprocess makes of a wait status."""
    return describe_status(code << 8 if code >= 0 else -code)
