"""Conflicts: kept whole or not at all, listed, exported, restored, and only the settled ones make room."""

import hashlib
import os
from pathlib import Path

import pytest

from daemoncore.durable import DurableError
from replication.ancestors import ANCESTOR_LIMIT_BYTES, ANCESTOR_LIMIT_FILES, Ancestors
from replication.archive import Archive, ArchiveError
from replication.conflicts import Conflicts
from replication.manifest import FileRecord, Held
from replication.pair import Pair
from replication.places import Places
from replication.version import Version
from tests.replication.failing_disk import ModelDisk, PowerCut

BASE = Version.first(385)


def records(contents):
    """The records of files with these contents."""
    return tuple(FileRecord(n, len(data), hashlib.sha256(data).hexdigest()) for n, data in contents.items())


@pytest.fixture
def state(tmp_path):
    """A state of one file that is about to be replaced."""
    path = tmp_path / "state" / "log"
    path.parent.mkdir()
    path.write_bytes(b"lost usage")
    return path


@pytest.fixture
def conflicts(tmp_path):
    """An empty collection that keeps two."""
    (tmp_path / "had").mkdir()
    return Conflicts(tmp_path / "had" / "conflicts", 2)


def keep(conflicts, state, clock, content=b"lost usage"):
    """Keep a version of the state."""
    state.write_bytes(content)
    version = Version(385, clock, is_rooted=True)
    return conflicts.keep(
        version, records({"0": content}), {"0": state}, reason="lost the heal", kept_at_seconds=100.0 + clock
    )


def test_a_conflict_is_kept_whole_and_listed(conflicts, state):
    """The copy is its own file: what happens to the state afterwards does not reach it; every key is there."""
    keeping = keep(conflicts, state, 3)
    with state.open("ab") as file:
        file.write(b" more")
    conflict = keeping.conflict
    assert conflicts.archive.path_of(conflict, "0").read_bytes() == b"lost usage"
    assert (keeping.removed, keeping.is_over_limit) == ((), False)
    assert conflicts.documents() == [
        {
            "id": conflict.identifier,
            "version": Version(385, 3, is_rooted=True).to_document(),
            "files": [["0", 10, hashlib.sha256(b"lost usage").hexdigest(), 0o600]],
            "bytes": 10,
            "reason": "lost the heal",
            "kept_at": 103.0,
            "replaced_by": None,
            "exported_to": None,
            "merged_into": None,
            "failure": None,
        }
    ]
    assert conflict.identifier.startswith("385.3-")


def test_only_the_part_that_counts_is_kept(conflicts, state):
    """A record may cover less than the file has grown to."""
    state.write_bytes(b"whole transactions, and half")
    files = records({"0": b"whole transactions"})
    kept = conflicts.keep(BASE, files, {"0": state}, reason="r", kept_at_seconds=0.0).conflict
    assert conflicts.archive.path_of(kept, "0").read_bytes() == b"whole transactions"


def test_the_same_state_is_kept_once_and_two_states_of_one_version_are_two(conflicts, state):
    """A retry after a crash finds its copy; a file that changed under one version is another state."""
    first = keep(conflicts, state, 3)
    assert keep(conflicts, state, 3).conflict == first.conflict
    keep(conflicts, state, 3, b"other")
    assert len(conflicts.documents()) == 2


