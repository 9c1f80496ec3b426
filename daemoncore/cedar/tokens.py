"""Identity tokens: JSON web tokens that name a user of the pool and are signed with one of its keys.

A token is `header.payload.signature`, three pieces of base64url JSON (RFC 7519). Its signature never travels: it is
the shared secret of the AKEP2 handshake, which the server computes again from the first two pieces and its own signing
key. Whoever holds the POOL key can therefore name itself anything, and mints tokens of its own for a minute at a time.

What a token may do is limited by its scopes: `condor:/READ condor:/DAEMON` means these levels and what they imply.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.keys import hkdf_sha256

#: Finds a signing key by its name; None when there is none. Names come from strangers and may hold anything.
SigningKeys = Callable[[str], bytes | None]

#: The signing key that a pool has unless told otherwise.
POOL_KEY_NAME: Final = "POOL"
#: Seconds that a token lives which a daemon mints for its own next login (condor_auth_passwd.cpp, fetchLogin).
OWN_TOKEN_LIFETIME_SECONDS: Final = 60
#: Scopes that limit what a token may do begin with this; a level follows.
_SCOPE_PREFIX: Final = "condor:/"
#: Signature algorithms of HTCondor and the digest of each.
_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
#: A time claim at or beyond this many seconds (or one that is no number) is nonsense.
_LATEST_TIME: Final = 1 << 53
#: A token is a few hundred bytes; more than this is not looked at.
_MAXIMUM_TOKEN_CHARACTERS: Final = 16 * 1024


class TokenError(ProtocolError):
    """A token cannot be used, and why."""


@attrs.frozen
class Token:
    """A token without its signature, and what it claims. Claims of a stranger are believed only after AKEP2."""

    text: str
    key_name: str
    algorithm: str
    claims: Mapping[str, object]

    @property
    def issuer(self) -> str:
        """The trust domain in which it was signed."""
        return self._text_claim("iss")

    @property
    def identifier(self) -> str:
        """Its serial number."""
        return self._text_claim("jti")

    @property
    def subject(self) -> str:
        """The user that it names, `user@domain`."""
        return self._text_claim("sub")

    @property
    def scopes(self) -> tuple[str, ...]:
        """Its scopes, one text each."""
        return tuple(self._text_claim("scope").split())

    @property
    def limits(self) -> frozenset[str] | None:
        """The authorization levels it is limited to, or None when it has no scope at all.

        A token whose scopes say nothing about HTCondor may do nothing here. HTCondor would let it do everything.
        """
        if "scope" not in self.claims:
            return None
        levels = (
            scope.removeprefix(_SCOPE_PREFIX) for scope in self.scopes if scope.startswith(_SCOPE_PREFIX)
        )
        return frozenset(level.upper() for level in levels)

    def _text_claim(self, name: str) -> str:
        claim = self.claims.get(name, "")
        return claim if isinstance(claim, str) else ""

    def check(self, now: float, maximum_age_seconds: float | None) -> None:
        """Raise unless the claims of this token hold at `now` (seconds since 1970) (analyze_token in HTCondor).

        Raises:
            TokenError: it is expired, too old, or lacks an issuer, a subject or a serial number.
        """
        for name in ("iss", "jti", "sub"):
            if not self._text_claim(name):
                raise TokenError(f"the token has no {name}")
        if self.claims.get("cap"):
            raise TokenError(f"token {self.identifier} is a capability, and those are not accepted here")
        expiry, issued = self._time_claim("exp"), self._time_claim("iat")
        if expiry is not None and expiry < now:
            raise TokenError(f"token {self.identifier} expired {now - expiry:.0f} seconds ago")
        if maximum_age_seconds is not None and (issued is None or now - issued > maximum_age_seconds):
            raise TokenError(
                f"token {self.identifier} is older than SEC_TOKEN_MAX_AGE, {maximum_age_seconds:g} seconds"
            )

    def _time_claim(self, name: str) -> float | None:
        claim = self.claims.get(name)
        if claim is None:
            return None
        if isinstance(claim, bool) or not isinstance(claim, int | float):
            raise TokenError(f"the claim {name} of token {self.identifier} is not a time")
        if not abs(claim) < _LATEST_TIME:
            raise TokenError(f"the claim {name} of token {self.identifier} is beyond all time")
        return float(claim)


def parse_token(text: str) -> tuple[Token, bytes | None]:
    """Return the token in `text`, and its signature when there is a third piece.

    Raises:
        TokenError: the text is no token, names no key, or has an unknown algorithm.
    """
    if len(text) > _MAXIMUM_TOKEN_CHARACTERS:
        raise TokenError(f"a token of {len(text)} characters is longer than {_MAXIMUM_TOKEN_CHARACTERS}")
    pieces = text.strip().split(".")
    if len(pieces) not in (2, 3):
        raise TokenError(f"a token has two or three pieces between its dots (got {len(pieces)})")
    header, claims = _json_object(pieces[0], "header"), _json_object(pieces[1], "payload")
    key_name, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(key_name, str) or not key_name:
        raise TokenError("the token does not name its signing key")
    if not isinstance(algorithm, str) or algorithm not in _DIGESTS:
        raise TokenError(f"the token's algorithm is none of {', '.join(_DIGESTS)}")
    signature = _from_base64url(pieces[2], "signature") if len(pieces) == 3 and pieces[2] else None
    return Token(f"{pieces[0]}.{pieces[1]}", key_name, algorithm, claims), signature


def sign_token(token: Token, signing_key: bytes) -> bytes:
    """Return the signature of a token by a signing key (unscrambled; POOL doubled)."""
    key = hkdf_sha256(signing_key, b"htcondor", b"master jwt")
    return hmac.digest(key, token.text.encode("ascii"), _DIGESTS[token.algorithm])


def mint_token(
    signing_key: bytes,
    *,
    key_name: str = POOL_KEY_NAME,
    issuer: str,
    subject: str,
    identifier: str,
    now: float,
    lifetime_seconds: float | None = None,
    levels: tuple[str, ...] = (),
) -> str:
    """Return a signed token, `header.payload.signature`, as `condor_token_create` would write it.

    Args:
        signing_key: the key's bytes, unscrambled (POOL: doubled).
        key_name: the name under which servers know the key.
        issuer: the trust domain of the pool.
        subject: the user that the token names, `user@domain`.
        identifier: a serial number nobody else has; 32 random hexadecimal digits will do.
        now: seconds since 1970.
        lifetime_seconds: how long it is good for; None is for ever.
        levels: the authorization levels that it is limited to; none means no limit.
    """
    claims: dict[str, object] = {"iat": int(now), "iss": issuer, "jti": identifier, "sub": subject}
    if lifetime_seconds is not None:
        claims["exp"] = int(now + lifetime_seconds)
    if levels:
        claims["scope"] = " ".join(_SCOPE_PREFIX + level for level in levels)
    header = {"alg": "HS256", "kid": key_name}
    text = f"{_to_base64url(header)}.{_to_base64url(claims)}"
    token, _ = parse_token(text)
    return f"{text}.{base64.urlsafe_b64encode(sign_token(token, signing_key)).decode('ascii').rstrip('=')}"


def _to_base64url(value: Mapping[str, object]) -> str:
    content = json.dumps(value, separators=(",", ":"), sort_keys=True).encode("utf-8")
    return base64.urlsafe_b64encode(content).decode("ascii").rstrip("=")


def _from_base64url(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise TokenError(f"the {what} of the token is not base64url") from error


def _json_object(text: str, what: str) -> dict[str, object]:
    try:
        value = json.loads(_from_base64url(text, what))
    except (ValueError, RecursionError) as error:
        raise TokenError(f"the {what} of the token is not JSON") from error
    if not isinstance(value, dict):
        raise TokenError(f"the {what} of the token is not a JSON object")
    return value
