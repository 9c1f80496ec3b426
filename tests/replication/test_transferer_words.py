"""What the daemon says to a transferer and makes of its words, as values."""

from pathlib import Path

import attrs
import pytest

from daemoncore.cedar.authentication import Identity
from daemoncore.cedar.sessions import Session
from replication import transferer_words as words
from replication.manifest import FileRecord
from replication.sendable import Sendable, SendableFile
from replication.transfer_figures import Gauge
from replication.transfer_terms import TRANSFERER, Direction, Terms
from replication.transferer_process import NonsenseError
from replication.version import Point, Version

VERSION = Version(385, 4, (Point(257, 9),), is_rooted=True)
DIGEST = "ab" * 32


def file(name, descriptor=-1, **fields):
    """Return one file of a version."""
    return SendableFile(FileRecord(name, 7, DIGEST, 0o640), Path("/spool") / name, descriptor, **fields)


def test_a_version_is_told_with_its_files():
    """A descriptor goes by its place among those that are passed, a file without one by its path."""
    folder = attrs.evolve(file("jobs", is_folder=True), record=FileRecord("jobs", 0, DIGEST, 0o750))
    sendable = Sendable(
        VERSION, True, (folder, file("jobs/1"), file("log", 8, is_append=True), file("log2", 8))
    )
    assert list(words.descriptors_of(sendable)) == [8]
    common = {"bytes": 7, "mode": 0o640, "sha256": DIGEST}
    assert words.version(sendable, {8: 0}) == {
        "what": "version",
        "version": {"gid": 385, "clock": 4, "lineage": [[257, 9]], "rooted": True},
        "version_text": "385\n4",
        "is_folder": True,
        "entries": [
            {"name": "jobs", "kind": "folder", "mode": 0o750},
            {"name": "jobs/1", "path": "/spool/jobs/1", "is_append": False, **common},
            {"name": "log", "descriptor": 0, "is_append": True, **common},
            {"name": "log2", "descriptor": 0, "is_append": False, **common},
        ],
    }


@pytest.mark.parametrize(
    ("skipped", "following", "expected"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_a_file_grows_over_a_version_that_was_skipped_if_both_grew(skipped, following, expected):
    """Otherwise the uploader would go on with the digest of bytes that are not there any more."""
    one = Sendable(VERSION, False, (file("0", is_append=skipped), file("1", is_append=True)))
    two = Sendable(VERSION.advanced(), False, (file("0", is_append=following), file("1", is_append=True)))
    continued = words.continued(two, one)
    assert [one.is_append for one in continued.files] == [expected, True]
    assert continued.version == two.version


def test_a_file_that_the_skipped_version_lacks_did_not_grow():
    """It is new to the uploader, whatever it is to the daemon."""
    one = Sendable(VERSION, True, ())
    two = Sendable(VERSION.advanced(), True, (file("0", is_append=True),))
    assert [one.is_append for one in words.continued(two, one).files] == [False]


def test_what_is_held_is_told_with_its_digests():
    """None leaves the reading to the downloader; nothing is nothing."""
    have = [FileRecord("0", 7, DIGEST)]
    assert words.take(have) == {"what": "take", "have": [{"name": "0", "bytes": 7, "sha256": DIGEST}]}
    assert words.take(()) == {"what": "take", "have": []}
    assert words.take(None) == {"what": "take", "have": None}


def test_a_login_carries_settings_and_perhaps_a_session():
    """What a downloader needs in order to be let in; a key goes over the channel only."""
    terms = Terms(60.0, security={"SEC_CLIENT_ENCRYPTION": "REQUIRED"})
    plain = words.login(terms, "<127.0.0.1:9>", None)
    assert plain == {
        "address": "<127.0.0.1:9>",
        "settings": {"SEC_CLIENT_ENCRYPTION": "REQUIRED"},
        "is_known_ours": True,
    }
    session = Session("cm1:1:2:3", b"\1\2", Identity("condor@pool", "IDTOKENS"), peer_version="25.0")
    assert words.login(terms, "<127.0.0.1:9>", session)["session"] == {
        "identifier": "cm1:1:2:3",
        "key": "0102",
        "user": "condor@pool",
        "method": "IDTOKENS",
        "peer_version": "25.0",
    }


def test_a_transferer_finds_its_package_wherever_the_daemon_works():
    """The daemon's sockets and watchdog are not its business; the rest of the environment is."""
    terms = Terms(60.0, environment={"PYTHONPATH": "/site", "WATCHDOG_USEC": "1", "LANG": "C"})
    root = str(Path(__file__).parents[2])
    assert terms.environment_of_transferer() == {"PYTHONPATH": f"{root}:/site", "LANG": "C"}
    assert Terms(60.0).environment_of_transferer() == {"PYTHONPATH": root}
    assert TRANSFERER[1:] == ("-P", "-m", "transferer")


STAGED = (Path("/spool/a.7.down"), Path("/spool/b.7.down"))
ENTRIES = [
    {"name": "0", "kind": "file", "mode": 0o600, "bytes": 9, "sha256": DIGEST, "from_bytes": 4,
     "temporary": "/spool/a.7.down"},
    {"name": "1", "kind": "file", "mode": 0o600, "bytes": 9, "sha256": DIGEST, "from_bytes": 0, "temporary": None},
]  # fmt: skip


def received(entries, **fields):
    """Return what a downloader says."""
    return {"event": "received", "entries": entries, "bytes": 5, "seconds": 0.5, **fields}


def test_a_tail_and_a_file_that_is_the_same_are_told_apart():
    """The one begins where ours ends, of the other nothing is staged."""
    arrived = words.read_arrived(received(ENTRIES), STAGED, is_folder=False)
    assert arrived.starts == (4, None)
    assert arrived.files == (FileRecord("0", 9, DIGEST), FileRecord("1", 9, DIGEST))
    assert (arrived.moved.bytes, arrived.moved.seconds) == (5, 0.5)


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (0, {"from_bytes": 10}),
        (0, {"from_bytes": -1}),
        (0, {"from_bytes": "4"}),
        (0, {"temporary": "/spool/b.7.down"}),
        (0, {"temporary": 7}),
        (0, {"kind": "folder"}),
        (0, {"name": "1"}),
        (1, {"sha256": None}),
        (1, {"mode": 0o4755}),
        (1, {"bytes": 1.5}),
    ],
)
def test_a_file_that_cannot_have_come_so_is_nonsense(place, change):
    """Nothing of it reaches the disk side."""
    entries = [dict(entry) for entry in ENTRIES]
    entries[place] |= change
    with pytest.raises(NonsenseError):
        words.read_arrived(received(entries), STAGED, is_folder=False)


