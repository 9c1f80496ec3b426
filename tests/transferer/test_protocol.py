"""HTCondor's file transfer: every recorded one again, byte for byte, in both roles; and what a bad peer can do."""

import hashlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.conversation import read_int
from daemoncore.cedar.errors import LimitExceeded, ProtocolError, WireError
from daemoncore.cedar.packets import AFTER_AUTHENTICATION, encode_packets
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.cedar.stream import TAG_BYTES, Stream
from tests import vector_files
from transferer import protocol
from transferer.protocol import FileHeader, Terms
from transferer.talk import CHUNK_BYTES, Begun, DigestMismatch, Piece, Raw, Wanted

TERMS = Terms(maximum_bytes=1_000_000, is_fips=False)
DIRECTIONS = {"c2s": "client", "s2c": "server"}


def transfers():
    """Return every recorded connection in which files were transferred."""
    return [
        parameter
        for parameter in vector_files.conversations()
        if any("state file: header" in entry.get("what", "") for entry in parameter.values[0]["stream"])
    ]


def is_of_transfer(entry):
    """Say whether a recorded entry belongs to the transfer, not to the handshake before it."""
    return "file:" in entry.get("what", "") or entry.get("what") == "transfer reply"


@attrs.define
class Taken:
    """What a downloader's conversation has yielded so far, driven by whatever bytes come."""

    stream: Stream
    talk: object
    files: dict = attrs.field(factory=dict)
    want: object = None
    result: object = None
    begun: int = -1

    def start(self):
        """Let the conversation say what it wants first."""
        self.step(None)
        return self

    def step(self, reply):
        """Give the conversation what it waits for, and store what it yields."""
        try:
            want = self.talk.send(reply)
            while isinstance(want, (Begun, Piece)):
                if isinstance(want, Begun):
                    self.begun = want.index
                    self.files[want.index] = b""
                else:
                    self.files[self.begun] += bytes(want.data)
                want = next(self.talk)
            self.want = want
        except StopIteration as finished:
            self.result = finished.value
            self.want = None

    def receive(self, data):
        """Take bytes from the network."""
        self.stream.receive_data(data)
        while self.want is not None:
            if isinstance(self.want, Raw):
                reply = self.stream.receive_raw(self.want.most_bytes) or None
            else:
                assert self.want is Wanted.MESSAGE
                reply = self.stream.next_message()
            if reply is None:
                return
            self.step(reply)


def downloader(*, is_call_back=True, terms=TERMS, stream=None):
    """Return a downloader's conversation that has said what it wants."""
    stream = stream or Stream(AFTER_AUTHENTICATION)
    return Taken(stream, protocol.receive_files(stream, terms, is_call_back=is_call_back)).start()


class Sides:
    """Both sides of a recorded connection, brought to where the transfer begins."""

    def __init__(self, connection):
        self.connection = connection
        self.streams = {side: Stream(AFTER_AUTHENTICATION) for side in ("client", "server")}
        self.uploader = next(
            DIRECTIONS[entry["dir"]] for entry in connection["stream"] if is_of_transfer(entry)
        )

    def other(self, side):
        """Return the other side's stream."""
        return self.streams["server" if side == "client" else "client"]

    def play(self, entry):
        """Play one entry that is no part of the transfer."""
        if entry.get("event") == "aes_on":
            for direction, side in DIRECTIONS.items():
                iv = vector_files.iv(self.connection, direction) or bytes(16)
                self.streams[side].encrypt_with(vector_files.session_key(self.connection), iv)
        elif entry.get("event") == "reset_digests":
            for stream in self.streams.values():
                stream.reset_digests()
        elif "packets" in entry:
            sender = DIRECTIONS[entry["dir"]]
            body = vector_files.body_of(entry)
            self.other(sender).receive_data(self.streams[sender].encode(body))
            assert self.other(sender).next_message().rest() == body


def contents_of(connection):
    """Return the version text and the state that a recorded connection carried."""
    files = {"version": b"", "state": b""}
    for entry in connection["stream"]:
        if "content" in entry.get("what", ""):
            piece = (
                vector_files.unframed_bytes(entry) if "packets" not in entry else vector_files.body_of(entry)
            )
            files[entry["what"].split()[0]] += piece
    return files["version"], files["state"]


