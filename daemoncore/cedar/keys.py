"""The keys of a connection: the P-256 exchange, what is derived from it, and the signing keys on disk.

Both sides send the base64 of an uncompressed P-256 point; the x coordinate of the shared point goes through
HKDF-SHA256 with HTCondor's own salt and label (condor_secman.cpp, FinishKeyExchange). A family session, handed down by
condor_master, derives its key from a text in the same way. The primitives are those of the `cryptography` package.

A signing key lies on disk XORed with a constant, which is no protection, only a custom: the file's mode protects it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from daemoncore.cedar.errors import ProtocolError

#: Fresh randomness by purpose and length. The purpose lets a replayed recording inject what was recorded.
RandomBytes = Callable[[str, int], bytes]

#: Bytes of an AES-256 session key.
SESSION_KEY_BYTES: Final = 32
#: HTCondor's salt and label for session keys (condor_secman.cpp).
_KEY_SALT: Final = b"htcondor"
_KEY_LABEL: Final = b"keygen"
#: The order of P-256 (SEC 2, version 2, section 2.4.2); a private key lies between 1 and this, exclusive.
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
#: 65 bytes of an uncompressed point, 0x04 first, as base64.
_POINT_BYTES: Final = 65
#: What HTCondor XORs password and key files with (store_cred.cpp, simple_scramble).
_SCRAMBLE: Final = bytes.fromhex("deadbeef")


def hkdf_sha256(secret: bytes, salt: bytes, label: bytes, length: int = 32) -> bytes:
    """Return `length` bytes (at most 8160) derived from `secret`, after RFC 5869.

    Written out because eight lines of the standard library are faster to import and to run than the general one.
    """
    extracted = hmac.digest(salt, secret, "sha256")
    block, output = b"", b""
    for counter in range(1, -(-length // hashlib.sha256().digest_size) + 1):
        block = hmac.digest(extracted, block + label + bytes([counter]), "sha256")
        output += block
    return output[:length]


class EphemeralKey:
    """One side's half of the key exchange, made for one handshake and forgotten after it."""

    def __init__(self, scalar: int) -> None:
        self._private = ec.derive_private_key(scalar, ec.SECP256R1())

    @classmethod
    def generate(cls, random_bytes: RandomBytes) -> "EphemeralKey":
        """Return a fresh key; numbers outside the group's order are thrown away, so all keys are equally likely."""
        while True:
            scalar = int.from_bytes(random_bytes("private_key", 32))
            if 1 <= scalar < _P256_ORDER:
                return cls(scalar)

    @property
    def public_text(self) -> str:
        """The public half as it travels in `ECDHPublicKey`: base64 of an uncompressed point."""
        point = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64.b64encode(point).decode("ascii")

    def session_key(self, peer_public_text: str) -> bytes:
        """Return the 32-byte AES key shared with the peer that sent `peer_public_text`.

        Raises:
            ProtocolError: the peer's text is no point of the curve.
        """
        try:
            point = base64.b64decode(peer_public_text, validate=True)
            if len(point) != _POINT_BYTES:
                raise ProtocolError(
                    f"the peer's ECDHPublicKey has {len(point)} bytes, a P-256 point has {_POINT_BYTES}"
                )
            public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except (ValueError, binascii.Error) as error:
            raise ProtocolError("the peer's ECDHPublicKey is no point of the curve P-256") from error
        return derived_session_key(self._private.exchange(ec.ECDH(), public))


def derived_session_key(secret: bytes) -> bytes:
    """Return the AES key that HTCondor derives from a shared secret: an ECDH x, or the text of a family key."""
    return hkdf_sha256(secret, _KEY_SALT, _KEY_LABEL, SESSION_KEY_BYTES)


def scramble(content: bytes) -> bytes:
    """Return `content` XORed with HTCondor's pattern; doing it twice gives the content back."""
    pattern = _SCRAMBLE * (len(content) // len(_SCRAMBLE) + 1)
    return bytes(one ^ other for one, other in zip(content, pattern, strict=False))


def pool_signing_key(file_content: bytes) -> bytes:
    """Return the signing key called POOL from its file: unscrambled, and doubled.

    The doubling keeps tokens of HTCondor 8.9 valid (store_cred.cpp, getTokenSigningKey).
    """
    return scramble(file_content) * 2


def named_signing_key(file_content: bytes) -> bytes:
    """Return a signing key of any other name from its file: unscrambled."""
    return scramble(file_content)


def pool_password(file_content: bytes) -> bytes:
    """Return the pool password from its file: up to the first NUL, unscrambled (read_password_from_filename)."""
    return scramble(file_content.partition(b"\0")[0])
