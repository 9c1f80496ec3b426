"""Who the members are, and which of them this node is.

Addresses are resolved here, once, while a configuration is loaded; the running daemon only knows numbers. Everything
that the network could say comes in as functions, so that the rules are tested without one; `HOST_NETWORK` is this host's.
"""

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from daemoncore import local_addresses
from daemoncore.address import Address
from daemoncore.config import Configuration, Problem

#: An id is seven bits of an epoch, so this many members can make epochs that never collide.
MAXIMUM_MEMBERS = 128


@attrs.frozen
class Member:
    """One entry of HAD_LIST, HAD_WITNESS_LIST or REPLICATION_LIST.

    Attributes:
        entry: as the list spells it.
        address: the same, parsed.
        numeric: the same, resolved to numbers.
    """

    entry: str
    address: Address
    numeric: Address

    @property
    def name(self) -> str:
        """The identity that the election uses: the numeric address."""
        return str(self.numeric)


@attrs.frozen
class Network:
    """What the rules ask of the machine.

    Attributes:
        resolve: numeric addresses of a host, best first; raises OSError.
        is_bindable: whether a numeric address is this host's own.
        interface_addresses: addresses of a network interface by its name.
    """

    resolve: Callable[[str], Sequence[str]]
    is_bindable: Callable[[str], bool]
    interface_addresses: Callable[[str], Sequence[str]]


#: The network as this host sees it; tests bring their own.
HOST_NETWORK = Network(
    local_addresses.resolve, local_addresses.is_bindable, local_addresses.interface_addresses
)


@attrs.define
class Examination:
    """A configuration under examination: rules read from it, and write what is wrong."""

    configuration: Configuration
    network: Network
    #: False for a tool that looks at a configuration on a machine which need not be a member.
    is_member_required: bool = True
    problems: list[Problem] = attrs.field(factory=list)
    warnings: list[Problem] = attrs.field(factory=list)

    def refuse(self, knob: str, message: str) -> None:
        """Note that a knob is wrong; the message starts after its name."""
        self.problems.append(self.configuration.problem(knob, message))

    def warn(self, knob: str, message: str) -> None:
        """Note something that the daemon can live with."""
        warning = attrs.evolve(self.configuration.problem(knob, message), is_warning=True)
        self.warnings.append(warning)

    def items(self, knob: str) -> tuple[str, ...]:
        """Return the entries of a list knob."""
        value = self.configuration.get(knob)
        return value if isinstance(value, tuple) else ()


def read_members(knob: str, examination: Examination) -> tuple[Member, ...]:
    """Return the members that a list knob names; entries that are none are refused and left out.

    An entry with the shared port's number is reached through it, if HAD_USE_SHARED_PORT (or its sibling for
    REPLICATION_LIST) says so; it then has the daemons' common name there, unless it names another itself.
    """
    members = []
    for entry in examination.items(knob):
        member = _read_member(knob, entry, examination, shared_port_of(knob, examination.configuration))
        if member is not None:
            members.append(member)
    return tuple(members)


@attrs.frozen
class SharedPort:
    """The port that daemons share, and the name that those of one kind have behind it on every host."""

    port: int
    sock: str

    def lead_to(self, address: Address) -> Address:
        """Return an address with the common name, if it is one of this port and has no name of its own."""
        is_behind = address.sock is None and address.port == self.port
        return attrs.evolve(address, sock=self.sock) if is_behind else address


def shared_port_of(knob: str, configuration: Configuration) -> SharedPort | None:
    """Return through what the daemons of a list are reached; None when each has a port of its own.

    A real condor_had gives every entry of its list its own name as well (HTCondor, StateMachine.cpp), so one name
    serves all hosts.
    """
    subsystem = "REPLICATION" if knob == "REPLICATION_LIST" else "HAD"
    if not configuration.get(f"{subsystem}_USE_SHARED_PORT"):
        return None
    port, sock = configuration.get("SHARED_PORT_PORT"), configuration.text(f"{subsystem}_SOCKET_NAME")
    return SharedPort(port, sock) if isinstance(port, int) and sock else None


def _read_member(knob: str, entry: str, examination: Examination, shared: SharedPort | None) -> Member | None:
    try:
        address = Address.parse(entry)
    except ValueError as error:
        examination.refuse(knob, f"has an entry that is no address: {error}")
        return None
    try:
        numbers = examination.network.resolve(address.host)
    except OSError as error:
        examination.refuse(knob, f"names {address.host}, which cannot be resolved: {error.strerror or error}")
        return None
    if shared is not None:
        address = shared.lead_to(address)
    return Member(entry, address, attrs.evolve(address, host=numbers[0]))


def check_lists(members: Sequence[Member], witnesses: Sequence[Member], examination: Examination) -> None:
    """Refuse duplicates, witnesses that are members, and more members than ids."""
    for knob, group in (("HAD_LIST", members), ("HAD_WITNESS_LIST", witnesses)):
        for first, second in _duplicates(group):
            same = f"{first} twice" if first == second else f"{first} and {second}, which are the same"
            examination.refuse(knob, f"must name each member once (got {same})")
    candidates = {member.name for member in members}
    for witness in witnesses:
        if witness.name in candidates:
            examination.refuse(
                "HAD_WITNESS_LIST", f"must not name a member of HAD_LIST (got {witness.entry})"
            )
    if len(members) > MAXIMUM_MEMBERS:
        examination.refuse("HAD_LIST", f"must have at most {MAXIMUM_MEMBERS} members (got {len(members)})")


