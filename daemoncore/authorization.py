"""Who may do what: the ALLOW_ and DENY_ lists of the configuration, as HTCondor 25 reads them.

Every command has a level (READ, WRITE, DAEMON, ADMINISTRATOR, ...), and every level has two lists of users and hosts.
In this order, the first that applies decides (HTCondor src/condor_io/condor_ipverify.cpp, Verify):

1. A proof that is limited to certain levels (a token's scopes, CLAIMTOBE) reaches no other.
2. Everybody is denied when DENY_x is `*`, or when there is no ALLOW_x at all (READ and WRITE may still follow from
   another level).
3. Whoever is on DENY_x is denied, whatever else says otherwise.
4. Whoever is on ALLOW_x is allowed.
5. Whoever is allowed at a level that implies this one is allowed: DAEMON and ADMINISTRATOR imply WRITE, and WRITE,
   NEGOTIATOR and CONFIG imply READ. Note that ADMINISTRATOR does not imply DAEMON.
6. Everybody else is denied.

An entry is `user/host`, `user@domain`, or a host: a name, a name with a `*`, an address, an address with a `*` at its
end, or a network such as `10.0.0.0/8`. Host names are matched by the addresses that they had when the lists were read,
patterns of names by the names that the visitor's address is known to have.
The lists of a level are those of ALLOW_<LEVEL>_<SUBSYSTEM>, else ALLOW_<LEVEL>, else ALLOW_DEFAULT; with
LEGACY_ALLOW_SEMANTICS (`use SECURITY : HOST_BASED`), DAEMON falls back to WRITE first.

HOSTALLOW_ and HOSTDENY_ are of the time before HTCondor 8, and HTCondor 25 does not read them any more. Here HOSTDENY_
always counts, and HOSTALLOW_ counts where there is no ALLOW_; it names hosts only.
"""

import enum
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import attrs

#: Gives the value of a setting, or None.
Get = Callable[[str], str | None]
#: Gives the numeric addresses of a host name, none when it has none.
AddressesOf = Callable[[str], Sequence[str]]


class Level(enum.StrEnum):
    """What a command may do, by HTCondor's names (src/condor_includes/condor_perms.h)."""

    #: Open to everyone.
    ALLOW = "ALLOW"
    #: Reading.
    READ = "READ"
    #: Changing data.
    WRITE = "WRITE"
    #: What a negotiator does.
    NEGOTIATOR = "NEGOTIATOR"
    #: Switching daemons on and off.
    ADMINISTRATOR = "ADMINISTRATOR"
    #: Changing settings from afar.
    CONFIG = "CONFIG"
    #: What daemons tell one another.
    DAEMON = "DAEMON"
    #: What a client thinks of servers.
    CLIENT = "CLIENT"
    ADVERTISE_STARTD = "ADVERTISE_STARTD"
    ADVERTISE_SCHEDD = "ADVERTISE_SCHEDD"
    ADVERTISE_MASTER = "ADVERTISE_MASTER"


#: Each level and the one that it directly implies (condor_perms.cpp, aImpliedNext).
_IMPLIES: Final[Mapping[Level, Level]] = {
    Level.WRITE: Level.READ,
    Level.NEGOTIATOR: Level.READ,
    Level.ADMINISTRATOR: Level.WRITE,
    Level.CONFIG: Level.READ,
    Level.DAEMON: Level.WRITE,
    Level.ADVERTISE_STARTD: Level.READ,
    Level.ADVERTISE_SCHEDD: Level.READ,
    Level.ADVERTISE_MASTER: Level.READ,
}
#: Where else to look for a level's settings before DEFAULT (condor_perms.cpp, aConfigNext).
_FALLS_BACK: Final[Mapping[Level, Level]] = {
    Level.ADVERTISE_STARTD: Level.DAEMON,
    Level.ADVERTISE_SCHEDD: Level.DAEMON,
    Level.ADVERTISE_MASTER: Level.DAEMON,
}
#: What condor_master's own children may do without being listed; it hands them the family session (daemon_core.cpp).
_FAMILY_LEVELS: Final = frozenset(
    {
        Level.ADMINISTRATOR,
        Level.DAEMON,
        Level.NEGOTIATOR,
        Level.CLIENT,
        Level.ADVERTISE_MASTER,
        Level.ADVERTISE_SCHEDD,
        Level.ADVERTISE_STARTD,
    }
)
_EVERYBODY: Final = frozenset({"*", "*/*"})
_SEPARATORS: Final = re.compile(r"[,\s]+")


class AuthorizationError(ValueError):
    """An entry of a list cannot be understood; the sentence names the setting and the entry."""


def implied_levels(level: Level) -> frozenset[Level]:
    """Return a level and all those that it implies, directly or not."""
    levels = {level}
    while level in _IMPLIES:
        level = _IMPLIES[level]
        levels.add(level)
    return frozenset(levels)


