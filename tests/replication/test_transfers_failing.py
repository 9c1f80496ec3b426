"""What becomes of transfers when a peer, a process or a program is not what it should be: said, swept, and over."""

import os
import signal
import sys
import threading

import attrs
import pytest

from daemoncore.cedar.stream import Stream
from daemoncore.process import children
from replication.events import DownloadEnded, Offered, Received, UploadEnded
from replication.sendable import Sendable
from replication.transferer_process import LONGEST_LINE_BYTES
from tests.daemoncore.starving import no_descriptors
from tests.replication.transferring import (
    ONE,
    ScriptedLeader,
    pool,
    record,
    sendable,
    until,
)
from transferer import versions
from transferer.versions import End, Entry, Offer, Result

pytestmark = pytest.mark.timed

CONTENT = os.urandom(300_000)
HALF = len(CONTENT) // 2


def offer(version=None):
    """Return what a leader offers: the one file."""
    document = ONE.to_document() if version is None else version
    return Offer(document, is_folder=False, entries=(Entry("0", size=len(CONTENT)),))


async def half_way(leader, follower, number=1):
    """Bring a download to where half of a version is here; return the name under which it lies."""
    follower.transfers.start_download(number, leader.peer, "ours")
    await leader.asked()
    await leader.say(versions.encode_offer(leader.stream, offer()))
    await follower.event(Offered)
    follower.transfers.take(number, ())
    assert await leader.hear(versions.read_have, offer()) == [None]
    await leader.say(versions.encode_content(leader.stream, 0, 0, is_same=False) + CONTENT[:HALF])
    await until(lambda: follower.left and (follower.state.parent / follower.left[0]).stat().st_size == HALF)
    (name,) = follower.left
    return name


def pid_of(name):
    """Return the number in the name of a staged file."""
    return int(name.split(".")[1])


async def test_a_killed_transferer_is_swept(tmp_path):
    """The machine hears how it died, the peer sees the end, the state is untouched and nothing lies beside it."""
    async with pool(tmp_path, is_raw=True, leader=ScriptedLeader) as (leader, follower):
        follower.state.write_bytes(b"as it was")
        other = follower.state.with_name("state.1.down")
        other.write_bytes(b"another transferer's")
        follower.transfers.start_download(1, leader.peer, "ours")
        await leader.asked()
        await leader.say(versions.encode_offer(leader.stream, offer()))
        await follower.event(Offered)
        follower.transfers.take(1, ())
        await leader.hear(versions.read_have, offer())
        await leader.say(versions.encode_content(leader.stream, 0, 0, is_same=False) + CONTENT[:HALF])
        await until(lambda: len(follower.left) == 2)
        (name,) = set(follower.left) - {other.name}
        os.kill(pid_of(name), signal.SIGKILL)
        ended = await follower.event(DownloadEnded, download=1, is_orderly=False)
        assert ended.reason == "the copy process ended without a word: SIGKILL"
        await until(lambda: not follower.transfers.figures())
        assert follower.left == [other.name]
        assert follower.state.read_bytes() == b"as it was"
    assert [event for event, _ in follower.told.remarks] == ["transfer_leftovers"]


async def test_a_download_is_stopped_in_the_middle(tmp_path):
    """The transferer tidies up, and tells the peer why."""
    async with pool(tmp_path, is_raw=True, leader=ScriptedLeader) as (leader, follower):
        await half_way(leader, follower)
        follower.transfers.stop_download(1, "this node leads")
        end = await leader.hear(versions.read_receipt)
        assert end == End(Result.CANCELLED, "it was told to stop")
        leader.connection.close()
        await follower.event(DownloadEnded, download=1, is_orderly=False, reason="this node leads")
        await until(lambda: not follower.transfers.figures())
        assert follower.left == []
    assert follower.told.ended == [("download", "cancelled", "this node leads")]


