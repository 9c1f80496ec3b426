"""What an attribute of a ClassAd can be when it is not a text, a number or a truth value, and how those are spelt.

HTCondor has two values that Python lacks, `undefined` and `error`, and expressions, which nobody here evaluates. Scalars
are spelt in the *old* syntax, the one of the wire: in a string only the double quote is escaped, backslashes, newlines and
tabs are themselves, and a real number shows sixteen significant digits.
"""

import enum
import math
import re
from typing import Final

import attrs

#: 64-bit integers are all that a ClassAd has (HTCondor src/classad/classad/value.h).
SMALLEST_INTEGER: Final = -(2**63)
LARGEST_INTEGER: Final = 2**63 - 1

# A leading zero would be octal for one stock reader and an error for another, so it is no literal here.
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_REAL = re.compile(
    r"-?(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"
)
_UNUSUAL_REAL = {'real("inf")': math.inf, 'real("-inf")': -math.inf, 'real("nan")': math.nan}


class Special(enum.Enum):
    """The two values of HTCondor that say "no value"; both count as false."""

    UNDEFINED = "undefined"
    ERROR = "error"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Special.UNDEFINED
ERROR: Final = Special.ERROR

_WORDS: dict[str, bool | Special] = {"true": True, "false": False, "undefined": UNDEFINED, "error": ERROR}


@attrs.frozen
class Expression:
    """A right-hand side that is no literal, kept as its text and never evaluated.

    Whatever this reader does not take for a literal ends up here too, such as `1K`, `007` or `"a" "b"`, about which
    the stock readers disagree; no getter for a number or a string will mistake it for one.
    """

    text: str


def quote(text: str) -> str:
    r"""Return `text` as a string literal in old syntax: only `"` is escaped."""
    return '"' + text.replace('"', '\\"') + '"'


def unquote(literal: str) -> str | None:
    r"""Return what the string literal says, or None when `literal` is not exactly one string.

    A backslash before the very last quote is a backslash, before any other quote it is an escape
    (HTCondor src/classad/lexer.cpp, tokenizeStringOld).
    """
    if len(literal) < 2 or literal[0] != '"' or literal[-1] != '"':
        return None
    inner = literal[1:-1]
    if '"' not in inner:
        return inner
    if '"' in inner.replace('\\"', ""):
        return None
    return inner.replace('\\"', '"')


def format_real(number: float) -> str:
    """Return a real number as HTCondor writes it: `%.16G`, and never looking like an integer."""
    if math.isnan(number):
        return 'real("NaN")'
    if math.isinf(number):
        return 'real("INF")' if number > 0 else 'real("-INF")'
    text = f"{number:.16G}"
    return text if "." in text or "E" in text else text + ".0"


def format_integer(number: int) -> str:
    """Return an integer's digits.

    Raises:
        ValueError: the number does not fit 64 bits (the official bindings would write -1 instead).
    """
    if not SMALLEST_INTEGER <= number <= LARGEST_INTEGER:
        raise ValueError(f"a ClassAd holds integers of 64 bits (got {number})")
    return str(number)


def parse_number(text: str) -> int | float | None:
    """Return the number that `text` is the literal of, or None."""
    if _INTEGER.fullmatch(text):
        number = int(text)
        return number if SMALLEST_INTEGER <= number <= LARGEST_INTEGER else None
    if _REAL.fullmatch(text):
        return float(text)
    return _UNUSUAL_REAL.get(text.lower())


def parse_word(text: str) -> bool | Special | None:
    """Return what `true`, `false`, `undefined` or `error`, in any case of letters, stands for, or None."""
    return _WORDS.get(text.lower())
