"""Why a kept copy is not sent: to whom, what is there, and how many are under way."""

import pytest

from replication.objections import to_copy
from replication.replica import Replica
from replication.replica_settings import ReplicaSettings

ME, PEER, STRANGER = "127.0.0.1:1", "127.0.0.2:1", "127.0.0.9:1"


@pytest.mark.parametrize(
    ("peer", "uploads", "copies", "is_kept", "label"),
    [
        (PEER, 0, 0, True, None),
        (PEER, 1, 1, True, None),
        (PEER, 0, 0, False, "other"),
        (STRANGER, 0, 0, True, "not_a_member"),
        (STRANGER, 0, 0, False, "not_a_member"),
        (PEER, 3, 0, True, "too_many"),
        (PEER, 0, 3, True, "too_many"),
        (PEER, 2, 1, True, "too_many"),
    ],
)
def test_who_gets_a_kept_copy(peer, uploads, copies, is_kept, label):
    """A member, if it is kept and there is room; states and copies that are being sent count together."""
    settings = ReplicaSettings(
        me=ME,
        members=(ME, PEER),
        timeout_seconds=1.0,
        lifetime_seconds=300.0,
        joining_seconds=10.0,
        maximum_uploads=3,
    )
    replica = Replica(settings, None, 1, 0.0)
    replica.uploads = dict.fromkeys(range(uploads), PEER)
    objection = to_copy(replica, peer, copies, is_kept=is_kept)
    assert (objection and objection.label) == label
