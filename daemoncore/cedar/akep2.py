"""AKEP2, the handshake of a shared secret behind the methods TOKEN (identity tokens) and PASSWORD.

    client -> server   its name A, [its token without the signature,] 256 random bytes RA
    server -> client   A, its name B, RA, 256 random bytes RB, HMAC-SHA1(K, "A B" NUL RA RB)
    client -> server   A, RB, HMAC-SHA1(K, "A" NUL RB)

Both sides derive K from the secret: the token's signature, which never travels, or the pool password. So each proves
to the other that it knows the secret, and neither can use what it saw. Every message begins with a status, 0 for good;
a side that cannot go on sends the same fields empty. After a proof that is wrong a server says nothing and waits
for another method, as the real one does (HTCondor src/condor_io/condor_auth_passwd.cpp).
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import attrs

from daemoncore.cedar.akep2_seeds import SEED_KA
from daemoncore.cedar.conversation import Channel, Talk
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.keys import hkdf_sha256
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from daemoncore.cedar.tokens import Token

#: The name of whoever holds the secret of the pool itself, since HTCondor 23.9.
CONDOR_PASSWORD: Final = "condor@password"  # noqa: S105 -- a name that everybody knows, not a secret
#: Bytes of each side's random number (AUTH_PW_KEY_LEN).
_RANDOM_BYTES: Final = 256
#: The longest proof that is looked at; SHA-1 has 20 bytes.
_MAXIMUM_PROOF_BYTES: Final = 64
_GOOD: Final = 0
_BAD: Final = -1


@attrs.frozen
class Secret:
    """What one side brings to the handshake: a name, the key K, and for TOKEN the token without its signature."""

    name: str
    key: bytes = attrs.field(repr=False)
    token_text: str | None = None


def token_secret(token: Token, signature: bytes) -> Secret:
    """Return the secret that a token and its signature amount to; its name is the token's subject."""
    key = hkdf_sha256(signature, SEED_KA + token.text.encode("ascii"), b"master ka")
    return Secret(token.subject, key, token.text)


def password_secret(password: bytes, name: str = CONDOR_PASSWORD) -> Secret:
    """Return the secret that the pool password amounts to; HTCondor doubles it first."""
    return Secret(name, hmac.digest(SEED_KA, password * 2, hashlib.sha1))


def prove_as_client(channel: Channel, secret: Secret) -> Talk[str | None]:
    """Log in with a secret; the result is None, or why it failed. Failing leaves both sides ready for another method."""
    ra = channel.random_bytes("ra", _RANDOM_BYTES)
    writer = channel.writer().put_int(_GOOD)
    _put_counted_text(writer, secret.name)
    if secret.token_text is not None:
        writer.put_string(secret.token_text)
    channel.send(writer.put_int(len(ra)).put_bytes(ra))

    reader = yield
    status = reader.get_int()
    a, b = _get_counted_text(reader), _get_counted_text(reader)
    ra_back, rb = _get_counted_bytes(reader, _RANDOM_BYTES), _get_counted_bytes(reader, _RANDOM_BYTES)
    proof = _get_counted_bytes(reader, _MAXIMUM_PROOF_BYTES)
    reader.end()

    trouble = None
    if status != _GOOD:
        trouble = "the server does not accept it (unknown key, expired, or revoked)"
    elif a != secret.name or ra_back != ra or len(rb) != _RANDOM_BYTES:
        trouble = "the server's answer is not one to our question"
    elif not hmac.compare_digest(proof, _server_proof(secret.key, a, b, ra, rb)):
        trouble = "the server does not know our secret (another signing key or password?)"
    if trouble:
        channel.send(channel.writer().put_int(_BAD).put_int(0).put_string("").put_int(0).put_int(0))
        return trouble
    writer = channel.writer().put_int(_GOOD)
    _put_counted_text(writer, secret.name)
    answer = _client_proof(secret.key, secret.name, rb)
    channel.send(writer.put_int(len(rb)).put_bytes(rb).put_int(len(answer)).put_bytes(answer))
    return None


def verify_as_server(
    channel: Channel, find_secret: Callable[[str, str | None], Secret | None], *, has_token: bool
) -> Talk[Secret | None]:
    """Let a client log in; the result is its secret, or None when it failed.

    Args:
        channel: our end.
        find_secret: given the client's name and its token without signature (None for PASSWORD), returns what the
            client must know, or None to refuse. Its name is the one that the client has to have.
        has_token: whether this is TOKEN, whose first message carries the token.
    """
    reader = yield
    status, a = reader.get_int(), _get_counted_text(reader)
    token_text = reader.get_text() if has_token else None
    ra = _get_counted_bytes(reader, _RANDOM_BYTES)
    reader.end()

    secret = None
    if status == _GOOD and len(ra) == _RANDOM_BYTES:
        secret = find_secret(a, token_text)
    if secret is None or secret.name != a:
        _send_refusal(channel)
        secret = None
    rb = channel.random_bytes("rb", _RANDOM_BYTES) if secret else b""
    if secret:
        _send_server_proof(channel, secret.key, a, ra, rb)

    reader = yield
    status, a_back = reader.get_int(), _get_counted_text(reader)
    rb_back = _get_counted_bytes(reader, _RANDOM_BYTES)
    proof = _get_counted_bytes(reader, _MAXIMUM_PROOF_BYTES)
    reader.end()
    if secret is None or status != _GOOD or a_back != a or rb_back != rb:
        return None
    return secret if hmac.compare_digest(proof, _client_proof(secret.key, a, rb)) else None


def _send_server_proof(channel: Channel, key: bytes, a: str, ra: bytes, rb: bytes) -> None:
    proof = _server_proof(key, a, CONDOR_PASSWORD, ra, rb)
    writer = channel.writer().put_int(_GOOD)
    _put_counted_text(writer, a)
    _put_counted_text(writer, CONDOR_PASSWORD)
    for piece in (ra, rb, proof):
        writer.put_int(len(piece)).put_bytes(piece)
    channel.send(writer)


def _send_refusal(channel: Channel) -> None:
    writer = channel.writer().put_int(_BAD)
    _put_counted_text(writer, "")
    _put_counted_text(writer, "")
    channel.send(writer.put_int(0).put_int(0).put_int(0))


def _server_proof(key: bytes, a: str, b: str, ra: bytes, rb: bytes) -> bytes:
    return hmac.digest(key, _encoded(f"{a} {b}") + b"\0" + ra + rb, hashlib.sha1)


def _client_proof(key: bytes, a: str, rb: bytes) -> bytes:
    return hmac.digest(key, _encoded(a) + b"\0" + rb, hashlib.sha1)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _put_counted_text(writer: MessageWriter, text: str) -> None:
    writer.put_int(len(_encoded(text))).put_string(text)


def _get_counted_text(reader: MessageReader) -> str:
    length, text = reader.get_int(), reader.get_text()
    if length != len(_encoded(text)):
        raise ProtocolError(f"a name of {len(_encoded(text))} bytes is announced as {length}")
    return text


def _get_counted_bytes(reader: MessageReader, most: int) -> bytes:
    length = reader.get_int()
    if not 0 <= length <= most:
        raise ProtocolError(f"a login has at most {most} random bytes (got {length})")
    return reader.get_bytes(length)