async def test_a_stop_may_cross_what_is_received(tmp_path):
    """Orders for a download that is over, or is being stopped, do nothing, and what arrives then is not told."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        follower.transfers.take(1, None)
        follower.transfers.stop_download(1, "this node leads")
        for order in (follower.transfers.stop_download, follower.transfers.refuse, follower.transfers.take):
            order(1, "late")
        follower.transfers.installed(1)
        await follower.event(DownloadEnded, download=1, is_orderly=False, reason="this node leads")
        await until(lambda: not follower.transfers.figures())
        follower.transfers.stop_download(1, "later")
        assert follower.transfers.arrival(1) is None
        assert follower.left == []


async def test_a_peer_that_vanishes_in_the_middle_is_noticed(tmp_path):
    """The end of the connection is the end of the download, and half a version is none."""
    async with pool(tmp_path, is_raw=True, leader=ScriptedLeader) as (leader, follower):
        await half_way(leader, follower)
        leader.connection.close()
        ended = await follower.event(DownloadEnded, is_orderly=False)
        assert "closed the connection" in ended.reason
        await until(lambda: not follower.transfers.figures())
        assert follower.left == []


async def test_bytes_that_are_not_the_version_are_dropped(tmp_path):
    """A digest that differs is counted for the peer, at whose end somebody wrote over the file."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        good = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        (file,) = good.files
        wrong = attrs.evolve(file, record=record(CONTENT, sha256="0" * 64))
        leader.sendable = attrs.evolve(good, files=(wrong,))
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        follower.transfers.take(1, ())
        await follower.event(DownloadEnded, is_orderly=False)
        await leader.event(UploadEnded)
        assert follower.told.checksums == [leader.peer]
        assert leader.told.checksums == []
        await until(lambda: not follower.transfers.figures())
        assert follower.left == []


@pytest.mark.parametrize(
    "version", ["newest", {"gid": 1}, {"gid": -1, "clock": 0, "lineage": [], "rooted": True}]
)
async def test_a_version_that_makes_no_sense_ends_the_download(tmp_path, version):
    """The machine hears a sentence and no version, and so does the peer."""
    async with pool(tmp_path, is_raw=True, leader=ScriptedLeader) as (leader, follower):
        follower.transfers.start_download(1, leader.peer, "ours")
        await leader.asked()
        await leader.say(versions.encode_offer(leader.stream, offer(version)))
        receipt = await leader.hear(versions.read_receipt)
        leader.connection.close()
        ended = await follower.event(DownloadEnded, is_orderly=False)
        assert ended.reason.startswith("the peer's version makes no sense: ")
        assert receipt == End(Result.FAILED, ended.reason)
    assert follower.told.remarks == []


async def test_everything_ends_with_the_daemon(tmp_path):
    """Cancelled in the middle of transfers, nothing stays behind: no process, no descriptor, no half of a file."""
    async with pool(tmp_path, is_raw=True, leader=ScriptedLeader) as (leader, follower):
        name = await half_way(leader, follower)
        assert pid_of(name) in children(os.getpid())
    assert follower.left == []
    assert follower.told.ended == [("download", "cancelled", "nobody waits for it any more")]


