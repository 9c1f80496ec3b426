"""The disk side on real files and its real thread: what is told, noted, installed and kept, and in which order."""

import os

import attrs
import pytest
import trio

from replication.events import (
    Archived,
    Installed,
    InstallFailed,
    Noted,
    NoteFailed,
    RevisionsWaiting,
    Settled,
    StateChanged,
)
from replication.manifest import Held
from replication.sendable import Sendable
from tests.replication.storing import (
    HEAD,
    FillingDisk,
    Node,
    plain,
    record,
    records,
    sent,
    transaction,
    version,
    write,
)

OLD = version(128, 3)
LED = version(256, 0, OLD)


@pytest.fixture
def node(tmp_path):
    """A node with one state file, which is not there yet."""
    return Node(tmp_path)


async def noted(node, held):
    """Have something written down, and wait for that."""
    node.store.note(held)
    assert await node.event(Noted) == Noted(held)
    return held


async def led(node, data):
    """Let a leadership begin on what is held, watch its controllee append, and note it; return what is held then."""
    node.store.watch()
    held = await noted(node, Held(LED, node.opening.held.files, is_leading=True))
    node.append(data)
    changed = await node.event(StateChanged)
    return await noted(node, attrs.evolve(held, version=held.version.advanced(), files=changed.files))


# --- the start --------------------------------------------------------------------------------------------------


async def test_a_node_without_anything_holds_nothing(node):
    """There is no state, which people are told; the machine is told only of conflicts, of which there are none."""
    async with node.running() as store:
        assert node.opening.held is None
        assert node.opening.events == (RevisionsWaiting(0), Archived(()))
        assert node.opening.sentences == ()
        await node.until(lambda: node.observed.faults)
        assert node.observed.faults == [f"{node.path}: there is no state"]
        assert (store.sendable, store.conflicts, store.pending, store.files) == (None, (), {}, ())


async def test_what_was_merged_is_remembered(node):
    """The next daemon is told, though no copy of the conflict is here."""
    async with node.running() as store:
        store.heard_merged({"4.1-a": OLD.point})
        await store.perform(lambda: None)
    async with node.running():
        assert node.opening.events == (RevisionsWaiting(0), Archived((), remembered=(("4.1-a", OLD.point),)))


async def test_what_is_held_can_be_sent_from_the_start(node):
    """It stands there as it was held, so nothing is told."""
    held = node.holds(OLD, HEAD)
    async with node.running() as store:
        assert node.opening.held == held
        assert node.opening.events == (RevisionsWaiting(0), Archived(()))
        assert store.sendable.version == OLD
        assert sent(store.sendable) == {"0": HEAD}
        assert [(one.path, one.size_bytes) for one in store.files] == [(node.path, len(HEAD))]
        assert store.fault is None
        assert await node.idle() == []


async def test_another_state_than_the_held_one_is_told_first(node):
    """Somebody wrote while no daemon ran."""
    node.holds(OLD, HEAD)
    node.append(transaction(1))
    async with node.running() as store:
        assert node.opening.events[2:] == (StateChanged(records(HEAD + transaction(1))),)
        assert store.sendable is None
        assert await node.idle() == []


async def test_a_version_that_htcondor_left_covers_what_stands_there(node):
    """Its own daemon ran in between: it is no change that nobody should have made."""
    node.holds(OLD, HEAD)
    node.append(transaction(1))
    node.places.version_file.write_bytes(b"77\n5")
    async with node.running() as store:
        held = node.opening.held
        assert (held.version.point, held.files) == (version(77, 5).point, records(HEAD + transaction(1)))
        assert "HTCondor ran in between and left version 77.5" in node.opening.sentences[0]
        assert node.opening.events[2:] == ()
        assert store.sendable.version == held.version
    again = node.again()
    async with again.running():
        assert again.opening.held == held
        assert again.opening.sentences == ()


async def test_a_state_that_is_not_quiet_at_the_start_is_told_when_it_is(tmp_path):
    """The start does not wait for it for ever."""
    node = Node(tmp_path, quiet_seconds=3.0)
    node.holds(OLD, b"just written")
    async with node.running() as store:
        assert node.opening.events == (RevisionsWaiting(0), Archived(()))
        assert store.sendable is None
        store.settle(0)
        assert await node.next() == Settled()
        assert sent(store.sendable) == {"0": b"just written"}


