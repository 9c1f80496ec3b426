"""The bench's results as tables for readers and as JSON for programs."""

import os
import platform
import statistics
import time
from collections import defaultdict
from pathlib import Path

import attrs

from tests.bench.load import LoadTable
from tests.bench.measures import BY_SLUG, MEASURES

#: Promise S1: members and T, and what a daemon stays below then.
IDLE_CELL, IDLE_CPU_PERCENT, IDLE_RSS_MB = (3, 2.0), 0.3, 50.0

HEADER = (
    f"{'':36} {'N':>3} {'n':>3} {'median':>8} {'maximum':>8} {'promise':>8} {'aim':>6}   "
    f"{'12*N*T':>7} {'median':>7} {'maximum':>7}"
)
ABOVE = f"{'':36} {'':>3} {'':>3} {'seconds':>8} {'':>8} {'':>8} {'':>6}   {'HTCondor 25.14':>14}"


def machine():
    """Return what the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


class Results:
    """Everything measured so far."""

    def __init__(self):
        self.machine = machine()
        #: Seconds by T, slug and members.
        self.seconds = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        self.costs = []
        #: What was measured of replication (`state_figures.Section`).
        self.sections = []
        self.load = LoadTable()
        #: What other tools were measured to do beside ours (`rivals.comparison.Comparison`).
        self.comparisons = []
        #: What went wrong: a pool that did not come into order, a scenario that could not be measured.
        self.failures = []
        #: What could not be measured here, and why.
        self.notes = []
        self.load_averages = []

    def keep(self, timeout_seconds, members, slug, seconds):
        """Keep one figure."""
        self.seconds[timeout_seconds][slug][members].append(seconds)

    def broken_promises(self):
        """Return the cells whose maximum is above the promise, as text."""
        found = []
        for t, slugs in self.seconds.items():
            for slug, cells in slugs.items():
                promise = BY_SLUG[slug].promise
                for members, values in cells.items():
                    if promise is not None and max(values) > promise(t):
                        late = sum(value > promise(t) for value in values)
                        found.append(
                            f"{BY_SLUG[slug].title}, N={members}, T={t:g}: {late} of {len(values)} runs above "
                            f"{promise(t):g} s, the worst {max(values):.3f} s"
                        )
        found += [line for cost in self.costs for line in _broken_by(cost)]
        parts = (*self.sections, self.load, *self.comparisons)
        return found + [line for part in parts for line in part.broken()]

    def as_json(self):
        """Return everything as plain values."""
        cells = [
            {"timeout_seconds": t, "members": members, "measure": slug, "seconds": values}
            for t, slugs in self.seconds.items()
            for slug, by_members in slugs.items()
            for members, values in by_members.items()
        ]
        return {
            "machine": self.machine,
            "load_averages": self.load_averages,
            "cells": cells,
            "idle": [attrs.asdict(cost) for cost in self.costs],
            "replication": [attrs.asdict(section) for section in self.sections],
            "load": attrs.asdict(self.load),
            "rivals": [comparison.as_plain() for comparison in self.comparisons],
            "failures": self.failures,
            "notes": self.notes,
        }

    # --- tables -----------------------------------------------------------------------------------------------

    def text(self):
        """Return all tables."""
        parts = [self._heading()]
        parts += [_table(t, slugs) for t, slugs in sorted(self.seconds.items())]
        if self.costs:
            parts.append(_idle_table(self.costs))
        parts += [section.text() for section in self.sections]
        if self.load.cells:
            parts.append(self.load.text())
        parts += [comparison.text() for comparison in self.comparisons if not comparison.is_empty]
        broken = [f"not held: {line}" for line in self.broken_promises()]
        wrong = [f"went wrong: {line}" for line in self.failures]
        notes = [f"not measured: {line}" for line in self.notes]
        parts.append("\n".join(notes + (broken + wrong or ["Every promise was held in every run."])))
        return "\n\n".join(parts)

    def _heading(self):
        m = self.machine
        loads = self.load_averages or [os.getloadavg()[0]]
        return (
            f"{m['date']}, {m['processor']}, {m['cores']} cores, Linux {m['kernel']}, Python {m['python']}; "
            f"load average {min(loads):.1f} to {max(loads):.1f}"
        )


def _broken_by(cost):
    """Return what one daemon's idle cost breaks of promise S1, as text."""
    if (cost.members, cost.timeout_seconds) != IDLE_CELL:
        return
    cpu_percent = cost.cpu_percent + cost.guard_cpu_percent
    if cpu_percent >= IDLE_CPU_PERCENT:
        yield f"idle {cost.role}: {cpu_percent:.2f} % of a core, guard included (promise {IDLE_CPU_PERCENT:g} %)"
    if cost.rss_mb >= IDLE_RSS_MB:
        yield f"idle {cost.role}: {cost.rss_mb:.1f} MB resident (promise {IDLE_RSS_MB:g} MB)"


def _table(t, slugs):
    lines = [f"T = {t:g} s", ABOVE, HEADER]
    for measure in MEASURES:
        for members, values in sorted(slugs.get(measure.slug, {}).items()):
            lines.append(_row(measure, t, members, values))
    return "\n".join(lines)


def _row(measure, t, members, values):
    promise = measure.promise(t) if measure.promise else None
    mark = "!" if promise is not None and max(values) > promise else " "
    median, maximum = measure.condor.get((members, t), (None, None))
    formula = 12 * members * t if measure.has_formula else None
    return (
        f"{measure.title:36} {members:3} {len(values):3} {statistics.median(values):8.3f} {max(values):8.3f}"
        f"{mark}{_number(promise, 7, 3)} {_number(measure.aim(t) if measure.aim else None, 6, 2)}   "
        f"{_number(formula, 7, 1)} {_number(median, 7, 1)} {_number(maximum, 7, 1)}"
    )


def _number(value, width, digits):
    return " " * (width - 1) + "-" if value is None else f"{value:{width}.{digits}f}"


def _idle_table(costs):
    lines = [
        "Idle (promise, N = 3, T = 2: less than 0.3 % of a core and 50 MB resident for a daemon)",
        f"{'':24} {'CPU %':>6} {'guard':>6}   {'RSS MB':>6} {'PSS':>5} {'USS':>5} {'guard PSS':>9}   {'bytes/s':>8}",
    ]
    for c in costs:
        count = "-" if c.bytes_per_second is None else f"{c.bytes_per_second:.0f}"
        title = f"N = {c.members}, T = {c.timeout_seconds:g}, {c.role}"
        lines.append(
            f"{title:24} {c.cpu_percent:6.3f} {c.guard_cpu_percent:6.3f}   {c.rss_mb:6.1f} {c.pss_mb:5.1f} "
            f"{c.uss_mb:5.1f} {c.guard_pss_mb:9.1f}   {count:>8}"
        )
    return "\n".join(lines)