async def test_nobody_starts_a_thread(tmp_path):
    """Neither a start nor a wait needs one: threads cannot be had when memory is short."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, b"x", folder=tmp_path, is_open=False)
        # Some may end by themselves: trio lets go of a worker that has been idle for ten seconds.
        before = set(threading.enumerate())
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        follower.transfers.stop_download(1, "enough")
        await follower.event(DownloadEnded)
        await leader.event(UploadEnded)
        assert set(threading.enumerate()) <= before


# --- programs that are no transferers -------------------------------------------------------------------------


def saying(*lines, then="exec sleep 600"):
    """Return the arguments of a program that says these lines and lives on."""
    return ("/bin/sh", "-c", "".join(f"printf '%s\\n' '{line}';" for line in lines) + then)


EXIT = '{"event":"exit","result":"ok","reason":"","fault":null,"versions":0,"bytes":0,"seconds":0.1}'
OFFER = '{"event":"offer","version":{"gid":1,"clock":2,"lineage":[],"rooted":true},"total_bytes":3}'


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (saying("hello"), "b'hello' is no JSON"),
        (saying("[1]"), "b'[1]' is no event"),
        (saying('{"event":{}}'), "is no event"),
        (saying("[" * 100_000), "is no JSON"),
        (saying('{"event":"offer"}'), "total_bytes is None"),
        (saying('{"event":"received"}'), "that is not said while a download is starting"),
        (saying('{"event":"exit"}'), "None is no result"),
        (saying('{"event":"exit","result":["ok"]}'), "is no result"),
        (saying('{"event":"exit","result":"ok","seconds":-1}'), "seconds is -1"),
        (("/bin/sh", "-c", "exec cat /dev/zero"), f"a line of more than {LONGEST_LINE_BYTES} bytes"),
    ],
)
async def test_a_program_that_talks_nonsense_is_killed(tmp_path, argv, sentence):
    """The machine hears what it said, and the daemon lives."""
    async with pool(tmp_path, argv=argv) as (_, follower):
        follower.transfers.start_download(1, "127.0.0.1:1", "ours")
        ended = await follower.event(DownloadEnded, is_orderly=False)
        assert ended.reason.startswith("it talks nonsense: ")
        assert sentence in ended.reason
    assert follower.told.remarks == [("transferer_killed", {"peer": "127.0.0.1:1", "reason": ended.reason})]
    assert follower.told.ended == [("download", "failed", ended.reason)]


ENTRY = '{"name":"0","kind":"file","mode":384,"bytes":1,"sha256":"%s","from_bytes":0,"temporary":%s}'


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ("null", "no list of entries"),
        ("[]", "0 entries were received for 1 files"),
        ("[" + ENTRY % ("00", "null") + "]", "is no SHA-256"),
        ("[" + ENTRY % ("0" * 64, '"/etc/passwd"') + "]", "'/etc/passwd' was received"),
    ],
)
async def test_what_was_received_lies_where_it_should(tmp_path, entries, sentence):
    """A transferer has no say in which files are installed."""
    received = f'{{"event":"received","bytes":1,"seconds":0,"entries":{entries}}}'
    program = saying(OFFER, then=f"read begin; read take; printf '%s\\n' '{received}'; exec sleep 600")
    async with pool(tmp_path, argv=program) as (_, follower):
        follower.transfers.start_download(1, "127.0.0.1:1", "ours")
        await follower.event(Offered)
        follower.transfers.take(1, ())
        ended = await follower.event(DownloadEnded, is_orderly=False)
        assert sentence in ended.reason


async def test_an_unknown_event_is_passed_over(tmp_path):
    """A transferer of a later version may say more than this daemon knows; what it says last still counts."""
    argv = saying('{"event":"weather","sun":true}', '{"event":"progress","bytes":"many"}', EXIT, then="")
    async with pool(tmp_path, argv=argv) as (_, follower):
        follower.transfers.start_download(1, "127.0.0.1:1", "ours")
        await follower.event(DownloadEnded, is_orderly=True, reason="")


_PROGRESS = 'print(\'{"event":"progress"}\', flush=True); '
_DEAF = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_PROGRESS}"


@pytest.mark.parametrize(
    ("program", "terms", "sentence"),
    [
        ("time.sleep(600)", {"lifetime_seconds": 0.2}, "it lived longer than 0.4 seconds"),
        ("import os; os.close(1); time.sleep(600)", {}, "it did not end after its last word"),
    ],
)
async def test_no_transferer_lives_beyond_its_time(tmp_path, program, terms, sentence):
    """What neither ends at the end of its lifetime nor after its last word is killed."""
    argv = (sys.executable, "-S", "-c", _DEAF + program)
    async with pool(tmp_path, argv=argv, **({"grace_seconds": 0.2} | terms)) as (_, follower):
        follower.transfers.start_download(1, "127.0.0.1:1", "ours")
        await follower.event(DownloadEnded, is_orderly=False, reason=sentence)
    assert follower.told.ended == [("download", "failed", sentence)]


async def test_a_transferer_that_does_not_stop_is_killed(tmp_path):
    """SIGTERM is a request; some time after it nobody asks any more."""
    argv = (sys.executable, "-S", "-c", _DEAF + "time.sleep(600)")
    async with pool(tmp_path, argv=argv, grace_seconds=0.2) as (_, follower):
        follower.transfers.start_download(1, "127.0.0.1:1", "ours")
        await until(lambda: [figure.state for figure in follower.transfers.figures()] == ["moving"])
        follower.transfers.stop_download(1, "enough")
        await follower.event(DownloadEnded, is_orderly=False, reason="it did not end when it was asked to")
    assert follower.told.ended == [("download", "cancelled", "it did not end when it was asked to")]


async def test_what_crosses_a_stop_is_not_told(tmp_path):
    """A version that is offered when nobody wants the download any more is no event."""
    program = (
        "import signal, sys, time; "
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(print({OFFER + chr(10) + EXIT!r}))); "
    )
    argv = (sys.executable, "-S", "-c", program + _PROGRESS + "time.sleep(600)")
    async with pool(tmp_path, argv=argv) as (_, follower):
        follower.transfers.start_download(1, "127.0.0.1:1", "ours")
        await until(lambda: [figure.state for figure in follower.transfers.figures()] == ["moving"])
        follower.transfers.stop_download(1, "enough")
        await follower.event(DownloadEnded, reason="enough")


async def test_a_program_that_ends_without_a_word_says_how(tmp_path):
    """Its exit status is all that can be told."""
    async with pool(tmp_path, argv=("/bin/sh", "-c", "exit 3")) as (_, follower):
        follower.transfers.start_download(1, "127.0.0.1:1", "ours")
        ended = await follower.event(DownloadEnded, is_orderly=False)
        assert ended.reason == "the copy process ended without a word: exit status 3"


async def test_a_program_that_is_not_there_is_no_transfer(tmp_path):
    """Both machines hear that the transfer is over, the log hears why, and the peer's connection is closed."""
    terms = {"argv": ("/no/such/transferer",)}
    async with pool(tmp_path, is_raw=True, of_leader=terms) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await leader.event(UploadEnded)
        await follower.event(DownloadEnded, is_orderly=False)
        follower.terms = attrs.evolve(follower.terms, **terms)
        follower.transfers.start_download(2, leader.peer, "ours")
        ended = await follower.event(DownloadEnded, download=2)
        assert ended.reason.startswith("it could not be started: ")
    for node in (leader, follower):
        ((event, fields),) = node.told.remarks
        assert event == "transferer_not_started"
        assert "/no/such/transferer" in fields["error"]


