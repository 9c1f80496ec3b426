"""Our own connections to the other members: one to each, kept open to our own kind.

A link carries letters one way, from us. Of each kind of letter (its slot) it keeps at most one waiting, the newest,
since each says everything; so a slow member costs no memory and gets no stale news. What the link learns it tells its
`Ears`: whom it found, that nobody listens there, that we are not let in.

One of our own kind gets the newest letter on a stream that stays open. To a real daemon of HTCondor's each letter is a
connection of its own, one after another, as HTCondor does it. A member whose kind is not known is
asked with a session and no command, which any HTCondor daemon answers. A broken connection is redialled at once, then
each T/2, each try with its own deadline, so TCP's own waiting plays no part after a cut. A cut that leaves the
connection open shows as unacknowledged data (TCP_USER_TIMEOUT = T).
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Protocol, TypeAlias

import attrs
import trio

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.client import (
    CallFailed,
    Client,
    Connection,
    ConnectionRefused,
    Denied,
    Reset,
    TimedOut,
    Unreachable,
)
from daemoncore.round_trip import round_trip_seconds

Member: TypeAlias = str
"""A member's identity: its numeric address, `127.0.0.1:9620` or `[::1]:9620`."""

MINIMUM_DIAL_SECONDS: Final = 0.1
"""A dial is given at least this long: a new session takes about 20 ms, more on a loaded machine."""

SHORT_SECONDS: Final = 0.2
"""A connection that broke sooner than this was short-lived."""

SHORT_LIVED_IN_A_ROW: Final = 3
"""So many short-lived connections (the first look at a member is one) are each followed at once by the next."""


@attrs.frozen(eq=False)
class Letter:
    """One message, ready to be sent in whichever way its member takes it."""

    #: What it is for a real daemon of HTCondor's; None if it is for our own kind only.
    command: Command | None
    #: Makes its bytes when it is sent; the flag says whether they are for an encrypted connection.
    encode: Callable[[bool], bytes]
    #: What it is counted as.
    name: str
    #: A newer letter replaces one of the same slot that still waits.
    slot: Hashable = 0
    #: Whether it may be sent on the stream to one of our own kind.
    is_streamed: bool = True


class Ears(Protocol):
    """Who is told what a link learns."""

    def linked(self, member: Member, *, is_ours: bool) -> None:
        """A connection was made, so we know what answers there."""

    def refused(self, member: Member) -> None:
        """Nobody listens there, though the machine answers."""

    def denied(self, member: Member) -> None:
        """Somebody is there and does not let us in."""


class Watcher(Protocol):
    """Who counts what the links do."""

    def message_sent(self, peer: Member, kind: str) -> None:
        """A message was handed to the network."""

    def send_failed(self, peer: Member, reason: str, text: str) -> None:
        """A member could not be reached."""

    def round_trip(self, peer: Member, seconds: float) -> None:
        """The kernel's estimate of the round trip on the open connection."""

    def found(self, peer: Member, implementation: str) -> None:
        """What kind of daemon answers there."""


class _Kind(enum.Enum):
    UNKNOWN = "unknown"
    OURS = "ours"
    CONDOR = "condor"


