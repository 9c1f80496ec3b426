"""The text of ClassAds against what the official bindings and a real collector made of it."""

import contextlib
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.classad import MAXIMUM_DEPTH, RESTRICTED_ATTRIBUTES, ClassAd, parse, unparse
from daemoncore.cedar.errors import LimitExceeded, ProtocolError, WireError
from daemoncore.cedar.values import ERROR, UNDEFINED, Expression
from tests import vector_files

TABLES = vector_files.load("12-classad-text")

#: What the recorder's Python sources mean; the bindings' None and too large integers are theirs alone.
NAMESPACE = {"inf": math.inf, "nan": math.nan, "__builtins__": {}}
NOT_OURS = {"2**63 (too big)", "None", "bytes"}


def recorded_value(source):
    """Return the Python value that a row of the table was made from, in our terms."""
    value = eval(
        source.replace("classad2.Value.", "_"), NAMESPACE | {"_Undefined": UNDEFINED, "_Error": ERROR}
    )
    return ads_of(value)


def ads_of(value):
    """Return a value with every dict in it replaced by an ad."""
    if isinstance(value, dict):
        return ClassAd({name: ads_of(member) for name, member in value.items()})
    return [ads_of(member) for member in value] if isinstance(value, list) else value


def is_same(first, second):
    """Compare two values without taking 1 for 1.0 or true."""
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(is_same, first, second))
    if isinstance(first, float) and isinstance(second, float):
        return first.hex() == second.hex()
    return type(first) is type(second) and first == second


@pytest.mark.parametrize("row", TABLES["values"], ids=lambda row: row["label"])
def test_values_are_written_as_the_bindings_write_them(row):
    """The text of a value is what stands in the recording."""
    if row["label"] in NOT_OURS:
        return
    assert unparse(recorded_value(row["python"])) == row["wire"]


@pytest.mark.parametrize("row", TABLES["values"], ids=lambda row: row["label"])
def test_values_are_read_back(row):
    """The recorded text gives the value that was written, as far as sixteen digits go."""
    if row["label"] in NOT_OURS:
        return
    value = recorded_value(row["python"])
    if isinstance(value, float) and float(f"{value:.16G}") != value and not math.isnan(value):
        value = float(f"{value:.16G}")
    assert is_same(parse(row["wire"]), tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    "row", [row for row in TABLES["expressions"] if "wire" in row], ids=lambda row: row["wire"]
)
def test_expressions_survive_unread(row):
    """An expression is kept as its text, and a literal in an expression's clothes is a literal."""
    value = parse(row["wire"])
    if isinstance(value, Expression):
        assert value.text == row["wire"].strip()
    else:
        assert unparse(value) == row["wire"].strip()
    [line] = ClassAd.from_lines([f"X = {row['wire']}"]).to_lines()
    assert line == f"X = {row['wire']}"


@pytest.mark.parametrize("row", TABLES["attribute_names"], ids=lambda row: row["name"])
def test_attribute_names_are_written_as_they_are(row):
    """Any name of the recording stands unquoted before the sign, and is found again."""
    ad = ClassAd({row["name"]: 1})
    assert ad.to_lines() == [f"{row['wire_name']} = 1"]
    assert ClassAd.from_lines(ad.to_lines())[row["name"].upper()] == 1


def bindings_value(bindings):
    """Return what the bindings read, where it is one of the plain types."""
    convert = {
        "str": str,
        "int": int,
        "bool": bool,
        "float": float.fromhex,
        "list": eval,
    }
    return convert[bindings["type"]](bindings["value"]) if bindings.get("type") in convert else None


@pytest.mark.parametrize("row", TABLES["decode"], ids=lambda row: repr(row["wire"]))
def test_texts_are_read_as_stock_readers_read_them(row):
    """A literal is what both stock readers make of it; anything else is an expression, or no attribute at all."""
    if not row["wire"].strip():
        with pytest.raises(ProtocolError, match="Name = value"):
            ClassAd.from_lines([f"X = {row['wire']}"])
        return
    value = parse(row["wire"])
    if isinstance(value, Expression):
        assert value.text == row["wire"].strip()
    elif isinstance(value, ClassAd) or not isinstance(value, (str, int, float, tuple)):
        assert unparse(value) == row["collector"]["returned"]
    else:
        assert is_same(value, bindings_value(row["bindings"]))
        assert unparse(value) == row["collector"]["returned"]