def test_nothing_at_all_can_be_received():
    """The state of a leadership whose controllee has not written yet is no file; some files of a list are nonsense."""
    arrived = words.read_arrived(received([]) | {"total_bytes": 0}, STAGED, is_folder=False)
    assert (arrived.files, arrived.starts) == ((), (0, 0))
    with pytest.raises(NonsenseError):
        words.read_arrived(received([]) | {"total_bytes": 1}, STAGED, is_folder=False)
    with pytest.raises(NonsenseError):
        words.read_arrived(received(ENTRIES[:1]), STAGED, is_folder=False)


@pytest.mark.parametrize("staging", [None, "", "/spool/jobs", "/spool/jobs.8.down"])
def test_a_folder_lies_under_the_number_of_its_transferer(staging):
    """Any other folder is nonsense."""
    staged = (Path("/spool/jobs.7.down"),)
    entry = ENTRIES[1] | {"name": "x/y"}
    folder = {"name": "x", "kind": "folder", "mode": 0o700, "bytes": 0, "sha256": None}
    good = received([folder, entry], staging="/spool/jobs.7.down")
    arrived = words.read_arrived(good, staged, is_folder=True)
    assert ([file.name for file in arrived.files], arrived.starts) == (["x/y"], (0,))
    with pytest.raises(NonsenseError):
        words.read_arrived(received([folder, entry], staging=staging), staged, is_folder=True)
    with pytest.raises(NonsenseError):
        words.read_arrived(good | {"entries": [ENTRIES[1] | {"name": "../y"}]}, staged, is_folder=True)


def test_a_gauge_reckons_what_is_left():
    """At the present rate, as if all of it had to move; odd numbers are passed over."""
    gauge = Gauge(Direction.UPLOAD, "127.0.0.1:9", 5.0)
    assert gauge.figure().seconds_left is None
    gauge.begin(Point(1, 2), 1000, "moving")
    gauge.progressed({"bytes": 400, "total_bytes": 1000, "bytes_per_second": 200})
    assert gauge.figure().seconds_left == 3.0
    for odd in (-1, 1 << 80, float("nan"), None, "x"):
        gauge.progressed({"bytes": odd, "total_bytes": odd, "bytes_per_second": odd})
        figure = gauge.figure()
        assert (figure.bytes, figure.total_bytes, figure.seconds_left) == (400, 1000, None)
    gauge.moved(10, "waiting")
    figure = gauge.figure()
    assert (figure.state, figure.bytes, figure.version, figure.since) == ("waiting", 10, Point(1, 2), 5.0)
