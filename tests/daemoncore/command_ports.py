"""Servers and clients for tests: real settings, real keys in a folder of the test, memory streams or loopback sockets."""

import attrs
import trio
import trio.testing

from daemoncore.address import Address
from daemoncore.authorization import Level
from daemoncore.cedar.authentication import Endpoint
from daemoncore.cedar.client_handshake import ClientRequest
from daemoncore.cedar.keys import scramble
from daemoncore.client import Client
from daemoncore.security import read_security
from daemoncore.server import CommandServer

SERVER = Address("127.0.0.1", 51450)
UPDATE, QUERY, SWITCH, HEARTBEAT, UNKNOWN = 55, 56, 490, 7100, 468
POOL_KEY = b"a pool signing key for tests"


def settings(folder, **changes):
    """Return settings with everything required, tokens of the pool's key, and its holders allowed DAEMON."""
    (folder / "passwords").mkdir(exist_ok=True)
    key = folder / "passwords" / "POOL"
    key.write_bytes(scramble(POOL_KEY))
    key.chmod(0o600)
    (folder / "tokens").mkdir(exist_ok=True)
    return {
        "UID_DOMAIN": "example.org",
        "TRUST_DOMAIN": "pool.example.org",
        "SEC_PASSWORD_DIRECTORY": str(folder / "passwords"),
        "SEC_TOKEN_DIRECTORY": str(folder / "tokens"),
        "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
        "SEC_DEFAULT_ENCRYPTION": "REQUIRED",
        "SEC_DEFAULT_INTEGRITY": "REQUIRED",
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "IDTOKENS",
        "ALLOW_DAEMON": "condor@password",
        "ALLOW_READ": "*",
    } | changes


@attrs.define
class Observer:
    """Remembers what happened at a command port."""

    commands: list = attrs.field(factory=list)
    refusals: list = attrs.field(factory=list)
    failures: list = attrs.field(factory=list)

    def command_received(self, command, peer, address):
        """Remember a command."""
        self.commands.append((command, peer.identity.user, peer.identity.method, address))

    def connection_refused(self, reason, address, sentence, *, is_repeated):
        """Remember a refusal."""
        self.refusals.append((reason, address, sentence, is_repeated))

    def handler_failed(self, command, address, error):  # noqa: ARG002 -- nobody asks where from
        """Remember a mistake."""
        self.failures.append((command, error))

    @property
    def reasons(self):
        """The reasons of the refusals so far."""
        return [refusal[0] for refusal in self.refusals]


@attrs.define
class Port:
    """A command server with some commands, and what its handlers got."""

    server: CommandServer
    observer: Observer
    received: list = attrs.field(factory=list)

    async def take_ad(self, request):
        """Take an ad."""
        self.received.append((request.command, request.reader.get_ad()))
        request.reader.end()

    async def answer(self, request):
        """Take a query and answer it with itself."""
        ad = request.reader.get_ad()
        await request.reply(request.writer().put_int(1).put_ad(ad).put_int(0))

    async def take_name(self, request):
        """Take a string."""
        self.received.append((request.command, request.reader.get_string()))
        request.reader.end()

    async def talk(self, request):
        """Echo what comes on a connection that is kept open."""
        self.received.append((request.command, request.reader.get_int()))
        async for command, reader in request.messages():
            self.received.append((command, reader.get_int()))
            await request.reply(request.writer().put_int(command).put_int(-1))
        self.received.append("closed")

    def register_all(self):
        """Register the commands of this port."""
        self.server.register(UPDATE, Level.DAEMON, self.take_ad)
        self.server.register(QUERY, Level.READ, self.answer)
        self.server.register(SWITCH, Level.ADMINISTRATOR, self.take_name)
        self.server.register(HEARTBEAT, Level.DAEMON, self.talk, is_kept_open=True)

    async def call(self, nursery, client, command, *, address="127.0.0.1"):
        """Return a connection of a client to this port through memory."""
        ours, theirs = trio.testing.memory_stream_pair()
        endpoint = Endpoint(SERVER.host, SERVER.port)
        nursery.start_soon(lambda: self.server.serve_connection(theirs, address=address, endpoint=endpoint))
        return await client.introduce(ours, SERVER, request(client, command))


def request(client, command):
    """Return what a client sends to the port for a command, with a session if it has one."""
    return ClientRequest(
        command=command,
        policy=client.security.client_policy,
        endpoint=Endpoint(SERVER.host, SERVER.port),
        session=client.sessions.find(str(SERVER.sinful()), command, 0.0),
        address=str(SERVER.sinful()),
    )


def port(values, *, now=lambda: 0.0, **arguments):
    """Return a command port of these settings."""
    observer = Observer()
    made = Port(
        CommandServer(read_security(values.get), observer, host="cm1", now=now, **arguments), observer
    )
    made.register_all()
    return made


def client(values, **arguments):
    """Return a client of these settings."""
    return Client(read_security(values.get), **arguments)
