"""Transfers between two nodes with real transferers: what arrives, what both machines hear, and in which order."""

import os
import signal

import attrs
import pytest

from daemoncore.cedar.authentication import Identity
from daemoncore.cedar.sessions import Session
from replication.events import DownloadEnded, Offered, Received, UploadEnded
from replication.version import Point, Version
from tests.replication.transferring import (
    ONE,
    close,
    folder_sendable,
    pool,
    record,
    sendable,
    until,
)

pytestmark = pytest.mark.timed

CONTENT = os.urandom(300_000)


def states(node):
    """Return the states of a node's transfers."""
    return [figure.state for figure in node.transfers.figures()]


@pytest.mark.parametrize("is_raw", [True, False], ids=["clear", "encrypted"])
async def test_a_follower_takes_version_after_version(tmp_path, is_raw):
    """One process at each end moves a whole file, then what was appended to it, until the leader leads no more."""
    async with pool(tmp_path, is_raw=is_raw) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered, download=1, version=ONE)
        (figure,) = follower.transfers.figures()
        assert (figure.state, figure.version, figure.total_bytes) == ("waiting", ONE.point, len(CONTENT))
        assert (figure.direction.value, figure.peer, figure.since) == (
            "download",
            leader.peer,
            1_700_000_000.0,
        )
        follower.transfers.take(1, ())
        received = await follower.event(Received, download=1, version=ONE)
        assert received.files == (record(CONTENT),)
        await follower.install(1, received)
        assert follower.state.read_bytes() == CONTENT
        await until(lambda: leader.told.sent)

        two = ONE.advanced()
        later = sendable(two, CONTENT + b"more", folder=tmp_path, is_append=True)
        leader.transfers.announce(later)
        await follower.event(Offered, version=two)
        follower.transfers.take(1, received.files)
        received = await follower.event(Received, version=two)
        arrival = await follower.install(1, received)
        assert arrival.starts == (len(CONTENT),)
        assert follower.state.read_bytes() == CONTENT + b"more"
        await until(lambda: len(leader.told.sent) == 2)
        assert (states(leader), states(follower)) == (["waiting"], ["waiting"])

        leader.transfers.end_uploads("we lead no more")
        await follower.event(DownloadEnded, download=1, is_orderly=True, reason="we lead no more")
        await leader.event(UploadEnded, request=1)
        await until(lambda: not follower.transfers.figures())
        for one in (leader.sendable, later):
            close(one)
    assert leader.requests == [{"HadProtocol": 1}]
    assert leader.told.sent == [("127.0.0.9:1", "385.4", 300_000), ("127.0.0.9:1", "385.5", 4)]
    assert follower.told.received == [(leader.peer, "385.4", 300_000), (leader.peer, "385.5", 4)]
    assert leader.told.ended == [("upload", "ok", "we lead no more")]
    assert follower.told.ended == [("download", "ok", "we lead no more")]
    assert leader.told.remarks == follower.told.remarks == []


async def test_an_upload_that_does_not_stay_ends_after_its_version(tmp_path):
    """A follower sends what it holds, and later versions are no concern of that upload."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable, leader.is_staying = sendable(ONE, CONTENT, folder=tmp_path, is_open=False), False
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        leader.transfers.announce(
            sendable(ONE.advanced(), b"later", folder=tmp_path / "leader", is_open=False)
        )
        follower.transfers.take(1, None)
        await follower.install(1, await follower.event(Received, version=ONE))
        await follower.event(DownloadEnded, is_orderly=True)
        await leader.event(UploadEnded, request=1)
        assert follower.state.read_bytes() == CONTENT
        assert follower.left == []


async def test_only_the_newest_version_waits(tmp_path):
    """What is published while a version is on its way replaces what waits, and is sent when that is through."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, b"first", folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered, version=ONE)
        two, three = ONE.advanced(), ONE.advanced().advanced()
        skipped = sendable(two, b"second", folder=tmp_path / "follower")
        leader.transfers.announce(skipped)
        close(skipped)
        newest = sendable(three, b"second, and third", folder=tmp_path / "leader", is_append=True)
        leader.transfers.announce(newest)
        # Its owner holds it no more; the upload has a descriptor of its own.
        close(newest)
        newest.files[0].path.unlink()
        leader.transfers.end_uploads("enough")
        follower.transfers.take(1, ())
        first = await follower.event(Received, version=ONE)
        await follower.install(1, first)
        await follower.event(Offered, version=three)
        follower.transfers.take(1, first.files)
        await follower.install(1, await follower.event(Received, version=three))
        assert follower.state.read_bytes() == b"second, and third"
        await follower.event(DownloadEnded, is_orderly=True, reason="enough")
        await leader.event(UploadEnded)


