"""The ClassAd log: what is read from whole, cut and damaged files, and where a growing one is whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore import classad_log
from daemoncore.classad_log import CorruptLogError, LogContents, is_log, parse, settled_bytes

HEAD = b"107 3 CreationTimestamp 1700000000\n"
ADS = b"101 Accountant. * *\n103 Accountant. LastUpdateTime 1700000100\n101 Customer.a@x * *\n103 Customer.a@x Priority 0.500000\n"
CHANGE = b'105 \n103 Customer.a@x Priority 7.250000\n103 Customer.a@x Name "a b  c"\n106 #done\n'
REMOVAL = b"105 \n102 Customer.a@x\n104 Accountant. LastUpdateTime\n106 \n"
LOG = HEAD + ADS + CHANGE


def reader(data):
    """Read from bytes as from a file."""
    return lambda offset, size: data[offset : offset + size]


def test_a_log_is_read_record_by_record():
    """Sets, transactions with and without a comment, and expressions with blanks."""
    contents = parse(LOG)
    assert (contents.sequence, contents.created) == (3, 1700000000)
    assert contents.ads == {
        "Accountant.": {"LastUpdateTime": "1700000100"},
        "Customer.a@x": {"Priority": "7.250000", "Name": '"a b  c"'},
    }
    assert parse(LOG + REMOVAL).ads == {"Accountant.": {}}


def test_a_compact_log_is_read_back():
    """What is rendered has no transactions and says the same; types other than the Accountant's are kept."""
    contents = parse(LOG + b"101 Job.1 Job Machine\n")
    data = contents.render()
    assert b"101 Job.1 Job Machine\n" in data and b"105" not in data
    assert parse(data) == contents
    assert data.startswith(HEAD)


def test_bytes_that_are_no_text_come_out_as_they_were():
    """A user's name may be in any encoding."""
    data = HEAD + b"101 Customer.\xff\xfe * *\n103 Customer.\xff\xfe Priority 1\n"
    assert parse(data).render() == data


@pytest.mark.parametrize("length", range(len(CHANGE)))
def test_a_transaction_that_was_cut_counts_for_nothing(length):
    """At whatever byte the copy or the crash was."""
    assert parse(HEAD + ADS + CHANGE[:length]) == parse(HEAD + ADS)


def test_an_interrupted_transaction_never_happened():
    """A second beginning without an end between drops the first."""
    assert parse(HEAD + ADS + b"105 \n102 Customer.a@x\n" + CHANGE) == parse(LOG)


@pytest.mark.parametrize(
    "bad",
    [
        b"garbage\n",
        b"103 Customer.a@x Priority\n",
        b"105\n",
        b"999 x\n",
        b"107 1 CreationTimestamp 5\n",
        b"106 \n",
        b"106 x\n",
        b"\n",
    ],
)
def test_damage_before_a_finished_transaction_is_refused(bad):
    """Nobody guesses what the line meant; without a finished transaction behind it, it is a crash's tail."""
    with pytest.raises(CorruptLogError, match="line 6"):
        parse(HEAD + ADS + bad + CHANGE)
    assert parse(HEAD + ADS + bad) == parse(HEAD + ADS)


def test_an_empty_file_says_nothing():
    """Neither does one that holds half a first line."""
    assert parse(b"") == parse(HEAD[:-1]) == LogContents()


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(LOG.splitlines(keepends=True)), max_size=12).map(b"".join)
)
def test_any_bytes_are_read_or_refused(data):
    """There is one error, and what was read is read again from what it is rendered to."""
    try:
        contents = parse(data)
    except CorruptLogError:
        return
    again = parse(contents.render())
    assert again.ads == contents.ads


def test_a_log_is_known_by_its_first_line():
    """A whole 107 and nothing else makes a ClassAd log."""
    assert is_log(LOG)
    assert not any(
        is_log(data)
        for data in (b"", HEAD[:-1], b"107\n", b"107 x CreationTimestamp 5\n", CHANGE, b"SQLite format 3\0")
    )


@pytest.mark.parametrize("length", range(len(LOG + REMOVAL) + 1))
def test_the_settled_part_is_what_a_reader_of_the_cut_file_reads(length):
    """At every length the settled bytes end with a line, say the same, and hold no open transaction."""
    data = (LOG + REMOVAL)[:length]
    settled = settled_bytes(reader(data), 0, length)
    assert parse(data[:settled]) == parse(data)
    assert data[:settled].count(b"105 \n") == data[:settled].count(b"106 ")
    assert settled == 0 or data[settled - 1 : settled] == b"\n"


def test_from_a_settled_place_the_rest_is_looked_at_only():
    """Going on from an earlier answer gives the same as looking at all of it."""
    data = LOG + REMOVAL + CHANGE[:-1]
    asked = []

    def read(offset, size):
        asked.append(offset)
        return data[offset : offset + size]

    assert settled_bytes(read, len(LOG), len(data)) == settled_bytes(reader(data), 0, len(data))
    assert min(asked) == len(LOG)
    assert settled_bytes(reader(data), len(LOG), len(LOG)) == len(LOG)


def test_a_transaction_may_be_larger_than_a_piece():
    """An end in a later piece settles what began in an earlier one; without an end nothing is settled."""
    filler = b"".join(b"103 Customer.a@x A%d %s\n" % (n, b"x" * 5000) for n in range(500))
    assert len(filler) > 2 * classad_log.PIECE_BYTES
    whole = HEAD + b"105 \n" + filler + b"106 \n"
    assert settled_bytes(reader(whole), 0, len(whole)) == len(whole)
    assert settled_bytes(reader(whole), 0, len(whole) - 1) == len(HEAD)
    interrupted = HEAD + b"105 \n" + filler + b"105 \n" + filler
    assert settled_bytes(reader(interrupted), 0, len(interrupted)) == len(HEAD)


def test_a_line_may_be_larger_than_a_piece():
    """The piece grows until the line fits; a last line without an end is not settled."""
    line = b"103 Customer.a@x A " + b"x" * (3 * classad_log.PIECE_BYTES) + b"\n"
    assert settled_bytes(reader(HEAD + line), 0, len(HEAD + line)) == len(HEAD + line)
    assert settled_bytes(reader(HEAD + line), 0, len(HEAD + line) - 1) == len(HEAD)


def test_a_file_that_shrinks_while_it_is_read_ends_the_search():
    """Fewer bytes than the size promised are no endless loop."""
    assert settled_bytes(reader(LOG), 0, len(LOG) + 1000) == len(LOG)
