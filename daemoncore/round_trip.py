"""How long a connection's packets take, as the kernel knows it: nothing is sent to find out."""

from __future__ import annotations

import socket
import struct
from typing import Final

import trio

from daemoncore.client import Connection

# struct tcp_info of linux/tcp.h: tcpi_rtt, microseconds, follows 8 bytes and 15 words.
_TCP_INFO_BYTES: Final = 104
_RTT_OFFSET: Final = 68


def round_trip_seconds(connection: Connection) -> float | None:
    """The kernel's smoothed estimate of the round trip (TCP_INFO), None for what is no TCP connection."""
    transport = connection.transport
    if not isinstance(transport, trio.SocketStream):
        return None
    try:
        data = transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    (microseconds,) = struct.unpack_from("=I", data, _RTT_OFFSET)
    return float(microseconds) / 1e6
