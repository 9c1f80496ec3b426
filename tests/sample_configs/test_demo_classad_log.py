"""The demo's ClassAd log: what it reads, what it refuses, and that no crash costs more than the last transaction."""

import os

import pytest
from classad_log import ClassAdLog, CorruptLogError, parse, parse_record

BORN = 1_700_000_000

#: A log as two runs of a negotiator leave it: a rewritten part, then two transactions and a change outside of any.
SAMPLE = b"""\
107 7 CreationTimestamp 1700000000
101 Accountant. * *
103 Accountant. LastUpdateTime 1700000100
101 Customer.a@demo * *
103 Customer.a@demo Priority 0.500000
105\x20
103 Customer.a@demo Priority 0.750000
101 Resource.slot1@<10.0.0.1:9618> * *
103 Resource.slot1@<10.0.0.1:9618> RemoteUser "a@demo"
106 #epoch=257 cycle=1
103 Customer.a@demo Name "an expression of many words"
105\x20
102 Resource.slot1@<10.0.0.1:9618>
104 Customer.a@demo Name
103 Accountant. LastUpdateTime 1700000101
106\x20
"""


def write_log(path, transactions):
    """Write a log of so many transactions; transaction n sets each of three attributes to n."""
    log = ClassAdLog(path, BORN)
    for number in range(1, transactions + 1):
        for attribute in ("First", "Second", "Third"):
            log.set("Customer.a@demo", attribute, str(number))
        log.commit(f"number={number}")
    log.close()


def test_a_log_is_read_record_by_record():
    """Ads, changes in transactions and outside of them, and the history line take effect in their order."""
    contents = parse(SAMPLE)
    assert contents.ads == {
        "Accountant.": {"LastUpdateTime": "1700000101"},
        "Customer.a@demo": {"Priority": "0.750000"},
    }
    assert (contents.sequence, contents.created) == (7, BORN)
    assert (contents.transactions, contents.dropped_bytes) == (2, 0)


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("101 k * *", ["101", "k", "*", "*"]),
        ("101 k Machine (empty)", ["101", "k", "Machine", "(empty)"]),
        ("102 k", ["102", "k"]),
        ('103 k a "x  y" ', ["103", "k", "a", '"x  y" ']),
        ("104 k a", ["104", "k", "a"]),
        ("105 ", ["105"]),
        ("106 ", ["106", ""]),
        ("106 #why", ["106", "#why"]),
        ("107 3 CreationTimestamp 9", ["107", "3", "CreationTimestamp", "9"]),
        ("105", None),
        ("106", None),
        ("105 x", None),
        ("106 why", None),
        ("101 k *", None),
        ("102 ", None),
        ("103 k a", None),
        ("103 k a ", None),
        ("103 k  1", None),
        ("104 k", None),
        ("107 x CreationTimestamp 9", None),
        ("107 3 CreationTimestamp", None),
        ("999 ", None),
        ("108 k", None),
        ("", None),
        ("\0\0\0", None),
    ],
)
def test_lines_are_records_or_not(line, record):
    """Each number has its words; the blank behind 105 and 106 is part of the record."""
    assert parse_record(line) == record


def test_a_crash_at_any_byte_loses_at_most_the_last_transaction(tmp_path):
    """Cut at every offset, a log loads, holds every transaction that ended before the cut, and goes on from there."""
    whole_path = tmp_path / "whole"
    write_log(whole_path, 4)
    whole = whole_path.read_bytes()
    path = tmp_path / "Accountantnew.log"
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        ended = whole[:cut].count(b"106 #number=")
        # The end of a transaction counts from its newline on.
        if ended and b"\n" not in whole[:cut].rpartition(b"106 #number=")[2]:
            ended -= 1
        expected = {"First": str(ended), "Second": str(ended), "Third": str(ended)}
        log = ClassAdLog(path, BORN)
        assert log.ads == ({"Customer.a@demo": expected} if ended else {}), cut
        log.set("Customer.a@demo", "First", "99")
        log.commit("after the crash")
        log.close()
        again = parse(path.read_bytes())
        assert again.dropped_bytes == 0
        assert again.ads == {"Customer.a@demo": {**(expected if ended else {}), "First": "99"}}, cut


def test_dropped_bytes_are_the_unfinished_tail():
    """For every cut of a log, what counts and what is dropped add up to the file."""
    for cut in range(len(SAMPLE) + 1):
        contents = parse(SAMPLE[:cut])
        counted = SAMPLE[: cut - contents.dropped_bytes]
        assert parse(counted).ads == contents.ads
        assert parse(counted).dropped_bytes == 0


@pytest.mark.parametrize(
    "text",
    [
        "107 1 CreationTimestamp 1\n103 broken\n105 \n106 \n",
        "107 1 CreationTimestamp 1\n106 \n106 \n",
        "107 1 CreationTimestamp 1\n105 \n107 2 CreationTimestamp 1\n106 \n",
        "\0\0\0\0\n105 \n106 #x\n",
    ],
)
def test_damage_before_a_finished_transaction_is_refused(tmp_path, text):
    """A bad line with a finished transaction behind it is named, and the file is not touched."""
    path = tmp_path / "Accountantnew.log"
    path.write_text(text)
    with pytest.raises(CorruptLogError, match=r"line [123] is no record that may stand there"):
        ClassAdLog(path, BORN)
    assert path.read_text() == text


