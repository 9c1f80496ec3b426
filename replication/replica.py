"""The replica machine: what this node's copy of the state is, and whence it takes a newer one.

This file owns a replica's state and is the only place that changes it. Like the election it does no I/O and knows no
clock: `handle(event, now)` takes what happened and returns what to do, `deadline` says when to call again.

The states are HTCondor's:

- VERSION_REQUESTING: just started. Collects what the others hold until each answered, is gone, or was silent for T.
- VERSION_DOWNLOADING: fetches the best of it. (A condor_replication of 23.5 or later never does.)
- BACKUP: takes whatever the leader publishes.
- LEADER: had leads here. Each change of the state becomes a version, and the others are told at once. It lasts until
  the last bytes of a controllee that is being stopped have a version too.

Who may say what: the leader is who reports that it is, with the largest gid, since a gid is an epoch. Its word goes
over ours: where our histories diverged, ours is kept aside and then replaced. Without a leader a version is taken
only if it is newer, which a lineage proves. A leader of an earlier epoch than that of what we hold is not believed
while a later one was heard not long ago: it may have slept.

Between two leaders neither takes anything from the other: had decides who stays. Nothing is installed while this node leads, nor before had has said whether it does, nor for a while after had was
told that it may start a controllee here.

Kept conflicts that people want merged into the state, or restored, wait for a stop of the leader's controllee: what
comes of it is one more version of its leadership (`replication.revisions`).

What is durable before it is visible: a version, before it is reported, and so before anybody fetches it. A report is
therefore also an acknowledgement: who reports a version holds it.

What is *not* promised: that a state survives which was written in the last moments of a host that died for good
before any other replica reported it. Whoever starts then knows (`Currency.STALE`), and `Answer.behind` of a flush
names who lacks what. A host that comes back keeps such bytes as a conflict.
"""

from __future__ import annotations

import enum
import math

import attrs

from replication import answers, condors, effects, events, objections, revisions, speech
from replication import peers as readings
from replication.deadlines import deadlines
from replication.download import Download
from replication.events import CondorCommand, State
from replication.ledger import Ledger
from replication.manifest import Held, fingerprint, total_bytes
from replication.peers import Peer, Wanted
from replication.replica_settings import Member, ReplicaSettings
from replication.revisions import Revisions
from replication.transitions import LEGAL, Reason
from replication.version import Point, Version

QUIET_SECONDS = 2.0
"""A state was quiet for so long: believed to be finished though nobody said that its controllee is gone."""

FENCE_TIMEOUTS = 3
"""A leader of an earlier epoch is not believed for so many T after one of a later epoch was heard."""

CONFIRMATION_TIMEOUTS = 2
"""had leads no more when it has not said so for so many T: its guard has ended the controllee by then."""


class Look(enum.Enum):
    """What is known of the state's last bytes."""

    #: Nobody writes here, and what stands there was looked at.
    RESTING = "resting"
    #: The last leadership here did not end in order, so there may be bytes that have no version.
    UNSETTLED = "unsettled"
    #: A controllee writes.
    WATCHING = "watching"
    #: It is gone, or going; the last look is under way.
    SETTLING = "settling"


