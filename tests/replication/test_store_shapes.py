"""Lists, folders and large files on the disk side, what leaderships begin from, and disks that fail in the middle."""

import errno
import time
from pathlib import Path

import attrs
import pytest
import trio

from daemoncore.classad_log import LogContents, parse
from daemoncore.durable import DurableError
from replication.ancestors import ANCESTOR_LIMIT_FILES
from replication.archive import ArchiveError
from replication.copy_fetch import Fetched
from replication.disk import RealDisk
from replication.events import (
    Archived,
    Installed,
    InstallFailed,
    Noted,
    Revised,
    ReviseFailed,
    RevisionsWaiting,
    StateChanged,
)
from replication.holdings import WAITING_LIMIT
from replication.manifest import Held
from replication.pair import Pair
from replication.revising import Act
from replication.sendable import Arrival
from tests.replication.storing import (
    HEAD,
    NUMBER,
    Node,
    plain,
    record,
    records,
    sent,
    transaction,
    version,
    write,
)

pytestmark = pytest.mark.timed

OLD = version(128, 3)
LED = version(256, 0, OLD)


# --- more than one file -----------------------------------------------------------------------------------------


async def test_a_list_is_one_version_and_each_file_knows_how_it_continues(tmp_path):
    """One file grew, one was replaced, one is as it was."""
    node = Node(tmp_path, names=("one", "two", "three"))
    node.holds(OLD, HEAD, b"2", b"3")
    async with node.running() as store:
        store.watch()
        node.replace(b"II", 1)
        node.append(transaction(1))
        told = await node.changed_to(HEAD + transaction(1), b"II", b"3")
        assert told <= 1
        held = Held(LED, records(HEAD + transaction(1), b"II", b"3"), is_leading=True)
        store.note(held)
        await node.event(Noted)
        assert [file.is_append for file in store.sendable.files] == [True, False, True]
        assert sent(store.sendable) == {"0": HEAD + transaction(1), "1": b"II", "2": b"3"}


async def test_a_list_is_replaced_as_one(tmp_path):
    """A tail, a whole file, and one that stays."""
    node = Node(tmp_path, names=("one", "two", "three"))
    node.holds(OLD, b"1", b"2", b"3")
    async with node.running() as store:
        arrival = node.receive(b"1+", b"II", b"3", starts=(1, 0, None))
        held = Held(LED, arrival.files)
        store.install(1, held, arrival, is_conflict=False)
        assert await node.event(Installed) == Installed(1, held)
        assert [path.read_bytes() for path in node.paths] == [b"1+", b"II", b"3"]
        assert [file.is_append for file in store.sendable.files] == [True, False, True]
        assert await node.idle() == []


async def test_a_file_that_is_to_stay_must_be_what_the_new_version_says(tmp_path):
    """Somebody edited it a moment ago: together with the others it would be no state of anybody's."""
    node = Node(tmp_path, names=("one", "two"))
    node.holds(OLD, b"1", b"2")
    async with node.running() as store:
        arrival = node.receive(b"1+", b"2", starts=(1, None))
        node.replace(b"x", 1)
        store.install(1, Held(LED, arrival.files), arrival, is_conflict=False)
        assert "is not what was received continues" in (await node.event(InstallFailed)).error
        assert [path.read_bytes() for path in node.paths] == [b"1", b"x"]
        assert node.kept() == [[b"1", b"x"]]


@pytest.fixture
def jobs(tmp_path):
    """A node whose state is a folder, and which holds what is in it."""
    node = Node(tmp_path, names=("jobs",), is_folder=True)
    (node.path / "a").mkdir(parents=True, mode=0o700)
    write(node.path / "a" / "1", b"one")
    write(node.path / "b", b"two")
    held = Held(OLD, (record("a/1", b"one"), record("b", b"two")), is_leading=False)
    Pair(node.places).note(held)
    return node


