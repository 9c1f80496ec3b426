"""Two real transferers over loopback, with the daemons' parts played here: what arrives, and what can go wrong."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.stream import Stream
from tests.transferer.copies import (
    ROOT,
    Copier,
    Pair,
    begin,
    connected,
    file_entry,
    streams,
)
from transferer import versions
from transferer.versions import End, Entry, Offer, Result

pytestmark = pytest.mark.timed

VERSION = {"gid": 129, "clock": 7}


@pytest.fixture
def copiers():
    """Whatever is put in here is ended after the test."""
    made = []
    yield made
    for one in made:
        one.close()


@pytest.fixture
def files(tmp_path):
    """A source with content, and the place of its copy."""
    source, target = tmp_path / "leader" / "state", tmp_path / "replica" / "state"
    source.parent.mkdir()
    target.parent.mkdir()
    source.write_bytes(os.urandom(700_000))
    return source, target


def pair(copiers, **arguments):
    """Start an uploader and a downloader, and have them ended after the test."""
    copiers.append(Pair.start(**arguments))
    return copiers[-1]


def install(received, *targets):
    """Do what the daemon does with files that were received: give them their names."""
    for entry, target in zip(received["entries"], targets, strict=True):
        if entry["temporary"] and entry["from_bytes"]:
            with target.open("ab") as file:
                file.write(Path(entry["temporary"]).read_bytes())
            Path(entry["temporary"]).unlink()
        elif entry["temporary"]:
            Path(entry["temporary"]).rename(target)


@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("size", [0, 1, 262_144, 3_000_000])
def test_a_file_arrives_as_it_is(copiers, files, is_encrypted, size):
    """The copy has the bytes, the mode and the digest of the file, and lies beside its target under a temporary name."""
    source, target = files
    source.write_bytes(os.urandom(size))
    both = pair(copiers, is_encrypted=is_encrypted, files=[str(target)])
    received = both.copy(VERSION, [file_entry(source, mode=0o640)])
    temporary = Path(received["entries"][0]["temporary"])
    assert temporary.name == f"state.{both.down.process.pid}.down"
    assert not target.exists()
    assert temporary.stat().st_mode & 0o7777 == 0o640
    install(received, target)
    sent = both.installed()
    assert target.read_bytes() == source.read_bytes()
    assert sent["sha256"]["0"] == received["entries"][0]["sha256"]
    assert (sent["bytes"], received["bytes"], sent["version"]) == (size, size, VERSION)
    assert both.end()["versions"] == 1


@pytest.mark.parametrize("takes_tails", [False, True])
@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_file_that_grows_moves_its_growth(copiers, files, is_encrypted, takes_tails):
    """One pair of processes copies version after version, and only what was appended moves."""
    source, target = files
    both = pair(copiers, is_encrypted=is_encrypted, files=[str(target)], takes_tails=takes_tails)
    install(both.copy(VERSION, [file_entry(source)]), target)
    both.installed()
    for clock in range(3):
        with source.open("ab") as file:
            file.write(b"a record of some bytes\n" * 40)
        before = target.stat().st_size
        received = both.copy({"clock": clock}, [file_entry(source, is_append=True)])
        assert received["bytes"] == source.stat().st_size - before
        assert received["entries"][0]["from_bytes"] == (before if takes_tails else 0)
        install(received, target)
        assert both.installed()["result"] == "ok"
        assert target.read_bytes() == source.read_bytes()
    received = both.copy(VERSION, [file_entry(source, is_append=True)])
    assert (received["bytes"], received["entries"][0]["temporary"]) == (0, None)
    both.installed()
    both.end()


def test_a_new_downloader_needs_the_tail_only(copiers, files):
    """What is on disk counts, whoever wrote it there: the head is hashed once on each side."""
    source, target = files
    target.write_bytes(source.read_bytes()[:500_000])
    both = pair(copiers, files=[str(target)], takes_tails=True)
    received = both.copy(VERSION, [file_entry(source)])
    assert (received["bytes"], received["entries"][0]["from_bytes"]) == (200_000, 500_000)
    install(received, target)
    both.installed()
    assert target.read_bytes() == source.read_bytes()


def test_a_file_that_was_rewritten_moves_as_a_whole(copiers, files):
    """A head that differs, and a file that became shorter, are sent again from the beginning."""
    source, target = files
    both = pair(copiers, files=[str(target)])
    for content in (b"A" * 1000, b"B" + b"A" * 1500, b"B" * 700):
        source.write_bytes(content)
        install(both.copy(VERSION, [file_entry(source)]), target)
        assert both.installed()["bytes"] == len(content)
        assert target.read_bytes() == content


def test_what_the_daemon_says_of_our_file_is_checked_before_it_counts(copiers, files):
    """A tail is not put behind a head that is damaged on disk, though the daemon knows its digest."""
    source, target = files
    both = pair(copiers, files=[str(target)], takes_tails=True)
    install(both.copy(VERSION, [file_entry(source)]), target)
    digest = both.installed()["sha256"]["0"]
    both.end()
    target.write_bytes(b"damaged" + target.read_bytes()[7:])
    have = [{"name": "0", "bytes": source.stat().st_size, "sha256": digest}]
    with source.open("ab") as file:
        file.write(b"more")
    both = pair(copiers, files=[str(target)], takes_tails=True)
    both.offer(VERSION, [file_entry(source)])
    both.down.event("offer")
    both.down.tell(what="take", have=have)
    event, status = both.down.ended()
    assert (event["result"], event["fault"], status) == ("failed", "source", 1)
    assert "the daemon says" in event["reason"]
    assert both.up.event("exit", "sent")["result"] == "failed"


def test_a_list_of_files_is_one_version(copiers, tmp_path):
    """Each file goes to our own path of the same place in the list, whatever the peer's is called."""
    sources = [tmp_path / f"source{number}" for number in range(3)]
    targets = [tmp_path / f"target{number}" for number in range(3)]
    for number, source in enumerate(sources):
        source.write_bytes(bytes([number]) * number * 300_000)
    both = pair(copiers, files=[str(target) for target in targets])
    received = both.copy(VERSION, [file_entry(path, str(number)) for number, path in enumerate(sources)])
    install(received, *targets)
    both.installed()
    assert [path.read_bytes() for path in targets] == [path.read_bytes() for path in sources]
    both.end()


