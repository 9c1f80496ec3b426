"""What a node has written down of its own leaderships."""

import attrs

from replication.ledger import LED_LIMIT, Ledger
from tests.replication.tellers import held


def test_of_many_leaderships_the_last_are_remembered():
    """A leadership that was given up is known for as long as anybody may come back from it, and not for ever."""
    first = held("x", "1.0", is_leading=True)
    ledger = Ledger(first)
    for gid in range(2, 4 * LED_LIMIT):
        for clock in range(3):
            version = attrs.evolve(first.version, gid=gid, clock=clock)
            ledger.noted(attrs.evolve(first, version=version))
    assert list(ledger.led) == list(range(3 * LED_LIMIT, 4 * LED_LIMIT))