def cut_like(entry, stream, body):
    """Return a message cut as the recorded side cut it: stock senders fill a buffer, whose first piece is shorter."""
    packets, start = [], 0
    for number, packet in enumerate(entry["packets"], 1):
        length = vector_files.packet_length(packet) - TAG_BYTES
        packets.append(stream._seal(body[start : start + length], number == len(entry["packets"])))
        start += length
    assert start == len(body)
    return b"".join(packets)


def encoded_content(stream, entry):
    """Return one recorded piece of content as our uploader sends it."""
    if "packets" not in entry:
        return vector_files.unframed_bytes(entry)
    if entry["what"].endswith("end of empty file"):
        return protocol.encode_end_of_empty_file(stream)
    return cut_like(entry, stream, vector_files.body_of(entry))


def header_of(entry, size):
    """Return the header that a recorded message is."""
    values = {field["name"]: field["value"] for field in entry["fields"]}
    md5 = bytes.fromhex(values["md5_or_zero"])
    return FileHeader(size, values.get("sha256_hex"), md5 if any(md5) else None, CHUNK_BYTES)


@pytest.mark.parametrize("connection", transfers())
def test_a_recorded_upload_is_sent_again_byte_for_byte(connection):
    """Our uploader's messages are those of the recording, whoever sent them there."""
    sides = Sides(connection)
    stream = sides.streams[sides.uploader]
    version, state = contents_of(connection)
    for entry in connection["stream"]:
        if not is_of_transfer(entry):
            sides.play(entry)
            continue
        what = entry["what"]
        if what == "transfer reply":
            data = protocol.encode_willing(stream)
        elif what.endswith("header"):
            content = version if what.startswith("version") else state
            header = header_of(entry, len(content))
            if header.md5:
                assert hashlib.md5(content).digest() == header.md5
            data = protocol.encode_header(stream, header)
        else:
            data = encoded_content(stream, entry)
        if "packets" not in entry:
            assert data == vector_files.unframed_bytes(entry)
            continue
        for packet in entry["packets"]:
            length = 5 + vector_files.packet_length(packet)
            assert vector_files.has_content(packet, data[:length])
            data = data[length:]
        assert data == b""


@pytest.mark.parametrize("piece_bytes", [1_000_000, 1])
@pytest.mark.parametrize("connection", transfers())
def test_a_recorded_upload_is_received(connection, piece_bytes):
    """Our downloader takes what the recorded uploader sent, in one piece or byte by byte, and finds it whole."""
    sides = Sides(connection)
    sender = sides.streams[sides.uploader]
    version, state = contents_of(connection)
    if piece_bytes == 1 and len(state) > 1000:
        piece_bytes = 4099
    data = b""
    has_reply = False
    for entry in connection["stream"]:
        if not is_of_transfer(entry):
            sides.play(entry)
            continue
        has_reply = has_reply or entry["what"] == "transfer reply"
        data += (
            encoded_content(sender, entry)
            if "content" in entry["what"] or "empty" in entry["what"]
            else sender.encode(vector_files.body_of(entry))
        )
    taken = downloader(is_call_back=not has_reply, stream=sides.other(sides.uploader))
    for start in range(0, len(data), piece_bytes):
        taken.receive(data[start : start + piece_bytes])
    text, header = taken.result
    assert text.encode() == version
    assert taken.files[0] == state
    assert header.size == len(state)


def test_the_recordings_hold_what_these_tests_are_for():
    """There are clear and encrypted transfers, both commands, both digests, an empty file and one of several chunks."""
    entries = [entry for parameter in transfers() for entry in parameter.values[0]["stream"]]
    what = {(entry.get("what"), entry.get("encrypted")) for entry in entries}
    assert len(transfers()) >= 10
    assert {("state file: header", True), ("state file: header", False), ("transfer reply", False)} <= what
    assert ("state file: end of empty file", True) in what


def test_the_request_is_the_recorded_one():
    """The payload of command 806 is an empty string."""
    entries = vector_files.conversation("08-replication-real-leader", "o10")["stream"]
    payload = next(entry for entry in entries if entry.get("what") == "payload")
    stream = Stream()
    stream.receive_data(protocol.encode_request(Stream()))
    assert stream.next_message().get_string() == payload["fields"][0]["value"]


