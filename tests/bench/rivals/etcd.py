"""etcd's lock as a contender: an etcd server and `etcdctl lock` on each of three hosts.

Two ways. The plain one is `etcdctl lock NAME PROGRAM...`, begun anew whenever it ends. It does not stop the program when the
lock is lost, so there is a careful one: a script that runs the program while `etcdctl lock NAME` holds the lock. Each client
speaks to the server of its own host only: with all three as endpoints it stays with one that is cut off for many seconds.
"""

import os
import signal
import subprocess
from pathlib import Path

import attrs

from daemoncore.process import children
from tests.bench.rivals.contender import HOSTS, Contender
from tests.bench.rivals.programs import environment, find

#: As with systemd, whose order of units lets the client begin when the server of its host has joined: a lock that is asked
#: for before there is a leader fails after seven seconds.
READY = """\
until {etcdctl} --command-timeout=500ms endpoint health >/dev/null 2>&1; do sleep 0.05; done
"""

#: The pause is systemd's default of RestartSec.
PLAIN = """\
while :; do
    {etcdctl} lock --ttl {ttl} keeper -- {program}
    sleep 0.1
done
"""

#: `wait -n` returns when either process ends; then the program ends before the lock is given back.
CAREFUL = """\
lock= program= is_over=
trap 'is_over=1' TERM
while [ ! "$is_over" ]; do
    rm -f got && mkfifo got
    {etcdctl} lock --ttl {ttl} keeper >got &
    lock=$!
    if read -r key <got && [ ! "$is_over" ]; then
        {program} &
        program=$!
        wait -n "$lock" "$program"
        kill "$program" 2>/dev/null
        wait "$program"
    fi
    kill "$lock" 2>/dev/null
    wait "$lock"
    [ "$is_over" ] || sleep 0.1
done
"""


@attrs.frozen
class Timing:
    """How quick etcd is told to be.

    etcd gives no lease for less than one and a half election timeouts, in whole seconds.
    """

    ttl_seconds: int
    heartbeat_milliseconds: int
    election_milliseconds: int


#: etcd's own heartbeat and election timeout, and the shortest lease that it gives with them.
DEFAULT = Timing(2, 100, 1000)
TUNED = Timing(1, 20, 100)


def name_of(pid):
    """Return the name of a process's program, empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class EtcdLock(Contender):
    """Three etcd servers, and on each host a client that wants the lock."""

    programs = ("etcd", "etcdctl", "bash")

    def __init__(self, folder, network, timing, *, is_careful):
        super().__init__(folder, network, timing.ttl_seconds)
        self._timing = timing
        self._script = CAREFUL if is_careful else PLAIN
        self._clients = {}
        self._urls = [f"http://{host}:2379" for host in network.hosts]
        self._environment = environment()

    def start_host(self, index):
        """Start the server and the client."""
        host = self.network.hosts[index]
        cluster = ",".join(
            f"host{place}=http://{other}:2380" for place, other in enumerate(self.network.hosts)
        )
        argv = [find("etcd"), f"--name=host{index}", f"--data-dir={self.host_folder(index)}/data"]
        argv += [f"--listen-client-urls=http://{host}:2379", f"--advertise-client-urls=http://{host}:2379"]
        argv += [
            f"--listen-peer-urls=http://{host}:2380",
            f"--initial-advertise-peer-urls=http://{host}:2380",
        ]
        argv += [f"--initial-cluster={cluster}", "--logger=zap"]
        argv += [f"--heartbeat-interval={self._timing.heartbeat_milliseconds}"]
        argv += [f"--election-timeout={self._timing.election_milliseconds}"]
        self.spawn(index, argv, self._environment)
        self._start_client(index)

    def _start_client(self, index):
        script = (READY + self._script).format(
            etcdctl=f"{find('etcdctl')} --endpoints={self._urls[index]}",
            ttl=self._timing.ttl_seconds,
            program=" ".join(self.program(index)),
        )
        argv = [find("bash"), "-c", f"cd {self.host_folder(index)} || exit\n{script}"]
        self._clients[index] = self.spawn(index, argv, self._environment)

    def daemon_pid(self, index):
        """Return the process of `etcdctl lock`."""
        found = [pid for pid in children(self._clients[index].pid) if name_of(pid) == "etcdctl"]
        assert found, f"host {index} has no etcdctl\n{self.story()}"
        return found[0]

    def stop_host(self, index):
        """Stop the client as systemd does, SIGTERM to all of it; the server stays."""
        os.killpg(self._clients[index].pid, signal.SIGTERM)

    def are_ready(self):
        """Whether the cluster answers, and three clients hold or await the lock."""
        asking = [find("etcdctl"), f"--endpoints={self._urls[0]}", "--command-timeout=1s"]
        asked = subprocess.run(
            self.network.command(0, [*asking, "get", "--prefix", "--keys-only", "keeper"]),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return len(asked.stdout.split()) == HOSTS
