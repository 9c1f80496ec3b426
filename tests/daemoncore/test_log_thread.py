"""The log's thread: a line is written when the call returns, unless the disk stands still; then nobody waits for it."""

import threading
import time

import pytest

from daemoncore.log_file import LogFile, RotationLimit
from daemoncore.log_thread import LogThread

#: What a call may take on a busy machine, and a disk that stands still never would.
SOON_SECONDS = 5.0


class Disk:
    """A log file on a disk that can stand still, in the place of a `LogFile`."""

    def __init__(self):
        self.works = threading.Event()
        self.works.set()
        self.lines = []
        self.is_closed = False
        self.lost_count = 0
        self.failure = None

    def write(self, header, text):
        """Take a line when the disk works."""
        self.works.wait()
        self.lines.append(header + text)

    def touch(self):
        """Wait for the disk as well."""
        self.works.wait()

    def close(self):
        """No more lines."""
        self.is_closed = True


@pytest.fixture
def disk():
    """One that works, and does so again at the end."""
    disk = Disk()
    yield disk
    disk.works.set()


@pytest.fixture
def lost():
    """What went to the fallback."""
    return []


def test_a_line_is_in_the_file_when_the_call_returns(tmp_path):
    """Whoever reads the file next finds it, so nobody notices the thread."""
    path = tmp_path / "log"
    fallback = [].append
    log = LogThread(
        lambda: LogFile(path, limit=RotationLimit(0), fallback=fallback),
        fallback,
        patience_seconds=SOON_SECONDS,
    )
    for number in range(10):
        log.write("now ", f"event number={number}")
        assert path.read_text().endswith(f"now event number={number}\n")
    log.close(SOON_SECONDS)
    assert len(path.read_text().splitlines()) == 10


def test_a_disk_that_stands_still_costs_one_wait(disk, lost):
    """The first call gives up soon and the later ones do not wait; all lines come in order when the disk is back."""
    log = LogThread(lambda: disk, lost.append, patience_seconds=0.02)
    disk.works.clear()
    began = time.monotonic()
    for number in range(500):
        log.write("", str(number))
    log.touch()
    # With a wait of its own for each it would take more than 10 s.
    assert time.monotonic() - began < SOON_SECONDS
    assert disk.lines == []
    disk.works.set()
    log.close(SOON_SECONDS)
    assert disk.lines == [str(number) for number in range(500)]
    assert disk.is_closed
    assert lost == [] and log.lost_count == 0


def test_lines_beyond_the_limit_are_counted(disk, lost):
    """A disk that is away for long does not fill the memory; what does not fit is told elsewhere."""
    log = LogThread(lambda: disk, lost.append, patience_seconds=0.02, most_waiting=3)
    disk.works.clear()
    for number in range(10):
        log.write("now ", str(number))
    disk.works.set()
    log.close(SOON_SECONDS)
    told = [line.decode().removeprefix("now ").strip() for line in lost]
    assert disk.lines + [f"now {number}" for number in told] == [f"now {number}" for number in range(10)]
    assert 5 <= len(lost) <= 7
    assert log.lost_count == len(lost)


def test_a_folder_that_stands_still_does_not_stop_the_start(disk, lost):
    """Opening is the thread's work too."""
    opens = threading.Event()

    def open_file():
        opens.wait()
        return disk

    began = time.monotonic()
    log = LogThread(open_file, lost.append)
    log.write("", "first")
    assert time.monotonic() - began < SOON_SECONDS
    assert log.failure is None and log.lost_count == 0
    opens.set()
    log.close(SOON_SECONDS)
    assert disk.lines == ["first"]


def test_closing_does_not_wait_for_ever(disk, lost):
    """A daemon ends though its log cannot."""
    log = LogThread(lambda: disk, lost.append)
    disk.works.clear()
    log.write("", "never")
    began = time.monotonic()
    log.close(0.05)
    assert time.monotonic() - began < SOON_SECONDS


def test_a_defect_does_not_end_the_log(disk, lost):
    """What should not happen in the file is said, and the next line is written."""
    log = LogThread(lambda: disk, lost.append, patience_seconds=SOON_SECONDS)
    right, disk.write = disk.write, None
    log.write("", "first")
    disk.write = right
    log.write("", "second")
    log.close(SOON_SECONDS)
    assert disk.lines == ["second"]
    assert b"log_thread_failed" in lost[0]
