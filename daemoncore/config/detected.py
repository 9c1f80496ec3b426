"""Facts about the host and the process that a configuration may refer to: `$(FULL_HOSTNAME)`, `$(PID)` and so on.

Each is found out only when something refers to it, since a host name may need DNS and nobody should wait for a name
that no file mentions.
"""

import os
import platform
import pwd
import socket
from collections.abc import Callable, Mapping

#: Facts that no file may override, as in HTCondor (condor_config.cpp, `reinsert_specials`).
RESERVED = frozenset(
    {"TILDE", "HOSTNAME", "FULL_HOSTNAME", "SUBSYSTEM", "LOCALNAME", "USERNAME", "REAL_UID", "REAL_GID"}
    | {"PID", "PPID", "IP_ADDRESS", "IP_ADDRESS_IS_IPV6", "IPV4_ADDRESS", "IPV6_ADDRESS", "DETECTED_CPUS"}
)

Fact = Callable[[], str | None]


def host_facts() -> dict[str, Fact]:
    """Return the facts of this host by upper-case name."""
    return {
        "HOSTNAME": lambda: full_host_name().partition(".")[0],
        "FULL_HOSTNAME": full_host_name,
        "IPV4_ADDRESS": lambda: _outgoing_address(socket.AF_INET, "192.0.2.1"),
        "IPV6_ADDRESS": lambda: _outgoing_address(socket.AF_INET6, "2001:db8::1"),
        "IP_ADDRESS": ip_address,
        "IP_ADDRESS_IS_IPV6": lambda: "true" if ":" in ip_address() else "false",
        "TILDE": _condor_home,
        "USERNAME": _user_name,
        "REAL_UID": lambda: str(os.getuid()),
        "REAL_GID": lambda: str(os.getgid()),
        "PID": lambda: str(os.getpid()),
        "PPID": lambda: str(os.getppid()),
        "CONDORISADMIN": lambda: "true" if os.geteuid() == 0 else "false",
        "DETECTED_CPUS": lambda: str(os.cpu_count() or 1),
        "DETECTED_CORES": lambda: str(os.cpu_count() or 1),
        "DETECTED_MEMORY": _memory_mebibytes,
        "ARCH": lambda: platform.machine().upper(),
        "OPSYS": lambda: platform.system().upper(),
        "UNAME_ARCH": platform.machine,
        "UNAME_OPSYS": platform.system,
    }


def process_facts(subsystem: str, local_name: str, root_file: str) -> dict[str, Fact]:
    """Return the facts about this daemon and its root configuration file."""
    facts: dict[str, Fact] = {
        "SUBSYSTEM": lambda: subsystem,
        "LOCALNAME": lambda: local_name or subsystem,
    }
    if root_file:
        facts["CONFIG_ROOT"] = lambda: os.path.dirname(root_file) or "."  # noqa: PTH120  "." for a bare name, as text
    return facts


def full_host_name() -> str:
    """The host's name with its domain, if the kernel or the resolver knows one."""
    name = os.uname().nodename
    if "." in name:
        return name
    try:
        canonical = socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)[0][3]
    except OSError:
        return name
    # A hosts file that answers with localhost knows less than the kernel.
    return canonical if canonical.partition(".")[0].lower() == name.lower() else name


def ip_address() -> str:
    """The address that this host speaks from, IPv4 before IPv6, 127.0.0.1 without any network."""
    for family, towards in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        address = _outgoing_address(family, towards)
        if address is not None:
            return address
    return "127.0.0.1"


def _outgoing_address(family: int, towards: str) -> str | None:
    """Ask the routing table, by a datagram socket that never sends, which address would be used."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((towards, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _condor_home() -> str | None:
    try:
        return pwd.getpwnam("condor").pw_dir
    except KeyError:
        return None


def _user_name() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None


def _memory_mebibytes() -> str:
    return str(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20)


def user_file(name: str, environment: Mapping[str, str]) -> str | None:
    """The path of a user's own configuration file; None for root, who has none."""
    home = environment.get("HOME")
    if os.geteuid() == 0 or not home or not name:
        return None
    return name if name.startswith("/") else f"{home}/.condor/{name}"