async def test_a_folder_is_one_version_with_its_folders(jobs):
    """Files deep inside are told by their path, and each folder can be sent before what is in it."""
    async with jobs.running() as store:
        assert jobs.opening.events[2:] == ()
        store.watch()
        (jobs.path / "c").mkdir(mode=0o750)
        write(jobs.path / "c" / "2", b"three")
        files = (record("a/1", b"one"), record("b", b"two"), record("c/2", b"three"))
        while plain((await jobs.event(StateChanged)).files) != plain(files):
            pass
        store.note(Held(LED, files, is_leading=True))
        await jobs.event(Noted)
        shown = [(file.record.name, file.is_folder, file.is_append) for file in store.sendable.files]
        assert shown == [
            ("a", True, False),
            ("a/1", False, True),
            ("b", False, True),
            ("c", True, False),
            ("c/2", False, False),
        ]
        assert store.sendable.files[3].record.mode == 0o750
        assert sent(store.sendable) == {"a/1": b"one", "b": b"two", "c/2": b"three"}


async def test_a_folder_is_replaced_as_one_and_kept_before(jobs):
    """The new tree is known without being read; the old one can be sent to who merges or restores it."""
    async with jobs.running() as store:
        staged = jobs.places.staged(NUMBER)[0]
        (staged / "d").mkdir(parents=True)
        write(staged / "d" / "3", b"new")
        held = Held(version(256, 1), (record("d/3", b"new"),))
        store.install(1, held, Arrival(NUMBER, held.files, (0,)), is_conflict=True)
        assert await jobs.event(Installed) == Installed(1, held)
        assert sent(store.sendable) == {"d/3": b"new"}
        assert await jobs.idle() == []
        (conflict,) = store.conflicts
        copy = store.sendable_copy("conflicts", conflict["id"])
        assert [(file.record.name, file.is_folder) for file in copy.files] == [
            ("a", True),
            ("a/1", False),
            ("b", False),
        ]


async def test_a_vanished_folder_is_told_as_none_and_comes_back(jobs):
    """As a file that vanishes; a file inside that is removed is a change like any other."""
    async with jobs.running() as store:
        (jobs.path / "b").unlink()
        assert plain((await jobs.event(StateChanged)).files) == plain((record("a/1", b"one"),))
        jobs.path.rename(jobs.path.with_name("elsewhere"))
        assert await jobs.event(StateChanged) == StateChanged(())
        assert store.fault == f"{jobs.path}: there is no state"
        staged = jobs.places.staged(NUMBER)[0]
        staged.mkdir()
        write(staged / "b", b"two")
        held = Held(LED, (record("b", b"two"),))
        store.install(1, held, Arrival(NUMBER, held.files, (0,)), is_conflict=False)
        assert await jobs.event(Installed) == Installed(1, held)


# --- large files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [bytes(192 << 20), HEAD + b"\n" * (192 << 20)], ids=["file", "log"])
async def test_an_append_to_a_large_file_that_was_installed_costs_a_kilobyte(tmp_path, head):
    """Under 50 ms of CPU from the write to the version, when hashing it all takes a good part of a second (R3)."""
    node = Node(tmp_path)
    node.holds(OLD, b"small")
    async with node.running() as store:
        held = Held(LED, records(head), acknowledged=LED.point)
        store.install(1, held, node.receive(head), is_conflict=False)
        await node.event(Installed)
        await node.until(lambda: not store._is_warming)
        assert await node.idle() == []
        began = time.process_time()
        store.watch()
        node.append(transaction(1) * 20)
        files = (await node.event(StateChanged)).files
        store.note(attrs.evolve(held, version=LED.advanced(), files=files))
        await node.event(Noted)
        used_seconds = time.process_time() - began
        assert plain(files) == plain(records(head + transaction(1) * 20))
        assert store.sendable.files[0].is_append
        assert used_seconds < 0.05


async def test_the_last_look_at_a_large_file_that_only_grew_does_not_read_it_again(tmp_path):
    """A handover does not wait for that (hard case 20); one that was seen to be rewritten in place is read."""
    node = Node(tmp_path)
    node.holds(OLD, bytes(192 << 20))
    async with node.running() as store:
        store.watch()
        node.append(b"tail")
        await node.event(StateChanged)
        used = {}
        for name in ("grown", "rewritten"):
            node.append(b"more")
            began = time.process_time()
            store.settle(0)
            assert (await node.next()).files[0].size_bytes == node.path.stat().st_size
            await node.next()
            used[name] = time.process_time() - began
            store.watch()
            with node.path.open("r+b") as file:
                file.write(b"X")
            if name == "grown":
                await node.event(StateChanged)
        assert used["grown"] < 0.05 < used["rewritten"]


