"""From the text of a value to its type, by the row of its knob.

The rules are HTCondor's with two exceptions: a time may have decimals, and a value that is no number is refused here,
where HTCondor's tools fall back to the default in silence and its daemons abort at the first use.
"""

import re

import attrs

from daemoncore.config.expressions import ExpressionError, Value, evaluate
from daemoncore.config.knob import Kind, Knob


@attrs.frozen
class LogLimit:
    """When a log is rotated: at a size, or at an age; both None is never."""

    size_bytes: int | None = None
    age_seconds: float | None = None


#: What a knob's value can be.
Typed = str | int | float | bool | LogLimit | tuple[str, ...]


class ValueRefusedError(Exception):
    """The text is no value of its knob; the message starts with `must`."""


#: Units of log limits by first letters. A lower-case m is minutes and an upper-case M is MiB.
_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_AGES = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "hour": 3600, "d": 86400, "day": 86400}
_AGES |= {"w": 604800, "week": 604800} | {name + "s": value for name, value in _AGES.items() if len(name) > 1}
_LIMIT = re.compile(r"(?P<number>-?\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)")


def split_list(text: str) -> tuple[str, ...]:
    """Split at commas and blanks; empty items, as a trailing comma leaves them, do not count."""
    return tuple(re.findall(r"[^\s,]+", text))


def convert(knob: Knob, text: str) -> Typed:
    """Return the typed value.

    Raises:
        ValueRefusedError: the text is no value of the knob's kind, or it is out of bounds.
    """
    if knob.kind is Kind.LIST:
        return split_list(text)
    if knob.kind is Kind.CHOICE:
        return _choice(knob, text)
    if knob.kind is Kind.BOOLEAN:
        return _boolean(text)
    if knob.kind is Kind.LOG_LIMIT:
        return _log_limit(text)
    if knob.kind in {Kind.INTEGER, Kind.SECONDS, Kind.REAL}:
        return _number(knob, text)
    return text


def _choice(knob: Knob, text: str) -> str:
    if text.strip().lower() not in knob.choices:
        raise ValueRefusedError(f"must be {_alternatives(knob.choices)} (got {text})")
    return text.strip().lower()


def _alternatives(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _evaluated(text: str) -> Value:
    try:
        return evaluate(text)
    except (ExpressionError, OverflowError):
        return None


def _boolean(text: str) -> bool:
    if text.strip().lower() in {"t", "f"}:
        return text.strip().lower() == "t"
    value = _evaluated(text)
    if isinstance(value, bool | int | float):
        return bool(value)
    raise ValueRefusedError(f"must be true or false (got {text})")


def _number(knob: Knob, text: str) -> int | float:
    value = _evaluated(text)
    if isinstance(value, str) or value is None:
        raise ValueRefusedError(f"must be {_name(knob)}{_hint(text)} (got {text})")
    # true and false are 1 and 0, as in a ClassAd.
    number = int(value) if knob.kind is Kind.INTEGER else float(value)
    unit = f" {knob.unit}" if knob.unit else ""
    if knob.minimum is not None and not number >= knob.minimum:
        raise ValueRefusedError(f"must be at least {knob.minimum:g}{unit} (got {text})")
    if knob.maximum is not None and not number <= knob.maximum:
        raise ValueRefusedError(f"must be at most {knob.maximum:g}{unit} (got {text})")
    if not -(2.0**63) <= number < 2.0**63:
        raise ValueRefusedError(f"must be a number of at most 64 bits (got {text})")
    return number


def _name(knob: Knob) -> str:
    names = {Kind.INTEGER: "a whole number", Kind.SECONDS: "a number of seconds", Kind.REAL: "a number"}
    return f"{names[knob.kind]} or an expression of numbers"


def _hint(text: str) -> str:
    return ", without a unit" if re.fullmatch(r"\s*\d+(\.\d+)?\s*[A-Za-z]+\s*", text) else ""


def _log_limit(text: str) -> LogLimit:
    found = _LIMIT.fullmatch(text.strip())
    if found is None:
        value = _evaluated(text)
        if isinstance(value, bool | str) or value is None:
            raise ValueRefusedError(
                f"must be a size (B, Kb, Mb, Gb, Tb) or an age (s, min, h, d, w) (got {text})"
            )
        return _limit(float(value), 1, text)
    number, unit = float(found["number"]), found["unit"]
    is_age = unit == "m" or (unit.lower() in _AGES and unit != "M")
    if is_age:
        if number < 0:
            raise ValueRefusedError(f"must not be negative (got {text})")
        return LogLimit(age_seconds=number * _AGES[unit.lower()]) if number else LogLimit()
    letter = unit.lower().removesuffix("b").removesuffix("i") if unit.lower() != "b" else "b"
    if letter not in _SIZES:
        raise ValueRefusedError(
            f"must be a size (B, Kb, Mb, Gb, Tb) or an age (s, min, h, d, w) (got {text})"
        )
    return _limit(number, _SIZES[letter], text)


def _limit(number: float, unit_bytes: int, text: str) -> LogLimit:
    if not 0 <= number * unit_bytes < 2.0**63:
        raise ValueRefusedError(f"must not be negative, nor beyond 64 bits (got {text})")
    return LogLimit(size_bytes=int(number * unit_bytes)) if number else LogLimit()