async def test_a_version_that_is_announced_again_is_not_sent_again(tmp_path):
    """An upload that began with a version is told of the next one only."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, b"first", folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered, version=ONE)
        leader.transfers.announce(leader.sendable)
        follower.transfers.take(1, None)
        await follower.install(1, await follower.event(Received))
        leader.transfers.end_uploads("enough")
        await follower.event(DownloadEnded, is_orderly=True)
        await leader.event(UploadEnded)
        assert len(leader.told.sent) == 1


async def test_a_folder_is_replaced_as_one(tmp_path):
    """Its files are what the version covers; the folders come along."""
    tree = {"jobs": None, "jobs/1": b"one", "jobs/2": CONTENT, "log": b"log"}
    async with pool(tmp_path, is_raw=True, is_folder=True) as (leader, follower):
        follower.state.mkdir()
        (follower.state / "gone").write_bytes(b"gone")
        leader.sendable, leader.is_staying = folder_sendable(ONE, tree, folder=tmp_path / "leader"), False
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        follower.transfers.take(1, (record(b"gone", "gone"),))
        received = await follower.event(Received)
        assert {file.name for file in received.files} == {"jobs/1", "jobs/2", "log"}
        assert (await follower.install(1, received)).starts == (0,)
        await follower.event(DownloadEnded, is_orderly=True)
        found = {
            str(p.relative_to(follower.state)): p.read_bytes()
            for p in follower.state.rglob("*")
            if p.is_file()
        }
        assert found == {name: content for name, content in tree.items() if content is not None}
        assert (follower.state / "jobs").stat().st_mode & 0o777 == 0o750
        assert follower.left == []


async def test_more_files_than_the_kernel_passes_at_once(tmp_path):
    """Descriptors go over in batches, each to its own file; files that are the same stay where they are."""
    contents = [b"%d" % number for number in range(300)]
    paths = [tmp_path / "follower" / "state" / str(number) for number in range(300)]
    async with pool(tmp_path, is_raw=True, paths=paths) as (leader, follower):
        leader.sendable = sendable(ONE, *contents, folder=tmp_path)
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        for number in (0, 299):
            paths[number].unlink()
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        close(leader.sendable)
        follower.transfers.take(1, tuple(record(contents[number], str(number)) for number in range(1, 299)))
        arrival = await follower.install(1, await follower.event(Received))
        assert arrival.starts == (0, *(None,) * 298, 0)
        assert [path.read_bytes() for path in paths] == contents


async def test_two_replicas_are_sent_to_at_once(tmp_path):
    """Each has a process of its own, and goes at its own pace."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        for number in (1, 2):
            follower.transfers.start_download(number, leader.peer, "ours")
        offered = {(await follower.event(Offered)).download for _ in range(2)}
        assert offered == {1, 2}
        assert states(leader) == ["moving", "moving"]
        follower.transfers.take(2, None)
        received = await follower.event(Received, download=2)
        await follower.install(2, received)
        await until(lambda: sorted(states(leader)) == ["moving", "waiting"])
        follower.transfers.stop_download(1, "enough")
        await follower.event(DownloadEnded, download=1, is_orderly=False, reason="enough")
        await leader.event(UploadEnded)
        assert states(leader) == ["waiting"]
        # Idle, it hears of the end as well.
        follower.transfers.stop_download(2, "enough")
        await follower.event(DownloadEnded, download=2, reason="enough")
        await leader.event(UploadEnded)


@pytest.mark.parametrize("moment", ["offered", "received"])
async def test_a_version_that_is_refused_leaves_nothing(tmp_path, moment):
    """Before or after it has moved: both ends hear why, and what was received is removed."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        if moment == "received":
            follower.transfers.take(1, None)
            await follower.event(Received)
            assert len(follower.left) == 1
        follower.transfers.refuse(1, "this node leads")
        assert follower.transfers.arrival(1) is None
        await follower.event(DownloadEnded, download=1, is_orderly=False, reason="this node leads")
        await leader.event(UploadEnded, request=1)
        await until(lambda: not follower.transfers.figures())
        assert follower.left == []
    assert follower.told.ended == [("download", "stale", "this node leads")]
    assert leader.told.ended == [("upload", "stale", "this node leads")]


async def test_what_is_being_installed_is_not_swept(tmp_path):
    """A transferer that dies meanwhile is told of at once; what it brought stays until it is installed."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        follower.transfers.take(1, None)
        received = await follower.event(Received)
        arrival = follower.transfers.arrival(1)
        os.kill(arrival.number, signal.SIGKILL)
        await follower.event(DownloadEnded, is_orderly=False)
        assert follower.transfers.arrival(1) == arrival
        assert states(follower) == ["installing"]
        await follower.commit(arrival, received.version)
        follower.transfers.installed(1)
        assert follower.state.read_bytes() == CONTENT
        await until(lambda: not follower.transfers.figures())
        await leader.event(UploadEnded)
        assert follower.left == []


