"""What the replication daemon says arrives here whole, though hadctl has the keys a second time."""

import attrs
import pytest

from had.ctl import documents
from had.ctl.replica_status import Conflict, Held, Point, ReplicaStatus
from replication.status import Pending, Status, Transfer
from replication.status import Point as TheirPoint
from replication.version import Point as LineagePoint
from tests.had.ctl.replicated import NOW, RA, RB, answer, conflict, replica

TRANSFER = Transfer("upload", RB, "moving", TheirPoint(513, 8), 10, 100, 12.5, 7.2, NOW)


def keys(kind, prefix=""):
    """Every key of an attrs class, under the name that it has in a document."""
    return {prefix + field.metadata.get("key", field.name) for field in attrs.fields(kind)}


def test_every_key_of_the_daemon_is_known_here():
    """The two descriptions of the document have the same keys, so no value is passed over in silence."""
    assert keys(ReplicaStatus) == keys(Status)
    full = replica(RA, transfers=(TRANSFER,), pending=(Pending("x", "merge"),), conflicts=(conflict(),))
    read = answer(full).status
    for name in ("version", "replicas", "transfers", "files", "pending", "history"):
        mine, theirs = getattr(read, name), getattr(full, name)
        mine, theirs = (mine[0], theirs[0]) if isinstance(mine, tuple) else (mine, theirs)
        assert keys(type(mine)) == keys(type(theirs)), name


def test_a_whole_status_is_read():
    """Versions, lineages, transfers and kept states come out as what was said."""
    kept = conflict(lineage=(LineagePoint(257, 14),), exported_to="/tmp/x")
    read = answer(
        replica(RA, conflicts=(kept,), transfers=(TRANSFER,), pending=(Pending("a", "restore"),))
    ).status
    assert read.version.point == Point(513, 8)
    assert read.version.lineage == (Point(385, 3), Point(257, 14))
    (one,) = read.conflicts
    assert (one.id, one.version.lineage, one.files[0].size_bytes) == (kept["id"], (Point(257, 14),), 1000)
    assert (one.is_settled, one.reason) == (True, "the leader holds another state")
    assert (read.transfers[0].seconds_left, read.transfers[0].version) == (7.2, Point(513, 8))
    assert read.pending[0].act == "restore"
    assert read.history[0].source == "version_requesting"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": {"gid": 1}}, r"version\.clock is missing"),
        ({"version": [1, 2]}, "version is no object"),
        ({"conflicts": [{"id": "x"}]}, r"conflicts\[0\]\.version is missing"),
        (
            {"conflicts": [conflict() | {"files": [["0", "big", "d", 1]]}]},
            r"files\[0\]\.size_bytes is not of kind int",
        ),
        ({"conflicts": [conflict() | {"files": [["0"]]}]}, r"files\[0\]\.size_bytes is missing"),
        ({"transfers": ["x"]}, r"transfers\[0\] is no object"),
    ],
)
def test_half_a_status_is_refused(changes, reason):
    """One wrong value refuses the document, and the sentence names its place."""
    with pytest.raises(documents.DocumentError, match=reason):
        documents.value_from(ReplicaStatus, replica(RA).to_json() | changes)


def test_a_newer_daemon_may_say_more():
    """Keys, and values behind those of a list, that this tool does not know are passed over."""
    document = conflict() | {"colour": "red", "files": [["0", 1, "d", 0o600, "owner"]]}
    assert documents.value_from(Conflict, document).files[0].name == "0"


def test_a_state_has_what_it_grew_out_of():
    """A version contains its ancestors up to the clock at which it left them, and nothing else."""
    held = Held(513, 8, lineage=(Point(385, 3), Point(257, 14)))
    assert all(held.has(point) for point in (Point(513, 8), Point(513, 1), Point(385, 3), Point(257, 2)))
    assert not any(held.has(point) for point in (Point(513, 9), Point(385, 4), Point(1, 0)))


def test_the_kind_of_the_state_is_said():
    """One file, a list and a folder are told apart."""
    one = answer(replica(RA)).status
    assert one.kind == "one file"
    assert attrs.evolve(one, files=one.files * 2).kind == "a list of 2 files"
    assert attrs.evolve(one, is_folder=True).kind == "a folder"
