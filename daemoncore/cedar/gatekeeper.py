"""Who may give which command: the question that a server's conversation asks, and the part of the answer that is fixed.

The lists of users and hosts are the business of whoever implements `Gatekeeper`; what a connection must have proved
before they are looked at is here.
"""

from collections.abc import Sequence
from typing import Protocol

from daemoncore.cedar.authentication import Identity
from daemoncore.cedar.policy import SecurityPolicy, Wish, canonical_method


class Gatekeeper(Protocol):
    """What the commands of a server demand, and who may give them. One gatekeeper serves one connection."""

    def knows(self, command: int) -> bool:
        """Say whether there is such a command."""

    def has_payload(self, command: int) -> bool:
        """Say whether a message follows the handshake of this command."""

    def level_of(self, command: int) -> str:
        """Return the authorization level of a command, `DAEMON` for one."""

    def policy_of(self, command: int) -> SecurityPolicy:
        """Return what we want of the connection for a command; for unknown ones, of any connection."""

    def valid_commands(self, command: int) -> Sequence[int]:
        """Return the commands for which a session that was made for this one is good."""

    def lost(self, command: int) -> None:
        """Take note that a daemon which is none of ours gave this command on a session that we do not know."""

    def refusal(self, command: int, identity: Identity) -> str | None:
        """Return why this identity may not give this command, or None when it may."""


def wants_key(policy: SecurityPolicy) -> bool:
    """Say whether a connection in the clear is out of the question."""
    return Wish.REQUIRED in (policy.encryption, policy.integrity)


def shortfall(policy: SecurityPolicy, identity: Identity, *, is_sealed: bool) -> str | None:
    """Return in what a connection falls short of what a command demands, or None."""
    if not is_sealed and wants_key(policy):
        return "it comes in the clear, and encryption or integrity is required"
    if identity.method is None:
        if policy.authentication is Wish.REQUIRED:
            return "its sender is a stranger, and authentication is required"
        if not is_sealed and policy.is_negotiation_required:
            return "it comes without negotiation, which is required"
        return None
    # A family session is handed down by condor_master and needs no method.
    is_accepted = identity.method == "FAMILY" or canonical_method(identity.method) in policy.methods
    return (
        None
        if is_accepted
        else f"{identity.method} is not among the methods {','.join(policy.methods)} for it"
    )
