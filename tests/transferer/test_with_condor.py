"""Our transferers opposite a condor_transferer, whose part is played here from what was recorded of it."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from daemoncore.cedar.packets import AFTER_AUTHENTICATION
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.cedar.stream import Stream
from tests.transferer.copies import Copier, begin, connected, file_entry, streams
from transferer import protocol
from transferer.protocol import FileHeader
from transferer.talk import CHUNK_BYTES

STATE = os.urandom(300_000)


@pytest.fixture
def copier(request):
    """A transferer of the role that the test names, without a task."""
    made = Copier.start(request.param)
    yield made
    made.close()


def sent_by_condor(stream, state=STATE, *, uses_md5=False):
    """Return what a real uploader sends: its answer, the version file, the state file."""
    md5 = hashlib.md5(state).digest() if uses_md5 else None
    header = FileHeader(len(state), None if uses_md5 else hashlib.sha256(state).hexdigest(), md5, CHUNK_BYTES)
    data = [
        stream.encode(MessageWriter(encrypted=stream.is_encrypted).put_int(1)),
        protocol.encode_small_file(stream, b"5\n11", uses_md5=uses_md5),
        protocol.encode_header(stream, header),
    ]
    if not stream.is_encrypted:
        return b"".join([*data, state])
    # Stock senders cut at 4091 bytes.
    chunks = [state[start : start + CHUNK_BYTES] for start in range(0, len(state), CHUNK_BYTES)]
    return b"".join([*data, *(stream.encode(chunk, cut_bytes=4091) for chunk in chunks)])


@pytest.mark.parametrize("copier", ["down"], indirect=True)
@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("uses_md5", [False, True])
def test_what_a_real_uploader_sends_is_taken(copier, tmp_path, is_encrypted, uses_md5):
    """Either digest, clear and encrypted, in packets of the stock size: the version's text and the verified file."""
    client, server = streams(is_encrypted=is_encrypted)
    peer, ours = connected()
    begin(copier, ours, client, protocol="condor", files=[str(tmp_path / "state")], is_fips=not uses_md5)
    peer.sendall(sent_by_condor(server, uses_md5=uses_md5))
    received = copier.event("received")
    assert received["version_text"] == "5\n11"
    assert Path(received["entries"][0]["temporary"]).read_bytes() == STATE
    assert received["entries"][0]["sha256"] == hashlib.sha256(STATE).hexdigest()
    assert copier.ended()[1] == 0
    peer.close()


@pytest.mark.parametrize("copier", ["down"], indirect=True)
@pytest.mark.parametrize(
    ("part", "fault"), [(slice(0, -1), "gone"), (slice(0, 50), "gone"), (slice(0, 0), "gone"), (slice(1, None), "protocol")]
)  # fmt: skip
def test_a_part_of_it_is_not_taken(copier, tmp_path, part, fault):
    """A peer that closes early, or that nobody understands, leaves nothing behind."""
    peer, ours = connected()
    begin(
        copier, ours, Stream(AFTER_AUTHENTICATION), protocol="condor", files=[str(tmp_path / "a" / "state")]
    )
    (tmp_path / "a").mkdir()
    peer.sendall(sent_by_condor(Stream())[part])
    peer.shutdown(socket.SHUT_WR)
    event, status = copier.ended()
    assert (event["result"], event["fault"], status) == ("failed", fault, 1)
    assert not list((tmp_path / "a").iterdir())
    peer.close()


@pytest.mark.parametrize("copier", ["up"], indirect=True)
@pytest.mark.parametrize("size", [0, 300_000])
def test_a_real_downloader_gets_what_it_expects(copier, tmp_path, size):
    """The answer, the version file and the state file with its digest in front; the end is that the peer closes."""
    source = tmp_path / "state"
    source.write_bytes(STATE[:size])
    peer, ours = connected()
    begin(copier, ours, Stream(AFTER_AUTHENTICATION), protocol="condor")
    copier.tell(what="version", version=1, version_text="5\n11", entries=[file_entry(source)])
    expected = sent_by_condor(Stream(), STATE[:size])
    if size == 0:
        expected += protocol.encode_end_of_empty_file(Stream())
    data = b""
    while len(data) < len(expected):
        data += peer.recv(1 << 20)
    assert data == expected
    peer.close()
    sent = copier.event("sent")
    assert (sent["result"], sent["bytes"]) == ("ok", size)
    assert copier.ended()[1] == 0


@pytest.mark.parametrize("copier", ["up"], indirect=True)
def test_a_real_downloader_that_dies_has_nothing(copier, tmp_path):
    """HTCondor's uploader would report success here; ours saw the connection break."""
    source = tmp_path / "state"
    source.write_bytes(b"")
    os.truncate(source, 50_000_000)
    peer, ours = connected()
    begin(copier, ours, Stream(AFTER_AUTHENTICATION), protocol="condor")
    copier.tell(what="version", version=1, version_text="5\n11", entries=[file_entry(source)])
    peer.recv(1000)
    peer.close()
    event, status = copier.ended()
    assert (event["result"], event["fault"], status) == ("failed", "gone", 1)


@pytest.mark.parametrize("copier", ["up"], indirect=True)
def test_a_list_of_files_is_not_for_a_real_downloader(copier, tmp_path):
    """It would install the first file and know nothing of the second; the sentence says what is the matter."""
    (tmp_path / "state").write_bytes(b"x")
    peer, ours = connected()
    begin(copier, ours, Stream(AFTER_AUTHENTICATION), protocol="condor")
    entries = [file_entry(tmp_path / "state", name) for name in ("0", "1")]
    copier.tell(what="version", version=1, version_text="5\n11", entries=entries)
    event, status = copier.ended()
    assert (event["fault"], status) == ("task", 1)
    assert "not a list and not a folder" in event["reason"]
    assert peer.recv(1) == b""
    peer.close()