# --- what leaderships begin from --------------------------------------------------------------------------------


async def test_a_leadership_begins_with_a_copy_of_its_parent(tmp_path):
    """From the file that is open: the controllee has compacted it by the time that the version is noted."""
    node = Node(tmp_path)
    node.holds(OLD, HEAD)
    async with node.running() as store:
        compacted = HEAD.replace(b"107 1", b"107 2")
        node.replace(compacted)
        await node.changed_to(compacted)
        store.note(Held(LED, records(HEAD), is_leading=True))
        await node.event(Noted)
        copy = store.sendable_copy("ancestors", "128.3")
        assert (copy.version, sent(copy)) == (OLD, {"0": HEAD})
        store.note(Held(LED.advanced(), records(compacted), is_leading=True))
        await node.event(Noted)
        assert [copy.version for copy in store._contents.ancestors] == [OLD]
    assert node.observed.ancestors == []


async def test_a_parent_that_is_being_written_over_is_told_and_delays_nothing(tmp_path):
    """The version is noted all the same; a merge will have to do without."""
    node = Node(tmp_path)
    node.holds(OLD, b"once")
    async with node.running() as store:
        await node.idle()
        with node.path.open("r+b") as file:
            file.write(b"ONCE")
        store.note(Held(LED, records(b"once"), is_leading=True))
        await node.event(Noted)
        assert "changed while it was kept" in node.observed.ancestors[0]
        assert store.sendable_copy("ancestors", "128.3") is None


async def test_a_state_of_many_files_is_no_ancestor(jobs):
    """Each would cost a sync, for which the first version of a leadership would wait."""
    for number in range(ANCESTOR_LIMIT_FILES):
        write(jobs.path / f"n{number}", b"x")
    async with jobs.running() as store:
        files = jobs.opening.events[2].files
        for held in (
            Held(OLD.advanced(), files),
            Held(version(256, 0, OLD.advanced()), files, is_leading=True),
        ):
            store.note(held)
            await jobs.event(Noted)
        assert (store._contents.ancestors, jobs.observed.ancestors) == ((), [])


# --- disks that fail --------------------------------------------------------------------------------------------


class FaultyDisk(RealDisk):
    """A real disk that refuses some renames."""

    def __init__(self):
        self.refusals = 0

    def rename(self, source, target):
        """See `Disk`."""
        if self.refusals > 0:
            self.refusals -= 1
            raise DurableError(f"{target}: cannot rename: Input/output error", path=target, errno=errno.EIO)
        super().rename(source, target)


@pytest.mark.parametrize("refusals", [1, 2, 3])
async def test_a_commit_that_failed_halfway_is_finished_before_it_is_answered(tmp_path, refusals):
    """At once, or by the next look: the machine is never told that the pair is what it was when it may not be."""
    disk = FaultyDisk()
    node = Node(tmp_path, names=("one", "two"), disk=disk)
    node.holds(OLD, b"1", b"2")
    async with node.running() as store:
        disk.refusals = refusals
        held = Held(LED, records(b"I", b"II"))
        store.install(1, held, node.receive(b"I", b"II"), is_conflict=False)
        assert await node.next() == Installed(1, held)
        assert [path.read_bytes() for path in node.paths] == [b"I", b"II"]
        assert sent(store.sendable) == {"0": b"I", "1": b"II"}
        assert await node.idle() == []
        assert store.fault is None
        assert len(node.observed.faults) == (2 if refusals > 2 else 0)


