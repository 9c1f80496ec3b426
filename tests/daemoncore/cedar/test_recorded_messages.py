"""Every recorded message of a real daemon, written and read again: fields, packets, encryption, raw bytes."""

import pytest

from daemoncore.cedar.commands import Command
from daemoncore.cedar.packets import AFTER_AUTHENTICATION, HEADER_BYTES, encode_packets
from daemoncore.cedar.scalars import MessageReader
from daemoncore.cedar.stream import IV_BYTES, TAG_BYTES, Stream
from tests import vector_files

DIRECTIONS = {"c2s": ("client", "server"), "s2c": ("server", "client")}


class Conversation:
    """Both sides of one recorded connection, ours twice, with the recorded secrets."""

    def __init__(self, connection, *, is_bytewise=False):
        self.connection = connection
        self.is_bytewise = is_bytewise
        self.sides = {"client": Stream(AFTER_AUTHENTICATION), "server": Stream(AFTER_AUTHENTICATION)}
        self.has_sent_encrypted = set()

    def replay(self):
        """Play the whole connection; whatever differs from the recording fails an assertion."""
        for entry in self.connection["stream"]:
            if entry.get("event") == "aes_on":
                key = vector_files.session_key(self.connection)
                for direction, (sender, _) in DIRECTIONS.items():
                    self.sides[sender].encrypt_with(
                        key, vector_files.iv(self.connection, direction) or bytes(IV_BYTES)
                    )
            elif entry.get("event") == "reset_digests":
                for side in self.sides.values():
                    side.reset_digests()
            elif "packets" in entry:
                self.replay_message(entry)
            elif "dir" in entry:
                self.replay_unframed(entry)
        for side in self.sides.values():
            side.receive_end()

    def pieces(self, entry):
        """Return the lengths of the plain pieces in which the recorded side cut the message."""
        lengths = [vector_files.packet_length(packet) for packet in entry["packets"]]
        if entry["encrypted"]:
            lengths = [length - TAG_BYTES for length in lengths]
            if entry["dir"] not in self.has_sent_encrypted:
                self.has_sent_encrypted.add(entry["dir"])
                lengths[0] -= IV_BYTES
        return lengths

    def encode(self, sender, body, lengths):
        """Return the message as the recorded side cut it; later encrypted pieces of stock senders are longer."""
        if all(length == lengths[0] for length in lengths[:-1]):
            return sender.encode(body, cut_bytes=lengths[0])
        packets, start = [], 0
        for number, length in enumerate(lengths, 1):
            packets.append(sender._seal(body[start : start + length], number == len(lengths)))
            start += length
        return b"".join(packets)

    def replay_message(self, entry):
        """Write one message, compare it with the recorded packets, and read it on the other side."""
        sender, receiver = (self.sides[name] for name in DIRECTIONS[entry["dir"]])
        assert sender.is_encrypted == entry["encrypted"]
        body = vector_files.body_of(entry)
        data = self.encode(sender, body, self.pieces(entry))
        rest = data
        for packet in entry["packets"]:
            length = HEADER_BYTES + vector_files.packet_length(packet)
            assert vector_files.has_content(packet, rest[:length])
            rest = rest[length:]
        assert rest == b""
        message = self.receive(receiver, data)
        assert message.rest() == body
        check_fields(MessageReader(body, encrypted=entry["encrypted"]), entry["fields"])

    def receive(self, receiver, data):
        """Feed bytes to a side, in one piece or one by one, and return the one message in them."""
        messages = []
        for piece in [data[i : i + 1] for i in range(len(data))] if self.is_bytewise else [data]:
            receiver.receive_data(piece)
            while (message := receiver.next_message()) is not None:
                messages.append(message)
        assert len(messages) == 1
        return messages[0]

    def replay_unframed(self, entry):
        """Pass bytes outside the framing to the other side."""
        receiver = self.sides[DIRECTIONS[entry["dir"]][1]]
        content = vector_files.unframed_bytes(entry)
        receiver.receive_data(content)
        assert receiver.receive_raw(len(content)) == content


def check_fields(reader, fields):
    """Read a message field by field, compare each with the recording, and check that nothing is left."""
    for field in fields:
        match field["type"]:
            case "int":
                assert reader.get_int() == field["value"]
                assert "symbol" not in field or Command[field["symbol"]] == field["value"]
            case "string":
                assert reader.get_string() == field["value"]
            case "bytes" if "bulk" in field:
                reader.get_bytes(field["bulk"]["length"])
            case "bytes":
                assert reader.get_bytes(len(field["value"]) // 2).hex() == field["value"]
            case "double":
                assert reader.get_double() == pytest.approx(field["value"], abs=1e-9)
            case "ad":
                ad = reader.get_ad()
                assert {name: ad.text(name) for name in ad} == field["value"]
                assert list(ad) == list(field["value"])
                assert field["trailer"] == ["", ""]
    reader.end()


@pytest.mark.parametrize("connection", vector_files.conversations())
def test_every_recorded_message_is_written_and_read_byte_for_byte(connection):
    """The recorded fields give the recorded packets, sealed or clear, and the packets give the fields."""
    Conversation(connection).replay()


@pytest.mark.parametrize(
    "name_and_id",
    [
        ("02-negotiated-no-auth", "c1"),
        ("05-idtokens", "c1"),
        ("07-had", None),
        ("10-shared-port", "c1"),
        ("01-raw-had", None),
    ],
    ids=lambda pair: pair[0],
)
def test_bytes_may_arrive_one_by_one(name_and_id):
    """A conversation cut into single bytes is the same conversation."""
    name, identifier = name_and_id
    connections = vector_files.load(name)["connections"]
    connection = connections[0] if identifier is None else vector_files.conversation(name, identifier)
    Conversation(connection, is_bytewise=True).replay()


def test_the_recordings_hold_what_these_tests_are_for():
    """There are clear and encrypted messages of one and of several packets, raw bytes and a shared port in the files."""
    entries = [entry for parameter in vector_files.conversations() for entry in parameter.values[0]["stream"]]
    messages = [entry for entry in entries if "packets" in entry]
    assert len(messages) > 1300
    assert {(entry["encrypted"], len(entry["packets"]) > 1) for entry in messages} == {
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    }
    assert any("unframed_bulk" in entry for entry in entries)
    assert any(entry.get("event") == "reset_digests" for entry in entries)


@pytest.mark.parametrize("connection", vector_files.conversations())
def test_clear_messages_need_no_stream_to_be_encoded(connection):
    """Clear single-packet messages are what `encode_packets` makes of their bodies."""
    for entry in connection["stream"]:
        if "packets" in entry and not entry["encrypted"] and len(entry["packets"]) == 1:
            assert vector_files.has_content(entry["packets"][0], encode_packets(vector_files.body_of(entry)))
