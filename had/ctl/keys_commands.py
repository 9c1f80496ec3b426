"""`hadctl keys create` and `keys token`: the secrets by which the members know each other and their operators.

`create` makes the pool's signing key. Copied to every member, it lets each of them prove that it belongs to the pool;
whoever has it can be anybody, so it goes nowhere else. `token` signs an identity token with it, for a person or a tool
that should do only certain things. Both are as HTCondor makes them, and either side reads the other's.

Exit status: 0 written, 1 not written, 2 wrong usage or no usable configuration.
"""

import argparse
import os
import re
import secrets
import sys
import time
from pathlib import Path

from daemoncore.authorization import Level
from daemoncore.cedar.keys import scramble
from daemoncore.cedar.tokens import POOL_KEY_NAME, mint_token
from daemoncore.config import ConfigurationError, load
from daemoncore.credentials import Credentials
from daemoncore.pool_security import security_of
from had.ctl.configured import report_unusable
from had.ctl.durations import duration_argument
from had.ctl.secret_files import SecretFileError, write_secret

#: Bytes of a new signing key: as many as the digest has that is computed with it, twice over.
KEY_BYTES = 64
#: The name that HTCondor's daemons give themselves; a token for it makes its holder a member.
_DEFAULT_USER = "condor"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*")


def add_arguments(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb `keys` and its sub-verbs."""
    parser = subparsers.add_parser("keys", help="make the pool's signing key, and tokens signed with it")
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument(
        "-c", "--config", metavar="FILE", help="configuration file instead of the usual places"
    )
    source.add_argument("-local-name", "--local-name", metavar="NAME", help="instance whose view counts")
    source.add_argument("--force", action="store_true", help="replace a file that exists")
    create = verbs.add_parser("create", parents=[source], help="make a signing key")
    create.add_argument("--file", metavar="FILE", help="where to (default: SEC_TOKEN_POOL_SIGNING_KEY_FILE)")
    token = verbs.add_parser("token", parents=[source], help="sign a token")
    token.add_argument(
        "--identity",
        metavar="USER",
        help=f"user@domain that it names (default: {_DEFAULT_USER}@TRUST_DOMAIN)",
    )
    token.add_argument(
        "--lifetime", type=duration_argument, metavar="TIME", help="like 12h or 30d (default: for ever)"
    )
    token.add_argument(
        "--authz",
        action="append",
        default=[],
        type=_level,
        metavar="LEVEL",
        help="limit it to this level, like READ or ADMINISTRATOR; may be repeated (default: no limit)",
    )
    token.add_argument(
        "--key", default=POOL_KEY_NAME, metavar="NAME", help=f"signing key (default: {POOL_KEY_NAME})"
    )
    token.add_argument(
        "--token", metavar="NAME", help="write it to this file of the token directory instead of printing it"
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out one of the verbs and return its exit status."""
    try:
        configuration = load(arguments.config, local_name=arguments.local_name, environment=os.environ)
        credentials = security_of(configuration, is_tool=True).credentials
    except ConfigurationError as error:
        return report_unusable(error)
    try:
        return (
            _create(arguments, credentials) if arguments.verb == "create" else _token(arguments, credentials)
        )
    except SecretFileError as error:
        print(f"hadctl: {error}", file=sys.stderr)
        return 1


def _create(arguments: argparse.Namespace, credentials: Credentials) -> int:
    path = Path(arguments.file) if arguments.file else credentials.settings.pool_key_file
    if path is None:
        raise SecretFileError("SEC_TOKEN_POOL_SIGNING_KEY_FILE is not set, and no --file was given")
    write_secret(path, new_key(), is_forced=arguments.force)
    print(path)
    print("hadctl: copy it to every member, with mode 0600, and to nobody else", file=sys.stderr)
    return 0


def new_key() -> bytes:
    """Return the content of a new key file.

    No byte of it is zero: as a pool password (method PASSWORD) the file counts only up to its first zero byte.
    """
    content = b""
    while len(content) < KEY_BYTES:
        content += bytes(byte for byte in secrets.token_bytes(KEY_BYTES) if byte)
    assert scramble(scramble(content)) == content, "whatever bytes a file has, they are some key's"
    return content[:KEY_BYTES]


def _token(arguments: argparse.Namespace, credentials: Credentials) -> int:
    key = credentials.signing_key(arguments.key)
    if key is None:
        where = credentials.settings.pool_key_file if arguments.key == POOL_KEY_NAME else arguments.key
        raise SecretFileError(
            f"there is no signing key that can be used at {where}; `hadctl keys create` makes one"
        )
    domain = credentials.settings.trust_domain
    identity = arguments.identity or f"{_DEFAULT_USER}@{domain}"
    text = mint_token(
        key,
        key_name=arguments.key,
        issuer=domain,
        subject=identity if "@" in identity else f"{identity}@{domain}",
        identifier=secrets.token_hex(16),
        now=time.time(),
        lifetime_seconds=arguments.lifetime,
        levels=tuple(arguments.authz),
    )
    if arguments.token is None:
        print(text)
        return 0
    path = _token_file(arguments.token, credentials)
    write_secret(path, f"{text}\n".encode("ascii"), is_forced=arguments.force)
    print(path)
    return 0


def _token_file(name: str, credentials: Credentials) -> Path:
    directories = credentials.settings.token_directories
    if not _FILE_NAME.fullmatch(name):
        raise SecretFileError(f"a token's file name has letters, digits and ._@- only (got {name})")
    if not directories:
        raise SecretFileError("no token directory is known; SEC_TOKEN_DIRECTORY names one")
    return directories[0] / name


def _level(text: str) -> str:
    level = text.strip().upper()
    if level not in {one.value for one in Level}:
        choices = ", ".join(one.value for one in Level)
        raise argparse.ArgumentTypeError(f"must be one of {choices} (got {text})")
    return level
