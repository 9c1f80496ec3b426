"""Identity tokens: what they say, whether they hold, and what may be done with them."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.errors import WireError
from daemoncore.cedar.tokens import TokenError, mint_token, parse_token, sign_token
from tests import vector_files

KEY = b"a signing key"
NOW = 1_800_000_000.0


def minted(**changes):
    """Return a token of ours."""
    arguments = {"issuer": "pool", "subject": "alice@example.org", "identifier": "1", "now": NOW}
    return mint_token(KEY, **(arguments | changes))


def unsigned(header=None, **claims):
    """Return the first two pieces of a token with any claims."""
    pieces = [header or {"alg": "HS256", "kid": "POOL"}, claims]
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(piece).encode()).decode().rstrip("=") for piece in pieces
    )


TOKENS = [
    parameter
    for parameter in vector_files.conversations()
    if "token" in parameter.values[0].get("secrets", {})
]


@pytest.mark.parametrize("connection", TOKENS)
def test_a_recorded_token_is_signed_as_recorded(connection):
    """The pool's key gives the recorded signature, unless the token was made with another key."""
    token, signature = parse_token(connection["secrets"]["token"])
    key = bytes.fromhex(vector_files.load("05-idtokens")["secrets"]["pool_signing_key"])
    is_genuine = "wrong key" not in connection["about"]
    assert (sign_token(token, key) == signature) is is_genuine
    if "token_signature" in connection["derived"]:
        assert signature.hex() == connection["derived"]["token_signature"]


def test_a_minted_token_says_what_it_was_given():
    """All claims come back, and the signature holds."""
    token, signature = parse_token(minted(key_name="K", lifetime_seconds=60, levels=("READ", "DAEMON")))
    assert (token.key_name, token.issuer, token.subject, token.identifier) == (
        "K",
        "pool",
        "alice@example.org",
        "1",
    )
    assert token.scopes == ("condor:/READ", "condor:/DAEMON")
    assert token.limits == {"READ", "DAEMON"}
    assert token.claims["exp"] - token.claims["iat"] == 60
    assert sign_token(token, KEY) == signature
    token.check(NOW, None)


LIMITS = [
    ({}, None),
    ({"scope": "condor:/READ"}, {"READ"}),
    ({"scope": "condor:/READ compute.read condor:/daemon"}, {"READ", "DAEMON"}),
    ({"scope": "compute.read"}, set()),
    ({"scope": ""}, set()),
    ({"scope": 5}, set()),
]


@pytest.mark.parametrize(("claims", "expected"), LIMITS)
def test_scopes_limit_a_token(claims, expected):
    """Only a token without any scope is unlimited; scopes that are not about HTCondor grant nothing."""
    assert parse_token(unsigned(**claims))[0].limits == expected


GOOD = {"iss": "pool", "jti": "1", "sub": "alice@x"}
CHECKS = [
    ({}, None, None),
    ({"exp": NOW}, None, None),
    ({"exp": NOW - 1}, None, "expired"),
    ({"exp": "soon"}, None, "not a time"),
    ({"exp": True}, None, "not a time"),
    ({"exp": 10**400}, None, "beyond all time"),
    ({"exp": float("nan")}, None, "beyond all time"),
    ({"iat": NOW - 10}, 10, None),
    ({"iat": NOW - 11}, 10, "older"),
    ({}, 10, "older"),
    ({"cap": True}, None, "capability"),
    ({"iss": ""}, None, "no iss"),
    ({"iss": 5}, None, "no iss"),
    ({"jti": None}, None, "no jti"),
    ({"sub": ""}, None, "no sub"),
]


@pytest.mark.parametrize(("claims", "maximum_age", "expected"), CHECKS)
def test_a_token_is_good_only_if_all_its_claims_are(claims, maximum_age, expected):
    """Expiry, age, issuer, subject and serial number are looked at; a time that is no time never passes."""
    token, _ = parse_token(unsigned(**(GOOD | claims)))
    if expected is None:
        token.check(NOW, maximum_age)
        return
    with pytest.raises(TokenError, match=expected):
        token.check(NOW, maximum_age)


BROKEN = [
    "",
    "a",
    "a.b",
    "a.b.c.d",
    unsigned({"alg": "none", "kid": "POOL"}),
    unsigned({"alg": "HS256"}),
    unsigned({"alg": "HS256", "kid": ""}),
    unsigned({"alg": ["HS256"], "kid": "POOL"}),
    unsigned().replace(".", ".W10"),
    "x" * 20_000,
]


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_token_is_refused(text):
    """Missing pieces, unknown algorithms and keyless tokens are the peer's fault."""
    with pytest.raises(TokenError):
        parse_token(text)


@given(text=st.text(max_size=200))
def test_any_text_is_a_token_or_refused(text):
    """No text breaks the reader."""
    try:
        parse_token(text)
    except WireError:
        return


@given(payload=st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_claims_are_checked_or_refused(payload):
    """No claim breaks the check, whatever its type."""
    token, _ = parse_token(
        unsigned(iss=payload, jti=payload, sub=payload, exp=payload, iat=payload, cap=payload)
    )
    try:
        token.check(NOW, 60)
    except WireError:
        return
