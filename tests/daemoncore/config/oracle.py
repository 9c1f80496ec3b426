"""HTCondor's own reader of configurations, behind a pipe.

The official bindings read the files; a process of their own holds them, because a syntax error makes them exit and a
circle of macros makes them run for ever. One process answers many questions; it is replaced when it died.
"""

import json
import os
import select
import subprocess
import sys
from pathlib import Path

ANSWER_SECONDS = 20.0

_PROGRAM = r"""
import json, os, sys, warnings
warnings.simplefilter("ignore")
import htcondor2
print("ready", flush=True)
for line in sys.stdin:
    question = json.loads(line)
    for name in [name for name in os.environ if name.upper().startswith("_CONDOR_")]:
        del os.environ[name]
    os.environ.update(question["environment"])
    os.environ["CONDOR_CONFIG"] = question["path"]
    htcondor2.set_subsystem(question["subsystem"])
    htcondor2.reload_config()
    print(json.dumps({name: htcondor2.param.get(name) for name in question["names"]}), flush=True)
"""


class Oracle:
    """Asks the bindings what a configuration file means."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "oracle.conf"
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, text, names, *, subsystem="HAD", environment=None):
        """Return the values of the names, or None when HTCondor refuses the file."""
        self._path.write_text(text)
        return self.ask_file(self._path, names, subsystem=subsystem, environment=environment)

    def ask_file(self, path, names, *, subsystem="HAD", environment=None):
        """The same for a file that is there already."""
        process = self._running()
        question = {
            "path": str(path),
            "names": list(names),
            "subsystem": subsystem,
            "environment": environment or {},
        }
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
        answer = self._line(process)
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self):
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")},
            "CONDOR_CONFIG": "/dev/null",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        assert self._line(self._process) == b"ready\n"
        return self._process

    def _line(self, process) -> bytes:
        """One line of the answer; empty when the process ended or took too long."""
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], ANSWER_SECONDS)
            piece = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
            if not piece:
                self.close()
                return b""
            line += piece
        return line