async def test_what_could_not_be_installed_is_swept(tmp_path):
    """The machine stops such a download, and then nothing of it is left."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        follower.transfers.take(1, None)
        await follower.event(Received)
        assert follower.transfers.arrival(1) is not None
        follower.transfers.stop_download(1, "the disk is full")
        await follower.event(DownloadEnded, is_orderly=False, reason="the disk is full")
        await until(lambda: not follower.transfers.figures())
        assert follower.left == []
        ((event, fields),) = follower.told.remarks
        assert event == "transfer_leftovers"
        assert fields["removed"].endswith(".down")


async def test_an_installation_that_was_cut_short_keeps_what_it_needs(tmp_path):
    """While a journal stands, `Pair.recover` has to find the staged files."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        follower.transfers.take(1, None)
        await follower.event(Received)
        arrival = follower.transfers.arrival(1)
        follower.places.journal.write_bytes(b"a commit of this")
        follower.transfers.stop_download(1, "the disk failed")
        await follower.event(DownloadEnded)
        await until(lambda: not follower.transfers.figures())
        assert follower.left == [f"state.{arrival.number}.down"]


async def test_a_session_of_the_daemons_saves_the_login(tmp_path):
    """One that the other end has forgotten costs one try, and the next downloader logs in."""
    async with pool(tmp_path) as (leader, follower):
        leader.sendable = sendable(ONE, b"x", folder=tmp_path, is_open=False)
        identity = Identity("condor@pool.example.org", "IDTOKENS")
        follower.sessions[leader.peer] = Session("cm1:1:1:1", os.urandom(32), identity)
        follower.transfers.start_download(1, leader.peer, "ours")
        ended = await follower.event(DownloadEnded, is_orderly=False)
        assert "REPLICATION_FETCH" in ended.reason
        follower.transfers.start_download(2, leader.peer, "ours")
        await follower.event(Offered, download=2)


@pytest.mark.parametrize("is_fips", [True, False], ids=["sha256", "md5"])
async def test_a_real_peers_transfer_is_offered_by_nobody(tmp_path, is_fips):
    """Its version is adopted; the download is over only when what it brought is installed, though its process is gone."""
    terms = {"is_fips": is_fips}
    async with pool(tmp_path, of_leader=terms, **terms) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "condor")
        received = await follower.event(Received, download=1, version=Version.adopted(ONE.point))
        assert received.files == (record(CONTENT),)
        await leader.event(UploadEnded)
        await until(lambda: follower.told.ended)
        assert states(follower) == ["waiting"]
        assert follower.events.statistics().current_buffer_used == 0
        await follower.install(1, received)
        await follower.event(DownloadEnded, download=1, is_orderly=True)
        assert follower.state.read_bytes() == CONTENT
        assert follower.left == []
    assert leader.told.sent == [("127.0.0.9:1", "385.4", 300_000)]


@pytest.mark.parametrize("order", ["refuse", "stop_download"])
async def test_what_a_real_peer_sent_may_be_unwanted(tmp_path, order):
    """Its process is gone by then, and what it brought is swept."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "condor")
        await follower.event(Received)
        await until(lambda: follower.told.ended)
        getattr(follower.transfers, order)(1, "this node leads")
        await follower.event(DownloadEnded, download=1)
        await until(lambda: not follower.transfers.figures())
        assert follower.left == []


@pytest.mark.parametrize(("is_plain", "protocol"), [(True, "callback"), (False, "condor")])
async def test_a_real_peer_of_which_nothing_is_known_calls_back(tmp_path, is_plain, protocol):
    """Where nothing is negotiated the uploader dials the address that came with the command, and the downloader listens there."""
    async with pool(tmp_path, is_raw=True, is_plain=is_plain) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "condor")
        await follower.install(1, await follower.event(Received, version=Version.adopted(Point(385, 4))))
        await follower.event(DownloadEnded, is_orderly=True)
        await leader.event(UploadEnded)
        assert follower.state.read_bytes() == CONTENT
        assert leader.protocols == [protocol]


async def test_a_list_of_files_is_not_sent_to_a_real_peer(tmp_path):
    """It would install the first one and know nothing of the second; the sentence says what is the matter."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, b"a", b"b", folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "condor")
        await follower.event(DownloadEnded, is_orderly=False)
        await leader.event(UploadEnded)
        ((_, result, reason),) = leader.told.ended
        assert result == "failed"
        assert "not a list and not a folder" in reason


async def test_a_list_of_files_is_not_fetched_from_a_real_peer(tmp_path):
    """It sends one file; that STATE_FILE names more is said, and nothing moves."""
    paths = [tmp_path / "follower" / "state" / name for name in ("a", "b")]
    async with pool(tmp_path, is_raw=True, paths=paths) as (leader, follower):
        follower.transfers.start_download(1, leader.peer, "condor")
        ended = await follower.event(DownloadEnded, is_orderly=False)
        assert "a folder or a list" in ended.reason


async def test_terms_hold_from_the_next_transfer_on(tmp_path):
    """A limit that is set while the daemon runs is the next downloader's."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.terms = attrs.evolve(follower.terms, maximum_bytes=1000)
        follower.transfers.start_download(1, leader.peer, "ours")
        ended = await follower.event(DownloadEnded, is_orderly=False)
        assert "1000 bytes here" in ended.reason