class Replica:
    """One node's copy of the state.

    Args:
        settings: What the configuration says.
        held: What this node durably holds; None is no state that has a version. The driver's first look at the
            state follows as `StateChanged` if it shows anything else.
        instance: Counts the starts of this daemon.
        now: Seconds on the machine's clock.
    """

    def __init__(self, settings: ReplicaSettings, held: Held | None, instance: int, now: float) -> None:
        self.settings = settings
        self.ledger = Ledger(held)
        self.state = State.VERSION_REQUESTING
        self.peers: dict[Member, Peer] = {m: Peer(m) for m in settings.others}
        self.download: Download | None = None
        #: Who is being sent something, by the number of its request.
        self.uploads: dict[int, Member] = {}
        self.revisions = Revisions()
        #: What had leads with, as it says; None while it does not, or is a real one.
        self.epoch: int | None = None
        self.started_at = self.listens_since = now
        self.is_ending = False
        self.look = Look.UNSETTLED if held is not None and held.is_leading else Look.RESTING
        self._instance = instance
        self._sequence = 0
        # had: when it has to speak next before it counts as gone.
        self._has_had_spoken = False
        self._hears_from = -math.inf
        self._deferred: events.Leadership | None = None
        self.leads_until = self.awaits_had_until = now + self._patience(is_real=self.ledger.is_leading)
        self.prepared: tuple[int, float] = (0, -math.inf)
        self._downloads = 0
        self.fenced_until = now + FENCE_TIMEOUTS * settings.timeout_seconds
        self.questions: list[answers.Question] = []
        self.stops_by: float | None = None
        self._is_finished = False
        # What was said last, and to whom it must be said again.
        self._said: events.Report | None = None
        self.next_report_at = now
        self.next_condor_at = now
        self._replies: set[Member] = set()
        self._now = self._due = now
        self._effects: list[effects.Effect] = []

    # --- the outside ------------------------------------------------------------------------------------------

    @property
    def version(self) -> Version | None:
        """The version that stands here and can be fetched; None if there is none."""
        standing = self.ledger.standing
        return None if standing is None else standing.version

    @property
    def now(self) -> float:
        """The time of the last event."""
        return self._now

    @property
    def is_leading(self) -> bool:
        """Whether had leads here, as far as this node knows."""
        return self.state is State.LEADER and not self.is_ending

    @property
    def is_installing(self) -> bool:
        """Whether a version from elsewhere is replacing ours at this moment."""
        return self.download is not None and self.download.is_installing

    @property
    def is_watching(self) -> bool:
        """Whether a controllee writes here."""
        return self.look is Look.WATCHING

    @property
    def is_resting(self) -> bool:
        """Whether nobody writes here, and what stands here was looked at."""
        return self.look is Look.RESTING

    @property
    def deadline(self) -> float:
        """When to call `handle(Tick(), ...)` at the latest; infinity is never."""
        return self._due

    def handle(self, event: events.Event, now: float) -> list[effects.Effect]:
        """Take one event and return what to do about it, in order."""
        if self._is_finished:
            return []
        late_seconds, self._now = now - self._due, max(now, self._now)
        self._effects = []
        self._notice_standstill(late_seconds)
        self._dispatch(event)
        self._advance()
        self._speak()
        self._due = min(d for d in deadlines(self) if d > self._now)
        return self._effects

    @property
    def has_listened(self) -> bool:
        """Whether every other replica has answered, is gone, or was silent for T since this one began, or woke."""
        return all(p.has_answered(self._now, self.listens_since, self.settings) for p in self.peers.values())

    def behind(self) -> tuple[Member, ...]:
        """The replicas of ours that are heard and lack what is held here."""
        return readings.lacking(self.ledger.own, self.peers.values(), self._now)

    def wanted(self) -> Wanted | None:
        """What this node should fetch, as of now."""
        return readings.wanted(
            self.ledger.standing, self.peers.values(), self._now, is_fenced=self._is_fenced
        )

    # --- events -----------------------------------------------------------------------------------------------

    def _dispatch(self, event: events.Event) -> None:
        match event:
            case events.Heard() | events.CondorSaid() | events.Linked() | events.Gone():
                self._of_replicas(event)
            case events.LeadershipBegan() | events.LeadershipConfirmed() | events.LeadershipEnded():
                self._of_leadership(event)
            case events.CurrentAsked() | events.FlushAsked() | events.Withdrawn():
                self._of_questions(event)
            case events.StateChanged() | events.Settled() | events.Noted() | events.NoteFailed():
                self._of_the_state(event)
            case (
                events.Offered()
                | events.Received()
                | events.Installed()
                | events.InstallFailed()
                | events.DownloadEnded()
            ):
                self._of_the_download(event)
            case events.RevisionsWaiting() | events.Revised() | events.ReviseFailed() | events.Archived():
                self._of_conflicts(event)
            case events.UploadAsked() | events.UploadEnded():
                self._of_uploads(event)
            case events.Reconfigured(settings):
                self._reconfigured(settings)
            case events.StopRequested(seconds):
                self.stops_by = self._now + seconds

    def _reconfigured(self, settings: ReplicaSettings) -> None:
        assert settings.me == self.settings.me, "a node's own address does not change while it runs"
        self.settings, before = settings, self.peers
        self.peers = {m: before.get(m) or Peer(m) for m in settings.others}
        if before.keys() - self.peers.keys():
            self._emit(effects.EndUploads("a member was taken from REPLICATION_LIST"))

    # --- other replicas ---------------------------------------------------------------------------------------

    def _of_replicas(self, event: events.Heard | events.CondorSaid | events.Linked | events.Gone) -> None:
        member = event.report.sender if isinstance(event, events.Heard) else event.peer
        peer = self.peers.get(member)
        if peer is None:
            self._remark("report_rejected", peer=member, reason="not_a_member")
            return
        match event:
            case events.Heard(report):
                self._heard(peer, report)
            case events.CondorSaid():
                self._condor_said(peer, event)
            case events.Linked(_, is_ours):
                self._linked(peer, is_ours=is_ours)
            case events.Gone():
                peer.is_gone(self._now)

    def _heard(self, peer: Peer, report: events.Report) -> None:
        if not peer.is_news(report):
            self._remark("report_rejected", peer=report.sender, reason="replayed")
            return
        if not peer.is_alive(self._now):
            self._replies.add(peer.member)
        peer.take(report, self._now)
        if self.state is State.LEADER and self.ledger.stay_ahead_of(report):
            self._remark("clock_behind", peer=report.sender)
        for point, merged in self.revisions.found_merged(report, self.version).items():
            self._emit(effects.MarkMerged(merged, point))

    def _linked(self, peer: Peer, *, is_ours: bool) -> None:
        is_new = peer.is_ours is not is_ours
        peer.is_ours, peer.linked_at = is_ours, self._now
        self._replies.add(peer.member)
        if is_new and not is_ours:
            condors.found(self, peer)
            self._to_condor(peer.member, CondorCommand.NEWLY_JOINED_VERSION)
            self._to_condor(peer.member, CondorCommand.SOLICIT_VERSION)

    def _condor_said(self, peer: Peer, event: events.CondorSaid) -> None:
        answer = condors.hear(self, peer, event)
        if answer is not None:
            self._to_condor(peer.member, answer)

    # --- had --------------------------------------------------------------------------------------------------

    def _of_leadership(self, event: events.Leadership) -> None:
        self._has_had_spoken |= self._now >= self._hears_from
        # A version that is being installed may overtake a leadership, so that is judged when it is over.
        self._deferred = event if self.is_installing else None
        if self._deferred is not None:
            return
        if isinstance(event, events.LeadershipEnded):
            self.prepared = (0, -math.inf)
            self._end_leadership(is_stopped=event.is_stopped)
            return
        self.leads_until = self._now + self._patience(is_real=event.epoch is None)
        is_begun = isinstance(event, events.LeadershipBegan)
        if self.is_leading and event.epoch == self.epoch:
            if is_begun:
                self._watch()
            return
        own, led = self.ledger.own, self.ledger.led
        if readings.is_overtaken(own, event.epoch, self._versions(), led, is_late=not is_begun):
            self._remark("leadership_refused", epoch=event.epoch, gid=max(self.known_gids()))
            return
        self._lead(event.epoch, is_begun=is_begun)

    def _lead(self, epoch: int | None, *, is_begun: bool) -> None:
        """Lead under this epoch of had's; a new one begins a new branch of the history."""
        # An epoch that grows while had waits for an answer starts no controllee.
        is_stopped = self.is_leading and not is_begun and any(q.is_of_a_stop for q in self.questions)
        self.epoch, self.is_ending = epoch, False
        own = self.ledger.own
        is_going_on = own is not None and (
            own.held.is_leading if epoch is None else epoch in {point.gid for point in own.version.history}
        )
        if self.ledger.is_altered or not is_going_on:
            self.ledger.claim = epoch or readings.next_gid(self.known_gids(), self.settings.place)
        if self.state is not State.LEADER:
            self._become(State.LEADER, Reason.LEADS)
        if not is_stopped:
            self._watch()

    def _watch(self) -> None:
        """A controllee writes here from now on."""
        self.revisions.is_tried = False
        if not self.is_watching:
            self.look = Look.WATCHING
            self._emit(effects.Watch())

    def _end_leadership(self, *, is_stopped: bool) -> None:
        """After had leads no more: what its controllee wrote last still has to get a version."""
        is_due = self.state is State.LEADER or self.look is Look.UNSETTLED
        if is_due and not self.is_ending:
            self.is_ending = True
            self._settle(0.0 if is_stopped else QUIET_SECONDS)

    def _settle(self, quiet_seconds: float) -> None:
        if self.look in {Look.UNSETTLED, Look.WATCHING}:
            self.look = Look.SETTLING
            self._emit(effects.Settle(quiet_seconds))

    def _listen_to_had(self) -> None:
        """A had that is silent for too long does not lead, whatever it said last."""
        if self._deferred is not None and not self.is_installing:
            self._of_leadership(self._deferred)
        if not self._has_had_spoken and self._now >= self.awaits_had_until:
            self._has_had_spoken = True
            self._remark("had_silent")
        if self._now < self.leads_until:
            return
        if (self.state is State.LEADER or self.look is Look.UNSETTLED) and not self.is_ending:
            self._remark("leadership_unconfirmed", epoch=self.epoch)
            self._end_leadership(is_stopped=False)

    def _notice_standstill(self, late_seconds: float) -> None:
        """Had may have begun anything while this daemon stood still: its word is awaited before the state is touched.

        What had said meanwhile is read first, and is old. So is what the others said: they are listened to anew.
        """
        is_first = self._said is None
        if not is_first and late_seconds > self.settings.timeout_seconds / 4:
            self._has_had_spoken = False
            self.listens_since = self._now
            self._hears_from = self._now + self.settings.timeout_seconds / 4
            self.awaits_had_until = self._now + self._patience(is_real=self.ledger.is_leading)

    def _patience(self, *, is_real: bool) -> float:
        if is_real:
            return 2 * self.settings.condor_interval_seconds
        return CONFIRMATION_TIMEOUTS * self.settings.timeout_seconds

    def _of_questions(self, event: events.CurrentAsked | events.FlushAsked | events.Withdrawn) -> None:
        match event:
            case events.CurrentAsked():
                is_patient = event.incumbent_epoch is not None or event.is_missing_refused
                seconds = math.inf if is_patient else self.settings.lifetime_seconds
                self.questions.append(answers.Question(event, self._now + seconds))
                if event.incumbent_epoch is None and revisions.may_begin(self):
                    # The controllee of this leadership is gone, and another starts in its place.
                    self._settle(0.0)
            case events.FlushAsked():
                self.questions.append(answers.Question(event, self._now + event.timeout_seconds))
                self._settle(0.0)
            case events.Withdrawn(request):
                self.questions = [q for q in self.questions if q.asked.request != request]
                if self.prepared[0] == request:
                    self.prepared = (0, -math.inf)

    # --- the state and its version ----------------------------------------------------------------------------

    def _of_the_state(
        self, event: events.StateChanged | events.Settled | events.Noted | events.NoteFailed
    ) -> None:
        match event:
            case events.StateChanged(files):
                self.ledger.changed(files)
            case events.Settled() if self.look is Look.SETTLING:
                self.look = Look.RESTING
            case events.Noted(held):
                self._noted(held)
            case events.NoteFailed(error):
                self._remark("version_not_written", error=error)
                self.ledger.failed(self._now)

    def _judge_change(self) -> None:
        """A change is the controllee's if had leads here, or led and did not end; else nobody should have made it."""
        ledger, own = self.ledger, self.ledger.standing
        is_theirs = self.state is State.LEADER or ledger.is_leading
        if ledger.files is None or own is None or is_theirs or self.is_installing or not self._has_had_spoken:
            return
        ledger.is_altered = True
        self._remark("state_altered", gid=own.version.gid, clock=own.version.clock)
        self._emit(effects.KeepConflict(own.version))

    def _noted(self, held: Held) -> None:
        is_new = self.ledger.noted(held)
        if is_new and self.state is State.LEADER:
            self._emit(effects.Announce(held.version))
            self._to_condors(CondorCommand.LEADER_VERSION)

    def _write_down(self) -> None:
        """Have what is next written; never while a version from elsewhere is being installed."""
        if self.is_installing or self._now < self.ledger.retry_at:
            return
        held = self.ledger.next(
            is_writing=self.is_leading, is_resting=self.is_resting, gids=self.known_gids()
        )
        if held is not None:
            self._emit(effects.Note(held))

    def known_gids(self) -> list[int]:
        """Every gid that this node has heard of, also of histories that were given up."""
        given_up = (*self.ledger.led, *self.revisions.kept_gids)
        return [p.gid for version in self._versions() for p in version.history] + [self.epoch or 0, *given_up]

    def _versions(self) -> list[Version]:
        own = [] if self.ledger.own is None else [self.ledger.own.version]
        return own + [p.version for p in self.peers.values() if p.version is not None]

    # --- kept conflicts ---------------------------------------------------------------------------------------

    def _of_conflicts(
        self, event: events.RevisionsWaiting | events.Revised | events.ReviseFailed | events.Archived
    ) -> None:
        match event:
            case events.RevisionsWaiting(count):
                self.revisions.waiting = count
            case events.Archived():
                self.revisions.archived(event)
            case events.Revised(held) if held.version == self.ledger.revising:
                self._noted(held)
            case events.ReviseFailed(error) if self.ledger.revising is not None:
                self.ledger.revising = None
                self._remark("state_not_revised", error=error)

    def _revise(self) -> None:
        """Have what is scheduled done, once while the controllee is gone."""
        self.revisions.take_up(self.version, is_changing=self.ledger.is_busy or self.is_installing)
        if revisions.is_due(self) and self.is_resting and self.ledger.is_written:
            self.revisions.is_tried = True
            self._emit(effects.Revise(self.ledger.revise(self.known_gids())))

    # --- transfers --------------------------------------------------------------------------------------------

    def _of_the_download(
        self,
        event: events.Offered
        | events.Received
        | events.Installed
        | events.InstallFailed
        | events.DownloadEnded,
    ) -> None:
        download = self.download
        if download is None or download.number != event.download:
            return
        download.moved_at = self._now
        match event:
            case events.Offered(_, version):
                self._offered(download, version)
            case events.Received(_, version, files):
                version = download.renamed(version, self.ledger.own)
                download.received = attrs.evolve(event, version=version)
                download.taking = version
                objection = objections.to_version(self, download, version, fingerprint(files))
                if objection is not None:
                    condors.was_refused(self, download, objection)
                    self._refuse(download, objection)
            case events.Installed(_, held):
                download.clear()
                download.has_installed = True
                if download.peer in self.peers:
                    self.peers[download.peer].gave(held.version)
                self.ledger.installed(held)
                self._let_go(download)
            case events.InstallFailed(_, error):
                download.clear()
                self._stop_download(download, f"it could not be installed: {error}", is_failure=True)
                self._let_go(download)
            case events.DownloadEnded():
                self._download_ended(download, event)

    def _offered(self, download: Download, version: Version) -> None:
        objection = objections.to_version(self, download, version)
        if objection is not None:
            self._refuse(download, objection)
            return
        download.taking = version
        self._emit(effects.Take(download.number, version))

    def _refuse(self, download: Download, objection: objections.Objection) -> None:
        download.clear()
        why, reason = objection.label, objection.sentence
        self._remark("version_rejected", peer=download.peer, why=why, reason=reason)
        self._emit(effects.Refuse(download.number, reason))

    def _download_ended(self, download: Download, event: events.DownloadEnded) -> None:
        download.is_over = True
        self._let_go(download)
        peer = self.peers.get(download.peer)
        if peer is None or download.has_installed or download.is_stopping or download.is_installing:
            return
        # One that ended in good order and brought nothing was refused, or had nothing; not at once again.
        delay = peer.failed(self._now)
        self._remark("download_failed", peer=peer.member, reason=event.reason, retry_seconds=delay)

    def _let_go(self, download: Download) -> None:
        if download.is_over and not download.is_installing:
            self.download = None

    def _may_install(self) -> bool:
        """Whether a received version may replace ours at this moment."""
        is_resting = self.is_resting and not self.ledger.is_busy
        is_own = self.ledger.is_leading
        is_prepared = self._now < self.prepared[1]
        is_follower = self.state in {State.VERSION_DOWNLOADING, State.BACKUP}
        return is_follower and is_resting and self._has_had_spoken and not is_own and not is_prepared

    def _look_after_download(self) -> None:
        """Start what is wanted, install what has arrived, end what is of no use."""
        download, wanted = self.download, self.wanted()
        if download is None:
            self._start_download(wanted)
        elif not (download.is_stopping or download.is_installing or download.is_over):
            failure = download.failure(self.settings, self._now, is_more_wanted=wanted is not None)
            reason = failure or objections.to_download(self, download, wanted)
            if reason is not None:
                self._stop_download(download, reason, is_failure=failure is not None)
            elif download.received is not None and self._may_install():
                self._install(download, download.received)

    def _start_download(self, wanted: Wanted | None) -> None:
        is_follower = self.state in {State.VERSION_DOWNLOADING, State.BACKUP}
        if wanted is None or not is_follower or self.stops_by is not None:
            return
        member = next((m for m in wanted.holders if self.peers[m].retry_at <= self._now), None)
        if member is not None:
            self._downloads += 1
            is_ours = bool(self.peers[member].is_ours)
            self.download = Download(self._downloads, member, is_ours, self._now, self._now)
            self._emit(effects.StartDownload(self._downloads, member, is_ours))

    def _stop_download(self, download: Download, reason: str, *, is_failure: bool) -> None:
        peer = self.peers.get(download.peer)
        if is_failure and peer is not None and not download.has_installed:
            peer.failed(self._now)
        self._remark("download_stopped", peer=download.peer, reason=reason)
        download.is_stopping = True
        self._emit(effects.StopDownload(download.number, reason))

    def _install(self, download: Download, received: events.Received) -> None:
        # Asked again: the others may have said more since it was offered.
        objection = objections.to_version(self, download, received.version, fingerprint(received.files))
        if objection is not None:
            self._refuse(download, objection)
            return
        held = Held(received.version, received.files, acknowledged=received.version.point)
        peer = self.peers.get(download.peer)
        is_contained = readings.is_contained(self.ledger.own, held, None if download.is_ours else peer)
        is_conflict = self.ledger.is_altered or not is_contained
        download.is_installing = True
        self._emit(effects.Install(download.number, held, is_conflict))

    def _of_uploads(self, event: events.UploadAsked | events.UploadEnded) -> None:
        if isinstance(event, events.UploadEnded):
            condors.was_sent(self, self.uploads.pop(event.request, ""))
            return
        objection = objections.to_upload(self, event)
        if objection is not None:
            why, reason = objection.label, objection.sentence
            self._remark("upload_refused", peer=event.peer, why=why, reason=reason)
            self._emit(effects.RefuseUpload(event.request, reason))
            return
        assert self.version is not None, "without a version there is an objection"
        self.uploads[event.request] = event.peer
        is_staying = event.is_ours and self.is_leading
        self._emit(effects.StartUpload(event.request, self.version, is_staying))

    # --- what time and knowledge allow ------------------------------------------------------------------------

    def _advance(self) -> None:
        self._listen_to_had()
        self.ledger.acknowledge(self.peers.values())
        self._look_for_leaders()
        self._judge_change()
        self._write_down()
        self._revise()
        self._change_state()
        self._look_after_download()
        self._answer()
        self._finish()

    @property
    def _is_fenced(self) -> bool:
        return self._now < self.fenced_until

    def _look_for_leaders(self) -> None:
        leader, own = readings.leader_of(self.peers.values(), self._now), self.ledger.own
        version = None if leader is None else leader.version
        if version is not None and (own is None or version.gid >= own.version.gid):
            self.fenced_until = self._now + FENCE_TIMEOUTS * self.settings.timeout_seconds

    def _change_state(self) -> None:
        if self.state is State.VERSION_REQUESTING:
            if self.has_listened:
                if self.wanted() is None:
                    self._become(State.BACKUP, Reason.NOTHING_NEWER)
                else:
                    self._become(State.VERSION_DOWNLOADING, Reason.NEWER_ELSEWHERE)
        elif self.state is State.VERSION_DOWNLOADING:
            if self.wanted() is None:
                self._become(State.BACKUP, Reason.NEWEST_IS_HERE)
            elif self._now >= self.started_at + self.settings.lifetime_seconds:
                self._become(State.BACKUP, Reason.NOT_IN_TIME)
        is_written = not self.ledger.is_busy and self.ledger.claim is None and self.is_resting
        if self.is_ending and is_written and not self.ledger.is_leading:
            self.is_ending, self.epoch = False, None
            if self.state is State.LEADER:
                self._become(State.BACKUP, Reason.LEADS_NO_MORE)

    def _become(self, target: State, reason: Reason) -> None:
        assert reason in LEGAL.get((self.state, target), ()), f"{self.state} to {target}: {reason}"
        self._emit(effects.Transition(self.state, target, reason.value))
        was_leader = self.state is State.LEADER
        self.state = target
        if was_leader:
            self._emit(effects.EndUploads("this node leads no more"))
            self._to_condors(CondorCommand.GIVING_UP_VERSION)

    # --- answers to had ---------------------------------------------------------------------------------------

    def _answer(self) -> None:
        is_starting = False
        for question in tuple(self.questions):
            is_late = self._now >= question.deadline
            answer = answers.answer_to(self, question.asked, is_late=is_late)
            if answer is None:
                continue
            self.questions.remove(question)
            self._emit(answer)
            if answer.good_for_seconds > 0:
                self.prepared = (answer.request, self._now + 2 * answer.good_for_seconds)
                is_starting |= self.is_leading
        if is_starting:
            self._watch()

    def _finish(self) -> None:
        """End when asked to, but not before had has flushed and the others have fetched, while there is time."""
        if self.stops_by is None:
            return
        # A question of how current the state is may never be answered any more: nothing is fetched now.
        is_flushing = any(isinstance(q.asked, events.FlushAsked) for q in self.questions)
        is_busy = self.state is State.LEADER or self.uploads or is_flushing or self.ledger.is_busy
        if self._now >= self.stops_by or not (is_busy or self.is_installing):
            self._is_finished = True
            self._emit(effects.Finished())

    # --- speaking ---------------------------------------------------------------------------------------------

    def _speak(self) -> None:
        """Report to all of ours twice each T and on news, to one that has just been reached at once."""
        said = speech.compose(self)
        is_due = said != self._said or self._now >= self.next_report_at
        if is_due:
            self._said, self.next_report_at = said, self._now + self.settings.report_seconds
        addressees = [m for m, p in self.peers.items() if p.is_ours and (is_due or m in self._replies)]
        self._replies.clear()
        if addressees:
            self._sequence += 1
            size = 0 if self.ledger.held is None else total_bytes(self.ledger.held.files)
            report = attrs.evolve(said, instance=self._instance, sequence=self._sequence, total_bytes=size)
            for member in addressees:
                self._emit(effects.Send(member, report))
        if self._now >= self.next_condor_at:
            self.next_condor_at = self._now + self.settings.condor_interval_seconds
            if self.state is State.LEADER:
                self._to_condors(CondorCommand.LEADER_VERSION)
            self._to_condors(CondorCommand.SOLICIT_VERSION)
        for member, command in condors.due(self):
            self._to_condor(member, command)

    def _to_condors(self, command: CondorCommand) -> None:
        for member, peer in self.peers.items():
            if peer.is_ours is False:
                self._to_condor(member, command)

    def _to_condor(self, member: Member, command: CondorCommand) -> None:
        point = Point(0, 0) if self.version is None else self.version.point
        self._emit(effects.SendCondor(member, command, point, self.state))

    def _emit(self, effect: effects.Effect) -> None:
        self._effects.append(effect)

    def _remark(self, name: str, **fields: str | float | None) -> None:
        self._emit(effects.Remark(name, tuple(fields.items())))
