"""One central manager: its folders, its condor_config, its condor_master, and which of its daemons are ours.

The configuration is that of the manual's sample for pools with a primary, on `use security:recommended`. A manager becomes
one of ours by exactly the lines that an administrator changes; nothing else of its configuration differs.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.real.release import owner

ROOT = Path(__file__).parents[2]
HAD_PORT = 51450
REPLICATION_PORT = 41450
SHARED_PORT = 9618
COLLECTOR_PORT = 9618
OURS = {"HAD": "had", "REPLICATION": "replication", "TRANSFERER": "transferer"}
"""The settings that name our programs, and the modules that those run."""

LARGE_LINE_BYTES = 20_000

FOLDERS = ("log", "spool", "execute", "lock", "run")
LOGS = (
    "MasterLog",
    "HADLog",
    "ReplicationLog",
    "TransfererLog",
    "NegotiatorLog",
    "CollectorLog",
    "SharedPortLog",
)


class Manager:
    """One host with a condor_master.

    Args:
        pool: the pool.
        index: its place in HAD_LIST, from 0.
    """

    def __init__(self, pool, index):
        self.pool = pool
        self.index = index
        self.address = pool.network.hosts[index]
        self.name = f"cm{index + 1}.real.invalid"
        self.folder = pool.folder / f"cm{index + 1}"
        self.etc = self.folder / "etc"
        self.spool = self.folder / "spool"
        self.configuration = self.folder / "condor_config"
        self.is_ours = False
        self.settings = {}
        self.process = None
        self._make_folders()

    def __repr__(self):
        return f"<manager {self.index} {self.address} {'ours' if self.is_ours else 'real'}>"

    def _make_folders(self):
        self.folder.mkdir()
        uid, gid = owner()
        for name in FOLDERS:
            (self.folder / name).mkdir()
            os.chown(self.folder / name, uid, gid)
        for name in ("passwords.d", "tokens.d"):
            (self.etc / name).mkdir(parents=True)
            (self.etc / name).chmod(0o700)
        (self.folder / "programs").mkdir()
        for module in OURS.values():
            # As one that pip installed: it finds its interpreter and its modules by itself.
            program = self.folder / "programs" / module
            program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m {module} "$@"\n')
            program.chmod(0o755)

    # --- its configuration ------------------------------------------------------------------------------------

    def become(self, *, ours, **settings):
        """Write the configuration anew: our daemons or the real ones, and settings beside those of the pool."""
        self.is_ours = ours
        self.settings |= settings
        lines = self._where() | self._pool() | (self._ours() if ours else {}) | self.settings
        text = "".join(f"{name} = {value}\n" for name, value in lines.items())
        self.configuration.write_text("use security:recommended\n" + text)

    def _where(self):
        uid, gid = owner()
        return self.pool.release.settings() | {
            "CONDOR_IDS": f"{uid}.{gid}",
            "LOCAL_DIR": self.folder,
            "ETC": "$(LOCAL_DIR)/etc",
            **{name.upper(): f"$(LOCAL_DIR)/{name}" for name in FOLDERS},
            "LOCAL_CONFIG_DIR": "",
            "LOCAL_CONFIG_FILE": "",
            "NETWORK_INTERFACE": self.address,
            "NETWORK_HOSTNAME": self.name,
            "ENABLE_IPV6": "False",
            "UID_DOMAIN": "real.invalid",
            "FILESYSTEM_DOMAIN": "real.invalid",
            "TRUST_DOMAIN": "real.invalid",
            "PREEN": "",
        }

    def _pool(self):
        network, is_shared = self.pool.network, self.pool.is_shared
        had, replication = (SHARED_PORT, SHARED_PORT) if is_shared else (HAD_PORT, REPLICATION_PORT)
        lines = {
            "USE_SHARED_PORT": is_shared,
            "CONDOR_HOST": ", ".join(network.hosts),
            "COLLECTOR_HOST": ", ".join(f"{host}:{COLLECTOR_PORT}" for host in network.hosts),
            "DAEMON_LIST": "MASTER, COLLECTOR, NEGOTIATOR, HAD, REPLICATION",
            "HAD_LIST": ", ".join(f"{host}:{had}" for host in network.hosts),
            "REPLICATION_LIST": ", ".join(f"{host}:{replication}" for host in network.hosts),
            "HAD_CONTROLLEE": "NEGOTIATOR",
            "MASTER_NEGOTIATOR_CONTROLLER": "HAD",
            "HAD_USE_PRIMARY": "True",
            "HAD_USE_REPLICATION": "True",
            "STATE_FILE": "$(SPOOL)/Accountantnew.log",
            "HAD_CONNECTION_TIMEOUT": "1",
            "HAD_UPDATE_INTERVAL": "10",
            "REPLICATION_INTERVAL": "5",
            "MAX_TRANSFER_LIFETIME": "20",
            "NEWLY_JOINED_WAITING_VERSION_INTERVAL": "4",
            "NEGOTIATOR_INTERVAL": "10",
            "MASTER_HAD_BACKOFF_CONSTANT": "5",
            "MASTER_UPDATE_INTERVAL": "10",
            "MAX_DEFAULT_LOG": "50 Mb",
        }
        if is_shared:
            lines |= {
                "SHARED_PORT_PORT": SHARED_PORT,
                "HAD_USE_SHARED_PORT": "True",
                "REPLICATION_USE_SHARED_PORT": "True",
                "DAEMON_SOCKET_DIR": "$(LOCAL_DIR)/lock",
            }
            return lines
        return lines | {
            "HAD_ARGS": f"-f -p {HAD_PORT}",
            "REPLICATION_ARGS": f"-f -p {REPLICATION_PORT}",
        }

    def _ours(self):
        lines = {name: self.folder / "programs" / module for name, module in OURS.items()}
        if self.pool.control == "spawn":
            lines |= {
                "DAEMON_LIST": "MASTER, COLLECTOR, HAD, REPLICATION",
                "MASTER_NEGOTIATOR_CONTROLLER": "",
                "HAD_CONTROL": "spawn",
                "NEGOTIATOR": self.pool.release.program("condor_negotiator"),
                "NEGOTIATOR_ARGS": "-f",
            }
        return lines

    # --- its processes ----------------------------------------------------------------------------------------

    @property
    def environment(self):
        """What its master and the tools have in their environment."""
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")}
        kept.pop("PYTHONPATH", None)
        return kept | {"CONDOR_CONFIG": str(self.configuration)}

    def start(self):
        """Start condor_master, and with it everything; return the time."""
        assert self.process is None
        with (self.folder / "master.out").open("ab") as output:
            command = [str(self.pool.release.program("condor_master")), "-f"]
            self.process = subprocess.Popen(
                self.pool.network.command(self.index, command),
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return time.monotonic()

    def pids(self, program=None):
        """Return its processes; those of one daemon, such as `condor_had` or, of ours, `had`, if one is named."""
        return sorted(pid for pid in self.pool.network.pids(self.index) if program in (None, _program(pid)))

    def daemon(self, name):
        """Return the process of `had` or `replication`, ours or real; None if there is not exactly one."""
        found = self.pids(name if self.is_ours else f"condor_{name}")
        # Our leader's guard is a process of the same module.
        return found[0] if found else None

    def stop(self, number=signal.SIGTERM, seconds=60):
        """Stop condor_master by a signal, and wait until it is gone."""
        self.process.send_signal(number)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self}: the master did not stop\n{self.pool.story()}") from None
        self.process = None

    def kill_host(self):
        """Let the host die: silent at first, then without a process. Return the time."""
        self.pool.network.unplug(self.index)
        at = time.monotonic()
        self._kill_all()
        return at

    def revive(self):
        """Give the host that died its network, and start it."""
        self.pool.network.plug(self.index)
        return self.start()

    def _kill_all(self):
        deadline = time.monotonic() + 20
        while found := self.pids():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.poll()
            assert time.monotonic() < deadline, f"{self}: {found} cannot be killed"
            time.sleep(0.01)
        if self.process is not None:
            self.process.wait(10)
            self.process = None

    def close(self):
        """End everything that lives on it."""
        self._kill_all()

    # --- what it says -----------------------------------------------------------------------------------------

    def tool(self, name, *words, check=True, seconds=30):
        """Run a tool of HTCondor on this host; return what it printed. One that need not succeed need not end in time."""
        command = [str(self.pool.release.program(name)), *map(str, words)]
        try:
            done = self._run(command, seconds)
        except subprocess.TimeoutExpired:
            assert not check, f"{self}: {name} {words}: no end after {seconds:g} s"
            return ""
        if check:
            assert done.returncode == 0, f"{self}: {name} {words}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def hadctl(self, *words, check=True, seconds=60):
        """Run hadctl on this host with its condor_config; return what it printed."""
        done = self._run([sys.executable, "-m", "had.ctl", *words], seconds, {"PYTHONPATH": str(ROOT)})
        if check:
            assert done.returncode == 0, f"{self}: hadctl {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def _run(self, command, seconds, environment=None):
        return subprocess.run(
            self.pool.network.command(self.index, command),
            env=self.environment | (environment or {}),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def log(self, name):
        """Return a log, or nothing if there is none."""
        path = self.folder / "log" / name
        return path.read_text(errors="replace") if path.exists() else ""

    def state(self):
        """Return the state file as it stands."""
        path = self.spool / "Accountantnew.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def write_large_state(self, size):
        """Write a state file of at least so many bytes, as the negotiator would, before anything runs."""
        with (self.spool / "Accountantnew.log").open("w") as file:
            file.write(f"107 1 CreationTimestamp {int(time.time())}\n")
            for number in range(size // LARGE_LINE_BYTES + 1):
                key = f"Customer.user{number}@real.invalid"
                file.write(f"101 {key} * *\n103 {key} PriorityFactor 10\n")
                # Few records that are long: a negotiator takes minutes to read a hundred thousand of them.
                file.write(f'103 {key} Remark "{"x" * LARGE_LINE_BYTES}"\n')
        path = self.spool / "Accountantnew.log"
        path.chmod(0o600)
        os.chown(path, *owner())

    def copy_keys_from(self, other):
        """Take over another manager's signing key."""
        shutil.copytree(other.etc / "passwords.d", self.etc / "passwords.d", dirs_exist_ok=True)

    def story(self, lines=30):
        """Return the end of each log."""
        parts = [f"--- {self}"]
        parts.extend(
            f"--- {self.name} {name}\n" + "\n".join(text.splitlines()[-lines:])
            for name in LOGS
            if (text := self.log(name))
        )
        return "\n".join(parts)


def _program(pid):
    """Return what a process runs: the module, for Python, and the file's name otherwise."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        name = Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return None
    if b"-m" in words[:4]:
        return words[words.index(b"-m") + 1].decode()
    return name
