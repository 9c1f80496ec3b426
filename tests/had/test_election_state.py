"""What the state of the controllee means for the election: who is ready, what is called off, what restarts."""

import attrs
import pytest

from had.custody_events import EpochKnown, HandoverCalledOff, StartPostponed, StateReady
from had.election import Election
from had.events import (
    Answer,
    ControlleeExited,
    ControlleeStarted,
    Heard,
    Linked,
    Note,
    Persist,
    Persisted,
    Record,
    RestartRequested,
    Send,
    StartControllee,
    StopControllee,
    StopRequested,
    SwitchoverRequested,
    Tick,
    Transition,
)
from had.ledger import MAXIMUM_EPOCH_JUMP
from had.pool import is_ready
from had.transitions import Reason, Run, State
from tests.had.speakers import SETTINGS, A, B, C, T, said, saw

PRIMARY = attrs.evolve(SETTINGS, use_primary=True, has_replica=True)


class Stage:
    """A node whose disk answers at once; everything it ordered is kept."""

    def __init__(self, settings=PRIMARY, members=(A, C)):
        self.election = Election(settings, Record(), 1, 0.0)
        self.now = 0.0
        self.sequence = 0
        self.effects = []
        self.take(Tick())
        for member in members:
            self.take(Linked(member, is_ours=True))

    def take(self, *events, after=0.0):
        """Hand in events after a while, and return the effects."""
        self.now += after
        self.effects = []
        waiting = list(events)
        while waiting:
            effects = self.election.handle(waiting.pop(0), self.now)
            waiting += [Persisted(e.record) for e in effects if isinstance(e, Persist)]
            self.effects += effects
        return self.effects

    def hear(self, member, state=State.PASSIVE, *, after=0.0, **fields):
        """Let a member speak."""
        self.sequence += 1
        fields = {"sightings": (saw(B),)} | fields
        return self.take(Heard(said(member, state, sequence=self.sequence, **fields)), after=after)

    def let_pass(self, seconds):
        """Wake it at its deadlines for a while, and return all effects."""
        end, effects = self.now + seconds, []
        while self.election.deadline <= end:
            effects += self.take(Tick(), after=self.election.deadline - self.now)
        effects += self.take(Tick(), after=end - self.now)
        self.effects = effects
        return effects

    def until(self, state):
        """Wake it at its deadlines until it is in that state."""
        while self.election.state is not state:
            self.take(Tick(), after=self.election.deadline - self.now)
            assert self.now < 100.0
        return self

    def found(self, kind):
        """The effects of one kind of the last step."""
        return [e for e in self.effects if isinstance(e, kind)]

    def answer(self):
        """What the operator hears."""
        [answer] = self.found(Answer)
        return answer

    def note(self, name):
        """The fields of the one note of that name."""
        [note] = [e for e in self.found(Note) if e.name == name]
        return dict(note.fields)

    def spoken(self):
        """The last message that it sent."""
        return self.found(Send)[-1].message


def leader(settings=PRIMARY):
    """B leads alone, its controllee runs, and its replica answers."""
    stage = Stage(settings, members=()).until(State.LEADER)
    stage.take(ControlleeStarted(7), StateReady(is_ready=True))
    stage.take(Linked(A, is_ours=True))
    stage.take(Linked(C, is_ours=True))
    return stage


def switchover(to=C):
    """An operator's wish."""
    return SwitchoverRequested(5, to, "ann", "why", 0.0)


# --- readiness ------------------------------------------------------------------------------------------------


def follower():
    """B is the primary and hears C lead."""
    settings = attrs.evolve(PRIMARY, members=(B, A, C))
    stage = Stage(settings)
    stage.hear(C, State.LEADER, epoch=128, rank_id=0)
    return stage


def test_a_primary_without_all_of_the_state_asks_for_nothing():
    """Only when its replica is up to date does it say that it wants leadership, and says so at once (P6)."""
    stage = follower()
    stage.hear(C, State.LEADER, epoch=128, rank_id=0, after=T / 2)
    assert (stage.spoken().wants, stage.spoken().is_ready) == (False, False)
    stage.take(StateReady(is_ready=True))
    assert (stage.spoken().wants, stage.spoken().is_ready) == (True, True)
    stage.take(StateReady(is_ready=False))
    assert stage.spoken().wants is False


def test_the_same_word_again_is_no_news():
    """Nobody is told what they know."""
    stage = follower()
    stage.take(StateReady(is_ready=True))
    stage.take(StateReady(is_ready=True))
    assert stage.found(Send) == []


