"""The durable pair, with the power failing before every operation, and on the real file system."""

import hashlib
import os
from pathlib import Path

import pytest

from daemoncore.durable import DurableError
from replication.disk import Kind, RealDisk, walk
from replication.journal import decode_held
from replication.manifest import FileRecord, Held
from replication.pair import Outcome, Pair
from replication.places import Places
from replication.staging import RefusedError
from replication.version import Point, Version
from tests.replication.failing_disk import ModelDisk, PowerCut

NUMBER = 77
OLD = Version.first(385).advanced()
NEW = OLD.advanced().led_by(513)

SINGLE = (("Accountantnew.log",), False, {"0": b"old " * 9}, {"0": b"new content " * 9})
SEVERAL = (
    ("one", "two", "three"),
    False,
    {"0": b"1", "1": b"2", "2": b"3"},
    {"0": b"I", "1": b"II", "2": b""},
)
FOLDER = (("jobs",), True, {"a": b"1", "b/c": b"2"}, {"a": b"one", "b/d": b"four"})
FRESH = (("Accountantnew.log",), False, {}, {"0": b"first"})
FRESH_FOLDER = (("jobs",), True, {}, {"a": b"one"})
SHAPES = {
    "one file": SINGLE,
    "several files": SEVERAL,
    "a folder": FOLDER,
    "nothing": FRESH,
    "no folder": FRESH_FOLDER,
    "to nothing": (("log",), False, {"0": b"old"}, {}),
    "several to nothing": (("one", "two", "three"), False, {"0": b"1", "1": b"2", "2": b"3"}, {}),
    "a tail": (("log",), False, {"0": b"head "}, {"0": b"head and tail"}),
    "a tail among others": (
        ("one", "two", "three", "four"),
        False,
        {"0": b"1", "1": b"2", "2": b"3", "3": b"4"},
        {"0": b"1-", "1": b"2", "2": b"III", "3": b"4-"},
    ),
}

#: Where the staged bytes begin, None for a file that stays; for the others all files are staged whole.
STARTS = {"a tail": (5,), "a tail among others": (1, None, 0, 1)}


def is_stopped():
    """No controllee runs."""
    return False


def is_running():
    """A controllee runs."""
    return True


def places_of(root, names, is_folder):
    """The places of a test: state in one folder, Version in another, ours in a third."""
    paths = tuple(root / "state" / name for name in names)
    return Places(paths, is_folder, root / "spool" / "Version", root / "had")


def held_of(version, contents, **others):
    """What a node holds whose files have these contents."""
    files = [
        FileRecord(n, len(data), hashlib.sha256(data).hexdigest()) for n, data in sorted(contents.items())
    ]
    return Held(version, tuple(files), **others)


def put(disk, paths, is_folder, contents, write):
    """Write files of these contents to one list of paths, or into one folder."""
    for name, data in contents.items():
        path = paths[0] / name if is_folder else paths[int(name)]
        for folder in reversed(path.relative_to(paths[0].parent).parents[:-1]):
            disk.make_folder(paths[0].parent / folder, 0o700)
        write(path, data)


def stage(disk, places, new, starts, write):
    """Put what a transferer received beside the targets: whole files, tails, or nothing."""
    if places.is_folder or not starts:
        put(disk, places.staged(NUMBER), places.is_folder, new, write)
        return
    for path, start, data in zip(places.staged(NUMBER), starts, new.values(), strict=True):
        if start is not None:
            write(path, data[start:])


def contents_of(disk, places):
    """Read the state back."""
    if places.is_folder:
        entries = walk(disk, places.paths[0])
        return {name: disk.read(places.paths[0] / name, 1000) for name, f in entries if f.kind is Kind.FILE}
    present = enumerate(places.paths)
    return {str(place): disk.read(path, 1000) for place, path in present if disk.facts(path) is not None}


def prepared(shape, can_exchange=True):
    """A model disk with the old pair, durable, and the new state staged by a transferer that synced it."""
    names, is_folder, old, new = SHAPES[shape]
    root = Path("/node")
    places = places_of(root, names, is_folder)
    disk = ModelDisk(("/node/state", "/node/spool", "/node/had"), can_exchange)
    if old:
        put(disk, places.paths, is_folder, old, disk.write)
        Pair(places, disk).note(held_of(OLD, old))
    stage(disk, places, new, STARTS.get(shape), disk.write)
    disk.settle()
    return disk, places, old, new


