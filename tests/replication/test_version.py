"""The order of versions, compared with the sets of changes that they stand for, in every small history."""

import itertools
import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.version import (
    CLOCK_LIMIT,
    INTEGER_LIMIT,
    LINEAGE_LIMIT,
    Point,
    Relation,
    Version,
    VersionError,
    common_ancestor,
    compare,
    parse_text_untrusted,
)
from tests.replication.histories import CLOCKS, GIDS, built, changes, forests, truth

REVERSE = {Relation.NEWER: Relation.OLDER, Relation.OLDER: Relation.NEWER}


def cuts(version):
    """The same version with its lineage cut at every place."""
    yield version
    for length in range(len(version.lineage) + 1):
        yield attrs.evolve(version, lineage=version.lineage[:length], is_rooted=False)


def test_the_order_is_that_of_the_changes_in_every_small_history():
    """With whole lineages the answer is always the truth about four leaderships with three clocks each."""
    seen = set()
    for forest in forests(GIDS):
        versions = built(forest)
        held = {point: changes(point, forest) for point in versions}
        for one, other in itertools.product(versions, repeat=2):
            expected = truth(held[one], held[other])
            assert compare(versions[one], versions[other]) is expected, (forest, one, other)
            seen.add(expected)
    assert seen == set(Relation) - {Relation.UNKNOWN}


def test_a_cut_lineage_never_makes_the_answer_wrong():
    """However both lineages are cut, the answer is the truth or that it is unknown."""
    answers = set()
    for forest in forests(GIDS[:3]):
        versions = built(forest)
        held = {point: changes(point, forest) for point in versions}
        for one, other in itertools.product(versions, repeat=2):
            for left, right in itertools.product(cuts(versions[one]), cuts(versions[other])):
                answer = compare(left, right)
                assert answer in {truth(held[one], held[other]), Relation.UNKNOWN}
                assert compare(right, left) is REVERSE.get(answer, answer)
                answers.add(answer)
    assert answers == set(Relation)


def test_the_common_ancestor_holds_exactly_what_both_hold():
    """The state at the common ancestor is the intersection of the two sets of changes."""
    for forest in forests(GIDS[:3]):
        versions = built(forest)
        for one, other in itertools.product(versions, repeat=2):
            shared = changes(one, forest) & changes(other, forest)
            ancestor = common_ancestor(versions[one], versions[other])
            assert (changes(ancestor, forest) if ancestor else set()) == shared


def test_a_state_has_the_points_of_its_changes():
    """`has` is true for what was published before on the same line, and for nothing else."""
    for forest in forests(GIDS[:3]):
        for point, version in built(forest).items():
            everything = {Point(gid, clock) for gid in forest for clock in CLOCKS}
            assert {other for other in everything if version.has(other)} == changes(point, forest)


def test_what_htcondor_wrote_is_compared_by_clock_within_a_gid():
    """Two adopted versions of one gid follow HTCondor's rule; those of different gids cannot be compared."""
    assert compare(Version.adopted(Point(7, 3)), Version.adopted(Point(7, 2))) is Relation.NEWER
    assert compare(Version.adopted(Point(7, 3)), Version.adopted(Point(8, 2))) is Relation.UNKNOWN


def test_our_leadership_over_an_adopted_state_is_newer_than_that_state():
    """A state that HTCondor left becomes an ancestor like any other."""
    adopted = Version.adopted(Point(1804289383, 50))
    ours = adopted.led_by(385)
    assert compare(ours, adopted) is Relation.NEWER
    assert compare(Version.adopted(Point(1804289383, 51)), ours) is Relation.DIVERGED
    assert not ours.is_rooted


def test_a_long_lineage_is_cut_and_says_so():
    """Beyond the limit the oldest ancestors are forgotten, and comparing with them is unknown, not wrong."""
    version = oldest = Version.first(1)
    for gid in range(2, LINEAGE_LIMIT + 2):
        version = version.led_by(gid)
    assert len(version.lineage) == LINEAGE_LIMIT and version.is_rooted
    assert compare(version, oldest) is Relation.NEWER
    version = version.led_by(LINEAGE_LIMIT + 2)
    assert len(version.lineage) == LINEAGE_LIMIT and not version.is_rooted
    assert compare(version, oldest) is Relation.UNKNOWN


