"""Merging and restoring kept conflicts: planned, staged, done once whatever crashes, and refused with a reason."""

import hashlib

import pytest

from daemoncore.classad_log import LogContents, parse
from replication.ancestors import Ancestors
from replication.archive import Archive
from replication.manifest import FileRecord, Held
from replication.pair import Pair
from replication.places import Places
from replication.revising import Act, Reviser, RevisionError
from replication.version import Version

BASE = Version.first(130).advanced()
MINE = BASE.led_by(258).advanced()
THEIRS = Version(130, 5, is_rooted=True)
NUMBER = 4711
USER = "Customer.ann@example.org"


def log(usage, user=USER):
    """Give an Accountant's log in which one user has used so many seconds."""
    ads = {
        "Accountant.": {"LastUpdateTime": "1000"},
        user: {"Priority": "0.500000", "AccumulatedUsage": f"{usage:.6f}"},
    }
    return LogContents(ads, {}, 1, 900).render()


def usage_in(data, user=USER):
    """Read that number back."""
    return float(parse(data).ads[user]["AccumulatedUsage"])


def records(*contents):
    """The records of files with these contents."""
    return tuple(
        FileRecord(str(place), len(data), hashlib.sha256(data).hexdigest())
        for place, data in enumerate(contents)
    )


class Node:
    """A leader's disk: the state, its version, and what is kept beside it."""

    def __init__(self, folder, present, count=1):
        (folder / "had").mkdir()
        self.paths = tuple(folder / f"log{place}" for place in range(count))
        for path, data in zip(self.paths, present, strict=True):
            path.write_bytes(data)
        self.places = Places(self.paths, False, folder / "Version", folder / "had")
        self.pair = Pair(self.places)
        self.pair.note(Held(MINE, records(*present), is_leading=True))
        self.kept, self.borrowed = Archive(folder / "had" / "conflicts"), Archive(folder / "had" / "borrowed")
        self.ancestors = Ancestors(folder / "had" / "ancestors")
        self.folder = folder
        self.reviser = self.again()

    def again(self):
        """Look at the same disk with fresh eyes, as a daemon does that was restarted."""
        return Reviser(self.places, self.kept, self.ancestors, self.borrowed, lambda: 86400.0, lambda: 50.0)

    def keep(self, archive, version, *contents, is_version=True):
        """Keep a copy of a state; return its name."""
        paths = {}
        for place, data in enumerate(contents):
            paths[str(place)] = self.folder / f"source{place}"
            paths[str(place)].write_bytes(data)
        notes = {"kept_at": 10.0, "is_version": is_version}
        return archive.keep(version, records(*contents), paths, notes).identifier

    def remember(self, version, data):
        """Keep an ancestor."""
        (self.folder / "base").write_bytes(data)
        self.ancestors.keep(version, records(data), {"0": self.folder / "base"}, kept_at_seconds=1.0)

    def revise(self):
        """Do what the daemon does while the controllee is stopped; return the version, None if nothing was done."""
        held = self.pair.held
        staged = self.reviser.stage(held, NUMBER)
        if staged is None:
            return None
        version = held.version.advanced()
        self.reviser.begin(staged, version.point)
        self.pair.commit(
            NUMBER,
            Held(version, staged.files, is_leading=True),
            staged.starts,
            is_controllee_running=lambda: False,
        )
        self.reviser.succeeded(staged, version.point)
        return version


@pytest.fixture
def node(tmp_path):
    """A leader with 150 seconds of use where the ancestor had 100 and the other side 130."""
    node = Node(tmp_path, [log(150)])
    node.remember(BASE, log(100))
    return node


