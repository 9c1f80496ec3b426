"""Expressions in values."""

import contextlib

import hypothesis
import hypothesis.strategies as st
import pytest

from daemoncore.config.expressions import ExpressionError, evaluate


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5 * 60", 300),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("7 / 2.0", 3.5),
        ("010", 10),
        ("1e2", 100.0),
        (".5", 0.5),
        ("1 << 4 | 1", 17),
        ("~0", -1),
        ("6 ^ 3", 5),
        ("!true", False),
        ("1 < 2 && 2 <= 2", True),
        ("undefined || true", True),
        ("undefined && true", None),
        ("NAME + 1", None),
        ("undefined =?= undefined", True),
        ("1 =!= 1.0", True),
        ('"a" == "A"', True),
        ('"a" is "A"', False),
        ("true ? 1 : 2", 1),
        ("false ? 1 : true ? 3 : 4", 3),
        ("int(7.9) + real(1)", 8.0),
        ("floor(1.5) + ceiling(1.5) + round(2.5)", 6),
        ("pow(2, 10)", 1024),
        ("quantize(7, 5)", 10),
        ('strcat("a", 1)', "a1"),
        ("ifThenElse(true, 1, 2)", 1),
    ],
)
def test_value(text, value):
    """An expression has the value that the ClassAd language gives it, of the same type."""
    assert evaluate(text) == value
    assert type(evaluate(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 +",
        "(1",
        "1)",
        "5m",
        "0x10",
        "1 / 0",
        "1 % 0",
        "1.5 & 1",
        '"a" + 1',
        "error",
        "nonsense(1)",
        "1 2",
        "@",
        "1 << 64",
        '!"a"',
        "int()",
        "int(",
        "pow(9, pow(9, 9))",
        "(" * 200 + "1" + ")" * 200,
        "-" * 200 + "1",
    ],
)
def test_no_value(text):
    """What is no expression, or has no value, raises the one error."""
    with pytest.raises(ExpressionError):
        evaluate(text)


@hypothesis.given(st.text(alphabet='0123456789.+-*/%()<>=!&|?:~^, "ae', max_size=40))
def test_any_text_is_a_value_or_the_error(text):
    """No text makes the evaluator raise anything else, or run for long."""
    with contextlib.suppress(ExpressionError):
        evaluate(text)
