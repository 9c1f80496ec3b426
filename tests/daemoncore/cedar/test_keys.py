"""Keys: the recorded exchanges derive again, and nothing a peer sends breaks the arithmetic."""

import base64

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.errors import WireError
from daemoncore.cedar.keys import (
    EphemeralKey,
    hkdf_sha256,
    pool_password,
    pool_signing_key,
    scramble,
)
from daemoncore.cedar.sessions import family_session
from tests import vector_files

EXCHANGES = [
    parameter
    for parameter in vector_files.conversations()
    if "ecdh_shared_x" in parameter.values[0].get("derived", {})
]


@pytest.mark.parametrize("connection", EXCHANGES)
def test_a_recorded_exchange_gives_the_recorded_key(connection):
    """Our recorded private key and the peer's recorded public one derive the key that the connection used."""
    key = EphemeralKey(int(connection["secrets"]["p256_private_key"], 16))
    theirs = "negotiation response" if connection["we_are"] == "client" else "negotiation request"
    for entry in connection["stream"]:
        if entry.get("what") == theirs:
            texts = entry["fields"][-1]["value"]
    assert key.session_key(texts["ECDHPublicKey"].strip('"')) == vector_files.session_key(connection)


@given(scalar=st.integers(1, 2**256 - 2**224), other=st.integers(1, 2**256 - 2**224))
def test_both_sides_derive_the_same_key(scalar, other):
    """Whatever the dice, the two sides agree."""
    one, two = EphemeralKey(scalar), EphemeralKey(other)
    assert one.session_key(two.public_text) == two.session_key(one.public_text)


OFF_CURVE = base64.b64encode(b"\x04" + bytes(63) + b"\x01").decode()


@pytest.mark.parametrize(
    "text", ["", "!", "AAAA", OFF_CURVE, base64.b64encode(b"\x02" + bytes(32)).decode(), "ä"]
)
def test_a_public_key_that_is_none_is_the_peers_fault(text):
    """A point that is not on the curve, compressed, or no base64 at all is refused."""
    with pytest.raises(WireError, match="ECDHPublicKey"):
        EphemeralKey(1).session_key(text)


@given(text=st.text(max_size=100))
def test_any_public_key_is_taken_or_refused(text):
    """No text breaks anything."""
    with pytest.raises(WireError):
        EphemeralKey(1).session_key(text)


def test_numbers_beyond_the_order_are_thrown_again():
    """A key is drawn again while the dice show a number that is no private key."""
    throws = iter([b"\xff" * 32, bytes(32), b"\0" * 31 + b"\x07"])
    assert (
        EphemeralKey.generate(lambda _purpose, _length: next(throws)).public_text
        == EphemeralKey(7).public_text
    )


@given(secret=st.binary(), salt=st.binary(max_size=300), label=st.binary(), length=st.integers(1, 200))
def test_our_derivation_is_the_standard_one(secret, salt, label, length):
    """It agrees with the implementation of the cryptography package for any input."""
    assert hkdf_sha256(secret, salt, label, length) == HKDF(SHA256(), length, salt, label).derive(secret)


@given(content=st.binary())
def test_scrambling_twice_is_nothing(content):
    """The custom is its own inverse."""
    assert scramble(scramble(content)) == content


def test_the_recorded_key_file_holds_the_recorded_key():
    """POOL is unscrambled and doubled."""
    secrets = vector_files.load("05-idtokens")["secrets"]
    assert (
        pool_signing_key(bytes.fromhex(secrets["pool_signing_key_file"])).hex() == secrets["pool_signing_key"]
    )


def test_a_password_ends_at_the_first_nul():
    """HTCondor of old padded the file with NULs."""
    assert pool_password(scramble(b"secret")) == b"secret"
    assert pool_password(scramble(b"secret") + bytes(250)) == b"secret"


def test_the_inherited_family_session_has_the_recorded_key():
    """What condor_master put into our environment opens the connections that were recorded with it."""
    recorded = vector_files.load("09-master-family-session")
    session = family_session(recorded["environment"]["CONDOR_PRIVATE_INHERIT"])
    assert session.identifier == recorded["secrets"]["family_session"]["id"]
    assert session.key.hex() == recorded["secrets"]["family_session"]["aes_key"]
    assert (session.identity.user, session.identity.method) == ("condor@family", "FAMILY")


@pytest.mark.parametrize(
    "text", ["", "FamilySessionKey:", "FamilySessionKey:x#[y]", "SessionKey:a#[b]c", "FamilySessionKey:#[]k"]
)
def test_an_environment_without_a_family_session_has_none(text):
    """Anything incomplete is no session."""
    assert family_session(text) is None