def test_what_either_side_charged_is_charged_once(node):
    """A merge adds what each side charged since the ancestor, as its plan said, and changes nothing before it is done."""
    name = node.keep(node.kept, THEIRS, log(130))
    plan = node.reviser.plan(node.pair.held, name, Act.MERGE)
    (row,) = plan["rows"]
    assert (plan["base"], row["usage_seconds"]) == (str(BASE.point), [100, 150, 130, 180])
    assert usage_in(node.paths[0].read_bytes()) == 150
    node.reviser.schedule(name, Act.MERGE, "root")
    assert [(one.act, one.copy.identifier) for one in node.reviser.waiting()] == [(Act.MERGE, name)]
    version = node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 180
    assert node.pair.held.version == version == MINE.advanced()
    assert node.reviser.waiting() == []
    assert node.reviser.merged(node.pair.held) == (name,)


def test_a_conflict_is_merged_once(node):
    """What was merged is not merged again, neither by itself nor when somebody asks for it."""
    name = node.keep(node.kept, THEIRS, log(130))
    node.reviser.schedule(name, Act.MERGE, "root")
    node.revise()
    assert node.revise() is None
    with pytest.raises(RevisionError, match=r"is in version 258\.2 already"):
        node.reviser.schedule(name, Act.MERGE, "root")


def test_two_conflicts_are_merged_in_one_version(node):
    """Several that wait go into one new version, borrowed ones too."""
    first = node.keep(node.kept, THEIRS, log(130))
    second = node.keep(node.borrowed, BASE.led_by(386).advanced(), log(107))
    for name in (first, second):
        node.reviser.schedule(name, Act.MERGE, "root")
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 187
    assert set(node.reviser.merged(node.pair.held)) == {first, second}


def test_without_an_ancestor_the_larger_number_is_taken(tmp_path):
    """A plan without a common ancestor says so."""
    node = Node(tmp_path, [log(150)])
    name = node.keep(node.kept, THEIRS, log(160))
    plan = node.reviser.plan(node.pair.held, name, Act.MERGE)
    assert plan["base"] is None
    assert plan["rows"][0]["usage_seconds"][3] == 160
    assert "common ancestor is not known" in plan["warnings"][0]


def test_a_restored_conflict_is_the_state(node):
    """A restore lets the conflict be the state, before any merge, and says that it replaces what stood there."""
    merged = node.keep(node.kept, THEIRS, log(130))
    restored = node.keep(node.borrowed, Version(130, 7, is_rooted=True), log(7))
    node.reviser.schedule(merged, Act.MERGE, "root")
    node.reviser.schedule(restored, Act.RESTORE, "root")
    staged = node.reviser.stage(node.pair.held, NUMBER)
    assert staged.replaces
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 7
    assert [one.copy.identifier for one in node.reviser.waiting()] == [merged]


def test_what_cannot_be_merged_does_not_hold_up_the_rest(node):
    """A conflict that is no log waits no more and says why; the others are merged."""
    bad = node.keep(node.kept, BASE.led_by(386), b"no log at all\n")
    good = node.keep(node.kept, THEIRS, log(130))
    for name in (bad, good):
        node.reviser.schedule(name, Act.MERGE, "root")
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 180
    assert "no Accountant's log" in node.kept.find(bad).notes["failure"]
    assert node.reviser.waiting() == []


@pytest.mark.parametrize(
    ("count", "contents", "act", "sentence"),
    [
        (1, [b"text"], Act.MERGE, "no Accountant's log"),
        (1, [log(1), log(2)], Act.MERGE, "not one file"),
        (1, [log(1), log(2)], Act.RESTORE, "other files than STATE_FILE names"),
    ],
)
def test_a_plan_says_why_not(tmp_path, count, contents, act, sentence):
    """What cannot be done is refused with a sentence that says what else can be."""
    node = Node(tmp_path, [log(150)] * count, count)
    name = node.keep(node.kept, THEIRS, *contents)
    with pytest.raises(RevisionError, match=sentence):
        node.reviser.plan(node.pair.held, name, act)


def test_a_state_of_several_files_is_not_merged_into(tmp_path):
    """Only one log can be merged into; several files can be restored."""
    node = Node(tmp_path, [log(1), log(2)], 2)
    name = node.keep(node.kept, THEIRS, log(3), log(4))
    with pytest.raises(RevisionError, match="STATE_FILE is not one file"):
        node.reviser.plan(node.pair.held, name, Act.MERGE)
    node.reviser.schedule(name, Act.RESTORE, "root")
    node.revise()
    assert [usage_in(path.read_bytes()) for path in node.paths] == [3, 4]


