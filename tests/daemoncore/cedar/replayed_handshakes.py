"""Puts our client or server into a recorded connection, with the recorded secrets in place of dice and files."""

# ruff: noqa: ARG002, D102 -- stand-ins answer what was recorded, whatever they are asked

import attrs

from daemoncore.cedar.akep2 import token_secret
from daemoncore.cedar.authentication import Endpoint, Identity
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.client_handshake import ClientHandshake, ClientRequest
from daemoncore.cedar.handshake import Ourselves
from daemoncore.cedar.policy import SecurityPolicy, Wish, split_list
from daemoncore.cedar.server_conversation import ServerConversation
from daemoncore.cedar.sessions import Session, SessionCache, SessionNumbers
from daemoncore.cedar.sinful import Sinful
from daemoncore.cedar.tokens import TokenError, parse_token, sign_token
from tests import vector_files

#: Before all the tokens that real clients minted in the recording expire, long after the one that had expired.
RECORDED_AT = 1795321200.0


@attrs.define
class RecordedFolders:
    """A file system in which making a folder ends as it was recorded."""

    is_making: bool = True
    owner: str | None = None
    made: list = attrs.field(factory=list)
    removed: list = attrs.field(factory=list)

    def make_folder(self, path):
        self.made.append(path)
        return self.is_making

    def remove_folder(self, path):
        self.removed.append(path)

    def is_free(self, path):
        return True

    def owner_of(self, path):
        return self.owner


@attrs.define
class RecordedClient:
    """A client's credentials: what the recorded client had."""

    name: str | None = None
    token: str | None = None
    folder: RecordedFolders | None = None

    def claimed_name(self):
        return self.name

    def folders(self):
        return self.folder

    def token_secret(self, issuer, key_names, peer_version):
        token, signature = parse_token(self.token)
        return token_secret(token, signature)

    def password_secret(self, peer_version):
        return None


@attrs.define
class RecordedServer:
    """A server's credentials: the pool's signing key and a folder that is, or is not, found."""

    key: bytes = b""
    folder: RecordedFolders = attrs.field(factory=RecordedFolders)

    def folders(self):
        return self.folder

    def folder_parent(self):
        return "/tmp"

    def user_domain(self):
        return "example.org"

    def secret_of_token(self, text, now):
        token, _ = parse_token(text)
        try:
            token.check(now, None)
        except TokenError:
            return None
        return token, token_secret(token, sign_token(token, self.key))

    def password_secret(self, peer_version):
        return None


@attrs.define
class OpenGate:
    """A gatekeeper with one policy for everything that lets everybody in."""

    policy: SecurityPolicy
    commands: tuple = ()
    denial: str | None = None
    without_payload: tuple = ()
    #: What was given on sessions that nobody knows.
    lost_commands: list = attrs.field(factory=list)

    def knows(self, command):
        return command in self.commands

    def has_payload(self, command):
        return command not in self.without_payload

    def level_of(self, command):
        return "DAEMON"

    def policy_of(self, command):
        return self.policy

    def valid_commands(self, command):
        return self.commands

    def refusal(self, command, identity):
        return self.denial

    def lost(self, command):
        self.lost_commands.append(command)


def dice(connection):
    """Return random numbers that come out as recorded."""
    secrets = connection.get("secrets") or {}
    names = {"private_key": "p256_private_key"}

    def random_bytes(purpose, length):
        return bytes.fromhex(secrets.get(names.get(purpose, purpose), "00" * length))

    return random_bytes


def field(connection, what, name):
    """Return the value of a field of the first recorded message of that kind, or None."""
    for entry in connection["stream"]:
        if entry.get("what") == what:
            return next((item["value"] for item in entry["fields"] if item["name"] == name), None)
    return None


def recorded_ad(connection, what, name):
    """Return an ad of a recorded message, or None."""
    lines = field(connection, what, name)
    return None if lines is None else ClassAd.from_lines(f"{key} = {text}" for key, text in lines.items())


def endpoint_of(address):
    """Return the endpoint of `<ip:port?sock=name>`."""
    sinful = Sinful.parse(address)
    return Endpoint(sinful.host, sinful.port, sinful.sock)


