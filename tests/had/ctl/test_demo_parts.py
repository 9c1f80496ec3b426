"""The parts of the demo that need no pool: its folder, its processes, its arithmetic."""

import subprocess
import sys

import pytest

from had.ctl.demo import measurement
from had.ctl.demo.managers import Known, Managers, known, left_over, stop, tree
from had.ctl.demo.measurement import Measurement
from had.ctl.demo.place import MANAGERS, MARK, Place, PlaceError, find_source
from had.ctl.demo.watching import Life, Watch

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
    """Preparing empties the folder, which has the mark and a folder for each manager's log; removing takes it away."""
    (place.folder / "old").write_text("x")
    place.prepare()
    assert sorted(path.name for path in place.folder.iterdir()) == [
        *(place.entry(name) for name in MANAGERS),
        MARK,
    ]
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
        [Measurement("P4", "killed", 0.2, 0.0213), Measurement("P1", "died", 2.0, None, "36 s")]
    )
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["P4", "killed", "0.20", "s", "0.021", "s", "yes", "-"],
        ["P1", "died", "2.00", "s", "never", "NO", "36", "s"],
    ]
