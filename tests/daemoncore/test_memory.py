"""What the end of a start leaves to the garbage collector: nothing that was there before."""

import gc

import pytest

from daemoncore.memory import give_back


@pytest.fixture(autouse=True)
def as_before():
    """Let the collector of the tests' own process look at everything again."""
    yield
    gc.unfreeze()


class Knot:
    """Something that only the collector can let go of."""

    def __init__(self):
        self.self = self


def test_what_stays_is_not_looked_at_again():
    """Objects of the start are left out of every later collection, those made since are not."""
    before = Knot()
    give_back()
    since = Knot()
    objects = gc.get_objects()
    assert not any(one is before for one in objects)
    assert any(one is since for one in objects)


def test_garbage_goes_first():
    """What nobody needs any more is let go of, and not kept for good."""
    kept = gc.get_freeze_count()
    for _ in range(1000):
        Knot()
    give_back()
    assert not any(isinstance(one, Knot) for one in gc.get_objects())
    gc.unfreeze()
    assert kept == 0
    assert not any(isinstance(one, Knot) for one in gc.get_objects())