def clear_file(content, **changes):
    """Return a file as it goes over a clear connection, with some of its header changed."""
    header = FileHeader(len(content), hashlib.sha256(content).hexdigest(), None, CHUNK_BYTES)
    return protocol.encode_header(Stream(), attrs.evolve(header, **changes)) + content


VERSION = clear_file(b"7\n9")


def test_a_small_file_is_one_file():
    """What encodes small files agrees with what receives them, with either digest."""
    for uses_md5 in (False, True):
        taken = downloader()
        for content in (b"7\n9", b"state"):
            taken.receive(protocol.encode_small_file(Stream(), content, uses_md5=uses_md5))
        assert taken.result[0] == "7\n9"
        assert taken.files == {0: b"state"}


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        (VERSION + clear_file(b"state", sha256="0" * 64), DigestMismatch, "not the one announced"),
        (VERSION + clear_file(b"state", sha256=""), ProtocolError, "without a digest"),
        (VERSION + clear_file(b"state", sha256="x" * 64), ProtocolError, "without a digest"),
        (VERSION + clear_file(b"state", md5=b"\1" * 16), DigestMismatch, "state file"),
        (VERSION + clear_file(b"", size=2_000_000), LimitExceeded, "1000000 bytes here"),
        (VERSION + clear_file(b"", size=-1), ProtocolError, "cannot have -1"),
        (VERSION + clear_file(b"") + encode_packets(b"\0" * 8), ProtocolError, "666"),
        (clear_file(b"1" * 5000), LimitExceeded, "4096"),
    ],
)
def test_a_bad_file_is_refused(data, error, sentence):
    """A wrong, missing or useless digest, and a size that is none or too much, end the transfer with a sentence."""
    with pytest.raises(error, match=sentence):
        downloader().receive(data)


def test_md5_is_no_digest_where_it_is_forbidden():
    """HTCondor would take such a file unverified; the sentence names the setting."""
    data = protocol.encode_small_file(Stream(), b"7\n9", uses_md5=True)
    with pytest.raises(ProtocolError, match="HAD_FIPS_MODE"):
        downloader(terms=Terms(1000, is_fips=True)).receive(data)


def test_an_answer_that_is_not_1_is_a_refusal():
    """A daemon that does not send its files may say so."""
    with pytest.raises(ProtocolError, match="answered 0"):
        downloader(is_call_back=False).receive(Stream().encode(MessageWriter().put_int(0)))
    stream = Stream()
    stream.receive_data(protocol.encode_willing(Stream()))
    assert read_int(stream.next_message()) == protocol.WILLING


@pytest.mark.parametrize(("chunk", "length"), [(0, 1), (100, 101), (3_000_000, 1)])
def test_chunks_keep_to_what_was_announced(chunk, length):
    """On an encrypted connection a chunk longer than announced, or of an absurd size, is refused."""
    client, server = Stream(AFTER_AUTHENTICATION), Stream(AFTER_AUTHENTICATION)
    for stream in (client, server):
        stream.encrypt_with(bytes(32), bytes(16))
    taken = downloader(stream=server)
    taken.receive(protocol.encode_small_file(client, b"7\n9"))
    content = b"x" * 200
    header = FileHeader(200, hashlib.sha256(content).hexdigest(), None, chunk)
    with pytest.raises(ProtocolError, match="chunk"):
        taken.receive(protocol.encode_header(client, header) + client.encode(content[:length]))


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_make_progress_or_a_wire_error(data, is_call_back):
    """Nothing that a peer sends raises anything else, or is taken for a file that it is not."""
    taken = downloader(is_call_back=is_call_back)
    try:
        taken.receive(data)
    except WireError:
        return
    assert taken.result is None


@given(st.data())
def test_a_changed_transfer_is_never_taken_for_the_right_one(data):
    """Whatever byte of a transfer is another one, the files come out as they were or not at all."""
    good = VERSION + clear_file(b"some state")
    position = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[position] ^= data.draw(st.integers(1, 255))
    taken = downloader()
    try:
        taken.receive(bytes(changed))
    except WireError:
        return
    assert taken.result is None or (taken.result[0], taken.files[0]) == ("7\n9", b"some state")
