"""What the bytes of a peer can raise: `WireError` and nothing else.

Whoever reads from a peer catches one exception, closes the connection and counts the refusal. The sentence in it says
what was being read and with which values, and the subclass says which of three kinds of trouble it is. Mistakes of our
own (a string with a NUL in it, a number beyond 64 bits) are `ValueError` and belong to whoever wrote them.
"""


class WireError(Exception):
    """A peer sent something that this protocol does not allow; its connection is of no further use."""


class ProtocolError(WireError):
    """The bytes do not have the form that was expected at this place."""


class LimitExceeded(WireError):  # noqa: N818 -- reads as the event it is; its family name, WireError, says error
    """The bytes may be well formed, but they are more than this peer may send at this stage."""


class DecryptionError(WireError):
    """An encrypted packet does not belong to this key, this handshake or this place in the stream."""
