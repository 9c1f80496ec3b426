"""What is looked at in a long life, how each figure goes on over the hours, and whether that is growth.

A figure's *slope* is the median of the slopes between all pairs of its samples (Theil and Sen), so a few samples at a
bad moment do not matter, and what goes up and down with who leads does not either. It counts as growth when it is above
what is allowed an hour. What has a bound must besides never be above it.
"""

import itertools
import statistics

import attrs

from replication.version import LINEAGE_LIMIT


@attrs.frozen
class Measure:
    """One thing that is looked at."""

    title: str
    unit: str = ""
    #: Growth an hour that is none; None for what has a bound, up to which it may grow.
    allowed: float | None = None
    #: What no sample may exceed; None for what has no bound.
    bound: float | None = None
    #: What is made once takes so long to be made.
    settles_minutes: float = 0.0
    digits: int = 0


#: What the pool's own controllee writes: a log of 300 transactions, then a new one.
_STATE_KB = 30

MEASURES = {
    # The allocators still settle after an hour: 10 MB/h in the first ten minutes, 1 MB/h in the last.
    "rss": Measure("resident memory", "MB", allowed=3.0, settles_minutes=30, digits=1),
    # It rises when other programs of the machine end, with whom pages were shared: shown, and not judged.
    "pss": Measure("proportional memory", "MB", digits=1),
    "descriptors": Measure("descriptors", allowed=1.0),
    "threads": Measure("threads", allowed=1.0),
    "descendants": Measure("processes below it", allowed=0.5),
    # A process that has just ended is one until it is waited for.
    "zombies": Measure("zombies below it", allowed=0.5, bound=2),
    # A look at a daemon that takes long to answer leaves one, which ends when it was not used for an hour.
    "server_sessions": Measure("sessions of callers", allowed=6.0),
    "client_sessions": Measure("sessions of its calls", allowed=2.0),
    "series": Measure("time series", allowed=0.0),
    # The history of 50 changes, and what is under way.
    "status": Measure("/status", "KB", bound=16, digits=1),
    # Three files of 16 KB, each of which may have one line more.
    "log": Measure("log files", "KB", bound=3 * (16.4 + 4), digits=1),
    # Eight ancestors of two files each, and what is being kept or written at this moment.
    "own_files": Measure("files in HAD_DIR", bound=24),
    "own_bytes": Measure("bytes in HAD_DIR", "KB", bound=10 * _STATE_KB, digits=1),
    # The state and its version, and what is being received or written anew.
    "spool_files": Measure("files in SPOOL", bound=5),
    "spool_bytes": Measure("bytes in SPOOL", "KB", bound=3 * _STATE_KB, digits=1),
    "lineage": Measure("lineage of the version", bound=LINEAGE_LIMIT),
    "lag": Measure("worst lag, as the leader sees it", "s", bound=10, digits=2),
}


@attrs.define
class Series:
    """The samples of one measure at one process."""

    measure: Measure
    owner: str
    minutes: list[float] = attrs.field(factory=list)
    values: list[float] = attrs.field(factory=list)

    def add(self, minutes, value):
        """Keep a sample."""
        self.minutes.append(minutes)
        self.values.append(value)

    def since(self, minutes):
        """Return the samples from then on."""
        kept = [(at, value) for at, value in zip(self.minutes, self.values, strict=True) if at >= minutes]
        return attrs.evolve(self, minutes=[at for at, _ in kept], values=[value for _, value in kept])

    def slope_per_hour(self):
        """Return how much it grows in an hour; 0 with fewer than two samples."""
        pairs = itertools.combinations(zip(self.minutes, self.values, strict=True), 2)
        slopes = [60 * (later - value) / (then - at) for (at, value), (then, later) in pairs if then > at]
        return statistics.median(slopes) if slopes else 0.0

    def verdict(self):
        """Return what is wrong, empty if nothing is."""
        allowed, bound = self.measure.allowed, self.measure.bound
        if bound is not None and self.values and max(self.values) > bound:
            return f"was {max(self.values):.{self.measure.digits}f}, bound {bound:g}"
        if allowed is not None and (slope := self.slope_per_hour()) > allowed:
            return f"grows by {slope:.{max(1, self.measure.digits)}f} {self.measure.unit}/h"
        return ""

    def _good(self):
        if self.measure.bound is not None:
            return f"within {self.measure.bound:g}"
        return "-" if self.measure.allowed is None else "flat"

    def row(self):
        """Return its line in the table."""
        digits = self.measure.digits
        if not self.values:
            return f"{self.owner:28} nothing to be judged before minute {self.measure.settles_minutes:g}"
        return (
            f"{self.owner:28} {len(self.values):4} {self.values[0]:10.{digits}f} "
            f"{statistics.median(self.values):10.{digits}f} {max(self.values):10.{digits}f} "
            f"{self.values[-1]:10.{digits}f} {self.slope_per_hour():+10.{max(1, digits)}f}  {self.verdict() or self._good()}"
        ).rstrip()


def table(all_series):
    """Return the tables, one for each measure."""
    lines = []
    for measure in dict.fromkeys(series.measure for series in all_series):
        unit = f" ({measure.unit})" if measure.unit else ""
        lines.append(
            f"\n{measure.title + unit:28} {'n':>4} {'first':>10} {'median':>10} {'maximum':>10} {'last':>10} {'an hour':>10}"
        )
        lines += [series.row() for series in all_series if series.measure == measure]
    return "\n".join(lines).lstrip("\n")
