"""What the election daemon and the hand that it has beside condor_master say to each other.

As with the guard (`had/guard_messages.py`): a socket pair of type SOCK_SEQPACKET, the first byte names the message, both
ends are one version of one program, and anything unexpected is a defect. Times are seconds of CLOCK_BOOTTIME.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

MAXIMUM_MESSAGE_BYTES = 4096

_LEASE = struct.Struct("!cddI")
_NUMBER = struct.Struct("!cI")


class Lease(NamedTuple):
    """The controllee may live on: from the first of them on the hand has something to end."""

    terminate_at: float
    expires_at: float
    #: Its process; 0 while it is not known.
    pid: int


class Rest(NamedTuple):
    """Nothing runs; nothing is to be ended."""


class Ready(NamedTuple):
    """The hand can act, under this process id."""

    pid: int


class Failed(NamedTuple):
    """The hand cannot act, and ends."""

    text: str


class Noted(NamedTuple):
    """A lease was heard."""


class Lapsed(NamedTuple):
    """The lease was not renewed in time: the controllee is being ended."""


ToHand: TypeAlias = Lease | Rest
FromHand: TypeAlias = Ready | Failed | Noted | Lapsed


def encode(message: ToHand | FromHand) -> bytes:
    """Write a message."""
    match message:
        case Lease():
            return _LEASE.pack(b"L", *message)
        case Rest():
            return b"R"
        case Ready(pid):
            return _NUMBER.pack(b"r", pid)
        case Failed(text):
            return b"f" + text.encode(errors="replace")[: MAXIMUM_MESSAGE_BYTES - 1]
        case Noted():
            return b"n"
        case Lapsed():
            return b"l"


def decode_to_hand(data: bytes) -> ToHand:
    """Read what the daemon wrote; ValueError if it cannot have written that."""
    if data == b"R":
        return Rest()
    if data[:1] == b"L" and len(data) == _LEASE.size:
        return Lease(*_LEASE.unpack(data)[1:])
    raise ValueError(f"unknown message to the hand: {data[:40]!r}")


def decode_from_hand(data: bytes) -> FromHand:
    """Read what the hand wrote; ValueError if it cannot have written that."""
    if data == b"n":
        return Noted()
    if data[:1] == b"r" and len(data) == _NUMBER.size:
        return Ready(_NUMBER.unpack(data)[1])
    if data == b"l":
        return Lapsed()
    if data[:1] == b"f":
        return Failed(data[1:].decode(errors="replace"))
    raise ValueError(f"unknown message from the hand: {data[:40]!r}")
