"""One schedule on a real pool, from the cold start to the last look at the disks: `burn(schedule, folder)`.

The daemons are real, each host is a network namespace on a wire that can be broken (`cables.py`), its state and its
HAD_DIR lie on small disks of their own, and the controllee is the demo's negotiator (`scribe.py`). Phases: everybody
starts and settles; the faults come as the schedule says; everything is mended and the pool has to settle; the
controllee falls silent, and what each member holds is read.
"""

import contextlib
import threading
import time
from pathlib import Path

from daemoncore import boottime
from tests.end_to_end.chaos.cables import Cables
from tests.end_to_end.chaos.checker import ALLOWANCE_SECONDS, settle_seconds
from tests.end_to_end.chaos.faults import Faults
from tests.end_to_end.chaos.history import (
    Final,
    Held,
    History,
    livings_in,
    reach_of,
    waited_seconds,
    writes_in,
)
from tests.end_to_end.pool import Pool
from tests.end_to_end.replica_stage import small_disk

ROOT = Path(__file__).parents[3]
SCRIBE = Path(__file__).with_name("scribe.py")
SHIFTED_CLOCK = Path(__file__).parents[1] / "shifted_clock"
DISK_BYTES = 16 * 2**20
SAMPLE_SECONDS = 0.15
START_SECONDS = 60
LOOK_SECONDS = 2
#: How long the pool is watched after it settled, in T.
STAY_TIMEOUTS = 3
#: How long the members have to hold the same state once nothing is written any more.
IN_STEP_SECONDS = 25

KNOBS = {
    # Who may speak is decided by address here, and by keys in test_security.py.
    "ALLOW_DAEMON": "*/10.77.0.*",
    "ALLOW_ADMINISTRATOR": "*/10.77.0.*",
    "SEC_DEFAULT_AUTHENTICATION": "OPTIONAL",
    "HAD_CONTROLLEE_STOP_TIMEOUT": 2,
    "MASTER_HAD_BACKOFF_CONSTANT": 1,
    "MASTER_HAD_BACKOFF_CEILING": 2,
    "MASTER_HAD_RECOVER_FACTOR": 2,
}

COMPLAINTS = ("Traceback", "handler_failed", "replication_crashed", "had_crashed", "CorruptLogError")
"""What no daemon and no controllee should ever say."""


def burn(schedule, folder, *, knobs=None):
    """Run a schedule in a new folder; return its history.

    Args:
        schedule: what happens.
        folder: where everything is kept; it must not exist.
        knobs: what is different from what the schedule says, for whoever wants to see the checker object.
    """
    with contextlib.ExitStack() as stack:
        pool = _make_pool(schedule, Path(folder), knobs or {})
        # Disks are taken away when nobody uses them any more.
        disks = stack.enter_context(contextlib.ExitStack())
        stack.callback(pool.close)
        for node in pool.nodes:
            for name in ("spool", "had") if node.replica else ("had",):
                disks.enter_context(small_disk(node.folder / name, DISK_BYTES))
        watcher = Watcher(pool)
        stack.callback(watcher.close)
        return _story(schedule, pool, watcher)


def _make_pool(schedule, folder, knobs):
    pool = Pool(
        folder,
        schedule.candidates,
        witnesses=schedule.witnesses,
        timeout_seconds=schedule.timeout_seconds,
        has_primary=schedule.has_primary,
        has_replication=True,
        network=Cables,
        knobs=KNOBS | {"HAD_REQUIRE_MAJORITY": schedule.has_majority} | knobs,
    )
    for node in pool.nodes:
        node.environment = {
            "SHIFTED_CLOCK": str(node.folder / "shift"),
            "PYTHONPATH": f"{SHIFTED_CLOCK}:{ROOT}",
        }
        node.configure(KEEPER_ARGS=f"-I -S {SCRIBE} {node.lives_file}")
    return pool