async def test_a_state_that_is_a_link_is_told_once_and_not_followed(node, tmp_path):
    """To people, not to the machine; it is over when a file stands there."""
    (tmp_path / "secret").write_bytes(HEAD)
    node.path.symlink_to(tmp_path / "secret")
    async with node.running() as store:
        await node.until(lambda: node.observed.faults)
        assert await node.idle() == []
        assert node.observed.faults == [f"{node.path}: the state is plain files; this is none"]
        node.path.unlink()
        node.path.write_bytes(HEAD)
        await node.changed_to(HEAD)
        assert store.fault is None
    assert node.observed.faults[1:] in ([None], [f"{node.path}: there is no state", None])


# --- a leader ---------------------------------------------------------------------------------------------------


async def test_an_append_becomes_a_version_that_can_be_sent_as_a_tail(node):
    """The whole way of a leader: a change is told, noted, and by then it is what can be sent."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        held = await led(node, transaction(1))
        assert store.sendable.version == held.version == LED.advanced()
        assert sent(store.sendable) == {"0": HEAD + transaction(1)}
        assert [file.is_append for file in store.sendable.files] == [True]
        assert store.changed_at > 1000.0
        assert node.places.version_file.read_bytes() == held.version.text
    async with (after := node.again()).running():
        assert after.opening.held == held


async def test_a_burst_of_appends_is_few_versions_and_the_last_one_is_whole(node):
    """However fast it comes: what is told last holds everything."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        store.watch()
        for number in range(200):
            node.append(transaction(number))
            await trio.lowlevel.checkpoint()
        told = await node.changed_to(HEAD + b"".join(map(transaction, range(200))))
        assert told < 20
        assert await node.idle() == []


async def test_a_version_is_what_was_told_though_the_controllee_writes_on(node):
    """The next change is told once more; the version that is noted meanwhile can be sent, byte for byte."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        store.watch()
        node.append(transaction(1))
        await node.changed_to(HEAD + transaction(1))
        node.append(transaction(2))
        await node.changed_to(HEAD + transaction(1) + transaction(2))
        await noted(node, Held(LED, records(HEAD + transaction(1)), is_leading=True))
        assert sent(store.sendable) == {"0": HEAD + transaction(1)}
        assert await node.idle() == []
        await noted(
            node, Held(LED.advanced(), records(HEAD + transaction(1) + transaction(2)), is_leading=True)
        )
        assert sent(store.sendable) == {"0": HEAD + transaction(1) + transaction(2)}


async def test_a_change_that_is_taken_back_is_told_again(node):
    """The machine is about to write down what it was told; that the held state stands there again is news for it."""
    node.holds(OLD, b"one")
    async with node.running() as store:
        store.watch()
        node.replace(b"two")
        await node.changed_to(b"two")
        node.replace(b"one")
        await node.changed_to(b"one")
        await noted(node, Held(LED, records(b"two"), is_leading=True))
        assert sent(store.sendable) == {"0": b"two"}
        await noted(node, Held(LED.advanced(), records(b"one"), is_leading=True))
        assert sent(store.sendable) == {"0": b"one"}


async def test_a_compacted_log_does_not_disturb_what_is_being_sent(node):
    """The open descriptor is that of the file which has no name any more; the new one is no continuation of it."""
    node.holds(OLD, HEAD + transaction(1))
    async with node.running() as store:
        held = await led(node, transaction(2))
        sending = store.sendable
        node.replace(HEAD + transaction(3))
        changed = await node.event(StateChanged)
        assert sent(sending) == {"0": HEAD + transaction(1) + transaction(2)}
        await noted(node, attrs.evolve(held, version=held.version.advanced(), files=changed.files))
        assert sent(store.sendable) == {"0": HEAD + transaction(3)}
        assert [file.is_append for file in store.sendable.files] == [False]


def truncate(node):
    """Cut it short."""
    os.truncate(node.path, len(HEAD))


def restore(node):
    """Put a backup in its place, with its older time."""
    node.replace(HEAD)
    os.utime(node.path, (1_600_000_000, 1_600_000_000))


@pytest.mark.parametrize("act", [truncate, restore])
async def test_a_truncated_file_and_a_restored_backup_are_changes(node, act):
    """Whatever the file's time says (HTCondor looks for a later one only)."""
    node.holds(OLD, HEAD + transaction(1))
    async with node.running() as store:
        held = await led(node, transaction(2))
        act(node)
        assert await node.changed_to(HEAD) == 0
        await noted(node, attrs.evolve(held, version=held.version.advanced(), files=records(HEAD)))
        assert sent(store.sendable) == {"0": HEAD}
        assert not store.sendable.files[0].is_append