def test_unknown_names_are_refused(node):
    """A conflict that nobody keeps cannot be scheduled, cancelled or planned."""
    for ask in (
        lambda: node.reviser.schedule("1.2-3", Act.MERGE, "root"),
        lambda: node.reviser.cancel("../etc"),
        lambda: node.reviser.plan(node.pair.held, "1.2-3", Act.RESTORE),
    ):
        with pytest.raises(RevisionError, match="no conflict"):
            ask()


def test_what_is_taken_back_is_not_done(node):
    """A cancelled merge is none."""
    name = node.keep(node.kept, THEIRS, log(130))
    node.reviser.schedule(name, Act.MERGE, "root")
    node.reviser.cancel(name)
    assert node.revise() is None


def crash(node, steps):
    """Revise, and stop after so many durable steps, as a power cut does."""
    held = node.pair.held
    staged, version = node.reviser.stage(held, NUMBER), held.version.advanced()
    if steps > 0:
        node.reviser.begin(staged, version.point)
    if steps > 1:
        new = Held(version, staged.files, is_leading=True)
        node.pair.commit(NUMBER, new, staged.starts, is_controllee_running=lambda: False)


@pytest.mark.parametrize("steps", range(3))
def test_a_crash_merges_once(node, steps):
    """Cut off before the marks, before the pair changes or after it: after the next start it is merged exactly once."""
    name = node.keep(node.kept, THEIRS, log(130))
    node.reviser.schedule(name, Act.MERGE, "root")
    crash(node, steps)
    node.pair = Pair(node.places)
    node.pair.recover(is_controllee_running=lambda: False)
    node.reviser = node.again()
    node.reviser.resolve(node.pair.held)
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 180
    assert node.reviser.merged(node.pair.held) == (name,)


def test_a_failed_commit_leaves_it_waiting(node):
    """When the pair did not change the conflict waits for the next stop, and is not taken for merged at a restart."""
    name = node.keep(node.kept, THEIRS, log(130))
    node.reviser.schedule(name, Act.MERGE, "root")
    staged = node.reviser.stage(node.pair.held, NUMBER)
    node.reviser.begin(staged, MINE.advanced().point)
    node.reviser.failed(staged)
    # The controllee writes on, under the very version that the merge was to have.
    node.pair.note(Held(MINE.advanced(), node.pair.held.files, is_leading=True))
    node.again().resolve(node.pair.held)
    assert [one.copy.identifier for one in node.reviser.waiting()] == [name]


def test_what_was_merged_elsewhere_into_another_history_is_not_named(node):
    """The names of merged conflicts go with the version that holds them."""
    name = node.keep(node.kept, THEIRS, log(130))
    node.reviser.schedule(name, Act.MERGE, "root")
    node.revise()
    assert node.reviser.merged(Held(BASE.led_by(514))) == ()
    assert node.reviser.merged(None) == ()
    assert node.reviser.merged(node.pair.held) == (name,)


EARLIER, LATER = Version(130, 5, is_rooted=True), Version(130, 9, is_rooted=True)


def test_a_part_of_another_conflict_is_merged_once(node):
    """A follower's conflict and its leader's, which holds all of it and more, charge once; both are settled by that."""
    part = node.keep(node.borrowed, EARLIER, log(120))
    whole = node.keep(node.kept, LATER, log(130))
    for name in (part, whole):
        node.reviser.schedule(name, Act.MERGE, "root")
    assert [one.copy.identifier for one in node.reviser.waiting()] == [whole]
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 180
    assert set(node.reviser.merged(node.pair.held)) == {part, whole}


