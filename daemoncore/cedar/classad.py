"""ClassAds: ordered, case-insensitive sets of named values, and their text on the wire.

An ad travels as lines `Name = right-hand side` in the *old* syntax. A received ad keeps each right-hand side as the text
it came as and parses it when somebody asks, so that reading is cheap, and an ad that is passed on is passed on as it
was. Parsing never fails: what is no literal is an `Expression`, and expressions are never evaluated.

An ad does not change; `with_values` and `without` return another one.
"""

# ruff: noqa: SLF001 -- an ad looks into other ads, which are its own kind

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Self, TypeAlias, TypeVar, overload

from daemoncore.cedar.errors import LimitExceeded, ProtocolError
from daemoncore.cedar.values import (
    Expression,
    Special,
    format_integer,
    format_real,
    parse_number,
    parse_word,
    quote,
    unquote,
)

#: What an attribute can be. Lists come out as tuples, since an ad does not change.
Value: TypeAlias = "bool | int | float | str | Special | Expression | tuple[Value, ...] | ClassAd"
#: What an attribute can be made from.
ValueLike: TypeAlias = "Value | list[ValueLike] | tuple[ValueLike, ...]"

_Default = TypeVar("_Default")

#: Stock readers of 25.x take no more from a stranger (src/condor_utils/classad_oldnew.cpp, getPODClassAd).
RESTRICTED_ATTRIBUTES = 100
#: Lists and ads nested deeper than this stay expressions; no ad of HTCondor's nests more than three.
MAXIMUM_DEPTH = 20

# A member's heartbeats say mostly the same again: lines and values that were read before are looked up, which is most
# of what an idle daemon saves. Only short ones are remembered, so that no peer can fill our memory.
_REMEMBERED = 256
_REMEMBERED_CHARACTERS = 100


