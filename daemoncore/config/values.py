"""From the text of a value to its type, by the row of its knob.

The rules are HTCondor's with two exceptions: a time may have decimals, and a value that is no number is refused here,
where HTCondor's tools fall back to the default in silence and its daemons abort at the first use.
"""

import re

from daemoncore.config.expressions import ExpressionError, Value, evaluate
from daemoncore.config.knob import Kind, Knob
from daemoncore.log_file import RotationLimit

#: What a knob's value can be.
Typed = str | int | float | bool | RotationLimit | tuple[str, ...]


class ValueRefusedError(Exception):
    """The text is no value of its knob; the message starts with `must`."""


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


def _log_limit(text: str) -> RotationLimit:
    try:
        return RotationLimit.parse(text)
    except ValueError as error:
        raise ValueRefusedError(str(error)) from error
