"""Where a leader looks for what a merge needs: the conflict at its holder, the common ancestor at whoever keeps it."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio

from daemoncore.cedar.classad import ClassAd
from replication.conflict_commands import HOPELESS_LIMIT, RETRY_SECONDS, ConflictCommands
from replication.copy_fetch import FetchError
from replication.version import Point, Version

ME, SECOND, THIRD, SILENT = "a:1", "b:1", "c:1", "d:1"
#: What this node wrote and nobody had; what the second one made of the rest; and the parting.
CONFLICT = Version(130, 9, (), is_rooted=True)
STANDING = Version(257, 3, (Point(130, 4),), is_rooted=True)
PARTING = "130.4"


class Shelf:
    """A disk side that has a conflict or not, and no ancestor before one is borrowed."""

    borrowing_folder = Path("/nonexistent/borrowing")

    def __init__(self, *known):
        self.known = {identifier: SimpleNamespace(version=CONFLICT, notes={}) for identifier in known}
        self.ancestors = []
        self.reviser = self

    async def perform(self, act):
        """Do it at once."""
        return act()

    def find(self, identifier):
        """Give a conflict with its archive."""
        return (None, self.known[identifier]) if identifier in self.known else None

    def lacks(self, identifier):
        """Name what a conflict holds and what is not here."""
        return [part for part in self.known[identifier].notes.get("holds", ()) if part not in self.known]

    def schedule(self, identifier, _act, by):
        """Remember who wants it."""
        self.known[identifier].notes["scheduled"] = by

    async def read_archives(self):
        """There is nothing to look at."""

    def has_base(self, _held, _conflict):
        """Whether an ancestor was borrowed."""
        return bool(self.ancestors)

    def plan(self, _held, _identifier, _act):
        """Say what a merge would start from."""
        return {"base": self.ancestors[0] if self.ancestors else None}

    def borrow(self, fetched, *, is_ancestor):
        """Keep what was fetched."""
        name = str(fetched.version.point)
        if is_ancestor:
            self.ancestors.append(name)
        else:
            self.known[name] = SimpleNamespace(version=CONFLICT, notes={})
        return self.known.get(name)


class Leader:
    """A leader with three other replicas, of which one is silent; `keepers` keep the ancestor, unless they lie."""

    def __init__(self, shelf, *keepers):
        self.asked, self.told = [], []
        #: What a keeper sends instead of the ancestor, and where it was put.
        self.lie, self.folder = None, None
        peers = [
            SimpleNamespace(member=member, is_alive=lambda _now, member=member: member != SILENT, report=None)
            for member in (SECOND, THIRD, SILENT)
        ]
        replica = SimpleNamespace(
            settings=SimpleNamespace(me=ME),
            peers={peer.member: peer for peer in peers},
            ledger=SimpleNamespace(held=SimpleNamespace(version=STANDING)),
            is_leading=True,
            now=0.0,
            revisions=SimpleNamespace(reported=(tuple(shelf.known), ())),
        )
        self.replica = replica
        #: Members that nobody can fetch anything from at present.
        self.broken = set()

        async def fetch(member, asking, _folder):
            what = asking["ReplicationIdentifier"]
            self.asked.append((member, what))
            if member in self.broken:
                raise FetchError("it is down")
            if asking["ReplicationArchive"] == "ancestors" and member not in keepers:
                raise FetchError("it is not kept here")
            sent = self.lie or what
            return SimpleNamespace(version=SimpleNamespace(point=sent), folder=self.folder)

        self._commands = ConflictCommands(
            shelf,
            fetch,
            replica=lambda: self.replica,
            find={ME: ME, SECOND: SECOND, THIRD: THIRD}.get,
            is_merging=lambda: True,
            tell=lambda event, **fields: self.told.append((event, fields)),
        )

    async def merge_for(self, seconds):
        """Let it look for what it can merge; return what it told."""
        del self.told[:], self.asked[:]
        with trio.move_on_after(seconds):
            await self._commands.run()
        return self.told

    def reports(self, member, *conflicts):
        """Let a replica say what it keeps."""
        self.replica.peers[member].report = SimpleNamespace(conflicts=conflicts)

    async def plan(self, holder):
        """Plan a merge of that holder's conflict; return what it would start from."""
        ad = ClassAd({"Act": "plan", "Kind": "merge", "Identifier": "130.9", "Holder": holder})
        is_accepted, text, document = await self._commands.answer(ad, "operator")
        assert is_accepted, text
        return json.loads(document)["base"]