def settings_of(level: str, prefix: str, subsystem: str, *, is_legacy: bool) -> Iterator[str]:
    """Yield the names of the settings that may hold a level's value, the most particular first.

    `prefix` is the name with `{}` for the level: `ALLOW_{}` or `SEC_{}_ENCRYPTION`. The latter kind has no settings of
    one subsystem; leave `subsystem` empty for it.
    """
    while True:
        if subsystem:
            yield f"{prefix.format(level)}_{subsystem}"
        yield prefix.format(level)
        if level == "DEFAULT":
            return
        is_daemon = is_legacy and level == Level.DAEMON
        level = Level.WRITE if is_daemon else _FALLS_BACK.get(Level(level), "DEFAULT")


@attrs.frozen
class Visitor:
    """Who wants something, from where."""

    #: `name@domain`.
    user: str
    #: The numeric address that it comes from.
    address: str
    #: Host names that the address is known to belong to.
    names: tuple[str, ...] = ()
    #: The levels that its proof is limited to, or None.
    limits: frozenset[str] | None = None
    #: Whether it has the family session.
    is_family: bool = False


@attrs.frozen
class Entry:
    """One entry of a list: which users, from which hosts."""

    user: str
    host: str
    #: The networks behind `host`: one for an address or a network, any number for a name.
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    def matches(self, visitor: Visitor) -> bool:
        """Say whether the entry speaks of this visitor."""
        return _is_like(self.user, visitor.user) and self._has_host(visitor)

    def _has_host(self, visitor: Visitor) -> bool:
        address = _plain_address(visitor.address)
        if any(address in network for network in self.networks):
            return True
        return _is_like(self.host, str(address)) or any(_is_like(self.host, name) for name in visitor.names)


@attrs.frozen
class _Lists:
    """The two lists of one level. `allow` is None when the configuration has none."""

    allow: tuple[Entry, ...] | None
    deny: tuple[Entry, ...]
    is_open: bool
    is_closed: bool


@attrs.frozen
class Authorizer:
    """The lists of all levels, and what follows from them."""

    _lists: Mapping[Level, _Lists]
    #: Settings of old that were read although HTCondor 25 would not.
    legacy_settings: tuple[str, ...] = ()
    #: Entries of ALLOW_ lists that match nobody because they cannot be understood, each with the reason.
    ignored_entries: tuple[str, ...] = ()

    @classmethod
    def from_settings(
        cls, get: Get, *, subsystem: str = "HAD", addresses_of: AddressesOf = lambda _name: ()
    ) -> "Authorizer":
        """Read the lists of every level.

        Args:
            get: gives the value of a setting.
            subsystem: the daemon's name, whose own settings come first.
            addresses_of: finds the addresses of the host names in the lists; look them up beforehand.

        Raises:
            AuthorizationError: an entry of a DENY_ list cannot be understood; ignoring it would let somebody in.
        """
        is_legacy = (get("LEGACY_ALLOW_SEMANTICS") or "").strip().lower() in ("true", "t", "yes", "1")
        is_equivalent = (get("USE_POOL_USERNAME_EQUIVALENT") or "true").strip().lower() in (
            "true",
            "t",
            "yes",
            "1",
        )
        read = _Reader(get, subsystem, is_legacy, is_equivalent, addresses_of)
        lists = {level: read.lists(level) for level in Level}
        return cls(lists, tuple(sorted(read.legacy_settings)), tuple(read.ignored_entries))

    @property
    def has_name_patterns(self) -> bool:
        """Whether some list names hosts by a pattern, so that visitors' names matter."""
        entries = (entry for lists in self._lists.values() for entry in (*(lists.allow or ()), *lists.deny))
        return any("*" in entry.host and re.search("[g-z]", entry.host.lower()) for entry in entries)

    def refusal(self, level: Level, visitor: Visitor) -> str | None:
        """Return why a visitor may not do what is of this level, or None when it may."""
        if level is Level.ALLOW:
            return None
        if visitor.limits is not None and not _is_within(level, visitor.limits):
            levels = ",".join(sorted(visitor.limits)) or "nothing"
            return f"the proof of {visitor.user} is limited to {levels}, which does not include {level}"
        if visitor.is_family and any(level in implied_levels(family) for family in _FAMILY_LEVELS):
            return None
        if self._is_allowed(level, visitor):
            return None
        known = ", ".join((visitor.address, *visitor.names))
        return f"{visitor.user} from {known} is not allowed {level}: {self._explain(level, visitor)}"

    def _is_allowed(self, level: Level, visitor: Visitor) -> bool:
        lists = self._lists[level]
        if lists.is_closed or (lists.allow is None and level not in (Level.READ, Level.WRITE)):
            return False
        if any(entry.matches(visitor) for entry in lists.deny):
            return False
        if lists.is_open or any(entry.matches(visitor) for entry in lists.allow or ()):
            return True
        return any(
            self._is_allowed(other, visitor) for other, implied in _IMPLIES.items() if implied is level
        )

    def _explain(self, level: Level, visitor: Visitor) -> str:
        lists = self._lists[level]
        if lists.is_closed or any(entry.matches(visitor) for entry in lists.deny):
            return f"DENY_{level} names it"
        return f"there is no ALLOW_{level}" if lists.allow is None else f"no entry of ALLOW_{level} names it"


