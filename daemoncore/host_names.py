"""The names of an address, for lists that name hosts by patterns such as `*.example.org`.

A name that the owner of an address gives it proves nothing; it counts only if looking it up leads back to the address.
Name servers take their time, and the look-up runs in a thread, so it happens only for lists that need it, gives up after
two seconds, and is remembered. (Plain host names in lists are looked up beforehand and need none of this.)
"""

import socket
from collections.abc import Awaitable, Callable
from typing import Final

import trio

#: Gives the names that an address really has; none when nobody knows.
NamesOf = Callable[[str], Awaitable[tuple[str, ...]]]

_DEADLINE_SECONDS: Final = 2.0
_REMEMBERED_SECONDS: Final = 600.0
#: Addresses remembered; when there are more they are all forgotten.
_MAXIMUM_REMEMBERED: Final = 1000


class HostNames:
    """Looks names up, and remembers what it found or did not find."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def names_of(self, address: str) -> tuple[str, ...]:
        """Return the names that lead to a numeric address and back, without those that take too long to find."""
        now = trio.current_time()
        known = self._known.get(address)
        if known and now - known[0] < _REMEMBERED_SECONDS:
            return known[1]
        names: tuple[str, ...] = ()
        with trio.move_on_after(_DEADLINE_SECONDS):
            names = await _confirmed_names(address)
        if len(self._known) >= _MAXIMUM_REMEMBERED:
            self._known.clear()
        self._known[address] = (now, names)
        return names


async def _confirmed_names(address: str) -> tuple[str, ...]:
    try:
        name, _ = await trio.socket.getnameinfo((address, 0), socket.NI_NAMEREQD)
        found = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return (name,) if address in {entry[4][0] for entry in found} else ()