class Link:
    """The way to one member.

    Args:
        member: its identity, a numeric address.
        client: connects.
        ears: are told what the link learns.
        timeout_seconds: gives T; it can change at any time.
        watcher: counts.
        is_heard: whether the member's own connection to us is open.
        stream_command: opens a stream to one of our own kind, and is the command of each letter on it.
        asked_about: the command that a member of unknown kind is asked to let us give.
        address_of: gives a member's whole address, its name behind a shared port included.
    """

    def __init__(
        self,
        member: Member,
        client: Callable[[], Client],
        ears: Ears,
        timeout_seconds: Callable[[], float],
        watcher: Watcher,
        is_heard: Callable[[Member], bool],
        *,
        stream_command: Command,
        asked_about: Command,
        address_of: Callable[[Member], Address] = Address.parse,
    ) -> None:
        self._address_of = address_of
        self._is_heard = is_heard
        self._member = member
        self._client = client
        self._ears = ears
        self._timeout_seconds = timeout_seconds
        self._watcher = watcher
        self._stream_command = stream_command
        self._asked_about = asked_about
        self._kind = _Kind.UNKNOWN
        #: What waits, by slot, the newest last.
        self._letters: dict[Hashable, Letter] = {}
        self._news = trio.Event()
        self._hurry = trio.Event()
        self._sent = trio.Event()
        self._is_open = False
        self._is_in_doubt = False

    def send(self, letter: Letter) -> None:
        """Let this be the newest letter; an older one of its slot that still waits is dropped."""
        if letter.command is None and self._kind is _Kind.CONDOR:
            return
        self._letters.pop(letter.slot, None)
        self._letters[letter.slot] = letter
        self._news.set()

    @property
    def is_open(self) -> bool:
        """Whether a stream is open, on which one of our daemons hears us."""
        return self._is_open

    def hurry(self) -> None:
        """The member was heard: if there is no connection to it, try now."""
        if not self._is_open:
            self._hurry.set()

    async def run(self) -> None:
        """Keep the link until cancelled."""
        short_lived = 0
        while True:
            began = trio.current_time()
            has_worked = await self._once()
            is_short = has_worked and trio.current_time() < began + SHORT_SECONDS
            short_lived = short_lived + 1 if is_short and self._kind is not _Kind.CONDOR else 0
            # What worked is tried again at once, but not in a circle: a member that hangs up on us gets its pauses.
            if not has_worked or short_lived > SHORT_LIVED_IN_A_ROW:
                await self._pause()

    async def _pause(self) -> None:
        with trio.move_on_after(self._timeout_seconds() / 2):
            await self._hurry.wait()
        self._hurry = trio.Event()

    async def _once(self) -> bool:
        """Connect and send for as long as it works; return whether a connection came about."""
        if self._kind is _Kind.CONDOR and not self._letters:
            await self._wait_for_news()
        try:
            await self._converse()
        except CallFailed as failure:
            was_open, self._is_open = self._is_open, False
            return self._failed(failure) or was_open
        self._is_open = False
        self._is_in_doubt = False
        return True

    async def _wait_for_news(self) -> None:
        """A real daemon is only dialled with something to say, but looked at again when it speaks."""
        self._news = trio.Event()
        if not self._letters:
            async with trio.open_nursery() as nursery:

                async def until(event: trio.Event) -> None:
                    await event.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until, self._news)
                nursery.start_soon(until, self._hurry)
        # It was looked at; left set, it would make us look again without end.
        self._hurry = trio.Event()

    async def _converse(self) -> None:
        letter = next(iter(self._letters.values()), None) if self._kind is _Kind.CONDOR else None
        asked_about = None
        if self._kind is _Kind.OURS:
            command = self._stream_command
        elif letter is not None and letter.command is not None:
            command = letter.command
        else:
            command, asked_about = Command.DC_AUTHENTICATE, self._asked_about
        async with await self._connect(command, asked_about) as connection:
            kind = self._learn(connection)
            if command is self._stream_command and kind is _Kind.OURS:
                await self._stream(connection)
            elif letter is not None:
                await self._post_letter(connection, letter)

    async def _connect(self, command: Command, asked_about: Command | None = None) -> Connection:
        address = self._address_of(self._member)
        seconds = max(self._timeout_seconds() / 2, MINIMUM_DIAL_SECONDS)
        with trio.move_on_after(seconds):
            return await self._client().connect(address, command, asked_about=asked_about)
        raise TimedOut(address, f"no connection within {seconds:g} s")

    def _learn(self, connection: Connection) -> _Kind:
        before, self._kind = self._kind, _Kind.OURS if connection.peer.is_ours else _Kind.CONDOR
        if before is not self._kind:
            self._watcher.found(self._member, self._kind.value)
            if self._kind is _Kind.CONDOR:
                # What is only for our own kind would wait here for ever.
                self._letters = {s: one for s, one in self._letters.items() if one.command is not None}
                self._ears.linked(self._member, is_ours=False)
        return self._kind

    async def _stream(self, connection: Connection) -> None:
        """Send the newest letter whenever there is one, until the connection breaks."""
        self._letters.clear()
        self._is_open = True
        self._ears.linked(self._member, is_ours=True)
        async with trio.open_nursery() as nursery:
            for part in (self._send_letters, self._until_closed):
                nursery.start_soon(self._until_it_ends, part, connection, nursery.cancel_scope)

    async def _until_it_ends(
        self, part: Callable[[Connection], Awaitable[None]], connection: Connection, scope: trio.CancelScope
    ) -> None:
        """Do a part of a stream; its end is the stream's, and no fault of ours."""
        with contextlib.suppress(CallFailed):
            await part(connection)
        scope.cancel()

    async def _until_closed(self, connection: Connection) -> None:
        """The other side says nothing on this connection; what comes is its end."""
        await connection.receive()

    async def _send_letters(self, connection: Connection) -> None:
        is_first = True
        while True:
            await self._news.wait()
            self._news = trio.Event()
            letter = self._newest_streamed()
            if letter is None:
                continue
            writer = connection.writer()
            if not is_first:
                writer.put_int(self._stream_command)
            is_first = False
            await connection.send(writer.put_bytes(letter.encode(writer.is_encrypted)))
            self._delivered(letter)
            seconds = round_trip_seconds(connection)
            if seconds is not None:
                self._watcher.round_trip(self._member, seconds)

    def _newest_streamed(self) -> Letter | None:
        """Return the newest letter for the stream; the older ones are stale, and dropped."""
        streamed = [letter for letter in self._letters.values() if letter.is_streamed]
        for older in streamed[:-1]:
            del self._letters[older.slot]
        return streamed[-1] if streamed else None

    def _delivered(self, letter: Letter) -> None:
        if self._letters.get(letter.slot) is letter:
            del self._letters[letter.slot]
        self._sent.set()
        self._sent = trio.Event()
        self._watcher.message_sent(self._member, letter.name)

    async def until_sent(self) -> None:
        """Wait until nothing is waiting to be sent on an open connection."""
        while self._is_open and any(letter.is_streamed for letter in self._letters.values()):
            await self._sent.wait()

    async def _post_letter(self, connection: Connection, letter: Letter) -> None:
        """One letter to a real daemon; the connection is closed behind it."""
        writer = connection.writer()
        await connection.send(writer.put_bytes(letter.encode(writer.is_encrypted)))
        self._delivered(letter)

    def _failed(self, failure: CallFailed) -> bool:
        """Take note of a failed call, and return whether to look again at once.

        A daemon that is killed loses its connections a moment before its port. What fell into that moment looks like
        a hang-up or a denial, so neither is believed the first time.
        """
        self._kind = _Kind.UNKNOWN if not isinstance(failure, (TimedOut, Unreachable)) else self._kind
        if isinstance(failure, (Reset, Denied)) and not self._is_in_doubt:
            self._is_in_doubt = True
            return True
        self._is_in_doubt = False
        self._watcher.send_failed(self._member, failure.kind, failure.reason)
        if isinstance(failure, Denied):
            self._ears.denied(self._member)
        # A killed daemon's connections all end at once, and its last words are read first. While its own
        # connection is open, a refusal is a firewall's; the end of that connection has us dial again.
        elif _is_gone(failure) and not self._is_heard(self._member):
            self._ears.refused(self._member)
        return False


