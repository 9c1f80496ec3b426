"""The election machine: which member of the pool runs the one controllee.

This file owns the state of a node and is the only place that changes it. It does no I/O and knows no clock:
`handle(event, now)` takes what happened and returns what to do, `deadline` says when to call again.

The states (`had.transitions` has the legal changes and their reasons):

- PRE: just started. Listens until every member was heard, or for T (HAD_CONNECTION_TIMEOUT), before wanting anything.
- PASSIVE: follows a live leader, or waits for a better candidate, a named successor or the end of a pause.
- ELECTION: a candidate. Starts when every member it hears has answered, or after T/4.
- LEADER: leads. Its controllee starts, runs, stops (handing over) or waits for its next try.
- WITNESS: hears and reports, so that others know more; never leads.

Who may say what: everybody tells everybody what it is, whom it follows and whom it hears at first hand, each T/4, a
quiet follower each T/2. A message is good for as long as it says (a real condor_had's: for HTCondor's interval). A
leader exists while somebody heard by us heard it, or we did; hearsay of hearsay counts for nothing.

Between two leaders the one that ranks higher stays (`had.ranking.outranks`) and takes an epoch above both; the other
stops its controllee. A leader that gives up for any other reason stops its controllee *first* and then names its
successor, which therefore starts without an election and without an overlap.

Where a replica looks after the state (`had.custody`) a node whose state lacks something does not ask for leadership
while another serves, and a leader that cannot hand on what its controllee wrote last goes on leading if it may.

What is durable before it is visible: an epoch, before its leadership is announced or its controllee starts; a heard
epoch, before its leader is followed; an operator's directive, before it is passed on.

With HAD_REQUIRE_MAJORITY whoever would lead needs leases from a majority as well (`had.votes`), and stops when they
are not renewed. Without it, one leader over all partitions is *not* promised (each has one). Nor is it promised here
that a controllee stops itself. That is the guard's work: `RenewLease` lets the controllee live until a little less than T after the last heartbeat,
so that whoever misses our heartbeats for T starts after ours is dead. A member whose daemon is gone while its
machine answers is known at once; then nobody starts within the guard's reaction time.
"""

from __future__ import annotations

import math

import attrs

from had import candidacy, pool, requests
from had.custody_events import EpochKnown, HandoverCalledOff, StartPostponed, StateReady
from had.deadlines import UNHEARD_SHARE, deadlines
from had.election_settings import ElectionSettings, Member
from had.events import (
    Answer,
    ControlleeExited,
    ControlleeStarted,
    Denied,
    Directive,
    Effect,
    Event,
    Finished,
    Heard,
    Hold,
    Kind,
    Linked,
    Note,
    PauseRequested,
    Persisted,
    PersistFailed,
    PublishEpoch,
    Reconfigured,
    Record,
    Refused,
    RenewLease,
    RestartRequested,
    ResumeRequested,
    Send,
    StartControllee,
    StopControllee,
    StopRequested,
    SwitchoverRequested,
    Transition,
)
from had.fitness import Fitness, start_ends_at
from had.ledger import Ledger, owner
from had.overheard import Overheard
from had.peers import Peer, Report, forget_strangers, live_leaders, new_conflicts, relisted
from had.ranking import Standing, outranks, standing
from had.speech import Voice, compose, condor_kind, is_quiet, pause_end, spoken
from had.transitions import CAN_BE_CALLED_OFF, LEGAL, Reason, Run, State
from had.votes import Votes

GUARD_SECONDS = 0.25
"""Nobody starts sooner than this after a leader's daemon was found gone: its guard needs up to 0.2 s (P4)."""

_RESTING = frozenset({State.PRE, State.PASSIVE, State.WITNESS})
"""States in which nothing has to be stopped before the daemon may end."""


