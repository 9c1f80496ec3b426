"""The connection to the replication daemon of this node: had calls, it answers, and never the reverse (hard case 17).

With one of ours a stream stays open: words go out in order, answers come in, and its end is news at once. A broken
stream is dialled again at once, then each T/2, a second at most; each try has T, and the loop waits for none of it.
A frozen daemon keeps its connections. So while the controllee waits for an answer the daemon is called once more beside
the stream: one that does not even take a call in time is as good as gone.
What answers is asked with a session and no command, as by the links to other members, since a real condor_replication
closes the connection on a command that it does not know. That one is told each word in a connection of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from daemoncore.address import Address
from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import WireError
from daemoncore.client import (
    CallFailed,
    Client,
    Connection,
    ProtocolFailure,
    TimedOut,
)
from daemoncore.event_log import Tell
from had.custody_events import Replica, ReplicaAnswered, ReplicaFound, ReplicaLost
from had.replica_messages import condor_command, decode_answer_untrusted, encode
from had.replica_words import CurrentAsked, FlushAsked, ToReplica, Withdrawn

LONGEST_PAUSE_SECONDS: Final = 1.0
"""Between two tries, however long T is: a controllee may be waiting for it."""

SHORT_SECONDS: Final = 0.2
"""A stream that broke sooner than this is not dialled again at once."""

LOOK_SECONDS: Final = 30.0
"""A real condor_replication is looked at so often, since one of ours may have taken its place."""

PROBE_SECONDS: Final = 1.0
"""A replica that is waited for is called so often, and has so long to take the call; T if that is longer."""

MAXIMUM_WORDS: Final = 1000
"""So many words that it did not take: it stands still, and the stream is of no use."""

News = ReplicaFound | ReplicaLost | ReplicaAnswered
"""What the link tells the machine."""


class ReplicaLink:
    """The way to this node's own replica.

    Args:
        address: gives its address, the entry of REPLICATION_LIST in this node's place; it can change at any time.
        our_sinful: had's own address as HTCondor writes it.
        client: gives what connects.
        post: takes events for the machine.
        timeout_seconds: gives T.
        tell: writes lines of the log.
    """

    def __init__(
        self,
        address: Callable[[], Address],
        our_sinful: str,
        client: Callable[[], Client],
        post: Callable[[News], None],
        timeout_seconds: Callable[[], float],
        tell: Tell,
    ) -> None:
        self._address = address
        self._our_sinful = our_sinful
        self._client = client
        self._post = post
        self._timeout_seconds = timeout_seconds
        self._tell = tell
        self._kind = Replica.UNREACHABLE
        self._send, self._receive = trio.open_memory_channel[ToReplica](MAXIMUM_WORDS)
        self._is_found = False
        self._scope = trio.CancelScope()
        #: Why it could not be reached when that was told last.
        self._told: str | None = None
        self._unsent = 0
        self._sent = trio.Event()
        #: The question for whose answer the controllee waits, if it does.
        self._awaited: int | None = None

    def say(self, message: ToReplica) -> None:
        """Say it in its turn, if there is a connection; never waits."""
        if not self._is_found or (self._kind is Replica.CONDOR and condor_command(message) is None):
            return
        try:
            self._send.send_nowait(message)
            self._unsent += 1
            self._await_answer(message)
        except trio.WouldBlock:
            self._scope.cancel()

    def _await_answer(self, message: ToReplica) -> None:
        match message:
            case FlushAsked(request) | CurrentAsked(request, incumbent_epoch=None):
                self._awaited = request
            case Withdrawn(request) if request == self._awaited:
                self._awaited = None

    async def flush(self, seconds: float) -> None:
        """Wait until what was said has left, but not longer than this."""
        with trio.move_on_after(seconds):
            while self._unsent and self._is_found:
                await self._sent.wait()

    # --- its life ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            began = trio.current_time()
            has_worked = await self._once()
            if not has_worked or trio.current_time() < began + SHORT_SECONDS:
                await trio.sleep(min(self._timeout_seconds() / 2, LONGEST_PAUSE_SECONDS))

    async def _once(self) -> bool:
        """Find out what answers, and talk for as long as it works; return whether it did."""
        try:
            is_ours = await self._look()
            self._kind = Replica.OURS if is_ours else Replica.CONDOR
            await (self._attend() if is_ours else self._inform())
        except CallFailed as failure:
            self._failed(failure)
        has_worked, self._is_found = self._is_found, False
        self._kind = Replica.UNREACHABLE
        if has_worked:
            self._forget_words()
            self._post(ReplicaLost())
        return has_worked

    async def _look(self) -> bool:
        """Ask whether one of ours answers, within T."""
        command = Command.DC_AUTHENTICATE
        async with await self._connect(command, Command.HAD_IN_LEADER_STATE) as connection:
            return connection.peer.is_ours

    async def _connect(
        self, command: Command, asked_about: Command | None = None, seconds: float | None = None
    ) -> Connection:
        address, limit = self._address(), seconds or self._timeout_seconds()
        with trio.move_on_after(limit):
            return await self._client().connect(address, command, asked_about=asked_about)
        raise TimedOut(address, f"no connection within {limit:g} s")

    def _found(self, *, is_ours: bool) -> None:
        self._is_found, self._told = True, None
        self._tell("replica_link", implementation=self._kind.value)
        self._post(ReplicaFound(is_ours))

    def _failed(self, failure: CallFailed) -> None:
        """Say why it cannot be reached; once, until it can again or the reason is another."""
        reason = failure.kind
        if reason != self._told:
            self._told = reason
            self._tell("replica_unreachable", reason=reason, text=failure.reason)

    def _forget_words(self) -> None:
        """What was said on a connection that is gone is said anew on the next one, as it then is."""
        while True:
            try:
                self._receive.receive_nowait()
            except trio.WouldBlock:
                break
        self._unsent, self._awaited = 0, None
        self._wake()

    def _wake(self) -> None:
        self._sent.set()
        self._sent = trio.Event()

    def _delivered(self) -> None:
        self._unsent = max(0, self._unsent - 1)
        self._wake()

    # --- with one of ours -------------------------------------------------------------------------------------

    async def _attend(self) -> None:
        """Talk on a stream until it ends."""
        async with await self._connect(Command.REPLICATION_ATTEND) as connection:
            self._found(is_ours=True)
            failures: list[CallFailed] = []
            with trio.CancelScope() as self._scope:
                async with trio.open_nursery() as nursery:
                    for part in (self._say_all, self._hear_all, self._probe):
                        nursery.start_soon(self._until_it_fails, part, connection, failures)
            if failures:
                raise failures[0]

    async def _until_it_fails(
        self,
        part: Callable[[Connection], Awaitable[None]],
        connection: Connection,
        failures: list[CallFailed],
    ) -> None:
        try:
            await part(connection)
        except CallFailed as failure:
            failures.append(failure)
        self._scope.cancel()

    async def _say_all(self, connection: Connection) -> None:
        is_first = True
        async for message in self._receive:
            writer = connection.writer()
            if not is_first:
                writer.put_int(Command.REPLICATION_ATTEND)
            is_first = False
            await connection.send(writer.put_ad(encode(message)))
            self._delivered()

    async def _hear_all(self, connection: Connection) -> None:
        while True:
            reader = await connection.receive()
            try:
                ad = reader.get_ad()
                reader.end()
                answer = decode_answer_untrusted(ad)
            except WireError as error:
                raise ProtocolFailure(connection.address, str(error)) from error
            if answer.request == self._awaited:
                self._awaited = None
            self._post(ReplicaAnswered(answer))

    async def _probe(self, _connection: Connection) -> None:
        """See that it lives while it is waited for; whatever it answers is a sign of life.

        It is called on the session that there is, and asked nothing: a session for each call would fill its memory of them.

        Raises:
            TimedOut: it does not take a call.
        """
        while True:
            seconds = max(self._timeout_seconds(), PROBE_SECONDS)
            await trio.sleep(seconds)
            try:
                if self._awaited is not None:
                    await (await self._connect(Command.REPLICATION_STATUS, seconds=seconds)).aclose()
            except TimedOut:
                if self._awaited is not None:
                    raise
            except CallFailed:
                pass

    # --- with a real condor_replication ---------------------------------------------------------------------------

    async def _inform(self) -> None:
        """Tell it what there is to tell, until it cannot be reached or is one of ours."""
        self._found(is_ours=False)
        is_ours = False
        while not is_ours:
            message = None
            with trio.move_on_after(LOOK_SECONDS):
                message = await self._receive.receive()
            command = None if message is None else condor_command(message)
            is_ours = await (self._look() if command is None else self._order(command))

    async def _order(self, command: Command) -> bool:
        """Give one of HTCondor's commands, and return whether one of ours took it."""
        async with await self._connect(command) as connection:
            await connection.send(connection.writer().put_string(self._our_sinful))
            self._delivered()
            return connection.peer.is_ours
