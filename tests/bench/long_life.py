"""An hour, or as many as one likes, of a busy pool: `python -m tests.bench.long_life --minutes 60`, or `make long-life`.

Three members with a shared key and encryption: `had`, `had-replication` and its copy processes, all real. The controllee
counts into its state each second and writes its log anew from time to time. Each minute `hadctl switchover` moves
leadership to the next member; /metrics of all daemons is fetched each 15 s, and `hadctl` asks for the pool's status. Each
minute it is looked at what every daemon holds (`long_life_figures.MEASURES`). Logs are small, so that they are rotated.
What was written with `--json` is judged again with `--judge FILE`.

Exit status: 0 if nothing grows, no handover failed and no count was lost, else 1; 130 if interrupted.
"""

import argparse
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.long_life_report import Findings
from tests.bench.report import machine
from tests.end_to_end.belongings import belongings, files_and_bytes
from tests.end_to_end.keys import KEYED, share_key
from tests.end_to_end.networks import Loopback
from tests.end_to_end.node import ROOT
from tests.end_to_end.pool import Pool
from tests.end_to_end.replica import LEDGER_CONTROLLEE

SCRAPE_SECONDS = 15
SAMPLE_SECONDS = 60
STATUS_SECONDS = 120
#: A value each second, and a new log after so many.
COUNT_SECONDS, VALUES_OF_A_LOG = 1, 300
LOG_LIMIT_BYTES, LOGS_KEPT = 16384, 2

KNOBS = KEYED | {
    "MAX_HAD_LOG": LOG_LIMIT_BYTES,
    "MAX_REPLICATION_LOG": LOG_LIMIT_BYTES,
    "MAX_NUM_HAD_LOG": LOGS_KEPT,
    "MAX_NUM_REPLICATION_LOG": LOGS_KEPT,
}


