"""What the election daemon and its guard say to each other.

They share a socket pair of type SOCK_SEQPACKET, so a message arrives whole or not at all and needs no length. The
first byte names the message; numbers follow in network order, then texts. An empty read is the end of the peer. Both
ends are one version of one program, so anything unexpected is a defect: decoding raises ValueError, and the guard
then ends everything rather than guess.

Daemon to guard: `Start`, `Renew`, `Stop`, `Ping`. Guard to daemon: `Started`, `StartFailed`, `Exited`, `Pong`. One
controllee at a time: after `Start` the next one is legal only when `StartFailed` or `Exited` arrived. Times are
seconds of CLOCK_BOOTTIME. Standard library only, since the guard must stay small.
"""

from __future__ import annotations

import enum
import os
import struct
from typing import NamedTuple, TypeAlias

MAXIMUM_MESSAGE_BYTES = 128 * 1024
"""Larger than any sane environment, and smaller than the kernel's default socket buffer (net.core.wmem_default)."""

NO_CHANGE = -1
"""A user or group id that means: keep the daemon's, as in setreuid(2)."""

_START = struct.Struct("!cdddiiHHH")
_RENEW = struct.Struct("!cdd")
_STOP = struct.Struct("!cd")
_NUMBER = struct.Struct("!cI")
_EXITED = struct.Struct("!ciB")


class Cause(enum.IntEnum):
    """Why a controllee ended."""

    #: It ended by itself, or somebody else killed it.
    OWN = 0
    #: The daemon asked for it.
    ASKED = 1
    #: The lease was not renewed.
    LAPSED = 2


class Start(NamedTuple):
    """Start the controllee, or run its start command."""

    argv: tuple[str, ...]
    #: The whole environment, nothing is added.
    environment: tuple[tuple[str, str], ...]
    #: Where its output is appended to; empty is the daemon's own standard error.
    log_path: str
    #: When it gets SIGTERM, and when it must be dead, unless the lease is renewed.
    terminate_at: float
    expires_at: float
    #: If not empty, `argv` is a start command and this undoes it; the controllee is no child of ours.
    stop_argv: tuple[str, ...] = ()
    #: How long the stop command may take when the daemon is gone.
    stop_timeout_seconds: float = 10.0
    user_id: int = NO_CHANGE
    group_id: int = NO_CHANGE


class Renew(NamedTuple):
    """The lease holds until later."""

    terminate_at: float
    expires_at: float


class Stop(NamedTuple):
    """End the controllee: SIGTERM now, SIGKILL after the time-out."""

    timeout_seconds: float


class Ping(NamedTuple):
    """Show that you live."""

    number: int


class Started(NamedTuple):
    """The controllee's program runs (0: the start command succeeded)."""

    pid: int


class StartFailed(NamedTuple):
    """The controllee could not be started, and nothing of it is left."""

    text: str


class Exited(NamedTuple):
    """The controllee ended, and no process of it is left."""

    #: As from waitpid(2).
    status: int
    cause: Cause
    #: What went wrong on the way, for people.
    text: str = ""


class Pong(NamedTuple):
    """I live."""

    number: int


ToGuard: TypeAlias = Start | Renew | Stop | Ping
ToDaemon: TypeAlias = Started | StartFailed | Exited | Pong


def encode(message: ToGuard | ToDaemon) -> bytes:
    """Write a message.

    Raises:
        ValueError: a text holds a NUL, or the whole exceeds MAXIMUM_MESSAGE_BYTES; it names which.
    """
    match message:
        case Start():
            data = _encode_start(message)
        case Renew(terminate_at, expires_at):
            data = _RENEW.pack(b"R", terminate_at, expires_at)
        case Stop(timeout_seconds):
            data = _STOP.pack(b"T", timeout_seconds)
        case Ping(number):
            data = _NUMBER.pack(b"P", number)
        case Started(pid):
            data = _NUMBER.pack(b"s", pid)
        case StartFailed(text):
            data = b"f" + _to_bytes(text)
        case Exited(status, cause, text):
            data = _EXITED.pack(b"e", status, cause) + _to_bytes(text)
        case Pong(number):
            data = _NUMBER.pack(b"p", number)
    if len(data) > MAXIMUM_MESSAGE_BYTES:
        name = type(message).__name__
        raise ValueError(
            f"{name} for the guard has {len(data)} bytes, at most {MAXIMUM_MESSAGE_BYTES} are possible"
        )
    return data


def decode_to_guard(data: bytes) -> ToGuard:
    """Read what the daemon wrote; ValueError if it cannot have written that."""
    try:
        match data[:1]:
            case b"S":
                return _decode_start(data)
            case b"R":
                return Renew(*_RENEW.unpack(data)[1:])
            case b"T":
                return Stop(*_STOP.unpack(data)[1:])
            case b"P":
                return Ping(*_NUMBER.unpack(data)[1:])
    except struct.error as error:
        raise ValueError(f"malformed message to the guard: {error}: {data[:40]!r}") from error
    raise ValueError(f"unknown message to the guard: {data[:40]!r}")


def decode_to_daemon(data: bytes) -> ToDaemon:
    """Read what the guard wrote; ValueError if it cannot have written that."""
    try:
        match data[:1]:
            case b"s":
                return Started(*_NUMBER.unpack(data)[1:])
            case b"f":
                return StartFailed(_to_text(data[1:]))
            case b"e":
                _, status, cause = _EXITED.unpack_from(data)
                return Exited(status, Cause(cause), _to_text(data[_EXITED.size :]))
            case b"p":
                return Pong(*_NUMBER.unpack(data)[1:])
    except struct.error as error:
        raise ValueError(f"malformed message from the guard: {error}: {data[:40]!r}") from error
    raise ValueError(f"unknown message from the guard: {data[:40]!r}")


def _encode_start(start: Start) -> bytes:
    variables = tuple(f"{name}={value}" for name, value in start.environment)
    texts = (start.log_path, *start.argv, *start.stop_argv, *variables)
    for text in texts:
        if "\0" in text:
            raise ValueError(f"the controllee's command or environment holds a NUL: {text!r}")
    head = _START.pack(
        b"S",
        start.terminate_at,
        start.expires_at,
        start.stop_timeout_seconds,
        start.user_id,
        start.group_id,
        len(start.argv),
        len(start.stop_argv),
        len(variables),
    )
    return head + b"\0".join(map(_to_bytes, texts))


def _decode_start(data: bytes) -> Start:
    _, terminate_at, expires_at, stop_timeout, user_id, group_id, *counts = _START.unpack_from(data)
    texts = [_to_text(text) for text in data[_START.size :].split(b"\0")]
    if len(texts) != 1 + sum(counts) or counts[0] == 0:
        raise ValueError(f"Start holds {len(texts)} texts, announced were 1 + {counts}")
    stop_begins = 1 + counts[0]
    variables_begin = stop_begins + counts[1]
    pairs = (variable.partition("=") for variable in texts[variables_begin:])
    return Start(
        argv=tuple(texts[1:stop_begins]),
        environment=tuple((name, value) for name, _, value in pairs),
        log_path=texts[0],
        terminate_at=terminate_at,
        expires_at=expires_at,
        stop_argv=tuple(texts[stop_begins:variables_begin]),
        stop_timeout_seconds=stop_timeout,
        user_id=user_id,
        group_id=group_id,
    )


def _to_bytes(text: str) -> bytes:
    """Encode as the operating system's interfaces do, so that any file name survives (PEP 383)."""
    return os.fsencode(text)


def _to_text(data: bytes) -> str:
    return os.fsdecode(data)