def test_who_lacks_something_leads_all_the_same_when_nobody_else_does():
    """Without a leader a node is a candidate whatever it holds."""
    stage = Stage(members=()).until(State.LEADER)
    assert stage.election.is_ready is False


def test_without_a_replica_every_node_is_ready():
    """What no replica looks after cannot be behind."""
    assert Election(SETTINGS, Record(), 1, 0.0).is_ready is True


def test_a_leader_whose_replica_is_lost_lets_the_primary_wait():
    """It would have to stop, and could not hand on what was written last; when it can again, it does."""
    stage = leader()
    stage.take(StateReady(is_ready=False))
    stage.hear(A, rank_id=2, wants=True)
    assert stage.election.handing_over is None
    stage.take(StateReady(is_ready=True))
    assert stage.election.handing_over is Reason.primary_returned
    assert stage.found(StopControllee) == [StopControllee(10.0, Reason.primary_returned, A)]


@pytest.mark.parametrize(
    ("is_mine_ready", "is_theirs_ready", "objection"),
    [
        (True, True, None),
        (True, False, "the replica of 127.0.0.3:9620 is not up to date yet"),
        (False, True, "the replica of this node does not answer"),
    ],
)
@pytest.mark.parametrize("to", [C, None])
def test_a_switchover_that_would_lose_something_is_refused(is_mine_ready, is_theirs_ready, objection, to):
    """Both ends have to be ready, and the answer says which is not."""
    stage = leader()
    stage.take(StateReady(is_mine_ready))
    stage.hear(C, is_ready=is_theirs_ready)
    stage.take(switchover(to))
    assert stage.answer().is_accepted is (objection is None)
    assert (objection or "handing over") in stage.answer().text


def test_a_stopping_leader_names_a_ready_successor_before_a_better_one():
    """The one that can start at once is named; without any the best one is."""
    stage = leader()
    stage.hear(A, is_ready=False)
    stage.hear(C)
    stage.take(StopRequested())
    assert stage.found(StopControllee) == [StopControllee(10.0, Reason.shutdown, C)]
    assert not is_ready(stage.election.peers, A)


# --- a handover that is called off ------------------------------------------------------------------------------


def handing_over(event, **fields):
    """B leads, and hands over after this event; C was heard."""
    stage = leader(**fields)
    stage.hear(A, is_ready=True)
    stage.hear(C)
    stage.take(event)
    assert stage.election.run is Run.STOPPING
    return stage


def test_a_leader_goes_on_when_its_handover_is_called_off():
    """It starts its controllee again at once, names no successor any more, and says why."""
    stage = handing_over(switchover())
    stage.take(HandoverCalledOff("not all of it"))
    assert stage.election.state is State.LEADER
    assert stage.found(StartControllee)
    assert stage.found(Transition) == []
    assert (stage.spoken().successor, stage.spoken().is_yielding) == (None, False)
    note = stage.note("handover_called_off")
    assert note == {"reason": "switchover", "peer": C, "text": "not all of it"}


def test_a_switchover_that_was_called_off_leaves_no_hold_behind():
    """The primary goes on leading and is held back by nothing."""
    stage = leader(attrs.evolve(PRIMARY, members=(B, A, C)))
    stage.hear(C)
    stage.take(switchover())
    assert stage.election.hold is not None
    stage.take(HandoverCalledOff("no"))
    assert stage.election.hold is None


def test_a_primary_waits_before_the_next_try():
    """Nine seconds and one after the first time; a switchover is not kept waiting."""
    stage = leader()
    stage.hear(A, rank_id=2, wants=True)
    stage.take(HandoverCalledOff("no"))
    stage.take(ControlleeStarted(8))
    called_off_at = stage.now
    while stage.election.handing_over is None:
        stage.hear(A, rank_id=2, wants=True, after=0.5)
        assert stage.now < 50.0
    assert stage.now == pytest.approx(called_off_at + 10.0, abs=0.51)
    other = leader()
    other.hear(A, rank_id=2, wants=True)
    other.take(HandoverCalledOff("no"))
    other.take(ControlleeStarted(8))
    other.hear(C)
    other.take(switchover())
    assert other.answer().is_accepted


def test_nobody_goes_on_beside_another_leader():
    """Its controllee may run by now: then the handover completes, with what it loses."""
    stage = handing_over(switchover())
    stage.hear(A, State.LEADER, epoch=258)
    stage.take(HandoverCalledOff("no"))
    assert stage.election.state is State.PASSIVE
    assert [t.reason for t in stage.found(Transition)] == [Reason.switchover]
    assert stage.found(StartControllee) == []


