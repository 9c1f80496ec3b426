"""The replication daemon of one member, as a real process: started, killed, asked; and what its node's controllee counted."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import attrs

from daemoncore import boottime
from daemoncore.process import children
from tests.end_to_end.ledger_controllee import VALUE

ROOT = Path(__file__).parents[2]
LEDGER_CONTROLLEE = Path(__file__).with_name("ledger_controllee.py")


def value_in(log):
    """Return the last value in a log of the counting controllee's, 0 if there is none; a last line may be half there."""
    whole = log.rpartition(b"\n")[0]
    values = [line.split()[3] for line in whole.splitlines() if line.startswith(VALUE)]
    return int(float(values[-1])) if values else 0


@attrs.frozen
class Run:
    """What one controllee counted."""

    pid: int
    epoch: int
    #: What it found in the state, and what HAD_STATE said of it.
    found: int
    state: str
    #: The last value that it wrote.
    last: int
    has_ended: bool


class Replica:
    """A `had-replication` beside a node's `had`; its configuration is the node's.

    Args:
        node: the member.
    """

    def __init__(self, node):
        self.node = node
        network = node.pool.network
        self.entry = f"{node.host}:{network.replication_port}"
        self.state_file = node.folder / "spool" / "state.log"
        self.state_file.parent.mkdir()
        self.log_file = node.folder / "log" / "ReplicationLog"
        self.error_file = node.folder / "replication-stderr"
        self.process = None

    def knobs(self):
        """Return what the node's configuration says of replication."""
        pool = self.node.pool
        replicas = [node.replica_entry for node in pool.nodes if node.index < pool.candidates]
        return {
            "HAD_USE_REPLICATION": "true",
            "REPLICATION_LIST": ", ".join(replicas),
            "SPOOL": self.state_file.parent,
            "STATE_FILE": self.state_file,
            "REPLICATION_HTTP_PORT": pool.network.replication_http_port,
            "KEEPER_ARGS": f"-I -S {LEDGER_CONTROLLEE} {self.node.lives_file}",
        }

    # --- processes --------------------------------------------------------------------------------------------

    def start(self):
        """Start the daemon; return at once."""
        pool = self.node.pool
        self.log_file.parent.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "replication", "-c", str(self.node.configuration)]
        with self.error_file.open("ab") as errors:
            self.process = subprocess.Popen(
                pool.network.command(self.node.index, argv),
                cwd=ROOT,
                env={**pool.environment, **self.node.environment},
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def is_up(self):
        """Whether the daemon's process exists."""
        return self.process is not None and self.process.poll() is None

    def pids(self):
        """Return the daemon's process and its transferers'."""
        return [self.process.pid, *children(self.process.pid)] if self.is_up else []

    def transferers(self):
        """Return the processes of its transferers."""
        return children(self.process.pid) if self.is_up else []

    def leftovers(self):
        """Return what is staged beside the state and belongs to no living transferer."""
        staged = self.state_file.parent.glob(f"{self.state_file.name}.*.down")
        return [path for path in staged if int(path.name.split(".")[-2]) not in self.transferers()]

    def send(self, number):
        """Send the daemon, and it alone, a signal; return the time of it (CLOCK_BOOTTIME)."""
        at = boottime.now()
        os.kill(self.process.pid, number)
        return at

    def kill(self):
        """Kill the daemon alone."""
        at = self.send(signal.SIGKILL)
        self.process.wait(10)
        return at

    def stop(self, number=signal.SIGTERM, seconds=40):
        """Ask the daemon to stop, wait until it has, and return its exit status."""
        self.send(number)
        return self.process.wait(seconds)

    # --- what it says -----------------------------------------------------------------------------------------

    def http(self, path):
        """Return the status code and the body of a page; None for no answer."""
        return self.node.http(path, port=self.node.pool.network.replication_http_port)

    def status(self):
        """Return the status document, None if the daemon does not answer."""
        answer = self.http("/status")
        return json.loads(answer[1]) if answer else None

    def point(self):
        """Return gid and clock of the version that it holds, None if it holds none or does not answer."""
        status = self.status()
        version = status["version"] if status else None
        return None if version is None else (version["gid"], version["clock"])

    def metrics(self):
        """Return every sample of its metrics, by name and labels as they stand there; nothing if it does not answer."""
        answer = self.http("/metrics")
        lines = answer[1].splitlines() if answer else ()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines)
            if name[:1] != "#"
        }

    def metric(self, name, **labels):
        """Return the value of a metric; None if there is no such sample."""
        for sample, value in self.metrics().items():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})?", sample)
            if found[1] == name and dict(re.findall(r'(\w+)="([^"]*)"', found[2] or "")) == labels:
                return value
        return None

    def log(self):
        """Return what it logged so far."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def logged(self, *words):
        """Return the log's lines that hold all the words."""
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def errors(self):
        """Return what it wrote to its standard error."""
        return self.error_file.read_text() if self.error_file.exists() else ""

    def story(self):
        """Return the end of its log, for whoever wants to know what went wrong."""
        return "\n".join(self.log().splitlines()[-40:]) + self.errors()[-2000:]

    # --- the state --------------------------------------------------------------------------------------------

    def value(self):
        """Return the last value in its copy of the state, 0 if there is none."""
        if not self.state_file.exists():
            return 0
        return value_in(self.state_file.read_bytes())

    def beside(self):
        """Return what lies beside the state and is none of the replica's own files."""
        known = {self.state_file.name, "Version"}
        return sorted(path.name for path in self.state_file.parent.iterdir() if path.name not in known)

    def truth(self):
        """Return the document of what it holds, None if there is none."""
        found = list((self.node.folder / "had").glob("**/version.json"))
        # A digest of the rest stands in the first line.
        return json.loads(found[0].read_bytes().partition(b"\n")[2]) if found else None

    def torn(self):
        """Say in what way state and version do not belong together, as they lie on the disk; empty if they do."""
        truth = self.truth()
        if truth is None:
            return "there is no version"
        if not truth["files"]:
            # A leadership whose controllee has not written yet.
            is_there = self.state_file.exists() and not truth["leading"]
            return f"there is a state, and {truth} is held" if is_there else ""
        _, size_bytes, sha256, _ = truth["files"][0]
        data = self.state_file.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if truth["leading"]:
            # The controllee may have written on.
            found = hashlib.sha256(data[:size_bytes]).hexdigest()
        return "" if found == sha256 else f"{len(data)} bytes have {found}, {truth} is held"

    def conflicts(self):
        """Return the kept copies of single files, by their identifiers."""
        files = (self.node.folder / "had").glob("**/conflicts/*/0")
        return {path.parent.name: path.read_bytes() for path in files}

    def runs(self):
        """Return what each controllee of this node counted, oldest first."""
        file = self.node.folder / "lives.counts"
        runs = []
        for line in file.read_text().splitlines() if file.exists() else ():
            word, pid, epoch, value, state = line.split()
            if word == "begin":
                runs.append(Run(int(pid), int(epoch), int(value), state, int(value), has_ended=False))
            else:
                runs[-1] = attrs.evolve(runs[-1], last=int(value), has_ended=word == "end")
        return runs
