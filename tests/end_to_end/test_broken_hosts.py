"""Hosts that are broken in other ways than being dead, with real daemons: full disks, taken ports, wrong clocks."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

#: ioctl_fs(2), linux/fs.h.
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878

SHIFTED_CLOCK = Path(__file__).with_name("shifted_clock")


@pytest.fixture
def small_disk():
    """Mount small disks for a test: `small_disk(folder)`; `fill` fills one."""
    mounted = []

    def mount(folder):
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "had-test", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("mounting a small disk needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def freezing_disk(tmp_path):
    """Mount a disk that can be frozen, as a snapshot does; its folder, and what freezes it and what thaws it."""
    folder, image = tmp_path / "freezing", tmp_path / "image"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    commands = (["mkfs.ext4", "-q", image], ["mount", "-o", "loop", image, folder])
    try:
        is_mounted = os.geteuid() == 0 and not any(
            subprocess.run(command, check=False, capture_output=True).returncode for command in commands
        )
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("mounting a disk that can be frozen needs root, mkfs.ext4 and a loop device")
    descriptor = os.open(folder, os.O_RDONLY)
    freeze, thaw = (partial(fcntl.ioctl, descriptor, number, 0) for number in (FIFREEZE, FITHAW))
    yield folder, freeze, thaw
    with contextlib.suppress(OSError):
        thaw()
    os.close(descriptor)
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """Leave no byte free on a small disk."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.timed
@pytest.mark.root
def test_full_disk_at_the_epoch_write(make_pool, small_disk):
    """A full disk keeps nobody from leading: the epoch goes into its place, made at start; what could not be written is said."""
    pool = make_pool(2, timeout_seconds=1)
    second = pool[1]
    disk = small_disk(second.folder / "disk")
    second.configure(HAD_DIR=disk)
    pool.start()
    leader = pool.wait_settled(pool[0])
    fill(disk)
    at = leader.kill_host()
    after = pool.wait_new_life(at, 6)
    assert after.node == 1
    assert after.began - at <= 1.5 * 1 + 0.5
    assert after.epoch > leader.lives()[-1].epoch
    pool.wait(
        lambda: second.logged("epoch_file_not_written", "No space left"), 3, "the failed write to be told"
    )
    # The epoch is on the disk although the disk is full: it is not used a second time.
    second.kill_host()
    second.start()
    pool.wait_settled(second)
    assert second.lives()[-1].epoch > after.epoch


@pytest.mark.root
def test_full_disk_at_start(make_pool, small_disk):
    """A daemon that finds the disk full at its first start ends with status 1 and says which file it could not make."""
    pool = make_pool(1, timeout_seconds=1)
    disk = small_disk(pool[0].folder / "disk")
    pool[0].configure(HAD_DIR=disk)
    fill(disk)
    pool[0].start()
    assert pool[0].process.wait(10) == 1
    assert str(disk) in pool[0].errors() and "No space left" in pool[0].errors()
    assert "Traceback" not in pool[0].errors()


@pytest.mark.root
def test_full_disk_below_the_log(make_pool, small_disk):
    """A log that cannot be written does not keep its daemon from leading; the lost lines are counted."""
    pool = make_pool(1, timeout_seconds=0.5)
    disk = small_disk(pool[0].folder / "disk")
    pool[0].configure(HAD_LOG=disk / "HADLog")
    fill(disk)
    pool.start()
    life = pool.wait_new_life(0, 6)
    os.kill(life.pid, signal.SIGKILL)
    pool.wait_new_life(life.began, 3)
    assert pool[0].status()["state"] == "leader"
    # Those before the log was found wanting may have gone to standard error.
    lost = [line for line in pool[0].http("/metrics")[1].splitlines() if "log" in line and "lost" in line]
    assert any(not line.startswith("#") and float(line.rsplit(" ", 1)[1]) > 0 for line in lost), lost


@pytest.mark.root
def test_frozen_disk_below_the_log(make_pool, freezing_disk):
    """A disk that takes no write for a while costs no leadership; what was logged meanwhile is written when it is back."""
    folder, freeze, thaw = freezing_disk
    pool = make_pool(3, timeout_seconds=1)
    leader = pool[0]
    leader.configure(HAD_LOG=folder / "HADLog")
    leader.log_file = folder / "HADLog"
    pool.start()
    pool.wait_settled(leader)
    pool.forget_lives_before(leader.running())
    freeze()
    pool[2].kill()
    pool.wait(lambda: pool[1].peer_state(pool[2]) != "alive", 5, "the third member to be missed")
    # The line about it waits for the disk; a loop that waited as well would be without its lease by now.
    time.sleep(3)
    assert not leader.logged("peer_gone", pool[2].entry)
    assert leader.status(), "the leader's loop stands still"
    assert leader.status()["state"] == "leader"
    assert leader.peer_state(pool[2]) != "alive"
    assert [life.node for life in pool.lives()] == [leader.index]
    thaw()
    pool.wait(lambda: leader.logged("peer_gone", pool[2].entry), 5, "what was said meanwhile to be written")
    pool.wait_settled(leader)


