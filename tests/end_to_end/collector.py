"""A collector for a pool of real daemons, as a process beside them; what it was told can be read at any time."""

import json
import signal
import subprocess
import sys

from tests.end_to_end.node import ROOT


class Collector:
    """One collector (`tests.daemoncore.collector_double`), which obeys the security settings of the pool's first member.

    Args:
        pool: the pool.
        number: tells several apart; each has an address of its own.
    """

    def __init__(self, pool, number=0):
        self.pool = pool
        self.host = pool.network.hosts[0].rpartition(".")[0] + f".{200 + number}"
        self.port = pool.network.port
        self.entry = f"{self.host}:{self.port}"
        self.file = pool.folder / f"collector{number}"
        self.process = None

    def start(self):
        """Start it, with an empty memory; return at once."""
        configuration = str(self.pool[0].configuration)
        argv = [sys.executable, "-m", "tests.daemoncore.collector_double", self.host, str(self.port)]
        with self.file.open("ab") as output:
            self.process = subprocess.Popen(
                self.pool.network.command(0, [*argv, configuration]),
                cwd=ROOT,
                env=self.pool.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                start_new_session=True,
            )

    def send(self, number):
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self):
        """Kill it, if it runs."""
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.process.wait(10)

    def heard(self):
        """Return what it was told: a command, when, and the ad, in order; a last line may be half there."""
        whole = self.file.read_text().rpartition("\n")[0] if self.file.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def ads(self, kind):
        """Return the ads that it was told and that were not taken back, by the node's entry."""
        found = {}
        for line in self.heard():
            ad = line["ad"]
            if line["command"].startswith("UPDATE") and ad["MyType"] == kind:
                found[ad["Name"]] = ad
            elif line["command"].startswith("INVALIDATE") and ad["TargetType"] == kind:
                found.pop(ad["Name"], None)
        node = "HadNode" if kind == "HAD" else "ReplicationNode"
        return {ad[node]: ad for ad in found.values()}

    def leaders(self):
        """Return the entries of the nodes whose controllee runs, as far as it was told."""
        return {
            entry for entry, ad in self.ads("HAD").items() if ad["HadIsActive"] and ad["HadControlleeRuns"]
        }
