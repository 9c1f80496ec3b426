"""The ways to prove who one is, from both sides: CLAIMTOBE, FS, TOKEN and PASSWORD.

Which method comes is settled in rounds. The client names all that it can still try, as bits; the server picks the one
that it likes best, they go through it, and if it fails the client leaves it out in the next round. Zero from either
side means that nothing is left (HTCondor src/condor_io/authentication.cpp).

What a method needs of the world, an account or a file, it asks of `ClientCredentials` and `ServerCredentials`.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import attrs

from daemoncore.cedar.akep2 import Secret, prove_as_client, verify_as_server
from daemoncore.cedar.conversation import Channel, Talk, read_int
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.policy import Method, method_named
from daemoncore.cedar.tokens import Token

#: What an unauthenticated peer is called (HTCondor's UNAUTHENTICATED_FQU); lists of users can name it.
UNAUTHENTICATED_USER: Final = "unauthenticated@unmapped"
#: Where HTCondor reports another name for a method than travels.
_REPORTED: Final = {Method.TOKEN: "IDTOKENS"}
#: More rounds than there are methods mean that a client is not trying to log in.
_MAXIMUM_ROUNDS: Final = 8


@attrs.frozen
class Identity:
    """Who a peer has proved to be, how, and what it may not go beyond."""

    #: `name@domain`.
    user: str
    #: FS, IDTOKENS, PASSWORD, CLAIMTOBE or FAMILY, as HTCondor reports them; None is a stranger.
    method: str | None = None
    #: The levels, with those they imply, that its proof is limited to; None is no limit.
    limits: frozenset[str] | None = None


STRANGER: Final = Identity(UNAUTHENTICATED_USER)


class FolderProof(Protocol):
    """The little of a file system that FS needs; every answer is immediate and none raises."""

    def make_folder(self, path: str) -> bool:
        """Make a folder that did not exist, for its owner only (mode 0700); say whether that worked."""

    def remove_folder(self, path: str) -> None:
        """Remove the folder again, if it can be."""

    def is_free(self, path: str) -> bool:
        """Say whether nothing has that name."""

    def owner_of(self, path: str) -> str | None:
        """Return the account that owns the folder, if it is a plain folder of mode 0700 and not a link; else None."""


@attrs.frozen
class Endpoint:
    """Where the server of a connection is, as one side of it sees it; FS binds its proof to it."""

    host: str
    port: int
    #: The name behind a shared port, if any.
    sock: str | None = None

    @property
    def text(self) -> str:
        """`ip:port`, with `?sock=name` behind a shared port; IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (f"?sock={self.sock}" if self.sock else "")


class ClientCredentials(Protocol):
    """What a client can prove itself with."""

    def claimed_name(self) -> str | None:
        """Return the `user@domain` to claim to be, or None when nobody."""

    def folders(self) -> FolderProof | None:
        """Return where FS makes its folder, or None when FS cannot be."""

    def token_secret(self, issuer: str, key_names: tuple[str, ...], peer_version: str) -> Secret | None:
        """Return the secret of a token signed in trust domain `issuer` by one of these keys, or None."""

    def password_secret(self, peer_version: str) -> Secret | None:
        """Return the secret of the pool password, or None."""


class ServerCredentials(Protocol):
    """What a server knows in order to recognize its clients."""

    def folders(self) -> FolderProof | None:
        """Return where FS looks for its folder, or None when FS cannot be."""

    def folder_parent(self) -> str:
        """Return the folder in which clients make theirs, such as /tmp."""

    def user_domain(self) -> str:
        """Return the domain that accounts of this host belong to."""

    def secret_of_token(self, text: str, now: float) -> tuple[Token, Secret] | None:
        """Return a token that is good at `now` and its secret, by our signing key; None refuses it."""

    def password_secret(self, peer_version: str) -> Secret | None:
        """Return the secret of the pool password, or None."""


@attrs.frozen
class ServerHints:
    """What a server's response says that helps to choose a proof."""

    trust_domain: str
    issuer_keys: tuple[str, ...]
    version: str
    endpoint: Endpoint


def authenticate_as_client(
    channel: Channel,
    methods: tuple[str, ...],
    credentials: ClientCredentials,
    hints: ServerHints,
    *,
    is_required: bool,
) -> Talk[tuple[str | None, Mapping[str, str]]]:
    """Log in by one of `methods`; the result is the method that worked, or None, and why the others did not."""
    failures: dict[str, str] = {}
    prepared = {}
    for name in methods:
        method = method_named(name)
        talk = method and _client_talk(channel, method, credentials, hints)
        if method and talk:
            prepared[method] = talk
        else:
            failures[name] = "we have nothing to prove ourselves with by this method"
    while True:
        channel.send_ints(sum(prepared))
        if is_required and not methods:
            # A server that found no common method closes without another word.
            return None, failures
        chosen = read_int((yield))
        if not chosen:
            return None, failures
        if chosen not in prepared:
            raise ProtocolError(
                f"the server picked method {chosen}, which is none of the bits {sum(prepared)}"
            )
        method = Method(chosen)
        trouble = yield from prepared.pop(method)
        if trouble is None:
            return _REPORTED.get(method, str(method.name)), failures
        failures[str(method.name)] = trouble


