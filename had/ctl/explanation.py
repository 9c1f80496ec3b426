"""Why each member does, or does not, lead: sentences made from what the members say.

Each member gets a headline and reasons. The reasons follow the order in which the election decides: what it is, what
keeps it from leading, how it stands in the order of HAD_LIST, and whom it hears. What one member says about another is
quoted as such, because in a partition they differ, and that is what one wants to see.
"""

from collections.abc import Iterator

import attrs

from had.ctl.pool import Pool
from had.ctl.verdict import moment, pause_words
from had.status import Peer, Status

_PEER_WORDS = {
    "alive": "hears {peer}",
    "silent": "does not hear {peer} any more",
    "refused": "finds no daemon at {peer}, though the machine answers",
    "denied": "is not let in by {peer}, which is alive, so nobody is elected over it",
    "unknown": "has never heard {peer}",
}


@attrs.frozen
class Explanation:
    """Why one member leads or does not; sentences without names of their own begin with `it`."""

    node: str
    headline: str
    sentences: tuple[str, ...]


def explain(pool: Pool) -> list[Explanation]:
    """Return one explanation for each member, in the order of the lists."""
    return [_explain(pool, entry) for entry in pool.everyone]


def _explain(pool: Pool, entry: str) -> Explanation:
    status = pool.statuses.get(entry)
    if status is None:
        return Explanation(entry, *_absent(pool, entry))
    headline = _headline(status)
    return Explanation(entry, headline, (*_role(pool, status), *_obstacles(status), *_hearing(status)))


def _headline(status: Status) -> str:
    if status.state == "leader":
        return f"{status.node} leads (epoch {status.epoch})"
    if status.state == "witness":
        return f"{status.node} is a witness: it reports whom it hears, and never leads"
    doing = {
        "pre": "has just started and listens first",
        "passive": "does not lead",
        "election": "is a candidate: it knows no leader and nobody better",
    }
    return f"{status.node} {doing.get(status.state, f'is in state {status.state}')}"


def _absent(pool: Pool, entry: str) -> tuple[str, tuple[str, ...]]:
    answer = pool.answers.get(entry)
    views = pool.views_of(entry)
    about = tuple(f"{other} {_view(view)}" for other, view in views.items())
    if pool.is_condor(entry):
        return f"{entry} is a real condor_had, which cannot be asked", about
    why = answer.failure.value if answer is not None and answer.failure is not None else "it was not asked"
    detail = f" ({answer.detail})" if answer is not None and answer.detail else ""
    return f"{entry} could not be asked: {why}{detail}", about


def _role(pool: Pool, status: Status) -> Iterator[str]:
    """Yield how it came to what it is, and what would make it lead."""
    if status.history:
        last = status.history[-1]
        yield f"it went from {last.source} to {last.target} at {moment(last.time)}, because {last.reason}"
    if status.state == "leader":
        yield from _leading(status)
        return
    if status.leader is not None:
        yield f"it follows {status.leader}{_reason_to_follow(pool, status)}"
    elif status.state != "witness":
        yield "it follows nobody, since it knows of no leader"
    yield from _rank(pool, status)


def _leading(status: Status) -> Iterator[str]:
    controllee = status.controllee
    if controllee.state == "running":
        process = f" as process {controllee.pid}" if controllee.pid is not None else ""
        yield f"its {controllee.name} runs{process}"
    elif controllee.state == "backoff":
        yield f"its {controllee.name} has died, and it waits before it tries again"
    else:
        yield f"its {controllee.name} is {controllee.state}"
    if status.primary:
        yield "it is the primary, which leads whenever it is up"
    if controllee.restarts:
        yield f"its {controllee.name} had to be started again {controllee.restarts} times since the daemon started"


def _reason_to_follow(pool: Pool, status: Status) -> str:
    leader = pool.statuses.get(status.leader or "")
    views = [peer for peer in status.peers if peer.address == status.leader]
    if views and views[0].state != "alive":
        witnesses = [p.address for p in status.peers if p.state == "alive" and p.follows == status.leader]
        through = f", of which it knows through {' and '.join(witnesses)}" if witnesses else ""
        return f"{through}, though it does not hear it itself"
    if leader is not None and leader.primary:
        return ", which is the primary and leads whenever it is up"
    return ""


def _rank(pool: Pool, status: Status) -> Iterator[str]:
    """Yield where it stands in the order of succession."""
    if status.state == "witness" or status.node not in pool.members:
        return
    better = [
        entry
        for entry in pool.members[: pool.members.index(status.node)]
        if entry != status.leader and pool.is_heard(entry) and not _is_abstaining(pool, entry)
    ]
    if status.abstains_seconds is not None:
        return
    if better:
        yield f"if the leader failed, {' and '.join(better)} would go before it, being earlier in HAD_LIST"
    elif status.leader is not None:
        yield "if the leader failed, it would be the next to lead"
    if status.primary and status.leader is not None:
        yield "it is the primary, so it asks the leader to hand over unless something below keeps it from it"


def _is_abstaining(pool: Pool, entry: str) -> bool:
    status = pool.statuses.get(entry)
    return status is not None and status.abstains_seconds is not None


def _obstacles(status: Status) -> Iterator[str]:
    """Yield what keeps this member, or everybody, from leading."""
    if status.abstains_seconds is not None:
        name = status.controllee.name or "controllee"
        yield (
            f"it has abstained for {status.abstains_seconds:.0f} s, because its {name} keeps dying here;"
            " any member that does not abstain goes before it"
        )
    if status.replica.waiting is not None:
        yield status.replica.waiting
    if status.paused is not None:
        yield f"automatic failover is paused {pause_words(status.paused)}, so nobody is elected meanwhile"
    if status.hold is not None:
        who = "it" if status.hold.node == status.node else status.hold.node
        yield (
            f"{who} is held from leading by a switchover of {status.hold.by} at {moment(status.hold.since)}"
            f"{f': {status.hold.reason}' if status.hold.reason else ''}"
        )
    if status.majority is not None:
        majority = status.majority
        yield f"it holds {majority.granted} votes of the {majority.needed} that a leader needs"
        condors = [peer.address for peer in status.peers if peer.implementation == "condor"]
        if condors:
            yield f"it does not lead while {' and '.join(condors)} is a real condor_had, which gives no votes"
    if status.peers and all(peer.state != "alive" for peer in status.peers):
        yield "it hears no other member at all"


def _hearing(status: Status) -> Iterator[str]:
    for peer in status.peers:
        yield f"it {_view(peer)}"


def _view(peer: Peer) -> str:
    words = _PEER_WORDS.get(peer.state, f"finds {{peer}} {peer.state}").format(peer=peer.address)
    if peer.state != "alive":
        ago = "" if peer.last_heard_seconds is None else f" (last heard {peer.last_heard_seconds:.1f} s ago)"
        return words + ago
    kind = ", a real condor_had" if peer.implementation == "condor" else ""
    follows = f", which follows {peer.follows}" if peer.follows else ", which follows nobody"
    if peer.follows == peer.address:
        follows = ", which leads"
    return f"{words}{kind}{follows}"