def _is_gone(failure: CallFailed) -> bool:
    """Whether a failed call says that nobody listens there (hard case 4).

    A shared port server takes every connection, and hangs up without a word when the daemon that was asked for is
    gone; that it is gone itself says nothing of the daemons behind it.
    """
    if failure.address.sock is None:
        return isinstance(failure, ConnectionRefused)
    return isinstance(failure, Reset) and not failure.has_heard


class Links:
    """All links of a node; members can come and go."""

    def __init__(self, make: Callable[[Member], Link]) -> None:
        self._make = make
        self._links: dict[Member, Link] = {}
        self._scopes: dict[Member, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self._wanted: tuple[Member, ...] = ()

    def send(self, to: Member, letter: Letter) -> None:
        """Hand a letter to the link; one to a stranger that lists us is made now, until the lists are read again."""
        if to not in self._links:
            self.keep((*self._wanted, to))
        link = self._links.get(to)
        if link is not None:
            link.send(letter)

    def heard(self, member: Member) -> None:
        """A member reached us: reach it too."""
        link = self._links.get(member)
        if link is not None:
            link.hurry()

    def is_ours(self, member: Member) -> bool:
        """Whether our connection to a member is open, which it only stays to one of ours."""
        link = self._links.get(member)
        return link is not None and link.is_open

    def keep(self, members: tuple[Member, ...]) -> None:
        """Have links to exactly these members from now on."""
        self._wanted = members
        nursery = self._nursery
        if nursery is None:
            return
        for member in set(self._links) - set(members):
            self._scopes.pop(member).cancel()
            del self._links[member]
        for member in members:
            if member not in self._links:
                self._links[member] = self._make(member)
                self._scopes[member] = trio.CancelScope()
                nursery.start_soon(self._run, self._links[member], self._scopes[member])

    async def _run(self, link: Link, scope: trio.CancelScope) -> None:
        with scope:
            await link.run()

    async def run(self) -> None:
        """Keep all links until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.keep(self._wanted)
            await trio.sleep_forever()

    async def flush(self, seconds: float) -> None:
        """Wait until what was handed in has left, but not longer than this."""
        with trio.move_on_after(seconds):
            for link in tuple(self._links.values()):
                await link.until_sent()
