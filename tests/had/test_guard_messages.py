"""The conversation of daemon and guard: what is written is read back, and nothing else is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from had.guard_messages import (
    MAXIMUM_MESSAGE_BYTES,
    Cause,
    Exited,
    Ping,
    Pong,
    Renew,
    Start,
    Started,
    StartFailed,
    Stop,
    decode_to_daemon,
    decode_to_guard,
    encode,
)

START = Start(
    argv=("/bin/program", "", "an argument"),
    environment=(("HAD_NODE", "[::1]:9620"), ("EMPTY", ""), ("EQUALS", "a=b")),
    log_path="/var/log/controllee",
    terminate_at=12.25,
    expires_at=13.5,
    stop_argv=("/bin/stop", "it"),
    stop_timeout_seconds=10.0,
    user_id=64,
    group_id=-1,
)


@pytest.mark.parametrize(
    "message",
    [START, START._replace(stop_argv=(), environment=()), Renew(1.5, 2.5), Stop(0.25), Ping(4_000_000_000)],
)
def test_the_guard_reads_what_the_daemon_wrote(message):
    """Every order survives the way to the guard."""
    assert decode_to_guard(encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Started(123),
        StartFailed("running x: \udcff"),
        StartFailed(""),
        Exited(9, Cause.LAPSED, "text"),
        Pong(0),
    ],
)
def test_the_daemon_reads_what_the_guard_wrote(message):
    """Every answer survives the way back."""
    assert decode_to_daemon(encode(message)) == message


@given(st.binary(max_size=80))
def test_other_bytes_are_refused(data):
    """Any bytes are either a message or a ValueError, on both ends."""
    for decode in (decode_to_guard, decode_to_daemon):
        try:
            message = decode(data)
        except ValueError:
            continue
        assert type(message).__module__ == "had.guard_messages"


@pytest.mark.parametrize("message", [START, Renew(1.5, 2.5), Stop(0.25), Ping(1)])
def test_a_longer_or_shorter_order_is_refused(message):
    """An order that was cut, or has something behind it, is a defect and no order."""
    data = encode(message)
    for changed in (data[:-1], data + b"\0"):
        try:
            decoded = decode_to_guard(changed)
        except ValueError:
            continue
        # Only the last text of a start may differ in length unnoticed.
        assert isinstance(decoded, Start)
        assert decoded._replace(environment=()) == START._replace(environment=())


def test_a_daemon_does_not_obey_orders():
    """Each end understands only what the other says."""
    with pytest.raises(ValueError, match="unknown message from the guard"):
        decode_to_daemon(encode(Stop(1.0)))
    with pytest.raises(ValueError, match="unknown message to the guard"):
        decode_to_guard(encode(Started(1)))


def test_a_text_with_a_nul_is_refused():
    """A NUL in an argument would be two arguments; the error shows the text."""
    with pytest.raises(ValueError, match=r"holds a NUL: 'a\\x00b'"):
        encode(START._replace(argv=("a\0b",)))


def test_an_order_that_is_too_large_is_refused():
    """An environment that the socket could not carry is refused with both sizes."""
    with pytest.raises(ValueError, match=f"at most {MAXIMUM_MESSAGE_BYTES}"):
        encode(START._replace(environment=(("BIG", "x" * MAXIMUM_MESSAGE_BYTES),)))


def test_causes_outside_the_table_are_refused():
    """An unknown cause of an exit is a defect, not a guess."""
    data = bytearray(encode(Exited(0, Cause.OWN)))
    data[-1] = 99
    with pytest.raises(ValueError, match="99 is not a valid Cause"):
        decode_to_daemon(bytes(data))