class Election:
    """One node's part in the election.

    Args:
        settings: What the configuration says.
        record: What this node kept on disk.
        instance: Counts the starts of this node's daemon; larger than at any earlier start.
        now: Seconds on the machine's clock.
    """

    def __init__(self, settings: ElectionSettings, record: Record, instance: int, now: float) -> None:
        self.settings = settings
        self.ledger = Ledger(record, record, self._emit)
        self.votes = Votes(settings, record, now)
        self.peers: dict[Member, Peer] = {m: Peer(m) for m in settings.others}
        self.state = State.WITNESS if settings.me in settings.witnesses else State.PRE
        self.leader: Member | None = None
        self.leaders: dict[Member, Report] = {}
        self.started_at = now
        # The controllee and this node's leadership.
        self.run = Run.STOPPED
        self.run_since = now
        self.leadership_epoch = self.offer_epoch = 0
        self.handing_over: Reason | None = None
        self.successor: Member | None = None
        self.fitness = Fitness()
        self.unheard_since: float | None = None
        #: Whether this node could take over, or hand over, with nothing lost of what the controllee wrote.
        self.is_ready = not settings.has_replica
        self.pause_ends_at = pause_end(record.directive, now)
        self.awaits: Member | None = None
        self.instance = instance
        self.sequence = 0
        self._won: Reason | None = None
        self.candidacy = 0
        self.candidacy_since = now
        self.last_leader: Member | None = None
        self.leaderless = Reason.no_leader
        self.not_before = self.handed_over_at = -math.inf
        self.awaits_until = self.awaits_successor_until = -math.inf
        self._vouched_until = math.inf
        self.is_stopping = self._is_restarting = self._is_finished = False
        self.voice = Voice(now, now)
        self._now = self._due = now
        self._effects: list[Effect] = []

    # --- the outside ------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The largest epoch this node knows of and has on disk."""
        return self.ledger.record.epoch

    @property
    def record(self) -> Record:
        """What this node has on disk."""
        return self.ledger.record

    @property
    def is_paused(self) -> bool:
        """Whether automatic failover is switched off."""
        return self.ledger.wanted.directive.pause is not None and self._now < self.pause_ends_at

    @property
    def hold(self) -> Hold | None:
        """The switchover's hold, if one is in force."""
        return self.ledger.wanted.directive.hold

    @property
    def deadline(self) -> float | None:
        """When to call `handle(Tick(), ...)` at the latest; None is never."""
        return None if self._is_finished else self._due

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event and return what to do about it, in order."""
        if self._is_finished:
            return []
        late_seconds, self._now = now - self._due, max(now, self._now)
        self._effects = []
        self._notice_sleep(late_seconds)
        self._dispatch(event)
        self._advance()
        if not self._is_finished:
            self._speak()
        self.ledger.turned(self._now)
        self._due = min(d for d in deadlines(self) if d > self._now)
        return self._effects

    # --- events -----------------------------------------------------------------------------------------------

    def _dispatch(self, event: Event) -> None:  # noqa: C901, PLR0912 -- a table, one line an event
        match event:
            case Heard():
                self._heard(event)
            case Linked() | Refused() | Denied() | Overheard():
                self._reached(event)
            case Persisted(record):
                self.ledger.persisted(record)
                self.voice.has_news |= record.directive.version != (0, 0) and record == self.ledger.wanted
            case PersistFailed(_, error):
                self.ledger.refused(self._now)
                self._cannot_write(error)
            case ControlleeStarted() if self.run is Run.STARTING:
                self._set_run(Run.RUNNING)
            case ControlleeExited(reason):
                self._controllee_exited(reason)
            case Reconfigured(settings, is_hard):
                self._reconfigured(settings, is_hard=is_hard)
            case StopRequested(is_fast):
                self._stop_requested(is_fast=is_fast)
            case SwitchoverRequested():
                self._switchover(event)
            case PauseRequested(request, pause):
                self._direct(attrs.evolve(self.directive, pause=pause))
                text = "automatic failover is paused in the whole pool"
                self._emit(Answer(request, is_accepted=True, text=text))
            case ResumeRequested(request):
                self._direct(attrs.evolve(self.directive, pause=None, hold=None))
                self._emit(Answer(request, is_accepted=True, text="automatic failover is on"))
            case RestartRequested(request):
                self._restart_requested(request)
            case StateReady() | StartPostponed() | HandoverCalledOff() | EpochKnown():
                self._of_the_state(event)

    def _heard(self, event: Heard) -> None:
        message = event.message
        rejection = pool.rejection(message, self.peers, self.settings, self._now)
        if rejection is not None:
            self._note("message_rejected", peer=message.sender, reason=rejection)
            return
        if not self.ledger.is_plausible(message.epoch):
            self._note("message_rejected", peer=message.sender, reason="epoch_jump", epoch=message.epoch)
            message = attrs.evolve(message, epoch=0)
        if message.sender not in self.peers:
            self._note("list_mismatch", peer=message.sender)
            self.peers[message.sender] = Peer(message.sender, is_stranger=True)
        peer = self.peers[message.sender]
        if not peer.is_alive(self._now):
            self._note("peer_up", peer=message.sender, ours=message.is_ours)
        asks = message.candidacy and (peer.message is None or peer.message.candidacy != message.candidacy)
        if asks or (event.kind is Kind.SEND_ID and self.state is State.LEADER):
            self.voice.replies.add(message.sender)
        peer.take(message, self._now, pool.validity_seconds(message, self.settings))
        peer.is_ours = message.is_ours
        if pool.is_plausible(message.directive, self.ledger.wanted):
            self._adopt(message.directive)
        self.ledger.learn(message.epoch)
        self.votes.heard(self, message)

    def _reached(self, event: Linked | Refused | Denied | Overheard) -> None:
        """A connection told us something of a member."""
        peer = self.peers.get(event.peer)
        if peer is None:
            return
        news = peer.reached(event, self._now, self.settings.timeout_seconds)
        if news is not None:
            self._note(news, peer=event.peer)
        if isinstance(event, Linked):
            self.voice.replies.add(event.peer)
            if pool.has_no_votes({event.peer: peer}, self.settings):
                self._note("condor_in_majority", peer=event.peer)

    def _cannot_write(self, error: str) -> None:
        self._note("record_not_written", error=error)
        if self.state is State.ELECTION:
            self._become_passive(Reason.cannot_persist)

    def _controllee_exited(self, reason: str) -> None:
        if self.run is Run.STOPPED:
            return
        ran_for = self._now - self.run_since if self.run is Run.RUNNING else 0.0
        was_asked = self.handing_over is not None or self._is_restarting
        self._set_run(Run.STOPPED)
        if was_asked:
            self.fitness.restart_at = self._now if self._is_restarting else math.inf
            self._is_restarting = False
            return
        should_abstain = self.fitness.died(ran_for, self._now, self.settings)
        deaths = self.fitness.quick_deaths
        self._note("controllee_died", reason=reason, ran_seconds=round(ran_for, 3), deaths=deaths)
        if should_abstain and not self.is_paused:
            seconds = self.fitness.abstain(self._now, self.settings)
            self.voice.has_news = True
            self._note("abstaining", seconds=round(seconds, 3), abstentions=self.fitness.abstentions)

    def _reconfigured(self, settings: ElectionSettings, *, is_hard: bool) -> None:
        assert settings.me == self.settings.me, "a node's own address does not change while it runs"
        self.settings = self.votes.settings = settings
        self.peers = relisted(self.peers, settings.others)
        self.voice.has_news = True
        if self.state is State.ELECTION:
            self._become_passive(Reason.config)
        if not is_hard:
            return
        self.fitness.forgive(self._now)
        if self.run in {Run.STARTING, Run.RUNNING} and self.handing_over is None:
            self._restart()

    def _restart_requested(self, request: int) -> None:
        no = requests.objection_to_restart(self)
        self._emit(Answer(request, is_accepted=no is None, text=no or "the controllee is being restarted"))
        if no is None:
            self._restart()

    def _restart(self) -> None:
        self._is_restarting = True
        self._stop_controllee(self.settings.stop_timeout_seconds)

    def _of_the_state(self, event: StateReady | StartPostponed | HandoverCalledOff | EpochKnown) -> None:
        """What the state allows, as this node's replica sees it (`had.custody`)."""
        match event:
            case StateReady(is_ready):
                self.voice.has_news |= is_ready is not self.is_ready
                self.is_ready = is_ready
            case StartPostponed() if self.run is Run.STARTING:
                self.run_since = self._now
            case HandoverCalledOff(text):
                self._call_off(text)
            case EpochKnown(epoch) if self.ledger.is_plausible(epoch) and owner(epoch, self.settings.members):
                self.ledger.learn(epoch)

    def _call_off(self, text: str) -> None:
        """Go on leading rather than lose what was written last; not after standing still, nor beside another leader."""
        is_alone = self._now >= self.not_before and not self.leaders
        if self.handing_over not in CAN_BE_CALLED_OFF or not is_alone:
            self._controllee_exited("requested")
            return
        self._note("handover_called_off", reason=self.handing_over.slug, peer=self.successor, text=text)
        if self.hold is not None and self.hold.member == self.settings.me:
            self._direct(attrs.evolve(self.directive, hold=None))
        self.handing_over = self.successor = None
        self._set_run(Run.STOPPED)
        self.voice.has_news = True
        self.fitness.called_off(self._now, self.settings)

    def _stop_requested(self, *, is_fast: bool) -> None:
        self.is_stopping = True
        if self.state is State.LEADER:
            successor = None if self.is_paused else self._best_successor()
            self._hand_over(Reason.shutdown, successor, 0.0 if is_fast else None)
        elif self.state is State.ELECTION:
            self._become_passive(Reason.shutdown)

    def _switchover(self, event: SwitchoverRequested) -> None:
        able = pool.successors(self.peers, self._now, self.hold)
        objection = requests.objection(self, event, able)
        if objection is not None:
            self._emit(Answer(event.request, is_accepted=False, text=objection))
            return
        target = event.to or able[0]
        hold = requests.hold_after(self.hold, self.settings, event, target)
        if hold != self.hold:
            self._direct(attrs.evolve(self.directive, hold=hold))
        self._emit(Answer(event.request, is_accepted=True, text=f"handing over to {target}"))
        self._hand_over(Reason.switchover, target)

    # --- what is kept on disk ---------------------------------------------------------------------------------

    def _direct(self, directive: Directive) -> None:
        """Put an operator's directive in force here and let it spread."""
        version = (self.ledger.wanted.epoch, self.ledger.wanted.directive.version[1] + 1)
        self._adopt(attrs.evolve(directive, version=version))

    @property
    def directive(self) -> Directive:
        """What operators want as of now: a pause's remaining time counted from now, none that is over."""
        directive = spoken(self.ledger.wanted.directive, self.pause_ends_at, self._now)
        return directive if self.is_paused else attrs.evolve(directive, pause=None)

    def _adopt(self, directive: Directive) -> None:
        self.pause_ends_at = pause_end(directive, self._now)
        self._note("directive", paused=directive.pause is not None, held=directive.hold is not None)
        self.ledger.keep(attrs.evolve(self.ledger.wanted, directive=directive))

    # --- what time and knowledge allow ------------------------------------------------------------------------

    def _notice_sleep(self, late_seconds: float) -> None:
        """A node that stood still, frozen or starved, knows nothing any more: it listens for T before it starts.

        A leader that slept past its lease must even take it that others lead now.
        """
        timeout = self.settings.timeout_seconds
        if late_seconds > timeout / 4:
            self.not_before = max(self.not_before, self._now + timeout)
        if self.state is State.LEADER and self._now >= self._vouched_until and self.handing_over is None:
            self._hand_over(Reason.lease_lapsed, None, 0.0)

    def _advance(self) -> None:
        if self.fitness.is_abstention_over(self._now):
            self._note("abstention_over", abstentions=self.fitness.abstentions)
            self.voice.has_news = True
        self.ledger.retry(self._now)
        if self.ledger.gives_up(self._now, self.settings.timeout_seconds):
            self._cannot_write("the disk does not answer")
        self._look_for_leaders()
        forget_strangers(self.peers, self._now)
        self.votes.review(self, self._now)
        rules = {
            State.PRE: self._in_pre,
            State.PASSIVE: self._in_passive,
            State.ELECTION: self._in_election,
            State.LEADER: self._in_leader,
            State.WITNESS: self._follow,
        }
        before = None
        while before is not self.state and not self._is_finished:
            before = self.state
            if self.is_stopping and before in _RESTING:
                self._finish()
            else:
                rules[before]()
        if not self._is_finished:
            self.votes.review(self, self._now)

    def _look_for_leaders(self) -> None:
        """Compare the leaders that exist now with those that existed at the last look."""
        before, self.leaders = self.leaders, live_leaders(self.peers, self.settings.me, self._now)
        denied = pool.denied_leader(self.peers, self._now, self.settings, self.last_leader, self.epoch)
        if denied is not None:
            self.leaders.setdefault(denied.member, denied)
        for member, report in before.items():
            if member not in self.leaders:
                self._leader_vanished(report)
        best = self.best_leader
        if best is not None:
            self.last_leader = best.member
            self.votes.starved_since = None
        for peer in self.peers.values():
            if peer.falls_silent(self._now):
                self._note("peer_silent", peer=peer.member)

    def _leader_vanished(self, report: Report) -> None:
        """Take note of what the end of a leader means; after a crash its guard is given its time."""
        # What another member said of it ends when that member's own wait ends, a little off our reckoning.
        slack = 0.0 if report.via is None else self.settings.heartbeat_seconds
        self.leaderless = pool.end_of_leader(self.peers, self._now, report, slack)
        if self.leaderless is not Reason.leader_gone:
            return
        self.not_before = max(self.not_before, self._now + GUARD_SECONDS)
        if self.settings.restart_window_seconds > 0:
            self.awaits = report.member
            self.awaits_until = self._now + self.settings.restart_window_seconds

    @property
    def best_leader(self) -> Report | None:
        """The leader that counts, if there are several; None if there is none."""
        return pool.best_leader(self.leaders.values(), self._now)

    def _in_pre(self) -> None:
        if self.leaders:
            self._become_passive(Reason.leader_heard)
        elif self.peers and all(p.is_alive(self._now) and p.is_ours for p in self.peers.values()):
            self._become_passive(Reason.members_heard)
        elif self._now >= self.started_at + pool.listening_seconds(self.peers, self.settings):
            self._become_passive(Reason.start_wait_over)

    def _follow(self) -> None:
        """Take the best live leader for ours, once its epoch is on disk."""
        best = self.best_leader
        if best is not None and not best.is_denied and best.claim.epoch > self.record.epoch:
            best = None
        leader = best.member if best is not None else None
        if leader != self.leader:
            self.leader = leader
            self.voice.has_news = True
            self._note("following", leader=leader, epoch=self.record.epoch)

    def _in_passive(self) -> None:
        self._follow()
        if self._take_over():
            return
        if self.leaders or not candidacy.may_elect(self, self._now):
            return
        if not candidacy.is_best(self, self._now):
            return
        self._become_candidate(self.leaderless)

    def _take_over(self) -> bool:
        """Lead without an election if the last leader named this node its successor (P3, P6)."""
        known = self.ledger.others_epoch
        found = pool.offers(self.peers, self._now, self.settings.me)
        offers = [r for r in found if r.claim.offer_epoch >= known]
        if not offers or not self.is_able:
            self.votes.cease(self)
            return False
        self._make_claim()
        has_right = self.ledger.has_claim and self.votes.allow(self, self._now)
        may_lead = has_right and self._now >= self.not_before
        if may_lead and not self.leaders and any(r.claim.state is not State.LEADER for r in offers):
            self._become_leader(Reason.handed_over)
        return True

    @property
    def is_able(self) -> bool:
        """Whether this node could lead, if it were to."""
        is_barred = self.ledger.is_broken or self.is_stopping or pool.has_no_votes(self.peers, self.settings)
        return not is_barred and self.settings.my_id >= 0

    def _make_claim(self, above: int = 0) -> None:
        if not self.ledger.make_claim(self.settings.my_id, above):
            self._note("epochs_exhausted", epoch=self.ledger.wanted.epoch)

    def standing(self) -> Standing:
        """Where this node stands."""
        return standing(self.settings.me, self.settings.my_id, self.abstains_seconds)

    @property
    def abstains_seconds(self) -> float | None:
        """Seconds since this node began to abstain, 0 while its disk is broken, None if it is fit."""
        if self.ledger.is_broken:
            return 0.0
        since = self.fitness.abstains_since
        since = self.votes.starved_since if since is None else since
        return None if since is None else self._now - since

    def _in_election(self) -> None:
        if self.leaders:
            self._become_passive(Reason.leader_heard)
        elif self.is_paused and not candidacy.may_elect(self, self._now):
            self._become_passive(Reason.paused)
        elif pool.has_no_votes(self.peers, self.settings):
            self._become_passive(Reason.condor_member)
        elif not candidacy.is_best(self, self._now):
            self._become_passive(Reason.better_candidate)
        else:
            self._won = self._won or candidacy.reason_to_lead(self, self._now)
            if self._won is not None:
                # The disk writes the epoch while the last leader's guard still has its time.
                self._make_claim()
                has_right = self.ledger.has_claim and self.votes.allow(self, self._now)
                if has_right and self._now >= self.not_before:
                    self._become_leader(self._won)

    def _in_leader(self) -> None:
        if self.settings.require_majority:
            self._keep_majority()
        if self.handing_over is None:
            self._consider_handing_over()
        if self.handing_over is not None:
            if self.run is Run.STOPPED:
                self._become_passive(self.handing_over)
        elif self.run is Run.STOPPED and self._now >= self.fitness.restart_at:
            self._start_controllee()
        elif self.run is Run.STARTING and self._now >= start_ends_at(self.run_since, self.settings):
            # Its exit will count as a death: the second one lets another member try.
            self._note("start_hangs", seconds=self._now - self.run_since)
            self._stop_controllee(0.0)

    def _keep_majority(self) -> None:
        """Renew the guard's lease as far as votes carry it, and step down in good order before they do not."""
        self._vouch()
        why = self.votes.lead(self, self._now)
        if why is not None and self.handing_over is None:
            self._hand_over(why, None, max(0.0, self._vouched_until - self._now))

    def _consider_handing_over(self) -> None:
        rivals = pool.rivals(self.peers, self.leaders.values(), self.settings)
        mine = self.standing()
        winner = next((r for r in rivals if outranks(r.standing(self._now), mine)), None)
        self._keep_epoch_above(rivals)
        if winner is not None:
            self._hand_over(Reason.outranked, winner.member)
        elif self._is_isolated():
            self._hand_over(Reason.isolated, None)
        else:
            self._answer_claimants()

    def _keep_epoch_above(self, rivals: list[Report]) -> None:
        """The survivor of a conflict takes an epoch above both (hard case 1)."""
        for rival in new_conflicts(self.peers, rivals):
            self._note("leader_conflict", peer=rival.member, epoch=rival.claim.epoch)
        above = max((r.claim.epoch for r in rivals), default=0)
        is_behind = max(self.ledger.wanted.epoch, above + 1) > self.leadership_epoch
        if is_behind and not self.ledger.is_broken:
            self._make_claim(above)
        if self.ledger.has_claim and self.ledger.claim > self.leadership_epoch:
            self.leadership_epoch = self.ledger.claim
            self._emit(PublishEpoch(self.leadership_epoch))
            self.voice.has_news = True

    def _answer_claimants(self) -> None:
        """Hand over to whom it is due: the returning primary, or a member whose controllee works."""
        if self.is_paused:
            return
        can_wait = not self.is_ready or self._now < self.fitness.yields_from
        primary = pool.claimant(self.peers, self._now, self.settings, self.hold, can_wait=can_wait)
        if primary is not None:
            self._hand_over(Reason.primary_returned, primary)
        elif self.fitness.abstains_since is not None and self.run is Run.STOPPED:
            healthy = self._best_successor()
            if healthy is not None:
                self._hand_over(Reason.controllee_failed, healthy)

    def _best_successor(self) -> Member | None:
        return next(iter(pool.successors(self.peers, self._now, self.hold)), None)

    def _is_isolated(self) -> bool:
        """Whether nobody has heard us for a while: longer than a connection takes to come back after a heal."""
        t = self.settings.timeout_seconds
        is_unheard = self._now - self.started_at > t and pool.is_unheard(self.peers, self._now, self.settings)
        self.unheard_since = (self.unheard_since or self._now) if is_unheard else None
        return self.unheard_since is not None and self._now >= self.unheard_since + t * UNHEARD_SHARE

    # --- changes of state -------------------------------------------------------------------------------------

    def _become(self, target: State, reason: Reason) -> None:
        assert reason in LEGAL[self.state, target], f"{self.state} to {target} for {reason} is not legal"
        self._emit(Transition(self.state, target, reason, self.ledger.wanted.epoch))
        self.state = target
        self.voice.has_news = True

    def _become_passive(self, reason: Reason) -> None:
        if self.state is State.LEADER:
            self.handed_over_at = self._now
            wait_seconds = pool.successor_wait_seconds(self.peers, self.successor, self.settings)
            self.awaits_successor_until = self._now + wait_seconds
            self.leadership_epoch = 0
            self.fitness.leads_no_more()
            if self.handing_over is Reason.majority_lost:
                self.votes.starved_since = self._now
            self.leaderless = Reason.leader_resigned
        self._become(State.PASSIVE, reason)
        self.handing_over = None
        self.leader = None
        self.candidacy, self.ledger.claim, self._won = 0, 0, None
        self._vouched_until = math.inf
        self.votes.cease(self)

    def _become_candidate(self, reason: Reason) -> None:
        self._become(State.ELECTION, reason)
        self.candidacy = self.sequence + 1
        self.candidacy_since = self._now
        self.ledger.claim, self._won, self.successor = 0, None, None
        self.votes.cease(self)

    def _become_leader(self, reason: Reason) -> None:
        self._become(State.LEADER, reason)
        self.leader = self.last_leader = self.settings.me
        self.leadership_epoch = self.ledger.claim
        self.successor, self.handing_over, self.awaits = None, None, None
        self.candidacy, self._won, self.unheard_since = 0, None, None
        self._is_restarting = False
        if self.hold is not None and (
            reason is not Reason.handed_over or self.hold.member == self.settings.me
        ):
            self._direct(attrs.evolve(self.directive, hold=None))
        self._emit(PublishEpoch(self.leadership_epoch))
        self._vouched_until = -math.inf
        self.votes.begin(self)
        self._vouch()
        self._start_controllee()

    def _hand_over(self, reason: Reason, successor: Member | None, timeout: float | None = None) -> None:
        """Stop the controllee; when it is gone this node becomes passive and the successor may start."""
        seconds = self.settings.stop_timeout_seconds if timeout is None else timeout
        if self.handing_over is None or reason is Reason.shutdown:
            self.handing_over, self.successor = reason, successor
            self.offer_epoch = self.leadership_epoch
        self._is_restarting = False
        self.voice.has_news = True
        # Where a replica keeps the state, what a controllee that is gone wrote last is still to be handed on.
        if self.run is not Run.STOPPED or self.settings.has_replica:
            self._stop_controllee(seconds)

    def _start_controllee(self) -> None:
        self.fitness.restart_at = math.inf
        self._set_run(Run.STARTING)
        self._emit(StartControllee(self.leadership_epoch))

    def _stop_controllee(self, seconds: float) -> None:
        self._set_run(Run.STOPPING)
        self._emit(StopControllee(seconds, self.handing_over, self.successor))

    def _set_run(self, run: Run) -> None:
        self.voice.has_news |= Run.RUNNING in {self.run, run}
        self.run, self.run_since = run, self._now

    def _finish(self) -> None:
        self._speak()
        self._is_finished = True
        self._emit(Finished())

    # --- speaking ---------------------------------------------------------------------------------------------

    def _speak(self) -> None:
        """Send what is due: to all of ours at intervals or on news, to real peers at HTCondor's pace."""
        if self.state is State.LEADER and self.voice.is_beat_due(self._now):
            self._vouch()
        kind = condor_kind(self)
        factor = 2 if self.voice.is_beat_due(self._now) and is_quiet(self, self._now) else 1
        addressees = self.voice.addressees(self.peers, kind, self.settings, self._now, factor)
        if addressees:
            self.sequence += 1
            self.votes.spoke(self.sequence, self._now)
            message = compose(self, self._now)
            for member, chosen in addressees:
                self._emit(Send(member, message, chosen))

    def _vouch(self) -> None:
        until = min(self._now + self.settings.lease_seconds, self.votes.lease_until(self))
        if until > self._vouched_until:
            self._vouched_until = until
            self._emit(RenewLease(until))

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _note(self, name: str, **fields: str | float | None) -> None:
        self._emit(Note(name, tuple(fields.items())))