def check_one_complete_pair(disk, places, old, new):
    """The state and the truth are both old or both new, HTCondor is told the same, and nothing is left over."""
    held = Pair(places, disk)
    recovery = held.recover(is_controllee_running=is_stopped)
    contents = contents_of(disk, places)
    expected = held_of(NEW, new) if contents == new else held_of(OLD, old) if old else None
    assert contents in (old, new)
    assert recovery.held == expected
    assert recovery.outcome is Outcome.CLEAN, "the recovery before this one was not finished"
    if expected:
        assert disk.read(places.version_file, 100) == expected.version.text
    assert disk.names(places.paths[0].parent) == (
        sorted(path.name for path in places.paths) if contents else []
    )
    assert set(disk.names(places.folder)) <= {"version.json"}
    assert set(disk.names(places.version_file.parent)) <= {"Version"}
    return contents == new


def crashed_at(disk, step, act, *arguments, **options):
    """Perform an act and cut the power before its operation number `step`; whether it was cut."""
    disk.fail_at = step
    try:
        act(*arguments, **options)
    except PowerCut:
        return True
    finally:
        disk.fail_at = None
    return False


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_power_cut_before_any_operation_of_a_commit_leaves_one_complete_pair(shape, can_exchange):
    """Whatever the disk lost of what was not synced; and once the commit returned, the pair is the new one."""
    outcomes = set()
    step, is_cut = 0, True
    while is_cut:
        disk, places, old, new = prepared(shape, can_exchange)
        pair = Pair(places, disk)
        pair.recover(is_controllee_running=is_stopped)
        # Not synced: the commit does not rely on what a transferer says it did.
        stage(disk, places, new, STARTS.get(shape), disk.write)
        disk.steps = 0
        starts = STARTS.get(shape, ())
        is_cut = crashed_at(
            disk, step, pair.commit, NUMBER, held_of(NEW, new), starts, is_controllee_running=is_stopped
        )
        for found in disk.after_power_cut():
            Pair(places, found).recover(is_controllee_running=is_stopped)
            is_new = check_one_complete_pair(found, places, old, new)
            assert is_new or is_cut, "what was committed is not there"
            outcomes.add(is_new)
        step += 1
    assert outcomes == {True, False}
    assert step > 10


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("shape", ["one file", "several files", "a folder", "a tail among others"])
def test_a_power_cut_during_the_recovery_is_recovered_from(shape, can_exchange):
    """Power fails in the commit, fails again at any operation of the recovery, and one complete pair is left."""
    commit_steps = 0
    disk, places, old, new = prepared(shape, can_exchange)
    while crashed_at(
        disk,
        commit_steps,
        noted(places, disk).commit,
        NUMBER,
        held_of(NEW, new),
        STARTS.get(shape, ()),
        is_controllee_running=is_stopped,
    ):
        # Nothing lost, and everything lost: the cases between are those of the test above.
        every = list(disk.after_power_cut(limit=4))
        for first in (every[0], every[-1]):
            check_recoveries(first, places, old, new)
        commit_steps += 1
        disk, places, old, new = prepared(shape, can_exchange)


def noted(places, disk):
    """A pair that knows what it holds, though the recovery that tells it is none of the test's steps."""
    pair = Pair(places, disk)
    if disk.facts(places.truth) is not None:
        pair._held = decode_held(disk.read(places.truth, 10000))
    return pair


def check_recoveries(first, places, old, new):
    """Cut the power at every operation of one disk's recovery, and recover again."""
    step, is_cut = 0, True
    while is_cut:
        disk = next(iter(first.after_power_cut()))
        pair = Pair(places, disk)
        is_cut = crashed_at(disk, step, pair.recover, is_controllee_running=is_stopped)
        every = list(disk.after_power_cut(limit=4))
        for second in (every[0], every[-1]):
            Pair(places, second).recover(is_controllee_running=is_stopped)
            check_one_complete_pair(second, places, old, new)
        step += 1


