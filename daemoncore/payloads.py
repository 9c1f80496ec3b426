"""What comes with a command: its payload, and for a command of ours the one ad that it is.

An operator's command names who gives it and why. What the name claims is only words, so the authenticated user is put
beside it.
"""

from __future__ import annotations

from typing import Final

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.scalars import MessageReader
from daemoncore.server_connection import Request

MAXIMUM_REASON: Final = 1024
"""Characters of an operator's name or reason that are kept."""


def payload(request: Request) -> MessageReader:
    """Return the payload of a command that was registered with one."""
    assert request.reader is not None, "every command of ours was registered with a payload"
    return request.reader


def ad_of(request: Request) -> ClassAd:
    """Return the one ad that the payload is.

    Raises:
        WireError: it is none, or more follows.
    """
    reader = payload(request)
    ad = reader.get_ad()
    reader.end()
    return ad


def operator_of(request: Request) -> tuple[ClassAd, str]:
    """Return an operator's ad, and who that is: the claimed name with the authenticated one.

    Raises:
        WireError: the payload is no ad.
    """
    ad = ad_of(request)
    claimed = ad.get_string("By", "")[:MAXIMUM_REASON]
    user = request.peer.identity.user
    return ad, f"{claimed} ({user})" if claimed not in ("", user) else user


def reason_of(ad: ClassAd) -> str:
    """Return an operator's reason, cut to `MAXIMUM_REASON`."""
    return ad.get_string("Reason", "")[:MAXIMUM_REASON]
