"""Measures the promises with real daemons: `python -m tests.bench`, or `make bench`.

Cells (so many members, such a T) run one after another, so that they do not disturb each other; within a cell one pool
serves all runs. As root every host is a network namespace; else hosts are loopback addresses, and the network cannot be
cut. Exit status: 0 if every promise was held, 1 if not, 130 if interrupted.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.bench.faults import RECOVER_SECONDS, Faults
from tests.bench.idle import SETTLE_SECONDS, measure_idle
from tests.bench.load import TIMEOUTS, load_estimate_seconds, measure_load, watched_seconds
from tests.bench.measures import BY_SLUG
from tests.bench.report import Results
from tests.bench.rivals.duels import Duels
from tests.bench.state_bench import STATE_SCENARIOS, StateBench
from tests.end_to_end.networks import Loopback, Namespaces
from tests.end_to_end.pool import Pool

SCENARIOS = (
    "cold_start",
    "host_killed",
    "network_cut",
    "leader_stopped",
    "daemon_killed",
    "controllee_killed",
    "idle",
    *STATE_SCENARIOS,
    "load",
    "rivals",
)
#: Scenarios with pools of their own.
APART_SCENARIOS = {"idle", "load", "rivals", *STATE_SCENARIOS}
#: What `--only` takes.
GROUPS = {
    "election": [name for name in SCENARIOS if name not in {"load", "rivals", *STATE_SCENARIOS}],
    "replication": list(STATE_SCENARIOS),
    "load": ["load"],
    "rivals": ["rivals"],
}
IDLE_CELLS = ((3, 2.0), (20, 2.0))
#: What hosts apart need in their configuration: who may speak is decided by address.
APART = {
    "ALLOW_DAEMON": "*/10.77.0.*",
    "ALLOW_ADMINISTRATOR": "*/10.77.0.*",
    "SEC_DEFAULT_AUTHENTICATION": "OPTIONAL",
}


def parse(argv):
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    numbers = lambda text: [int(word) for word in text.split(",")]  # noqa: E731 -- named for the line below
    seconds = lambda text: [float(word) for word in text.split(",")]  # noqa: E731 -- the same
    words = lambda text: text.split(",")  # noqa: E731 -- the same
    parser.add_argument("--members", type=numbers, default=[2, 3, 5, 10], metavar="N,...")
    parser.add_argument(
        "--timeouts", type=seconds, default=[0.2, 1.0, 2.0], metavar="T,...", help="values of T"
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each scenario in each cell")
    parser.add_argument("--scenarios", type=words, help=f"of {','.join(SCENARIOS)}")
    parser.add_argument(
        "--only", choices=GROUPS, help="the scenarios of one part; the same as naming them all"
    )
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long an idle pool is looked at")
    parser.add_argument(
        "--load-seconds", type=float, default=60.0, help="how long a pool under load is watched at each T"
    )
    parser.add_argument(
        "--load-timeouts",
        type=seconds,
        default=list(TIMEOUTS),
        metavar="T,...",
        help="values of T under load",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="three members, T = 0.2 and 1, 3 runs, neither replication nor rivals: two minutes",
    )
    options = parser.parse_args(argv)
    if options.scenarios is None:
        options.scenarios = GROUPS.get(options.only, GROUPS["election"] if options.quick else list(SCENARIOS))
    unknown = set(options.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"unknown scenarios: {', '.join(sorted(unknown))}")
    if options.quick:
        options.members, options.timeouts, options.runs, options.idle_seconds = [3], [0.2, 1.0], 3, 30.0
    return options


def why_not_apart():
    """Return why hosts cannot have networks of their own here, None if they can."""
    try:
        Namespaces(1).close()
    except pytest.skip.Exception as reason:
        return str(reason)
    return None


class Bench:
    """One run of the bench."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.results = Results()
        self.faults = [name for name in options.scenarios if name not in APART_SCENARIOS]
        self.reason = why_not_apart()
        if self.reason and "network_cut" in self.faults:
            self.faults.remove("network_cut")
            self.results.notes.append(f"{BY_SLUG['network_cut'].title}, and its healing: {self.reason}")
        if self.reason and "idle" in options.scenarios:
            self.results.notes.append(f"bytes a second of an idle pool: {self.reason}")
        self.network, self.knobs = (Loopback, {}) if self.reason else (Namespaces, APART)
        self.idle_cells = IDLE_CELLS[:1] if options.quick else IDLE_CELLS
        self.cells = [(n, t) for t in options.timeouts for n in options.members] if self.faults else []
        self.states = StateBench(
            folder,
            (self.network, self.knobs),
            is_apart=self.reason is None,
            idle_seconds=options.idle_seconds,
            runs=options.runs,
        )
        self.duels = self._make_duels() if "rivals" in options.scenarios else None

    def _make_duels(self):
        """Return what compares with other tools, None if hosts cannot be apart, which those need."""
        if self.reason:
            self.results.notes.append(f"keepalived and etcd: {self.reason}")
            return None
        duels = Duels(self.folder / "rivals", self.options.runs, say)
        self.results.notes += duels.notes
        self.results.comparisons = duels.comparisons
        return duels

    def estimate_seconds(self):
        """Return about how long it will take: what the scenarios wait for, and the start of daemons on few cores."""
        each = len(self.faults) * (2.0 + 0.1 * len(self.options.members))
        cells = sum(
            self.options.runs * (each + (3 * t + 0.15 * n) * len(self.faults) / 3) for n, t in self.cells
        )
        idle = sum(self.options.idle_seconds + SETTLE_SECONDS + 5 + n / 2 for n, _ in self.idle_cells)
        states = sum(self.states.estimate_seconds(name) for name in self._state_names())
        load = load_estimate_seconds(self.options.load_timeouts, self.options.load_seconds)
        chosen = self.options.scenarios
        rivals = self.duels.estimate_seconds() if self.duels else 0
        return cells + rivals + idle * ("idle" in chosen) + states + load * ("load" in chosen)

    def run(self):
        """Measure everything."""
        minutes = self.estimate_seconds() / 60
        say(f"{len(self.cells)} cells of {self.options.runs} runs; it will take about {minutes:.0f} minutes")
        for members, t in self.cells:
            self._cell(members, t)
        if "idle" in self.options.scenarios:
            for members, t in self.idle_cells:
                self._idle(members, t)
        for name in self._state_names():
            self._state(name)
        if "load" in self.options.scenarios:
            self._load()
        if self.duels:
            self._rivals()

    def _load(self):
        """Watch a pool under load at each T."""
        for t in self.options.load_timeouts:
            seconds = watched_seconds(t, self.options.load_seconds)
            say(f"T={t:g}: a pool under load, for {seconds:g} s")
            try:
                self.results.load.add(measure_load(self.folder / f"load-{t:g}", t, seconds))
                self.results.load_averages.append(round(os.getloadavg()[0], 2))
            except AssertionError as error:
                self._failed(f"load, T={t:g}", error)

    def _rivals(self):
        """Compare with other tools."""
        say(f"rivals: about {self.duels.estimate_seconds():.0f} s")
        self.results.load_averages = self.results.load_averages or self.duels.load_averages
        self.duels.measure()
        for title, error in self.duels.failures:
            self._failed(title, error)

    def _state_names(self):
        return [name for name in STATE_SCENARIOS if name in self.options.scenarios]

    def _state(self, name):
        say(f"{name}: about {self.states.estimate_seconds(name):.0f} s")
        self.results.load_averages.append(round(os.getloadavg()[0], 2))
        try:
            self.results.sections += self.states.measure(name)
        except AssertionError as error:
            self._failed(name, error)

    def _cell(self, members, t):
        """Measure one cell; a pool that does not come into order is replaced by a new one."""
        done = 0
        tries = 0
        while done < self.options.runs and tries < 2 * self.options.runs:
            tries += 1
            folder = self.folder / f"{members}-{t:g}-{tries}"
            knobs = self.knobs | {"MASTER_HAD_RECOVER_FACTOR": RECOVER_SECONDS}
            with Pool(folder, members, timeout_seconds=t, network=self.network, knobs=knobs) as pool:
                try:
                    pool.start()
                    Faults(pool, lambda *_: None).settle()
                    while done < self.options.runs:
                        self._run(pool, members, t, done + 1)
                        done += 1
                except AssertionError as error:
                    self._failed(f"N={members} T={t:g}, run {done + 1}", error)

    def _failed(self, title, error):
        """Keep what went wrong in one line, and the whole story where it outlives the bench."""
        first = str(error).partition("\n")[0]
        with tempfile.NamedTemporaryFile("w", prefix="had-bench-", suffix=".failure", delete=False) as file:
            file.write(str(error))
        self.results.failures.append(f"{title}: {first} (logs: {file.name})")
        say(self.results.failures[-1])

    def _run(self, pool, members, t, number):
        figures = []

        def keep(slug, seconds):
            self.results.keep(t, members, slug, seconds)
            figures.append(f"{slug} {seconds:.3f}")

        self.results.load_averages.append(round(os.getloadavg()[0], 2))
        faults = Faults(pool, keep)
        for name in self.faults:
            getattr(faults, name)()
        shown = ", ".join(figure for figure in figures if not figure.startswith(("overlap 0.000", "return_")))
        say(f"N={members} T={t:g} run {number}: {shown}")

    def _idle(self, members, t):
        seconds = self.options.idle_seconds
        say(f"N={members} T={t:g}: an idle pool, for {seconds:g} s")
        self.results.load_averages.append(round(os.getloadavg()[0], 2))
        is_apart = self.reason is None
        try:
            self.results.costs += measure_idle(
                self.folder / f"idle-{members}",
                members,
                t,
                seconds,
                self.network,
                self.knobs,
                is_apart=is_apart,
            )
        except AssertionError as error:
            self._failed(f"N={members} T={t:g}, idle", error)


def say(text):
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main(argv=None):
    """Measure, print the tables, and return the exit status."""
    options = parse(argv)
    # A bench that is told to end ends its pools, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="had-bench-") as folder:
        bench = Bench(options, Path(folder))
        status = 0
        try:
            bench.run()
        except KeyboardInterrupt:
            say("interrupted; what was measured so far:")
            status = 130
        print(bench.results.text())
        if options.json:
            options.json.write_text(json.dumps(bench.results.as_json(), indent=1) + "\n")
    return status or int(bool(bench.results.broken_promises() or bench.results.failures))


if __name__ == "__main__":
    sys.exit(main())
