"""What is remembered of merges: after a restart, with a damaged file, on a full disk, and how much of it."""

import json

import pytest

from daemoncore.durable import DurableError
from replication.disk import RealDisk
from replication.merged_elsewhere import MergedElsewhere
from replication.revisions import CLAIMS_LIMIT
from replication.version import Point
from tests.replication.storing import FillingDisk


@pytest.fixture
def path(tmp_path):
    """Where it is remembered."""
    return tmp_path / "merged.json"


def recalled(path):
    """What a daemon that starts now knows."""
    facts = MergedElsewhere(path, RealDisk())
    facts.recall()
    return dict(facts.points)


def test_it_is_known_after_a_restart(path):
    """One fact after another; the file is for its owner alone."""
    facts = MergedElsewhere(path, RealDisk())
    facts.recall()
    facts.add({"4.1-a": Point(10, 2)})
    facts.add({"4.2-b": Point(10, 3)})
    assert recalled(path) == {"4.1-a": Point(10, 2), "4.2-b": Point(10, 3)} == facts.points
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_without_news(path):
    """A daemon without conflicts makes no file."""
    facts = MergedElsewhere(path, RealDisk())
    facts.recall()
    facts.add({})
    assert not path.exists() and recalled(path) == {}
    facts.add({"4.1-a": Point(10, 2)})
    path.unlink()
    facts.add({"4.1-a": Point(10, 2)})
    assert not path.exists()


def test_of_two_merges_the_later_counts(path):
    """The first one's history may be the one that lost."""
    facts = MergedElsewhere(path, RealDisk())
    facts.add({"4.1-a": Point(10, 2), "4.2-b": Point(10, 2)})
    facts.add({"4.1-a": Point(20, 1)})
    assert recalled(path) == {"4.2-b": Point(10, 2), "4.1-a": Point(20, 1)}
    assert list(recalled(path)) == ["4.2-b", "4.1-a"]


def test_the_oldest_go(path):
    """However many conflicts there were."""
    facts = MergedElsewhere(path, RealDisk())
    for number in range(CLAIMS_LIMIT + 3):
        facts.add({f"4.{number}-a": Point(10, number)})
    assert list(recalled(path)) == [f"4.{number}-a" for number in range(3, CLAIMS_LIMIT + 3)]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"{",
        b"[" * 100_000,
        b'{"4.1-a": [1]}',
        b'{"4.1-a": [1, -1]}',
        b'{"4.1-a": "10.2"}',
        b" " * (1 << 21),
    ],
    ids=lambda damage: f"{damage[:12]!r} of {len(damage)}",
)
def test_a_damaged_file_is_as_good_as_none(path, damage):
    """The next fact mends it."""
    path.write_bytes(damage)
    facts = MergedElsewhere(path, RealDisk())
    facts.recall()
    assert facts.points == {}
    facts.add({"4.1-a": Point(10, 2)})
    assert recalled(path) == {"4.1-a": Point(10, 2)}


def test_a_folder_in_its_place_is_none(path):
    """It is not read; that it cannot be replaced is an error like any other."""
    (path / "x").mkdir(parents=True)
    assert recalled(path) == {}
    with pytest.raises(DurableError):
        MergedElsewhere(path, RealDisk()).add({"4.1-a": Point(10, 2)})


def test_what_could_not_be_written_is_written_later(path):
    """It is known all the time, and written with the next call, once there is room."""
    disk = FillingDisk()
    facts = MergedElsewhere(path, disk)
    disk.is_full = True
    with pytest.raises(DurableError):
        facts.add({"4.1-a": Point(10, 2)})
    assert facts.points == {"4.1-a": Point(10, 2)} and recalled(path) == {}
    disk.is_full = False
    facts.add({"4.1-a": Point(10, 2)})
    assert (
        recalled(path)
        == {"4.1-a": Point(10, 2)}
        == {n: Point(*p) for n, p in json.loads(path.read_text()).items()}
    )
