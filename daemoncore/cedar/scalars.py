"""What a message is made of: integers, strings, reals, raw bytes and ads, written one after another without marks.

Nothing on the wire says which of them comes next; both sides know the order. So a reader that asks for the wrong thing
gets nonsense or `ProtocolError`, and `MessageReader.end` insists that nothing is left over, as HTCondor's does.

Integers of every type are 8 bytes, big-endian, two's complement. A string is its bytes and a NUL; a missing string is
the byte 0xAD (HTCondor src/condor_io/stream.cpp, BIN_NULL_CHAR). While the connection is encrypted, a string is preceded
by its length, NUL included. The bytes of a string are text in UTF-8; those that are not come through as surrogates, so
that any bytes survive being read and written again.
"""

import math
import struct
from typing import Self

from daemoncore.cedar.classad import RESTRICTED_ATTRIBUTES, ClassAd
from daemoncore.cedar.errors import LimitExceeded, ProtocolError

_INTEGER = struct.Struct(">q")
_MISSING = b"\xad"
# A real is cut into two integers; the fraction is scaled by this (HTCondor src/condor_io/stream.cpp, FRAC_CONST).
_FRACTION_SCALE = 2147483647


class MessageWriter:
    """Puts together the body of one message; every `put_` returns the writer, so that calls can be chained.

    Strings look different on an encrypted connection: `Stream.writer()` gives a writer of the right kind.
    """

    def __init__(self, *, encrypted: bool = False) -> None:
        self.is_encrypted = encrypted
        self._body = bytearray()

    def body(self) -> bytes:
        """Return what has been put so far, without any framing."""
        return bytes(self._body)

    def put_int(self, number: int) -> Self:
        """Append an integer, boolean or enumeration; ValueError when it does not fit 64 bits."""
        try:
            self._body += _INTEGER.pack(number)
        except struct.error as error:
            raise ValueError(f"an integer of a message has 64 bits (got {number})") from error
        return self

    def put_string(self, text: str | None) -> Self:
        """Append a string, or the mark of a missing one.

        Raises:
            ValueError: the text holds a NUL, or begins with the byte that marks a missing string.
        """
        if text is None:
            return self._put_counted(_MISSING)
        encoded = text.encode("utf-8", "surrogateescape")
        if b"\0" in encoded or encoded[:1] == _MISSING:
            raise ValueError(
                f"a string of a message has no NUL and does not begin with the byte 0xAD (got {text!r})"
            )
        return self._put_counted(encoded + b"\0")

    def _put_counted(self, encoded: bytes) -> Self:
        if self.is_encrypted:
            self._body += _INTEGER.pack(len(encoded))
        self._body += encoded
        return self

    def put_bytes(self, data: bytes | bytearray | memoryview) -> Self:
        """Append bytes as they are; the receiver has to know how many."""
        self._body += data
        return self

    def put_double(self, number: float) -> Self:
        """Append a real number with 31 bits of its fraction; ValueError for infinities and NaN."""
        if not math.isfinite(number):
            raise ValueError(f"a real of a message is finite (got {number})")
        fraction, exponent = math.frexp(number)
        return self.put_int(int(fraction * _FRACTION_SCALE)).put_int(exponent)

    def put_ad(self, ad: ClassAd) -> Self:
        """Append an ad: the number of its lines, the lines, and two strings that have been empty for many years."""
        lines = ad.to_lines()
        self.put_int(len(lines))
        for line in lines:
            self.put_string(line)
        return self.put_string("").put_string("")


class MessageReader:
    """Takes the body of one message apart, front to back; every failure is a `WireError`."""

    def __init__(self, body: bytes, *, encrypted: bool = False) -> None:
        self.is_encrypted = encrypted
        self._body = body
        self._position = 0

    @property
    def remaining(self) -> int:
        """How many bytes have not been read yet."""
        return len(self._body) - self._position

    def get_bytes(self, count: int) -> bytes:
        """Take exactly `count` bytes as they are."""
        start = self._position
        end = start + count
        if not start <= end <= len(self._body):
            raise ProtocolError(f"a message should go on for {count} bytes, {self.remaining} are left")
        self._position = end
        return self._body[start:end]

    def get_int(self) -> int:
        """Take an integer."""
        number: int = _INTEGER.unpack(self.get_bytes(_INTEGER.size))[0]
        return number

    def get_string(self) -> str | None:
        """Take a string; None is a missing one, which is not an empty one."""
        encoded = self._get_counted() if self.is_encrypted else self._get_terminated()
        return None if encoded is None else encoded.decode("utf-8", "surrogateescape")

    def get_text(self) -> str:
        """Take a string that must not be missing."""
        text = self.get_string()
        if text is None:
            raise ProtocolError("a string is missing where there must be one")
        return text

    def _get_terminated(self) -> bytes | None:
        start = self._position
        if self._body[start : start + 1] == _MISSING:
            self._position = start + 1
            return None
        end = self._body.find(b"\0", start)
        if end < 0:
            raise ProtocolError(
                f"a string does not end within the {self.remaining} bytes left of its message"
            )
        self._position = end + 1
        return self._body[start:end]

    def _get_counted(self) -> bytes | None:
        encoded = self.get_bytes(self.get_int())
        if encoded[:1] == _MISSING:
            return None
        if encoded[-1:] != b"\0" or encoded.find(b"\0") != len(encoded) - 1:
            raise ProtocolError(f"a string of {len(encoded)} bytes does not end with its only NUL")
        return encoded[:-1]

    def get_double(self) -> float:
        """Take a real number."""
        fraction, exponent = self.get_int(), self.get_int()
        try:
            return math.ldexp(fraction / _FRACTION_SCALE, exponent)
        except OverflowError:
            raise ProtocolError(f"a real number is too large ({fraction}, exponent {exponent})") from None

    def get_ad(self, *, restricted: bool = False) -> ClassAd:
        """Take an ad.

        Args:
            restricted: for ads of strangers, read before authentication: at most 100 attributes, literals only.
        """
        count = self.get_int()
        if restricted and count > RESTRICTED_ATTRIBUTES:
            raise LimitExceeded(
                f"an ad of a stranger may have {RESTRICTED_ATTRIBUTES} attributes (got {count})"
            )
        # Every line takes at least one byte, so this bounds the loop by what was really sent.
        if not 0 <= count <= self.remaining:
            raise ProtocolError(f"an ad cannot have {count} attributes in {self.remaining} bytes")
        ad = ClassAd.from_lines([self.get_text() for _ in range(count)], is_restricted=restricted)
        self.get_string()
        self.get_string()
        return ad

    def rest(self) -> bytes:
        """Take all that is left, as it is."""
        return self.get_bytes(self.remaining)

    def end(self) -> None:
        """Check that the message has been read exactly; HTCondor ignores a message that was not."""
        if self.remaining:
            raise ProtocolError(f"a message has {self.remaining} bytes more than expected")
