"""Packets: their form, their limits, and that it does not matter how the network cuts the stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.errors import LimitExceeded, ProtocolError, WireError
from daemoncore.cedar.packets import (
    AFTER_AUTHENTICATION,
    BEFORE_AUTHENTICATION,
    LARGEST_PACKET_BYTES,
    Limits,
    PacketReader,
    encode_packets,
)


def outcome(reader, pieces):
    """Return the packets that come of some pieces, and the error that ended it, if one did."""
    packets = []
    for piece in pieces:
        reader.receive_data(piece)
        try:
            while (packet := reader.next_packet()) is not None:
                packets.append(packet)
        except WireError as error:
            return packets, str(error)
    return packets, None


def test_a_short_message_is_one_packet():
    """The header is the end flag and the length, big-endian."""
    assert encode_packets(b"hello") == b"\x01\0\0\0\x05hello"


def test_a_long_message_is_cut():
    """All packets but the last are full and say that more follow."""
    assert (
        encode_packets(b"abcdefg", cut_bytes=3)
        == b"\0\0\0\0\x03abc" + b"\0\0\0\0\x03def" + b"\x01\0\0\0\x01g"
    )
    assert encode_packets(b"abcdef", cut_bytes=3) == b"\0\0\0\0\x03abc" + b"\x01\0\0\0\x03def"


def test_there_are_no_empty_messages():
    """An empty message is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least one byte"):
        encode_packets(b"")


@pytest.mark.parametrize("data", [b"\x0b", b"GET / HTTP/1.0\r\n", b"\x16\x03\x01", b"\xff"])
def test_a_stranger_is_recognised_by_the_first_byte(data):
    """HTTP, TLS and noise are refused at once, without waiting for more."""
    reader = PacketReader(BEFORE_AUTHENTICATION)
    reader.receive_data(data[:1])
    with pytest.raises(ProtocolError, match="end flag"):
        reader.next_packet()


@pytest.mark.parametrize("flag", [1, 2, 10])
def test_any_flag_up_to_ten_ends_a_message(flag):
    """As HTCondor does, every end flag but 0 is taken for the last packet."""
    reader = PacketReader(BEFORE_AUTHENTICATION)
    reader.receive_data(bytes([flag]) + b"\0\0\0\x01x")
    packet = reader.next_packet()
    assert packet.is_last
    assert packet.header[0] == flag


@pytest.mark.parametrize("length", [b"\0\0\0\0", b"\x80\0\0\0", b"\xff\xff\xff\xff"])
def test_lengths_are_positive(length):
    """Empty packets and lengths below zero are refused as soon as the header is there."""
    reader = PacketReader(AFTER_AUTHENTICATION)
    reader.receive_data(b"\x01" + length)
    with pytest.raises(ProtocolError, match="positive"):
        reader.next_packet()


def test_the_limit_is_checked_before_the_body_comes():
    """A packet that is too long costs five bytes, not its length; a trusted peer may send up to 1 MiB."""
    header = b"\x01" + (64 * 1024 + 1).to_bytes(4, "big")
    reader = PacketReader(BEFORE_AUTHENTICATION)
    reader.receive_data(header)
    with pytest.raises(LimitExceeded, match="65536 bytes here"):
        reader.next_packet()
    reader = PacketReader(AFTER_AUTHENTICATION)
    reader.receive_data(header)
    assert reader.next_packet() is None
    reader = PacketReader(AFTER_AUTHENTICATION)
    reader.receive_data(b"\x01" + (LARGEST_PACKET_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(LimitExceeded, match="1048576 bytes"):
        reader.next_packet()


def test_raw_bytes_between_packets_are_handed_out():
    """What follows a packet outside the framing can be taken without being looked at."""
    reader = PacketReader(BEFORE_AUTHENTICATION)
    reader.receive_data(encode_packets(b"file") + b"\xff\xfe\xfd" + encode_packets(b"next"))
    assert reader.next_packet().body == b"file"
    assert reader.take_raw(3) == b"\xff\xfe\xfd"
    assert reader.next_packet().body == b"next"
    assert reader.buffered_bytes == 0


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=5),
    st.integers(1, 20),
    st.binary(max_size=8),
    st.data(),
)
def test_it_does_not_matter_how_the_stream_is_cut(bodies, cut_bytes, noise, data):
    """Whole, byte by byte and cut anywhere, the same bytes give the same packets and the same error."""
    stream = b"".join(encode_packets(body, cut_bytes=cut_bytes) for body in bodies) + noise
    at = data.draw(st.integers(0, len(stream)))
    limits = Limits(packet_bytes=40, message_bytes=40)
    whole = outcome(PacketReader(limits), [stream])
    assert outcome(PacketReader(limits), [stream[i : i + 1] for i in range(len(stream))]) == whole
    assert outcome(PacketReader(limits), [stream[:at], stream[at:]]) == whole
    assert b"".join(packet.body for packet in whole[0]).startswith(b"".join(bodies))


@given(st.binary())
def test_any_bytes_give_packets_or_a_wire_error(stream):
    """No input makes the reader do anything else."""
    outcome(PacketReader(BEFORE_AUTHENTICATION), [stream])
