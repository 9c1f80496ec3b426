"""The parts of the demo that need no pool: its folder, its processes, its arithmetic."""

import subprocess
import sys

import attrs
import pytest
import trio

from had.ctl.demo import measurement
from had.ctl.demo.books import Books, signature
from had.ctl.demo.managers import DAEMONS, HAD, REPLICATION, Known, Managers, known, left_over, stop, tree
from had.ctl.demo.measurement import Measurement
from had.ctl.demo.own_words import OwnWords, own_words
from had.ctl.demo.place import MANAGERS, MARK, Place, PlaceError, find_source
from had.ctl.demo.stage import without_conflicts
from had.ctl.demo.watching import Life, Watch
from had.ctl.pool import Answer, Pool
from had.ctl.replica_status import Conflict, Held, ReplicaStatus
from had.ctl.replicas import Replicas

SLEEPER = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys; p = subprocess.Popen(sys.argv[1:]); p.wait()",
    *SLEEPER,
]


@pytest.fixture
def place(tmp_path):
    """A place of the test's own, prepared."""
    made = Place(tmp_path / "demo", find_source())
    made.prepare()
    return made


@pytest.fixture
def sleeper():
    """A process that sleeps, and one below it."""
    with subprocess.Popen(PARENT, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        pids = tree(process.pid)
        yield process
        for pid in pids:
            if one := known(pid):
                one.send(9)


def test_the_callers_configuration_does_not_reach_the_demo(place):
    """Knobs and configuration files of the caller's environment are left out; the rest stays."""
    base = {
        "HAD_CONFIG": "x",
        "CONDOR_CONFIG": "x",
        "_condor_HAD_LIST": "x",
        "_CONDOR_LOG": "x",
        "PATH": "/bin",
    }
    environment = place.environment(base)
    assert environment["PATH"] == "/bin"
    assert not {"HAD_CONFIG", "CONDOR_CONFIG", "_condor_HAD_LIST", "_CONDOR_LOG"} & environment.keys()
    assert environment["_CONDOR_DEMO_DIR"] == str(place.folder)


def test_a_place_is_made_anew_and_removed(place):
    """Preparing empties the folder, which has the mark and each manager's folders; removing takes it away."""
    (place.folder / "old").write_text("x")
    place.prepare()
    assert sorted(path.name for path in place.folder.iterdir()) == [
        *(place.entry(name) for name in MANAGERS),
        MARK,
    ]
    assert all(place.accounts(name).parent.is_dir() for name in MANAGERS)
    place.remove()
    assert not place.folder.exists()
    place.remove()


def test_only_a_marked_folder_is_removed(place):
    """Without the mark the folder stays, whatever it is called."""
    (place.folder / MARK).unlink()
    for act in (place.remove, place.prepare):
        with pytest.raises(PlaceError, match="no demo made it"):
            act()
    assert place.folder.exists()


def test_a_process_is_known_by_its_start(sleeper):
    """The same id with another start time is another process, and is not signalled."""
    found = known(sleeper.pid)
    stranger = Known(found.pid, found.start_ticks + 1)
    stranger.send(9)
    assert found.is_alive
    assert not stranger.is_alive
    assert known(2**22 + 1) is None


def test_stopping_ends_everything_below(sleeper):
    """A daemon that is stopped takes everything below it along, even if it does not hear SIGTERM."""
    below = [known(pid) for pid in tree(sleeper.pid)]
    assert len(below) == 2
    stop([below[0]])
    assert not any(one.is_alive for one in below)


def test_left_over_processes_are_found_again(place, sleeper):
    """The register names the processes that still run, and only those."""
    found = known(sleeper.pid)
    place.register.write_text(
        f'[{{"pid": {found.pid}, "start_ticks": {found.start_ticks}}}, {{"pid": {found.pid}, "start_ticks": 1}}]'
    )
    assert left_over(place) == [found]
    for damaged in ("", "[1]", '[{"pid": "x"}]', "{}"):
        place.register.write_text(damaged)
        assert left_over(place) == []


async def test_overlaps_are_added_up(place):
    """Two negotiators that ran side by side are counted for as long as they did; others are not."""
    watch = Watch(Managers(place, {}), place)
    watch.lives = [
        Life("manager1", 1, 10.0, -1, 0, 20.0),
        Life("manager2", 2, 19.5, -1, 0, 30.0),
        Life("manager3", 3, 30.0, -1, 0, 31.0),
        Life("manager1", 4, 31.5, -1, 0, 32.0),
    ]
    assert watch.overlap_seconds() == pytest.approx(0.5)


def test_a_promise_is_kept_in_time_only():
    """At the limit is kept; later, or never, is not."""
    assert Measurement("P1", "x", 2.0, 2.0).is_kept
    assert not Measurement("P1", "x", 2.0, 2.001).is_kept
    assert not Measurement("P1", "x", 2.0, None).is_kept
    assert measurement.stabilisation_seconds(3, 1) == 36


def test_the_table_shows_what_was_broken():
    """A row has the promise, the limit, what was measured, and a NO that one sees."""
    text = measurement.table(
        [
            Measurement("P4", "killed", 0.2, 0.0213),
            Measurement("P1", "died", 2.0, None, "36 s"),
            Measurement("P3", "moved", 0.0, 0.0, is_usage=True),
            Measurement("P6", "back", 0.0, 8.0, is_usage=True),
        ]
    )
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["P4", "killed", "0.20", "s", "0.021", "s", "yes", "-"],
        ["P1", "died", "2.00", "s", "never", "NO", "36", "s"],
        ["P3", "moved", "nothing", "nothing", "yes", "-"],
        ["P6", "back", "nothing", "8", "s", "used", "NO", "-"],
    ]


