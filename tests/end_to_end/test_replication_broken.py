"""Broken disks, files, processes and configurations against real replication daemons.

Whatever breaks, each node holds one complete pair of state and version, nothing is lost, and when it is whole again the
replicas come in step by themselves.
"""

import contextlib
import os
import random
import signal
import time

import pytest

from tests.end_to_end.attending_had import transaction
from tests.end_to_end.ledger_controllee import HEAD
from tests.end_to_end.lives import is_alive
from tests.end_to_end.replica_impostor import Hungup, ReplicaImpostor
from tests.end_to_end.replica_stage import Counted, enlarge, small_disk
from transferer.versions import Result

EPOCHS = [129 + 128 * number for number in range(4)]
LARGE_BYTES = 8 << 20


@pytest.fixture
def pair(troupe):
    """A leader and a follower in step."""
    both = troupe(2)
    both.start()
    both.lead(0, EPOCHS[0])
    both.publish(0, 1)
    return both


def large_state(value, size_bytes=LARGE_BYTES, seed=0):
    """Return a state of this size that ends with a value; no two of different seeds begin alike."""
    noise = random.Random(seed).randbytes(size_bytes // 2).hex().encode()
    return HEAD + b"105 \n103 Counter. Noise " + noise + b"\n106 \n" + transaction(value)


# --- disks ---------------------------------------------------------------------------------------------------


def test_the_followers_disk_is_full(troupe):
    """A follower without room keeps what it has, says so, and catches up as soon as there is room."""
    both = troupe(2)
    leader, follower = both.replicas
    spool = follower.state_file.parent
    with small_disk(spool, 4 << 20), contextlib.closing(both.pool):
        both.start()
        both.lead(0, EPOCHS[0])
        both.publish(0, 1)
        before, counted = follower.state_file.read_bytes(), Counted(follower)
        replace_state(leader, large_state(2))
        both.wait(lambda: follower.logged("transfer_failed", "no space left"), "the follower to say so")
        both.wait(lambda: counted.failed(leader.entry), "the failure to be counted")
        assert follower.state_file.read_bytes() == before
        assert not follower.torn()
        enlarge(spool, 64 << 20)
        both.wait_in_step(2)


def test_the_followers_disk_fills_up_midway(troupe):
    """A disk that fills up while a state is received ends that transfer; nothing of it is left on the disk."""
    one = troupe(1, places=1)
    (follower,) = one.replicas
    spool, content = follower.state_file.parent, large_state(1, 2 << 20)
    with (
        small_disk(spool, 4 << 20),
        contextlib.closing(one.pool),
        ReplicaImpostor(one.pool, one.pool[1]) as impostor,
    ):
        one.start()
        counted = Counted(follower)
        version = impostor.lead(one.nodes[0], gid=EPOCHS[1], contents=[content])
        with impostor.next_fetch() as fetch:
            fetch.offer(version, content)
            assert fetch.is_wanted()
            fetch.begin()
            fetch.content(content[: 1 << 20])
            one.wait(lambda: staged_bytes(follower) > 1 << 19, "the first half to be written")
            fill(spool / "somebody else's")
            with contextlib.suppress(Hungup):
                fetch.content(content[1 << 20 :])
            assert fetch.receipt().result is Result.FAILED
        one.wait(lambda: counted.failed(impostor.entry), "the failure to be counted")
        assert follower.logged("transfer_failed", "cannot write")
        (spool / "somebody else's").unlink()
        with impostor.next_fetch() as fetch:
            assert fetch.give(version, content).result is Result.OK
        one.wait_in_step(1)


def fill(path):
    """Write a file until there is no room any more."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 10))


def staged_bytes(replica):
    """Return how much a copy process of a replica has written so far."""
    return sum(path.stat().st_size for path in replica.state_file.parent.glob("*.down"))


def test_the_leaders_own_disk_is_full(troupe):
    """A leader that cannot write down a version publishes none, says so, and goes on when there is room."""
    both = troupe(2)
    leader, follower = both.replicas
    own = leader.node.folder / "had"
    with small_disk(own, 1 << 20), contextlib.closing(both.pool):
        both.start()
        both.lead(0, EPOCHS[0])
        both.publish(0, 1)
        before = leader.point()
        filler = own / "filler"
        fill(filler)
        both.hads[0].write(2)
        both.wait(lambda: leader.logged("version_not_written", "No space left"), "the leader to say so")
        assert leader.point() == before
        assert follower.value() == 1
        filler.unlink()
        both.wait_in_step(2)
        assert leader.point() > before


# --- processes -----------------------------------------------------------------------------------------------


@pytest.fixture
def halfway(troupe):
    """A leader with a large state, half of which an impostor has fetched; the copy process waits for it to go on."""
    one = troupe(1, places=1, knobs={"MAX_TRANSFER_LIFETIME": 2})
    (leader,) = one.replicas
    leader.state_file.write_bytes(large_state(1))
    one.start()
    one.lead(0, EPOCHS[0])
    with ReplicaImpostor(one.pool, one.pool[1]) as impostor, impostor.ask(one.nodes[0]) as asked:
        assert asked.want() == [leader.state_file.stat().st_size]
        asked.hear()
        one.wait(lambda: [t["state"] for t in leader.status()["transfers"]] == ["moving"], "bytes to move")
        yield one, leader, impostor, asked


def test_the_uploader_is_killed(halfway):
    """The copy process that sends is killed midway: the other end sees the end, it is counted, and may ask again."""
    one, leader, impostor, asked = halfway
    counted = Counted(leader)
    (pid,) = leader.transferers()
    os.kill(pid, signal.SIGKILL)
    assert asked.is_hung_up()
    one.wait(lambda: counted.failed(impostor.entry, "upload") == 1, "the failure to be counted")
    assert leader.logged("transfer_failed", "upload", "without a word")
    with impostor.ask(one.nodes[0]) as again:
        assert again.take() == leader.state_file.read_bytes()


def test_the_uploader_is_frozen(halfway):
    """A copy process that does not move any more is killed when its time is over, and counted; others are served meanwhile."""
    one, leader, impostor, asked = halfway
    counted = Counted(leader)
    (pid,) = leader.transferers()
    os.kill(pid, signal.SIGSTOP)
    with impostor.ask(one.nodes[0]) as again:
        assert again.take() == leader.state_file.read_bytes()
    assert asked.is_hung_up()
    one.wait(lambda: not is_alive(pid), "the frozen process to be killed")
    one.wait(lambda: counted.failed(impostor.entry, "upload") == 1, "the failure to be counted")
    assert leader.logged("transferer_killed", "lived longer")


def test_the_uploading_daemon_is_killed(halfway):
    """With the daemon its copy processes die; restarted, it leads on in the same leadership and sends the state."""
    one, leader, impostor, asked = halfway
    (pid,) = leader.transferers()
    point = leader.point()
    leader.kill()
    assert asked.is_hung_up()
    one.wait(lambda: not is_alive(pid), "the copy process to end with its daemon")
    one.restart(0)
    one.wait(lambda: leader.status()["state"] == "leader", "it to lead again")
    one.publish(0, 2)
    assert leader.point()[0] == point[0]
    assert leader.point() > point
    with impostor.ask(one.nodes[0]) as again:
        assert again.take() == leader.state_file.read_bytes()


@pytest.mark.parametrize("victim", ["transferer", "host"])
def test_the_downloader_is_killed(troupe, victim):
    """The copy process that receives, or all of its host, is killed midway: what it left is swept, and the state fetched anew."""
    one = troupe(1, places=1)
    (follower,) = one.replicas
    one.start()
    content = large_state(1, 1 << 20)
    with ReplicaImpostor(one.pool, one.pool[1]) as impostor:
        version = impostor.lead(one.nodes[0], gid=EPOCHS[1], contents=[content])
        with impostor.next_fetch() as fetch:
            fetch.offer(version, content)
            assert fetch.is_wanted()
            fetch.begin()
            fetch.content(content[: 1 << 19])
            one.wait(lambda: staged_bytes(follower) > 0, "bytes beside the state")
            # Stopped first, so that none notices the end of another: a host dies as one.
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in follower.transferers() if victim == "transferer" else follower.pids():
                    os.kill(pid, number)
            assert fetch.is_hung_up()
        if victim == "host":
            follower.process.wait(10)
            assert follower.beside()
            one.restart(0)
            # It answers while it still looks at what the disk holds.
            one.wait(
                lambda: follower.logged("found_at_start", "leftovers were removed"),
                "the leftovers to be swept",
            )
            impostor.lead(one.nodes[0], gid=EPOCHS[1], contents=[content])
        else:
            one.wait(lambda: follower.logged("transfer_leftovers", "removed"), "the leftovers to be swept")
        with impostor.next_fetch() as fetch:
            assert fetch.give(version, content).result is Result.OK
        one.wait_in_step(1)
        assert follower.state_file.read_bytes() == content


def test_a_frozen_uploader_is_left(troupe):
    """A follower whose leader's copy process stands still leaves it in time, and gets what it misses from another one."""
    both = troupe(2, knobs={"MAX_TRANSFER_LIFETIME": 2})
    both.start()
    both.lead(0, EPOCHS[0])
    both.publish(0, 1)
    leader, follower = both.replicas
    frozen = leader.transferers()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    both.publish(0, 2)
    assert frozen
    assert follower.logged("download_stopped") or follower.logged("download_failed")


def test_the_daemon_is_killed_while_it_installs(troupe):
    """R2: a follower's daemon is killed again and again while it installs 50 MiB and the leader writes; it always holds one whole pair."""
    both = troupe(2)
    follower = both.replicas[1]
    both.start()
    both.lead(0, EPOCHS[0])
    both.publish(0, 1)
    installed = follower.point()
    for round_number, moment in enumerate([is_half_staged, is_committing, is_staged, is_committing]):
        stop_at(both, moment, 2 + round_number)
        follower.kill()
        both.restart(1)
        held = whole_pair(both, follower)
        assert held >= installed
        installed = held
    both.wait_in_step(5, 40)
    # It was hit in the middle of an installation, and while something lay beside the state.
    assert follower.logged("found_at_start", "a replacement of the state was under way")
    assert follower.logged("found_at_start", "leftovers were removed")


def stop_at(both, moment, value):
    """Write large states, all of them ending with this value, until the follower's daemon stands still at a moment."""
    leader, follower = both.replicas
    for number in range(20):
        replace_state(leader, large_state(value, 50 << 20, seed=20 * value + number))
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if moment(follower):
                os.kill(follower.process.pid, signal.SIGSTOP)
                # The moment may be as short as a rename.
                if moment(follower):
                    return
                os.kill(follower.process.pid, signal.SIGCONT)
    raise AssertionError(f"the moment {moment.__name__} was never met\n{both.pool.story()}")


def replace_state(replica, content):
    """Let the controllee compact its log: another file gets the name of the state."""
    new = replica.node.folder / "compacted"
    new.write_bytes(content)
    new.rename(replica.state_file)


def is_half_staged(replica):
    """Whether a state is being received."""
    return staged_bytes(replica) > 10 << 20


def is_staged(replica):
    """Whether a whole state has been received."""
    return staged_bytes(replica) > 50 << 20


def is_committing(replica):
    """Whether an installation is under way: its journal stands in the daemon's own folder."""
    return any((replica.node.folder / "had").glob("**/commit.json"))


def whole_pair(both, replica):
    """Return the version that is held, whose state is read between two looks at the version, and is whole."""

    def look():
        before = replica.truth()
        torn = replica.torn()
        return before if before == replica.truth() and not torn else None

    held = both.wait(look, "state and version that belong together")
    return held["version"]["gid"], held["version"]["clock"]
