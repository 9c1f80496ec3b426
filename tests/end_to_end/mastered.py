"""Members whose `had` is a child of condor_master, or rather of its double, which starts the controllee as well."""

import json
import subprocess
import sys
from pathlib import Path

from daemoncore.process import children
from had.household import command_line
from tests.end_to_end.lives import is_alive
from tests.end_to_end.node import ROOT, WITNESS_CONTROLLEE, Node

KEEPER = """#!{python} -IS
import runpy, sys
sys.argv = [{witness!r}, {lives!r}]
runpy.run_path({witness!r}, run_name="__main__")
"""


class MasteredNode(Node):
    """A member below a master; `process` is the master, `pid` the daemon.

    The controllee is a script, so that its process is that of an interpreter.
    """

    #: How long the master waits before it starts the controllee, or had, again.
    restart_seconds = 10
    backoff_seconds = 1

    def _standard(self):
        return super()._standard() | {
            "HAD_CONTROL": "auto",
            "KEEPER": _make_keeper(self),
            "KEEPER_ARGS": None,
            "DAEMON_LIST": "MASTER KEEPER HAD",
            "MASTER_KEEPER_CONTROLLER": "HAD",
        }

    def start(self, *arguments, **environment):
        """Start the master, which starts the daemon; return at once."""
        self.log_file.parent.mkdir(exist_ok=True)
        port = self.pool.network.port
        had = [
            *(sys.executable, "-m", "had", "-f", "-p", str(port), "-c", str(self.configuration)),
            *arguments,
        ]
        self.process = _start_master(self, had, environment)

    @property
    def master_pid(self):
        """The master's process id."""
        return self.process.pid

    @property
    def pid(self):
        """The daemon's process id."""
        found = self.had_pid()
        assert found, f"{self} has no daemon"
        return found

    def had_pid(self):
        """Return the daemon's process id, None while there is none."""
        for child in children(self.master_pid):
            if command_line(child)[1:3] == ["-m", "had"] and is_alive(child):
                return child
        return None

    @property
    def is_up(self):
        """Whether the daemon's process exists."""
        return self.process is not None and self.process.poll() is None and bool(self.had_pid())

    def guard_pid(self):
        """Return the process id of the daemon's hand, None if it has none at this moment."""
        had = self.had_pid()
        for entry in Path("/proc").iterdir():
            words = command_line(int(entry.name)) if entry.name.isdigit() else []
            if str(had) in words and any("had.master_hand" in word for word in words):
                return int(entry.name)
        return None

    def ready_hand_pid(self):
        """Return the hand's process id once it waits for its daemon, which it does with an alarm clock."""
        hand = self.guard_pid()
        try:
            files = [entry.readlink().name for entry in Path(f"/proc/{hand}/fd").iterdir()]
        except FileNotFoundError:
            return None
        return hand if "anon_inode:[timerfd]" in files else None

    def did(self, *words):
        """Return what the master did that begins with these words."""
        return _did(self, words)

    def kill(self):
        """Kill the daemon alone; return the time of it. The master is still there."""
        return self.send(9)


class AttachedNode(Node):
    """A member that somebody else started, and that goes to the master by MASTER_ADDRESS_FILE.

    This master has no controller, so it starts the controllee by itself.
    """

    restart_seconds = 10
    backoff_seconds = 1
    master = None

    def _standard(self):
        return super()._standard() | {
            "HAD_CONTROL": "master",
            "KEEPER": _make_keeper(self),
            "KEEPER_ARGS": None,
            "MASTER_ADDRESS_FILE": self.folder / "master_address",
        }

    def start(self, *arguments, **environment):
        """Start the master, unless it runs, and the daemon."""
        self.log_file.parent.mkdir(exist_ok=True)
        if self.master is None:
            self.master = _start_master(self, None, environment)
        super().start(*arguments, **environment)

    def processes(self):
        """Return what was started last, dead or alive."""
        return [*super().processes(), *([self.master] if self.master else [])]

    def did(self, *words):
        """Return what the master did that begins with these words."""
        return _did(self, words)


def _make_keeper(node):
    """Write the controllee, a script, whose process is that of an interpreter."""
    keeper = node.folder / "keeper"
    keeper.write_text(
        KEEPER.format(python=sys.executable, witness=str(WITNESS_CONTROLLEE), lives=str(node.lives_file))
    )
    keeper.chmod(0o755)
    return keeper


def _start_master(node, controller, environment):
    """Start a member's master; what it does is written to the member's file `master`."""
    settings = {
        "host": node.host,
        "port": node.pool.network.port,
        "address_file": str(node.folder / "master_address"),
        "controller": controller,
        "controllee": [str(node.folder / "keeper")],
        "name": "keeper",
        "restart_seconds": node.restart_seconds,
        "backoff_seconds": node.backoff_seconds,
    }
    argv = [sys.executable, "-m", "tests.end_to_end.master_double", json.dumps(settings)]
    with node.error_file.open("ab") as errors, (node.folder / "master").open("ab") as story:
        return subprocess.Popen(
            node.pool.network.command(node.index, argv),
            cwd=ROOT,
            env={**node.pool.environment, **node.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=story,
            stderr=errors,
            start_new_session=True,
        )


def _did(node, words):
    story = node.folder / "master"
    lines = [json.loads(line) for line in story.read_text().splitlines()] if story.exists() else []
    return [line for line in lines if line[: len(words)] == list(words)]