def test_damage_behind_the_last_transaction_is_a_tail():
    """A bad line with nothing finished behind it costs itself and what follows, no more."""
    contents = parse(SAMPLE + b"103 broken\n103 Customer.a@demo Priority 9.0\n")
    assert contents.ads == parse(SAMPLE).ads
    assert contents.dropped_bytes == len(b"103 broken\n103 Customer.a@demo Priority 9.0\n")


def test_an_interrupted_transaction_never_happened():
    """A transaction that another one follows, without an end between them, is not applied."""
    contents = parse(b"107 1 CreationTimestamp 1\n105 \n103 k a 1\n105 \n103 k b 2\n106 \n")
    assert contents.ads == {"k": {"b": "2"}}


def test_a_log_without_a_history_line_keeps_its_ads(tmp_path):
    """A log of a version that wrote no 107 is read whole, and gets the line when it is rewritten."""
    path = tmp_path / "Accountantnew.log"
    path.write_bytes(b"101 k * *\n103 k a 1\n105 \n103 k a 2\n106 \n")
    ClassAdLog(path, BORN).close()
    assert path.read_text() == f"107 1 CreationTimestamp {BORN}\n101 k * *\n103 k a 2\n"


def test_compaction_keeps_the_ads_and_changes_the_inode(tmp_path):
    """A rewritten log says the same in less: sequence one higher, same birth, new inode, no file beside it."""
    path = tmp_path / "Accountantnew.log"
    path.write_bytes(SAMPLE)
    before, inode = parse(SAMPLE), path.stat().st_ino
    log = ClassAdLog(path, BORN + 5)
    log.close()
    after = parse(path.read_bytes())
    assert after.ads == before.ads
    assert (after.sequence, after.created) == (8, BORN)
    assert (after.is_compact, after.transactions) == (True, 0)
    assert path.stat().st_ino != inode
    assert [entry.name for entry in tmp_path.iterdir()] == ["Accountantnew.log"]


def test_a_compact_log_is_not_rewritten_at_start(tmp_path):
    """A start on a log that holds no transaction leaves the file, inode and bytes, alone."""
    path = tmp_path / "Accountantnew.log"
    path.write_bytes(SAMPLE)
    ClassAdLog(path, BORN).close()
    raw, inode = path.read_bytes(), path.stat().st_ino
    ClassAdLog(path, BORN).close()
    assert (path.read_bytes(), path.stat().st_ino) == (raw, inode)


def test_a_left_over_temporary_file_is_no_obstacle(tmp_path):
    """Half a rewrite that a crash left behind is overwritten by the next one."""
    path = tmp_path / "Accountantnew.log"
    path.write_bytes(SAMPLE)
    (tmp_path / "Accountantnew.log.tmp").write_bytes(SAMPLE[:50] * 100)
    ClassAdLog(path, BORN).close()
    contents = parse(path.read_bytes())
    assert contents.ads == parse(SAMPLE).ads
    assert contents.is_compact
    assert [entry.name for entry in tmp_path.iterdir()] == ["Accountantnew.log"]


def test_a_log_that_stays_large_is_given_room(tmp_path):
    """When even a compact log exceeds the limit, the next rewrite waits until it has doubled."""
    path = tmp_path / "Accountantnew.log"
    log = ClassAdLog(path, BORN, maximum_bytes=100)
    for number in range(10):
        log.set(f"Customer.{number}@demo", "Priority", "0.500000")
    log.commit("large")
    inode, size_bytes = path.stat().st_ino, path.stat().st_size
    assert size_bytes > 100
    log.set("Customer.0@demo", "Priority", "0.600000")
    log.commit("small")
    assert path.stat().st_ino == inode
    while path.stat().st_ino == inode:
        log.set("Customer.0@demo", "Priority", str(path.stat().st_size))
        log.commit("more")
        assert path.stat().st_size < 3 * size_bytes
    log.close()


def test_a_reader_that_opened_once_sees_one_whole_log(tmp_path):
    """A copy that opens the file before a rewrite reads the old log to its end, not a mixture."""
    path = tmp_path / "Accountantnew.log"
    write_log(path, 3)
    raw = path.read_bytes()
    with path.open("rb") as reader:
        assert reader.read(20) == raw[:20]
        ClassAdLog(path, BORN).close()
        assert raw[:20] + reader.read() == raw
    assert path.read_bytes() != raw


def test_what_was_not_committed_is_not_in_the_file(tmp_path):
    """Changes reach the file at the commit and not before, and setting the present value writes nothing."""
    path = tmp_path / "Accountantnew.log"
    log = ClassAdLog(path, BORN)
    log.set("k", "a", "1")
    assert parse(path.read_bytes()).ads == {}
    log.commit("one")
    assert parse(path.read_bytes()).ads == {"k": {"a": "1"}}
    log.set("k", "a", "1")
    log.commit("two")
    assert path.read_bytes().endswith(b"106 #one\n105 \n106 #two\n")
    log.close()


def test_bytes_that_are_no_text_survive_a_rewrite(tmp_path):
    """A value in some old encoding is carried on byte by byte."""
    path = tmp_path / "Accountantnew.log"
    path.write_bytes(b'107 1 CreationTimestamp 1\n105 \n103 k a "\xfcber"\n106 \n')
    ClassAdLog(path, BORN).close()
    assert b'103 k a "\xfcber"\n' in path.read_bytes()


def test_a_folder_that_refuses_the_file_is_an_operating_system_error(tmp_path):
    """A log whose folder is missing raises OSError with the path, and makes nothing."""
    with pytest.raises(OSError, match=os.strerror(2)) as refused:
        ClassAdLog(tmp_path / "missing" / "Accountantnew.log", BORN)
    assert "missing" in str(refused.value.filename)