async def test_a_leaders_vanished_file_is_a_fault_and_no_change(node):
    """Nobody wants it removed everywhere; what the controllee writes next is the next state."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        await led(node, transaction(1))
        node.path.unlink()
        await node.until(lambda: store.fault == f"{node.path}: there is no state")
        store.settle(0)
        assert [await node.next()] == [Settled()]
        node.replace(HEAD + transaction(9))
        assert await node.changed_to(HEAD + transaction(9)) == 0
        assert store.fault is None


async def test_a_file_that_vanishes_before_a_leadership_is_written_down_is_no_change(node):
    """A controllee runs from the moment at which the machine watches."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        store.watch()
        node.path.unlink()
        await node.until(lambda: store.fault == f"{node.path}: there is no state")
        assert await node.idle() == []


async def test_what_is_not_quiet_is_said_and_told_when_it_is(tmp_path):
    """A file that is no log is never taken half written; people see why it is not copied, and that it is over."""
    node = Node(tmp_path, quiet_seconds=0.3)
    node.holds(OLD, b"start")
    async with node.running() as store:
        store.watch()
        with trio.fail_after(10):
            while store.fault is None:
                node.append(b".")
                await trio.sleep(0.02)
        assert store.fault.startswith(f"{node.path}: still changing")
        assert await node.changed_to(node.path.read_bytes()) == 0
        assert store.fault is None
        assert [fault is None for fault in node.observed.faults] == [False, True]


async def test_a_note_that_cannot_be_written_fails_and_changes_nothing(tmp_path):
    """The next one may succeed, and what was told can still be sent then."""
    disk = FillingDisk()
    node = Node(tmp_path, disk=disk)
    node.holds(OLD, HEAD)
    async with node.running() as store:
        store.watch()
        node.append(transaction(1))
        changed = await node.event(StateChanged)
        disk.is_full = True
        held = Held(LED, changed.files, is_leading=True)
        store.note(held)
        assert "No space left on device" in (await node.event(NoteFailed)).error
        assert store.sendable.version == OLD
        disk.is_full = False
        await noted(node, held)
        assert sent(store.sendable) == {"0": HEAD + transaction(1)}


async def test_condor_preen_may_delete_the_version_file(node):
    """It is there again at the next look (HTCondor's own daemon exits)."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        store.watch()
        node.places.version_file.unlink()
        node.append(transaction(1))
        await node.event(StateChanged)
        assert node.places.version_file.read_bytes() == OLD.text


# --- the last look ----------------------------------------------------------------------------------------------


async def test_the_last_bytes_are_told_before_it_is_settled(tmp_path):
    """The controllee is gone, so even a file that is no log needs no quiet time."""
    node = Node(tmp_path, quiet_seconds=9.0)
    node.holds(OLD, b"start")
    async with node.running() as store:
        store.watch()
        await node.idle()
        node.append(b" and end")
        began = trio.current_time()
        store.settle(0)
        assert plain((await node.next()).files) == plain(records(b"start and end"))
        assert await node.next() == Settled()
        assert trio.current_time() - began < 5.0
        assert await node.idle() == []


async def test_settling_waits_until_the_state_was_quiet_for_so_long(node):
    """A real condor_master only begins to stop its negotiator when had says that it leads no more."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        store.watch()
        await node.idle()
        store.settle(0.5)
        await trio.sleep(0.3)
        node.append(transaction(1))
        written = trio.current_time()
        await node.changed_to(HEAD + transaction(1))
        assert await node.next() == Settled()
        assert trio.current_time() - written >= 0.5


