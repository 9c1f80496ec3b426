"""What the two sides of a handshake share: who we are in it, our marker, and what it can come to.

The marker is how our daemons recognize each other: `HadProtocol = 1` in the request, the response and the resume ads.
HTCondor ignores attributes that it does not know. It holds for one connection and is never stored, so a host may
change between a real condor_had and ours at any time.
"""

import enum
from collections.abc import Mapping
from typing import Final

import attrs

from daemoncore.cedar.authentication import Identity
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.version import OUR_VERSION

#: Our marker's name, and the protocol number that we speak.
MARKER: Final = "HadProtocol"
OUR_PROTOCOL: Final = 1
#: Behind this name a shared port server means itself, and keeps the handshake's digests.
SHARED_PORT_SELF: Final = "self"
#: Random bytes that make a resumed handshake unlike any other (daemon_command.cpp).
NONCE_BYTES: Final = 33


@attrs.frozen
class Ourselves:
    """What we say about ourselves in a handshake."""

    subsystem: str = "HAD"
    process: int = 0
    trust_domain: str = ""
    #: The names of the signing keys that we hold, by which a peer chooses its token.
    issuer_keys: tuple[str, ...] = ()
    #: The address string at which we take commands, `<ip:port>`, or empty.
    command_address: str = ""
    version: str = OUR_VERSION
    #: Whether to show the marker.
    is_marked: bool = True

    def marker(self) -> dict[str, int]:
        """Return the marker as attributes."""
        return {MARKER: OUR_PROTOCOL} if self.is_marked else {}

    def domain_attributes(self, methods: tuple[str, ...]) -> dict[str, str]:
        """Return the attributes that help a peer choose its token."""
        domain = {"TrustDomain": self.trust_domain} if self.trust_domain else {}
        has_keys = self.issuer_keys and "TOKEN" in (method.upper() for method in methods)
        return domain | ({"IssuerKeys": ", ".join(self.issuer_keys)} if has_keys else {})


@attrs.frozen
class Peer:
    """Who is at the other end of a connection, as far as the handshake told."""

    identity: Identity
    #: Whether it showed our marker.
    is_ours: bool = False
    #: Its `$CondorVersion: ...$` text, or empty.
    version: str = ""
    #: The address string at which it takes commands itself, as it says; nobody has checked.
    command_address: str = ""
    session_id: str = ""


def has_marker(ad: ClassAd) -> bool:
    """Say whether an ad of a handshake carries our marker."""
    return ad.get_int(MARKER, 0) >= OUR_PROTOCOL


def compact(attributes: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    """Return the attributes that have something to say; an empty text has not."""
    return {name: value for name, value in attributes.items() if value != ""}


class Outcome(enum.Enum):
    """Why a client's handshake did not lead to its command."""

    #: The server knows who we are and says no.
    DENIED = "denied"
    #: No method of login worked.
    NOT_AUTHENTICATED = "not_authenticated"
    #: Our policy and the server's contradict each other.
    DISAGREED = "disagreed"
    #: The server has no such command.
    COMMAND_NOT_FOUND = "command_not_found"
    #: The server does not know the session any more; negotiate a new one.
    SESSION_NOT_FOUND = "session_not_found"


class Refusal(enum.Enum):
    """Why a server did not go on with a client, as a label to count by."""

    #: The bytes are not the protocol.
    PROTOCOL = "protocol"
    #: The policies contradict each other, or no key could be agreed on.
    DISAGREED = "disagreed"
    #: No method of login worked.
    NOT_AUTHENTICATED = "not_authenticated"
    #: The client is who it says, and may not do this.
    DENIED = "denied"
    #: There is no such command.
    COMMAND_NOT_FOUND = "command_not_found"
    #: A session is resumed that we do not know.
    SESSION_NOT_FOUND = "session_not_found"
    #: The command came without the negotiation that it needs.
    NOT_NEGOTIATED = "not_negotiated"