def test_a_folder_is_built_beside_its_target(copiers, tmp_path):
    """The whole tree is there: new, grown and unchanged files with their modes, folders, and nothing that is gone."""
    source, target = tmp_path / "leader", tmp_path / "replica"
    for folder in (source, target):
        (folder / "jobs").mkdir(parents=True)
        (folder / "jobs" / "same").write_bytes(b"same" * 1000)
    (source / "jobs" / "grown").write_bytes(b"old, new")
    (target / "jobs" / "grown").write_bytes(b"old")
    (source / "new").write_bytes(b"new")
    (target / "gone").write_bytes(b"gone")
    entries = [
        file_entry(source / "new", "new", mode=0o755),
        {"name": "jobs", "kind": "folder", "mode": 0o750},
        *(file_entry(source / "jobs" / name, f"jobs/{name}") for name in ("same", "grown")),
    ]
    both = pair(copiers, folder=str(target))
    received = both.copy(VERSION, entries, is_folder=True)
    staging = Path(received["staging"])
    assert staging == tmp_path / f"replica.{both.down.process.pid}.down"
    assert received["bytes"] == len(b"new" + b", new")
    found = {str(p.relative_to(staging)): p.read_bytes() for p in staging.rglob("*") if p.is_file()}
    assert found == {"new": b"new", "jobs/same": b"same" * 1000, "jobs/grown": b"old, new"}
    assert (staging / "jobs").stat().st_mode & 0o777 == 0o750
    assert (staging / "new").stat().st_mode & 0o777 == 0o755
    assert (target / "gone").exists()
    both.installed()
    both.end()