def test_the_clock_stops_before_the_number_at_which_condor_replication_exits():
    """A clock at its limit advances only under a new gid, where it begins again at 0."""
    version = Version(385, CLOCK_LIMIT - 1).advanced()
    assert version.is_exhausted and version.clock < INTEGER_LIMIT
    with pytest.raises(AssertionError, match="limit"):
        version.advanced()
    successor = version.led_by(513)
    assert successor.clock == 0
    assert compare(successor, version) is Relation.NEWER
    assert compare(Version.adopted(Point(9, INTEGER_LIMIT)).led_by(10), Version(9, 3)) is Relation.NEWER


def test_a_leadership_is_never_its_own_ancestor():
    """An epoch that was used before is a programmer's error."""
    with pytest.raises(AssertionError, match="its own ancestor"):
        Version.first(5).led_by(6).led_by(5)


def test_the_version_file_is_that_of_htcondor():
    """Two decimal lines, the second without a newline; with one, with blanks and with a carriage return it is read too."""
    assert Version(1804289383, 50).text == b"1804289383\n50"
    assert parse_text_untrusted(b"1804289383\n50") == Point(1804289383, 50)
    assert parse_text_untrusted(b"0\n0\n") == Point(0, 0)
    assert parse_text_untrusted(b" 7 \r\n 8 \n") == Point(7, 8)
    assert parse_text_untrusted(b"%d\n%d" % (INTEGER_LIMIT, INTEGER_LIMIT)) == Point(
        INTEGER_LIMIT, INTEGER_LIMIT
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"7", b"7\n", b"-1\n2", b"7\n-2", b"seven\n8", b"7\n2147483648", b"7\n8\n9", b"\0" * 12, b"7 8"],
)
def test_a_damaged_version_file_is_said_to_be_damaged(data):
    """Nothing is read as 0, which would forget what this node knew."""
    with pytest.raises(VersionError):
        parse_text_untrusted(data)


@given(st.binary(max_size=40))
def test_any_bytes_give_a_point_or_one_error(data):
    """A version file may hold anything."""
    try:
        point = parse_text_untrusted(data)
    except VersionError:
        return
    assert parse_text_untrusted(Version.adopted(point).text) == point


def test_a_document_gives_back_the_version():
    """Every version of the small histories survives JSON."""
    for forest in forests(GIDS[:3]):
        for version in built(forest).values():
            text = json.dumps(version.to_document())
            assert Version.from_document_untrusted(json.loads(text)) == version


def test_the_longest_lineage_of_a_document_is_that_of_a_version():
    """A version whose lineage was just cut is sent like any other."""
    version = Version.first(1)
    for gid in range(2, LINEAGE_LIMIT + 3):
        version = version.led_by(gid)
    assert Version.from_document_untrusted(version.to_document()) == version


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["gid", "clock", "lineage", "rooted"]), inner)
    ),
    max_leaves=12,
)


@given(documents)
def test_any_document_gives_a_version_or_one_error(document):
    """What a peer sends is a version, which is written as it was read, or it is refused."""
    try:
        version = Version.from_document_untrusted(document)
    except VersionError:
        return
    assert Version.from_document_untrusted(version.to_document()) == version


@pytest.mark.parametrize(
    "changed",
    [
        {"gid": True},
        {"gid": -1},
        {"clock": 2**31},
        {"clock": "3"},
        {"lineage": [[4, 1], [4, 0]]},
        {"lineage": [[5, 1]]},
        {"lineage": [[1, 2, 3]]},
        {"lineage": [[number, 0] for number in range(6, LINEAGE_LIMIT + 7)]},
        {"lineage": ((4, 1),)},
        {"lineage": [(4, 1)]},
        {"rooted": 1},
    ],
)
def test_a_document_that_makes_no_sense_is_refused(changed):
    """Wrong types, numbers out of range, loops and endless lineages are all refused."""
    good = {"gid": 5, "clock": 3, "lineage": [[4, 1]], "rooted": True}
    assert Version.from_document_untrusted(good) == Version(5, 3, (Point(4, 1),), is_rooted=True)
    with pytest.raises(VersionError):
        Version.from_document_untrusted({**good, **changed})
