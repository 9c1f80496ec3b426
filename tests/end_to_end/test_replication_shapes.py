"""States of several files, and states that are a folder: one version covers all of it, with real daemons."""

import os

import pytest

from tests.end_to_end.attending_had import AttendingHad
from tests.end_to_end.pool import Pool


class Pair:
    """A leader and a follower whose state has another shape than one file.

    Args:
        folder: where everything is kept.
        names: of the files of a list; none: the state is the folder `jobs`.
    """

    def __init__(self, folder, *names):
        self.pool = Pool(folder, 2, timeout_seconds=1, has_replication=True)
        self.folders = [node.replica.state_file.parent for node in self.pool.nodes]
        for node, own in zip(self.pool.nodes, self.folders, strict=True):
            state = [str(own / name) for name in names] or [f"{own}/jobs/"]
            node.configure(STATE_FILE=", ".join(state))
            node.replica.start()
        self.hads = [AttendingHad(self.pool, node) for node in self.pool.nodes]
        self.pool.wait(
            lambda: all(node.replica.status() for node in self.pool.nodes), 20, "both to answer", 0.05
        )

    def close(self):
        """End everything."""
        for had in self.hads:
            had.close()
        self.pool.close()

    def content(self, index, part="."):
        """Return every file of a node's state, by its name."""
        root = self.folders[index] / part
        staged = (".down", ".up", ".old", ".tmp")
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and path.name != "Version" and not path.name.endswith(staged)
        }

    def wait_alike(self, part="."):
        """Wait until the follower has what the leader has, as one version."""

        def is_alike():
            versions = [node.replica.status()["version"] for node in self.pool.nodes]
            are_one = all(versions) and versions[0] == versions[1] | {"changed": versions[0]["changed"]}
            return are_one and self.content(0, part) == self.content(1, part)

        self.pool.wait(is_alike, 15, "both to hold the same", 0.05)


@pytest.fixture
def make_pair(tmp_path):
    """Make pairs; each is ended with its test."""
    pairs = []

    def make(*names):
        pairs.append(Pair(tmp_path / f"pair{len(pairs)}", *names))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


def test_several_files_are_one_version(make_pair):
    """Files of a list change one after another; the follower never has one without the other, and permissions travel."""
    pair = make_pair("queue", "index")
    for name in ("queue", "index"):
        (pair.folders[0] / name).write_bytes(b"0")
        (pair.folders[0] / name).chmod(0o640)
    pair.hads[0].lead(129)
    pair.wait_alike()
    seen = set()
    for number in range(1, 6):
        for name in ("queue", "index"):
            (pair.folders[0] / name).write_bytes(b"%d" % number * 1000)

        def look(number=number):
            now = pair.content(1)
            seen.add((now["queue"], now["index"]))
            return now["index"] == b"%d" % number * 1000

        pair.pool.wait(look, 15, f"round {number} at the follower", 0.001)
    pair.wait_alike()
    assert (pair.folders[1] / "queue").stat().st_mode & 0o777 == 0o640
    assert {len(queue) for queue, _ in seen} <= {1, 1000}
    status = pair.pool[1].replica.status()
    assert [one["name"] for one in status["files"]] == ["0", "1"]
    assert status["is_folder"] is False


def test_a_folder_is_one_version(make_pair):
    """Files come, change and go in a folder of jobs; the follower's folder is swapped as one and ends up alike."""
    pair = make_pair()
    jobs = pair.folders[0] / "jobs"
    (jobs / "slave1").mkdir(parents=True)
    (jobs / "slave1" / "17").write_bytes(b"running\n")
    (jobs / "next").write_bytes(b"18\n")
    pair.hads[0].lead(129)
    pair.wait_alike("jobs")
    (jobs / "slave2").mkdir()
    (jobs / "slave2" / "18").write_bytes(os.urandom(200_000))
    (jobs / "slave1" / "17").unlink()
    (jobs / "next").write_bytes(b"19\n")
    pair.wait_alike("jobs")
    assert not (pair.folders[1] / "jobs" / "slave1" / "17").exists()
    assert pair.pool[1].replica.status()["is_folder"] is True
    answer = pair.hads[0].ask("flush", TimeoutSeconds=10.0)
    assert answer.get_bool("IsComplete")


def test_a_link_in_the_folder_is_refused(make_pair):
    """A symbolic link is not followed: the fault says so, nothing is replicated, and when it is gone all goes on."""
    pair = make_pair()
    jobs = pair.folders[0] / "jobs"
    jobs.mkdir()
    (jobs / "next").write_bytes(b"1\n")
    pair.hads[0].lead(129)
    pair.wait_alike("jobs")
    (jobs / "shadow").symlink_to("/etc/passwd")
    leader = pair.pool[0].replica
    pair.pool.wait(
        lambda: "shadow" in (leader.status()["watching"] or ""), 10, "the fault to name the link", 0.05
    )
    assert "shadow" not in pair.content(1, "jobs")
    (jobs / "shadow").unlink()
    (jobs / "next").write_bytes(b"2\n")
    pair.wait_alike("jobs")
    assert leader.status()["watching"] is None


def test_kinds_that_differ_are_said(tmp_path):
    """Where one member replicates a file and the other a folder, nothing moves and both logs say why."""
    pool = Pool(tmp_path / "pool", 2, timeout_seconds=1, has_replication=True)
    hads = []
    try:
        (pool[1].replica.state_file.parent / "jobs").mkdir()
        pool[1].configure(STATE_FILE=f"{pool[1].replica.state_file.parent}/jobs/")
        for node in pool.nodes:
            node.replica.start()
        hads = [AttendingHad(pool, node) for node in pool.nodes]
        pool[0].replica.state_file.write_bytes(b"one file")
        hads[0].lead(129)
        pool.wait(
            lambda: pool[1].replica.logged("transfer_failed", "a list of files"),
            15,
            "the follower to say so",
            0.05,
        )
        pool.wait(lambda: pool[0].replica.logged("transfer_failed"), 15, "the leader to say so", 0.05)
        assert pool[1].replica.is_up and pool[0].replica.is_up
    finally:
        for had in hads:
            had.close()
        pool.close()
