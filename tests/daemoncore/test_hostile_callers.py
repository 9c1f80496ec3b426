"""What strangers can do to a command port that is built to let in only friends: nothing beyond their own connection."""

import base64
import json
import resource

import attrs
import pytest
import trio
import trio.testing

from daemoncore.cedar.akep2 import Secret
from daemoncore.cedar.commands import Command
from daemoncore.client import CallFailed
from daemoncore.credentials import Credentials
from daemoncore.server import affordable_limits
from tests.daemoncore import command_ports
from tests.daemoncore.command_ports import UPDATE


def piece(value):
    """Return one piece of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@attrs.frozen
class Forger(Credentials):
    """Shows a token that names a signing key of the forger's choice."""

    key_name: str = ""

    def token_secret(self, issuer, key_names, peer_version):  # noqa: ARG002 -- it has only the one
        """Return the forged token; the secret behind it is a guess."""
        claims = {"iss": issuer, "jti": "1", "sub": "condor@password"}
        text = f"{piece({'alg': 'HS256', 'kid': self.key_name})}.{piece(claims)}"
        return Secret("condor@password", bytes(32), text)


@pytest.mark.parametrize(
    "key_name", ["\ud800", "../../etc/passwd", "/etc/passwd", "a\0b", "..", ".", "k" * 5000, "tokens/../POOL"]
)
async def test_no_name_of_a_signing_key_does_more_than_fail(key_name, tmp_path, autojump_clock):
    """Whatever a stranger's token names as its key, be it no text at all, the login fails and the port serves the next."""
    values = command_ports.settings(tmp_path)
    port, client, forger = (
        command_ports.port(values),
        command_ports.client(values),
        command_ports.client(values),
    )
    forged = Forger(forger.security.credentials.settings, key_name=key_name)
    forger.security = attrs.evolve(forger.security, credentials=forged)
    async with trio.open_nursery() as nursery:
        with pytest.raises(CallFailed):
            await port.call(nursery, forger, UPDATE)
        connection = await port.call(nursery, client, UPDATE)
        await connection.aclose()
    assert port.observer.failures == []
    assert port.observer.reasons == ["not_authenticated"]


@attrs.frozen
class Defective(Credentials):
    """Credentials with a mistake in them."""

    def secret_of_token(self, text, now):  # noqa: ARG002 -- it does not come so far
        """Raise what nobody expects."""
        raise KeyError(text[:0])


async def test_a_mistake_of_ours_in_a_login_ends_one_connection(tmp_path, autojump_clock):
    """What the handshake should never raise is told, and the port serves the others."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    good = port.server.security
    port.server.security = attrs.evolve(good, credentials=Defective(good.credentials.settings))
    async with trio.open_nursery() as nursery:
        with pytest.raises(CallFailed):
            await port.call(nursery, client, UPDATE)
        port.server.security = good
        connection = await port.call(nursery, client, UPDATE)
        await connection.aclose()
    ((command, error),) = port.observer.failures
    assert command == Command.DC_AUTHENTICATE
    assert isinstance(error, KeyError)


@pytest.mark.parametrize(
    ("descriptors", "total", "of_one_address"), [(64, 32, 16), (500, 250, 125), (1024, 400, 150)]
)
def test_strangers_get_at_most_half_of_our_descriptors(descriptors, total, of_one_address):
    """However few files a daemon may open, those who only connect leave enough for what it needs itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        limits = affordable_limits()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (limits.connections, limits.connections_of_one_address) == (total, of_one_address)