def test_nobody_goes_on_after_having_stood_still():
    """Who slept does not know who leads by now."""
    stage = handing_over(switchover())
    stage.take(HandoverCalledOff("no"), after=3 * T)
    assert stage.election.state is State.PASSIVE
    assert [t.reason for t in stage.found(Transition)] == [Reason.switchover]


def test_a_shutdown_cannot_be_called_off():
    """Asked to stop while it handed over, the node stops."""
    stage = handing_over(switchover())
    stage.take(StopRequested())
    stage.take(HandoverCalledOff("no"))
    assert stage.election.deadline is None


def test_a_controllee_that_is_gone_already_is_stopped_where_a_replica_keeps_the_state():
    """So that the custody can hand on what it wrote last; without a replica the handover is over at once."""
    settings = attrs.evolve(PRIMARY, backoff_constant_seconds=1000.0)
    for has_replica in (True, False):
        stage = leader(attrs.evolve(settings, has_replica=has_replica))
        for _ in range(2):
            stage.take(ControlleeExited("exited"))
        stage.hear(C)
        stops = [StopControllee(10.0, Reason.controllee_failed, C)] if has_replica else []
        assert stage.found(StopControllee) == stops
        assert (stage.election.state is State.LEADER) is has_replica
        stage.take(ControlleeExited("requested"))
        assert stage.election.state is State.PASSIVE


# --- starts and restarts ----------------------------------------------------------------------------------------


def test_a_start_that_waits_for_the_state_does_not_hang():
    """Its time counts from the last word that it has not begun."""
    stage = leader()
    stage.take(ControlleeExited("exited"))
    assert stage.election.run is Run.STARTING
    for _ in range(30):
        stage.let_pass(1.0)
        assert stage.found(StopControllee) == []
        stage.take(StartPostponed())
    stage.let_pass(9.9)
    assert stage.found(StopControllee) == []
    stage.let_pass(0.2)
    assert stage.found(StopControllee) == [StopControllee(0.0)]


def test_a_word_about_a_start_means_nothing_to_a_controllee_that_runs():
    """The length of its life is not touched."""
    stage = leader()
    since = stage.election.run_since
    stage.take(StartPostponed(), after=1.0)
    assert stage.election.run_since == since


def test_an_operator_restarts_the_controllee_where_it_runs():
    """Stop and start under the same epoch; no leadership changes, and no death is counted."""
    stage = leader()
    epoch = stage.election.leadership_epoch
    stage.take(RestartRequested(9))
    assert stage.answer() == Answer(9, is_accepted=True, text="the controllee is being restarted")
    assert stage.found(StopControllee) == [StopControllee(10.0)]
    stage.take(ControlleeExited("requested"))
    assert stage.found(StartControllee) == [StartControllee(epoch)]
    assert stage.election.fitness.quick_deaths == 0
    assert stage.election.state is State.LEADER


def test_a_restart_is_refused_where_nothing_runs():
    """By a follower, by a leader that starts, and by one that hands over."""
    stage = follower()
    stage.take(RestartRequested(9))
    assert stage.answer() == Answer(9, False, f"this node does not lead; the leader is {C}")
    stage = leader()
    stage.take(RestartRequested(9))
    stage.take(RestartRequested(10))
    assert stage.answer() == Answer(10, False, "the controllee does not run at this moment; try again")
    stage = handing_over(switchover())
    stage.take(RestartRequested(9))
    assert stage.answer().is_accepted is False


def test_a_handover_during_a_restart_goes_before_it():
    """The controllee does not come back here."""
    stage = leader()
    stage.hear(C)
    stage.take(RestartRequested(9))
    stage.take(StopRequested())
    stage.take(ControlleeExited("requested"))
    assert stage.found(StartControllee) == []


@pytest.mark.parametrize(
    ("epoch", "is_learnt"),
    [
        (3 * 128 + 2, True),
        (3 * 128 + 3, False),
        (MAXIMUM_EPOCH_JUMP + 10 * 128, False),
    ],
)
def test_the_epoch_of_the_state_is_learnt_if_a_member_can_have_made_it(epoch, is_learnt):
    """The leader then takes one above it; HTCondor's numbers are drawn at random and say nothing."""
    stage = leader()
    before = stage.election.leadership_epoch
    stage.take(EpochKnown(epoch))
    after = stage.election.leadership_epoch
    assert (after > epoch) if is_learnt else (after == before)
