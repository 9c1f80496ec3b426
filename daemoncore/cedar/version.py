"""What a `RemoteVersion` attribute says: `$CondorVersion: 25.14.0 2026-11-22 ... $`.

Two things hang on a peer's version: the name under which a daemon that holds the pool's signing key signs itself
(`condor@password` since 23.9, `condor_pool@` before) and whether a replication daemon can be asked for its state on
the same connection. Ours must therefore look like a recent one to real peers.
"""

import re
from typing import Final

#: What we say we are. The number is the HTCondor whose protocol we speak; the words after it name us.
OUR_VERSION: Final = "$CondorVersion: 25.0.0 2026-01-01 BuildID: condor-had $"

#: From this version on a holder of the pool's key is called `condor@password` (condor_auth_passwd.cpp, fetchLogin).
CONDOR_PASSWORD_SINCE: Final = (23, 9, 0)

_NUMBERS = re.compile(r"\$CondorVersion: (\d{1,4})\.(\d{1,4})\.(\d{1,4}) ")


def version_numbers(text: str) -> tuple[int, int, int] | None:
    """Return the three numbers of a version text, or None when it is none."""
    found = _NUMBERS.match(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def is_version_at_least(text: str, numbers: tuple[int, int, int]) -> bool:
    """Say whether a version text is `numbers` or later; a text that is no version is older than everything."""
    found = version_numbers(text)
    return found is not None and found >= numbers
