"""The status document of replication: every key of the contract, whatever is known."""

import json

import attrs
import pytest

from replication import status
from tests.replication.documents import CONFLICT, EMPTY, FOLLOWING, LEADING, TROUBLED

#: The contract, written out here by hand.
TOP_KEYS = [
    *("schema", "node", "state", "leader", "epoch", "version", "replicas", "conflicts", "transfers"),
    *("files", "is_folder", "watching", "pending", "history", "program", "time", "configuration"),
]
KEYS = {
    "version": ["gid", "clock", "bytes", "sha256", "changed", "lineage", "rooted"],
    "replicas": ["address", "version", "lag_seconds", "state", "implementation", "in_sync"],
    "transfers": [
        *("direction", "peer", "state", "version", "bytes", "total_bytes"),
        *("bytes_per_second", "seconds_left", "since"),
    ],
    "conflicts": [
        *("id", "version", "files", "bytes", "reason", "kept_at"),
        *("replaced_by", "exported_to", "merged_into", "failure"),
    ],
    "files": ["name", "path", "bytes"],
    "pending": ["id", "act", "failure"],
    "history": ["time", "from", "to", "reason"],
}


@pytest.mark.parametrize("said", [LEADING, FOLLOWING, TROUBLED, EMPTY])
def test_every_key_is_always_present(said):
    """Whatever is known, the document is JSON with every key of the contract, in its order."""
    document = json.loads(said.to_text())
    assert list(document) == TOP_KEYS
    assert document["schema"] == 1
    for name, keys in KEYS.items():
        parts = [document[name]] if name == "version" else document[name]
        assert all(list(part) == keys for part in parts if part is not None)


def test_every_part_is_shown_by_one_of_the_samples():
    """The test before looks at each kind of part at least once."""
    shown = [json.loads(said.to_text()) for said in (LEADING, TROUBLED)]
    assert all(any(document[name] for document in shown) for name in KEYS)


def test_a_version_shows_its_lineage_as_pairs():
    """The parent that its leadership began from, its parent, and so on."""
    document = json.loads(LEADING.to_text())
    assert document["version"]["lineage"] == [[385, 12], [130, 4]]
    assert document["replicas"][1]["version"] == {"gid": 385, "clock": 17}


def test_nothing_that_is_no_number_leaves_as_one():
    """An infinite lag is a mistake of ours, and no JSON."""
    replica = status.Replica("a", lag_seconds=float("inf"))
    with pytest.raises(ValueError, match="JSON"):
        attrs.evolve(EMPTY, replicas=(replica,)).to_text()


def test_settled_conflicts_are_not_counted():
    """Who was exported or merged needs nobody's look."""
    assert TROUBLED.unsettled == 1
    assert attrs.evolve(TROUBLED, conflicts=(CONFLICT, CONFLICT)).unsettled == 2
    assert LEADING.unsettled == 0