def test_what_stock_readers_disagree_about_is_no_literal():
    """Octal, hexadecimal, scaled, signed and overlong numbers, and texts with something after them, stay expressions."""
    for text in (
        "007",
        "0x1F",
        "1K",
        "+1",
        "1.",
        "9223372036854775808",
        "1 2",
        '"a" "b"',
        '"a"b"',
        '"open',
        "(1)",
        "1;",
    ):
        assert parse(text) == Expression(text)


def test_names_are_found_in_any_case_and_kept_as_spelt():
    """Lookup ignores case, and iteration gives the first spelling in order."""
    ad = ClassAd([("Name", "a"), ("HadIndex", 1), ("NAME", "b")])
    assert list(ad) == ["Name", "HadIndex"]
    assert ad["name"] == "b"
    assert "hadindex" in ad
    assert "other" not in ad
    assert len(ad) == 2
    with pytest.raises(KeyError):
        ad["other"]


def test_equality_is_of_names_and_written_values():
    """Order and case of names do not count, the kind of a number does, and so does the spelling not."""
    assert ClassAd({"A": 1, "B": "x"}) == ClassAd({"b": "x", "a": 1})
    assert ClassAd({"A": 1}) != ClassAd({"A": 1.0})
    assert ClassAd({"A": 1}) != ClassAd({"A": True})
    assert ClassAd({"A": 1}) != ClassAd({"B": 1})
    assert ClassAd({"A": 1}) != {"A": 1}
    assert ClassAd.from_lines(["A = TRUE", "L={1, 2}"]) == ClassAd({"A": True, "L": [1, 2]})
    with pytest.raises(TypeError):
        hash(ClassAd())


def test_typed_getters_take_only_their_kind():
    """A getter gives its default for an absent attribute and for one of another kind."""
    ad = ClassAd({"S": "x", "I": 1, "F": 1.5, "B": True, "U": UNDEFINED, "E": Expression("a + 1")})
    assert (ad.get_string("s"), ad.get_int("i"), ad.get_float("f"), ad.get_bool("b")) == ("x", 1, 1.5, True)
    assert ad.get_float("I") == 1.0
    assert ad.get_int("B") is None
    assert ad.get_float("B", "no") == "no"
    assert ad.get_string("I", "") == ""
    assert ad.get_int("E", 7) == 7
    assert ad.get_bool("S") is None
    assert not ad["U"]
    assert ad.text("e") == "a + 1"


def test_changed_ads_are_other_ads():
    """`with_values` replaces in place and appends, `without` removes, and the original stays."""
    ad = ClassAd({"A": 1, "B": 2})
    assert ad.with_values({"b": 3, "C": 4}).to_lines() == ["A = 1", "B = 3", "C = 4"]
    assert ad.without("a", "nothing").to_lines() == ["B = 2"]
    assert ad.to_lines() == ["A = 1", "B = 2"]
    assert ad.with_values({"A": 9})["A"] == 9
    assert repr(ad) == "ClassAd(A = 1, B = 2)"


def test_what_cannot_be_written_is_refused():
    """Our own mistakes are ValueErrors and TypeErrors, not errors of the wire."""
    for name in ("", " A", "a=b", "a\nb"):
        with pytest.raises(ValueError, match="attribute's name"):
            ClassAd({name: 1})
    with pytest.raises(ValueError, match="64 bits"):
        ClassAd({"A": 2**63})
    with pytest.raises(ValueError, match="no NUL"):
        ClassAd({"A": "a\0b"})
    with pytest.raises(TypeError, match="cannot hold a bytes"):
        ClassAd({"A": b"x"})


@pytest.mark.parametrize("text", ["a", "{ 1 }", "[ a = 1 ]", "1 + 2", "1K", "f(1)", '"a" "b"'])
def test_a_strangers_ad_has_literals_only(text):
    """Before authentication an expression, a list or a nested ad is refused."""
    with pytest.raises(ProtocolError, match="literals only"):
        ClassAd.from_lines([f"A = {text}"], is_restricted=True)


