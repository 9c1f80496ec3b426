"""What each side of a connection wants of its security, and what the two of them agree on.

Before a command both sides state a wish for authentication, encryption and integrity: NEVER, OPTIONAL, PREFERRED or
REQUIRED. The server reconciles them: REQUIRED against NEVER fails; otherwise a feature is on when neither says NEVER and
at least one says more than OPTIONAL (HTCondor condor_secman.cpp, ReconcileSecurityPolicyAds). Methods are the server's
list, in its order, as far as the client has them.

Two oddities are kept because real peers count on them. Peers before 23.10 know only the attribute `Authentication`, in
which every wish for encryption raises the wish for authentication; `AuthenticationNew` is free of that, and wins when
the client sends it. And as soon as both sides have exchanged keys for AES, the connection is encrypted, whatever the
answer says about encryption.
"""

import enum
import re
from collections.abc import Iterable
from typing import Final

import attrs

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.errors import ProtocolError

#: The only cipher here. HTCondor's older ones, Blowfish and 3DES, are for peers before 9.0.
AES: Final = "AES"


class Wish(enum.IntEnum):
    """How much one side wants a feature; the order counts."""

    #: Refuse to have it.
    NEVER = 0
    #: Have it if the other side asks.
    OPTIONAL = 1
    #: Ask for it, do without if need be.
    PREFERRED = 2
    #: Refuse to go on without.
    REQUIRED = 3


class Method(enum.IntFlag):
    """The ways of proving who one is, by HTCondor's bits (src/condor_io/condor_auth.h); only those that we speak."""

    CLAIMTOBE = 2
    FS = 4
    PASSWORD = 512
    TOKEN = 2048


#: Every name of a method that configurations use for IDTOKENS; on the wire only TOKEN matches.
_TOKEN_NAMES: Final = frozenset({"TOKEN", "TOKENS", "IDTOKEN", "IDTOKENS"})
#: Methods of HTCondor that do not exist here, so that a refusal can say so.
KNOWN_FOREIGN_METHODS: Final = frozenset(
    {"SSL", "SCITOKENS", "KERBEROS", "MUNGE", "ANONYMOUS", "FS_REMOTE", "NTSSPI", "GSI"}
)


def split_list(text: str) -> tuple[str, ...]:
    """Return the entries of a list that is separated by commas or blanks, as HTCondor separates them."""
    return tuple(entry for entry in re.split(r"[,\s]+", text) if entry)


def canonical_method(name: str) -> str:
    """Return the name of a method as it travels: upper case, and TOKEN for all four names of identity tokens."""
    upper = name.upper()
    return "TOKEN" if upper in _TOKEN_NAMES else upper


def method_named(name: str) -> Method | None:
    """Return the method of that name, in any case of letters, or None when we do not speak it."""
    return Method.__members__.get(name.upper())


@attrs.frozen
class SecurityPolicy:
    """What one side wants for one class of commands.

    `authentication_of_old` is the wish in terms of peers before 23.10; None computes it from the others.
    """

    negotiation: Wish = Wish.PREFERRED
    authentication: Wish = Wish.OPTIONAL
    encryption: Wish = Wish.OPTIONAL
    integrity: Wish = Wish.OPTIONAL
    methods: tuple[str, ...] = ("FS", "TOKEN")
    crypto_methods: tuple[str, ...] = (AES,)
    session_duration_seconds: int = 86400
    session_lease_seconds: int = 3600
    authentication_of_old: Wish | None = None

    @property
    def old_authentication(self) -> Wish:
        """The wish for authentication by the rules before 23.10: at least that for encryption and integrity."""
        if self.authentication_of_old is not None:
            return self.authentication_of_old
        return max(self.authentication, self.encryption, self.integrity)

    @property
    def is_negotiation_required(self) -> bool:
        """Whether a command without a negotiation in front of it is out of the question."""
        return Wish.REQUIRED in (self.negotiation, self.authentication, self.encryption, self.integrity)

    @property
    def is_plain(self) -> bool:
        """Whether we give commands without a negotiation in front of them."""
        return self.negotiation <= Wish.OPTIONAL and not self.is_negotiation_required

    def attributes(self) -> dict[str, str | int]:
        """Return the policy as the attributes of a request, in the order in which they are written."""
        return {
            "AuthMethods": ",".join(self.methods),
            "CryptoMethods": ",".join(self.crypto_methods),
            "OutgoingNegotiation": self.negotiation.name,
            "Authentication": self.old_authentication.name,
            "AuthenticationNew": self.authentication.name,
            "Encryption": self.encryption.name,
            "Integrity": self.integrity.name,
            "Enact": "NO",
        }

    def session_attributes(self) -> dict[str, str | int]:
        """Return how long sessions may last; the duration is a string for old times' sake."""
        return {
            "SessionDuration": str(self.session_duration_seconds),
            "SessionLease": self.session_lease_seconds,
        }