class LongLife:
    """One run."""

    def __init__(self, options, pool):
        self.options = options
        self.pool = pool
        self.found = Findings(machine())
        self.began = time.monotonic()

    def run(self):
        """Let the pool live."""
        self.pool.start()
        self.pool.wait_settled(self.pool[0], 60)
        self.began = time.monotonic()
        acts = {
            self._scrape: SCRAPE_SECONDS,
            self._status: STATUS_SECONDS,
            self._switch_over: self.options.switchover_seconds,
            self._sample: SAMPLE_SECONDS,
        }
        due = {act: self.began + seconds for act, seconds in acts.items()}
        # Between two switchovers, when the pool is as it is most of the time.
        due[self._sample] = self.began + SAMPLE_SECONDS / 2
        end = self.began + 60 * self.options.minutes
        while (now := time.monotonic()) < end:
            for act, seconds in acts.items():
                if due[act] <= now:
                    due[act] = max(due[act] + seconds, now)
                    act()
            time.sleep(max(0.0, min(end, *due.values()) - time.monotonic()))

    # --- what is done to it -----------------------------------------------------------------------------------

    def _scrape(self):
        for node in self.pool.nodes:
            for page in (node.http("/metrics"), node.replica.http("/metrics")):
                if page is None or page[0] != 200:
                    self._failed(f"/metrics of {node.entry}: {page}")

    def _status(self):
        for words in (("status",), ("replication", "status"), ("check", "--monitoring")):
            self._hadctl(*words, allowed=(0, 1))

    def _switch_over(self):
        leader = next((node for node in self.pool.nodes if node.running()), self.pool[-1])
        to = self.pool[(leader.index + 1) % len(self.pool.nodes)]
        done = self._hadctl("switchover", "--to", to.entry, "--yes", "--reason", "a long life")
        self.found.switchovers += done
        if not to.running():
            self._failed(
                f"after the switchover to {to.entry} it runs at {[n for n in self.pool.nodes if n.running()]}"
            )

    def _hadctl(self, *words, allowed=(0,)):
        """Run the operator's tool; whether its exit status was among those allowed."""
        asker = self.pool[self.found.switchovers % len(self.pool.nodes)]
        argv = [sys.executable, "-m", "had.ctl", *words, "-c", str(asker.configuration)]
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env=self.pool.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode not in allowed:
            self._failed(f"hadctl {' '.join(words)}: {done.returncode}, {done.stderr.strip()[-300:]}")
        return done.returncode in allowed

    def _failed(self, text):
        self.found.failures.append(f"minute {self._minutes():.1f}: {text}")
        say(self.found.failures[-1])

    # --- what it has ------------------------------------------------------------------------------------------

    def _minutes(self):
        return (time.monotonic() - self.began) / 60

    def _sample(self):
        self.found.minutes = self._minutes()
        self.found.load_averages.append(round(os.getloadavg()[0], 2))
        for node in self.pool.nodes:
            had, replica = f"had {node.index}", f"had-replication {node.index}"
            self._sample_process(had, node.pid, node.http)
            self._sample_process(replica, node.replica.process.pid, node.replica.http)
            guard = node.guard_pid()
            if guard is not None:
                self._sample_guard(f"guard {node.index}", guard)
            self._sample_files(node, had, replica)
            lag = max((v for k, v in node.replica.metrics().items() if "lag_seconds" in k), default=0.0)
            if node.running():
                self.found.keep("lag", "the leader", lag)
        leader = [node.index for node in self.pool.nodes if node.running()]
        say(
            f"minute {self._minutes():.1f}: {self.found.switchovers} switchovers, leader {leader}, load {self.found.load_averages[-1]}"
        )
        self._write_down()

    def _sample_process(self, owner, pid, http):
        held = belongings(pid)
        for name in ("descriptors", "threads", "descendants", "zombies"):
            self.found.keep(name, owner, getattr(held, name))
        self.found.keep("rss", owner, held.rss_mb)
        self.found.keep("pss", owner, held.pss_mb)
        lines = http("/metrics")[1].splitlines()
        samples = dict(line.rpartition(" ")[::2] for line in lines if line[:1] != "#")
        self.found.keep("series", owner, len(samples))
        for side in ("server", "client"):
            name = next(n for n in samples if n.startswith("had_sessions{") and f'side="{side}"' in n)
            self.found.keep(f"{side}_sessions", owner, float(samples[name]))
        self.found.keep("status", owner, len(http("/status")[1]) / 1e3)

    def _sample_guard(self, owner, pid):
        with contextlib.suppress(OSError):
            held = belongings(pid)
            self.found.keep("pss", owner, held.pss_mb)
            self.found.keep("descriptors", owner, held.descriptors)
            self.found.keep("zombies", owner, held.zombies)

    def _sample_files(self, node, had, replica):
        for owner, name in ((had, "HADLog"), (replica, "ReplicationLog")):
            files = list((node.folder / "log").glob(f"{name}*"))
            self.found.keep("log", owner, sum(file.stat().st_size for file in files) / 1e3)
        for owner, stem in ((had, "had-*"), (replica, "replication-*")):
            count, size = files_and_bytes(next((node.folder / "had").glob(stem)))
            self.found.keep("own_files", owner, count)
            self.found.keep("own_bytes", owner, size / 1e3)
        count, size = files_and_bytes(node.replica.state_file.parent)
        self.found.keep("spool_files", replica, count)
        self.found.keep("spool_bytes", replica, size / 1e3)
        truth = node.replica.truth()
        self.found.keep("lineage", replica, len(truth["version"]["lineage"]) if truth else 0)

    def end(self):
        """Take note of what only the end shows."""
        pool, found = self.pool, self.found
        found.minutes, found.controllees = self._minutes(), len(pool.lives())
        runs = sorted((run for node in pool.nodes for run in node.replica.runs()), key=lambda run: run.epoch)
        found.failures += [
            f"epoch {after.epoch} found {after.found}, epoch {before.epoch} had written {before.last}"
            for before, after in itertools.pairwise(runs)
            if before.last != after.found
        ]
        if (overlap := pool.overlap_seconds()) > 0:
            found.failures.append(f"two controllees ran at once for {overlap:.3f} s")
        self._write_down()

    def _write_down(self):
        if self.options.json:
            self.options.json.write_text(self.found.to_json())


def parse(argv):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.long_life", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--switchover-seconds", type=float, default=60.0, help="time between switchovers")
    parser.add_argument("--timeout", type=float, default=2.0, help="T")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single sample there")
    parser.add_argument(
        "--judge", type=Path, metavar="FILE", help="run nothing; print the verdicts on these samples"
    )
    return parser.parse_args(argv)


def make_pool(folder, timeout_seconds):
    """Make the pool, with its keys."""
    pool = Pool(
        folder, 3, timeout_seconds=timeout_seconds, has_replication=True, network=Loopback, knobs=KNOBS
    )
    share_key(pool)
    for node in pool.nodes:
        node.configure(
            KEEPER_ARGS=f"-I -S {LEDGER_CONTROLLEE} {node.lives_file} {COUNT_SECONDS} {VALUES_OF_A_LOG}"
        )
    return pool


def say(text):
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(argv=None):
    """Let a pool live, print the tables, and return the exit status."""
    options = parse(argv)
    if options.judge:
        found = Findings.from_json(options.judge.read_text())
        print(found.text())
        return int(bool(found.wrong()))
    # One that is told to end ends its pool, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="had-long-life-") as folder:
        return live(options, Path(folder) / "pool")


def live(options, folder):
    """Let a pool live in a folder, print the tables, and return the exit status."""
    status = 0
    with make_pool(folder, options.timeout) as pool:
        life = LongLife(options, pool)
        try:
            life.run()
        except KeyboardInterrupt:
            say("interrupted; what was seen so far:")
            status = 130
        life.end()
        print(life.found.text())
    return status or int(bool(life.found.wrong()))


if __name__ == "__main__":
    sys.exit(main())
