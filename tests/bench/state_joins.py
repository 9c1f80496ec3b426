"""How a new replica gets the whole state (promise R4): through the daemons, beside what else could copy it.

The time is that from the start of an empty replica's daemon to its version on disk. So it has the start of two Python
programs in it, and the looking round of a new replica; of 1 MiB it is nothing else. A plain socket copy with SHA-256 on both ends
(two processes of thirty lines), rsync and socat copy the same file in the same run.
"""

import os
import shutil
import time

import attrs

from tests.bench.state_figures import Section
from tests.bench.state_pool import LOOK_SECONDS, START_SECONDS, StatePool, forget_peak, peak_mb, transferers
from tests.bench.transfer import make, plain, rsync, socat

MEBIBYTE = 1 << 20
#: Size, and how often.
SIZES = ((1 * MEBIBYTE, 3), (100 * MEBIBYTE, 3), (1024 * MEBIBYTE, 1))
#: R4 speaks of this size.
PROMISED_BYTES = 1024 * MEBIBYTE
PROMISED_SHARE = 0.5
#: Stands in for 10 GiB: memory that is the same for 1 MiB and for this is bounded.
SPARSE_BYTES = 4096 * MEBIBYTE
#: What must be free on the disk for that: two states and their copies beside.
SPARSE_ROOM_BYTES = 6 * SPARSE_BYTES

CLEAR = {"SEC_DEFAULT_ENCRYPTION": "NEVER", "SEC_DEFAULT_INTEGRITY": "NEVER"}
AES = {"SEC_DEFAULT_ENCRYPTION": "REQUIRED", "SEC_DEFAULT_INTEGRITY": "REQUIRED"}


@attrs.define
class Peaks:
    """The most memory of each kind of process, in MB."""

    leader: float = 0.0
    uploader: float = 0.0
    follower: float = 0.0
    downloader: float = 0.0

    def look(self, pool, follower):
        """Take note of what is resident now, or was."""
        up, down = pool.leader.replica.process.pid, follower.replica.process.pid
        self.leader, self.follower = max(self.leader, peak_mb(up)), max(self.follower, peak_mb(down))
        self.uploader = max([self.uploader, *(peak_mb(pid) for pid in transferers(up))])
        self.downloader = max([self.downloader, *(peak_mb(pid) for pid in transferers(down))])


#: What the columns of `Peaks` are.
PROCESSES = {
    "leader": "leader's daemon",
    "uploader": "leader's transferer",
    "follower": "new replica's daemon",
    "downloader": "new replica's transferer",
}


@attrs.define
class Joins:
    """What was measured so far."""

    #: Seconds by size and way.
    seconds: dict = attrs.field(factory=dict)
    #: Peaks by size and way.
    peaks: dict = attrs.field(factory=dict)

    def keep(self, size, way, seconds):
        """Keep one time."""
        self.seconds.setdefault((size, way), []).append(seconds)


def measure_joins(folder, surroundings, *, has_sparse):
    """Let empty replicas fetch states of all sizes, and return the sections."""
    network, needed = surroundings
    joins = Joins()
    for way, knobs in (("clear", CLEAR), ("AES", AES)):
        with StatePool(folder / way, (network, needed | knobs), members=2) as pool:
            for size, runs in SIZES:
                _fetch_all(pool, size, runs, way, joins)
                if way == "clear":
                    _copy_otherwise(folder, pool, size, runs, joins)
            if has_sparse and way == "AES":
                _fetch(pool, SPARSE_BYTES, way, joins, lambda file, size: file.truncate(size))
    return _sections(joins)


def may_have_sparse(folder):
    """Whether the disk has room for the largest state."""
    return shutil.disk_usage(folder).free > SPARSE_ROOM_BYTES


def _fetch_all(pool, size, runs, way, joins):
    block = os.urandom(MEBIBYTE)
    fill = lambda file, size: [file.write(block) for _ in range(size // MEBIBYTE)]  # noqa: E731 -- named for two lines
    for _ in range(runs):
        # Each time another state: the first bytes differ.
        block = os.urandom(16) + block[16:]
        _fetch(pool, size, way, joins, fill)


def _fetch(pool, size, way, joins, fill):
    """Make a state, and let a replica that has nothing fetch it."""
    follower = pool.followers[0]
    pool.empty(follower)
    before = pool.point(pool.leader) or (0, 0)
    pool.replace(size, fill)
    point = pool.wait_published(size, before)
    forget_peak(pool.leader.replica.process.pid)
    peaks = joins.peaks.setdefault((size, way), Peaks())
    began = time.monotonic()
    follower.replica.start()
    looked_at = began
    while (pool.point(follower) or (0, 0)) < point:
        assert time.monotonic() < began + 2 * START_SECONDS, pool.pool.story()
        if time.monotonic() > looked_at + 0.02:
            peaks.look(pool, follower)
            looked_at = time.monotonic()
        time.sleep(LOOK_SECONDS)
    joins.keep(size, way, time.monotonic() - began)
    peaks.look(pool, follower)
    pool.pool.wait(follower.replica.status, START_SECONDS, "the status of the new replica", 0.05)


def _copy_otherwise(folder, pool, size, runs, joins):
    source, target = folder / "source", folder / "target"
    make(source, size)
    ways = {"plain socket, SHA-256": lambda: plain(source, target, has_digest=True)}
    ways |= {"rsync": lambda: rsync(source, target)} if shutil.which("rsync") else {}
    ways |= {"socat": lambda: socat(source, target)} if shutil.which("socat") else {}
    for _ in range(runs):
        for name, copy in ways.items():
            target.unlink(missing_ok=True)
            joins.keep(size, name, copy()[0])
    source.unlink()
    target.unlink()


def _sections(joins):
    times = Section(
        "R4: the whole state to a new replica, from the start of its daemon", "s", beside="HTCondor 25.14"
    )
    condor = {100 * MEBIBYTE: "100 MB in 1.1/1.5/1.7", 1024 * MEBIBYTE: "15.6/16.6/17.9"}
    for (size, way), seconds in sorted(joins.seconds.items()):
        is_ours = way in {"clear", "AES"}
        title = f"{_size(size)}, {'daemons, ' if is_ours else ''}{way}"
        times.add(title, seconds, beside=condor.get(size, "") if is_ours else "")
    shares = Section("R4: rate of 1 GiB as a part of a plain socket copy's with SHA-256", "of its rate", 2)
    measure = min(joins.seconds.get((PROMISED_BYTES, "plain socket, SHA-256"), [0.0]))
    for way in ("clear", "AES"):
        seconds = joins.seconds.get((PROMISED_BYTES, way), [])
        parts = [measure / one for one in seconds]
        shares.add(f"daemons, {way}, start-up included", parts, PROMISED_SHARE, is_floor=True)
    largest = _size(max(size for size, _ in joins.peaks))
    memory = Section(f"R4: peak resident memory, for each size and way up to {largest}", "MB", 1)
    for name, title in PROCESSES.items():
        memory.add(title, [getattr(peaks, name) for peaks in joins.peaks.values()])
    return [times, shares, memory]


def _size(size):
    return f"{size // MEBIBYTE} MiB" if size < 1024 * MEBIBYTE else f"{size // (1024 * MEBIBYTE)} GiB"