async def test_a_rewritten_head_is_found_by_the_last_look(node):
    """It reads everything: a byte between the samples changed and the file grew, which looks like an append."""
    node.holds(OLD, bytes(1 << 20))
    async with node.running() as store:
        store.watch()
        await node.idle()
        with node.path.open("r+b") as file:
            file.seek(70_000)
            file.write(b"X")
        node.append(b"tail")
        wrong = (await node.event(StateChanged)).files
        assert plain(wrong) != plain(records(node.path.read_bytes()))
        store.settle(0)
        assert await node.changed_to(node.path.read_bytes()) == 0
        assert await node.next() == Settled()
        await noted(node, Held(LED, records(node.path.read_bytes()), is_leading=True))
        assert sent(store.sendable) == {"0": node.path.read_bytes()}


async def test_a_new_leadership_takes_a_settling_back(node):
    """Who leads again before the last look was taken is not told that it is settled."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        store.watch()
        store.settle(0.3)
        store.watch()
        await trio.sleep(0.5)
        assert await node.idle() == []


# --- a follower -------------------------------------------------------------------------------------------------


async def test_what_has_arrived_replaces_the_state(node):
    """State and version as one; nothing is kept, and the look that follows finds nothing new."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        new = HEAD + transaction(7)
        held = Held(LED.advanced(), records(new), acknowledged=LED.advanced().point)
        store.install(4, held, node.receive(new), is_conflict=False)
        assert [await node.next()] == [Installed(4, held)]
        assert node.path.read_bytes() == new
        assert store.sendable.version == held.version
        assert (sent(store.sendable), store.sendable.files[0].is_append) == ({"0": new}, False)
        assert node.leftovers() == []
        assert await node.idle() == []
        assert store.conflicts == ()


async def test_tails_are_appended_and_known_without_reading_the_head(node):
    """One after another, as a leader publishes them; each can be sent on as a tail."""
    state = HEAD
    node.holds(OLD, state)
    async with node.running() as store:
        for number in range(1, 5):
            start, state = len(state), state + transaction(number)
            held = Held(version(256, number, OLD), records(state), acknowledged=version(256, number).point)
            store.install(1, held, node.receive(state, starts=(start,)), is_conflict=False)
            assert await node.next() == Installed(1, held)
            assert sent(store.sendable) == {"0": state}
            assert store.sendable.files[0].is_append
        assert await node.idle() == []
        assert node.path.read_bytes() == state


async def test_half_a_transaction_gives_way_to_a_tail(node):
    """It was left by a controllee that was killed, and counts for nothing: no new copy of the file is needed."""
    node.holds(OLD, HEAD)
    node.append(transaction(1)[:20])
    async with node.running() as store:
        assert node.opening.events[2:] == ()
        new = HEAD + transaction(7)
        held = Held(LED.advanced(), records(new))
        store.install(1, held, node.receive(new, starts=(len(HEAD),)), is_conflict=False)
        assert await node.next() == Installed(1, held)
        assert node.path.read_bytes() == new
        assert store.conflicts == ()


async def test_a_state_that_is_to_go_is_kept_first_and_says_what_replaced_it(node):
    """A partition's loser: the leader's word goes over its own, which people can look at."""
    node.holds(OLD, HEAD + transaction(1))
    async with node.running() as store:
        held = Held(version(256, 9), records(HEAD))
        store.install(1, held, node.receive(HEAD), is_conflict=True)
        archived = await node.event(Archived)
        assert await node.next() == Installed(1, held)
        (conflict,) = store.conflicts
        assert archived == Archived((conflict["id"],))
        assert conflict["version"] == OLD.to_document()
        assert conflict["replaced_by"] == held.version.to_document()
        assert conflict["reason"] == "it holds what version 256.9 lacks"
        assert node.kept() == [[HEAD + transaction(1)]]
        copy = store.sendable_copy("conflicts", conflict["id"])
        assert (copy.version, copy.is_folder, sent(copy)) == (OLD, True, {"0": HEAD + transaction(1)})
        assert store.sendable_copy("conflicts", "999.9-x") is store.sendable_copy("nothing", "x") is None


async def test_the_empty_file_of_a_condor_replication_is_no_conflict(node):
    """It makes one where there is no state; the leader's takes its place, and nothing waits for people."""
    write(node.path, b"")
    node.places.version_file.write_bytes(b"0\n0")
    async with node.running() as store:
        assert node.opening.held.version.point == version(0, 0).point
        held = Held(version(129, 2), records(HEAD))
        store.install(1, held, node.receive(HEAD), is_conflict=True)
        assert await node.next() == Installed(1, held)
        assert store.conflicts == ()