def _story(schedule, pool, watcher):
    pool.start()
    pool.wait_settled(seconds=START_SECONDS)
    settled_at = boottime.now()
    faults = Faults(pool)
    _break(schedule, faults)
    faults.end_all()
    mended_at = boottime.now()
    _rest(schedule, pool, mended_at, watcher)
    ended_at = boottime.now()
    finals = _finals(pool)
    watcher.close()
    return History(
        schedule,
        settled_at,
        mended_at,
        ended_at,
        tuple(faults.happened),
        tuple(life for node in pool.nodes for life in livings_in(_lines(node.lives_file), node.index)),
        tuple(w for node in pool.nodes for w in writes_in(_lines(f"{node.lives_file}.writes"), node.index)),
        tuple(watcher.held),
        finals,
        tuple(watcher.waited),
        boottime.now(),
    )


def _break(schedule, faults):
    """Let every fault begin and end at its time; a late one does not move the others."""
    acts = [(fault.at, faults.begin, fault) for fault in schedule.faults]
    acts += [(fault.at + fault.seconds, faults.end, fault) for fault in schedule.faults]
    began = time.monotonic()
    for at, act, fault in sorted(acts, key=lambda one: one[0]):
        time.sleep(max(0.0, began + at - time.monotonic()))
        act(fault)


def _rest(schedule, pool, mended_at, watcher):
    """Wait until the pool looks settled or its time is over, and then a while longer, for it has to stay so.

    The checker judges by what the controllees recorded.
    """
    seconds = settle_seconds(schedule) + ALLOWANCE_SECONDS
    while boottime.now() < mended_at + min(
        seconds + waited_seconds(watcher.waited, mended_at, boottime.now()), 3 * seconds
    ):
        with contextlib.suppress(AssertionError):
            pool.wait_settled(pool[0] if schedule.has_primary else None, LOOK_SECONDS)
            break
    time.sleep(STAY_TIMEOUTS * schedule.timeout_seconds)


def _lines(path):
    path = Path(path)
    return path.read_text().splitlines() if path.exists() else []


def _finals(pool):
    """Let the controllee fall silent, wait until all hold one state, and look at every disk."""
    candidates = [node for node in pool.nodes if node.replica]
    for node in candidates:
        Path(f"{node.lives_file}.quiet").touch()
    deadline = time.monotonic() + IN_STEP_SECONDS
    while time.monotonic() < deadline:
        reaches = [_reach(node) for node in candidates]
        points = {node.replica.point() for node in candidates}
        if len(points) == 1 and all(r == reaches[0] for r in reaches) and not any(map(_torn, candidates)):
            break
        time.sleep(0.2)
    return tuple(final_of(node) for node in pool.nodes)


def final_of(node):
    """Return what a member holds, and how."""
    complaints = [word for word in COMPLAINTS if word in node.log() + node.errors()]
    if not node.replica:
        return Final(node.index, {}, (), "", tuple(complaints))
    complaints += [word for word in COMPLAINTS if word in node.replica.log() + node.replica.errors()]
    conflicts = tuple(reach_of(data) for data in node.replica.conflicts().values())
    return Final(node.index, _reach(node), conflicts, _torn(node), tuple(complaints))


def _torn(node):
    try:
        return node.replica.torn()
    except (OSError, ValueError) as problem:
        return f"state or version cannot be read: {problem!r}"


def _reach(node):
    try:
        return reach_of(node.replica.state_file.read_bytes())
    except OSError:
        return {}


class Watcher:
    """Looks at every state file, and at how long the pool's daemons wait for a processor, until it is closed."""

    def __init__(self, pool):
        self._pool = pool
        self._is_over = threading.Event()
        self.held = []
        self.waited = []
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self):
        """Look no more."""
        self._is_over.set()
        self._thread.join()

    def _watch(self):
        while not self._is_over.wait(SAMPLE_SECONDS):
            for node in self._pool.nodes:
                if node.replica and (reach := _reach(node)):
                    self.held.append(Held(node.index, boottime.now(), reach))
            delays = {pid: delay for node in self._pool.nodes for pid, delay in _delays(node)}
            self.waited.append((boottime.now(), delays))


def _delays(node):
    """Give the daemons of a host, with the seconds that each has waited for a processor; none where nobody counts."""
    for pid in (process.pid for process in node.processes()):
        with contextlib.suppress(OSError, IndexError):
            yield pid, int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
