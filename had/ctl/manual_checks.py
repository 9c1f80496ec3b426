"""The checks of `hadctl check` that look at this machine's configuration, as HTCondor's manual asks for.

A sanity check for central managers with high availability stood in the sources of the 7.8 manual and was never
shipped: the lists correspond, the daemons are listed, the port fits, and the ALLOW lists name every manager. A pool that
is no HTCondor pool sets none of these knobs, and is not asked for them.
"""

import fnmatch
import itertools
from collections.abc import Iterator, Mapping, Sequence

import attrs

from daemoncore import local_addresses
from daemoncore.address import Address
from daemoncore.config import Configuration
from daemoncore.membership import HOST_NETWORK, Examination, read_members
from had.ctl.consistency import Finding, Severity
from had.settings import examine

#: Lists by host that must name every central manager, as in the manual's sample.
_ALLOW = ("ALLOW_ADMINISTRATOR", "ALLOW_NEGOTIATOR", "ALLOW_DAEMON", "ALLOW_WRITE")
_DAEMONS = ("HAD", "COLLECTOR", "NEGOTIATOR")


def check_configuration(configuration: Configuration, environment: Mapping[str, str]) -> list[Finding]:
    """Return everything that is wrong with this machine's configuration, or that it is in order.

    Nothing here is critical: the daemons run with what they have read, and this is about the next time they do.
    """
    examination = _examined(configuration, environment)
    local = (*examination.problems, *configuration.warnings, *examination.warnings)
    found = [
        *(Finding(Severity.WARNING, "local", str(problem)) for problem in local),
        *_collectors(configuration),
        *_daemon_list(configuration),
        *_arguments(configuration),
        *_allow_lists(configuration),
    ]
    return found or [Finding(Severity.OK, "local", "this machine's configuration is in order")]


def _examined(configuration: Configuration, environment: Mapping[str, str]) -> Examination:
    """Apply the daemon's own rules, for the member that this machine is, if it is one.

    Where several members live on one machine, each is told on its own command line which one it is. No such command line
    reaches this tool, so it looks with the eyes of the first of them.
    """
    examination = Examination(configuration, HOST_NETWORK, is_member_required=False)
    members = read_members("HAD_LIST", attrs.evolve(examination, problems=[], warnings=[]))
    local = [member for member in members if HOST_NETWORK.is_bindable(member.numeric.host)]
    port = None
    if len(local) > 1 and configuration.text("HAD_SELF") is None:
        first = local[0].numeric
        port = first.port
        network = attrs.evolve(HOST_NETWORK, is_bindable=lambda host: host == first.host)
        examination = attrs.evolve(examination, network=network)
    examine(examination, port=port, environment=environment)
    return examination


def _warning(configuration: Configuration, knob: str, text: str) -> Finding:
    return Finding(Severity.WARNING, "manual", str(configuration.problem(knob, text)))


def _items(configuration: Configuration, knob: str) -> list[str]:
    return (configuration.text(knob) or "").replace(",", " ").split()


def _hosts(entries: Sequence[str]) -> list[str]:
    """Return the hosts of entries, in numbers where names are known."""
    return [_number(entry) for entry in entries]


def _number(entry: str) -> str:
    try:
        host = Address.parse(entry if ":" in entry else f"{entry}:1").host
        return local_addresses.resolve(host)[0]
    except (ValueError, OSError):
        return entry.casefold()


def _collectors(configuration: Configuration) -> Iterator[Finding]:
    """COLLECTOR_HOST names the hosts of HAD_LIST, in the same order."""
    collectors = _items(configuration, "COLLECTOR_HOST")
    if not configuration.is_set("COLLECTOR_HOST") or not collectors:
        return
    managers, hosts = _hosts(_items(configuration, "HAD_LIST")), _hosts(collectors)
    if sorted(managers) != sorted(hosts):
        text = f"must name the hosts of HAD_LIST (got {', '.join(collectors)})"
        yield _warning(configuration, "COLLECTOR_HOST", text)
    elif managers != hosts:
        yield _warning(configuration, "COLLECTOR_HOST", "must have the order of HAD_LIST")


def _daemon_list(configuration: Configuration) -> Iterator[Finding]:
    if not configuration.is_set("DAEMON_LIST"):
        return
    listed = {item.upper() for item in _items(configuration, "DAEMON_LIST")}
    controllee = (configuration.text("HAD_CONTROLLEE") or "").upper()
    for daemon in _DAEMONS:
        # Whatever had itself starts, condor_master must not start as well; the daemon's own rules see to that.
        if daemon == controllee and (configuration.text("HAD_CONTROL") or "") in {"spawn", "command"}:
            continue
        if daemon not in listed:
            yield _warning(configuration, "DAEMON_LIST", f"must contain {daemon} on a central manager")


def _arguments(configuration: Configuration) -> Iterator[Finding]:
    """The port that condor_master gives to had is one that HAD_LIST has."""
    words = (configuration.text("HAD_ARGS") or "").split()
    ports = {
        entry.strip("<>").partition("?")[0].rpartition(":")[2] for entry in _items(configuration, "HAD_LIST")
    }
    for word, following in itertools.pairwise(words):
        if word == "-p" and following not in ports:
            text = f"names port {following}, which no entry of HAD_LIST has"
            yield _warning(configuration, "HAD_ARGS", text)


def _allow_lists(configuration: Configuration) -> Iterator[Finding]:
    """Lists that go by host have every manager; lists that go by user need none."""
    for name in (*_ALLOW, *(f"HOST{name}" for name in _ALLOW)):
        patterns = _items(configuration, name)
        if not patterns or any("@" in pattern or "/" in pattern or pattern == "*" for pattern in patterns):
            continue
        numbers = {_number(pattern) for pattern in patterns}
        for entry in _items(configuration, "HAD_LIST"):
            host = entry.strip("<>").partition("?")[0].rpartition(":")[0].strip("[]")
            is_named = any(fnmatch.fnmatchcase(host.casefold(), pattern.casefold()) for pattern in patterns)
            if not is_named and _number(entry) not in numbers:
                yield _warning(configuration, name, f"must contain the central manager {host}")
