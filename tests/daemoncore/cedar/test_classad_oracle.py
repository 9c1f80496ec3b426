"""The text of ClassAds against HTCondor's own reader and writer, where the official bindings are installed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemoncore.cedar.classad import ClassAd, parse, unparse

classad2 = pytest.importorskip("classad2", reason="the official bindings are the oracle here")

# The oracle takes lines, and its own strings end at a NUL. A backslash at the end within a list is ambiguous for everybody.
texts = st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]))
reals = st.floats(-1e308, 1e308).map(lambda number: float(f"{number:.16G}"))
scalars = texts | st.integers(-(2**63), 2**63 - 1) | st.booleans() | reals
lists = st.lists(scalars.filter(lambda value: not str(value).endswith("\\")), max_size=4)


def read_by_htcondor(ad):
    """Return HTCondor's reading of the lines of an ad."""
    return classad2.parseOne("\n".join(ad.to_lines()) + "\n", classad2.ParserType.Old)


@given(st.lists(scalars | lists, min_size=1, max_size=5))
def test_htcondor_reads_what_we_write(values):
    """Strings, numbers, truth values and lists mean to HTCondor what they mean to us."""
    ad = ClassAd((f"A{number}", value) for number, value in enumerate(values))
    theirs = read_by_htcondor(ad)
    for name, value in ad.items():
        plain = list(value) if isinstance(value, tuple) else value
        assert theirs[name] == plain
        assert type(theirs[name]) is type(plain)


@given(scalars)
def test_we_read_what_htcondor_writes(value):
    """HTCondor's own text of a value gives us the value, and ours is the same text."""
    text = classad2.ClassAd({"A": value}).printOld().removeprefix("A = ").removesuffix("\n")
    assert parse(text) == value
    assert unparse(value) == text