@pytest.mark.parametrize(("left", "data"), [(b"0\n0", HEAD), (b"77\n5", b"")], ids=["unnumbered", "emptied"])
async def test_what_htcondor_wrote_is_kept_though_it_is_not_much(node, left, data):
    """A state that nobody has numbered yet, and one that is empty since somebody emptied it, are kept."""
    write(node.path, data)
    node.places.version_file.write_bytes(left)
    async with node.running() as store:
        held = Held(version(129, 2), records(HEAD + transaction(1)))
        store.install(1, held, node.receive(HEAD + transaction(1)), is_conflict=True)
        await node.event(Archived)
        assert await node.next() == Installed(1, held)
        assert node.kept() == [[data]]


async def test_an_edit_while_following_is_told_kept_and_replaced(node):
    """The machine has it kept at once; when it is replaced the same copy learns by what."""
    held = node.holds(OLD, HEAD)
    async with node.running() as store:
        node.append(transaction(5))
        await node.changed_to(HEAD + transaction(5))
        store.keep_conflict(held.version)
        await node.event(Archived)
        (conflict,) = store.conflicts
        assert (conflict["replaced_by"], conflict["reason"]) == (
            None,
            "it was changed while this node did not lead",
        )
        store.install(1, held, node.receive(HEAD), is_conflict=True)
        await node.event(Installed)
        (again,) = store.conflicts
        assert (again["id"], again["replaced_by"]) == (conflict["id"], OLD.to_document())
        assert node.path.read_bytes() == HEAD
        assert len(node.observed.kept) == 2
        assert node.kept() == [[HEAD + transaction(5)]]


async def test_an_edit_of_the_last_moment_is_kept_though_nobody_asked(node):
    """It was made after the machine decided, and before the thread came to it."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        await node.idle()
        new = HEAD + transaction(7)
        arrival = node.receive(new)
        node.append(transaction(5))
        store.install(1, Held(LED.advanced(), records(new)), arrival, is_conflict=False)
        await node.event(Installed)
        assert node.kept() == [[HEAD + transaction(5)]]
        assert node.path.read_bytes() == new


async def test_a_tail_is_never_put_behind_an_edited_head(node):
    """What stands there is kept all the same, and the machine fetches again."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        await node.idle()
        arrival = node.receive(HEAD + transaction(7), starts=(len(HEAD),))
        edited = HEAD.replace(b"1700000000", b"1800000000")
        node.replace(edited)
        store.install(1, Held(LED.advanced(), arrival.files), arrival, is_conflict=False)
        failed = await node.event(InstallFailed)
        assert failed == InstallFailed(1, f"{node.path}: is not what was received continues")
        assert node.path.read_bytes() == edited
        assert node.leftovers() == []


async def test_a_tail_fits_what_a_transferer_has_read_itself(node):
    """Somebody cut the file of a follower short; the transferer found that out and brought the rest."""
    node.holds(OLD, HEAD + transaction(1))
    async with node.running() as store:
        os.truncate(node.path, len(HEAD))
        await node.changed_to(HEAD)
        new = HEAD + transaction(1) + transaction(2)
        held = Held(LED.advanced(), records(new))
        store.install(1, held, node.receive(new, starts=(len(HEAD),)), is_conflict=True)
        await node.event(Installed)
        assert node.path.read_bytes() == new
        assert node.kept() == [[HEAD]]


async def test_what_was_received_is_not_what_was_announced(node):
    """Nothing changes, and nothing is left of it."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        arrival = node.receive(HEAD + transaction(1))
        held = Held(LED.advanced(), (record("0", b"other"),))
        store.install(1, held, arrival, is_conflict=False)
        assert "what was received is not what was announced" in (await node.event(InstallFailed)).error
        assert (node.path.read_bytes(), node.leftovers()) == (HEAD, [])
        assert store.sendable.version == OLD


async def test_nothing_is_installed_under_a_running_controllee(node):
    """Who answers for it is asked on the thread, at the last moment."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        node.is_controllee_running = True
        store.install(1, Held(LED, records(b"new")), node.receive(b"new"), is_conflict=False)
        assert await node.event(InstallFailed) == InstallFailed(1, "a controllee runs on what stands here")
        assert node.path.read_bytes() == HEAD