async def test_a_mixture_that_was_written_to_is_kept_and_replaced(tmp_path):
    """A crash in the middle of a commit, and a controllee that ran before this daemon did."""
    disk = FaultyDisk()
    node = Node(tmp_path, names=("one", "two"), disk=disk)
    node.holds(OLD, b"1", b"2")
    arrival, held = node.receive(b"I", b"II"), Held(LED, records(b"I", b"II"))
    answers = iter([False, False, True])
    pair = Pair(node.places)
    with pytest.raises(DurableError, match="running controllee"):
        pair.commit(NUMBER, held, arrival.starts, is_controllee_running=lambda: next(answers))
    node.append(b" and more", 1)
    async with node.running() as store:
        assert node.opening.held == held
        assert "under way and is finished: version 256.0 is held" in node.opening.sentences[0]
        assert node.kept() == [[b"I", b"2 and more"]]
        assert sent(store.sendable) == {"0": b"I", "1": b"II"}
        assert not store.has_journal


async def test_a_mixture_on_which_a_controllee_runs_is_kept_and_left(tmp_path):
    """No version is held then: what grows out of it grew out of nothing that anybody knows."""
    node = Node(tmp_path, names=("one", "two"))
    node.holds(OLD, b"1", b"2")
    arrival, held = node.receive(b"I", b"II"), Held(LED, records(b"I", b"II"))
    answers = iter([False, False, True])
    with pytest.raises(DurableError, match="running controllee"):
        Pair(node.places).commit(NUMBER, held, arrival.starts, is_controllee_running=lambda: next(answers))
    node.is_controllee_running = True
    async with node.running() as store:
        assert node.opening.held is None
        assert "no version is held" in node.opening.sentences[0]
        assert plain(node.opening.events[2].files) == plain(records(b"I", b"2"))
        assert node.kept() == [[b"I", b"2"]]
        assert (store.has_journal, node.leftovers()) == (False, [])


# --- kept copies ------------------------------------------------------------------------------------------------


def log(usage):
    """An Accountant's log in which one user has used so many seconds."""
    ads = {"Accountant.": {"LastUpdateTime": "1000"}, "Customer.a@x": {"AccumulatedUsage": f"{usage:.6f}"}}
    return LogContents(ads, {}, 1, 900).render()


def usage_in(path):
    """Read that number back."""
    return float(parse(path.read_bytes()).ads["Customer.a@x"]["AccumulatedUsage"])


@pytest.fixture
def leader(tmp_path):
    """A leader with 150 seconds of use; the parent of its leadership had 100."""
    node = Node(tmp_path)
    node.holds(LED.advanced(), log(150), is_leading=True)
    return node


def fetched(node, which, data):
    """A copy that came from another node."""
    folder = node.places.folder / "borrowing"
    folder.mkdir()
    write(folder / "0", data)
    return Fetched(which, which.to_document(), records(data), folder)


async def test_a_conflict_of_another_node_is_merged_into_the_leaders_state(leader):
    """It is borrowed with its ancestor; the version and what it holds are told together."""
    async with leader.running() as store:
        conflict, base = version(128, 5), OLD
        await store.perform(lambda: store.borrow(fetched(leader, base, log(100)), is_ancestor=True))
        copy = await store.perform(
            lambda: store.borrow(fetched(leader, conflict, log(130)), is_ancestor=False)
        )
        assert not store.borrowing_folder.exists()
        await store.perform(lambda: store.reviser.schedule(copy.identifier, Act.MERGE, "root"))
        await store.read_archives()
        assert await leader.event(RevisionsWaiting) == RevisionsWaiting(1)
        assert store.pending == {copy.identifier: "merge"}
        store.revise(LED.advanced().advanced())
        assert await leader.next() == RevisionsWaiting(0)
        assert await leader.next() == Archived((), (copy.identifier,))
        revised = await leader.event(Revised)
        assert revised.held.version == store.sendable.version == LED.advanced().advanced()
        assert revised.held.is_leading
        assert usage_in(leader.path) == 180
        assert sent(store.sendable) == {"0": leader.path.read_bytes()}
        assert await leader.idle() == []


