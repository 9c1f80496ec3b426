"""Between the election and the links: makes letters of its messages, and its events of what the links learn."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.cedar.scalars import MessageWriter
from daemoncore.links import Letter, Links
from had import messages
from had.election_settings import Member
from had.events import Denied, Event, Kind, Linked, Message, Refused

COMMANDS: Final = {
    Kind.HEARTBEAT: Command.HAD_HEARTBEAT,
    Kind.ALIVE: Command.HAD_ALIVE_CMD,
    Kind.SEND_ID: Command.HAD_SEND_ID_CMD,
}


class Letters:
    """Sends the election's messages; each is encoded once for each kind of connection, though it goes to many members.

    Args:
        links: carry them.
        wall_clock: gives Unix time, which a message tells.
        address_of: gives a member's whole address.
    """

    def __init__(
        self, links: Links, wall_clock: Callable[[], float], address_of: Callable[[Member], Address]
    ) -> None:
        self._links = links
        self._wall_clock = wall_clock
        self._address_of = address_of
        self._last: Message | None = None
        self._encoded: dict[bool, bytes] = {}

    def send(self, to: Member, message: Message, kind: Kind) -> None:
        """Send it now or drop it; never waits."""
        encode = functools.partial(self._encode, message)
        letter = Letter(COMMANDS[kind], encode, kind.value, is_streamed=kind is Kind.HEARTBEAT)
        self._links.send(to, letter)

    def _encode(self, message: Message, is_encrypted: bool) -> bytes:
        if self._last is not message:
            self._last = message
            self._encoded.clear()
        if is_encrypted not in self._encoded:
            ad = messages.encode(message, self._wall_clock(), self._spell)
            self._encoded[is_encrypted] = MessageWriter(encrypted=is_encrypted).put_ad(ad).body()
        return self._encoded[is_encrypted]

    def _spell(self, member: Member) -> str:
        return str(self._address_of(member).sinful())


class Ears:
    """What the links learn becomes events.

    Args:
        post: takes events for the machine.
    """

    def __init__(self, post: Callable[[Event], None]) -> None:
        self._post = post

    def linked(self, member: Member, *, is_ours: bool) -> None:
        """We know what answers there."""
        self._post(Linked(member, is_ours))

    def refused(self, member: Member) -> None:
        """Nobody listens there."""
        self._post(Refused(member))

    def denied(self, member: Member) -> None:
        """Somebody is there and does not let us in."""
        self._post(Denied(member))