def test_a_disk_that_lies_about_syncing_is_found_out():
    """The model is no formality: where sync does nothing, some power cut tears the pair, and the check says so."""
    torn = 0
    for step in range(60):
        disk, places, old, new = prepared("one file")
        disk.syncs_lie = True
        pair = Pair(places, disk)
        crashed_at(disk, step, pair.commit, NUMBER, held_of(NEW, new), is_controllee_running=is_stopped)
        for found in disk.after_power_cut():
            try:
                Pair(places, found).recover(is_controllee_running=is_stopped)
                check_one_complete_pair(found, places, old, new)
            except (AssertionError, DurableError):
                torn += 1
    assert torn > 0


def test_a_power_cut_while_the_leader_notes_a_version_leaves_the_older_or_the_newer():
    """The truth is one file: a leader's version is the one before or the one after, never none."""
    versions = set()
    step, is_cut = 0, True
    while is_cut:
        disk, places, old, _ = prepared("one file")
        disk.remove(places.staged(NUMBER)[0])
        disk.settle()
        pair = Pair(places, disk)
        after = held_of(OLD.advanced(), old, is_leading=True)
        is_cut = crashed_at(disk, step, pair.note, after)
        for found in disk.after_power_cut():
            recovery = Pair(places, found).recover(is_controllee_running=is_stopped)
            assert recovery.held in (held_of(OLD, old), after)
            assert recovery.htcondor is None
            assert is_cut or recovery.held == after
            versions.add(recovery.held.version.clock)
        step += 1
    assert versions == {1, 2}


def test_what_is_noted_after_a_commit_is_not_undone_by_it():
    """The journal is durably gone before the commit returns, so no power cut brings its version back."""
    disk, places, _, new = prepared("one file")
    pair = Pair(places, disk)
    pair.commit(NUMBER, held_of(NEW, new), is_controllee_running=is_stopped)
    pair.note(held_of(NEW.advanced(), new))
    for found in disk.after_power_cut():
        recovery = Pair(places, found).recover(is_controllee_running=is_stopped)
        assert recovery.held == held_of(NEW.advanced(), new)


def test_a_folder_that_stands_aside_returns_if_the_controllee_is_running():
    """Without an exchange there is an instant without the folder; a recovery that may not go on goes back."""
    disk, places, old, new = prepared("a folder", can_exchange=False)
    step = 0
    while disk.facts(places.paths[0]) is not None:
        disk, places, old, new = prepared("a folder", can_exchange=False)
        pair = Pair(places, disk)
        assert crashed_at(
            disk, step, pair.commit, NUMBER, held_of(NEW, new), is_controllee_running=is_stopped
        )
        step += 1
    assert Pair(places, disk).recover(is_controllee_running=is_running).outcome is Outcome.ABANDONED
    check_one_complete_pair(disk, places, old, new)
    assert contents_of(disk, places) == old


def test_a_commit_under_a_running_controllee_is_refused():
    """Nothing is written, and the staged file waits."""
    disk, places, old, new = prepared("one file")
    with pytest.raises(RefusedError, match="running controllee"):
        Pair(places, disk).commit(NUMBER, held_of(NEW, new), is_controllee_running=is_running)
    assert contents_of(disk, places) == old
    assert disk.names(places.folder) == ["version.json"]


def interrupted(shape, renamed):
    """A disk whose commit was cut when the journal stood and that many targets were renamed."""
    disk, places, old, new = prepared(shape)
    pair = Pair(places, disk)
    answers = iter([False] * (renamed + 1))
    starts = STARTS.get(shape, ())
    pair.recover(is_controllee_running=is_running)
    stage(disk, places, new, starts, disk.write)
    with pytest.raises((DurableError, RefusedError), match="running controllee"):
        pair.commit(NUMBER, held_of(NEW, new), starts, is_controllee_running=lambda: next(answers, True))
    return disk, places, old, new