LOG = (
    b"107 1 CreationTimestamp 1700000000\n"
    b"101 Accountant. * *\n101 Customer.ann@x * *\n101 Customer.bob@x * *\n"
    b"103 Customer.ann@x AccumulatedUsage 7.000000\n"
    b"105 \n103 Customer.bob@x AccumulatedUsage 3.000000\n106 #epoch=130 cycle=1\n"
)
UNFINISHED = b"105 \n103 Customer.bob@x AccumulatedUsage 99.000000\n"
NEXT = b"105 \n103 Customer.bob@x AccumulatedUsage 5.000000\n106 #epoch=130 cycle=2\n"


def test_a_copy_is_read_up_to_its_last_finished_transaction(place):
    """What a manager's file says is what each user was charged for; half a transaction and no file say nothing."""
    books = Books(place)
    assert books.of("manager1").usage_seconds == {}
    place.accounts("manager1").write_bytes(LOG + UNFINISHED)
    assert books.of("manager1").usage_seconds == {"ann@x": 7.0, "bob@x": 3.0}
    assert books.of("manager1").total_seconds == 10.0
    assert [line.split() for line in books.table().splitlines()] == [
        ["USED", "SECONDS", "127.0.0.1", "127.0.0.2", "127.0.0.3"],
        ["ann@x", "7", "-", "-"],
        ["bob@x", "3", "-", "-"],
        ["(all)", "10", "0", "0"],
    ]
    place.accounts("manager1").write_bytes(b"garbage\n106 \n")
    assert books.of("manager1").usage_seconds == {}


def test_a_transaction_goes_by_its_signature():
    """The signature is the last finished transaction's; there is none in an empty file, nor before its line is whole."""
    assert signature(LOG) == signature(LOG + UNFINISHED) == b"#epoch=130 cycle=1"
    assert signature(LOG + NEXT) == b"#epoch=130 cycle=2"
    assert signature((LOG + NEXT)[:-1]) == b"#epoch=130 cycle=1"
    assert signature(b"") == signature(b"107 1 CreationTimestamp 1\n") == b""


async def test_a_change_is_timed_until_the_last_copy_has_it(place, autojump_clock):
    """The time runs from the leader's write to the moment when every other copy holds that transaction."""
    books = Books(place)
    for name in MANAGERS:
        place.accounts(name).write_bytes(LOG)
    took = []

    async def spread():
        took.append(await books.spread_seconds("manager2", ["manager1", "manager3"]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(spread)
        for name, pause in (("manager1", 5.0), ("manager2", 0.1), ("manager1", 0.3), ("manager3", 0.0)):
            # Whatever the others write meanwhile is none of the leader's.
            data = LOG + UNFINISHED if pause == 5.0 else LOG + NEXT
            place.accounts(name).write_bytes(data)
            await trio.sleep(pause)
    assert took == [pytest.approx(0.4, abs=0.01)]
    assert await books.reached("manager3", 12.0) == trio.current_time()


STARTED = "started node=n epoch=1 state=stale users=4 used=40 dropped_bytes=0 file=/f\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", None),
        ("cycle=9 epoch=1 matched=0 users=4 used=39\nstopped cycle=9 epoch=1 signal=SIGTERM\n", None),
        (STARTED, OwnWords("stale", 40.0, 40.0)),
        (f"cycle=9 epoch=1 matched=0 users=4 used=39\n{STARTED}", OwnWords("stale", 40.0, 40.0)),
        (f"{STARTED}cycle=1 epoch=1 matched=3 users=4 used=48\n", OwnWords("stale", 40.0, 48.0)),
        (
            f"{STARTED}cycle=1 epoch=1 matched=3 users=4 used=48\n{STARTED}cycle=1 epoch=1 matched=3 users=4 used=99\n",
            OwnWords("stale", 40.0, 48.0),
        ),
    ],
)
def test_a_negotiator_testifies_for_its_own_life(text, said):
    """What it found and wrote last is read from its own lines, between what the lives before and after it wrote."""
    assert own_words(text) == said


def test_each_daemon_of_a_manager_is_its_own(place):
    """Both daemons of a manager are started once, killed alone or together, and found again by the register."""
    managers = Managers(place, {}, SLEEPER)
    managers.start("manager1")
    managers.start("manager1")
    pids = {daemon: managers.pid("manager1", daemon) for daemon in DAEMONS}
    try:
        assert len({*pids.values()} - {None}) == 2
        assert sorted(one.pid for one in left_over(place)) == sorted(pids.values())
        managers.kill("manager1", REPLICATION)
        managers.bury("manager1", REPLICATION)
        assert managers.pid("manager1", REPLICATION) is None
        assert managers.pid("manager1") == pids[HAD]
        assert [one.pid for one in left_over(place)] == [pids[HAD]]
        managers.silence("manager1")
        managers.bury_host("manager1")
        assert managers.pid("manager1") is None
    finally:
        managers.stop_all()
    assert left_over(place) == []


def test_what_is_kept_for_people_keeps_no_act_waiting():
    """A pool that keeps a diverged state is in order for the demo, which shows such a state before it is merged."""
    held = Held(130, 3, 100, "x")
    conflict = Conflict("120.1-abc", Held(120, 1))
    status = ReplicaStatus("a:1", "leader", "a:1", 130, held, conflicts=(conflict,))
    pool = Pool(("a:9",), replicas=Replicas(("a:1",), {"a:1": Answer("a:1", {}, status)}))
    assert pool.replicas.statuses["a:1"].conflicts
    assert without_conflicts(pool).replicas.statuses["a:1"] == attrs.evolve(status, conflicts=())
    assert without_conflicts(Pool(("a:9",))) == Pool(("a:9",))