def test_a_strangers_ad_is_small():
    """Before authentication an ad has at most a hundred attributes."""
    lines = [f"A{number} = {number}" for number in range(RESTRICTED_ATTRIBUTES + 1)]
    assert len(ClassAd.from_lines(lines[:-1], is_restricted=True)) == RESTRICTED_ATTRIBUTES
    with pytest.raises(LimitExceeded, match="100 attributes"):
        ClassAd.from_lines(lines, is_restricted=True)


def test_deep_nesting_stays_text():
    """A list nested beyond the limit, or a thousandfold, is an expression and no recursion."""
    for depth in (MAXIMUM_DEPTH + 1, 100_000):
        text = "{" * depth + "}" * depth
        assert parse(text) == Expression(text)
    assert parse("{" * MAXIMUM_DEPTH + "}" * MAXIMUM_DEPTH) != Expression("")
    assert isinstance(parse("{" * MAXIMUM_DEPTH + "}" * MAXIMUM_DEPTH), tuple)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{ 1",
        "{ 1, }",
        "{ 1 2 }",
        "{ a }",
        "{ 1 } 2",
        "[ a 1 ]",
        "[ a = ]",
        "[ a = 1, b = 2 ]",
        "[ '' = 1 ]",
        "[ 1 = 1 ]",
        "[ a = b ]",
    ],
)
def test_what_is_broken_between_brackets_stays_text(text):
    """A list or ad that does not consist of literals is an expression as a whole."""
    assert parse(text) == Expression(text)


def test_names_within_nested_ads_may_be_quoted():
    """A name that is no identifier stands in single quotes, and is written so again."""
    text = "[ a = 1; 'b c' = { 2,3 } ]"
    ad = parse(text)
    assert ad["B C"] == (2, 3)
    assert unparse(ad) == text


def calls_of(function):
    """Return how many Python functions are called while a function runs."""
    calls = []
    sys.setprofile(lambda _frame, event, _argument: calls.append(event) if event == "call" else None)
    try:
        function()
    finally:
        sys.setprofile(None)
    return len(calls)


def test_nested_ads_are_read_in_reasonable_steps():
    """Each level of a nested ad is parsed once, not once for every level around it."""
    text = "[ a = " * MAXIMUM_DEPTH + "1" + " ]" * MAXIMUM_DEPTH
    assert unparse(parse(text)) == text
    assert calls_of(lambda: unparse(parse(text))) < 50 * MAXIMUM_DEPTH


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
scalars = texts | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.sampled_from([UNDEFINED, ERROR])
reals = st.floats().map(lambda number: float(f"{number:.16G}"))
names = st.text("abcXYZ_-. 019", min_size=1).filter(lambda name: name == name.strip())
# Inside brackets old syntax cannot tell a string that ends in a backslash from one that goes on.
nested = st.recursive(
    scalars.filter(lambda value: not (isinstance(value, str) and value.endswith("\\"))) | reals,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3).map(ClassAd),
    max_leaves=8,
)


@given(st.dictionaries(names, scalars | reals | nested, max_size=6))
def test_ads_survive_the_wire(values):
    """Whatever an ad is made from, its lines give an equal ad with the same values."""
    ad = ClassAd(values)
    again = ClassAd.from_lines(ad.to_lines())
    assert again == ad
    assert again.to_lines() == ad.to_lines()
    for name in values:
        assert is_same(again[name], ad[name])


@given(texts)
def test_every_string_survives_as_a_whole_value(text):
    """At the top of an ad even strings with quotes and backslashes at their ends are read as they were written."""
    assert parse(unparse(text)) == text


@given(st.text() | st.text('{}[]=;,"\\ 1a.'))
def test_no_text_breaks_the_reader(text):
    """Parsing gives a value for any text, and any line is an attribute or a `WireError`."""
    value = parse(text)
    if not isinstance(value, Expression):
        assert unparse(parse(unparse(value))) == unparse(value)
    for is_restricted in (False, True):
        with contextlib.suppress(WireError):
            ClassAd.from_lines([text, f"A = {text}"], is_restricted=is_restricted)
