"""The log file: rotation as HTCondor's, and a daemon that no disk can stop."""

import os
import subprocess

import pytest

from daemoncore.log_file import RETRY_SECONDS, LogFile, RotationLimit

DAY = 86400
#: 2026-11-22 00:00:00 UTC.
MIDNIGHT = 1795305600.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now=MIDNIGHT + 3600):
        self.now = now

    def __call__(self):
        """Give the time."""
        return self.now


@pytest.fixture
def clock():
    """The test's clock."""
    return Clock()


@pytest.fixture
def fallen():
    """What went to the fallback."""
    return []


@pytest.fixture
def open_log(tmp_path, clock, fallen):
    """Open logs named HADLog, and close them after the test."""
    logs = []

    def open_one(limit=RotationLimit(0), folder=tmp_path, **options):  # noqa: B008 - frozen
        log = LogFile(folder / "HADLog", limit=limit, fallback=fallen.append, clock=clock, **options)
        logs.append(log)
        return log

    yield open_one
    for log in logs:
        log.close()


@pytest.mark.parametrize(
    ("text", "amount", "is_time"),
    [
        ("640000", 640000, False),
        (" 10 Mb ", 10 << 20, False),
        ("10M", 10 << 20, False),
        ("1 mib", 1 << 20, False),
        ("1kb", 1024, False),
        ("2 GB", 2 << 30, False),
        ("1T", 1 << 40, False),
        ("5 bytes", 5, False),
        ("0", 0, False),
        ("90 s", 90, True),
        ("90 m", 5400, True),
        ("90 min", 5400, True),
        ("12 hours", 43200, True),
        ("1 day", DAY, True),
        ("2 weeks", 14 * DAY, True),
    ],
)
def test_limits_read_as_htcondor_reads_them(text, amount, is_time):
    """Sizes and times, with HTCondor's units."""
    assert RotationLimit.parse(text) == RotationLimit(amount, is_time)


@pytest.mark.parametrize("text", ["", "big", "-1", "10 Mc", "10 parsecs", "1.5 Mb", "10 M b"])
def test_other_limits_are_refused(text):
    """What is neither a size nor a time says what would be."""
    with pytest.raises(ValueError, match=f"got {text!r}"):
        RotationLimit.parse(text)


def test_rotation_by_size_leaves_htcondors_notices(open_log, tmp_path):
    """At the limit the old file ends with two notices and the new one begins with one."""
    log = open_log(RotationLimit(20))
    log.write("H ", "first line of text")
    log.write("H ", "second")
    path, old = tmp_path / "HADLog", tmp_path / "HADLog.old"
    assert old.read_text() == (
        f'H first line of text\nH MaxLog = 20 bytes, length = 21\nH Saving log file to "{old}"\n'
    )
    assert path.read_text() == f"H Now in new log file {path}\nH second\n"


def test_one_old_file_is_kept_by_default(open_log, tmp_path):
    """With MAX_NUM 1 each rotation replaces `.old`."""
    log = open_log(RotationLimit(1))
    for number in range(4):
        log.write("", f"line {number}")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["HADLog", "HADLog.old"]
    assert "line 2\n" in (tmp_path / "HADLog.old").read_text()


def test_several_old_files_carry_time_stamps(open_log, tmp_path, clock):
    """With MAX_NUM 2 the files have stamps, and the oldest of too many becomes `.old`."""
    log = open_log(RotationLimit(1), kept_count=2)
    for number in range(6):
        log.write("", f"line {number}")
        clock.now += 60
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert len(names) == 3
    assert names[0] == "HADLog"
    assert names[2] == "HADLog.old"
    assert "line 4\n" in (tmp_path / names[1]).read_text()
    assert "line 3\n" in (tmp_path / "HADLog.old").read_text()


def test_rotation_by_age_happens_at_the_boundary(open_log, tmp_path, clock):
    """A daily log rotates with the first line of the next day, and not before."""
    log = open_log(RotationLimit(DAY, is_time=True))
    log.write("", "today")
    clock.now = MIDNIGHT + DAY - 1
    log.write("", "today, late")
    assert not (tmp_path / "HADLog.old").exists()
    clock.now = MIDNIGHT + DAY + 1
    log.write("", "tomorrow")
    assert f"MaxLog = {DAY} sec, length = {DAY}\n" in (tmp_path / "HADLog.old").read_text()
    assert (tmp_path / "HADLog").read_text().endswith("tomorrow\n")
    log.write("", "tomorrow again")
    assert (tmp_path / "HADLog").read_text().endswith("tomorrow\ntomorrow again\n")


