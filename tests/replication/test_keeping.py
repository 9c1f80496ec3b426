"""What is noted of a kept copy when it is made, and what of that goes with it to another node."""

import hashlib

import pytest

from replication.copy_fetch import Fetched
from replication.keeping import Keepsakes
from replication.manifest import FileRecord, Held
from replication.places import Places
from replication.revising import Act
from replication.version import Point, Version

BASE = Version.first(130).advanced()
LED = BASE.led_by(258).advanced()
LOST = BASE.led_by(386)
BYTES = b"usage"
FILES = (FileRecord("0", len(BYTES), hashlib.sha256(BYTES).hexdigest()),)


@pytest.fixture
def node(tmp_path):
    """Give the copies of one node, and one of another."""

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        places = Places((folder / "state",), False, folder / "Version", folder)
        return Keepsakes(places, 8, lambda: 86400.0, lambda: 50.0)

    (tmp_path / "source").write_bytes(BYTES)
    return make("one"), make("another"), {"0": tmp_path / "source"}


def kept(keepsakes, version, source):
    """Keep a state as a conflict; return the copy."""
    keepsakes.keep(version, FILES, source, reason="it lost", is_version=True)
    return next(copy for copy in keepsakes.conflicts.archive.copies() if copy.version == version)


def test_a_state_is_kept_with_the_names_of_what_was_merged_into_it(node):
    """Nobody could tell afterwards that its usage is in there; a state of another history does not hold it."""
    keepsakes, _, source = node
    merged = kept(keepsakes, LOST, source)
    keepsakes.mark_merged([merged.identifier], LED.point)
    assert kept(keepsakes, LED, source).notes["holds"] == [merged.identifier]
    assert "holds" not in kept(keepsakes, BASE.led_by(514), source).notes


def test_a_follower_notes_what_its_leader_merged(node):
    """No copy of the conflict is here, and yet its usage is in the state: the leader said so."""
    keepsakes, _, source = node
    keepsakes.merged_elsewhere.add({"4.1-a": LED.point, "9.9-other": Point(900, 1)})
    assert kept(keepsakes, LED.advanced(), source).notes["holds"] == ["4.1-a"]


def test_the_notes_that_a_merge_needs_go_with_a_copy(node, tmp_path):
    """Who borrows a conflict knows of it what its owner knows: what it holds, and where it was merged."""
    keepsakes, another, source = node
    merged = kept(keepsakes, LOST, source)
    keepsakes.mark_merged([merged.identifier], LED.point)
    whole = kept(keepsakes, LED, source)
    contents = keepsakes.read(Held(LED, FILES))
    for copy, key in ((whole, "holds"), (merged, "merged_into")):
        sent = keepsakes.sendable_copy(contents, "conflicts", copy.identifier)
        document = {**sent.version.to_document(), **sent.notes}
        folder = tmp_path / "fetched"
        folder.mkdir()
        (folder / "0").write_bytes(BYTES)
        borrowed = another.borrow(Fetched(sent.version, document, FILES, folder), is_ancestor=False)
        assert borrowed.notes[key] == keepsakes.conflicts.archive.find(copy.identifier).notes[key]


@pytest.mark.parametrize("said", [{"holds": "x", "merged_into": 7}, {"holds": {}, "merged_into": "é"}])
def test_nonsense_of_another_node_is_not_noted(node, tmp_path, said):
    """What a sender adds to a version is its word alone."""
    _, another, _ = node
    folder = tmp_path / "fetched"
    folder.mkdir()
    (folder / "0").write_bytes(BYTES)
    borrowed = another.borrow(Fetched(LOST, said, FILES, folder), is_ancestor=False)
    assert not {"holds", "merged_into"} & borrowed.notes.keys()


def test_a_borrowed_conflict_that_was_merged_elsewhere_waits_no_more(node, tmp_path):
    """A leader scheduled it and was lost; another one merged it; merged again by the first it would be charged twice."""
    keepsakes, another, source = node
    merged = kept(keepsakes, LOST, source)
    folder = tmp_path / "fetched"
    folder.mkdir()
    (folder / "0").write_bytes(BYTES)
    document = {**LOST.to_document(), "is_version": True}
    another.borrow(Fetched(LOST, document, FILES, folder), is_ancestor=False)
    another.reviser.schedule(merged.identifier, Act.MERGE, "root")
    assert another.read(Held(BASE, FILES)).archived.borrowed == (merged.identifier,)
    another.mark_merged([merged.identifier], LED.point)
    contents = another.read(Held(LED, FILES))
    assert contents.pending == {}
    assert contents.archived.borrowed == ()
