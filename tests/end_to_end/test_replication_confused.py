"""Confused leaders, odd numbers, and people who touch the files of real replication daemons.

Whatever stood on a node when somebody else's state came is kept; no two histories are mixed; and what is no state is said
to be none, and left alone.
"""

import os
import signal

import pytest

from daemoncore.cedar.commands import Command
from replication.version import CLOCK_LIMIT, INTEGER_LIMIT
from tests.end_to_end.attending_had import transaction
from tests.end_to_end.ledger_controllee import HEAD
from tests.end_to_end.pool import Pool
from tests.end_to_end.replica_impostor import ReplicaImpostor
from tests.end_to_end.replica_stage import Counted, Troupe
from transferer.versions import Entry, EntryKind, Result

EPOCHS = [129 + 128 * number for number in range(4)]


@pytest.fixture
def pair(troupe):
    """A leader and a follower in step."""
    return in_step(troupe(2))


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """A leader and a follower in step, for several tests."""
    with Pool(tmp_path_factory.mktemp("standing"), 2, timeout_seconds=1, has_replication=True) as pool:
        both = in_step(Troupe(pool))
        yield both
        both.close()


def in_step(both):
    """Start the two, and let the first one lead."""
    both.start()
    both.lead(0, EPOCHS[0])
    both.publish(0, 1)
    return both


# --- leaders -------------------------------------------------------------------------------------------------


def test_two_leaders_at_once(troupe):
    """Two hads lead: neither replica takes anything from the other; who steps down takes the other's, and keeps its own."""
    all_three = troupe(3)
    first, second, third = all_three.replicas
    all_three.start()
    all_three.lead(0, EPOCHS[0])
    all_three.publish(0, 1)
    all_three.lead(1, EPOCHS[1])
    all_three.hads[1].write(20)
    all_three.wait(lambda: third.value() == 20, "the later epoch's state at the follower")
    all_three.hads[0].write(2)
    all_three.wait(lambda: first.point() == (EPOCHS[0], 2), "the earlier epoch's own version")
    all_three.hads[1].write(21)
    all_three.wait(lambda: third.value() == 21, "the later epoch's next state")
    assert (first.value(), second.value()) == (2, 21)
    assert first.status()["state"] == second.status()["state"] == "leader"
    kept = first.state_file.read_bytes()
    all_three.hads[0].step_down()
    all_three.wait_in_step(21)
    assert list(first.conflicts().values()) == [kept]
    assert first.metric("had_replication_conflicts") == 1
    assert first.logged("conflict_kept")
    assert not second.conflicts()
    all_three.publish(1, 22)


def test_a_thawed_leader(troupe):
    """A leader that slept through another leadership gets nobody to take its old state; its own last bytes are kept."""
    all_three = troupe(3)
    first, _, third = all_three.replicas
    all_three.start()
    all_three.lead(0, EPOCHS[0])
    all_three.publish(0, 1)
    all_three.hads[0].freeze()
    for pid in first.pids():
        os.kill(pid, signal.SIGSTOP)
    # The controllee went on for a moment.
    all_three.hads[0].write(2)
    kept = first.state_file.read_bytes()
    all_three.lead(1, EPOCHS[1])
    all_three.hads[1].write(20)
    all_three.wait(lambda: third.value() == 20, "the new leader's state")
    for pid in (*first.transferers(), first.process.pid):
        os.kill(pid, signal.SIGCONT)
    all_three.hads[0].thaw()
    all_three.wait(lambda: first.status()["leader"] is not None, "the thawed one to answer")
    all_three.hads[1].write(21)
    all_three.wait(lambda: third.value() == 21, "the new leader's next state")
    assert third.point()[0] == EPOCHS[1]
    all_three.hads[0].step_down()
    all_three.wait_in_step(21)
    assert list(first.conflicts().values()) == [kept]
    assert not third.conflicts()


