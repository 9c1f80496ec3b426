"""A signing key that the members of a pool share: made by `hadctl keys create`, copied, and used by IDTOKENS, as in HTCondor."""

import shutil
import subprocess
import sys

from tests.end_to_end.node import ROOT

#: What a pool across hosts needs, as HTCondor would need it; the key's file is each node's own.
KEYED = {
    "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
    "SEC_DEFAULT_ENCRYPTION": "REQUIRED",
    "SEC_DEFAULT_INTEGRITY": "REQUIRED",
    "SEC_DEFAULT_AUTHENTICATION_METHODS": "IDTOKENS",
    "SEC_CLIENT_AUTHENTICATION": "REQUIRED",
    "TRUST_DOMAIN": "test.pool",
    "UID_DOMAIN": "test.pool",
    "ALLOW_DAEMON": "condor@*",
    "ALLOW_ADMINISTRATOR": "condor@*",
    "ALLOW_READ": "*",
}


def share_key(pool):
    """Give every member of a pool, which was made with KEYED, the same new key."""
    for node in pool.nodes:
        passwords, tokens = node.folder / "passwords.d", node.folder / "tokens.d"
        node.configure(
            SEC_PASSWORD_DIRECTORY=passwords,
            SEC_TOKEN_SYSTEM_DIRECTORY=tokens,
            SEC_TOKEN_DIRECTORY=tokens,
        )
        passwords.mkdir(mode=0o700)
        tokens.mkdir(mode=0o700)
    give_key(pool[0])
    for node in pool.nodes[1:]:
        shutil.copy(key_of(pool[0]), key_of(node))


def key_of(node):
    """Return the file of a node's signing key."""
    return node.folder / "passwords.d" / "POOL"


def give_key(node):
    """Make a new signing key for a node."""
    words = ["keys", "create", "-c", str(node.configuration), "--file", str(key_of(node)), "--force"]
    done = subprocess.run(
        [sys.executable, "-m", "had.ctl", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