@pytest.mark.parametrize(
    ("written", "outcome"),
    [
        (b"head ", Outcome.ABANDONED),
        (b"heed ", Outcome.ABANDONED),
        (b"head and", Outcome.MIXED),
        (b"heed and", Outcome.ABANDONED),
        (b"head \0\0\0", Outcome.MIXED),
        (b"head and tail", Outcome.FINISHED),
        (b"head and tail, and more", Outcome.FINISHED),
        (b"head that grew otherwise", Outcome.ABANDONED),
        (b"short", Outcome.ABANDONED),
        (b"sho", Outcome.ABANDONED),
    ],
)
def test_an_append_that_a_controllee_found_is_told_from_what_it_wrote(written, outcome):
    """Only half a tail under a running controllee has no way back or on."""
    disk, places, _, _ = interrupted("a tail", 0)
    disk.write(places.paths[0], written)
    assert Pair(places, disk).recover(is_controllee_running=is_running).outcome is outcome
    assert contents_of(disk, places) == {"0": written}


def test_a_head_whose_time_changed_gets_its_tail_only_if_its_bytes_did_not():
    """A power cut may keep the time of our write and lose its bytes; somebody else's rewriting looks the same."""
    for written, outcome, expected in (
        (b"head ", Outcome.FINISHED, b"head and tail"),
        (b"heed ", Outcome.ABANDONED, b"heed "),
    ):
        disk, places, _, _ = interrupted("a tail", 0)
        disk.write(places.paths[0], written)
        assert Pair(places, disk).recover(is_controllee_running=is_stopped).outcome is outcome
        assert contents_of(disk, places) == {"0": expected}


@pytest.mark.parametrize("written", [b"x", b"2 and more", b"2"])
def test_a_tail_is_never_put_behind_another_head(written):
    """Others of the files are new already, and this one is nobody's: it was kept, and now nothing is held."""
    disk, places, _, _ = interrupted("a tail among others", 2)
    disk.write(places.paths[3], written)
    assert Pair(places, disk).recover(is_controllee_running=is_stopped).outcome is Outcome.MIXED
    recovery = Pair(places, disk).recover(is_controllee_running=is_stopped, is_kept=True)
    assert (recovery.outcome, recovery.held, recovery.htcondor) == (Outcome.UNUSABLE, None, None)
    assert Pair(places, disk).recover(is_controllee_running=is_stopped).held is None
    assert contents_of(disk, places)["3"] == written
    assert disk.names(places.folder) == []


def test_a_tail_that_does_not_continue_the_file_is_refused():
    """The file grew or shrank since the tail was asked for: nothing changes."""
    disk, places, _, new = prepared("a tail")
    disk.write(places.paths[0], b"head, grown")
    with pytest.raises(RefusedError, match="has 11 bytes; what was received continues it at byte 5"):
        Pair(places, disk).commit(NUMBER, held_of(NEW, new), (5,), is_controllee_running=is_stopped)
    assert contents_of(disk, places) == {"0": b"head, grown"}


def test_a_journal_found_while_the_controllee_runs_is_given_up():
    """The controllee started on the old state: that stays, and the received one is swept."""
    disk, places, old, _ = interrupted("several files", 0)
    recovery = Pair(places, disk).recover(is_controllee_running=is_running)
    assert recovery.outcome is Outcome.ABANDONED
    assert recovery.held == held_of(OLD, old)
    assert contents_of(disk, places) == old
    assert disk.names(places.paths[0].parent) == sorted(path.name for path in places.paths)


def test_a_state_that_was_written_to_since_the_journal_is_not_renamed_over():
    """A controllee ran between the crash and the recovery: what it wrote stays."""
    disk, places, old, _ = interrupted("one file", 0)
    disk.write(places.paths[0], b"written since")
    recovery = Pair(places, disk).recover(is_controllee_running=is_stopped)
    assert recovery.outcome is Outcome.ABANDONED
    assert recovery.held == held_of(OLD, old)
    assert contents_of(disk, places) == {"0": b"written since"}


def test_a_folder_in_which_something_was_written_is_not_swapped():
    """A file that grew deep inside counts as written to."""
    disk, places, old, _ = interrupted("a folder", 0)
    disk.write(places.paths[0] / "b" / "c", b"written since")
    assert Pair(places, disk).recover(is_controllee_running=is_stopped).outcome is Outcome.ABANDONED
    assert contents_of(disk, places) == {**old, "b/c": b"written since"}


