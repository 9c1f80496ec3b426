"""Our own transfer's messages: written and read, bounded, and names that lead nowhere else."""

import hashlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.errors import LimitExceeded, ProtocolError, WireError
from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from daemoncore.cedar.stream import Stream
from transferer import versions
from transferer.talk import Begun, DigestMismatch, Head, Piece, Raw, Wanted
from transferer.versions import End, Entry, EntryKind, Held, Offer, Result

FOLDER = EntryKind.FOLDER
OLD, NEW = b"old state", b"old state and more"
LIST = Offer(
    {"gid": 129, "clock": 3}, is_folder=False, entries=(Entry("0", size=len(NEW)), Entry("1", size=2))
)
TREE = Offer(None, is_folder=True, entries=(Entry("a", FOLDER, 0o755), Entry("a/b", size=5, mode=0o640)))


def sha256(content):
    """Return a digest."""
    return hashlib.sha256(content).digest()


def message(data):
    """Return the one message in some bytes."""
    stream = Stream(AFTER_AUTHENTICATION)
    stream.receive_data(data)
    return stream.next_message()


@pytest.mark.parametrize("offer", [LIST, TREE, Offer([], is_folder=True, entries=())])
def test_an_offer_is_read_as_it_was_written(offer):
    """Version, kind, names, modes and sizes come through."""
    assert versions.read_offer(message(versions.encode_offer(Stream(), offer)), 1000) == offer


@pytest.mark.parametrize("result", list(Result))
def test_ends_and_receipts_carry_a_result_and_a_sentence(result):
    """Each side's last word comes through, and may stand where an offer or a list would."""
    end = End(result, "because")
    assert versions.read_receipt(message(versions.encode_receipt(Stream(), end))) == end
    assert versions.read_have(message(versions.encode_receipt(Stream(), end)), LIST) == end
    assert versions.read_offer(message(versions.encode_end(Stream(), end)), 0) == end


def test_what_a_later_version_adds_is_ignored():
    """Whatever stands behind the known fields of a message does not matter."""
    for encode, read in [
        (
            lambda writer: writer.put_int(5).put_int(0).put_string("").put_string("later"),
            versions.read_receipt,
        ),
        (
            lambda writer: writer.put_int(2).put_int(-1).put_int(-1).put_int(77),
            lambda r: versions.read_have(r, LIST),
        ),
    ]:
        assert read(MessageReader(encode(MessageWriter()).body()))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "/", "a/./b", "x" * 256, "a/" * 600 + "a", "a\0b"]
)  # fmt: skip
def test_a_name_does_not_lead_out_of_the_folder(name):
    """Absolute paths, dots and empty parts are refused, whether or not the folders come first."""
    assert not versions.is_safe_name(name)
    parents = [Entry("a", FOLDER), Entry("a/b", FOLDER), Entry("..", FOLDER)]
    for before in ([], parents[:2]):
        offer = Offer(None, is_folder=True, entries=(*before, Entry(name)))
        with pytest.raises((ProtocolError, ValueError)):
            versions.read_offer(message(versions.encode_offer(Stream(), offer)), 1000)


@pytest.mark.parametrize("name", ["a", "a.b", "..a", "a b", "ä", "\udcff", "x" * 255])
def test_ordinary_names_are_taken(name):
    """Dots within a name, blanks, letters beyond ASCII and bytes that are no text are names."""
    offer = Offer(None, is_folder=True, entries=(Entry(name),))
    assert versions.read_offer(message(versions.encode_offer(Stream(), offer)), 0) == offer


@pytest.mark.parametrize(
    ("entries", "is_folder", "sentence"),
    [
        ((Entry("a/b"),), True, "its own folder comes first"),
        ((Entry("a"), Entry("a/b")), True, "its own folder comes first"),
        ((Entry("a"), Entry("a")), True, "twice"),
        ((Entry("a", FOLDER), Entry("a")), True, "twice"),
        ((Entry("1"), Entry("0")), False, "called 0, 1, 2"),
        ((Entry("/etc/passwd"),), False, "called 0, 1, 2"),
        ((Entry("0", FOLDER),), False, "called 0, 1, 2"),
        ((Entry("0", size=-1),), False, "cannot have -1"),
        ((Entry("0", size=1001),), False, "1000 bytes here"),
        ((Entry("0", size=600), Entry("1", size=600)), False, "a version may have 1000"),
        ((Entry("a", FOLDER, size=1),), True, "may have 0 bytes"),
    ],
)
def test_an_offer_that_nobody_should_take_is_refused(entries, is_folder, sentence):
    """Trees that do not fit together, other names in a list, and sizes beyond the limit are refused."""
    offer = Offer(None, is_folder, entries)
    with pytest.raises(WireError, match=sentence):
        versions.read_offer(message(versions.encode_offer(Stream(), offer)), 1000)


def test_modes_are_permissions_only():
    """A peer cannot have a file made that runs as its owner."""
    offer = attrs.evolve(TREE, entries=(Entry("a", mode=0o104755),))
    assert versions.read_offer(message(versions.encode_offer(Stream(), offer)), 10).entries[0].mode == 0o755