@pytest.mark.parametrize(
    ("keeper", "asked"), [(SECOND, [(SECOND, PARTING)]), (THIRD, [(SECOND, PARTING), (THIRD, PARTING)])]
)
async def test_the_ancestor_of_an_own_conflict_is_fetched_from_whoever_keeps_it(keeper, asked):
    """A primary that returned leads and keeps the conflict itself: the ancestor is with the one that led meanwhile."""
    leader = Leader(Shelf("130.9"), keeper)
    assert await leader.plan(ME) == PARTING
    assert leader.asked == asked
    assert leader.told == []


async def test_the_holder_of_the_conflict_is_asked_first():
    """A conflict of another node comes from there, and so does the ancestor if it is there."""
    leader = Leader(Shelf(), SECOND, THIRD)
    assert await leader.plan(THIRD) == PARTING
    assert leader.asked == [(THIRD, "130.9"), (THIRD, PARTING)]


async def test_an_ancestor_that_nobody_keeps_is_told(autojump_clock):
    """Everybody who is there is asked; then the merge has to do without, and the log says who was asked."""
    leader = Leader(Shelf("130.9"))
    assert await leader.plan(ME) is None
    assert [member for member, _ in leader.asked] == [SECOND, THIRD]
    ((event, fields),) = leader.told
    assert event == "ancestor_not_found"
    assert fields["point"] == PARTING
    assert fields["text"] == "b:1: it is not kept here; c:1: it is not kept here"


async def test_another_ancestor_than_was_asked_for_is_not_taken(tmp_path):
    """A replica that sends some other state as the ancestor is not believed, and what it sent is removed."""
    leader = Leader(Shelf("130.9"), SECOND)
    leader.lie, leader.folder = "130.5", tmp_path / "fetched"
    leader.folder.mkdir()
    assert await leader.plan(ME) is None
    assert not leader.folder.exists()
    ((event, fields),) = leader.told
    assert event == "ancestor_not_found"
    assert "b:1: 130.5 came instead" in fields["text"]


async def test_what_could_not_be_fetched_is_fetched_later(autojump_clock):
    """Its holder was down for a moment: the conflict is not given up for that, nor asked for each second."""
    leader = Leader(Shelf(), SECOND, THIRD)
    leader.reports(THIRD, "130.9")
    leader.broken.add(THIRD)
    ((event, fields),) = await leader.merge_for(RETRY_SECONDS)
    assert (event, fields["text"]) == ("merge_not_possible", "it is down")
    assert len(leader.asked) == 1
    leader.broken.clear()
    ((event, fields),) = await leader.merge_for(2 * RETRY_SECONDS)
    assert (event, fields["id"]) == ("merge_scheduled", "130.9")


async def test_what_has_no_ancestor_is_given_up_for_this_leadership(autojump_clock):
    """It is said once; another history may share a state with it that somebody keeps."""
    leader = Leader(Shelf("130.9"))
    told = await leader.merge_for(3 * RETRY_SECONDS)
    assert [event for event, _ in told] == ["ancestor_not_found", "merge_not_possible"]
    leader.replica.ledger.held.version = STANDING.led_by(514)
    told = await leader.merge_for(3 * RETRY_SECONDS)
    assert [event for event, _ in told] == ["ancestor_not_found", "merge_not_possible"]


async def test_replicas_that_name_conflicts_without_end_do_not_fill_our_memory():
    """What cannot be merged is remembered for a leadership, and of that only so much."""
    commands = Leader(Shelf())._commands
    for number in range(2 * HOPELESS_LIMIT):
        commands._give_up(f"130.{number}-abcdef01", math.inf)
    assert list(commands._hopeless) == [
        f"130.{n}-abcdef01" for n in range(HOPELESS_LIMIT, 2 * HOPELESS_LIMIT)
    ]


async def test_what_an_operator_scheduled_is_left_alone(autojump_clock):
    """It waits for the next stop, without an ancestor if need be: nobody is asked for one each second."""
    shelf = Shelf("130.9")
    shelf.known["130.9"].notes["scheduled"] = "ann"
    leader = Leader(shelf)
    assert await leader.merge_for(10.0) == []
    assert leader.asked == []


async def test_what_a_conflict_holds_is_fetched_with_it():
    """Its own usage can be told from that of a conflict that was merged into it only where that is kept, too."""
    shelf = Shelf("130.9")
    shelf.known["130.9"].notes["holds"] = ["4.1"]
    leader = Leader(shelf, SECOND)
    leader.broken.add(SECOND)
    await leader.plan(ME)
    assert leader.asked[:2] == [(SECOND, "4.1"), (THIRD, "4.1")]
    assert "4.1" in shelf.known


async def test_nothing_is_done_before_the_state_was_read():
    """What is kept is being put in order at that time."""
    leader = Leader(Shelf("130.9"))
    leader.replica = None
    answer = await leader._commands.answer(ClassAd({"Act": "drop", "Identifier": "130.9"}), "ann")
    assert answer == (False, "this daemon is still reading its state", None)