def _duplicates(group: Iterable[Member]) -> list[tuple[str, str]]:
    seen: dict[str, str] = {}
    found = []
    for member in group:
        if member.name in seen:
            found.append((seen[member.name], member.entry))
        seen.setdefault(member.name, member.entry)
    return found


def address_of(name: str, everyone: Iterable[Member], me: Member) -> Address:
    """Return a member's whole address; one that no list names is taken to be reached as `me` is."""
    known = next((member.numeric for member in everyone if member.name == name), None)
    address = Address.parse(name)
    is_like_me = address.port == me.numeric.port
    return known or (attrs.evolve(address, sock=me.numeric.sock) if is_like_me else address)


def find_named(labels: Mapping[str, str], text: str) -> str | None:
    """Return the member that an operator means, by its entry or its numeric address; None when there is no such one.

    Args:
        labels: the entry of each member, by its name.
        text: what the operator wrote.
    """
    for member, entry in labels.items():
        if text in {member, entry}:
            return member
    try:
        name = str(Address.parse(text))
    except ValueError:
        return None
    return name if name in labels else None


def compare_lists(members: Sequence[Member], replicas: Sequence[Member]) -> list[str]:
    """Return one sentence for each place where HAD_LIST and REPLICATION_LIST name different hosts."""
    differences = []
    for index in range(max(len(members), len(replicas))):
        member = members[index] if index < len(members) else None
        replica = replicas[index] if index < len(replicas) else None
        if member is None or replica is None or member.numeric.host != replica.numeric.host:
            ours = member.entry if member else "nothing"
            theirs = replica.entry if replica else "nothing"
            differences.append(f"entry {index + 1} is {ours} in HAD_LIST and {theirs} in REPLICATION_LIST")
    hosts = [sorted(entry.numeric.host for entry in group) for group in (members, replicas)]
    if differences and hosts[0] == hosts[1]:
        differences.append("the hosts are the same, in a different order")
    return differences


def find_self(
    everyone: Sequence[Member], port: int | None, examination: Examination, *, knob: str = "HAD_LIST"
) -> Member | None:
    """Return this node's own entry, or refuse and return None (hard case 23).

    HAD_SELF names it; else it is the one entry with our port that NETWORK_INTERFACE allows and that this host can bind.

    Args:
        everyone: the members and the witnesses.
        port: the port of `-p`, or None.
        examination: gets the problems.
        knob: the list that is refused when it has no such entry, or several.
    """
    named = examination.configuration.text("HAD_SELF")
    if named is not None:
        return _named_self(named, everyone, port, examination)
    allowed = _allowed_hosts(examination)
    candidates = [
        member
        for member in everyone
        if (port is None or member.numeric.port == port)
        and (allowed is None or any(fnmatch.fnmatchcase(member.numeric.host, pattern) for pattern in allowed))
        and examination.network.is_bindable(member.numeric.host)
    ]
    if len(candidates) == 1:
        return candidates[0]
    _refuse_self(candidates, everyone, port, examination, knob)
    return None


def _named_self(
    named: str, everyone: Sequence[Member], port: int | None, examination: Examination
) -> Member | None:
    numeric = None
    try:
        address = Address.parse(named)
        numeric = attrs.evolve(address, host=examination.network.resolve(address.host)[0])
    except (ValueError, OSError):
        address = None
    for member in everyone:
        if named == member.entry or _is_same(address, member.address) or _is_same(numeric, member.numeric):
            if port is not None and port != member.numeric.port:
                examination.refuse(
                    "HAD_SELF", f"is {member.entry}, but the daemon was told to listen on port {port}"
                )
            return member
    examination.refuse("HAD_SELF", f"must be an entry of HAD_LIST or HAD_WITNESS_LIST (got {named})")
    return None


def _is_same(named: Address | None, entry: Address) -> bool:
    """Whether two addresses are one, whatever is said of a name behind a shared port."""
    return named is not None and (named.host, named.port) == (entry.host, entry.port)


def _allowed_hosts(examination: Examination) -> tuple[str, ...] | None:
    """The addresses and patterns that NETWORK_INTERFACE allows; None for all."""
    text = examination.configuration.text("NETWORK_INTERFACE") or "*"
    items = text.replace(",", " ").split()
    if "*" in items:
        return None
    patterns: list[str] = []
    for item in items:
        patterns.extend(examination.network.interface_addresses(item) or (item.strip("[]"),))
    return tuple(patterns)


def _refuse_self(
    candidates: Sequence[Member],
    everyone: Sequence[Member],
    port: int | None,
    examination: Examination,
    knob: str,
) -> None:
    where = "" if port is None else f" with port {port}"
    if candidates:
        entries = ", ".join(member.entry for member in candidates)
        choice = f"has several entries{where} that this host could be ({entries})"
        examination.refuse(knob, f"{choice}; set HAD_SELF or NETWORK_INTERFACE")
        return
    interface = examination.configuration.text("NETWORK_INTERFACE") or "*"
    entries = ", ".join(member.entry for member in everyone)
    limit = "" if interface == "*" else f" and NETWORK_INTERFACE = {interface}"
    if examination.is_member_required:
        wanted = f"must have an entry for this host{where}{limit} (got {entries})"
        examination.refuse(knob, f"{wanted}; or HAD_SELF must name it")
    else:
        examination.warn(knob, f"has no entry for this host{where}{limit}, so it is no member here")