async def test_without_descriptors_no_transfer_starts(tmp_path):
    """It is told, and the daemon goes on."""
    async with pool(tmp_path) as (leader, follower):
        one, other = os.pipe()
        with no_descriptors():
            follower.transfers.start_download(1, "127.0.0.1:1", "ours")
            leader.sendable = Sendable(ONE, is_folder=False, files=())
            leader.start_upload((Stream().hand_over(), one), "ours")
        await follower.event(DownloadEnded, is_orderly=False)
        await leader.event(UploadEnded)
        with pytest.raises(BrokenPipeError):
            os.write(other, b"nobody reads this")
        os.close(other)


async def test_an_uploader_that_talks_nonsense_is_killed(tmp_path):
    """It cannot have sent what it was not told of."""
    sent = '{"event":"sent","result":"ok","reason":"","bytes":1,"seconds":0}'
    async with pool(tmp_path, is_raw=True, of_leader={"argv": saying(sent, sent)}) as (leader, follower):
        leader.sendable = sendable(ONE, CONTENT, folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await leader.event(UploadEnded)
        await follower.event(DownloadEnded, is_orderly=False)
        ((_, fields),) = leader.told.remarks
        assert fields["reason"] == "it talks nonsense: a version was sent that it was not told of"


async def test_an_upload_whose_bytes_cannot_be_had_ends(tmp_path):
    """A version that is announced with a descriptor that is closed already is the end of the upload, not of the daemon."""
    async with pool(tmp_path, is_raw=True) as (leader, follower):
        leader.sendable = sendable(ONE, b"first", folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        two = sendable(ONE.advanced(), b"second", folder=tmp_path, is_open=False)
        leader.transfers.announce(attrs.evolve(two, files=(attrs.evolve(two.files[0], descriptor=987_654),)))
        await leader.event(UploadEnded)
        ((_, fields),) = leader.told.remarks
        assert fields["reason"] == "no descriptor for 385.5: Bad file descriptor"


async def test_what_is_received_is_durable_where_it_lies(tmp_path):
    """A version of several files has each beside its own target, under the transferer's number."""
    paths = [tmp_path / "follower" / folder / "state" for folder in ("had", "spool")]
    async with pool(tmp_path, is_raw=True, paths=paths) as (leader, follower):
        leader.sendable = sendable(ONE, b"one", b"two", folder=tmp_path, is_open=False)
        follower.transfers.start_download(1, leader.peer, "ours")
        await follower.event(Offered)
        follower.transfers.take(1, ())
        received = await follower.event(Received)
        arrival = follower.transfers.arrival(1)
        staged = follower.places.staged(arrival.number)
        assert [path.read_bytes() for path in staged] == [b"one", b"two"]
        await follower.commit(arrival, received.version)
        follower.transfers.installed(1)
        assert [path.read_bytes() for path in paths] == [b"one", b"two"]
