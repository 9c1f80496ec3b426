"""Starts, freezes and kills the demo's managers: processes that we started ourselves, by their ids, and nothing else.

Each manager is one `had` and one `had-replication`, each in a session of its own, as on a machine of its own. A register of them is kept in the
demo's folder, with each process's start time, so that `--stop` and the next demo find what was left and never
mistake a stranger with the same id for it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from daemoncore.process import children
from had.ctl.demo.place import MANAGERS, Place

#: The modules of a manager's daemons, in the order in which they are started.
HAD, REPLICATION = "had", "replication"
DAEMONS = (REPLICATION, HAD)
#: A daemon that was asked to end may take this long.
STOP_SECONDS = 5.0
_POLL_SECONDS = 0.02


@attrs.frozen
class Known:
    """A process, named so that it cannot be mistaken: its id, and when the kernel started it."""

    pid: int
    start_ticks: int

    @property
    def is_alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        found = _stat(self.pid)
        return found is not None and found == ("alive", self.start_ticks)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def known(pid: int) -> Known | None:
    """Return the process with that id, None when there is none alive."""
    found = _stat(pid)
    return Known(pid, found[1]) if found is not None and found[0] == "alive" else None


def _stat(pid: int) -> tuple[str, int] | None:
    """Return whether a process is `alive` or a `zombie`, and its start time in ticks since boot (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return ("zombie" if fields[0] in "ZX" else "alive"), int(fields[19])


def tree(pid: int) -> list[int]:
    """Return a process and everything below it, parents first."""
    found = [pid]
    for one in found:
        found.extend(child for child in children(one) if child not in found)
    return found


class Managers:
    """The three managers of one demo.

    Args:
        place: where their files are.
        environment: that of the caller.
        launcher: what starts a daemon; its name and arguments follow.
    """

    def __init__(
        self,
        place: Place,
        environment: Mapping[str, str],
        launcher: Sequence[str] = (sys.executable, "-P", "-m"),
    ) -> None:
        self._place = place
        self._launcher = launcher
        self.environment = place.environment(environment)
        #: By manager and daemon.
        self._processes: dict[tuple[str, str], subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start those daemons of a manager that do not run."""
        for daemon in DAEMONS:
            if (name, daemon) not in self._processes:
                self._start(name, daemon)
        self._write_register()

    def _start(self, name: str, daemon: str) -> None:
        words = ["-c", str(self._place.configuration), "-local-name", name]
        with (self._place.folder / f"{name}.{daemon}.out").open("ab") as output:
            self._processes[name, daemon] = subprocess.Popen(
                [*self._launcher, daemon, *words],
                cwd=self._place.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def pid(self, name: str, daemon: str = HAD) -> int | None:
        """Return the process of a manager's daemon while it runs."""
        process = self._processes.get((name, daemon))
        return process.pid if process is not None and process.poll() is None else None

    def silence(self, name: str) -> None:
        """Make a manager's host look dead: everything that it runs is killed, and nothing answers any more.

        The daemons themselves are frozen and not killed, because this machine's kernel would tell the others at once
        that their connections are gone. A dead host tells nobody.
        """
        pids = [pid for daemon in DAEMONS if (pid := self.pid(name, daemon)) is not None]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            for one in reversed(tree(pid)[1:]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)

    def kill(self, name: str, daemon: str = HAD) -> None:
        """Kill one daemon of a manager alone, as the kernel does when memory runs out."""
        os.kill(self._processes[name, daemon].pid, signal.SIGKILL)

    def bury(self, name: str, *daemons: str) -> None:
        """Wait for the end of daemons that were killed or frozen."""
        for daemon in daemons:
            process = self._processes.pop((name, daemon), None)
            if process is not None:
                process.kill()
                process.wait()
        self._write_register()

    def bury_host(self, name: str) -> None:
        """Wait for the end of all daemons of a host that was silenced."""
        self.bury(name, *DAEMONS)

    def stop_all(self) -> None:
        """End everything, first by asking and then by force; returns when it is gone."""
        stop(self._known())
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def _known(self) -> list[Known]:
        found = (known(process.pid) for process in self._processes.values())
        return [one for one in found if one is not None]

    def _write_register(self) -> None:
        listed = [attrs.asdict(one) for one in self._known()]
        self._place.register.write_text(json.dumps(listed), "ascii")


def left_over(place: Place) -> list[Known]:
    """Return the processes of an earlier demo in the same folder that still run."""
    try:
        listed = json.loads(place.register.read_text("ascii"))
        found = [Known(int(one["pid"]), int(one["start_ticks"])) for one in listed]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [one for one in found if one.is_alive]


def stop(daemons: list[Known]) -> None:
    """Ask daemons to end, wait, and kill those that do not, with everything below them."""
    everything = [one for daemon in daemons for one in map(known, tree(daemon.pid)) if one is not None]
    for daemon in daemons:
        daemon.send(signal.SIGTERM)
        # A frozen one must run to hear it.
        daemon.send(signal.SIGCONT)
    deadline = time.monotonic() + STOP_SECONDS
    while any(daemon.is_alive for daemon in daemons) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for one in everything:
        one.send(signal.SIGKILL)
    while any(one.is_alive for one in everything) and time.monotonic() < deadline + 1:
        time.sleep(_POLL_SECONDS)


__all__ = [
    "DAEMONS",
    "HAD",
    "MANAGERS",
    "REPLICATION",
    "Known",
    "Managers",
    "known",
    "left_over",
    "stop",
    "tree",
]
