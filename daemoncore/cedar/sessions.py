"""Sessions: an agreed key and identity, kept so that the next command costs one round trip instead of many.

A server finds a session by its id, a client by the server's address and the command. Real clients keep theirs by id
alone, for a day, so ids must never repeat, not even between two servers or two runs of one. Both caches are bounded;
the session that has been idle longest makes room. A session ends when its duration is over, or when it has not been
used for its lease. Nobody may ever ask for it again, as each call of a tool leaves one; so while new ones come, those that
have ended are looked for each minute. Nothing here is ever written to disk: after a restart the answer is SID_NOT_FOUND,
and the client negotiates again.
"""

import math
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Final, TypeVar

import attrs

from daemoncore.cedar.authentication import Identity
from daemoncore.cedar.keys import derived_session_key

#: A pool of fifty managers with their tools and collectors stays far below; a flood of strangers costs 200 KB.
MAXIMUM_SESSIONS: Final = 1000
#: Sessions that have ended are looked for so often, when one is added; a thousand are looked through in a millisecond.
SWEEP_SECONDS: Final = 60
#: Seconds that a server keeps a session longer than it told the client (SEC_SESSION_DURATION_SLOP).
SERVER_GRACE_SECONDS: Final = 20

_Key = TypeVar("_Key")


@attrs.frozen
class Session:
    """A key and who is behind it."""

    identifier: str
    key: bytes = attrs.field(repr=False)
    #: In a server: who the client is. In a client: who the server says that we are.
    identity: Identity
    #: The commands that the server said it is good for; empty is all.
    valid_commands: frozenset[int] = frozenset()
    #: Seconds without use after which it is forgotten; 0 is never.
    lease_seconds: float = 0.0
    #: When it ends in any case, in the clock of whoever keeps it.
    ends_at: float = float("inf")
    peer_version: str = ""


@attrs.define
class SessionNumbers:
    """Makes ids that no other session anywhere has had: host, process, start time and a counter."""

    host: str
    process: int
    started_at: float
    _count: int = 0

    def next_identifier(self) -> str:
        """Return an id that was not given before, such as `cm1:1158:1795321945:1`."""
        self._count += 1
        return f"{self.host}:{self.process}:{self.started_at:.0f}:{self._count}"


class SessionCache:
    """A server's sessions, by id."""

    def __init__(self, maximum: int = MAXIMUM_SESSIONS, grace_seconds: float = SERVER_GRACE_SECONDS) -> None:
        self._maximum = maximum
        self._grace_seconds = grace_seconds
        # The least recently used first.
        self._sessions: OrderedDict[str, tuple[Session, float]] = OrderedDict()
        self._swept_at = -math.inf
        #: A session that was agreed on elsewhere, and is kept whatever happens to the others.
        self.family: Session | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: Session, now: float) -> None:
        """Keep a session; the one idle longest makes room."""
        self._sessions[session.identifier] = (session, now)
        self._sessions.move_to_end(session.identifier)
        if _is_sweep_due(self._swept_at, now):
            self._swept_at = now
            _forget_ended(self._sessions, now, self._grace_seconds)
        while len(self._sessions) > self._maximum:
            self._sessions.popitem(last=False)

    def find(self, identifier: str, now: float) -> Session | None:
        """Return the session of that id and renew its lease, or None when there is none any more."""
        if self.family is not None and identifier == self.family.identifier:
            return self.family
        found = self._sessions.get(identifier)
        if found is None:
            return None
        session, used_at = found
        if not _is_alive(session, used_at, now, self._grace_seconds):
            del self._sessions[identifier]
            return None
        self.add(session, now)
        return session

    def drop(self, identifier: str) -> None:
        """Forget a session; an unknown id does not matter."""
        self._sessions.pop(identifier, None)

    def clear(self) -> None:
        """Forget all of them, as after a change of the security settings."""
        self._sessions.clear()


class ClientSessions:
    """A client's sessions, by the server's address and command."""

    def __init__(self, maximum: int = MAXIMUM_SESSIONS) -> None:
        self._maximum = maximum
        self._sessions: OrderedDict[tuple[str, str], tuple[Session, float]] = OrderedDict()
        self._swept_at = -math.inf

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, address: str, session: Session, now: float) -> None:
        """Keep a session with the server at `address`; it takes the place of those that are good for nothing more."""
        for key in [key for key in self._sessions if key[0] == address]:
            if _is_good_for_all_of(session, self._sessions[key][0]):
                del self._sessions[key]
        key = (address, session.identifier)
        self._sessions[key] = (session, now)
        self._sessions.move_to_end(key)
        if _is_sweep_due(self._swept_at, now):
            self._swept_at = now
            _forget_ended(self._sessions, now, 0.0)
        while len(self._sessions) > self._maximum:
            self._sessions.popitem(last=False)

    def find(self, address: str, command: int, now: float) -> Session | None:
        """Return a session with the server at `address` that is good for `command`, newest first, or None."""
        for key in [key for key in reversed(self._sessions) if key[0] == address]:
            session, used_at = self._sessions[key]
            if not _is_alive(session, used_at, now, 0.0):
                del self._sessions[key]
            elif not session.valid_commands or command in session.valid_commands:
                self._sessions[key] = (session, now)
                return session
        return None

    def drop(self, identifier: str) -> None:
        """Forget a session that its server does not know any more."""
        for key in [key for key in self._sessions if key[1] == identifier]:
            del self._sessions[key]

    def clear(self) -> None:
        """Forget all of them."""
        self._sessions.clear()


def _is_good_for_all_of(session: Session, other: Session) -> bool:
    return not session.valid_commands or (
        bool(other.valid_commands) and other.valid_commands <= session.valid_commands
    )


def _is_alive(session: Session, used_at: float, now: float, grace_seconds: float) -> bool:
    is_leased = not session.lease_seconds or now - used_at <= session.lease_seconds + grace_seconds
    return is_leased and now <= session.ends_at + grace_seconds


def _is_sweep_due(swept_at: float, now: float) -> bool:
    # The clock is the host's, and may be put back.
    return abs(now - swept_at) >= SWEEP_SECONDS


def _forget_ended(
    sessions: MutableMapping[_Key, tuple[Session, float]], now: float, grace_seconds: float
) -> None:
    """Forget every session that is over."""
    for key in [
        key
        for key, (session, used_at) in sessions.items()
        if not _is_alive(session, used_at, now, grace_seconds)
    ]:
        del sessions[key]


def family_session(inherited: str) -> Session | None:
    """Return the session that condor_master shares with its children, from CONDOR_PRIVATE_INHERIT, or None.

    The text holds `FamilySessionKey:ID#[attributes]KEY` among other words. The key is derived from the hexadecimal
    digits as text, and the session makes us `condor@family`, whom every daemon of the family lets command it.
    """
    marker = "FamilySessionKey:"
    for word in inherited.split():
        identifier, hash_sign, rest = word.removeprefix(marker).partition("#")
        _, bracket, key_text = rest.rpartition("]")
        if word.startswith(marker) and hash_sign and bracket and identifier and key_text:
            key = derived_session_key(key_text.encode("ascii", "replace"))
            return Session(identifier, key, Identity("condor@family", "FAMILY"))
    return None