@pytest.mark.root
@pytest.mark.timed
def test_frozen_disk_of_the_next_in_line(make_pool, freezing_disk):
    """A member whose disk takes no write is waited for no longer than a second or T; when it does again it can lead."""
    folder, freeze, thaw = freezing_disk
    pool = make_pool(3, timeout_seconds=1)
    second, third = pool[1], pool[2]
    second.configure(HAD_DIR=folder / "had")
    pool.start()
    leader = pool.wait_settled(pool[0])
    freeze()
    at = leader.kill_host()
    after = pool.wait_new_life(at, 8)
    assert after.node == third.index
    assert after.began - at <= 1.5 * 1 + 0.5 + 1
    assert second.logged("record_not_written", "the disk does not answer")
    assert second.status()["state"] == "passive"
    thaw()
    pool.wait_settled(third)
    third.kill_host()
    pool.wait_settled(second)
    assert pool.overlap_seconds() == 0


@pytest.mark.parametrize("which", ["command port", "HTTP port"])
def test_port_in_use(make_pool, which):
    """A port that another program has is status 1, with the address and the knobs; the rest of the pool elects."""
    pool = make_pool(2, timeout_seconds=1)
    address, port, knob = (
        (pool[0].host, pool.network.port, "HAD_LIST")
        if which == "command port"
        else (pool.network.http_address(0), pool.network.http_port, "HAD_HTTP_PORT")
    )
    with socket.create_server((address, port)):
        pool.start()
        assert pool[0].process.wait(10) == 1
        text = pool[0].errors()
        assert address in text and str(port) in text and knob in text, text
        assert "Traceback" not in text
        pool.wait(pool[1].running, 8, "the other member to lead", 0.05)
    pool[0].start()
    pool.wait_settled(pool[0])


def test_stranger_on_a_members_port(make_pool):
    """A program that is no daemon, and never answers, on the primary's port does not keep the others from electing."""
    pool = make_pool(3, timeout_seconds=1)
    with socket.create_server((pool[0].host, pool.network.port)):
        pool.start(1, 2)
        life = pool.wait_new_life(0, 2 * 1 + 1 + 1)
        assert life.node == 1
        assert pool[2].status()["leader"] in {None, pool[1].entry}
        pool.wait(lambda: pool[2].status()["leader"] == pool[1].entry, 3, "the other one to follow", 0.05)
        assert len(pool.lives()) == 1


@pytest.mark.timed
@pytest.mark.parametrize("step_seconds", [3600, -3600])
def test_clock_step(make_pool, step_seconds):
    """The leader's wall clock jumps by an hour: nothing happens but that the skew is shown; later failovers are in time."""
    pool = make_pool(3, timeout_seconds=1)
    for node in pool.nodes:
        node.start(PYTHONPATH=str(SHIFTED_CLOCK), SHIFTED_CLOCK=str(node.folder / "shift"))
    leader = pool.wait_settled(pool[0])
    before = leader.running()
    (leader.folder / "shift").write_text(str(step_seconds))
    skew = lambda: pool[1].metric("had_peer_clock_skew_seconds", peer=leader.entry)  # noqa: E731
    pool.wait(lambda: abs(skew() - step_seconds) < 60, 5, "the skew to be seen", 0.05)
    with pytest.raises(AssertionError, match="not within"):
        pool.wait(
            lambda: pool.wait_settled() is not leader or len(pool.lives()) > 1, 3, "what must not happen"
        )
    assert leader.running().pid == before.pid
    # A follower's clock jumps the other way, then everything on the leader dies: sessions must be made and resumed.
    (pool[1].folder / "shift").write_text(str(-step_seconds))
    at = leader.kill_host()
    after = pool.wait_new_life(at, 5)
    assert after.node == 1
    assert after.began - at <= 1.5 * 1 + 0.5
    leader.start(PYTHONPATH=str(SHIFTED_CLOCK), SHIFTED_CLOCK=str(leader.folder / "shift"))
    pool.wait_settled(leader)
    assert pool.overlap_seconds() == 0
    assert not any(node.logged("denied") for node in pool.nodes)


def test_program_that_does_not_exist(make_pool):
    """A primary whose controllee's program is missing abstains, and the next member has the controllee."""
    pool = make_pool(2, timeout_seconds=1)
    pool[0].configure(KEEPER="/no/such/program")
    pool.start()
    life = pool.wait_new_life(0, 15)
    assert life.node == 1
    assert pool[0].logged("controllee_exited", "start_failed")
    assert pool[0].logged("abstaining")
    assert not pool[0].lives()
