"""Copies of states that are not the present one travel too: into a folder of their own, and past the machine."""

import hashlib
import os

import attrs
import pytest
import trio

from replication.copy_fetch import FetchError
from replication.events import UploadEnded
from tests.replication.transferring import ONE, ScriptedLeader, folder_sendable, pool, record, sendable, until
from transferer import versions
from transferer.versions import End, Entry, EntryKind, Offer, Result

CONTENT = os.urandom(200_000)
REQUEST = {"Conflict": "385.4-0123abcd"}


def a_list(folder, *contents):
    """Return a list of files as it is sent here: as a folder of numbered files."""
    return folder_sendable(ONE, {str(place): one for place, one in enumerate(contents)}, folder=folder)


@pytest.mark.parametrize("is_raw", [True, False], ids=["clear", "encrypted"])
async def test_a_copy_is_fetched_into_its_folder(tmp_path, is_raw):
    """The asking ad says which; version and files come back, and neither machine hears of it."""
    folder = tmp_path / "fetched"
    async with pool(tmp_path, is_raw=is_raw) as (leader, follower):
        leader.sendable, leader.is_staying = a_list(tmp_path / "leader", CONTENT, b"x"), False
        follower.terms = attrs.evolve(follower.terms, asking={"Replica": "127.0.0.2:9"})
        fetched = await follower.transfers.fetch_copy(leader.peer, REQUEST, folder)
        await leader.event(UploadEnded)
        assert follower.transfers.figures() == ()
        assert follower.events.statistics().current_buffer_used == 0
    assert leader.requests == [{"HadProtocol": 1, "Replica": "127.0.0.2:9", **REQUEST}]
    assert (fetched.version, fetched.document, fetched.folder) == (ONE, ONE.to_document(), folder)
    assert fetched.files == (record(CONTENT, "0"), record(b"x", "1"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"0": CONTENT, "1": b"x"}
    assert follower.told.received == [(leader.peer, "385.4", 200_001)]


async def test_a_copy_with_folders_is_fetched(tmp_path):
    """Folders come along, and the version names the files in them by their paths."""
    tree = {"jobs": None, "jobs/1": b"one", "log": b"log"}
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable, leader.is_staying = folder_sendable(ONE, tree, folder=tmp_path / "leader"), False
        fetched = await follower.transfers.fetch_copy(leader.peer, REQUEST, tmp_path / "fetched")
    assert [file.name for file in fetched.files] == ["jobs/1", "log"]
    assert (fetched.folder / "jobs" / "1").read_bytes() == b"one"


async def test_a_copy_that_is_sent_as_a_list_is_not_taken(tmp_path):
    """Where the files of a list belong is said by STATE_FILE, which has nothing to do with a copy."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable, leader.is_staying = sendable(ONE, CONTENT, folder=tmp_path, is_open=False), False
        with pytest.raises(FetchError, match="the peer replicates a list of files"):
            await follower.transfers.fetch_copy(leader.peer, REQUEST, tmp_path / "fetched")


async def test_nothing_is_overwritten_by_a_copy(tmp_path):
    """A folder that is there stays as it is, the sender hears that its copy was not taken, and nothing is left."""
    folder = tmp_path / "fetched"
    folder.mkdir()
    (folder / "kept").write_bytes(b"kept")
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable, leader.is_staying = a_list(tmp_path / "leader", CONTENT), False
        with pytest.raises(FetchError, match="Directory not empty"):
            await follower.transfers.fetch_copy(leader.peer, REQUEST, folder)
        await leader.event(UploadEnded)
    assert [path.name for path in folder.iterdir()] == ["kept"]
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".down"] == []
    assert leader.told.sent == []


async def test_a_copy_that_is_not_given_is_said(tmp_path):
    """A leader that has no such thing closes the connection."""
    async with (
        pool(tmp_path, is_raw=True, leader=ScriptedLeader) as (leader, follower),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(hang_up, leader)
        with pytest.raises(FetchError, match="closed the connection"):
            await follower.transfers.fetch_copy(leader.peer, REQUEST, tmp_path / "fetched")


async def hang_up(leader):
    """Close the connection as soon as somebody asks."""
    await leader.asked()
    leader.connection.close()


async def test_without_a_program_no_copy_is_fetched(tmp_path):
    """It is said at once."""
    async with pool(tmp_path, argv=("/no/such/transferer",)) as (_, follower):
        with pytest.raises(FetchError, match="no copy process could be started: No such file"):
            await follower.transfers.fetch_copy("127.0.0.1:1", REQUEST, tmp_path / "fetched")


async def test_a_fetch_that_is_cancelled_leaves_nothing(tmp_path):
    """Its process is killed, and what had come of the copy is removed."""
    offer = Offer(ONE.to_document(), is_folder=True, entries=(Entry("0", EntryKind.FILE, size=10),))

    def staged():
        return [path for path in tmp_path.iterdir() if path.name.startswith("fetched.")]

    async with pool(tmp_path, is_raw=True, leader=ScriptedLeader) as (leader, follower):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follower.transfers.fetch_copy, leader.peer, REQUEST, tmp_path / "fetched")
            await leader.asked()
            await leader.say(versions.encode_offer(leader.stream, offer))
            assert await leader.hear(versions.read_have, offer) == [None]
            await leader.say(versions.encode_content(leader.stream, 0, 0, is_same=False) + b"half")
            await until(lambda: staged() and list(staged()[0].iterdir()))
            assert [figure.state for figure in follower.transfers.figures()] == ["moving"]
            nursery.cancel_scope.cancel()
        assert follower.transfers.figures() == ()
    assert follower.told.ended == [("download", "cancelled", "nobody waits for it any more")]
    assert staged() == []
    assert not (tmp_path / "fetched").exists()


async def test_a_copy_whose_version_makes_no_sense_is_not_taken(tmp_path):
    """It is no state of this pool; the sentence is the one that a download would have."""
    offer = Offer({"gid": "x"}, is_folder=True, entries=())
    async with (
        pool(tmp_path, is_raw=True, leader=ScriptedLeader) as (leader, follower),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(say_and_hang_up, leader, offer)
        with pytest.raises(FetchError, match="the peer's version makes no sense"):
            await follower.transfers.fetch_copy(leader.peer, REQUEST, tmp_path / "fetched")


async def say_and_hang_up(leader, offer):
    """Offer something to whoever asks, and hear what he says of it."""
    await leader.asked()
    await leader.say(versions.encode_offer(leader.stream, offer))
    await leader.hear(versions.read_receipt)
    leader.connection.close()


async def test_a_sender_that_says_no_more_is_left(tmp_path):
    """A copy that has come whole is there, whether or not its sender ends the transfer; it hears that it may."""
    content = b"0123456789"
    offer = Offer(ONE.to_document(), is_folder=True, entries=(Entry("0", EntryKind.FILE, size=len(content)),))
    receipts = []

    async def give(leader):
        stream = leader.stream
        await leader.say(versions.encode_offer(stream, offer))
        await leader.hear(versions.read_have, offer)
        digest = hashlib.sha256(content).digest()
        head = versions.encode_content(stream, 0, 0, is_same=False)
        await leader.say(head + content + versions.encode_digest(stream, digest))
        receipts.extend([await leader.hear(versions.read_receipt) for _ in range(2)])

    async with (
        pool(tmp_path, is_raw=True, leader=ScriptedLeader) as (leader, follower),
        trio.open_nursery() as nursery,
    ):

        async def answer():
            await leader.asked()
            await give(leader)

        nursery.start_soon(answer)
        fetched = await follower.transfers.fetch_copy(leader.peer, REQUEST, tmp_path / "fetched")
        assert (fetched.folder / "0").read_bytes() == content
    assert receipts == [End(Result.OK), End(Result.OK, "the copy is here")]
    assert [result for _, result, _ in follower.told.ended] == ["ok"]
