"""Observes the links to the other members for the log and the metrics.

What it tells must be in the daemon's table of events: `peer_unreachable`, once until the member can be reached again,
and `peer_link`. Members are named as the configuration spells them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from daemoncore.event_log import Tell
from daemoncore.links import Member


class LinkMetrics(Protocol):
    """The numbers about links; `peer` is a member's entry."""

    def message_sent(self, peer: str, kind: str) -> None:
        """A message was handed to the network."""

    def send_failed(self, peer: str, reason: str) -> None:
        """A member could not be reached."""

    def round_trip(self, peer: str, seconds: float) -> None:
        """The kernel's estimate of the round trip."""


class LinkWatch:
    """A `links.Watcher`.

    Args:
        tell: is told of what is worth a line.
        metrics: the numbers.
        name: how the configuration spells a member.
    """

    def __init__(self, tell: Tell, metrics: LinkMetrics, name: Callable[[Member], str]) -> None:
        self._tell = tell
        self._metrics = metrics
        self._name = name
        self._unreachable: set[tuple[Member, str]] = set()

    def message_sent(self, peer: Member, kind: str) -> None:
        """A message was handed to the network."""
        self._metrics.message_sent(self._name(peer), kind)

    def send_failed(self, peer: Member, reason: str, text: str) -> None:
        """A member could not be reached; a line is written once, until it can be again."""
        self._metrics.send_failed(self._name(peer), reason)
        if (peer, reason) not in self._unreachable:
            self._unreachable.add((peer, reason))
            self._tell("peer_unreachable", peer=self._name(peer), reason=reason, text=text)

    def round_trip(self, peer: Member, seconds: float) -> None:
        """The kernel's estimate of the round trip on the open connection."""
        self._metrics.round_trip(self._name(peer), seconds)

    def found(self, peer: Member, implementation: str) -> None:
        """What kind of daemon answers at a member's address."""
        self.reached(peer)
        self._tell("peer_link", peer=self._name(peer), implementation=implementation)

    def reached(self, peer: Member) -> None:
        """A member is there again: its next failure is news."""
        self._unreachable = {failure for failure in self._unreachable if failure[0] != peer}
