"""Where a leader looks for what a merge needs: the conflict at its holder, the common ancestor at whoever keeps it."""

import json
from types import SimpleNamespace

import pytest

from daemoncore.cedar.classad import ClassAd
from replication.conflict_commands import ConflictCommands
from replication.copy_fetch import FetchError
from replication.version import Point, Version

ME, SECOND, THIRD, SILENT = "a:1", "b:1", "c:1", "d:1"
#: What this node wrote and nobody had; what the second one made of the rest; and the parting.
CONFLICT = Version(130, 9, (), is_rooted=True)
STANDING = Version(257, 3, (Point(130, 4),), is_rooted=True)
PARTING = "130.4"


class Shelf:
    """A disk side that has a conflict or not, and no ancestor before one is borrowed."""

    borrowing_folder = None

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
            SimpleNamespace(member=member, is_alive=lambda _now, member=member: member != SILENT)
            for member in (SECOND, THIRD, SILENT)
        ]
        replica = SimpleNamespace(
            settings=SimpleNamespace(me=ME),
            peers={peer.member: peer for peer in peers},
            ledger=SimpleNamespace(held=SimpleNamespace(version=STANDING)),
            is_leading=True,
            now=0.0,
        )

        async def fetch(member, asking, _folder):
            what = asking["ReplicationIdentifier"]
            self.asked.append((member, what))
            if asking["ReplicationArchive"] == "ancestors" and member not in keepers:
                raise FetchError("it is not kept here")
            sent = self.lie or what
            return SimpleNamespace(version=SimpleNamespace(point=sent), folder=self.folder)

        self._commands = ConflictCommands(
            shelf,
            fetch,
            replica=lambda: replica,
            find={ME: ME, SECOND: SECOND, THIRD: THIRD}.get,
            is_merging=lambda: False,
            tell=lambda event, **fields: self.told.append((event, fields)),
        )

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
