"""Why a version is not taken, a download is of no use, an upload is refused: pure readings of the replica machine.

Each returns a sentence, and None where there is no objection; that to a version or an upload has a label too, to count
it by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replication.events import State, UploadAsked
from replication.peers import Wanted, leader_of, relation_to
from replication.replica_settings import Member
from replication.version import Relation, Version

if TYPE_CHECKING:
    from replication.download import Download
    from replication.replica import Replica


@attrs.frozen
class Objection:
    """Why a version is not taken, or not sent."""

    #: Of a version `leading`, or what it is to the one held here (`replication.version.Relation`); of an upload why the
    #: request is not granted (`replication.families.REJECT_REASONS`).
    label: str
    sentence: str


_NOT_A_MEMBER = Objection("not_a_member", "it is no member of REPLICATION_LIST")


def to_version(
    replica: Replica, download: Download, version: Version, its_fingerprint: str = ""
) -> Objection | None:
    """Say why a version that is offered or received is not taken."""
    if replica.state is State.LEADER:
        return Objection("leading", "this node leads")
    own, peer = replica.ledger.standing, replica.peers.get(download.peer)
    relation = relation_to(own, version, its_fingerprint)
    if peer is not None and own is not None and peer.has_parted_from(own.version):
        is_same = own.version.point == version.point and own.fingerprint == its_fingerprint
        relation = Relation.SAME if is_same else Relation.DIVERGED
    if relation is Relation.NEWER:
        return None
    wanted = replica.wanted()
    if relation in {Relation.DIVERGED, Relation.UNKNOWN} and wanted is not None and wanted.is_leaders:
        # The leader's word goes over ours, in the leadership that it reports.
        is_its_word = version.gid == wanted.version.gid or version.has(wanted.version.point)
        if download.peer in wanted.holders and is_its_word:
            return None
    sentence = f"{version.point} is {relation.value}, compared with what is held here"
    return Objection(relation.value, sentence)


def to_download(replica: Replica, download: Download, wanted: Wanted | None) -> str | None:
    """Say why a download is of no use any more."""
    if replica.state is State.LEADER:
        return "this node leads"
    if replica.stops_by is not None:
        return "this daemon is asked to stop"
    if wanted is not None:
        return None if download.peer in wanted.holders else "what is wanted is held elsewhere"
    leader = leader_of(replica.peers.values(), replica.now)
    is_leaders = leader is not None and leader.member == download.peer
    return None if is_leaders or download.taking is not None else "nothing newer is held there"


def to_upload(replica: Replica, asked: UploadAsked) -> Objection | None:
    """Say why our state is not sent to whoever asks for it."""
    if asked.peer not in replica.peers:
        return _NOT_A_MEMBER
    if replica.version is None:
        return Objection("other", "there is no state here")
    # One that heard of the last version of a leadership asks for it a moment after its end.
    has_led = replica.state is State.LEADER or replica.version.gid in replica.ledger.led
    if not asked.is_ours and not has_led:
        return Objection("other", "only a leader sends to a condor_replication")
    return _to_another(replica, len(replica.uploads))


def to_copy(replica: Replica, peer: Member, copies: int, *, is_kept: bool) -> Objection | None:
    """Say why a kept copy is not sent to whoever asks for it.

    Args:
        replica: this node's.
        peer: who asks.
        copies: how many kept copies are being sent.
        is_kept: there is such a copy.
    """
    if peer not in replica.peers:
        return _NOT_A_MEMBER
    if not is_kept:
        return Objection("other", "what it asks for is not kept here")
    return _to_another(replica, len(replica.uploads) + copies)


def _to_another(replica: Replica, uploads: int) -> Objection | None:
    if uploads < replica.settings.maximum_uploads:
        return None
    return Objection("too_many", f"{uploads} uploads are under way")
