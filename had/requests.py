"""What operators may ask of a leader, and what their requests leave behind: pure functions of the machine's state.

A switchover away from the primary sets a hold on it, so that it does not ask for leadership back; a switchover to the
member that is held ends the hold (hard case 11).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from had import pool
from had.election_settings import ElectionSettings, Member
from had.events import Hold, SwitchoverRequested
from had.transitions import Run, State

if TYPE_CHECKING:
    from had.election import Election


def objection(node: Election, event: SwitchoverRequested, able: Sequence[Member]) -> str | None:
    """Return why a switchover cannot be done now, None if it can; `able` are the members that could take over."""
    if node.state is not State.LEADER:
        return f"this node does not lead; the leader is {node.leader or 'unknown'}"
    if node.handing_over is not None:
        return f"this node is already handing over to {node.successor or 'nobody'}"
    if node.is_paused:
        return "automatic failover is paused; resume it first"
    if event.to is not None and event.to not in able:
        return f"{event.to} cannot take over: it leads already, is not heard, abstains, or is not ours"
    if not able:
        return "no other member can lead now"
    return _what_would_be_lost(node, event.to or able[0])


def _what_would_be_lost(node: Election, target: Member) -> str | None:
    """Say why a switchover would lose what the controllee wrote; None if it would not."""
    if not node.is_ready:
        return "the replica of this node does not answer, so what was written last cannot be handed over"
    if not pool.is_ready(node.peers, target):
        return f"the replica of {target} is not up to date yet"
    return None


def objection_to_restart(node: Election) -> str | None:
    """Return why the controllee cannot be restarted where it runs, None if it can."""
    if node.state is not State.LEADER:
        return f"this node does not lead; the leader is {node.leader or 'unknown'}"
    if node.handing_over is not None or node.run is not Run.RUNNING:
        return "the controllee does not run at this moment; try again"
    return None


def hold_after(
    hold: Hold | None, settings: ElectionSettings, event: SwitchoverRequested, target: Member
) -> Hold | None:
    """Return the hold that is in force once this node has handed over to `target`."""
    if settings.is_primary:
        return Hold(settings.me, event.by, event.reason, event.since)
    if hold is not None and hold.member == target:
        return None
    return hold
