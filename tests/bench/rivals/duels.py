"""keepalived and etcd's lock beside had, through the same faults in the same run: `make bench BENCH="--only rivals"`.

Each rival is paired with had at a timeout of the same patience: about as long a silence until a host counts as dead.
keepalived has no quorum, so had has none there; etcd has one, so had leads by majority there. The two of a pair
run at the same time, each on hosts of its own, so that both meet the same machine; pairs run one after another, and all of
them before the next run.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import attrs

from tests.bench.rivals import etcd
from tests.bench.rivals.comparison import Comparison
from tests.bench.rivals.etcd import EtcdLock
from tests.bench.rivals.faults import FAULTS, RivalFaults
from tests.bench.rivals.had import Had
from tests.bench.rivals.keepalived import Keepalived
from tests.bench.rivals.programs import version, why_missing
from tests.end_to_end.networks import Namespaces


@attrs.frozen
class Pair:
    """A rival with its settings, and had's that go with it."""

    tool: str
    title: str
    programs: tuple[str, ...]
    #: Makes the rival, given a folder and its hosts.
    make: object
    timeout_seconds: float
    is_by_majority: bool
    #: About how long one run of all faults takes on a quiet machine.
    seconds: float

    def make_ours(self, folder, network):
        """Make the pool of ours."""
        return Had(folder, network, self.timeout_seconds, is_by_majority=self.is_by_majority)

    @property
    def ours(self):
        """How the pool of ours is set, as text."""
        return f"had, T = {self.timeout_seconds:g} s{', by majority' if self.is_by_majority else ''}"


def _keepalived(advert_seconds):
    return lambda folder, network: Keepalived(folder, network, advert_seconds)


def _etcd(timing, *, is_careful):
    return lambda folder, network: EtcdLock(folder, network, timing, is_careful=is_careful)


PAIRS = (
    Pair("keepalived", "adverts each 1 s, its default", Keepalived.programs, _keepalived(1), 4.0, False, 40),
    Pair("keepalived", "adverts each 0.1 s", Keepalived.programs, _keepalived(0.1), 0.4, False, 20),
    Pair(
        "etcd",
        "`etcdctl lock`, ttl 2, the server's defaults",
        EtcdLock.programs,
        _etcd(etcd.DEFAULT, is_careful=False),
        2.0,
        True,
        35,
    ),
    Pair(
        "etcd",
        "`etcdctl lock`, ttl 1, heartbeat 20 ms, election 100 ms, a script that ends the controllee with the lock",
        EtcdLock.programs,
        _etcd(etcd.TUNED, is_careful=True),
        1.0,
        True,
        30,
    ),
)

#: How many contenders of a kind are begun in one run, if they do not come into order.
MOST_TRIES = 3


class Duels:
    """Measures all pairs.

    Args:
        folder: for the files of all contenders.
        runs: how often each fault is done to each.
        say: told how far it is.
    """

    def __init__(self, folder, runs, say):
        self._folder = folder
        self._runs = runs
        self._say = say
        #: Which pairs are left out, and why.
        self.notes = []
        #: What went wrong with ours.
        self.failures = []
        self.load_averages = []
        self._is_told_to_end = threading.Event()
        self._pairs = []
        for pair in PAIRS:
            reason = why_missing(*pair.programs)
            if reason:
                self.notes.append(f"{pair.tool}, {pair.title}: {reason}")
            else:
                self._pairs.append(pair)
        self.comparisons = [
            Comparison(f"{pair.tool} {version(pair.tool)}", pair.title, pair.ours, pair.is_by_majority)
            for pair in self._pairs
        ]

    def estimate_seconds(self):
        """Return about how long it will take."""
        return self._runs * sum(pair.seconds for pair in self._pairs) + 12 * len(self._pairs)

    def measure(self):
        """Measure everything; what was measured is in `comparisons` even if it is interrupted."""
        for run in range(self._runs):
            for pair, comparison in zip(self._pairs, self.comparisons, strict=True):
                self._say(f"run {run + 1} of {self._runs}: {comparison.title}")
                self.load_averages.append(round(os.getloadavg()[0], 2))
                self._run(pair, comparison, run)

    def _run(self, pair, comparison, run):
        """Do all faults once to both of a pair, at the same time."""
        with ThreadPoolExecutor(2) as threads:
            both = [
                threads.submit(self._side, side, make, comparison, run)
                for side, make in (("rival", pair.make), ("ours", pair.make_ours))
            ]
            try:
                for one in both:
                    one.result()
            except KeyboardInterrupt:
                self._is_told_to_end.set()
                raise

    def _side(self, side, make, comparison, run):
        """Do all faults to one contender; one that does not come into order is replaced by a new one."""
        waiting = list(FAULTS)
        tries = 0
        while waiting and tries < MOST_TRIES:
            tries += 1
            folder = self._folder / f"{self.comparisons.index(comparison)}-{side}-{run}-{tries}"
            with make(folder, Namespaces(3)) as contender:
                contender.is_told_to_end = self._is_told_to_end
                faults = RivalFaults(contender, lambda slug, seconds: comparison.keep(side, slug, seconds))
                try:
                    faults.cold_start()
                    if side not in comparison.idle:
                        comparison.idle[side] = faults.idle()
                    while waiting:
                        getattr(faults, waiting[0])()
                        waiting.pop(0)
                except AssertionError as error:
                    self._replaced(side, comparison, error)

    def _replaced(self, side, comparison, error):
        """Count a contender that did not come into order; with ours that is a failure."""
        comparison.disorders[side] += 1
        first = str(error).partition("\n")[0]
        self._say(f"{comparison.ours if side == 'ours' else comparison.rival}: {first}")
        if side == "ours":
            self.failures.append((comparison.ours, error))
