"""The streams that members keep open to us: one from each, of which the newest counts.

A stream is a connection on which one of our own daemons sends its messages, one command each. Its end is news: that
member's daemon may be gone, so ours looks at once (`daemoncore.links`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeAlias

import trio

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command, command_name
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.scalars import MessageReader
from daemoncore.payloads import payload
from daemoncore.server_connection import Request

Member: TypeAlias = str
"""A member's identity: its numeric address."""

Take: TypeAlias = Callable[[ClassAd], Member | None]
"""Takes one message and returns whose it is, None if it does not come from there; WireError if it is none."""


class Streams:
    """Who has a stream open to us.

    Args:
        heard: told when a member's stream ends.
        silent_seconds: how long a stream may be silent before it is a dead host's.
    """

    def __init__(self, heard: Callable[[Member], None], silent_seconds: Callable[[], float]) -> None:
        self._heard = heard
        self._silent_seconds = silent_seconds
        self._scopes: dict[Member, trio.CancelScope] = {}

    def is_streaming(self, member: Member) -> bool:
        """Whether a connection of this member's is open."""
        return member in self._scopes

    async def follow(self, request: Request, command: Command, take: Take) -> None:
        """Take the first message, which came with the command, and each other one, which brings its own."""
        member = _taken(payload(request), take)
        if member is None:
            return
        # A member has one connection to us. An older one was cut off without a word, and would pass for a sign of life.
        if member in self._scopes:
            self._scopes[member].cancel()
        with trio.CancelScope() as scope:
            self._scopes[member] = scope
            try:
                await self._follow(request, command, take)
            finally:
                if self._scopes[member] is scope:
                    del self._scopes[member]
                    self._heard(member)

    async def _follow(self, request: Request, command: Command, take: Take) -> None:
        async with contextlib.aclosing(request.messages()) as following:
            while True:
                with trio.move_on_after(self._silent_seconds()) as silence:
                    try:
                        given, reader = await anext(following)
                    except StopAsyncIteration:
                        return
                if silence.cancelled_caught:
                    return
                if given != command:
                    raise ProtocolError(
                        f"only {command.name} follows on this stream (got {command_name(given)})"
                    )
                _taken(reader, take)


def _taken(reader: MessageReader, take: Take) -> Member | None:
    ad = reader.get_ad()
    reader.end()
    return take(ad)
