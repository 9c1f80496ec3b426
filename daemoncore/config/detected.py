"""Facts about the host and the process that a configuration may refer to: `$(FULL_HOSTNAME)`, `$(PID)` and so on.

Each is found out only when something refers to it, since a host name may need DNS and nobody should wait for a name
that no file mentions.
"""

import ipaddress
import os
import platform
import pwd
import socket
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from daemoncore.local_addresses import interface_addresses

#: Facts that no file may override, as in HTCondor (condor_config.cpp, `reinsert_specials`).
RESERVED = frozenset(
    {"TILDE", "HOSTNAME", "FULL_HOSTNAME", "SUBSYSTEM", "LOCALNAME", "USERNAME", "REAL_UID", "REAL_GID"}
    | {"PID", "PPID", "IP_ADDRESS", "IP_ADDRESS_IS_IPV6", "IPV4_ADDRESS", "IPV6_ADDRESS", "DETECTED_CPUS"}
)

Fact = Callable[[], str | None]


def host_facts(knob: Callable[[str], str]) -> dict[str, Fact]:
    """Return the facts of this host by upper-case name.

    Args:
        knob: gives the expanded text of a knob, empty when it is not set; NETWORK_HOSTNAME, DEFAULT_DOMAIN_NAME and
            NETWORK_INTERFACE change what a host is called.
    """
    return {
        "HOSTNAME": lambda: (knob("NETWORK_HOSTNAME") or full_host_name("")).partition(".")[0],
        "FULL_HOSTNAME": lambda: full_host_name(knob("DEFAULT_DOMAIN_NAME"), knob("NETWORK_HOSTNAME")),
        "IPV4_ADDRESS": lambda: own_address(4, knob("NETWORK_INTERFACE")),
        "IPV6_ADDRESS": lambda: own_address(6, knob("NETWORK_INTERFACE")),
        "IP_ADDRESS": lambda: ip_address(knob("NETWORK_INTERFACE")),
        "IP_ADDRESS_IS_IPV6": lambda: "true" if ":" in ip_address(knob("NETWORK_INTERFACE")) else "false",
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
        facts["CONFIG_ROOT"] = lambda: str(PurePosixPath(root_file).parent)
    return facts


def full_host_name(default_domain: str, given: str = "") -> str:
    """The host's name with its domain, if the kernel, the resolver or DEFAULT_DOMAIN_NAME knows one.

    Args:
        default_domain: DEFAULT_DOMAIN_NAME.
        given: NETWORK_HOSTNAME, which is believed without asking anybody (HTCondor, ipv6_hostname.cpp).
    """
    name = given or os.uname().nodename
    if "." in name:
        return name
    canonical = name if given else _canonical(name)
    # A hosts file that answers with localhost knows less than the kernel.
    if "." in canonical and canonical.partition(".")[0].lower() == name.lower():
        return canonical
    return f"{name}.{default_domain.lstrip('.')}" if default_domain else name


def _canonical(name: str) -> str:
    try:
        return socket.getaddrinfo(name, None, flags=socket.AI_CANONNAME)[0][3]
    except OSError:
        return name


def ip_address(interface: str) -> str:
    """The address that this host speaks from, IPv4 before IPv6, 127.0.0.1 without any network."""
    return own_address(4, interface) or own_address(6, interface) or "127.0.0.1"


def own_address(version: int, interface: str) -> str | None:
    """The address of one IP version: the one that NETWORK_INTERFACE names, else that of the default route."""
    for candidate in (interface.strip(), *interface_addresses(interface.strip())):
        try:
            if ipaddress.ip_address(candidate).version == version:
                return candidate
        except ValueError:
            continue
    family, towards = (socket.AF_INET, "192.0.2.1") if version == 4 else (socket.AF_INET6, "2001:db8::1")
    return _outgoing_address(family, towards)


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