def test_an_epoch_that_is_over(troupe):
    """A had that begins under an epoch which the replicas' histories have left behind does not lead here, and that is said."""
    both = troupe(2)
    both.start()
    both.lead(0, EPOCHS[0])
    both.publish(0, 1)
    both.hads[0].step_down()
    both.lead(1, EPOCHS[1])
    both.publish(1, 2)
    both.hads[0].lead(EPOCHS[0])
    both.wait(lambda: both.replicas[0].logged("leadership_refused"), "the refusal to be said")
    assert both.replicas[0].status()["state"] == "backup"
    both.hads[0].step_down()
    both.publish(1, 3)


def test_numbers_at_their_limit(troupe):
    """A state that HTCondor left under the largest gid and almost the largest clock is adopted, and led on from anywhere."""
    both = troupe(2)
    first, second = both.replicas
    first.state_file.write_bytes(HEAD + transaction(1))
    (first.state_file.parent / "Version").write_text(f"{INTEGER_LIMIT}\n{CLOCK_LIMIT}")
    both.start()
    left = f"{INTEGER_LIMIT}.{CLOCK_LIMIT}"
    both.wait(lambda: first.logged("found_at_start", "HTCondor", left), "the adoption to be said")
    both.wait_in_step(1)
    both.lead(0, EPOCHS[0])
    both.publish(0, 2)
    assert second.status()["version"]["lineage"][0] == [INTEGER_LIMIT, CLOCK_LIMIT]
    both.hads[0].step_down()
    both.lead(1, EPOCHS[1])
    both.publish(1, 3)


def test_a_real_had_at_the_largest_gid(troupe):
    """A real condor_had names no epoch: where the largest gid is taken, a smaller one that nobody has is led under."""
    both = troupe(2)
    first, second = both.replicas
    for replica in both.replicas:
        replica.state_file.write_bytes(HEAD + transaction(1))
        (replica.state_file.parent / "Version").write_text(f"{INTEGER_LIMIT}\n{CLOCK_LIMIT}")
        replica.start()
    both.wait(lambda: first.status() and second.status(), "both to answer", 20)
    with ReplicaImpostor.caller(both.pool, both.nodes[0]).call(
        both.nodes[0], Command.HAD_AFTER_ELECTION_STATE
    ) as had:
        had.say_text(f"<{both.nodes[0].entry}>")
        both.wait(lambda: first.status()["state"] == "leader", "it to lead")
    with first.state_file.open("ab") as file:
        file.write(transaction(2))
    both.wait_in_step(2)
    gid = first.point()[0]
    assert 0 < gid < INTEGER_LIMIT
    assert second.status()["version"]["lineage"][0] == [INTEGER_LIMIT, CLOCK_LIMIT]


# --- files ---------------------------------------------------------------------------------------------------


def make_link(path):
    """Put a link to somebody else's file there."""
    target = path.parent.parent / "somebody else's"
    target.write_bytes(HEAD + transaction(99))
    path.symlink_to(target)


def make_device(path):
    """Put a device there that gives zeros without an end."""
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))


def make_unreadable(path):
    """Put a file there that this account may not read."""
    path.write_bytes(HEAD)
    path.chmod(0)


ODD = {
    "link": make_link,
    "pipe": os.mkfifo,
    # Only root makes a device, and root reads everything.
    **({"device": make_device} if os.geteuid() == 0 else {"unreadable": make_unreadable}),
}


def stand_apart(pair, follower, value):
    """Check that nothing touches the odd thing in the follower's state's place while the leader writes a value, and remove it."""
    path, leader = follower.state_file, pair.replicas[0]
    pair.wait(lambda: follower.status()["watching"], "the follower to say so")
    before, failures = path.lstat(), len(follower.logged("download_failed", str(path)))
    counted = Counted(follower)
    pair.hads[0].write(value)
    pair.wait(lambda: len(follower.logged("download_failed", str(path))) > failures, "the refusal to be said")
    pair.wait(lambda: counted.failed(leader.entry) > 0, "the refusal to be counted")
    after = path.lstat()
    assert (before.st_ino, before.st_mode, before.st_size) == (after.st_ino, after.st_mode, after.st_size)
    if path.is_symlink():
        assert path.read_bytes() == HEAD + transaction(99)
    path.unlink()
    pair.wait_in_step(value)
    pair.wait(lambda: follower.status()["watching"] is None, "the follower to watch again")