def test_a_mixture_that_a_controllee_uses_is_left_alone_and_said():
    """Some of several files are new: only after they were kept elsewhere may the rest be replaced."""
    disk, places, _, new = interrupted("several files", 1)
    for is_controllee_running in (is_running, is_running):
        recovery = Pair(places, disk).recover(is_controllee_running=is_controllee_running)
        assert recovery.outcome is Outcome.MIXED
    disk.write(places.paths[2], b"written since")
    pair = Pair(places, disk)
    assert pair.recover(is_controllee_running=is_stopped).outcome is Outcome.MIXED
    assert contents_of(disk, places)["2"] == b"written since"
    recovery = pair.recover(is_controllee_running=is_stopped, is_kept=True)
    assert recovery.outcome is Outcome.FINISHED
    assert recovery.held == held_of(NEW, new)
    assert contents_of(disk, places) == new


def test_a_mixture_that_was_kept_is_given_up_if_a_controllee_runs_on_it():
    """Nothing is held then, and nothing leads back to the replacement; the state is the controllee's."""
    disk, places, _, _ = interrupted("several files", 1)
    before = contents_of(disk, places)
    recovery = Pair(places, disk).recover(is_controllee_running=is_running, is_kept=True)
    assert (recovery.outcome, recovery.held) == (Outcome.UNUSABLE, None)
    assert contents_of(disk, places) == before
    assert Pair(places, disk).recover(is_controllee_running=is_stopped).outcome is Outcome.CLEAN
    assert disk.names(places.paths[0].parent) == sorted(path.name for path in places.paths)


@pytest.mark.parametrize("written", [b"", b"written since"])
def test_a_state_that_is_to_go_is_left_if_somebody_wrote_to_it_since(written):
    """It is not what was to be removed any more."""
    disk, places, old, _ = interrupted("to nothing", 0)
    disk.write(places.paths[0], written)
    recovery = Pair(places, disk).recover(is_controllee_running=is_stopped)
    assert (recovery.outcome, recovery.held) == (Outcome.ABANDONED, held_of(OLD, old))
    assert contents_of(disk, places) == {"0": written}


def test_a_tail_takes_the_place_of_what_counts_for_nothing():
    """Half a transaction that a killed controllee left, and no byte more."""
    disk, places, _, new = prepared("a tail")
    disk.write(places.paths[0], b"head half")
    pair = Pair(places, disk)
    with pytest.raises(RefusedError, match="has 6 bytes"):
        pair.commit(NUMBER, held_of(NEW, new), (5,), spare=(3,), is_controllee_running=is_stopped)
    pair.commit(NUMBER, held_of(NEW, new), (5,), spare=(4,), is_controllee_running=is_stopped)
    assert contents_of(disk, places) == new


def test_no_power_cut_lets_a_version_of_ours_pass_for_htcondors():
    """One that diverged from what is held now is off the disk before that is on it, though nobody waits for the text."""
    diverged = held_of(Version.first(641), {"0": b"old " * 9})
    step, is_cut, seen = 0, True, set()
    while is_cut:
        disk, places, old, _ = prepared("one file")
        pair = noted(places, disk)
        is_cut = crashed_at(disk, step, pair.note, diverged)
        for found in disk.after_power_cut():
            recovery = Pair(places, found).recover(is_controllee_running=is_stopped)
            assert recovery.htcondor is None
            assert recovery.held in (held_of(OLD, old), diverged)
            seen.add(recovery.held.version.gid)
        step += 1
    assert seen == {385, 641}


def test_the_version_file_is_restored_where_it_is_missing():
    """And only there: what HTCondor may have left is for the next start."""
    disk, places, _, _ = prepared("one file")
    pair = noted(places, disk)
    assert not pair.restore_text()
    disk.remove(places.version_file)
    assert pair.restore_text()
    assert disk.read(places.version_file, 100) == OLD.text
    assert not Pair(places, disk).restore_text()


