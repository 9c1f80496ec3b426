"""Datagrams: the recorded ones, any order, and bounded memory."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.errors import LimitExceeded, ProtocolError, WireError
from daemoncore.cedar.udp import INCOMPLETE_MESSAGES, MessageId, Reassembler, encode_datagrams
from tests import vector_files

SOURCE = "10.99.0.2"
ID = MessageId(ipv4=0x7F000001, pid=4242, started_seconds=1767225600, number=7)


@pytest.mark.parametrize("connection", vector_files.conversations("udp"))
def test_recorded_datagrams_are_put_together(connection):
    """The datagrams of a real sender give the recorded message, in whatever order they came."""
    for entry in connection["stream"]:
        reassembler = Reassembler()
        messages = [reassembler.receive_datagram(bytes.fromhex(data), SOURCE) for data in entry["datagrams"]]
        assert messages[:-1] == [None] * (len(messages) - 1)
        assert messages[-1].rest() == vector_files.body_of(entry)


@pytest.mark.parametrize("connection", vector_files.conversations("udp"))
def test_recorded_datagrams_are_made_again(connection):
    """The recorded message, cut as it was, gives the recorded datagrams."""
    for entry in connection["stream"]:
        recorded = [bytes.fromhex(data) for data in entry["datagrams"]]
        if len(recorded) == 1:
            assert encode_datagrams(vector_files.body_of(entry), ID) == recorded
            continue
        identity = recorded[0][13:25]
        message_id = MessageId(
            *(
                int.from_bytes(identity[start:end], "big")
                for start, end in ((0, 4), (4, 6), (6, 10), (10, 12))
            )
        )
        made = encode_datagrams(
            vector_files.body_of(entry), message_id, datagram_bytes=max(map(len, recorded))
        )
        assert sorted(made) == sorted(recorded)


@given(st.binary(min_size=8, max_size=3000), st.integers(26, 200), st.randoms(use_true_random=False))
def test_fragments_may_come_in_any_order_and_twice(body, datagram_bytes, order):
    """Reordered and repeated fragments give the message once."""
    datagrams = encode_datagrams(body, ID, datagram_bytes=datagram_bytes)
    if len(datagrams) == 1 and body.startswith((b"MaGic6.0", b"CRAP")):
        return
    order.shuffle(datagrams)
    reassembler = Reassembler()
    doubled = [datagram for datagram in datagrams[:-1] for _ in range(2)] + datagrams[-1:]
    messages = [
        message for data in doubled if (message := reassembler.receive_datagram(data, SOURCE)) is not None
    ]
    assert [message.rest() for message in messages] == [body]


def test_hosts_cannot_mix_in_each_others_messages():
    """Fragments with the same identity from two hosts are two messages."""
    first, second = encode_datagrams(bytes(60), ID, datagram_bytes=60)
    forged = encode_datagrams(b"\xff" * 60, ID, datagram_bytes=60)[1]
    reassembler = Reassembler()
    assert reassembler.receive_datagram(first, SOURCE) is None
    assert reassembler.receive_datagram(forged, "10.99.0.66") is None
    assert reassembler.receive_datagram(second, SOURCE).rest() == bytes(60)


def test_memory_is_bounded():
    """The oldest incomplete message goes when there are too many, and a message that grows too large goes at once."""
    reassembler = Reassembler()
    fragments = [
        encode_datagrams(bytes(60), MessageId(1, 2, 3, number), datagram_bytes=60) for number in range(40)
    ]
    for fragment, _ in fragments:
        assert reassembler.receive_datagram(fragment, SOURCE) is None
    assert len(reassembler._incomplete) == INCOMPLETE_MESSAGES
    assert reassembler.receive_datagram(fragments[39][1], SOURCE).rest() == bytes(60)
    assert reassembler.receive_datagram(fragments[0][1], SOURCE) is None
    large = encode_datagrams(bytes(70_000), ID, datagram_bytes=60_000)
    assert reassembler.receive_datagram(large[0], SOURCE) is None
    with pytest.raises(LimitExceeded, match="65536 bytes"):
        reassembler.receive_datagram(large[1], SOURCE)
    tiny = encode_datagrams(bytes(2000), ID, datagram_bytes=26)
    for fragment in tiny[:1024]:
        assert reassembler.receive_datagram(fragment, SOURCE) is None
    with pytest.raises(LimitExceeded, match="1024 fragments"):
        reassembler.receive_datagram(tiny[1024], SOURCE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "8 to 65536"),
        (b"short", "8 to 65536"),
        (b"MaGic6.0" + bytes(16), "header of 25"),
        (b"CRAP" + bytes(30), "TCP only"),
    ],
)
def test_other_datagrams_are_refused(data, message):
    """Noise, cut headers, and signed or encrypted messages are each refused with a reason."""
    with pytest.raises(ProtocolError, match=message):
        Reassembler().receive_datagram(data, SOURCE)


@given(
    st.lists(
        st.binary(max_size=60) | st.binary(min_size=17, max_size=60).map(lambda data: b"MaGic6.0" + data),
        max_size=30,
    )
)
def test_any_datagrams_give_messages_or_a_wire_error(datagrams):
    """No input makes the reassembler do anything else."""
    reassembler = Reassembler()
    for data in datagrams:
        with contextlib.suppress(WireError):
            reassembler.receive_datagram(data, SOURCE)
    assert len(reassembler._incomplete) <= INCOMPLETE_MESSAGES
