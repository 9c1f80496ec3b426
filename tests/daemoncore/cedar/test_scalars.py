"""What a message is made of: every kind survives, and every broken body is a `WireError`."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.errors import LimitExceeded, ProtocolError, WireError
from daemoncore.cedar.scalars import MessageReader, MessageWriter

both = pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])


def reread(writer):
    """Return a reader of what a writer has put."""
    return MessageReader(writer.body(), encrypted=writer.is_encrypted)


def test_integers_are_eight_bytes_big_endian():
    """An integer, a boolean and a number below zero look like HTCondor's."""
    assert MessageWriter().put_int(60010).put_int(True).put_int(-1).body().hex() == (
        "000000000000ea6a" + "0000000000000001" + "ffffffffffffffff"
    )
    with pytest.raises(ValueError, match="64 bits"):
        MessageWriter().put_int(2**63)


def test_strings_end_with_nul_and_have_a_length_when_encrypted():
    """The clear form is the bytes and a NUL; the encrypted one is preceded by their number."""
    assert MessageWriter().put_string("ab").put_string("").body() == b"ab\0\0"
    assert MessageWriter(encrypted=True).put_string("ab").body() == b"\0\0\0\0\0\0\0\x03ab\0"
    assert MessageWriter().put_string(None).body() == b"\xad"
    assert MessageWriter(encrypted=True).put_string(None).body() == b"\0\0\0\0\0\0\0\x01\xad"


@both
def test_a_missing_string_is_not_an_empty_one(encrypted):
    """None and the empty string come back as they were."""
    reader = reread(MessageWriter(encrypted=encrypted).put_string(None).put_string("").put_string(None))
    assert [reader.get_string() for _ in range(3)] == [None, "", None]
    reader.end()
    with pytest.raises(ProtocolError, match="missing"):
        reread(MessageWriter(encrypted=encrypted).put_string(None)).get_text()


@both
def test_what_the_wire_cannot_carry_is_a_value_error(encrypted):
    """A NUL within a string and a string that would read as a missing one are refused by the writer."""
    for text in ("a\0b", "\udcad", "\udcadx"):
        with pytest.raises(ValueError, match="0xAD"):
            MessageWriter(encrypted=encrypted).put_string(text)


@both
@given(data=st.binary().filter(lambda data: b"\0" not in data and data[:1] != b"\xad"))
def test_any_bytes_survive_as_a_string(encrypted, data):
    """Bytes that are no UTF-8 are read, passed on as text, and written unchanged."""
    body = (
        MessageWriter(encrypted=encrypted)
        .put_bytes(b"")
        .put_string(data.decode("utf-8", "surrogateescape"))
        .body()
    )
    assert body.endswith(data + b"\0")
    text = MessageReader(body, encrypted=encrypted).get_string()
    assert MessageWriter(encrypted=encrypted).put_string(text).body() == body


@pytest.mark.parametrize("number", [0.0, 1.0, -1.0, 0.123456, 1e-300, 1e300, 1767225600.25])
def test_reals_keep_thirty_one_bits(number):
    """A real number survives to about nine digits; its two integers are HTCondor's."""
    assert reread(MessageWriter().put_double(number)).get_double() == pytest.approx(number, rel=1e-9)
    reader = reread(MessageWriter().put_double(0.123456))
    assert (reader.get_int(), reader.get_int()) == (2120957928, -3)


def test_reals_are_finite():
    """Infinities are refused in writing, and a number too large is the peer's fault in reading."""
    for number in (math.inf, -math.inf, math.nan):
        with pytest.raises(ValueError, match="finite"):
            MessageWriter().put_double(number)
    with pytest.raises(ProtocolError, match="too large"):
        reread(MessageWriter().put_int(2147483647).put_int(2**40)).get_double()
    assert reread(MessageWriter().put_int(1).put_int(-(2**60))).get_double() == 0.0


@both
def test_a_message_is_read_exactly(encrypted):
    """Mixed content comes back in order, the count of what remains is right, and leftovers are an error."""
    ad = ClassAd({"Name": "a\\b", "HadList": "<10.0.0.1:51450>", "HadSelfID": 1, "HadIsActive": False})
    writer = MessageWriter(encrypted=encrypted).put_int(700).put_ad(ad).put_bytes(b"raw\0")
    reader = reread(writer)
    assert reader.remaining == len(writer.body())
    assert reader.get_int() == 700
    assert reader.get_ad() == ad
    assert reader.remaining == 4
    with pytest.raises(ProtocolError, match="4 bytes more than expected"):
        reader.end()
    assert reader.rest() == b"raw\0"
    reader.end()


@pytest.mark.parametrize(
    ("body", "encrypted", "read", "message"),
    [
        (b"\0" * 7, False, "get_int", "8 bytes, 7 are left"),
        (b"", False, "get_string", "does not end"),
        (b"abc", False, "get_string", "does not end"),
        (b"\0" * 7 + b"\x03ab", True, "get_string", "go on for 3 bytes"),
        (b"\0" * 7 + b"\x02ab", True, "get_string", "only NUL"),
        (b"\0" * 7 + b"\x03a\0\0", True, "get_string", "only NUL"),
        (b"\0" * 8, True, "get_string", "only NUL"),
        (b"\xff" * 8, True, "get_string", "go on for -1 bytes"),
        (b"\xff" * 8, False, "get_ad", "cannot have -1 attributes"),
        (b"\x7f" + b"\xff" * 7 + b"a = 1\0", False, "get_ad", "in 6 bytes"),
        (b"\0" * 7 + b"\x01\xad\0\0", False, "get_ad", "missing"),
        (b"\0" * 7 + b"\x01nothing\0\0\0", False, "get_ad", "Name = value"),
        (b"\0" * 7 + b"\x01a = 1\0\0", False, "get_ad", "does not end"),
    ],
)
def test_a_broken_body_says_what_is_wrong_with_it(body, encrypted, read, message):
    """Each way in which a body can end early or lie about its lengths is a ProtocolError with the numbers."""
    with pytest.raises(ProtocolError, match=message):
        getattr(MessageReader(body, encrypted=encrypted), read)()


def test_a_strangers_ad_is_refused_by_its_count_alone():
    """Before authentication, a claim of more than a hundred attributes is refused before any is read."""
    with pytest.raises(LimitExceeded, match="got 101"):
        reread(MessageWriter().put_int(101)).get_ad(restricted=True)


@both
@given(
    body=st.binary(),
    calls=st.lists(st.sampled_from(["get_int", "get_string", "get_text", "get_double", "get_ad", "end"])),
)
def test_any_body_gives_values_or_a_wire_error(encrypted, body, calls):
    """Whatever is asked of whatever bytes, the answer is a value or a WireError."""
    reader = MessageReader(body, encrypted=encrypted)
    for call in calls:
        with contextlib.suppress(WireError):
            getattr(reader, call)()
    assert 0 <= reader.remaining <= len(body)