def test_condor_preen_deletes_the_version_and_nothing_is_lost():
    """The truth is elsewhere, and HTCondor's file is there again after the start."""
    disk, places, old, _ = prepared("one file")
    disk.remove(places.version_file)
    recovery = Pair(places, disk).recover(is_controllee_running=is_stopped)
    assert recovery.held == held_of(OLD, old)
    assert (recovery.htcondor, recovery.older, recovery.damage) == (None, None, ())
    assert disk.read(places.version_file, 100) == OLD.text


@pytest.mark.parametrize("text", [Version(385, 2).text, b"1804289383\n50", b"0\n0"])
def test_what_htcondor_left_is_adopted(text):
    """A version that is not of our line means that HTCondor ran here: its state is taken, its parent unknown."""
    disk, places, _, _ = prepared("one file")
    disk.write(places.version_file, text)
    recovery = Pair(places, disk).recover(is_controllee_running=is_stopped)
    assert recovery.htcondor == recovery.held.version.point
    assert recovery.held.version.text == text
    assert (recovery.held.version.is_rooted, recovery.held.files) == (False, ())
    assert Pair(places, disk).recover(is_controllee_running=is_stopped).held == recovery.held


def test_an_ancestor_of_ours_in_the_version_file_is_told_and_corrected():
    """After a power cut HTCondor's file may be an older one of ours; so may a restored backup's."""
    disk, places, old, _ = prepared("one file")
    disk.write(places.version_file, Version(385, 0).text)
    recovery = Pair(places, disk).recover(is_controllee_running=is_stopped)
    assert (recovery.older, recovery.held) == (Point(385, 0), held_of(OLD, old))
    assert disk.read(places.version_file, 100) == OLD.text


def test_damaged_documents_are_said_and_count_as_absent():
    """A flipped bit in the truth is not taken for another version; HTCondor's file tells at least the point."""
    disk, places, _, _ = prepared("one file")
    truth = places.folder / "version.json"
    disk.write(truth, disk.read(truth, 9999).replace(b'"clock":1', b'"clock":9'))
    recovery = Pair(places, disk).recover(is_controllee_running=is_stopped)
    assert "version.json" in recovery.damage[0]
    assert recovery.held == Held(Version.adopted(OLD.point))


def test_a_damaged_journal_changes_nothing():
    """Without a readable journal nothing is renamed, and what was staged is swept."""
    disk, places, old, _ = interrupted("several files", 0)
    disk.write(places.folder / "commit.json", b"garbage")
    recovery = Pair(places, disk).recover(is_controllee_running=is_stopped)
    assert "commit.json" in recovery.damage[0]
    assert contents_of(disk, places) == old
    check_one_complete_pair(disk, places, old, {})


@pytest.fixture
def real(tmp_path):
    """Places of one file on the real file system."""
    for name in ("state", "spool", "had"):
        (tmp_path / name).mkdir()
    return places_of(tmp_path, ("log",), is_folder=False)


def test_a_real_commit_keeps_permissions_and_owner(real):
    """The file has another inode and the old file's mode and owner; the received mode does not matter."""
    real.paths[0].write_bytes(b"old")
    real.paths[0].chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real.paths[0], 12, 34)
    before = real.paths[0].stat()
    real.staged(NUMBER)[0].write_bytes(b"new")
    pair = Pair(real)
    pair.commit(NUMBER, held_of(NEW, {"0": b"new"}), is_controllee_running=is_stopped)
    after = real.paths[0].stat()
    assert real.paths[0].read_bytes() == b"new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert real.version_file.read_bytes() == NEW.text
    assert Pair(real).recover(is_controllee_running=is_stopped).held == pair.held


def test_a_new_file_gets_the_leaders_permissions(real):
    """Where nothing was, the mode is that of the record."""
    real.staged(NUMBER)[0].write_bytes(b"new")
    record = FileRecord("0", 3, hashlib.sha256(b"new").hexdigest(), 0o644)
    Pair(real).commit(NUMBER, Held(NEW, (record,)), is_controllee_running=is_stopped)
    assert real.paths[0].stat().st_mode & 0o777 == 0o644