@attrs.frozen
class Agreement:
    """What both sides will do, as the server decided it."""

    authentication: bool
    encryption: bool
    integrity: bool
    #: In the order in which to try them, spelt as the client spelt them.
    methods: tuple[str, ...]
    crypto_methods: tuple[str, ...]
    session_duration_seconds: int
    session_lease_seconds: int
    #: False when a failed login may go on as a stranger.
    is_authentication_required: bool = True

    @property
    def is_key_wanted(self) -> bool:
        """Whether the connection must be encrypted; AES does both at once."""
        return self.encryption or self.integrity

    @property
    def has_aes(self) -> bool:
        """Whether both sides speak AES."""
        return AES in (name.upper() for name in self.crypto_methods)

    def attributes(self) -> dict[str, str | int | bool]:
        """Return the agreement as the attributes of a response, in the order in which they are written."""
        required = (
            {} if self.is_authentication_required or not self.authentication else {"AuthRequired": False}
        )
        return {
            "Authentication": _yes(self.authentication),
            **required,
            "Encryption": _yes(self.encryption),
            "Integrity": _yes(self.integrity),
            "AuthMethodsList": ",".join(self.methods),
            "AuthMethods": _first(self.methods),
            "CryptoMethods": _first(self.crypto_methods),
            "CryptoMethodsList": ",".join(self.crypto_methods),
            "SessionDuration": str(self.session_duration_seconds),
            "SessionLease": self.session_lease_seconds,
            "Enact": "YES",
        }

    @classmethod
    def from_ad(cls, ad: ClassAd) -> "Agreement":
        """Read a server's response.

        Raises:
            ProtocolError: it does not say what has been decided.
        """
        methods = ad.get_string("AuthMethodsList") or ad.get_string("AuthMethods") or ""
        crypto = ad.get_string("CryptoMethodsList") or ad.get_string("CryptoMethods") or ""
        return cls(
            authentication=_decision(ad, "Authentication"),
            encryption=_decision(ad, "Encryption"),
            integrity=_decision(ad, "Integrity"),
            methods=split_list(methods),
            crypto_methods=split_list(crypto),
            session_duration_seconds=_seconds(ad.get_string("SessionDuration")),
            session_lease_seconds=_seconds(ad.get_int("SessionLease")),
            is_authentication_required=ad.get_bool("AuthRequired", True),
        )


def reconcile(request: ClassAd, policy: SecurityPolicy) -> Agreement | None:
    """Return what a client's request and our policy for the command come to, or None when they contradict.

    Args:
        request: the client's policy ad, believed in nothing.
        policy: what we want for the command that it asks for.
    """
    client = _wish(request, "AuthenticationNew")
    server = policy.authentication
    if client is None:
        client, server = _wish(request, "Authentication"), policy.old_authentication
    pairs = (
        (client or Wish.NEVER, server),
        (_wish(request, "Encryption") or Wish.NEVER, policy.encryption),
        (_wish(request, "Integrity") or Wish.NEVER, policy.integrity),
    )
    if any({Wish.REQUIRED, Wish.NEVER} == set(pair) for pair in pairs):
        return None
    authentication, encryption, integrity = (
        min(pair) > Wish.NEVER and max(pair) > Wish.OPTIONAL for pair in pairs
    )
    crypto = _common(policy.crypto_methods, split_list(request.get_string("CryptoMethods", "")))
    # AES does both anyway, so the answer may as well say it (condor_secman.cpp).
    is_sealed = authentication and _first(crypto) == AES
    return Agreement(
        authentication=authentication,
        encryption=encryption or is_sealed,
        integrity=integrity or is_sealed,
        methods=_common(
            map(canonical_method, policy.methods), split_list(request.get_string("AuthMethods", ""))
        ),
        crypto_methods=crypto,
        session_duration_seconds=min(
            policy.session_duration_seconds, _seconds(request.get_string("SessionDuration"))
        ),
        session_lease_seconds=_shorter_lease(
            policy.session_lease_seconds, _seconds(request.get_int("SessionLease"))
        ),
        is_authentication_required=Wish.REQUIRED in pairs[0],
    )


def objection(policy: SecurityPolicy, agreement: Agreement, *, has_key: bool) -> str | None:
    """Return why a client of this policy must not go on with a server's decision, or None when it may."""
    decided = (
        ("authentication", policy.authentication, agreement.authentication),
        ("encryption", policy.encryption, agreement.encryption or has_key),
        ("integrity", policy.integrity, agreement.integrity or has_key),
    )
    for feature, wish, is_on in decided:
        if wish is Wish.REQUIRED and not is_on:
            return f"we require {feature}, and the server decided against it"
    if agreement.authentication and policy.authentication is Wish.NEVER:
        return "we never authenticate, and the server insists"
    if agreement.is_key_wanted and not has_key:
        return f"the server wants encryption, and no key can be agreed on for {','.join(agreement.crypto_methods)!r}"
    return None


def _wish(ad: ClassAd, name: str) -> Wish | None:
    # HTCondor looks at the first letter only; what is none of the four letters means nothing to it.
    text = ad.get_string(name, "")
    return next((wish for wish in Wish if text[:1].upper() == wish.name[0]), None)


def _decision(ad: ClassAd, name: str) -> bool:
    text = ad.get_string(name, "")
    if text[:1].upper() not in ("Y", "N"):
        raise ProtocolError(f"a response says {name} YES or NO (got {text[:40]!r})")
    return text[:1].upper() == "Y"


def _common(server: Iterable[str], client: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(theirs for ours in server for theirs in client if ours.upper() == theirs.upper())


def _first(names: tuple[str, ...]) -> str:
    return names[0] if names else ""


def _yes(is_on: bool) -> str:
    return "YES" if is_on else "NO"


def _seconds(value: str | int | None) -> int:
    if isinstance(value, str):
        digits = re.match(r"\s*\d{1,9}", value)
        return int(digits[0]) if digits else 0
    return max(value or 0, 0)


def _shorter_lease(ours: int, theirs: int) -> int:
    # Zero is no lease at all, so the other side's counts.
    return min(ours, theirs) if ours and theirs else ours or theirs
