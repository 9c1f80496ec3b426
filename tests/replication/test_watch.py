"""Watching real files: every write is reported soon, bursts are few reports, and the files of others are none."""

import time

import pytest
import trio

from replication.inotify import Inotify
from replication.watch import FAST_POLL_SECONDS, SPACING_SECONDS, Watcher

pytestmark = pytest.mark.timed

#: A report that has not come by then is late: R1's second leaves room for the transfer.
SOON_SECONDS = 0.5


async def reports(watcher, seconds):
    """Collect the times of all reports within a time."""
    times = []
    with trio.move_on_after(seconds):
        while True:
            await watcher.changed()
            times.append(time.monotonic())
    return times


async def is_reported(watcher, seconds=SOON_SECONDS):
    """Whether a report comes soon."""
    with trio.move_on_after(seconds):
        await watcher.changed()
        return True
    return False


def append(path):
    """Write a line."""
    with path.open("a") as file:
        file.write("line\n")


@pytest.mark.parametrize("has_inotify", [True, False])
@pytest.mark.parametrize(("rate", "count"), [(1, 2), (10, 15), (100, 100)])
async def test_every_write_is_followed_by_a_report(tmp_path, rate, count, has_inotify):
    """At 1, 10 and 100 writes a second; the reports are never more than twenty a second."""
    path = tmp_path / "log"
    path.touch()
    writes = []

    async def write():
        began = trio.current_time()
        for number in range(count):
            await trio.sleep_until(began + number / rate)
            append(path)
            writes.append(time.monotonic())

    with Watcher((path,), has_inotify=has_inotify) as watcher:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            times = await reports(watcher, count / rate + 2 * FAST_POLL_SECONDS)
    for written in writes:
        assert any(written <= reported + 0.01 and reported - written < SOON_SECONDS for reported in times)
    assert len(times) <= min(count, count / rate / SPACING_SECONDS) + 2


async def test_a_quiet_file_is_never_reported(tmp_path):
    """Neither are writes to its neighbours, to leftovers of transfers, and reading it."""
    path = tmp_path / "log"
    path.write_text("x")
    with Watcher((path,)) as watcher:
        for name in ("other", "log.tmp", "log.77.down", ".log"):
            (tmp_path / name).write_text("x")
        path.read_text()
        assert not await is_reported(watcher, 0.3)
        append(path)
        assert await is_reported(watcher)
        assert not await is_reported(watcher, 0.3)


async def test_what_changed_since_the_watch_began_is_reported(tmp_path):
    """Even if nobody was waiting then; several changes are one report."""
    path = tmp_path / "log"
    path.touch()
    with Watcher((path,)) as watcher:
        append(path)
        append(path)
        await trio.sleep(0.05)
        append(path)
        assert await is_reported(watcher)
        assert not await is_reported(watcher, 0.3)


async def test_another_file_under_the_name_is_reported_and_so_are_its_changes(tmp_path):
    """A compacted log is renamed over the old one; then the new one is watched."""
    path = tmp_path / "log"
    path.write_text("old")
    with Watcher((path,)) as watcher:
        (tmp_path / "log.tmp").write_text("new")
        (tmp_path / "log.tmp").rename(path)
        assert await is_reported(watcher)
        append(path)
        assert await is_reported(watcher)
        path.unlink()
        assert await is_reported(watcher)
        path.write_text("again")
        assert await is_reported(watcher)


async def test_several_files_are_watched_in_their_folders(tmp_path):
    """Each of them is reported."""
    (tmp_path / "folder").mkdir()
    paths = (tmp_path / "one", tmp_path / "folder" / "two")
    with Watcher(paths) as watcher:
        for path in paths:
            path.write_text("x")
            assert await is_reported(watcher)


async def test_a_folder_is_watched_with_all_that_is_in_it(tmp_path):
    """Also folders that were made later, and what was written into them before they could be watched."""
    folder = tmp_path / "jobs"
    (folder / "old").mkdir(parents=True)
    with Watcher((folder,), is_folder=True) as watcher:
        (folder / "old" / "file").write_text("x")
        assert await is_reported(watcher)
        (folder / "new" / "deep").mkdir(parents=True)
        (folder / "new" / "deep" / "file").write_text("x")
        assert await is_reported(watcher)
        await reports(watcher, 0.2)
        append(folder / "new" / "deep" / "file")
        assert await is_reported(watcher)
        (tmp_path / "neighbour").write_text("x")
        await reports(watcher, 0.2)
        (tmp_path / "neighbour").write_text("y")
        assert not await is_reported(watcher, 0.3)


async def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path):
    """The files are looked at meanwhile, and watched as soon as they can be."""
    path = tmp_path / "later" / "log"
    with Watcher((path,)) as watcher:
        assert "later" in watcher.fault
        path.parent.mkdir()
        path.write_text("x")
        assert await is_reported(watcher)
        assert watcher.fault is None
        append(path)
        assert await is_reported(watcher, FAST_POLL_SECONDS / 2)


async def test_without_news_the_floor_finds_the_change(tmp_path):
    """A file that was changed without any news is found at the interval, whatever its times say."""
    path = tmp_path / "log"
    path.write_text("x")
    with Watcher((path,), interval_seconds=0.2) as watcher:
        # A watch on a folder that has another name now tells of nothing that happens at the old one.
        watcher._inotify.close()
        watcher._inotify = Inotify()
        append(path)
        assert await is_reported(watcher)


async def test_an_idle_watcher_costs_nothing(tmp_path):
    """It sleeps in the kernel."""
    with Watcher((tmp_path / "log",)) as watcher:
        began = time.process_time()
        assert await reports(watcher, 0.5) == []
        assert time.process_time() - began < 0.05


async def test_whatever_waits_for_a_disk_is_done_where_it_is_told(tmp_path):
    """Nothing is looked at on the loop while the disk takes its time; a look that fails is a change like any other."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    may_go_on, begun = trio.Event(), trio.Event()

    async def perform(act):
        begun.set()
        await may_go_on.wait()
        act()

    watcher = Watcher((folder,), is_folder=True, perform=perform)
    watcher.begin()
    try:
        (folder / "new").mkdir()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.changed)
            await begun.wait()
            (folder / "new" / "file").write_text("x")
            may_go_on.set()
        append(folder / "new" / "file")
        assert await is_reported(watcher)
    finally:
        watcher.end()
