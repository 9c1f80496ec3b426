"""What a host's own addresses are: may this one be bound here, what does that name resolve to.

Everything that depends on the machine's network stands here, behind three functions, so that the rest of the
configuration is a function of values. They block for as long as the resolver does: they belong to loading a
configuration, never to the running daemon.
"""

import errno
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

#: ioctl that asks for an interface's IPv4 address (linux/sockios.h).
_SIOCGIFADDR = 0x8915


def is_bindable(host: str) -> bool:
    """Whether a numeric address is one of this host's, found by binding a socket to it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def resolve(host: str) -> tuple[str, ...]:
    """Return the numeric addresses of a name, best first; a numeric one is its own.

    Raises:
        OSError: the resolver does not know it.
    """
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        # A label that is empty or too long is refused before anybody is asked.
        raise OSError(errno.EINVAL, f"this is no name of a host: {error}") from error
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def interface_addresses(name: str) -> tuple[str, ...]:
    """Return the addresses of a network interface, like `eth0`; empty when there is no such interface."""
    addresses = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            addresses.append(socket.inet_ntoa(answer[20:24]))
        except OSError:
            pass
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    for line in lines:
        digits, *_middle, interface = line.split()
        if interface == name:
            addresses.append(str(ipaddress.IPv6Address(bytes.fromhex(digits))))
    return tuple(addresses)
