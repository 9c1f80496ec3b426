"""What this host can prove itself with, and what it recognizes others by: keys, tokens, passwords and folders on disk.

Files are read when they are needed, so that a key or token that is put in place counts from the next login on. They are
small, and a login happens once a day per peer. A file that others may read, or that belongs to somebody else than root or
ourselves, is no secret and is passed over (HTCondor src/condor_utils/secure_file.cpp).
"""

import os
import pwd
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from daemoncore.cedar.akep2 import CONDOR_PASSWORD, Secret, password_secret, token_secret
from daemoncore.cedar.authentication import FolderProof
from daemoncore.cedar.errors import WireError
from daemoncore.cedar.keys import named_signing_key, pool_password, pool_signing_key
from daemoncore.cedar.tokens import (
    OWN_TOKEN_LIFETIME_SECONDS,
    POOL_KEY_NAME,
    Token,
    mint_token,
    parse_token,
    sign_token,
)
from daemoncore.cedar.version import CONDOR_PASSWORD_SINCE, is_version_at_least

#: Hears of files that are passed over: the path and why.
Complain = Callable[[str, str], None]

#: Keys and tokens are a few hundred bytes.
_MAXIMUM_FILE_BYTES: Final = 64 * 1024
#: The name of the pool's own user before HTCondor 23.9.
_CONDOR_POOL: Final = "condor_pool"


class LocalFolders:
    """The file system of this host, as far as FS needs it."""

    def __init__(self, *, maps_root_to_condor: bool = True) -> None:
        self._maps_root_to_condor = maps_root_to_condor

    def make_folder(self, path: str) -> bool:
        """Make a folder that did not exist, mode 0700; say whether that worked."""
        try:
            Path(path).mkdir(mode=0o700)
        except (OSError, ValueError):
            return False
        return True

    def remove_folder(self, path: str) -> None:
        """Remove the folder, if it can be."""
        try:
            Path(path).rmdir()
        except OSError:
            return

    def is_free(self, path: str) -> bool:
        """Say whether nothing has that name, not even a dangling link."""
        return not os.path.lexists(path)

    def owner_of(self, path: str) -> str | None:
        """Return the account that owns a plain folder of mode 0700, else None.

        The conditions are HTCondor's (condor_auth_fs.cpp): no link, one or two hard links, exactly mode 0700, since
        folders with another mode may have been made by somebody else and moved here.
        """
        try:
            status = os.lstat(path)
            is_proof = (
                stat.S_ISDIR(status.st_mode)
                and stat.S_IMODE(status.st_mode) == 0o700
                and status.st_nlink <= 2
            )
            owner = pwd.getpwuid(status.st_uid).pw_name if is_proof else None
        except (OSError, ValueError, KeyError):
            return None
        return "condor" if owner == "root" and self._maps_root_to_condor and _has_account("condor") else owner


@attrs.frozen
class CredentialSettings:
    """Where the secrets are, and what we are called."""

    user_domain: str
    trust_domain: str
    token_directories: tuple[Path, ...] = ()
    password_directory: Path | None = None
    pool_key_file: Path | None = None
    password_file: Path | None = None
    #: The user that CLAIMTOBE claims to be, without domain; empty is the account that we run as.
    claimed_user: str = ""
    maximum_token_age_seconds: float | None = None
    folder_parent: str = "/tmp"  # noqa: S108 -- FS is defined by this place; see LocalFolders.owner_of for why it is safe
    maps_root_to_condor: bool = True


def _ignore(_path: str, _reason: str) -> None:
    """Say nothing."""