def test_a_snapshot_is_a_descriptor_and_a_length(copiers, files):
    """What is appended or renamed after the snapshot does not matter: the descriptor is the file, up to its length."""
    source, target = files
    content = source.read_bytes()
    both = pair(copiers, files=[str(target)])
    descriptor = os.open(source, os.O_RDONLY)
    entry = {"name": "0", "descriptor": 0, "bytes": len(content), "mode": 0o600}
    with source.open("ab") as file:
        file.write(b"later")
    source.rename(source.with_name("moved"))
    received = both.copy(VERSION, [entry], [descriptor])
    os.close(descriptor)
    install(received, target)
    both.installed()
    assert target.read_bytes() == content


def test_a_version_that_is_not_wanted_is_not_sent(copiers, files):
    """The daemon sees the version before any byte of it moves, and its refusal reaches the other daemon."""
    source, target = files
    both = pair(copiers, files=[str(target)])
    both.offer(VERSION, [file_entry(source)])
    assert both.down.event("offer")["total_bytes"] == source.stat().st_size
    both.down.tell(what="refuse", reason="epoch 129 is over")
    for one in (both.up, both.down):
        event, status = one.ended() if one is both.down else (one.event("sent"), one.process.wait(20))
        assert (event["result"], event["reason"], status) == ("stale", "epoch 129 is over", 1)
    assert not list(target.parent.iterdir())


def test_a_leader_that_leads_no_more_says_so(copiers, files):
    """The end that the uploader's daemon gives is the one that the downloader's hears."""
    both = pair(copiers, files=[str(files[1])])
    both.up.tell(what="end", result="stale", reason="we do not lead any more")
    event, status = both.down.ended()
    assert (event["result"], event["reason"], status) == ("stale", "we do not lead any more", 1)


def test_a_digest_that_differs_ends_the_copy(copiers, files):
    """Bytes that are not those of the version are not kept, and both daemons hear of it."""
    source, target = files
    both = pair(copiers, files=[str(target)])
    both.offer(VERSION, [file_entry(source, sha256="00" * 32)])
    both.down.event("offer")
    both.down.tell(what="take", have=[])
    event, status = both.down.ended()
    assert (event["result"], event["fault"], status) == ("failed", "digest", 1)
    assert both.up.event("sent")["result"] == "failed"
    assert not list(target.parent.iterdir())


