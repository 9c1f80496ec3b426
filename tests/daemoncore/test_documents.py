"""Frozen values become JSON documents."""

import attrs

from daemoncore.documents import as_document


@attrs.frozen
class Leaf:
    """A value whose key is a reserved word."""

    source: str = attrs.field(metadata={"key": "from"})
    since: float | None = None


@attrs.frozen
class Tree:
    """A value with values inside."""

    name: str
    leaf: Leaf | None
    leaves: tuple[Leaf, ...] = ()


def test_values_become_dictionaries_and_lists():
    """Every key is there, under the name that it was given, and what is unknown is null."""
    tree = Tree("t", None, (Leaf("a"), Leaf("b", 1.0)))
    assert as_document(tree) == {
        "name": "t",
        "leaf": None,
        "leaves": [{"from": "a", "since": None}, {"from": "b", "since": 1.0}],
    }