@attrs.define
class _Reader:
    """Reads lists out of settings."""

    get: Get
    subsystem: str
    is_legacy: bool
    is_equivalent: bool
    addresses_of: AddressesOf
    legacy_settings: set[str] = attrs.field(factory=set)
    ignored_entries: list[str] = attrs.field(factory=list)

    def lists(self, level: Level) -> _Lists:
        allow_name, allow = self._find(level, "ALLOW_{}")
        if allow is None:
            allow_name, allow = self._find(level, "HOSTALLOW_{}")
        if allow is None and level is Level.CLIENT:
            # The one level that HTCondor 25 has a default for (param_info.in).
            allow_name, allow = "ALLOW_CLIENT", "*"
        deny: list[Entry] = []
        is_closed = False
        for prefix in ("DENY_{}", "HOSTDENY_{}"):
            name, value = self._find(level, prefix)
            is_closed = is_closed or value in _EVERYBODY
            deny += self._entries(name, value or "")
        return _Lists(
            allow=None if allow is None else tuple(self._entries(allow_name, allow)),
            deny=tuple(deny),
            is_open=allow in _EVERYBODY,
            is_closed=is_closed,
        )

    def _find(self, level: Level, prefix: str) -> tuple[str, str | None]:
        for name in settings_of(level, prefix, self.subsystem, is_legacy=self.is_legacy):
            value = (self.get(name) or "").strip()
            if value:
                if prefix.startswith("HOST"):
                    self.legacy_settings.add(name)
                return name, value
        return "", None

    def _entries(self, name: str, value: str) -> Iterator[Entry]:
        for text in filter(None, _SEPARATORS.split(value)):
            try:
                user, host = split_entry(text)
                networks = tuple(self._networks(host))
            except ValueError as error:
                problem = f"{name}: {text!r}: {error}"
                if "DENY" in name:
                    raise AuthorizationError(problem) from error
                self.ignored_entries.append(problem)
                continue
            for spelling in self._spellings(user):
                yield Entry(spelling, host, networks)

    def _spellings(self, user: str) -> Iterable[str]:
        # The holder of the pool's secret was called condor_pool before 23.9; a list that names the one means both.
        name, at, domain = user.partition("@")
        other = {"condor": "condor_pool", "condor_pool": "condor"}.get(name.lower())
        return (user, f"{other}@{domain}") if self.is_equivalent and at and other else (user,)

    def _networks(self, host: str) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        network = _network(host)
        if network is not None:
            yield network
        elif "*" not in host:
            for address in self.addresses_of(host):
                yield ipaddress.ip_network(_plain_address(address))


def host_names(get: Get, subsystem: str = "HAD") -> frozenset[str]:
    """Return the host names in all lists, whose addresses are to be looked up before the lists are read."""
    found: set[str] = set()

    def note(name: str) -> Sequence[str]:
        found.add(name)
        return ()

    Authorizer.from_settings(get, subsystem=subsystem, addresses_of=note)
    return frozenset(found)


def split_entry(text: str) -> tuple[str, str]:
    """Return the user and the host of an entry; `*` for the one that it does not name.

    Two slashes are `user/network/mask`. One is `user/host` when there is an `@` or a `*` at the beginning before it,
    else a network. Without one, an `@` makes it a user (condor_ipverify.cpp, split_entry).

    Raises:
        ValueError: it is a netgroup, which we do not read, or a contact address, which names no host.
    """
    if text.startswith("+"):
        raise ValueError("netgroups are not supported")
    if re.search(r"[<>?]", text):
        raise ValueError(
            "a contact address says how to reach a daemon, not where it calls from; name its host"
        )
    first, slash, rest = text.partition("/")
    if not slash:
        return (text, "*") if "@" in text else ("*", text)
    if "/" in rest or "@" in first or first.startswith("*"):
        return first, rest
    if _network(text) is None:
        raise ValueError("neither a network nor user/host")
    return "*", text


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


@lru_cache(256)  # every command of a peer is authorized, and few peers talk much
def _plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    # An IPv4 visitor on an IPv6 socket is still an IPv4 visitor; a zone says nothing to a list.
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_like(pattern: str, text: str) -> bool:
    """Say whether a text matches a pattern in which `*` stands for anything, without regard to case."""
    if "*" not in pattern:
        return pattern.lower() == text.lower()
    first, *others = pattern.lower().split("*")
    text = text.lower()
    if (
        not text.startswith(first)
        or not text.endswith(others[-1])
        or len(text) < len(first) + len(others[-1])
    ):
        return False
    position, end = len(first), len(text) - len(others[-1])
    for piece in others[:-1]:
        found = text.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True


def _is_within(level: Level, limits: frozenset[str]) -> bool:
    known = (Level.__members__.get(limit.upper()) for limit in limits)
    return any(level in implied_levels(limit) for limit in known if limit)
