"""Pools for the tests of hadctl: status documents as the daemon makes them, sent through JSON and read back."""

import json

import attrs

from had.ctl import documents
from had.ctl.pool import Answer, Pool
from had.status import Change, Controllee, Hold, Paused, Peer, Status

A, B, C = "10.0.0.1:51450", "10.0.0.2:51450", "10.0.0.3:51450"
NOW = 1795324400.0
PAUSED = Paused("alice", "upgrade", NOW - 60, NOW + 3600)
HOLD = Hold(A, "bob", "new disk", NOW - 30)


def peer(address, follows=A, **changes):
    """A member that is heard."""
    return Peer(address, "alive", 0.1, follows, "0.1.0", "ours", **changes)


def status(entry, leader=A, everyone=(A, B, C), **changes):
    """What a healthy member says."""
    is_leader = entry == leader
    made = Status(
        node=entry,
        state="leader" if is_leader else "passive",
        leader=leader,
        epoch=130,
        primary=entry == A,
        controllee=Controllee(
            "negotiator", "running" if is_leader else "stopped", 4711 if is_leader else None, 0
        ),
        peers=tuple(peer(other, leader) for other in everyone if other != entry),
        history=(Change(NOW - 100, "pre", "passive", "every member was heard", 0),),
        version="0.1.0",
        time=NOW,
        configuration="00112233aabb",
    )
    return attrs.evolve(made, **changes)


def answer(made, entry=None):
    """The answer that carries a status, as it arrives here."""
    document = documents.parse(made.to_text())
    return Answer(entry or made.node, document, documents.status_from(document), received_at=NOW)


def failed(entry, failure, detail=""):
    """The answer of a member that gave none."""
    return Answer(entry, failure=failure, detail=detail, received_at=NOW)


def pool(*answers, members=(A, B, C), witnesses=()):
    """A pool of statuses and failed answers."""
    made = [one if isinstance(one, Answer) else answer(one) for one in answers]
    return Pool(members, witnesses, {one.entry: one for one in made})


def healthy():
    """Three members, the first leads."""
    return pool(status(A), status(B), status(C))


def as_json(text):
    """Read what a verb printed."""
    return json.loads(text)