async def test_without_room_for_the_conflict_nothing_is_replaced(tmp_path):
    """What the new state lacks has to be on the disk first."""
    disk = FillingDisk()
    node = Node(tmp_path, disk=disk)
    node.holds(OLD, HEAD + transaction(1))
    async with node.running() as store:
        disk.is_full = True
        arrival = node.receive(HEAD)
        store.install(1, Held(version(256), arrival.files), arrival, is_conflict=True)
        assert "No space left on device" in (await node.event(InstallFailed)).error
        store.keep_conflict(OLD)
        node.append(transaction(2))
        store.keep_conflict(OLD)
        await node.until(lambda: node.observed.failures)
        assert node.path.read_bytes() == HEAD + transaction(1) + transaction(2)
        assert (store.conflicts, node.leftovers()) == ((), [])


async def test_beyond_the_limit_conflicts_are_kept_and_it_is_said(tmp_path):
    """Nobody has looked at them, so none may go."""
    node = Node(tmp_path, keep_conflicts=1)
    node.holds(OLD, b"0")
    async with node.running() as store:
        for number in (1, 2):
            new = b"%d" % number
            held = Held(version(256 * number), records(new))
            store.install(number, held, node.receive(new), is_conflict=True)
            await node.event(Installed)
        assert [keeping.is_over_limit for keeping in node.observed.kept] == [False, True]
        assert node.kept() == [[b"0"], [b"1"]]
        store.change(attrs.evolve(node.settings, keep_conflicts=2))
        store.install(3, Held(version(768), records(b"3")), node.receive(b"3"), is_conflict=False)
        await node.event(Installed)
        await store.perform(lambda: store.drop_conflict(store.conflicts[0]["id"]))
        await store.read_archives()
        assert len((await node.event(Archived)).conflicts) == len(store.conflicts) == 1


async def test_a_followers_vanished_state_is_told_as_none(node):
    """So the machine fetches it again, and begins no leadership as if it were here."""
    node.holds(OLD, HEAD, acknowledged=OLD.point)
    async with node.running() as store:
        node.path.unlink()
        assert await node.event(StateChanged) == StateChanged(())
        store.keep_conflict(OLD)
        assert await node.idle() == []
        assert store.conflicts == ()
        held = Held(OLD, records(HEAD), acknowledged=OLD.point)
        store.install(1, held, node.receive(HEAD), is_conflict=True)
        assert await node.next() == Installed(1, held)
        assert await node.idle() == []
        assert (sent(store.sendable), store.fault) == ({"0": HEAD}, None)


async def test_what_nobody_else_has_is_kept_though_its_file_was_removed(node):
    """It is still open here."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        node.path.unlink()
        await node.event(StateChanged)
        store.keep_conflict(OLD)
        await node.event(Archived)
        assert node.kept() == [[HEAD]]
        assert store.conflicts[0]["reason"] == "its file was removed"


async def test_what_nobody_else_has_is_kept_before_another_state_takes_its_name(node):
    """Its file was removed a moment ago, and the machine has not heard of that."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        await node.idle()
        node.path.unlink()
        held = Held(version(256, 9), records(b"new"))
        store.install(1, held, node.receive(b"new"), is_conflict=True)
        await node.event(Installed)
        assert node.kept() == [[HEAD]]
        assert store.conflicts[0]["replaced_by"] == held.version.to_document()


async def test_a_state_that_was_gone_at_the_start_is_told_first(node):
    """As one that vanishes later."""
    node.holds(OLD, HEAD)
    node.path.unlink()
    async with node.running():
        assert node.opening.held.version == OLD
        assert node.opening.events[2:] == (StateChanged(()),)
        assert await node.idle() == []


async def test_a_leadership_that_began_with_nothing_replaces_a_state_by_none(node):
    """It diverged: ours is a conflict, and the same controllee would find nothing on any node."""
    node.holds(OLD, HEAD)
    async with node.running() as store:
        arrival = attrs.evolve(node.receive(HEAD, starts=(None,)), files=())
        held = Held(version(256))
        store.install(1, held, arrival, is_conflict=True)
        await node.event(Installed)
        assert not node.path.exists()
        assert node.kept() == [[HEAD]]
        assert (store.sendable, await node.idle()) == (Sendable(held.version, False, ()), [])
        store.install(2, Held(version(384)), arrival, is_conflict=False)
        await node.event(Installed)