class ClassAd(Mapping[str, Value]):
    """An immutable mapping from attribute names, in the order and spelling given, to values.

    Names are looked up without regard to case. Two ads are equal when they have the same names and every value is
    written the same, so `1`, `1.0` and `true` differ; the order does not count.
    """

    __slots__ = ("_lines", "_values")

    # By lower-case name: the name as it is spelt, and the text of the right-hand side.
    _lines: dict[str, tuple[str, str]]
    # By lower-case name: values that have been asked for.
    _values: dict[str, Value]

    def __init__(self, items: Mapping[str, ValueLike] | Iterable[tuple[str, ValueLike]] = ()) -> None:
        """Make an ad of names and values; of a name that comes twice the last value counts.

        Raises:
            ValueError: a name or a value cannot be written on the wire.
        """
        pairs = items.items() if isinstance(items, Mapping) else items
        self._lines = {}
        self._values = {}
        for name, value in pairs:
            if not _PLAIN_NAME.fullmatch(name):
                _check_name(name)
            self._put(name, unparse(value))

    @classmethod
    def from_lines(cls, lines: Iterable[str], *, is_restricted: bool = False) -> Self:
        """Read an ad from its lines `Name = right-hand side`.

        Args:
            lines: one attribute each, as they stand on the wire.
            is_restricted: for ads of strangers: at most 100 attributes, every one of them a literal.

        Raises:
            ProtocolError: a line is no attribute, or in a restricted ad no literal.
            LimitExceeded: a restricted ad has too many attributes.
        """
        ad = cls.__new__(cls)
        ad._lines = {}
        ad._values = {}
        for line in lines:
            is_short = len(line) <= _REMEMBERED_CHARACTERS
            key, name, text = (_split_again if is_short else _split)(line)
            known = ad._lines.get(key)
            ad._lines[key] = (known[0] if known else name, text)
        if is_restricted:
            ad._check_restricted()
        return ad

    def _put(self, name: str, text: str) -> None:
        key = name.lower()
        known = self._lines.get(key)
        self._lines[key] = (known[0] if known else name, text)

    def _check_restricted(self) -> None:
        if len(self) > RESTRICTED_ATTRIBUTES:
            raise LimitExceeded(
                f"an ad of a stranger may have {RESTRICTED_ATTRIBUTES} attributes (got {len(self)})"
            )
        for name, text in self._lines.values():
            # A bracket is enough to know; what a stranger put between brackets is not worth parsing.
            if text.lstrip()[:1] in ("{", "[") or isinstance(self[name], Expression):
                raise ProtocolError(f"an ad of a stranger has literals only (got {name} = {text[:80]!r})")

    def to_lines(self) -> list[str]:
        """Return the ad's lines as they go on the wire; a received line goes out as it came in."""
        return [f"{name} = {text}" for name, text in self._lines.values()]

    def text(self, name: str) -> str:
        """Return the text of a right-hand side; KeyError when there is none of that name."""
        return self._lines[name.lower()][1]

    def __getitem__(self, name: str) -> Value:
        key = name.lower()
        value = self._values.get(key)
        if value is None:
            text = self._lines[key][1]
            is_short = len(text) <= _REMEMBERED_CHARACTERS
            value = self._values[key] = (_parse_again if is_short else parse)(text)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._lines

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._lines.values())

    def __len__(self) -> int:
        return len(self._lines)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClassAd):
            return NotImplemented
        return self._lines.keys() == other._lines.keys() and all(
            text == other._lines[key][1] or unparse(self[key]) == unparse(other[key])
            for key, (_, text) in self._lines.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ClassAd({', '.join(self.to_lines())})"

    @overload
    def get_string(self, name: str) -> str | None: ...
    @overload
    def get_string(self, name: str, default: _Default) -> str | _Default: ...
    def get_string(self, name: str, default: _Default | None = None) -> str | _Default | None:
        """Return the attribute if it is a string, else `default`."""
        value = self.get(name)
        return value if isinstance(value, str) else default

    @overload
    def get_int(self, name: str) -> int | None: ...
    @overload
    def get_int(self, name: str, default: _Default) -> int | _Default: ...
    def get_int(self, name: str, default: _Default | None = None) -> int | _Default | None:
        """Return the attribute if it is an integer (and no truth value), else `default`."""
        value = self.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    @overload
    def get_float(self, name: str) -> float | None: ...
    @overload
    def get_float(self, name: str, default: _Default) -> float | _Default: ...
    def get_float(self, name: str, default: _Default | None = None) -> float | _Default | None:
        """Return the attribute as a float if it is a number of either kind, else `default`."""
        value = self.get(name)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default

    @overload
    def get_bool(self, name: str) -> bool | None: ...
    @overload
    def get_bool(self, name: str, default: _Default) -> bool | _Default: ...
    def get_bool(self, name: str, default: _Default | None = None) -> bool | _Default | None:
        """Return the attribute if it is a truth value, else `default`."""
        value = self.get(name)
        return value if isinstance(value, bool) else default

    def with_values(self, items: Mapping[str, ValueLike] | Iterable[tuple[str, ValueLike]]) -> "ClassAd":
        """Return this ad with some values replaced where they stand, and new ones at the end."""
        return self._copy()._update(ClassAd(items))

    def without(self, *names: str) -> "ClassAd":
        """Return this ad without the attributes of these names; absent ones do not matter."""
        copy = self._copy()
        for name in names:
            copy._lines.pop(name.lower(), None)
        return copy

    def _copy(self) -> "ClassAd":
        copy = ClassAd()
        copy._lines.update(self._lines)
        return copy

    def _update(self, other: "ClassAd") -> "ClassAd":
        for name, text in other._lines.values():
            self._put(name, text)
        return self


def _split(line: str) -> tuple[str, str, str]:
    """Return the lower-case name, the name and the text of a line."""
    name, equals, text = line.partition("=")
    name = name.strip()
    if not equals or not name or not text.strip():
        raise ProtocolError(f"a line of a ClassAd is 'Name = value' (got {line[:80]!r})")
    # Only the blank that belongs to the sign goes: the text itself may begin with one, as in ` -a`.
    return name.lower(), name, text.removeprefix(" ")


_split_again = lru_cache(_REMEMBERED)(_split)


def _check_name(name: str) -> None:
    if not name or name != name.strip() or any(character in name for character in "=\n\0"):
        raise ValueError(
            f"an attribute's name is not empty, and has no '=', no newline and no blanks around it (got {name!r})"
        )


def unparse(value: ValueLike) -> str:
    """Return the text of a value in old syntax.

    Raises:
        ValueError: an integer beyond 64 bits, or a string with a NUL in it, which the wire cannot carry.
        TypeError: no value of a ClassAd.
    """
    match value:
        case str():
            if "\0" in value:
                raise ValueError(f"a string of a ClassAd has no NUL in it (got {value!r})")
            return quote(value)
        case bool():
            return "true" if value else "false"
        case int():
            return format_integer(value)
        case float():
            return format_real(value)
        case Special():
            return value.value
        case Expression():
            return value.text
        case ClassAd():
            return "[ " + "; ".join(f"{_quote_name(name)} = {value.text(name)}" for name in value) + " ]"
        case list() | tuple():
            return "{ " + ",".join(map(unparse, value)) + " }"
    raise TypeError(f"a ClassAd cannot hold a {type(value).__name__} (got {value!r})")


_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _quote_name(name: str) -> str:
    # Inside a nested ad a name that is no identifier stands in single quotes.
    return name if _PLAIN_NAME.fullmatch(name) else f"'{name}'"


def parse(text: str) -> Value:
    """Return what a right-hand side says; what is not a literal as a whole is an `Expression`."""
    text = text.strip()
    if text[:1] == '"':
        string = unquote(text)
        return Expression(text) if string is None else string
    number = parse_number(text)
    if number is not None:
        return number
    word = parse_word(text)
    if word is not None:
        return word
    if text[:1] in ("{", "["):
        return _parse_nested(text)
    return Expression(text)


_parse_again = lru_cache(_REMEMBERED)(parse)


class _NoLiteralError(Exception):
    """Some part of the text between brackets is no literal."""


# One piece of a literal with brackets: a string, a name in quotes, a bracket or separator, or a number or word.
_PIECE = re.compile(
    r"""\s*(?: ("(?:\\"|[^"])*") | ('[^'\\]*') | ([{}\[\],;=]) | (real\("[-A-Za-z]+"\)|[^\s{}\[\],;="']+) )\s*""",
    re.VERBOSE,
)


def _parse_nested(text: str) -> Value:
    try:
        value, end = _parse_value(text, 0, 0)
    except _NoLiteralError:
        return Expression(text)
    return value if end == len(text) else Expression(text)


def _piece(text: str, position: int) -> tuple[str, int]:
    match = _PIECE.match(text, position)
    if match is None:
        raise _NoLiteralError
    return match[match.lastindex or 0], match.end()


def _parse_value(text: str, position: int, depth: int) -> tuple[Value, int]:
    piece, position = _piece(text, position)
    if piece in ("{", "["):
        if depth == MAXIMUM_DEPTH:
            raise _NoLiteralError
        return (_parse_list if piece == "{" else _parse_ad)(text, position, depth + 1)
    value = parse(piece)
    if isinstance(value, Expression):
        raise _NoLiteralError
    return value, position


def _parse_list(text: str, position: int, depth: int) -> tuple[Value, int]:
    values: list[Value] = []
    piece, after = _piece(text, position)
    if piece == "}":
        return (), after
    while True:
        value, position = _parse_value(text, position, depth)
        values.append(value)
        piece, position = _piece(text, position)
        if piece == "}":
            return tuple(values), position
        if piece != ",":
            raise _NoLiteralError


def _parse_ad(text: str, position: int, depth: int) -> tuple[Value, int]:
    pairs: list[tuple[str, Value]] = []
    while True:
        name, position = _piece(text, position)
        if name == "]":
            return ClassAd(pairs), position
        equals, position = _piece(text, position)
        if equals != "=":
            raise _NoLiteralError
        value, position = _parse_value(text, position, depth)
        pairs.append((_plain_name(name), value))
        separator, after = _piece(text, position)
        if separator == ";":
            position = after
        elif separator != "]":
            raise _NoLiteralError


def _plain_name(piece: str) -> str:
    name = piece[1:-1] if piece[0] == "'" else piece
    if not name or name != name.strip() or (name == piece and not _PLAIN_NAME.fullmatch(name)):
        raise _NoLiteralError
    return name
