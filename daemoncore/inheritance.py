"""What condor_master hands down to a daemon that it starts: where it is, sockets that listen already, and a session.

Two variables of the environment say it. `CONDOR_INHERIT` is

    PID <address of the parent> [KIND SOCKET]... 0 [SharedPort:NAME*SOCKET] [KIND SOCKET]... 0

where KIND is 1 for TCP and 2 for UDP, and SOCKET begins with the number of a descriptor. What stands before the first 0
was opened by the parent for other ends; after it come the sockets to take commands on: those of a port, or the end
behind a shared port whose NAME says how we are called there. `CONDOR_PRIVATE_INHERIT` has the secrets, among them the
session that all daemons of one condor_master share (`daemoncore.cedar.sessions.family_session`).

Facts: HTCondor src/condor_daemon_core.V6/daemon_core.cpp (`DaemonCore::Inherit`), src/condor_io/shared_port_endpoint.cpp
(`serialize`); transcripts in tests/vectors (09-master, 10-shared-port-endpoint).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from daemoncore.address import Address
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.sessions import Session, family_session
from daemoncore.cedar.sinful import Sinful

PUBLIC: Final = "CONDOR_INHERIT"
"""The variable with the parent and the sockets."""

PRIVATE: Final = "CONDOR_PRIVATE_INHERIT"
"""The variable with the sessions."""

COOKIE: Final = "CONDOR_PRIVATE_SHARED_PORT_COOKIE"
"""The variable with the name, in the abstract namespace, of the folder of the local sockets of one master's daemons."""

_SHARED_PORT: Final = "SharedPort:"
_END: Final = "0"
_TCP: Final = "1"
_KINDS: Final = frozenset({_TCP, "2"})


class InheritanceError(ValueError):
    """The variables are there and cannot be read; the sentence says why."""


@attrs.frozen
class SharedPortEnd:
    """Our end behind a shared port: a listening socket of the AF_UNIX kind."""

    #: Its whole name, ending in what clients ask for: `/run/condor/daemon_sock/had`, or `COOKIE/had`.
    name: str
    descriptor: int

    @property
    def sock(self) -> str:
        """What clients ask the shared port server for, such as `had`."""
        return self.name.rpartition("/")[2]


@attrs.frozen
class Inheritance:
    """What a parent handed down."""

    parent_pid: int
    #: The parent's address string, `<10.0.0.1:41775?alias=cm1.example.org>`.
    parent_address: str
    #: Descriptors of TCP sockets that listen on our port.
    listeners: tuple[int, ...] = ()
    #: Descriptors that we have no use for: UDP, and what was opened for other ends.
    others: tuple[int, ...] = ()
    shared_port: SharedPortEnd | None = None
    #: The session that all daemons of one condor_master share, if there is one.
    family: Session | None = attrs.field(default=None, repr=False)
    #: Where the local sockets are, when they are in the abstract namespace.
    cookie: str | None = attrs.field(default=None, repr=False)

    @property
    def parent(self) -> Address:
        """Where the parent takes commands; port 0 is its end behind a shared port that was not open yet."""
        return _place(self.parent_address)

    @property
    def local_sockets(self) -> str | None:
        """Where the daemons of this master have their ends behind the shared port; None: in DAEMON_SOCKET_DIR."""
        return self.cookie if self.shared_port is None else self.shared_port.name.rpartition("/")[0]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Every descriptor that came with it."""
        shared = () if self.shared_port is None else (self.shared_port.descriptor,)
        return (*self.listeners, *self.others, *shared)

    def keep_from_children(self) -> None:
        """See that no process of ours inherits the descriptors in its turn, and close those without use.

        Raises:
            InheritanceError: a descriptor that is named is not open.
        """
        try:
            for descriptor in self.descriptors:
                os.set_inheritable(descriptor, False)
            for descriptor in self.others:
                os.close(descriptor)
        except OSError as error:
            raise InheritanceError(
                f"{PUBLIC} names a descriptor that is not open: {error.strerror}"
            ) from error

    def listener_on(self, port: int) -> socket.socket | None:
        """Return the socket that listens on a port, if one of those handed down does."""
        for descriptor in self.listeners:
            listener = socket.socket(fileno=os.dup(descriptor))
            if listener.getsockname()[1] == port:
                return listener
            listener.close()
        return None

    def close_listeners(self) -> None:
        """Close what was handed down to take commands on: what is used is a copy, and callers of the rest are refused."""
        for descriptor in self.listeners:
            os.close(descriptor)


def read_inheritance(environment: Mapping[str, str]) -> Inheritance | None:
    """Return what a parent handed down; None without one.

    Raises:
        InheritanceError: the variable is there and cannot be read.
    """
    text = environment.get(PUBLIC, "").strip()
    if not text:
        return None
    words = iter(text.split())
    try:
        parent_pid, parent_address = int(next(words)), next(words)
        _place(parent_address)
        unrelated = [descriptor for _, descriptor in _sockets(words, next(words))]
        word = next(words, _END)
        shared_port = None
        if word.startswith(_SHARED_PORT):
            name, _, serialized = word.removeprefix(_SHARED_PORT).partition("*")
            shared_port = SharedPortEnd(name, _descriptor(serialized))
            word = next(words, _END)
        ours = list(_sockets(words, word))
    except (StopIteration, ValueError, RuntimeError, ProtocolError) as error:
        reason = "it ends early" if isinstance(error, (StopIteration, RuntimeError)) else str(error)
        raise InheritanceError(f"{PUBLIC} cannot be read: {reason} (got {text[:200]!r})") from error
    return Inheritance(
        parent_pid,
        parent_address,
        listeners=tuple(descriptor for kind, descriptor in ours if kind == _TCP),
        others=(*unrelated, *(descriptor for kind, descriptor in ours if kind != _TCP)),
        shared_port=shared_port,
        family=family_session(environment.get(PRIVATE, "")),
        cookie=environment.get(COOKIE) or None,
    )


def _place(text: str) -> Address:
    """Read a parent's address; behind a shared port the port is none of its own, and may not be known yet."""
    sinful = Sinful.parse(text)
    if not sinful.port and sinful.sock:
        return Address(sinful.host, 0, sinful.sock)
    return Address.of(sinful)


def _sockets(words: Iterable[str], first: str) -> Iterable[tuple[str, int]]:
    """Yield kind and descriptor of each socket up to the end mark, given the first word."""
    words, kind = iter(words), first
    while kind != _END:
        if kind not in _KINDS:
            raise ValueError(f"a socket is of kind 1 or 2, not {kind[:20]!r}")
        yield kind, _descriptor(next(words))
        kind = next(words, _END)


def _descriptor(serialized: str) -> int:
    """Return the number that a serialized socket begins with."""
    number = serialized.partition("*")[0]
    if not number.isascii() or not number.isdecimal():
        raise ValueError(f"a socket begins with its descriptor, not {serialized[:20]!r}")
    return int(number)
