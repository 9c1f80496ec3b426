"""Where a daemon is: a host, a port, and behind a shared port the name of its socket.

The same place can be written in several ways, in a member list (`cm1.example.org:51450`), on the wire
(`<10.0.0.1:51450>`), with or without brackets around an IPv6 address. An `Address` is one spelling of it, so that two of them
can be compared, ordered and used as keys. It knows nothing of name servers: a name and its number are two addresses.
"""

import ipaddress
import re
from typing import Self

import attrs

from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.sinful import LARGEST_PORT, Sinful

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


def _plain_host(host: str) -> str:
    """Return the one spelling of a host: numeric addresses compressed, names in lower case without the final dot."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower().removesuffix(".")


@attrs.frozen(order=True)
class Address:
    """A place to connect to; `str` gives `host:port`, with brackets around an IPv6 address."""

    #: A numeric address in its shortest form, or a name in lower case.
    host: str = attrs.field(converter=_plain_host)
    port: int
    #: The name behind a shared port, such as `had`; None for a daemon with a port of its own.
    sock: str | None = attrs.field(default=None, order=lambda sock: sock or "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port`, `[v6]:port` or a sinful string, with or without its angle brackets.

        Raises:
            ValueError: this is no address; the sentence says why and repeats the text.
        """
        stripped = text.strip()
        bracketed = stripped if stripped.startswith("<") else f"<{stripped}>"
        try:
            return cls.of(Sinful.parse(bracketed))
        except ProtocolError as error:
            raise ValueError(f"an address is host:port, or [host]:port for IPv6 (got {text!r})") from error

    @classmethod
    def of(cls, sinful: Sinful) -> Self:
        """Return the place that a sinful string names; ProtocolError when it lacks a host or a port."""
        if not sinful.port:
            raise ProtocolError(f"an address needs a port from 1 to {LARGEST_PORT} (got {sinful})")
        address = cls(sinful.host, sinful.port, sinful.sock or None)
        if not address.is_numeric and not _HOST_NAME.fullmatch(sinful.host):
            raise ProtocolError(f"an address needs a host (got {sinful})")
        return address

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def sinful(self) -> Sinful:
        """Return the address as it goes on the wire, with its `sock`."""
        return Sinful(self.host, self.port, () if self.sock is None else (("sock", self.sock),))

    @property
    def is_numeric(self) -> bool:
        """Whether the host is an IP address and not a name."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def is_loopback(self) -> bool:
        """Whether the host is a numeric loopback address, 127.0.0.0/8 or ::1."""
        return self.is_numeric and ipaddress.ip_address(self.host).is_loopback