@attrs.frozen
class Credentials:
    """The secrets of this host, for both roles: `ClientCredentials` and `ServerCredentials` of the wire."""

    settings: CredentialSettings
    complain: Complain = _ignore

    def claimed_name(self) -> str | None:
        """Return the `user@domain` that CLAIMTOBE claims to be."""
        user = self.settings.claimed_user or _account_name()
        return f"{user}@{self.settings.user_domain}" if user else None

    def folders(self) -> FolderProof:
        """Return the file system."""
        return LocalFolders(maps_root_to_condor=self.settings.maps_root_to_condor)

    def folder_parent(self) -> str:
        """Return the folder in which FS makes its folders."""
        return self.settings.folder_parent

    def user_domain(self) -> str:
        """Return the domain of this host's accounts, UID_DOMAIN."""
        return self.settings.user_domain

    def signing_key(self, name: str) -> bytes | None:
        """Return a signing key by its name, or None; names come from strangers and are looked at first.

        A name out of JSON may even hold half a surrogate pair, which no file's name can.
        """
        if name == POOL_KEY_NAME:
            content = self._read(self.settings.pool_key_file)
            return pool_signing_key(content) if content else None
        directory = self.settings.password_directory
        if directory is None or not name or "/" in name or "\0" in name or name.startswith("."):
            return None
        content = self._read(directory / name)
        return named_signing_key(content) if content else None

    def signing_key_names(self) -> tuple[str, ...]:
        """Return the names of the signing keys that we hold; a peer chooses its token by them."""
        names = {POOL_KEY_NAME} if self._read(self.settings.pool_key_file) else set()
        directory = self.settings.password_directory
        names |= {path.name for path in _files_in(directory) if self._read(path)} if directory else set()
        return tuple(sorted(names))

    def secret_of_token(self, text: str, now: float) -> tuple[Token, Secret] | None:
        """Return the token and what its holder must know, if it is good at `now` and we hold its key."""
        try:
            token, _ = parse_token(text)
            token.check(now, self.settings.maximum_token_age_seconds)
        except WireError:
            return None
        key = self.signing_key(token.key_name)
        return (token, token_secret(token, sign_token(token, key))) if key else None

    def token_secret(self, issuer: str, key_names: tuple[str, ...], peer_version: str) -> Secret | None:
        """Return the secret of a token of ours for a server of trust domain `issuer` that holds the keys named.

        Without one in the token directories, whoever holds a signing key of the same trust domain mints its own, as
        every daemon of a pool does.
        """
        for token, signature in self._tokens():
            if token.issuer == issuer and (not key_names or token.key_name in key_names):
                return token_secret(token, signature)
        if issuer != self.settings.trust_domain:
            return None
        for name in key_names:
            key = self.signing_key(name)
            if key:
                return _own_token(key, name, issuer, peer_version)
        return None

    def password_secret(self, peer_version: str) -> Secret | None:
        """Return the secret of the pool password, or None."""
        content = self._read(self.settings.password_file)
        if not content:
            return None
        is_new = is_version_at_least(peer_version, CONDOR_PASSWORD_SINCE)
        name = CONDOR_PASSWORD if is_new else f"{_CONDOR_POOL}@{self.settings.user_domain}"
        return password_secret(pool_password(content), name)

    def _tokens(self) -> Iterator[tuple[Token, bytes]]:
        for directory in self.settings.token_directories:
            for path in _files_in(directory):
                content = self._read(path) or b""
                for line in content.decode("utf-8", "replace").splitlines():
                    if line.strip() and not line.startswith("#"):
                        yield from self._token(path, line)

    def _token(self, path: Path, line: str) -> Iterator[tuple[Token, bytes]]:
        try:
            token, signature = parse_token(line)
            token.check(time.time(), None)
        except WireError as error:
            self.complain(str(path), str(error))
            return
        if signature:
            yield token, signature

    def _read(self, path: Path | None) -> bytes | None:
        """Return a secret file's content; None when there is none, or when it is no secret."""
        if path is None:
            return None
        try:
            # A pipe put in a secret's place must not make us wait for its writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                trouble = _exposure(os.fstat(descriptor))
                if trouble is None:
                    return file.read(_MAXIMUM_FILE_BYTES)
        except (FileNotFoundError, UnicodeEncodeError):
            return None
        except OSError as error:
            trouble = error.strerror or str(error)
        self.complain(str(path), trouble)
        return None


def _exposure(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "it is no plain file"
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {status.st_uid}, not to us or root"
    if status.st_mode & 0o077:
        return f"others may read or write it (mode {stat.S_IMODE(status.st_mode):04o}); chmod 600 it"
    return None


def _files_in(directory: Path) -> Iterator[Path]:
    try:
        entries = sorted(directory.iterdir())
    except OSError:
        return
    # Editors and package managers leave backups behind, which HTCondor passes over as well.
    yield from (
        path for path in entries if not path.name.startswith((".", "#")) and not path.name.endswith("~")
    )


def _own_token(key: bytes, key_name: str, issuer: str, peer_version: str) -> Secret:
    is_new = is_version_at_least(peer_version, CONDOR_PASSWORD_SINCE)
    text = mint_token(
        key,
        key_name=key_name,
        issuer=issuer,
        subject=CONDOR_PASSWORD if is_new else f"{_CONDOR_POOL}@",
        identifier=secrets.token_hex(16),
        now=time.time(),
        lifetime_seconds=OWN_TOKEN_LIFETIME_SECONDS,
    )
    token, signature = parse_token(text)
    assert signature is not None, "a minted token is signed"
    return token_secret(token, signature)


def _has_account(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _account_name() -> str | None:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return None