def _client_talk(
    channel: Channel, method: Method, credentials: ClientCredentials, hints: ServerHints
) -> Talk[str | None] | None:
    match method:
        case Method.CLAIMTOBE:
            name = credentials.claimed_name()
            return _claim_as_client(channel, name) if name else None
        case Method.FS:
            folders = credentials.folders()
            return _folder_as_client(channel, folders, hints.endpoint) if folders else None
        case Method.TOKEN:
            secret = credentials.token_secret(hints.trust_domain, hints.issuer_keys, hints.version)
        case _:
            secret = credentials.password_secret(hints.version)
    return prove_as_client(channel, secret) if secret else None


def authenticate_as_server(
    channel: Channel,
    methods: tuple[str, ...],
    credentials: ServerCredentials,
    endpoints: tuple[Endpoint, ...],
    peer_version: str,
    *,
    is_required: bool,
) -> Talk[Identity | None]:
    """Let a client log in by one of `methods`, best first; the result is who it is, or None when nothing was left."""
    untried = [method for name in methods if (method := method_named(name))]
    for _ in range(_MAXIMUM_ROUNDS):
        mask = read_int((yield))
        method = next((method for method in untried if mask & method), None)
        if is_required and not methods:
            return None
        channel.send_ints(method or 0)
        if method is None:
            return None
        untried.remove(method)
        identity = yield from _server_talk(channel, method, credentials, endpoints, peer_version)
        if identity:
            return identity
    raise ProtocolError(f"a client may try {_MAXIMUM_ROUNDS} methods")


def _server_talk(
    channel: Channel,
    method: Method,
    credentials: ServerCredentials,
    endpoints: tuple[Endpoint, ...],
    peer_version: str,
) -> Talk[Identity | None]:
    match method:
        case Method.CLAIMTOBE:
            return (yield from _claim_as_server(channel, credentials.user_domain()))
        case Method.FS:
            return (yield from _folder_as_server(channel, credentials, endpoints))
        case Method.TOKEN:
            return (yield from _token_as_server(channel, credentials))
    secret = credentials.password_secret(peer_version)
    proved = yield from verify_as_server(channel, lambda _name, _token: secret, has_token=False)
    return Identity(proved.name, "PASSWORD") if proved else None


def _token_as_server(channel: Channel, credentials: ServerCredentials) -> Talk[Identity | None]:
    found: list[Token] = []

    def find(_name: str, text: str | None) -> Secret | None:
        answer = credentials.secret_of_token(text or "", channel.now)
        if answer is None:
            return None
        found.append(answer[0])
        return answer[1]

    secret = yield from verify_as_server(channel, find, has_token=True)
    return Identity(found[0].subject, "IDTOKENS", found[0].limits) if secret else None


def _claim_as_client(channel: Channel, name: str) -> Talk[str | None]:
    channel.send(channel.writer().put_int(1).put_string(name))
    return None if read_int((yield)) == 1 else "the server did not believe it"


def _claim_as_server(channel: Channel, domain: str) -> Talk[Identity | None]:
    reader = yield
    if reader.get_int() != 1:
        return None
    name, _, claimed_domain = reader.get_text().rpartition("@")
    reader.end()
    if not name:
        name, claimed_domain = claimed_domain, ""
    channel.send_ints(1)
    return Identity(f"{name}@{claimed_domain or domain}", "CLAIMTOBE") if name else None


def _folder_as_client(channel: Channel, folders: FolderProof, server: Endpoint) -> Talk[str | None]:
    reader = yield
    path = reader.get_text()
    reader.end()
    # The name must be bound to this very server, or another one could have us open its door at a third
    # (SEC_FS_ENFORCE_CHANNEL_BINDING, condor_auth_fs.cpp).
    extension = server.text if path.endswith("_") else ""
    name = path.rpartition("/")[2]
    is_bound = name.startswith("FS_" if extension else f"FS_{server.host}_{server.port}_")
    # And it must be a name of this kind: whoever we dialled does not get to make just any folder as us.
    is_made = (
        path.startswith("/") and "/.." not in path and is_bound and folders.make_folder(path + extension)
    )
    writer = channel.writer().put_int(0 if is_made else -1)
    if extension:
        writer.put_string(extension)
    channel.send(writer)
    try:
        answer = read_int((yield))
    finally:
        if is_made:
            folders.remove_folder(path + extension)
    if not is_made:
        return f"we could not make the folder {path + extension!r}"
    return None if answer == 0 else f"the server did not find our folder {path + extension!r} (another host?)"


def _folder_as_server(
    channel: Channel, credentials: ServerCredentials, endpoints: tuple[Endpoint, ...]
) -> Talk[Identity | None]:
    here, folders = endpoints[0], credentials.folders()
    name = channel.random_bytes("fs_name", 12).hex()
    path = f"{credentials.folder_parent()}/FS_{here.host}_{here.port}_{name}_"
    if folders is None or not folders.is_free(path):
        path, folders = "", None
    channel.send(channel.writer().put_string(path))

    reader = yield
    status = reader.get_int()
    # The client appends the address it believes to be talking to, and it must be ours.
    extension = reader.get_text() if reader.remaining else ""
    reader.end()
    is_bound = not extension or extension in {endpoint.text for endpoint in endpoints}
    owner = None
    if status == 0 and is_bound and folders:
        owner = folders.owner_of(path + extension)
    channel.send_ints(0 if owner else -1)
    return Identity(f"{owner}@{credentials.user_domain()}", "FS") if owner else None
