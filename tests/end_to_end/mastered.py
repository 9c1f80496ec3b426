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
        keeper = self.folder / "keeper"
        keeper.write_text(
            KEEPER.format(python=sys.executable, witness=str(WITNESS_CONTROLLEE), lives=str(self.lives_file))
        )
        keeper.chmod(0o755)
        return super()._standard() | {
            "HAD_CONTROL": "auto",
            "KEEPER": keeper,
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
        settings = {
            "host": self.host,
            "port": port,
            "controller": had,
            "controllee": [str(self.folder / "keeper")],
            "name": "keeper",
            "restart_seconds": self.restart_seconds,
            "backoff_seconds": self.backoff_seconds,
            "has_family_kill": True,
        }
        argv = [sys.executable, "-m", "tests.end_to_end.master_double", json.dumps(settings)]
        with self.error_file.open("ab") as errors, self.story_file.open("ab") as story:
            self.process = subprocess.Popen(
                self.pool.network.command(self.index, argv),
                cwd=ROOT,
                env={**self.pool.environment, **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=story,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def story_file(self):
        """What the master says that it does."""
        return self.folder / "master"

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
        text = self.story_file.read_text() if self.story_file.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if line[: len(words)] == list(words)]

    def kill(self):
        """Kill the daemon alone; return the time of it. The master is still there."""
        return self.send(9)