def test_log_is_appended_to_or_truncated(open_log, tmp_path):
    """A restart appends, unless TRUNC_HAD_LOG_ON_OPEN is set."""
    (tmp_path / "HADLog").write_text("before\n")
    open_log().write("", "after")
    assert (tmp_path / "HADLog").read_text() == "before\nafter\n"
    open_log(is_truncated=True).write("", "anew")
    assert (tmp_path / "HADLog").read_text() == "anew\n"


@pytest.mark.parametrize("is_deleted", [True, False])
def test_file_moved_by_others_is_made_anew(open_log, tmp_path, is_deleted):
    """When logrotate or an operator takes the file away, the next line is in a new one."""
    log = open_log()
    log.write("", "one")
    if is_deleted:
        (tmp_path / "HADLog").unlink()
    else:
        (tmp_path / "HADLog").rename(tmp_path / "HADLog.1")
    log.write("", "two")
    assert (tmp_path / "HADLog").read_text() == "two\n"


def test_missing_folder_does_not_stop_the_daemon(open_log, tmp_path, clock, fallen):
    """Lines go to the fallback until the folder is there; then the log tells what is missing."""
    log = open_log(folder=tmp_path / "log")
    log.write("H ", "one")
    log.write("H ", "two")
    assert b"".join(fallen).decode().splitlines() == [
        f'log_not_writable path={tmp_path}/log/HADLog reason="No such file or directory (ENOENT)"',
        "H one",
        "H two",
    ]
    assert log.lost_count == 2
    assert log.failure == "No such file or directory (ENOENT)"
    (tmp_path / "log").mkdir()
    clock.now += RETRY_SECONDS + 1
    log.write("H ", "three")
    assert log.failure is None
    assert (tmp_path / "log" / "HADLog").read_text() == (
        f"H log_writable_again path={tmp_path}/log/HADLog missing_lines=2"
        ' reason="No such file or directory (ENOENT)"\nH three\n'
    )
    assert log.lost_count == 2


def test_broken_log_is_not_tried_at_every_line(open_log, tmp_path, clock, fallen):
    """Between two tries nothing touches the disk, even if it would work by now; a clock set back does not wait."""
    log = open_log(folder=tmp_path / "log")
    (tmp_path / "log").mkdir()
    log.write("", "one")
    assert not (tmp_path / "log" / "HADLog").exists()
    clock.now -= 3600
    log.write("", "two")
    assert (tmp_path / "log" / "HADLog").read_text().endswith("two\n")


@pytest.mark.root
def test_full_disk_tears_no_other_line(tmp_path, clock, fallen):
    """A disk that fills up within a line costs lines, is told once, and the rest reads well afterwards."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "had-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(8192))
        log = LogFile(folder / "HADLog", limit=RotationLimit(0), fallback=fallen.append, clock=clock)
        for number in range(40):
            log.write("", f"{number:03} " + "x" * 300)
        assert "ENOSPC" in log.failure
        assert sum(b"log_not_writable" in line for line in fallen) == 1
        lost = log.lost_count
        assert lost == len(fallen) - 1 > 0
        ballast.unlink()
        clock.now += RETRY_SECONDS + 1
        log.write("", "free again")
        log.close()
        lines = (folder / "HADLog").read_text().splitlines()
        assert lines[-1] == "free again"
        assert lines[-2].startswith(f"log_writable_again path={folder}/HADLog missing_lines={lost} ")
        whole = [line for line in lines[:-2] if len(line) == 304]
        assert len(whole) + lost == 40
        assert len(lines) - 2 - len(whole) <= 1
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_log_that_cannot_be_rotated_goes_on(open_log, tmp_path, clock, fallen):
    """When the old name cannot be taken, lines still reach the file, and the rotation is tried later."""
    log = open_log(RotationLimit(1))
    log.write("", "one")
    (tmp_path / "HADLog.old").mkdir()
    log.write("", "two")
    log.write("", "three")
    assert (tmp_path / "HADLog").read_text() == "one\ntwo\nthree\n"
    assert fallen == [f'log_not_rotated path={tmp_path}/HADLog reason="Is a directory"\n'.encode()]
    (tmp_path / "HADLog.old").rmdir()
    clock.now += RETRY_SECONDS + 1
    log.write("", "four")
    assert (tmp_path / "HADLog").read_text().endswith("HADLog\nfour\n")
    assert log.lost_count == 0


def test_touch_changes_ctime_and_not_mtime(open_log, tmp_path):
    """The sign of life of a silent daemon leaves the time of the last line alone."""
    log = open_log()
    log.write("", "one")
    path = tmp_path / "HADLog"
    os.utime(path, (1000, 1000))
    path.chmod(0o600)
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        log.touch()
    assert path.stat().st_mtime == 1000
    assert path.stat().st_mode & 0o777 == 0o600
