"""What is left to know about a stream when another process takes its connection over.

A daemon accepts a connection, finds out who is there and whether he may, and hands it to a process that does the work. The
socket is handed over as a descriptor; this is the rest: the key, where each direction is in its nonces, and the bytes that
have been read and not been used. It travels as a small JSON document, over a channel that nobody else can read, because
the key is in it.
"""

from collections.abc import Mapping
from typing import Any, Self

import attrs

from daemoncore.cedar.packets import Limits

#: SHA-256 of what was sent and of what was received, which the first encrypted packet of a direction is bound to.
HANDSHAKE_BYTES = 64


@attrs.frozen
class DirectionState:
    """Where one direction of an encrypted connection is."""

    #: Two digests over the clear conversation; they count until the first packet has gone.
    handshake: bytes
    #: Of whoever sends in this direction; None until it has sent.
    iv: bytes | None = attrs.field(repr=False)
    #: Packets so far.
    count: int

    def to_document(self) -> dict[str, object]:
        """Return it as JSON can hold it."""
        return {
            "handshake": self.handshake.hex(),
            "iv": None if self.iv is None else self.iv.hex(),
            "count": self.count,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` made; ValueError, KeyError or TypeError when it is something else."""
        iv = document["iv"]
        return cls(
            bytes.fromhex(document["handshake"]),
            None if iv is None else bytes.fromhex(iv),
            int(document["count"]),
        )


@attrs.frozen
class StreamState:
    """All that a `Stream` is, between two messages."""

    limits: Limits
    #: Received, and neither part of a message that was taken nor taken raw.
    buffered: bytes
    #: None on a clear connection.
    key: bytes | None = attrs.field(default=None, repr=False)
    outgoing: DirectionState | None = None
    incoming: DirectionState | None = None

    def to_document(self) -> dict[str, object]:
        """Return it as JSON can hold it. The key is in it."""
        return {
            "packet_bytes": self.limits.packet_bytes,
            "message_bytes": self.limits.message_bytes,
            "buffered": self.buffered.hex(),
            "key": self.key.hex() if self.key else None,
            "outgoing": self.outgoing.to_document() if self.outgoing else None,
            "incoming": self.incoming.to_document() if self.incoming else None,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` made; ValueError, KeyError or TypeError when it is something else."""
        key, outgoing, incoming = document["key"], document["outgoing"], document["incoming"]
        return cls(
            Limits(int(document["packet_bytes"]), int(document["message_bytes"])),
            bytes.fromhex(document["buffered"]),
            bytes.fromhex(key) if key else None,
            DirectionState.from_document(outgoing) if outgoing else None,
            DirectionState.from_document(incoming) if incoming else None,
        )
