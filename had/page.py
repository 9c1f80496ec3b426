"""The status page, made from the status; `daemoncore.page` says what it looks like, and escapes every value."""

from collections.abc import Sequence
from typing import Final

from daemoncore import page
from daemoncore.page import known, moment, shaded, table, text
from had.status import Peer, Status

_PEER_CLASS: Final = {"alive": "good", "silent": "bad", "refused": "bad", "denied": "bad"}
_CONTROLLEE_CLASS: Final = {"running": "good", "starting": "wait", "stopping": "wait", "backoff": "bad"}

_REPLICA_CLASS: Final = {"ours": "good", "condor": "good", "unreachable": "bad"}


def render(status: Status, now: float) -> str:
    """Give the page.

    Args:
        status: what to show.
        now: Unix time in seconds, for the footer.
    """
    return page.document(
        f"{status.node} {status.state}",
        heading=status.node,
        headline=_headline(status),
        body=f"{_notices(status)}{_facts(status)}{_peers(status.peers)}{_history(status)}",
        now=now,
    )


def _headline(status: Status) -> str:
    """Say in one sentence whether the pool is served, and by whom."""
    name = text(status.controllee.name or "controllee")
    if status.leader is None:
        return '<span class="bad">No leader is known.</span>'
    if status.leader != status.node:
        return f'<span class="good">{text(status.leader)} leads</span>; this node is {text(status.state)}.'
    state = status.controllee.state or "stopped"
    shade = _CONTROLLEE_CLASS.get(state, "bad")
    return f'<span class="good">This node leads</span>; its {name} is <span class="{shade}">{text(state)}</span>.'


def _notices(status: Status) -> str:
    """Show what an operator has put in force."""
    notices = []
    if status.paused is not None:
        until = "until resumed" if status.paused.until is None else f"until {moment(status.paused.until)}"
        notices.append(
            f"Automatic failover is paused by {text(status.paused.by)} since "
            f"{moment(status.paused.since)}, {until}: {text(status.paused.reason)}"
        )
    if status.hold is not None:
        notices.append(
            f"{text(status.hold.node)} is held from leading by a switchover of {text(status.hold.by)} at "
            f"{moment(status.hold.since)}: {text(status.hold.reason)}"
        )
    if status.replica.waiting is not None:
        notices.append(text(f"Waiting: {status.replica.waiting}"))
    return page.notices(notices)


def _facts(status: Status) -> str:
    """Show the node's own facts as a list."""
    controllee = status.controllee
    facts = [
        ("State", text(status.state)),
        ("Leader", known(status.leader)),
        ("Epoch", text(status.epoch)),
        ("Primary", "yes" if status.primary else "no"),
    ]
    if status.majority is not None:
        majority = status.majority
        facts.append(
            (
                "Votes",
                f"{majority.granted} granted ({', '.join(majority.voters) or 'none'}), {majority.needed} needed",
            )
        )
        facts.append(("Lease", f"{majority.lease_seconds:.1f} s"))
    if controllee.name is not None:
        shade = _CONTROLLEE_CLASS.get(controllee.state or "", "")
        facts.append((text(controllee.name), shaded(controllee.state, shade)))
        facts.append(("Process", known(controllee.pid)))
        facts.append(("Restarts", known(controllee.restarts)))
        facts.append(("Since", "-" if controllee.since is None else moment(controllee.since)))
    replica = status.replica
    if replica.state != "off":
        facts.append(("Replica", shaded(replica.state, _REPLICA_CLASS.get(replica.state, ""))))
        facts.append(("State", known(replica.currency)))
        facts.append(("Ready", "yes" if replica.is_ready else "no"))
    return page.facts("This node", facts)


def _peers(peers: Sequence[Peer]) -> str:
    """Show the other members."""
    rows = [
        (
            text(peer.address),
            shaded(peer.state, _PEER_CLASS.get(peer.state, "wait")),
            "never" if peer.last_heard_seconds is None else f"{peer.last_heard_seconds:.1f} s ago",
            known(peer.follows),
            known(peer.version),
            text(peer.implementation),
        )
        for peer in peers
    ]
    return table("Members", ("Member", "State", "Heard", "Follows", "Version", "Implementation"), rows)


def _history(status: Status) -> str:
    """Show the transitions, the newest first."""
    rows = [
        (moment(one.time), text(one.source), text(one.target), text(one.reason), text(one.epoch))
        for one in reversed(status.history)
    ]
    return table("History", ("Time", "From", "To", "Reason", "Epoch"), rows)