def test_too_much_of_anything_is_refused():
    """Ten thousand entries and 64 KiB of lineage are enough; our own uploader does not send more either."""
    many = Offer(None, is_folder=False, entries=(Entry("0"),) * (versions.MAXIMUM_ENTRIES + 1))
    for offer in (many, attrs.evolve(LIST, version="x" * versions.MAXIMUM_VERSION_CHARACTERS)):
        with pytest.raises(ValueError, match="at most 10000"):
            versions.encode_offer(Stream(), offer)
    long = MessageWriter().put_int(1).put_string('"' + "x" * 70_000 + '"')
    with pytest.raises(LimitExceeded, match="lineage"):
        versions.read_offer(MessageReader(long.body()), 0)
    count = MessageWriter().put_int(1).put_string("{}").put_int(0).put_int(1 << 40)
    with pytest.raises(LimitExceeded, match="entries"):
        versions.read_offer(MessageReader(count.body()), 0)
    nested = MessageWriter().put_int(1).put_string("[" * 60_000)
    with pytest.raises(ProtocolError, match="JSON"):
        versions.read_offer(MessageReader(nested.body()), 0)


@pytest.mark.parametrize(
    ("held", "start"),
    [
        (None, 0),
        (Held(0, sha256(b"")), 0),
        (Held(len(OLD), sha256(OLD)), len(OLD)),
        (Held(len(OLD), sha256(b"other")), 0),
        (Held(len(NEW), sha256(NEW)), len(NEW)),
        (Held(len(NEW) + 1, sha256(NEW + b"x")), 0),
    ],
)
def test_a_tail_is_enough_when_the_head_agrees(held, start):
    """Nothing, less, the same, something else and more than the sender has are told apart by size and digest."""
    assert (
        versions.start_of_content(held, len(NEW), lambda size: hashlib.sha256(NEW[:size]).digest()) == start
    )


def drive(offer, held, data, head=OLD):
    """Give a downloader's conversation all bytes at once; return what it took and what it returned."""
    stream = Stream(AFTER_AUTHENTICATION)
    stream.receive_data(data)
    talk, reply, files = versions.receive_entries(stream, offer, held), None, {}
    try:
        while True:
            want = talk.send(reply)
            match want:
                case Wanted.MESSAGE:
                    reply = stream.next_message()
                case Raw():
                    reply = stream.receive_raw(want.most_bytes) or None
                case Begun():
                    reply, current = None, want
                    files[want.index] = (want.start, b"")
                case Head():
                    assert want.size == len(head)
                    reply = hashlib.sha256(head)
                    continue
                case Piece():
                    start, before = files[current.index]
                    files[current.index], reply = (start, before + bytes(want.data)), None
            if reply is None and not isinstance(want, (Begun, Piece)):
                return files, None
    except StopIteration as finished:
        return files, finished.value


def sent(index, content, start=0, digest=None):
    """Return one file as an uploader sends it on a clear connection."""
    stream = Stream()
    return (
        versions.encode_content(stream, index, start, is_same=False)
        + content[start:]
        + versions.encode_digest(stream, digest or sha256(content))
    )


SAME = versions.encode_content(Stream(), 0, 0, is_same=True)


def test_whole_files_tails_and_unchanged_files_arrive():
    """Each entry comes as the uploader chose, and each digest is that of the whole file."""
    held = [Held(len(OLD), sha256(OLD)), None]
    files, received = drive(LIST, held, sent(0, NEW, start=len(OLD)) + sent(1, b"ab"))
    assert files == {0: (len(OLD), NEW[len(OLD) :]), 1: (0, b"ab")}
    assert [(one.start, one.sha256) for one in received] == [(len(OLD), sha256(NEW)), (0, sha256(b"ab"))]
    held = [Held(len(NEW), sha256(NEW)), None]
    files, received = drive(LIST, held, SAME + sent(1, b"ab"))
    assert list(files) == [1]
    assert received[0].start == len(NEW)
    files, received = drive(TREE, [None, None], sent(1, b"hello"))
    assert [one.entry.kind for one in received] == [EntryKind.FOLDER, EntryKind.FILE]


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        (sent(0, NEW, digest=sha256(b"other")), DigestMismatch, "entry 0 of 18 bytes"),
        (sent(1, b"ab"), ProtocolError, "content of entry 0"),
        (SAME, ProtocolError, "already, and we do not"),
        (sent(0, NEW, start=3), ProtocolError, "cannot begin at byte 3"),
        (versions.encode_content(Stream(), 0, -7, is_same=False), ProtocolError, "byte -7"),
        (
            versions.encode_content(Stream(), 0, 0, is_same=False) + NEW + SAME,
            ProtocolError,
            "a digest comes",
        ),
    ],
)
def test_content_that_is_not_what_was_offered_is_refused(data, error, sentence):
    """A wrong digest, another order, and starts that nobody asked for end the transfer."""
    with pytest.raises(error, match=sentence):
        drive(LIST, [Held(len(OLD), sha256(OLD)), None], data)


@given(st.binary(max_size=200))
def test_any_message_makes_progress_or_a_wire_error(body):
    """Every reader takes any bytes, and raises nothing but `WireError`."""
    for read in (
        lambda reader: versions.read_offer(reader, 1000),
        lambda reader: versions.read_have(reader, LIST),
        versions.read_receipt,
    ):
        try:
            read(MessageReader(body))
        except WireError:
            continue


@given(st.data())
def test_a_changed_transfer_is_never_taken_for_the_right_one(data):
    """Whatever byte is another one, the files come out as they were or not at all."""
    good = sent(0, NEW, start=len(OLD)) + sent(1, b"ab")
    position = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        files, received = drive(LIST, [Held(len(OLD), sha256(OLD)), None], bytes(changed))
    except WireError:
        return
    assert received is None or files == {0: (len(OLD), NEW[len(OLD) :]), 1: (0, b"ab")}