def policy_from_request(request):
    """Return the policy behind a recorded request of ours."""
    return SecurityPolicy(
        negotiation=Wish[request["OutgoingNegotiation"]],
        authentication=Wish[request["AuthenticationNew"]],
        encryption=Wish[request["Encryption"]],
        integrity=Wish[request["Integrity"]],
        methods=split_list(request["AuthMethods"]),
        crypto_methods=split_list(request["CryptoMethods"]),
        authentication_of_old=Wish[request["Authentication"]],
    )


def recorded_session(connection, now=RECORDED_AT):
    """Return the session that a recorded connection resumes, with the key it was really used with."""
    known = connection["session"]
    key = connection.get("derived", {}).get("session_key") or "00" * 32
    identity = Identity(known.get("user") or "unauthenticated@unmapped", known.get("method"))
    return Session(known["id"], bytes.fromhex(key), identity)


def client(connection):
    """Return our client for a recorded connection, and its request for a shared port's name if any."""
    request = recorded_ad(connection, "negotiation request", "request")
    resume = recorded_ad(connection, "resume request", "request")
    ad = request or resume
    ourselves = Ourselves(
        subsystem=ad.get_string("Subsystem", ""),
        process=ad.get_int("ServerPid", 0),
        trust_domain=ad.get_string("TrustDomain", ""),
        issuer_keys=split_list(ad.get_string("IssuerKeys", "")),
        command_address=ad.get_string("ServerCommandSock", ""),
        version=ad["RemoteVersion"],
        is_marked=False,
    )
    folders = RecordedFolders(is_making=field(connection, "FS 2: done", "mkdir_status") == 0)
    credentials = RecordedClient(
        field(connection, "CLAIMTOBE 1: identity", "identity"), connection["secrets"].get("token"), folders
    )
    wanted = ClientRequest(
        command=ad["Command"],
        policy=policy_from_request(request) if request else SecurityPolicy(),
        endpoint=endpoint_of(connection["dialled"]),
        address=connection["dialled"],
        session=None if request else recorded_session(connection),
        asked_about=ad.get_int("AuthCommand"),
        client_name="VECTORS",
    )
    return ClientHandshake(wanted, ourselves, credentials, dice(connection))


def server(connection, sessions=None):
    """Return our server for a recorded connection."""
    response = recorded_ad(connection, "negotiation response", "response")
    resume = recorded_ad(connection, "resume response", "response")
    known = connection.get("session") or {"id": "nobody:0:0:1", "return_code": None}
    policy = SecurityPolicy(methods=("FS", "TOKEN", "CLAIMTOBE"))
    if response:
        policy = SecurityPolicy(
            authentication=Wish.REQUIRED if response["Authentication"] == "YES" else Wish.OPTIONAL,
            methods=split_list(response["AuthMethodsList"]),
        )
    ourselves = Ourselves(
        trust_domain=response.get_string("TrustDomain", "") if response else "",
        issuer_keys=split_list(response.get_string("IssuerKeys", "")) if response else (),
        version=(response or resume)["RemoteVersion"],
        is_marked=False,
    )
    host, process, started, count = known["id"].split(":") if response else ("", "0", "0", "1")
    numbers = SessionNumbers(host, int(process), float(started), int(count) - 1)
    cache = SessionCache()
    if resume and known["return_code"] == "AUTHORIZED":
        cache.add(recorded_session(connection), RECORDED_AT)
    commands = tuple(int(text) for text in split_list(known.get("valid_commands") or ""))
    denial = "not on the list" if known["return_code"] == "DENIED" else None
    gate = OpenGate(policy, commands or (connection["command"], 60011), denial, without_payload=(60011,))
    secrets = vector_file_secrets(connection)
    status = field(connection, "FS 3: result", "status")
    folders = RecordedFolders(owner="root" if status == 0 else None)
    request = recorded_ad(connection, "negotiation request", "request") or recorded_ad(
        connection, "resume request", "request"
    )
    endpoint = endpoint_of(request["ConnectSinful"])
    credentials = RecordedServer(secrets, folders)
    return ServerConversation(
        gate,
        ourselves,
        credentials,
        cache,
        numbers,
        (Endpoint(endpoint.host, endpoint.port),),
        dice(connection),
    )


def vector_file_secrets(connection):
    """Return the pool signing key of the file that holds a connection."""
    for name in vector_files.names():
        content = vector_files.load(name)
        if any(other is connection for other in content.get("connections", [])):
            return bytes.fromhex(content.get("secrets", {}).get("pool_signing_key", ""))
    raise KeyError(connection["id"])
