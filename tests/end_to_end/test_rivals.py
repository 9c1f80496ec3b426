"""The bench's rivals run: keepalived and etcd's lock let a program run on one host, and on another one after it."""

import math

import pytest

from daemoncore import boottime
from tests.bench.rivals import etcd
from tests.bench.rivals.etcd import EtcdLock
from tests.bench.rivals.faults import RivalFaults
from tests.bench.rivals.keepalived import Keepalived
from tests.bench.rivals.programs import why_missing
from tests.end_to_end.networks import Namespaces

MAKERS = {
    Keepalived: lambda folder: Keepalived(folder, Namespaces(3), 0.3),
    EtcdLock: lambda folder: EtcdLock(folder, Namespaces(3), etcd.DEFAULT, is_careful=True),
}


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__name__)
def test_a_rival_hands_over(kind, tmp_path):
    """Three hosts come into order, and when the one with the program is stopped another one has it."""
    if reason := why_missing(*kind.programs):
        pytest.skip(reason)
    figures = {}
    with MAKERS[kind](tmp_path) as rival:
        RivalFaults(rival, figures.__setitem__).cold_start()
        leader = rival.settle()
        at = boottime.now()
        rival.stop_host(leader.node)
        after = rival.takeover_after(at, 20)
        assert after and after.node != leader.node
        assert [life.has_stopped for life in rival.lives() if life.pid == leader.pid] == [True]
    assert 0.0 < figures["cold_start"] < math.inf
