"""A member whose replication daemon is HTCondor's: started, told what its condor_had tells it, and looked at by its files.

The program is the double of `condor_replication_double.py`, or a real condor_replication where there is one, and is only
ever spoken to in HTCondor's words.
"""

import itertools
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.startup import Options
from replication.loading import load
from tests.end_to_end.attending_had import transaction
from tests.end_to_end.ledger_controllee import HEAD
from tests.end_to_end.node import ROOT
from transferer.dial import dial
from transferer.failure import CopyFailed

#: A condor_had says in each of its intervals that it leads; here it is in more of a hurry.
CONFIRM_SECONDS = 0.2
#: What its log says while it leads.
LEADS = ("hears 706", "in state 3")
#: What HTCondor's tests set, so that its daemons act within seconds; T is 1.
HASTY = {"REPLICATION_INTERVAL": 1, "NEWLY_JOINED_WAITING_VERSION_INTERVAL": 1}


#: What of it a real daemon's log says in other words.
REAL_WORDS = {
    "inLeaderStateHandler started with state = 3": "hears 706 in state 3",
    "onSolicitVersion <": "hears 804",
    "/Version with extension": "has it",
    "downloadNew creating": "down-new",
}


class CondorReplica:
    """A member that runs HTCondor's replication daemon, and a condor_had reduced to what that hears.

    Args:
        pool: the pool.
        node: the member; what it replicates lies where a daemon of ours would have it.
    """

    def __init__(self, pool, node):
        self.pool, self.node = pool, node
        self.state_file = node.replica.state_file
        self._loaded = load(Options(str(node.configuration)), pool.environment)
        self._stop = threading.Event()
        self._thread = None
        self._modified = itertools.count(1)

    # --- the daemon ---------------------------------------------------------------------------------------------

    def argv(self):
        """Return the command that is its daemon."""
        return [
            sys.executable,
            "-m",
            "tests.end_to_end.condor_replication_double",
            str(self.node.configuration),
        ]

    def environment(self):
        """Return what it finds in its environment."""
        return {**self.pool.environment, **self.node.environment}

    def start(self):
        """Start the daemon; return at once."""
        with self.node.replica.error_file.open("ab") as errors:
            self.node.replica.process = subprocess.Popen(
                self.pool.network.command(self.node.index, self.argv()),
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )

    def kill(self):
        """Kill the daemon, and its had."""
        self.step_down(is_told=False)
        self.node.replica.kill()

    # --- its had ------------------------------------------------------------------------------------------------

    def lead(self):
        """Have its had lead, and say so from now on: 704, then 706; return when it does, which a joiner does not at once.

        A state that is written before it has looked for the first time is no change.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        before = len(self.said(*LEADS))
        self._stop.clear()
        self._thread = threading.Thread(target=self._confirm, daemon=True)
        self._thread.start()
        self.pool.wait(lambda: len(self.said(*LEADS)) > before, 20, "theirs to lead", 0.02)

    def step_down(self, *, is_told=True):
        """Lead no more: 705."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if is_told:
            self._tell(Command.HAD_AFTER_LEADER_STATE)

    def _confirm(self):
        command = Command.HAD_AFTER_ELECTION_STATE
        while not self._stop.is_set():
            self._tell(command)
            command = Command.HAD_IN_LEADER_STATE
            self._stop.wait(CONFIRM_SECONDS)

    def _tell(self, command):
        sinful = str(Address.parse(self.node.replica_entry).sinful())
        document = {
            "address": sinful,
            "source_address": self.node.host,
            "settings": dict(self._loaded.security_texts),
        }
        try:
            called = self.pool.network.inside(self.node.index, lambda: dial(document, command, 5))
        except CopyFailed:
            # It is not up yet; the next word comes soon.
            return
        connection, stream, prefix = called
        with connection:
            connection.sendall(
                stream.encode(stream.writer().put_bytes(prefix).put_string(f"<{self.node.host}:1>"))
            )

    # --- the state ----------------------------------------------------------------------------------------------

    def write(self, value):
        """Write a value as the negotiator, in a second of its own: HTCondor looks at no more of an mtime."""
        with self.state_file.open("ab") as file:
            file.write((b"" if file.tell() else HEAD) + transaction(value))
        modified = int(self.state_file.stat().st_mtime) + next(self._modified)
        os.utime(self.state_file, (modified, modified))

    def value(self):
        """Return the last value in its state."""
        return self.node.replica.value()

    def point(self):
        """Return gid and clock of `$(SPOOL)/Version`, None while there is none."""
        file = self.state_file.parent / "Version"
        words = file.read_text().split() if file.exists() else []
        return tuple(map(int, words)) if len(words) == 2 else None

    def said(self, *words):
        """Return the lines of its log that hold all the words."""
        return [
            line for line in self.node.replica.errors().splitlines() if all(word in line for word in words)
        ]


class RealReplica(CondorReplica):
    """A member that runs a real condor_replication, which has condor_transferer beside it; it needs a host of its own."""

    def argv(self):
        """Return the command that is its daemon."""
        return [shutil.which("condor_replication"), "-f", "-p", self.node.replica_entry.rpartition(":")[2]]

    def environment(self):
        """Write its configuration, that of ours with what only HTCondor's asks for, and name it."""
        folder, release = self.node.folder, Path(shutil.which("condor_replication")).parents[1]
        logs = folder / "condor-log"
        logs.mkdir(exist_ok=True)
        knobs = {
            "RELEASE_DIR": release,
            "LOCAL_CONFIG_FILE": "",
            "NETWORK_INTERFACE": self.node.host,
            "COLLECTOR_HOST": f"{self.node.host}:9",
            "CONDOR_IDS": f"{os.geteuid()}.{os.getegid()}",
            "USE_SHARED_PORT": "False",
            **dict.fromkeys(("LOG", "LOCK", "RUN"), logs),
            "REPLICATION_LOG": self._log_file,
            "REPLICATION_DEBUG": "D_FULLDEBUG",
        }
        lines = "".join(f"{name} = {value}\n" for name, value in knobs.items())
        configuration = folder / "condor_config"
        configuration.write_text(self.node.configuration.read_text() + lines)
        return super().environment() | {"CONDOR_CONFIG": str(configuration)}

    @property
    def _log_file(self):
        return self.node.folder / "condor-log" / "RealReplicationLog"

    def said(self, *words):
        """Return what the lines of its log that matter come to."""
        lines = self._log_file.read_text().splitlines() if self._log_file.exists() else []
        found = (f"- {REAL_WORDS[part]}" for line in lines for part in REAL_WORDS if part in line)
        return [line for line in found if all(word in line for word in words)]