async def test_what_is_not_held_is_not_revised(leader):
    """The controllee wrote on, or nothing waits: the pair is what it was, and the conflict waits."""
    async with leader.running() as store:
        store.revise(LED.advanced().advanced())
        assert await leader.event(ReviseFailed) == ReviseFailed("nothing of what is scheduled can be done")
        copy = await store.perform(lambda: store.borrow(fetched(leader, OLD, log(1)), is_ancestor=False))
        await store.perform(lambda: store.reviser.schedule(copy.identifier, Act.RESTORE, "root"))
        leader.append(transaction(1))
        store.revise(LED.advanced().advanced())
        failed = await leader.event(ReviseFailed)
        assert failed == ReviseFailed("what stands here is not what is held")
        assert usage_in(leader.path) == 150
        await store.read_archives()
        assert store.pending == {copy.identifier: "restore"}


async def test_a_restored_conflict_replaces_the_state_which_is_kept(leader):
    """The other way round would lose what the leader charged since."""
    async with leader.running() as store:
        copy = await store.perform(lambda: store.borrow(fetched(leader, OLD, log(1)), is_ancestor=False))
        await store.perform(lambda: store.reviser.schedule(copy.identifier, Act.RESTORE, "root"))
        store.revise(LED.advanced().advanced())
        await leader.event(Revised)
        assert usage_in(leader.path) == 1
        assert leader.kept() == [[log(150)]]
        assert store.conflicts[0]["replaced_by"] == LED.advanced().advanced().to_document()


async def test_a_conflict_that_is_merged_elsewhere_is_settled_here(tmp_path):
    """Its owner marks it; marking one that is gone is no error."""
    node = Node(tmp_path)
    node.holds(OLD, b"mine")
    async with node.running() as store:
        store.install(1, Held(version(256, 7), records(b"new")), node.receive(b"new"), is_conflict=True)
        identifier = (await node.event(Archived)).conflicts[0]
        store.mark_merged((identifier, "128.9-00000000"), version(256, 7).point)
        assert await node.event(Archived) == Archived((), (identifier,))
        assert store.conflicts[0]["merged_into"] == "256.7"


async def test_conflicts_are_exported_and_unknown_ones_refused(tmp_path):
    """What is asked for on the thread raises where it is awaited."""
    node = Node(tmp_path)
    node.holds(OLD, b"mine")
    async with node.running() as store:
        store.install(1, Held(version(256), records(b"new")), node.receive(b"new"), is_conflict=True)
        identifier = (await node.event(Archived)).conflicts[0]
        await store.perform(lambda: store.export_conflict(identifier, tmp_path / "out"))
        assert (tmp_path / "out" / "0").read_bytes() == b"mine"
        assert await node.event(Archived) == Archived(())
        assert store.conflicts[0]["exported_to"] == str(tmp_path / "out")
        with pytest.raises(ArchiveError, match="there is no"):
            await store.perform(lambda: store.drop_conflict("128.9-00000000"))
        store.run_in_background(lambda: store.drop_conflict("128.9-00000000"))
        await node.until(lambda: node.observed.failures)


def opened():
    """Every descriptor that is open."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


async def test_no_descriptor_is_left_open(tmp_path):
    """Neither by what was told and never noted, nor by what was never handed over."""
    before = opened()
    node = Node(tmp_path)
    node.holds(OLD, HEAD)
    async with node.running() as store:
        store.watch()
        for number in range(20):
            node.replace(HEAD + transaction(number))
            await node.changed_to(HEAD + transaction(number))
        assert len(opened() - before) < 10 + WAITING_LIMIT
        node.append(transaction(99))
        store._vigil._look()
    with trio.fail_after(5):
        while not opened() <= before:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("asked", [1, 2])
async def test_a_controllee_that_starts_in_the_middle_of_an_installation_stops_it(tmp_path, asked):
    """Had lost sight of this daemon, say, and started it: the state stays what it was, and the daemon goes on."""
    node = Node(tmp_path)
    node.holds(OLD, b"1")
    answers = iter([False] * asked)
    async with node.running() as store:
        store._custody._is_controllee_running = lambda: next(answers, True)
        store.install(1, Held(LED, records(b"I")), node.receive(b"I"), is_conflict=False)
        failed = await node.next()
        assert isinstance(failed, InstallFailed)
        assert "running controllee" in failed.error
        assert node.paths[0].read_bytes() == b"1"
        assert sent(store.sendable) == {"0": b"1"}
        assert not store.has_journal
        assert node.leftovers() == []