@pytest.mark.parametrize("odd", list(ODD))
def test_what_is_no_state(standing, odd):
    """Where a link, a device or a pipe stands, nothing is read or written; it is said, and when it is gone all is well."""
    follower, value = standing.replicas[1], standing.replicas[0].value()
    made = follower.state_file.with_name("odd")
    ODD[odd](made)
    made.rename(follower.state_file)
    stand_apart(standing, follower, value + 1)
    assert follower.logged("state_not_watched", str(follower.state_file))


def test_what_is_no_state_at_the_start(standing):
    """A daemon that finds a pipe in its state's place starts, says so, and does not wait for who may write to it."""
    follower, value = standing.replicas[1], standing.replicas[0].value()
    follower.stop()
    follower.state_file.unlink()
    os.mkfifo(follower.state_file)
    standing.restart(1)
    stand_apart(standing, follower, value + 1)


def test_the_leaders_state_becomes_a_link(standing):
    """A leader whose controllee's file was replaced by a link publishes nothing of it, and goes on with a plain file."""
    leader, follower = standing.replicas
    aside, before = leader.state_file.with_name("aside"), follower.state_file.read_bytes()
    leader.state_file.rename(aside)
    make_link(leader.state_file)
    standing.wait(lambda: leader.status()["watching"], "the leader to say so")
    assert leader.logged("state_not_watched")
    assert follower.state_file.read_bytes() == before
    leader.state_file.unlink()
    aside.rename(leader.state_file)
    standing.publish(0)


def test_a_followers_state_is_changed_by_hand(standing):
    """What somebody writes to a follower's state is kept as a conflict and never replicated; the leader's state returns."""
    leader, follower = standing.replicas
    value, before = leader.value(), set(follower.conflicts())
    with follower.state_file.open("ab") as file:
        file.write(transaction(value + 1000))
    altered = follower.state_file.read_bytes()
    standing.wait(lambda: follower.logged("state_altered"), "the change to be noticed")
    standing.wait_in_step(value)
    kept = [content for identifier, content in follower.conflicts().items() if identifier not in before]
    assert kept == [altered]
    assert follower.metric("had_replication_conflicts") == len(before) + 1
    assert follower.logged("conflict_kept")
    standing.publish(0)
    assert leader.value() == value + 1
    assert not leader.conflicts()


@pytest.mark.parametrize("place", [1, 0], ids=["follower", "leader"])
def test_a_backup_is_restored(pair, place):
    """An old state that is put back while the daemon is down is kept as a conflict; the newest state comes from the other."""
    replica = pair.replicas[place]
    backup = replica.state_file.read_bytes()
    pair.publish(0, 2)
    pair.hads[0].step_down()
    pair.wait(lambda: pair.replicas[0].status()["state"] == "backup", "the end of the leadership")
    assert replica.stop() == 0
    replica.state_file.write_bytes(backup)
    pair.restart(place)
    pair.wait_in_step(2)
    assert list(replica.conflicts().values()) == [backup]
    pair.lead(0, EPOCHS[1])
    pair.publish(0, 3)


def test_the_version_file(standing):
    """HTCondor's version file is written again when it is gone, is said to be garbage when it is, and harms nothing."""
    leader, follower = standing.replicas
    file = follower.state_file.parent / "Version"
    file.unlink()
    standing.publish(0)
    standing.wait(file.exists, "the file to be written again")
    follower.stop()
    file.write_bytes(b"not a version\n\xff")
    standing.restart(1)
    found = lambda: follower.logged("found_at_start", "Version", "taken for absent")  # noqa: E731
    standing.wait(found, "the garbage to be said")
    standing.publish(0)
    point = follower.point()
    assert file.read_text() == f"{point[0]}\n{point[1]}"
    assert leader.point() == point