def test_the_rest_of_a_conflict_is_merged_after_its_part(node):
    """A part was merged before the whole was known: then only the rest is charged; and the part is never merged after it."""
    part = node.keep(node.borrowed, EARLIER, log(120))
    node.reviser.schedule(part, Act.MERGE, "root")
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 170
    whole = node.keep(node.kept, LATER, log(130))
    assert node.reviser.plan(node.pair.held, whole, Act.MERGE)["base"] == str(EARLIER.point)
    node.reviser.schedule(whole, Act.MERGE, "root")
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 180


def test_a_part_that_comes_late_is_refused(node):
    """When the whole was merged, a part that somebody finds later adds nothing and says why."""
    whole = node.keep(node.kept, LATER, log(130))
    node.reviser.schedule(whole, Act.MERGE, "root")
    node.revise()
    part = node.keep(node.borrowed, EARLIER, log(120))
    with pytest.raises(RevisionError, match=f"is a part of {whole}"):
        node.reviser.schedule(part, Act.MERGE, "root")


def test_what_other_hands_changed_is_no_part_of_anything(node):
    """A state that was changed by hand carries its parent's version, and is merged as what it is."""
    edited = node.keep(node.kept, EARLIER, log(111), is_version=False)
    whole = node.keep(node.kept, LATER, log(130))
    for name in (edited, whole):
        node.reviser.schedule(name, Act.MERGE, "root")
    assert {one.copy.identifier for one in node.reviser.waiting()} == {edited, whole}


OTHERS = BASE.led_by(386).advanced()


def keep_loser(node, usage, *held):
    """Keep the state of a leader that had merged these conflicts too, and lost."""
    name = node.keep(node.borrowed, OTHERS, log(usage))
    node.borrowed.note(node.borrowed.find(name), holds=list(held))
    return name


def test_what_both_sides_merged_is_charged_once(node):
    """Two leaders merged the same conflict, and one of them lost: its state is merged for the rest of what it holds."""
    both = node.keep(node.kept, THEIRS, log(130))
    node.reviser.schedule(both, Act.MERGE, "root")
    node.revise()
    loser = keep_loser(node, 137, both)
    node.reviser.schedule(loser, Act.MERGE, "root")
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 187


def test_what_the_loser_merged_comes_with_its_state(node):
    """A leader died right after a merge, which nobody else has: its state brings it, and the conflict is settled."""
    lost = node.keep(node.kept, THEIRS, log(130))
    loser = keep_loser(node, 137, lost)
    for name in (lost, loser):
        node.reviser.schedule(name, Act.MERGE, "root")
    assert [one.copy.identifier for one in node.reviser.waiting()] == [loser]
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 187
    assert set(node.reviser.merged(node.pair.held)) == {lost, loser}
    assert node.revise() is None


def test_a_conflict_that_came_with_another_is_reported_merged(node):
    """Its owner hears of it though only the state that holds it was ever here, and nobody merges it after that."""
    loser = keep_loser(node, 137)
    node.reviser.schedule(loser, Act.MERGE, "root")
    node.revise()
    node.borrowed.note(node.borrowed.find(loser), holds=["130.5-00000000"])
    assert set(node.reviser.merged(node.pair.held)) == {"130.5-00000000", loser}


def test_who_cannot_tell_what_is_charged_already_does_not_merge(node):
    """A state that holds a conflict which is nowhere to be found is left to people."""
    loser = keep_loser(node, 137, "130.5-00000000")
    with pytest.raises(RevisionError, match=r"holds 130\.5-00000000, which is not kept here"):
        node.reviser.plan(node.pair.held, loser, Act.MERGE)
    assert node.reviser.lacks(loser) == ("130.5-00000000",)


def test_what_was_merged_before_the_sides_parted_is_in_their_base(node):
    """Both sides hold it because their ancestor does: nothing of it is taken off."""
    early = node.keep(node.kept, Version(2, 5, is_rooted=True), log(30))
    node.kept.note(node.kept.find(early), merged_into=str(BASE.point))
    loser = keep_loser(node, 107, early)
    node.reviser.schedule(loser, Act.MERGE, "root")
    node.revise()
    assert usage_in(node.paths[0].read_bytes()) == 157
