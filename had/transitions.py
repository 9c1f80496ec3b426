"""The states of the election, the reasons for changing between them, and which changes are legal.

One table serves the machine (which asserts that it only makes legal changes), the metrics (whose label values are
the reasons' slugs), the log and the history (which print the sentences) and the manual (whose diagram is made from
the table and compared with it by a test).
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """Where a node stands in the election; the numbers of HTCondor's states are in `daemoncore.cedar`."""

    #: Just started: listening, to learn who is there before wanting anything.
    PRE = "pre"
    #: Following a leader, or waiting for a better candidate.
    PASSIVE = "passive"
    #: A candidate: no leader is known and nobody better is heard.
    ELECTION = "election"
    #: Leading: the controllee runs, starts, stops or waits for its next try here.
    LEADER = "leader"
    #: Hears, reports and never leads.
    WITNESS = "witness"


class Run(enum.Enum):
    """What the machine knows of its controllee."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class Reason(enum.Enum):
    """Why a state was left: the name is the metric's label, the value is the sentence for people."""

    members_heard = "every member was heard"
    start_wait_over = "the wait for the other members at start is over"
    leader_heard = "a leader was heard"
    no_leader = "no leader is known"
    leader_silent = "the leader was not heard for the connection timeout"
    leader_gone = "the leader's machine refuses connections, so its daemon is gone"
    leader_resigned = "the leader stepped down"
    better_candidate = "a better candidate was heard"
    won_by_answers = "every member heard answered the candidacy"
    won_by_waiting = "nobody objected to the candidacy for a quarter of the connection timeout"
    handed_over = "the leader handed over to this node"
    primary_returned = "the primary returned and asked for leadership"
    outranked = "a leader that ranks higher was heard"
    controllee_failed = "the controllee keeps dying here and another member can run it"
    switchover = "an operator moved leadership"
    shutdown = "the daemon was asked to stop"
    isolated = "every member that this leader hears does not hear it"
    lease_lapsed = "this node could not send heartbeats in time, so its lease ran out"
    majority_lost = "a majority of the members did not renew this leader's lease in time"
    condor_member = "a member is a real condor_had, which gives no votes"
    paused = "automatic failover is paused"
    cannot_persist = "the epoch could not be written to disk"
    config = "the configuration changed"

    @property
    def slug(self) -> str:
        """The short name, a metric's label value."""
        return self.name


_ELECT = (Reason.no_leader, Reason.leader_silent, Reason.leader_gone, Reason.leader_resigned)

LEGAL: Final[dict[tuple[State, State], tuple[Reason, ...]]] = {
    (State.PRE, State.PASSIVE): (
        Reason.members_heard,
        Reason.start_wait_over,
        Reason.leader_heard,
    ),
    (State.PASSIVE, State.ELECTION): _ELECT,
    (State.PASSIVE, State.LEADER): (Reason.handed_over,),
    (State.ELECTION, State.LEADER): (Reason.won_by_answers, Reason.won_by_waiting),
    (State.ELECTION, State.PASSIVE): (
        Reason.leader_heard,
        Reason.better_candidate,
        Reason.paused,
        Reason.condor_member,
        Reason.cannot_persist,
        Reason.config,
        Reason.shutdown,
    ),
    (State.LEADER, State.PASSIVE): (
        Reason.primary_returned,
        Reason.outranked,
        Reason.controllee_failed,
        Reason.switchover,
        Reason.shutdown,
        Reason.isolated,
        Reason.lease_lapsed,
        Reason.majority_lost,
        Reason.condor_member,
    ),
}
"""Every change of state that can happen, with every reason it can happen for."""

LEADERSHIP_LOST: Final = LEGAL[State.LEADER, State.PASSIVE]
"""The reasons for which a leader stops leading (label of had_leadership_lost_total)."""

CAN_BE_CALLED_OFF: Final = frozenset({Reason.switchover, Reason.primary_returned})
"""Reasons for handing over to which a leader may prefer to go on: it is healthy, and nobody else leads."""

IS_WAITED_FOR: Final = CAN_BE_CALLED_OFF | {Reason.shutdown, Reason.controllee_failed}
"""Reasons for which a successor starts only when the leader is done; with the others somebody may lead already."""
