"""Sets of spans of time, compared with sets of whole numbers."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.end_to_end.chaos.spans import difference, intersection, length, stretched, union

spans = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 6)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    max_size=5,
)


def numbers(pairs):
    """The whole numbers whose following unit is in the spans."""
    return {number for began, ended in pairs for number in range(began, ended)}


@given(spans, spans)
def test_spans_are_sets(one, other):
    """Union, intersection, difference and length are those of sets, and no two spans of a result touch."""
    a, b = union(one), union(other)
    assert numbers(union(one, other)) == numbers(a) | numbers(b)
    assert numbers(intersection(a, b)) == numbers(a) & numbers(b)
    assert numbers(difference(a, b)) == numbers(a) - numbers(b)
    assert length(a) == len(numbers(a))
    assert all(first[1] < second[0] for first, second in itertools.pairwise(a))


def test_stretching():
    """Each span ends later, and those that meet become one."""
    assert stretched([(0, 1), (2, 3), (9, 10)], 1.5) == [(0, 4.5), (9, 11.5)]
