"""The order of durable steps when a state is replaced or a leadership begins, with the power failing before each."""

import hashlib
from pathlib import Path

import pytest

from replication.custody import Custody
from replication.keeping import Keepsakes
from replication.manifest import FileRecord, Held
from replication.pair import Pair
from replication.places import Places
from replication.sendable import Arrival
from replication.snapshot import Missing, Snapshot
from replication.tracked_file import Change, FileSnapshot
from replication.version import Version
from tests.replication.failing_disk import ModelDisk, PowerCut

NUMBER = 77
OLD = Version.first(385).advanced()
LED = OLD.led_by(513)
OTHER = Version.first(641)
PLACES = Places((Path("/node/state/log"),), False, Path("/node/spool/Version"), Path("/node/had"))


class ModelTracker:
    """Looks at the model disk as the real one does at files."""

    is_append_only = True

    def __init__(self, disk):
        self.disk = disk

    @property
    def signature(self):
        """See `Tracker`."""
        return (("0", self.disk.facts(PLACES.paths[0])),)

    def look(self, _now, **_how):
        """See `Tracker`."""
        path = PLACES.paths[0]
        facts = self.disk.facts(path)
        if facts is None:
            return Missing(path)
        record = FileRecord("0", facts.size_bytes, self.disk.digest(path, facts.size_bytes))
        return Snapshot((FileSnapshot(record, path, -1, Change.FIRST, 0),))

    def adopt(self, records, starts):
        """See `Tracker`."""


def records(data):
    """The records of a file with this content."""
    return (FileRecord("0", len(data), hashlib.sha256(data).hexdigest()),)


def custody_on(disk):
    """What a daemon has that starts on this disk."""
    keepsakes = Keepsakes(PLACES, 8, lambda: 86400.0, lambda: 5.0, disk)
    custody = Custody(PLACES, ModelTracker(disk), keepsakes, disk)
    custody.open(lambda: False)
    return custody, keepsakes


def prepared(stands, received=None):
    """A model disk on which `stands` stands where b"old" is held, and something was received; and its custody."""
    disk = ModelDisk(("/node/state", "/node/spool", "/node/had"))
    disk.write(PLACES.paths[0], b"old")
    Pair(PLACES, disk).note(Held(OLD, records(b"old")))
    disk.settle()
    custody, _ = custody_on(disk)
    disk.write(PLACES.paths[0], stands)
    if received is not None:
        disk.write(PLACES.staged(NUMBER)[0], received)
    disk.settle()
    return disk, custody


def cut_everywhere(prepare, act):
    """Cut the power before every operation of an act, and at its end; give every disk that may be found."""
    step, is_cut = 0, True
    while is_cut:
        disk, custody = prepare()
        disk.fail_at = step
        try:
            act(custody)
            is_cut = False
        except PowerCut:
            pass
        for found in disk.after_power_cut(limit=24):
            yield found, is_cut
        step += 1


def kept(disk, archive):
    """The contents of all whole copies."""
    return {disk.read(archive.path_of(copy, "0"), 1000) for copy in archive.copies()}


@pytest.mark.parametrize(("stands", "is_conflict"), [(b"old", True), (b"edited", False), (b"edited", True)])
def test_what_a_new_state_lacks_is_durable_before_it_is_replaced(stands, is_conflict):
    """Wherever the power fails: it stands there, or it is a whole conflict."""
    new = Held(OTHER, records(b"new"))
    arrival = Arrival(NUMBER, new.files, (0,))
    seen = set()

    def install(custody):
        custody.install(new, arrival, is_conflict=is_conflict, sources={})

    for disk, is_cut in cut_everywhere(lambda: prepared(stands, b"new"), install):
        custody, keepsakes = custody_on(disk)
        content = disk.read(PLACES.paths[0], 100)
        conflicts = kept(disk, keepsakes.conflicts.archive)
        assert content in {stands, b"new"}
        assert (content == b"new") == (custody.held == new)
        assert stands in conflicts or content == stands
        assert conflicts <= {stands}
        assert is_cut or content == b"new"
        assert disk.names(PLACES.paths[0].parent) == ["log"]
        seen.add((content, bool(conflicts)))
    assert seen == {(stands, False), (stands, True), (b"new", True)}


def test_the_parent_of_a_leadership_is_durable_before_its_first_version():
    """A leadership whose first version is durable has its parent, whatever its controllee writes from then on."""
    led = Held(LED, records(b"old"), is_leading=True)
    seen = set()
    for disk, is_cut in cut_everywhere(lambda: prepared(b"old"), lambda custody: custody.note(led, {})):
        custody, keepsakes = custody_on(disk)
        ancestors = kept(disk, keepsakes.ancestors.archive)
        assert custody.held in (led, Held(OLD, records(b"old")))
        assert ancestors == {b"old"} or (custody.held != led and is_cut)
        seen.add((custody.held.version.gid, bool(ancestors)))
    assert seen == {(385, False), (385, True), (513, True)}


def test_a_state_that_is_replaced_by_none_is_a_conflict_or_stands_there():
    """The version of a leadership that began with nothing, over a state that diverged from it."""
    nothing = Held(OTHER)
    arrival = Arrival(NUMBER, (), (None,))
    seen = set()

    def install(custody):
        custody.install(nothing, arrival, is_conflict=True, sources={})

    for disk, is_cut in cut_everywhere(lambda: prepared(b"old"), install):
        custody, keepsakes = custody_on(disk)
        stands = disk.names(PLACES.paths[0].parent) == ["log"]
        assert stands == (custody.held != nothing)
        assert stands or kept(disk, keepsakes.conflicts.archive) == {b"old"}
        assert is_cut or not stands
        seen.add(stands)
    assert seen == {True, False}


def test_what_htcondor_left_is_numbered_with_its_files_whatever_crashes():
    """A start that is cut short is done again by the next one: the state is never one that somebody changed."""
    adopted = Version.adopted(Version(77, 5).point)

    def prepare():
        disk, _ = prepared(b"condor's")
        disk.write(PLACES.version_file, b"77\n5")
        disk.settle()
        keepsakes = Keepsakes(PLACES, 8, lambda: 86400.0, lambda: 5.0, disk)
        return disk, Custody(PLACES, ModelTracker(disk), keepsakes, disk)

    for disk, _ in cut_everywhere(prepare, lambda custody: custody.open(lambda: False)):
        custody, keepsakes = custody_on(disk)
        assert custody.held == Held(adopted, records(b"condor's"))
        assert kept(disk, keepsakes.conflicts.archive) == set()
