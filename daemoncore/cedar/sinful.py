"""Addresses as they travel: HTCondor's "sinful strings", `<host:port?key=value&key=value>`.

The parameters say how to reach a daemon that stands behind a shared port (`sock`), has more than one address (`addrs`),
calls itself by another name (`alias`), takes no UDP (`noUDP`), or is behind a broker (`CCBID`, which we only pass on). Keys and
values are percent-encoded (HTCondor src/condor_utils/condor_sinful.cpp).
"""

import re
from typing import Self

import attrs

from daemoncore.cedar.errors import ProtocolError

_SINFUL = re.compile(r"<(?:\[([^\]<>?\s]*)\]|([^:?<>\[\]\s]*))(?::([0-9]{1,5}))?(?:\?([^<>\s]*))?>")
#: The largest port there is.
LARGEST_PORT = 65535
# HTCondor leaves these bytes alone and encodes all others, letters beyond ASCII included.
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:#[]+")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})|%")


@attrs.frozen
class Sinful:
    """An address with its parameters, in the order in which they were written."""

    #: A host name or a numeric address; an IPv6 address without its brackets. May be empty.
    host: str
    port: int | None
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a sinful string.

        Raises:
            ProtocolError: this is none. An ad that names such an address is as broken as one that cannot be read.
        """
        match = _SINFUL.fullmatch(text)
        if match is None:
            raise ProtocolError(f"an address is <host:port?parameters> (got {text[:120]!r})")
        in_brackets, plain, digits, parameters = match.groups()
        port = None if digits is None else int(digits)
        if port is not None and port > LARGEST_PORT:
            raise ProtocolError(f"a port is at most {LARGEST_PORT} (got {text[:120]!r})")
        return cls(plain if in_brackets is None else in_brackets, port, _parse_parameters(parameters or ""))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        parameters = "&".join(
            _encode(key) + ("=" + _encode(value) if value else "") for key, value in self.parameters
        )
        return f"<{host}{port}{'?' + parameters if parameters else ''}>"

    def parameter(self, key: str) -> str | None:
        """Return the value of a parameter, empty if it has none, or None when it is absent."""
        return next((value for known, value in self.parameters if known == key), None)

    def with_parameter(self, key: str, value: str) -> "Sinful":
        """Return this address with a parameter set; like HTCondor's, its parameters are then in order of their keys."""
        others = [pair for pair in self.parameters if pair[0] != key]
        return attrs.evolve(self, parameters=tuple(sorted([*others, (key, value)])))

    @property
    def sock(self) -> str | None:
        """The name of the daemon behind a shared port, such as `had`."""
        return self.parameter("sock")

    @property
    def alias(self) -> str | None:
        """The host name that the daemon goes by."""
        return self.parameter("alias")

    @property
    def ccb_id(self) -> str | None:
        """The broker through which the daemon must be reached; we cannot."""
        return self.parameter("CCBID")

    @property
    def has_udp(self) -> bool:
        """Whether the daemon may listen to datagrams; `noUDP` says that it does not."""
        return self.parameter("noUDP") is None

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """All numeric addresses and ports that `addrs` names; those that cannot be read are left out."""
        entries = (self.parameter("addrs") or "").split("+")
        return tuple(address for entry in entries if (address := _parse_addrs_entry(entry)) is not None)


def _parse_addrs_entry(entry: str) -> tuple[str, int] | None:
    # `10.0.0.1-9618`, or `[2001-db8--1]-9618`: a colon would end the host, so a dash stands for it.
    host, dash, digits = entry.rpartition("-")
    if not dash or not re.fullmatch("[0-9]{1,5}", digits) or int(digits) > LARGEST_PORT:
        return None
    return (host[1:-1].replace("-", ":") if host[:1] == "[" else host), int(digits)


def _parse_parameters(text: str) -> tuple[tuple[str, str], ...]:
    # Of a key that comes twice the last value counts, at the first one's place.
    parameters: dict[str, str] = {}
    for pair in re.split("[&;]", text):
        if pair:
            key, _, value = pair.partition("=")
            if not key:
                raise ProtocolError(f"a parameter of an address has a name (got {text[:120]!r})")
            parameters[_decode(key)] = _decode(value)
    return tuple(parameters.items())


def _encode(text: str) -> str:
    return "".join(
        chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in text.encode("utf-8", "surrogateescape")
    )


def _decode(text: str) -> str:
    def byte(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise ProtocolError(
                f"a percent sign of an address is followed by two hexadecimal digits (got {text[:120]!r})"
            )
        return bytes.fromhex(match[1].decode())

    encoded = text.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(byte, encoded).decode("utf-8", "surrogateescape")
