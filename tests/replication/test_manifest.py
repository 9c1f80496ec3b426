"""The list of files that a version covers: what is read back, and which names are refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.manifest import (
    FILES_LIMIT,
    NAME_LIMIT_BYTES,
    FileRecord,
    Held,
    ManifestError,
    checked_name_untrusted,
    records_from_document_untrusted,
    total_bytes,
)
from replication.version import Point, Version

DIGEST = "ab" * 32


def test_what_a_node_holds_survives_json():
    """Version, files and acknowledgement come back as they were, with names that are no UTF-8."""
    version = Version.first(385).advanced().led_by(513)
    files = (
        FileRecord("0", 12, DIGEST),
        FileRecord("jobs/a b", 0, DIGEST, 0o644),
        FileRecord("\udcff", 1, DIGEST),
    )
    for held in (Held(version, files, is_leading=True, acknowledged=Point(385, 1)), Held(version)):
        assert Held.from_document_untrusted(json.loads(json.dumps(held.to_document()))) == held


def test_bytes_are_acknowledged_only_in_their_present_version():
    """An acknowledgement of an older version says nothing about the present bytes."""
    version = Version.first(385)
    assert Held(version, acknowledged=version.point).is_acknowledged
    assert not Held(version.advanced(), acknowledged=version.point).is_acknowledged
    assert not Held(version).is_acknowledged


@pytest.mark.parametrize("name", ["0", "17", "jobs/one", "a b", "..x", "x..", ".hidden", "ü", "\udcff"])
def test_names_inside_the_folder_are_taken(name):
    """Names of one or several parts are given back as they are."""
    assert checked_name_untrusted(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../b",
        "a/..",
        ".",
        "./a",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "x" * 1025,
        7,
        None,
        "\ud800",
    ],
)
def test_names_that_leave_the_folder_are_refused(name):
    """No peer names a path: absolute ones, climbing ones and odd ones are refused."""
    with pytest.raises(ManifestError):
        checked_name_untrusted(name)


def test_the_longest_name_is_taken():
    """The limit counts bytes."""
    assert checked_name_untrusted("x" * NAME_LIMIT_BYTES)
    with pytest.raises(ManifestError, match="longer"):
        checked_name_untrusted("ü" * (NAME_LIMIT_BYTES // 2 + 1))


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        ["0", 1, DIGEST],
        ["0", -1, DIGEST, 0o600],
        ["0", True, DIGEST, 0o600],
        ["0", 1, "AB" * 32, 0o600],
        ["0", 1, DIGEST[:-1], 0o600],
        ["0", 1, 5, 0o600],
        ["0", 1, DIGEST, 0o4755],
        ["../0", 1, DIGEST, 0o600],
    ],
)
def test_a_record_that_makes_no_sense_is_refused(entry):
    """Sizes below nothing, digests that are none, set-uid bits and climbing names are refused."""
    with pytest.raises(ManifestError):
        FileRecord.from_document_untrusted(entry)


def test_a_list_with_a_name_twice_or_too_many_is_refused():
    """Two entries could otherwise fight for one file."""
    entry = ["0", 1, DIGEST, 0o600]
    assert total_bytes(records_from_document_untrusted([entry, ["1", 5, DIGEST, 0o600]])) == 6
    with pytest.raises(ManifestError, match="twice"):
        records_from_document_untrusted([entry, entry])
    with pytest.raises(ManifestError, match="at most"):
        records_from_document_untrusted([entry] * (FILES_LIMIT + 1))


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["version", "files", "leading", "acknowledged", "gid", "clock"]), inner
        )
    ),
    max_leaves=12,
)


@given(documents)
def test_any_document_is_understood_or_refused_with_one_error(document):
    """A damaged disk gives no other exception."""
    try:
        held = Held.from_document_untrusted(document)
    except ManifestError:
        return
    assert Held.from_document_untrusted(held.to_document()) == held
