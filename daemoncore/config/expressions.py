"""The arithmetic that a value may contain: `5 * $(MINUTE)`, `2 > 1`, `true && !false`.

HTCondor evaluates such values as ClassAd expressions with nothing to refer to, so a name is UNDEFINED, unless whoever
asks says what names mean (the constraint of a query does, `daemoncore.ad_queries`). This is that part of the ClassAd
language: literals, operators with C's precedence and C's integer division, the conditional
operator, and the few functions that make sense without an ad. Source of the semantics: the ClassAd language
reference, and the official bindings, which the tests ask.
"""

import math
import operator
import re
from collections.abc import Callable

import attrs

#: Values of an expression. UNDEFINED is None; ERROR ends the evaluation.
Value = int | float | bool | str | None

#: Deeper nesting than this is nobody's configuration and would only exhaust the stack.
MAXIMUM_DEPTH = 20


#: The largest whole number of the ClassAd language.
LARGEST = (1 << 63) - 1

#: Characters of a string that an expression makes; more is nobody's setting and would only cost time and memory.
MAXIMUM_STRING = 1 << 16


class ExpressionError(Exception):
    """The text is no expression, or its value is ERROR."""


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<real>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
    | (?P<integer>\d+(?![A-Za-z_]))
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<operator>=\?=|=!=|==|!=|<=|>=|&&|\|\||<<|>>>|>>|[-+*/%<>!~&|^?:(),])
    )""",
    re.VERBOSE,
)

#: Binary operators by precedence, loosest first.
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!=", "=?=", "=!=", "is", "isnt"),
    ("<", "<=", ">", ">="),
    ("<<", ">>", ">>>"),
    ("+", "-"),
    ("*", "/", "%"),
)

_COMPARISONS: dict[str, Callable[[object, object], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,  # type: ignore[dict-item]
    "<=": operator.le,  # type: ignore[dict-item]
    ">": operator.gt,  # type: ignore[dict-item]
    ">=": operator.ge,  # type: ignore[dict-item]
}


def _nothing(_name: str) -> Value:
    """Know no name."""
    return None


def evaluate(text: str, value_of: Callable[[str], Value] = _nothing) -> Value:
    """Return the value of an expression.

    Args:
        text: the expression.
        value_of: what a name, as it is spelled, stands for; None is UNDEFINED.

    Raises:
        ExpressionError: it cannot be parsed, or it divides by zero, or its operands have wrong types.
    """
    parser = _Parser(_tokens(text), value_of)
    value = parser.conditional(0)
    if parser.position != len(parser.tokens):
        raise ExpressionError(f"unexpected {parser.peek()!r}")
    return _bounded(value)


def _bounded(value: Value) -> Value:
    """Refuse what HTCondor's 64 bits cannot hold, and endless strings; what nobody meant only costs memory further on."""
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise ExpressionError("the value does not fit into 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ExpressionError("the value is not finite")
    if isinstance(value, str) and len(value) > MAXIMUM_STRING:
        raise ExpressionError(f"the string has more than {MAXIMUM_STRING} characters")
    return value


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ExpressionError(f"cannot read {text[position:].strip()[:20]!r}")
        tokens.append(found[0].strip())
        position = found.end()
    return tokens


@attrs.define
class _Parser:
    """Recursive descent that evaluates as it goes; both branches of a conditional are evaluated."""

    tokens: list[str]
    value_of: Callable[[str], Value]
    position: int = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        if not token:
            raise ExpressionError("the expression ends too early")
        self.position += 1
        return token

    def expect(self, token: str) -> None:
        if self.peek() != token:
            raise ExpressionError(f"{token!r} is missing")
        self.position += 1

    def conditional(self, depth: int) -> Value:
        if depth > MAXIMUM_DEPTH:
            raise ExpressionError("the expression is nested too deep")
        condition = self.binary(0, depth)
        if self.peek() != "?":
            return condition
        self.take()
        chosen = self.conditional(depth + 1)
        self.expect(":")
        other = self.conditional(depth + 1)
        if condition is None:
            return None
        return chosen if _truth(condition) else other

    def binary(self, level: int, depth: int) -> Value:
        if level == len(_LEVELS):
            return self.unary(depth)
        left = self.binary(level + 1, depth)
        while self.peek().lower() in _LEVELS[level]:
            symbol = self.take().lower()
            left = _bounded(_apply(symbol, left, self.binary(level + 1, depth)))
        return left

    def unary(self, depth: int) -> Value:
        if depth > MAXIMUM_DEPTH:
            raise ExpressionError("the expression is nested too deep")
        if self.peek() in {"-", "+", "!", "~"}:
            return _apply_unary(self.take(), self.unary(depth + 1))
        if self.peek() == "(":
            self.take()
            value = self.conditional(depth + 1)
            self.expect(")")
            return value
        return self.primary(depth)

    def primary(self, depth: int) -> Value:
        token = self.take()
        if token[0] == '"':
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            return _number(token)
        if not (token[0].isalpha() or token[0] == "_"):
            raise ExpressionError(f"unexpected {token!r}")
        if self.peek() == "(":
            return self.call(token.lower(), depth)
        constants: dict[str, Value] = {"true": True, "false": False, "undefined": None}
        if token.lower() == "error":
            raise ExpressionError("the value is ERROR")
        # Any other name is looked up in an ad, if there is one.
        return constants[token.lower()] if token.lower() in constants else self.value_of(token)

    def call(self, name: str, depth: int) -> Value:
        self.expect("(")
        arguments: list[Value] = []
        while self.peek() != ")":
            arguments.append(self.conditional(depth + 1))
            if self.peek() != ")":
                self.expect(",")
        self.take()
        function = _FUNCTIONS.get(name)
        if function is None:
            raise ExpressionError(f"{name} is no function of the configuration language")
        try:
            return _bounded(function(*arguments))
        except (TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
            raise ExpressionError(f"{name} does not take {arguments!r}") from error


def _number(token: str) -> int | float:
    # A leading zero means nothing: HTCondor reads plain numbers in base ten.
    if token.isdigit() and len(token.lstrip("0")) > len(str(LARGEST)):
        raise ExpressionError("the number does not fit into 64 bits")
    return int(token) if token.isdigit() else float(token)


def _truth(value: Value) -> bool:
    if isinstance(value, bool | int | float):
        return bool(value)
    raise ExpressionError(f"{value!r} is neither true nor false")


def _apply_unary(symbol: str, value: Value) -> Value:
    if value is None:
        return None
    if symbol == "!":
        return not _truth(value)
    if isinstance(value, str):
        raise ExpressionError(f"{symbol} does not take {value!r}")
    if symbol == "~":
        return ~int(value)
    return -value if symbol == "-" else +value


def _apply(symbol: str, left: Value, right: Value) -> Value:
    if symbol in {"=?=", "is"}:
        return type(left) is type(right) and left == right
    if symbol in {"=!=", "isnt"}:
        return not (type(left) is type(right) and left == right)
    if symbol in {"||", "&&"}:
        return _logic(symbol, left, right)
    if left is None or right is None:
        return None
    if symbol in _COMPARISONS:
        return _compare(symbol, left, right)
    if isinstance(left, str) or isinstance(right, str):
        raise ExpressionError(f"{symbol} does not take {left!r} and {right!r}")
    if symbol in {"/", "%"}:
        return _divide(symbol, left, right)
    if symbol in {"+", "-", "*"}:
        result: float = {"+": operator.add, "-": operator.sub, "*": operator.mul}[symbol](left, right)
        return result
    return _bits(symbol, left, right)


def _logic(symbol: str, left: Value, right: Value) -> Value:
    decisive = symbol == "||"
    truths = [None if side is None else _truth(side) for side in (left, right)]
    if decisive in truths:
        return decisive
    return None if None in truths else not decisive


def _compare(symbol: str, left: Value, right: Value) -> bool:
    if isinstance(left, str) != isinstance(right, str):
        raise ExpressionError(f"{left!r} and {right!r} cannot be compared")
    if isinstance(left, str) and isinstance(right, str):
        # Comparison of strings ignores case; =?= does not.
        left, right = left.lower(), right.lower()
    return _COMPARISONS[symbol](left, right)


def _divide(symbol: str, left: float, right: float) -> float:
    if right == 0:
        raise ExpressionError("division by zero")
    if isinstance(left, int) and isinstance(right, int):
        # C rounds towards zero, and the remainder has the sign of the dividend.
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        return quotient if symbol == "/" else left - quotient * right
    return left / right if symbol == "/" else math.fmod(left, right)


def _bits(symbol: str, left: float, right: float) -> int:
    if not (isinstance(left, int) and isinstance(right, int)):
        raise ExpressionError(f"{symbol} takes whole numbers only")
    if symbol in {"<<", ">>", ">>>"}:
        if not 0 <= right < 64:
            raise ExpressionError(f"cannot shift by {right}")
        return left << right if symbol == "<<" else left >> right
    return int({"|": operator.or_, "^": operator.xor, "&": operator.and_}[symbol](left, right))


def _quantize(value: float, step: float) -> float:
    return math.ceil(value / step) * step if step else value


def _power(base: float, exponent: float) -> float:
    """Raise, in whole numbers only where the result stays small enough to be somebody's setting."""
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent <= 64:
        return int(base**exponent)
    return math.pow(base, exponent)


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "int": lambda value: int(float(value)) if isinstance(value, str) else int(value),
    "real": float,
    "floor": lambda value: math.floor(float(value)),
    "ceiling": lambda value: math.ceil(float(value)),
    "round": lambda value: math.floor(float(value) + 0.5),
    "abs": abs,
    "pow": _power,
    "quantize": _quantize,
    "strcat": lambda *texts: "".join(str(text) for text in texts),
    "ifthenelse": lambda condition, chosen, other: chosen if _truth(condition) else other,
    "isundefined": lambda value: value is None,
}
