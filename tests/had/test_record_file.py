"""The record on disk: there and back, the rest of a pause, and documents that make no sense."""

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.durable import PAYLOAD_LIMIT_BYTES, SlotStore
from had.events import Directive, Hold, Pause, Record
from had.record_file import RecordError, Stored, decode, encode
from tests.had.speakers import A

seconds = st.floats(0, 2**33, allow_nan=False)
short = st.text(max_size=30)
records = st.builds(
    Record,
    epoch=st.integers(0, 2**31 - 1),
    directive=st.builds(
        Directive,
        version=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
        pause=st.none() | st.builds(Pause, by=short, reason=short, since=seconds, until=st.none()),
        hold=st.none() | st.builds(Hold, member=st.just(A), by=short, reason=short, since=seconds),
    ),
)

FULL = Stored(
    Record(
        385, Directive((258, 3), Pause("root", "upgrade", 1000.0, 1600.0, 600.0), Hold(A, "root", "why", 9.0))
    ),
    instance=4,
)


@given(st.builds(Stored, records, st.integers(0, 2**40)))
def test_a_record_comes_back_as_it_was(stored):
    """Encoding and decoding change nothing."""
    assert decode(encode(stored), 0.0) == stored


@pytest.mark.parametrize(
    ("wall_clock", "left"), [(1000.0, 600.0), (1450.0, 150.0), (1600.0, 0.0), (9999.0, 0.0)]
)
def test_the_rest_of_a_pause_is_counted_from_the_wall_clock(wall_clock, left):
    """The daemon may have been down for a part of the pause: only its end, a Unix time, says what is left."""
    pause = decode(encode(FULL), wall_clock).record.directive.pause
    assert (pause.seconds_left, pause.until) == (left, 1600.0)


def test_a_pause_without_an_end_has_none_after_a_restart():
    """It lasts until `resume`, whatever time it is."""
    pause = Pause("root", "", 1000.0)
    stored = Stored(Record(1, Directive((1, 1), pause)))
    assert decode(encode(stored), 5000.0).record.directive.pause == pause


@pytest.mark.parametrize(
    "text", ["x" * 1024, "\u20ac" * 1024, "\U0001f98a" * 1024, '"' * 1024, "\x01" * 1024]
)
def test_long_texts_of_operators_never_keep_an_epoch_from_the_disk(text, tmp_path):
    """Reasons as long as a message can carry are cut to what fits a slot; everything else is kept."""
    directive = Directive(
        (2**31, 2**31), Pause(text, text, 1.5e9, 1.6e9, 1e6), Hold("[::1]:65535", text, text, 1.5e9)
    )
    stored = Stored(Record(2**31 - 1, directive), instance=10**6)
    assert len(encode(stored)) <= PAYLOAD_LIMIT_BYTES
    store = SlotStore.open(tmp_path / "record")
    store.write(encode(stored))
    read = decode(store.read(), 0.0)
    store.close()
    assert (read.record.epoch, read.instance) == (2**31 - 1, 10**6)
    assert read.record.directive.version == (2**31, 2**31)
    assert text.startswith(read.record.directive.pause.reason)
    assert len(read.record.directive.hold.reason) >= 64


def test_short_texts_are_not_cut():
    """A reason of 900 characters is kept whole when there is room."""
    stored = attrs.evolve(FULL, record=Record(1, Directive((1, 1), Pause("root", "x" * 900, 1.0))))
    assert decode(encode(stored), 0.0) == stored


def test_what_a_later_version_adds_is_ignored():
    """Unknown keys, at every level, do not keep an older daemon from reading the epoch."""
    document = json.loads(encode(FULL))
    directive = document["directive"]
    for part in (document, directive, directive["pause"], directive["hold"]):
        part["novelty"] = {"a": [1]}
    assert decode(json.dumps(document).encode(), 1000.0) == FULL


def damaged(*path, value=None):
    """The full document with one value replaced, or without it."""
    document = json.loads(encode(FULL))
    part = document
    for key in path[:-1]:
        part = part[key]
    if value is None:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"7",
        b"null",
        b"[" * 3000,
        damaged("epoch"),
        damaged("epoch", value=-1),
        damaged("epoch", value=1.5),
        damaged("epoch", value=True),
        damaged("epoch", value="385"),
        damaged("instance"),
        damaged("directive"),
        damaged("directive", value="none"),
        damaged("directive", "version", value=[1]),
        damaged("directive", "version", value=7),
        damaged("directive", "pause", value=[]),
        damaged("directive", "pause", "by"),
        damaged("directive", "pause", "reason", value=5),
        damaged("directive", "pause", "until", value="noon"),
        damaged("directive", "pause", "until", value=float("nan")),
        damaged("directive", "hold", value={}),
        damaged("directive", "hold", "member", value=7),
        damaged("directive", "hold", "since", value=False),
    ],
)
def test_a_document_that_makes_no_sense_is_refused(data):
    """A guess could lead with an epoch that another had: there is one error, and it says what was read."""
    with pytest.raises(RecordError, match="not a record of had"):
        decode(data, 0.0)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(["epoch", "instance", "directive", "version", "pause", "hold", "by"]), x
            )
        ),
    )
)
def test_no_document_raises_anything_else(document):
    """Any JSON is a record or a RecordError."""
    try:
        decode(json.dumps(document).encode(), 0.0)
    except RecordError:
        return