def test_a_real_folder_is_swapped_as_one(tmp_path):
    """Names that the new state lacks are gone, modes of those that stay are kept, and nothing is left beside it."""
    for name in ("state", "spool", "had"):
        (tmp_path / name).mkdir()
    places = places_of(tmp_path, ("jobs",), is_folder=True)
    disk = RealDisk()
    put(disk, places.paths, True, FOLDER[2], lambda path, data: path.write_bytes(data))
    (places.paths[0] / "a").chmod(0o644)
    places.paths[0].chmod(0o750)
    put(disk, places.staged(NUMBER), True, FOLDER[3], lambda path, data: path.write_bytes(data))
    Pair(places).commit(NUMBER, held_of(NEW, FOLDER[3]), is_controllee_running=is_stopped)
    assert contents_of(disk, places) == FOLDER[3]
    assert places.paths[0].stat().st_mode & 0o777 == 0o750
    assert (places.paths[0] / "a").stat().st_mode & 0o777 == 0o644
    assert disk.names(tmp_path / "state") == ["jobs"]


def test_a_link_in_the_place_of_the_state_is_refused(real, tmp_path):
    """Whatever it points to is not touched."""
    (tmp_path / "secret").write_bytes(b"secret")
    real.paths[0].symlink_to(tmp_path / "secret")
    real.staged(NUMBER)[0].write_bytes(b"new")
    with pytest.raises(RefusedError, match="link stands there"):
        Pair(real).commit(NUMBER, held_of(NEW, {"0": b"new"}), is_controllee_running=is_stopped)
    assert (tmp_path / "secret").read_bytes() == b"secret"


def make_link(path):
    """Put a link to somebody's secrets there."""
    path.symlink_to("/etc/passwd")


def make_pipe(path):
    """Put a pipe there, which blocks whoever opens it."""
    os.mkfifo(path)


@pytest.mark.parametrize("make", [make_link, make_pipe])
def test_a_link_or_a_pipe_in_what_was_received_is_refused(tmp_path, make):
    """Only plain files and folders are swapped in; nothing changes and no journal is written."""
    for name in ("state", "spool", "had"):
        (tmp_path / name).mkdir()
    places = places_of(tmp_path, ("jobs",), is_folder=True)
    staged = places.staged(NUMBER)
    put(RealDisk(), staged, True, {"a": b"one"}, lambda path, data: path.write_bytes(data))
    make(staged[0] / "x")
    with pytest.raises(RefusedError, match="only files and folders"):
        Pair(places).commit(NUMBER, held_of(NEW, {"a": b"one"}), is_controllee_running=is_stopped)
    assert not places.paths[0].exists()
    assert list(places.folder.iterdir()) == []


def test_what_is_shorter_than_announced_is_refused(real):
    """A short file is never renamed to the state, and neither is none."""
    held = held_of(NEW, {"0": b"new"})
    with pytest.raises(RefusedError, match="not there"):
        Pair(real).commit(NUMBER, held, is_controllee_running=is_stopped)
    real.staged(NUMBER)[0].write_bytes(b"ne")
    with pytest.raises(RefusedError, match="received 2, announced 3"):
        Pair(real).commit(NUMBER, held, is_controllee_running=is_stopped)
    assert not real.paths[0].exists()


def test_only_recognisable_leftovers_are_swept(real):
    """What a killed transferer left goes, by its number or all; files of others stay."""
    folder = real.paths[0].parent
    for name in (
        "log.5.down",
        "log.6.down",
        "log.5.up",
        "log.txt",
        "log.5.downs",
        "log.down",
        "other.5.down",
    ):
        (folder / name).write_bytes(b"x")
    pair = Pair(real)
    assert {path.name for path in pair.sweep(5)} == {"log.5.down", "log.5.up"}
    assert {path.name for path in pair.recover(is_controllee_running=is_stopped).swept} == {"log.6.down"}
    assert {path.name for path in folder.iterdir()} == {"log.txt", "log.5.downs", "log.down", "other.5.down"}


def test_a_disk_that_fails_is_named(real):
    """The error says which file could not be written, and the pair is the older one."""
    pair = Pair(real)
    real.folder.rmdir()
    with pytest.raises(DurableError, match=r"version\.json: cannot replace"):
        pair.note(held_of(NEW, {}))
    assert pair.held is None
