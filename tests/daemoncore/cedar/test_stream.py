"""One side of a connection: encryption that binds the handshake, limits, and what hostile bytes can do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.errors import DecryptionError, LimitExceeded, ProtocolError, WireError
from daemoncore.cedar.packets import (
    AFTER_AUTHENTICATION,
    BEFORE_AUTHENTICATION,
    LARGEST_PACKET_BYTES,
    encode_packets,
)
from daemoncore.cedar.stream import LARGEST_CUT_BYTES, Stream
from daemoncore.cedar.stream_state import StreamState

KEY = bytes(range(32))
IV = b"\xff\xff\xff\xfe" + bytes(12)


def pair(limits=AFTER_AUTHENTICATION):
    """Return two sides that have exchanged one clear message each and switched encryption on."""
    client, server = Stream(limits), Stream(limits)
    server.receive_data(client.encode(b"policy"))
    assert server.next_message().rest() == b"policy"
    client.receive_data(server.encode(b"decision"))
    assert client.next_message().rest() == b"decision"
    client.encrypt_with(KEY, IV)
    server.encrypt_with(KEY, b"\0" * 16)
    return client, server


def messages_of(stream, pieces):
    """Return the bodies that come of some pieces, and the sentence of the error that ended it, if one did."""
    bodies = []
    try:
        for piece in pieces:
            stream.receive_data(piece)
            while (message := stream.next_message()) is not None:
                bodies.append(message.rest())
    except WireError as error:
        return bodies, str(error)
    return bodies, None


def test_messages_pass_in_both_directions():
    """Writers and readers of an encrypted connection count their strings, and both directions have their own nonces."""
    client, server = pair()
    for number in range(4):
        server.receive_data(client.encode(client.writer().put_string(f"up {number}")))
        assert server.next_message().get_string() == f"up {number}"
        client.receive_data(server.encode(server.writer().put_string(f"down {number}"), cut_bytes=5))
        assert client.next_message().get_string() == f"down {number}"
    assert client.next_message() is None


def test_the_iv_goes_out_once():
    """The first encrypted packet carries the IV, the next one does not, and no two packets look alike."""
    client, _ = pair()
    first, second = client.encode(b"same"), client.encode(b"same")
    assert first[5:21] == IV
    assert len(first) == 5 + 16 + 4 + 16
    assert len(second) == 5 + 4 + 16
    assert first[21:] != second[5:]


def test_a_changed_handshake_is_found_out():
    """When one byte of the clear conversation was changed on the way, the first encrypted packet does not open."""
    client, server = Stream(), Stream()
    tampered = client.encode(b"policy").replace(b"policy", b"Policy")
    server.receive_data(tampered)
    assert server.next_message().rest() == b"Policy"
    client.encrypt_with(KEY, IV)
    server.encrypt_with(KEY, bytes(16))
    server.receive_data(client.encode(b"secret"))
    with pytest.raises(DecryptionError, match="packet 0"):
        server.next_message()


@pytest.mark.parametrize("position", [0, 5, 25, -1])
def test_a_changed_packet_does_not_open(position):
    """A changed flag, IV, content or tag is found out, and the connection stays unusable."""
    client, server = pair()
    data = bytearray(client.encode(b"content"))
    data[position] ^= 2
    server.receive_data(bytes(data))
    for _ in range(2):
        with pytest.raises(DecryptionError):
            server.next_message()
    server.receive_data(client.encode(b"good"))
    with pytest.raises(DecryptionError):
        server.next_message()


def test_packets_cannot_be_repeated_left_out_or_swapped():
    """Each packet opens in its own place only."""
    client, _ = pair()
    packets = [client.encode(bytes([65 + number])) for number in range(3)]
    for order, read in [((0, 0), [b"A"]), ((0, 2), [b"A"]), ((1,), []), ((0, 1, 1), [b"A", b"B"])]:
        _, server = pair()
        bodies, error = messages_of(server, [packets[number] for number in order])
        assert bodies == read
        assert error


def test_a_packet_cannot_be_reflected():
    """What a side has sent does not open when it comes back to it."""
    client, _ = pair()
    _, error = messages_of(client, [client.encode(b"hello")])
    assert "does not fit" in error


def test_clear_packets_are_refused_once_encryption_is_on():
    """A clear message, however short, is not taken for an encrypted one."""
    for body in (b"x", b"x" * 16, b"x" * 32, b"x" * 33, b"x" * 100):
        _, server = pair()
        _, error = messages_of(server, [encode_packets(body)])
        assert error


def test_bytes_that_arrived_early_are_decrypted():
    """Encrypted packets may lie in the buffer before the key is known."""
    client, server = Stream(), Stream()
    clear = client.encode(b"hello")
    client.encrypt_with(KEY, IV)
    server.receive_data(clear + client.encode(b"secret") + client.encode(b"more"))
    assert server.next_message().rest() == b"hello"
    server.encrypt_with(KEY, bytes(16))
    assert server.next_message().rest() == b"secret"
    assert server.next_message().rest() == b"more"
    assert server.next_message() is None


def test_a_shared_port_server_leaves_no_trace():
    """What a shared port server took is forgotten by both sides, or the first packet does not open."""
    for forgets, opens in ((True, True), (False, False)):
        client, server = Stream(), Stream()
        client.encode(b"75 had")
        if forgets:
            client.reset_digests()
        server.receive_data(client.encode(b"policy"))
        server.next_message()
        client.encrypt_with(KEY, IV)
        server.encrypt_with(KEY, bytes(16))
        bodies, _ = messages_of(server, [client.encode(b"secret")])
        assert bodies == ([b"secret"] if opens else [])


def test_strangers_send_little_and_members_much():
    """Many small packets do not get around the limit of a message; raised limits do."""
    part = b"\0" + (60_000).to_bytes(4, "big") + bytes(60_000)
    _, error = messages_of(Stream(), [part, part])
    assert "65536 bytes here (got 120000 so far)" in error
    trusted = Stream(BEFORE_AUTHENTICATION)
    trusted.raise_limits(AFTER_AUTHENTICATION)
    assert messages_of(trusted, [part, part, encode_packets(b"end")]) == ([bytes(120_000) + b"end"], None)
    _, error = messages_of(
        trusted, [b"\0" + LARGEST_PACKET_BYTES.to_bytes(4, "big") + bytes(LARGEST_PACKET_BYTES)] * 5
    )
    assert "4194304" in error


def test_the_largest_piece_fits_a_packet():
    """By default a message is cut so that even the first encrypted packet is one that HTCondor accepts."""
    client, server = pair()
    data = client.encode(bytes(LARGEST_CUT_BYTES + 1))
    assert int.from_bytes(data[1:5], "big") == LARGEST_PACKET_BYTES
    assert data[0] == 0
    server.receive_data(data)
    assert server.next_message().remaining == LARGEST_CUT_BYTES + 1


def test_raw_bytes_come_between_messages():
    """The content of a file passes beside the framing, in any portions."""
    client, server = Stream(), Stream()
    server.receive_data(client.encode(b"7") + b"\xff" * 7 + client.encode(b"next"))
    assert server.next_message().rest() == b"7"
    assert server.receive_raw(3) + server.receive_raw(4) == b"\xff" * 7
    assert server.next_message().rest() == b"next"
    assert server.receive_raw(10) == b""


def test_the_end_is_clean_only_between_messages():
    """A connection closed within a packet or a message is an error, between messages it is not."""
    stream = Stream()
    stream.receive_end()
    stream.receive_data(b"\0\0\0\0\x01x")
    assert stream.next_message() is None
    with pytest.raises(ProtocolError, match="after 1 bytes"):
        stream.receive_end()
    stream = Stream()
    stream.receive_data(b"\x01\0")
    with pytest.raises(ProtocolError, match="after 2 bytes"):
        stream.receive_end()


def test_a_key_does_not_outlive_its_counter():
    """Before a nonce would come again, the connection ends instead."""
    client, _ = pair()
    client._outgoing._count = 2**32 - 1
    with pytest.raises(LimitExceeded, match="new connection"):
        client.encode(b"x")


def test_a_writer_of_the_wrong_kind_is_refused():
    """A message begun before encryption was switched on cannot be sent after it."""
    stream = Stream()
    writer = stream.writer().put_int(1)
    stream.encrypt_with(KEY, IV)
    with pytest.raises(AssertionError):
        stream.encode(writer)
    with pytest.raises(AssertionError):
        stream.encrypt_with(KEY, IV)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=4),
    st.integers(1, 50),
    st.binary(max_size=40),
    st.booleans(),
)
def test_it_does_not_matter_how_the_bytes_arrive(bodies, cut_bytes, noise, is_encrypted):
    """Whole and byte by byte, the same bytes give the same messages and the same error."""

    def side():
        stream = Stream()
        if is_encrypted:
            stream.encrypt_with(KEY, IV)
        return stream

    sender = side()
    data = b"".join(sender.encode(body, cut_bytes=cut_bytes) for body in bodies) + noise
    whole = messages_of(side(), [data])
    assert whole[0][: len(bodies)] == bodies
    assert messages_of(side(), [data[i : i + 1] for i in range(len(data))]) == whole


@given(st.binary(), st.booleans())
def test_any_bytes_give_messages_or_a_wire_error(data, is_encrypted):
    """No input makes a stream do anything else, encrypted or not."""
    stream = Stream()
    if is_encrypted:
        stream.encrypt_with(KEY, IV)
    messages_of(stream, [data])


def handed_over(stream):
    """Return the stream as another process gets it, by way of JSON."""
    return Stream.take_over(
        StreamState.from_document(json.loads(json.dumps(stream.hand_over().to_document())))
    )


@pytest.mark.parametrize("sent_before", [0, 1, 3])
@pytest.mark.parametrize("received_before", [0, 1, 3])
def test_an_encrypted_stream_goes_on_in_another_process(sent_before, received_before):
    """Whoever takes a stream over reads and writes what its predecessor would have, from the first packet or a later one."""
    client, server = pair()
    for _ in range(received_before):
        server.receive_data(client.encode(b"earlier"))
        assert server.next_message().rest() == b"earlier"
    for _ in range(sent_before):
        client.receive_data(server.encode(b"answer"))
        assert client.next_message().rest() == b"answer"
    early = client.encode(b"early")
    server.receive_data(early[:7])
    successor = handed_over(server)
    successor.receive_data(early[7:])
    assert successor.next_message().rest() == b"early"
    assert successor.is_encrypted
    for text in (b"one", b"two"):
        client.receive_data(successor.encode(text))
        assert client.next_message().rest() == text


def test_a_clear_stream_goes_on_in_another_process():
    """The limits and the bytes that came too early go with it, and it stays clear: nobody heard the whole handshake."""
    server = Stream(AFTER_AUTHENTICATION)
    server.receive_data(encode_packets(b"question") + b"raw")
    successor = handed_over(server)
    assert successor.next_message().rest() == b"question"
    assert successor.receive_raw(10) == b"raw"
    assert successor.hand_over().limits == AFTER_AUTHENTICATION
    with pytest.raises(AssertionError, match="predecessor"):
        handed_over(Stream()).encrypt_with(KEY, IV)


def test_a_stream_that_was_handed_over_is_not_used_any_more():
    """Two users of one key would repeat its nonces."""
    _, server = pair()
    server.hand_over()
    with pytest.raises(AssertionError, match="another process"):
        server.encode(b"hello")
    with pytest.raises(AssertionError, match="another process"):
        server.next_message()


def test_a_stream_is_handed_over_between_messages():
    """A peer that has sent a part of a message, or no message at all, keeps its connection from being handed over."""
    half = Stream()
    half.receive_data(encode_packets(b"abcd", cut_bytes=2)[:7])
    assert half.next_message() is None
    with pytest.raises(ProtocolError, match="2 bytes of a message"):
        half.hand_over()
    broken = Stream()
    broken.receive_data(b"GET / HTTP/1.0")
    with pytest.raises(ProtocolError):
        broken.next_message()
    with pytest.raises(ProtocolError):
        broken.hand_over()


def test_the_key_is_not_shown():
    """A state in a traceback or a log does not give the key away."""
    client, _ = pair()
    state = client.hand_over()
    assert KEY.hex() not in repr(state)
    assert repr(KEY) not in repr(state)