def test_beyond_the_limit_unsettled_conflicts_are_kept_and_an_alarm_is_due(conflicts, state):
    """Nobody has looked at them: none may go."""
    assert [keep(conflicts, state, clock).is_over_limit for clock in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
    assert len(conflicts.documents()) == 4


def test_settled_conflicts_make_room_the_oldest_first(conflicts, state, tmp_path):
    """Exported and merged ones go when there are too many, and not before."""
    ids = [keep(conflicts, state, clock).conflict.identifier for clock in (1, 2)]
    conflicts.mark_merged(ids[1], Version(513, 7))
    conflicts.export(ids[0], tmp_path / "exported")
    assert [one["merged_into"] for one in conflicts.documents()] == [None, "513.7"]
    third = keep(conflicts, state, 3)
    assert (third.removed, third.is_over_limit) == ((ids[0],), False)
    fourth = keep(conflicts, state, 4)
    assert (fourth.removed, fourth.is_over_limit) == ((ids[1],), False)
    assert keep(conflicts, state, 5).is_over_limit
    assert (tmp_path / "exported" / "0").read_bytes() == b"lost usage"


def test_an_export_never_overwrites(conflicts, state, tmp_path):
    """The folder must be new, and the name known; a name is no path."""
    identifier = keep(conflicts, state, 1).conflict.identifier
    (tmp_path / "there").mkdir()
    with pytest.raises(ArchiveError, match="is there already"):
        conflicts.export(identifier, tmp_path / "there")
    for name in ("385.9-12345678", "", ".", "..", "../conflicts/" + identifier, "x\0y"):
        with pytest.raises(ArchiveError, match="there is no"):
            conflicts.export(name, tmp_path / "new")
    assert conflicts.documents()[0]["exported_to"] is None


def test_a_damaged_copy_is_not_exported(conflicts, state, tmp_path):
    """Its digest is checked, and the conflict does not count as settled."""
    conflict = keep(conflicts, state, 1).conflict
    conflicts.archive.path_of(conflict, "0").write_bytes(b"lost usagE")
    with pytest.raises(ArchiveError, match="damaged"):
        conflicts.export(conflict.identifier, tmp_path / "new")
    assert conflicts.documents()[0]["exported_to"] is None


def test_a_copy_without_a_readable_record_is_told_and_left(conflicts, state):
    """Its files may still be good."""
    conflict = keep(conflicts, state, 1).conflict
    (conflicts.archive.folder / conflict.identifier / "record.json").write_bytes(b'{"version": 1}')
    assert conflicts.documents() == []
    assert conflicts.archive.damaged() == [conflict.identifier]
    assert conflicts.archive.path_of(conflict, "0").exists()


def test_a_state_that_changes_while_it_is_kept_is_not_kept(conflicts, state):
    """Half of one and half of another is no copy: whoever wanted to overwrite the original is stopped."""
    with pytest.raises(DurableError, match="changed while it was kept"):
        conflicts.keep(BASE, records({"0": b"lost USAGE"}), {"0": state}, reason="r", kept_at_seconds=0.0)
    with pytest.raises(DurableError, match="ends at byte"):
        conflicts.keep(BASE, records({"0": b"lost usage!"}), {"0": state}, reason="r", kept_at_seconds=0.0)
    assert list(conflicts.archive.folder.iterdir()) == []


def test_a_link_is_not_followed_when_a_state_is_kept(conflicts, state, tmp_path):
    """Somebody put it in the place of the state."""
    (tmp_path / "secret").write_bytes(b"lost usage")
    state.unlink()
    state.symlink_to(tmp_path / "secret")
    with pytest.raises(DurableError, match="no plain file"):
        conflicts.keep(BASE, records({"0": b"lost usage"}), {"0": state}, reason="r", kept_at_seconds=0.0)


def test_an_open_file_is_kept_whatever_has_its_name(conflicts, state):
    """A controllee compacts its log at the very moment; the descriptor's position is left alone."""
    descriptor = os.open(state, os.O_RDONLY)
    os.lseek(descriptor, 3, os.SEEK_SET)
    state.unlink()
    kept = conflicts.keep(
        BASE, records({"0": b"lost usage"}), {"0": descriptor}, reason="r", kept_at_seconds=0.0
    ).conflict
    assert conflicts.archive.path_of(kept, "0").read_bytes() == b"lost usage"
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 3
    with pytest.raises(DurableError, match="file 0 of the state: changed while it was kept"):
        conflicts.keep(
            BASE, records({"0": b"lost USAGE"}), {"0": descriptor}, reason="r", kept_at_seconds=0.0
        )
    os.close(descriptor)


def test_what_was_kept_when_it_was_found_learns_what_replaced_it(conflicts, state):
    """Only once: the first replacement is the one of which people want to know."""
    first = keep(conflicts, state, 3)
    for gid in (513, 641):
        again = conflicts.keep(
            first.conflict.version,
            first.conflict.files,
            {"0": state},
            reason="replaced",
            kept_at_seconds=900.0,
            replaced_by=Version(gid, 7),
        )
        assert again.conflict.identifier == first.conflict.identifier
    (document,) = conflicts.documents()
    assert document["replaced_by"] == Version(513, 7).to_document()
    assert (document["reason"], document["kept_at"]) == ("lost the heal", 103.0)


def test_a_conflict_can_be_restored(conflicts, state, tmp_path):
    """It is staged like a download, and becomes a new version of this node through the pair."""
    conflict = keep(conflicts, state, 3).conflict
    state.write_bytes(b"the winner's")
    (tmp_path / "spool").mkdir()
    places = Places((state,), False, tmp_path / "spool" / "Version", tmp_path / "had")
    conflicts.archive.stage(conflict, places, os.getpid())
    held = Held(BASE.led_by(641), conflict.files)
    Pair(places).commit(os.getpid(), held, is_controllee_running=lambda: False)
    assert state.read_bytes() == b"lost usage"


def test_a_conflict_of_other_files_is_not_staged(conflicts, state, tmp_path):
    """STATE_FILE names two files now: the operator exports it and decides."""
    conflict = keep(conflicts, state, 3).conflict
    places = Places((state, tmp_path / "two"), False, tmp_path / "Version", tmp_path / "had")
    with pytest.raises(ArchiveError, match="export it instead"):
        conflicts.archive.stage(conflict, places, 7)


def test_a_folder_is_kept_and_comes_back_with_its_names(conflicts, tmp_path):
    """Files deep inside are numbered in the copy and have their names outside."""
    jobs = tmp_path / "jobs"
    (jobs / "a").mkdir(parents=True)
    contents = {"a/b": b"deep", "c": b"", "d e": b"x"}
    for name, data in contents.items():
        (jobs / name).write_bytes(data)
    conflict = conflicts.keep(
        BASE, records(contents), {name: jobs / name for name in contents}, reason="r", kept_at_seconds=0.0
    ).conflict
    places = Places((jobs,), True, tmp_path / "Version", tmp_path / "had")
    conflicts.archive.stage(conflict, places, 7)
    for folder in (places.staged(7)[0], tmp_path / "exported"):
        if folder.name == "exported":
            conflicts.export(conflict.identifier, folder)
        found = {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        assert found == contents


def test_the_base_of_a_merge_is_where_both_sides_began_to_differ(tmp_path, state):
    """The state with which the later leadership began, though both have gone on since."""
    ancestors = Ancestors(tmp_path / "ancestors")
    fork = BASE.advanced()
    copy = ancestors.keep(fork, records({"0": b"lost usage"}), {"0": state}, kept_at_seconds=1.0)
    mine, theirs = fork.led_by(513).advanced(), fork.advanced().advanced()
    assert ancestors.base_of(mine, theirs) == ancestors.base_of(theirs, mine) == copy
    assert ancestors.base_of(mine, BASE) is None


def test_only_the_last_ancestors_are_kept_and_no_large_ones(tmp_path, state):
    """The oldest go by the time at which they were kept, whatever their number is."""
    ancestors = Ancestors(tmp_path / "ancestors", limit=2)
    for place, gid in enumerate((900, 300, 600)):
        ancestors.keep(
            Version.first(gid), records({"0": b"lost usage"}), {"0": state}, kept_at_seconds=float(place)
        )
    assert [copy.version.gid for copy in ancestors.archive.copies()] == [300, 600]
    large = (FileRecord("0", ANCESTOR_LIMIT_BYTES + 1, "00" * 32),)
    assert ancestors.keep(BASE, large, {"0": state}, kept_at_seconds=9.0) is None
    many = tuple(FileRecord(str(place), 10, "00" * 32) for place in range(ANCESTOR_LIMIT_FILES + 1))
    assert ancestors.keep(BASE, many, {}, kept_at_seconds=9.0) is None


def model():
    """A model disk with one conflict and a state, durable."""
    disk = ModelDisk(("/node/had",))
    state = Path("/node/had/state")
    disk.write(state, b"first")
    conflicts = Conflicts(Path("/node/had/conflicts"), 1, disk)
    kept = conflicts.keep(BASE, records({"0": b"first"}), {"0": state}, reason="r", kept_at_seconds=1.0)
    conflicts.mark_merged(kept.conflict.identifier, BASE)
    disk.write(state, b"second")
    disk.settle()
    return disk, conflicts, state, kept.conflict


def test_a_power_cut_while_one_is_kept_leaves_whole_ones():
    """Before the new one is durable the old one is there; at the end only the new one is; nothing else is left."""
    step, is_cut, counts = 0, True, set()
    while is_cut:
        disk, conflicts, state, old = model()
        disk.fail_at = step
        try:
            conflicts.keep(
                BASE.advanced(), records({"0": b"second"}), {"0": state}, reason="r", kept_at_seconds=2.0
            )
            is_cut = False
        except PowerCut:
            pass
        for found in disk.after_power_cut(limit=30):
            archive = Archive(Path("/node/had/conflicts"), found)
            copies = archive.copies()
            assert archive.damaged() == []
            for copy in copies:
                assert found.digest(archive.path_of(copy, "0"), 100) == copy.files[0].sha256
            versions = [copy.version for copy in copies]
            assert old.version in versions or BASE.advanced() in versions
            assert is_cut or BASE.advanced() in versions
            archive.sweep()
            assert found.names(archive.folder) == sorted(copy.identifier for copy in copies)
            counts.add(len(copies))
        step += 1
    assert counts == {1, 2}