def test_a_source_that_is_shorter_than_its_snapshot_ends_the_copy(copiers, files):
    """A file that was truncated after the snapshot is the uploader's fault, and nothing of it is kept."""
    source, target = files
    both = pair(copiers, files=[str(target)])
    both.offer(VERSION, [file_entry(source) | {"bytes": source.stat().st_size + 1}])
    both.down.event("offer")
    both.down.tell(what="take", have=None)
    event, status = both.up.ended()
    assert (event["result"], event["fault"], status) == ("failed", "source", 1)
    event, status = both.down.ended()
    assert (event["result"], event["fault"], status) == ("failed", "gone", 1)
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize("bad", ["link", "folder", "missing", "pipe"])
def test_only_plain_files_are_sent(copiers, files, bad):
    """A link, a folder, a pipe or nothing in a file's place is neither followed nor waited for."""
    source, target = files
    place = source.with_name(bad)
    {
        "link": lambda: place.symlink_to(source),
        "folder": place.mkdir,
        "missing": lambda: None,
        "pipe": lambda: os.mkfifo(place),
    }[bad]()
    both = pair(copiers, files=[str(target)])
    both.offer(VERSION, [{"name": "0", "path": str(place), "bytes": 5}])
    event, status = both.up.ended()
    assert (event["fault"], status) == ("source", 1)
    assert str(place) in event["reason"]


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_full_disk_is_said_at_once(copiers, files, is_encrypted):
    """A downloader that cannot write tells the uploader, which does not send the rest; nothing is left behind."""
    source, target = files
    os.truncate(source, 200_000_000)
    both = pair(copiers, is_encrypted=is_encrypted, files=[str(target)])
    resource.prlimit(both.down.process.pid, resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
    both.offer(VERSION, [file_entry(source)])
    both.down.event("offer")
    both.down.tell(what="take", have=None)
    event, status = both.down.ended()
    assert (event["result"], event["fault"], status) == ("failed", "disk", 1)
    assert "cannot write" in event["reason"]
    sent = both.up.event("sent")
    assert sent["result"] == "failed"
    assert "cannot write" in sent["reason"]
    assert sent["bytes"] < source.stat().st_size / 2
    assert both.up.ended()[1] == 1
    assert not list(target.parent.iterdir())


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_version_for_which_there_is_no_room_is_not_begun(copiers, files):
    """The free space of the disk is looked at before anything is written."""
    source, target = files
    os.truncate(source, 3_000_000)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", target.parent], check=True)
    try:
        both = pair(copiers, files=[str(target)])
        both.offer(VERSION, [file_entry(source)])
        both.down.event("offer")
        both.down.tell(what="take", have=None)
        event, _ = both.down.ended()
        assert event["reason"].endswith("no space left for 3000000 bytes")
    finally:
        subprocess.run(["umount", "-l", target.parent], check=True)


@pytest.mark.parametrize("victim", ["up", "down"])
def test_a_peer_that_is_killed_ends_the_copy(copiers, files, victim):
    """The other side notices at once; a killed downloader leaves one file that says what it is."""
    source, target = files
    os.truncate(source, 400_000_000)
    both = pair(copiers, files=[str(target)])
    both.offer(VERSION, [file_entry(source)])
    both.down.event("offer")
    both.down.tell(what="take", have=None)
    dying, other = (both.up, both.down) if victim == "up" else (both.down, both.up)
    wait_for(lambda: list(target.parent.glob("*.down")))
    dying.process.send_signal(signal.SIGKILL)
    event, status = other.ended()
    assert (event["result"], event["fault"], status) == ("failed", "gone", 1)
    left = [path.name for path in target.parent.iterdir()]
    assert left == ([f"state.{both.down.process.pid}.down"] if victim == "down" else [])


def wait_for(condition):
    """Wait until something is so; a copy of some hundred MB takes long enough to catch it."""
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_stopped_downloader_tidies_up(copiers, files):
    """SIGTERM in the middle of a copy removes what was written and says cancelled, to its own daemon and to the peer."""
    source, target = files
    os.truncate(source, 400_000_000)
    both = pair(copiers, files=[str(target)])
    both.offer(VERSION, [file_entry(source)])
    both.down.event("offer")
    both.down.tell(what="take", have=None)
    wait_for(lambda: list(target.parent.glob("*.down")))
    both.down.process.terminate()
    event, status = both.down.ended()
    assert (event["result"], status) == ("cancelled", 1)
    assert both.up.event("sent")["result"] == "cancelled"
    assert not list(target.parent.iterdir())


def test_whoever_is_busy_asks_for_patience(copiers, files):
    """A daemon that takes longer than the peer may stall, to decide and to install, does not end the copy."""
    source, target = files
    both = pair(copiers, files=[str(target)], up={"stall_seconds": 1.6})
    both.offer(VERSION, [file_entry(source)])
    both.down.event("offer")
    time.sleep(2.5)
    both.down.tell(what="take", have=None)
    install(both.down.event("received"), target)
    time.sleep(2.5)
    assert both.installed()["result"] == "ok"


@pytest.mark.parametrize("moment", [0.0, 0.002, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("victim", ["up", "down"])
def test_whenever_one_is_killed_the_present_file_is_untouched(copiers, files, victim, moment):
    """SIGKILL at any moment leaves the state as it was, and beside it at most one file that says what it is."""
    source, target = files
    os.truncate(source, 50_000_000)
    target.write_bytes(b"the present state")
    both = pair(copiers, files=[str(target)])
    both.offer(VERSION, [file_entry(source)])
    both.down.event("offer")
    both.down.tell(what="take", have=None)
    time.sleep(moment)
    dying, other = (both.up, both.down) if victim == "up" else (both.down, both.up)
    dying.process.kill()
    both.down.control.close()
    both.up.control.close()
    other.process.wait(20)
    left = {path.name for path in target.parent.iterdir()}
    assert left <= {"state", f"state.{both.down.process.pid}.down"}
    assert target.read_bytes() == b"the present state"


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_transferer_ends_with_its_daemon(copiers, files, is_busy):
    """When the daemon's end of the channel closes, both an idle and a busy process end, and nothing is left."""
    source, target = files
    both = pair(copiers, files=[str(target)])
    both.offer(VERSION, [file_entry(source)])
    both.down.event("offer")
    if is_busy:
        # The uploader does not send, so the downloader waits for content.
        both.up.process.send_signal(signal.SIGSTOP)
        both.down.tell(what="take", have=None)
    both.down.control.close()
    event, status = both.down.ended()
    assert (event["result"], status) == ("cancelled", 1)
    assert not list(target.parent.iterdir())


def test_a_peer_that_stalls_is_given_up(copiers, files):
    """A stopped uploader holds a downloader up for as long as was said, not for ever."""
    source, target = files
    both = pair(copiers, files=[str(target)], stall_seconds=0.3)
    both.offer(VERSION, [file_entry(source)])
    both.down.event("offer")
    both.up.process.send_signal(signal.SIGSTOP)
    both.down.tell(what="take", have=None)
    event, status = both.down.ended()
    assert (event["fault"], status) == ("slow", 1)


@pytest.mark.parametrize("first", ["up", "down"])
def test_no_transferer_outlives_its_time(copiers, files, first):
    """MAX_TRANSFER_LIFETIME ends a process between two versions in good order, and the other one with it."""
    lifetimes = {"up": 60, "down": 60} | {first: 0.3}
    both = pair(
        copiers,
        files=[str(files[1])],
        lifetime_seconds=lifetimes["down"],
        up={"lifetime_seconds": lifetimes["up"]},
    )
    for one in (both.up, both.down):
        event, status = one.ended()
        assert (event["result"], event["reason"], status) == ("ok", "its time is over", 0)


def test_no_copy_outlives_its_time(copiers, files):
    """MAX_TRANSFER_LIFETIME ends a copy that does not get on, however alive the peer may seem."""
    source, target = files
    both = pair(copiers, files=[str(target)], lifetime_seconds=1.5)
    both.offer(VERSION, [file_entry(source)])
    both.down.event("offer")
    event, status = both.down.ended()
    assert (event["result"], event["fault"], status) == ("failed", "lifetime", 1)


def scripted(copiers, data, *, target, **task):
    """Start a downloader whose peer has already sent these bytes, and closed its side."""
    peer, ours = connected()
    peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
    down = Copier.start("down")
    copiers.append(down)
    begin(down, ours, Stream(AFTER_AUTHENTICATION), files=[str(target)], **task)
    return down, peer


def test_an_endless_file_is_refused_when_it_is_announced(copiers, files):
    """A version larger than we would ever take is not begun."""
    offer = Offer(VERSION, is_folder=False, entries=(Entry("0", size=1 << 40),))
    down, peer = scripted(
        copiers, versions.encode_offer(Stream(), offer), target=files[1], maximum_bytes=1 << 30
    )
    event, status = down.ended()
    assert (event["fault"], status) == ("protocol", 1)
    assert "1073741824 bytes here" in event["reason"]
    peer.close()


@pytest.mark.parametrize(("content", "fault"), [(b"x" * 9, "gone"), (b"x" * 10 + b"\0" * 100, "protocol")])
def test_a_file_is_as_long_as_it_was_announced(copiers, files, content, fault):
    """A short file, and bytes where the digest should be, leave nothing behind."""
    stream = Stream()
    offer = Offer(VERSION, is_folder=False, entries=(Entry("0", size=10),))
    data = versions.encode_offer(stream, offer) + versions.encode_content(stream, 0, 0, is_same=False)
    down, peer = scripted(copiers, data + content, target=files[1])
    down.event("offer")
    down.tell(what="take", have=[])
    event, status = down.ended()
    assert (event["result"], event["fault"], status) == ("failed", fault, 1)
    assert not list(files[1].parent.iterdir())
    peer.close()


@pytest.mark.parametrize(
    ("offer", "reason"),
    [
        (Offer(1, is_folder=True, entries=(Entry("x"),)), "the peer replicates a folder, we a list of files"),
        (Offer(1, is_folder=False, entries=(Entry("0"), Entry("1"))), "the peer replicates 2 files, we 1"),
    ],
)
def test_daemons_that_replicate_different_things_say_so(copiers, files, offer, reason):
    """A difference of STATE_FILE is named, and nothing is written."""
    down, peer = scripted(copiers, versions.encode_offer(Stream(), offer), target=files[1])
    assert down.ended()[0]["reason"] == reason
    answer = Stream()
    answer.receive_data(peer.recv(65536))
    assert versions.read_receipt(answer.next_message()) == End(Result.FAILED, reason)
    peer.close()


def test_a_state_that_is_no_file_is_a_version_too(copiers, files):
    """A leadership whose controllee has not written yet has one, and the daemon is told of it as of any other."""
    offer = Offer(VERSION, is_folder=False, entries=())
    down, peer = scripted(copiers, versions.encode_offer(Stream(), offer), target=files[1])
    assert down.event("offer")["entries"] == 0
    down.tell(what="take", have=[])
    assert down.event("received")["entries"] == []
    assert not list(files[1].parent.iterdir())
    peer.close()


def test_progress_is_told_while_a_copy_lasts(copiers, files):
    """Twice a second: how much of how much, and how fast."""
    source, _ = files
    os.truncate(source, 30_000_000)
    client, server = streams(is_encrypted=False)
    theirs, ours = connected()
    up = Copier.start("up")
    copiers.append(up)
    begin(up, ours, server)
    up.tell(what="version", version=VERSION, entries=[file_entry(source)])
    client.receive_data(theirs.recv(65536))
    offer = versions.read_offer(client.next_message(), 1 << 30)
    theirs.sendall(versions.encode_have(client, [None] * len(offer.entries)))
    taken = 0
    while taken < 20_000_000:
        taken += len(theirs.recv(1 << 20))
        time.sleep(0.03)
    progress = up.event("progress")
    assert 0 < progress["bytes"] < progress["total_bytes"] == 30_000_000
    assert progress["bytes_per_second"] > 0
    theirs.close()


def test_a_task_that_is_none_is_refused_in_words(copiers):
    """Whatever the daemon says wrongly ends the process with a sentence, not with a traceback."""
    for document in ({}, {"what": "begin"}, {"what": "begin", "protocol": "ours", "lifetime_seconds": 5}):
        copier = Copier.start("up")
        copiers.append(copier)
        copier.tell(**document)
        event, status = copier.ended()
        assert (event["fault"], status) == ("task", 1)
        assert event["reason"]


@pytest.mark.parametrize("arguments", [[], ["down"], ["sideways", "x"], ["up", "x", "y"]])
def test_nobody_starts_it_by_hand(arguments):
    """Without its two arguments it says who starts it."""
    done = subprocess.run(
        [sys.executable, "-m", "transferer", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 1
    assert "replication daemon" in done.stderr


def test_a_clear_copy_imports_little(tmp_path):
    """Neither trio nor the metrics nor, without a key, the cryptography: short-lived means quickly there."""
    code = (
        "import sys, transferer.__main__, transferer.upload, transferer.download;"
        "print(sorted({m.split('.')[0] for m in sys.modules}"
        " & {'trio', 'prometheus_client', 'cryptography', 'h11', 'logging', 'asyncio'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