def test_htcondor_ran_in_between(pair):
    """A version and a state that HTCondor left are adopted with nothing known of what was before; the leader's word replaces them, and they are kept."""
    _, follower = pair.replicas
    follower.stop()
    written = HEAD + transaction(50)
    follower.state_file.write_bytes(written)
    (follower.state_file.parent / "Version").write_text("4711\n12")
    pair.restart(1)
    pair.wait(lambda: follower.logged("found_at_start", "HTCondor", "4711.12"), "the adoption to be said")
    pair.publish(0, 2)
    assert list(follower.conflicts().values()) == [written]
    assert follower.point()[0] == EPOCHS[0]


# --- configurations ------------------------------------------------------------------------------------------


def test_a_reload_while_leading(standing):
    """P10's like: a bad configuration is refused and said, a good one put in force; version and leadership go on."""
    leader, _ = standing.replicas
    before, process = leader.point(), leader.process.pid
    good = lambda: leader.metric("had_config_last_reload_successful", daemon="replication")  # noqa: E731
    leader.node.configure(REPLICATION_INTERVAL="never")
    leader.send(signal.SIGHUP)
    standing.wait(
        lambda: leader.logged("configuration_refused", "REPLICATION_INTERVAL"), "the refusal to be said"
    )
    assert good() == 0
    standing.publish(0)
    leader.node.configure(REPLICATION_INTERVAL=100)
    leader.send(signal.SIGHUP)
    standing.wait(lambda: leader.logged("configuration_changed"), "the change to be said")
    assert good() == 1
    standing.publish(0)
    assert leader.status()["state"] == "leader"
    assert leader.process.pid == process
    assert leader.point() == (before[0], before[1] + 2)
    assert not leader.logged("state_changed", "from=leader")


# --- folders -------------------------------------------------------------------------------------------------

EVIL = {
    "climbing": ["../x"],
    "absolute": ["/tmp/x"],
    "climbing in the middle": ["a/../../x"],
    "below a folder that does not come": ["missing/x"],
    "twice": ["x", "x"],
    "the folder itself": ["."],
    "an empty part": ["a//x"],
}


def test_names_in_a_folder(troupe):
    """Of a folder no name leads out of it or comes twice; a folder where we have a file takes its place, with the version."""
    one = troupe(1, places=len(EVIL) + 1)
    (follower,) = one.replicas
    folder = follower.state_file.parent / "jobs"
    folder.mkdir()
    (folder / "queue").write_bytes(b"a file of ours")
    one.nodes[0].configure(STATE_FILE=f"{folder}/")
    one.start()
    for place, names in enumerate(EVIL.values(), 1):
        with ReplicaImpostor(one.pool, one.pool[place]) as impostor:
            counted = Counted(follower)
            version = impostor.lead(one.nodes[0], gid=EPOCHS[0] + place, contents=[b"x"])
            with impostor.next_fetch() as fetch:
                entries = tuple(Entry(name, size=1) for name in names)
                fetch.offer_entries(version, entries, is_folder=True)
                assert fetch.receipt().result is Result.FAILED, names
            one.wait(lambda c=counted, i=impostor: c.failed(i.entry) == 1, "the refusal to be counted")
            impostor.fall_silent(one.nodes[0])
    assert {path.name for path in folder.parent.iterdir()} <= {"jobs", "Version"}
    assert [path.name for path in folder.iterdir()] == ["queue"]
    assert (folder / "queue").read_bytes() == b"a file of ours"
    with ReplicaImpostor(one.pool, one.pool[len(EVIL) + 1]) as impostor:
        version = impostor.lead(one.nodes[0], gid=EPOCHS[1], contents=[b"x"])
        with impostor.next_fetch() as fetch:
            entries = (Entry("queue", EntryKind.FOLDER, 0o700), Entry("queue/1", size=3))
            assert fetch.give_entries(version, entries, [b"", b"job"]).result is Result.OK
    assert (folder / "queue" / "1").read_bytes() == b"job"
    assert follower.point() == (EPOCHS[1], 1)
