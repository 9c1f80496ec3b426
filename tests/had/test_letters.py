"""Between the election and the links: one encoding for all members, in the spelling of HTCondor's lists."""

import attrs

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.cedar.scalars import MessageReader
from had.events import Kind, Message
from had.letters import Letters
from had.transitions import State

MEMBERS = ("10.0.0.1:9618", "10.0.0.2:51450")
ADDRESSES = {MEMBERS[0]: Address("10.0.0.1", 9618, "had"), MEMBERS[1]: Address("10.0.0.2", 51450)}


@attrs.define
class Links:
    """Keeps what it is to carry."""

    sent: list = attrs.field(factory=list)

    def send(self, to, letter):
        """Keep a letter."""
        self.sent.append((to, letter))


def message():
    """What a leader says."""
    return Message(MEMBERS[0], 1, "negotiator", State.LEADER, members=MEMBERS, instance=1, sequence=1)


def test_a_letter_names_members_as_they_are_reached():
    """With a name behind a shared port, without one for a port of its own; once for each kind of connection."""
    links, clock = Links(), iter([1.0, 2.0])
    letters = Letters(links, lambda: next(clock), ADDRESSES.__getitem__)
    said = message()
    for to in MEMBERS:
        letters.send(to, said, Kind.ALIVE)
    assert [(to, letter.command) for to, letter in links.sent] == [
        (to, Command.HAD_ALIVE_CMD) for to in MEMBERS
    ]
    bodies = {letter.encode(False) for _, letter in links.sent}
    assert len(bodies) == 1
    ad = MessageReader(bodies.pop()).get_ad()
    assert ad.get_string("HadList") == "<10.0.0.1:9618?sock=had>,<10.0.0.2:51450>"
