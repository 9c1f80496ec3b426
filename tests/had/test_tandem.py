"""The election and the custody driven as one: what passes between them within a turn."""

import attrs

from had.custody import Custody
from had.custody_events import (
    CustodySettings,
    LookForState,
    ReplicaAnswered,
    ReplicaFound,
    StartOnState,
    Tell,
)
from had.election import Election
from had.events import (
    ControlleeExited,
    ControlleeStarted,
    Finished,
    Heard,
    Linked,
    Persist,
    Persisted,
    Record,
    RenewLease,
    Send,
    StartControllee,
    StopControllee,
    StopRequested,
    Tick,
    Transition,
)
from had.replica_words import (
    Currency,
    CurrentAsked,
    FlushAsked,
    LeadershipBegan,
    LeadershipEnded,
    ReplicaAnswer,
)
from had.tandem import Tandem
from had.transitions import State
from tests.had.speakers import SETTINGS, A, C, T, said

REPLICA = attrs.evolve(SETTINGS, has_replica=True)


class Stage:
    """Both machines of B; the disk answers at once."""

    def __init__(self):
        self.tandem = Tandem(Election(REPLICA, Record(), 1, 0.0), Custody(CustodySettings(T), 1, 0.0))
        self.now = 0.0
        self.acts = self.take(Tick())

    def take(self, *events, after=0.0):
        """Hand in events, and return the acts."""
        self.now += after
        self.acts = []
        for event in events:
            acts = self.tandem.handle(event, self.now)
            self.acts += acts
            for act in acts:
                if isinstance(act, Persist):
                    self.acts += self.tandem.handle(Persisted(act.record), self.now)
        return self.acts

    def wait(self, until):
        """Wake it at its deadlines until something is so, and return all acts."""
        acts = []
        while not until():
            assert self.now < 60.0
            acts += self.take(Tick(), after=self.tandem.deadline - self.now)
        return acts

    def said(self, kind):
        """What was said to the replica."""
        return [a.message for a in self.acts if isinstance(a, Tell) and isinstance(a.message, kind)]

    def found(self, kind):
        """The acts of one kind of the last step."""
        return [a for a in self.acts if isinstance(a, kind)]

    def answer(self, kind):
        """Let the replica answer the question of the last step."""
        [question] = self.said(kind)
        return self.take(ReplicaAnswered(ReplicaAnswer(question.request, Currency.CURRENT)))


def leader():
    """B leads and its controllee runs."""
    stage = Stage()
    stage.take(ReplicaFound(is_ours=True))
    stage.acts = stage.wait(lambda: stage.tandem.election.state is State.LEADER)
    stage.answer(CurrentAsked)
    assert stage.found(StartOnState)
    stage.take(ControlleeStarted(7))
    return stage


def test_the_drivers_orders_are_those_of_the_custody():
    """The election's own order to start never reaches the driver; lease and transition do, before the start."""
    stage = Stage()
    stage.take(ReplicaFound(is_ours=True))
    acts = stage.wait(lambda: stage.tandem.election.state is State.LEADER)
    assert not [a for a in acts if isinstance(a, (StartControllee, StartOnState))]
    changes = [a.target if isinstance(a, Transition) else a for a in acts]
    assert changes.index(State.LEADER) < next(i for i, a in enumerate(acts) if isinstance(a, RenewLease))
    stage.acts = acts
    stage.answer(CurrentAsked)
    assert stage.said(LeadershipBegan)
    assert [order.currency for order in stage.found(StartOnState)] == [Currency.CURRENT]


def test_a_leader_that_ends_flushes_first_and_then_says_that_it_is_over():
    """Stop, exit, flush, then the change of state and the end of the daemon, in one turn with the answer."""
    stage = leader()
    stage.take(Linked(C, is_ours=True))
    stage.take(Heard(said(C)))
    stage.take(StopRequested())
    assert stage.found(StopControllee)
    stage.take(ControlleeExited("requested"))
    assert stage.found(Transition) == []
    stage.answer(FlushAsked)
    assert [t.target for t in stage.found(Transition)] == [State.PASSIVE]
    assert stage.said(LeadershipEnded) == [LeadershipEnded()]
    assert stage.found(Finished)
    assert stage.tandem.deadline is None


def test_the_custody_learns_who_serves_in_the_turn_in_which_the_election_does():
    """A leader that is heard is asked about at once, with its epoch; a later epoch is another question."""
    stage = Stage()
    stage.take(ReplicaFound(is_ours=True))
    for sequence, epoch in ((1, 130), (2, 258)):
        stage.take(Heard(said(A, State.LEADER, epoch=epoch, sequence=sequence)))
        assert [q.incumbent_epoch for q in stage.said(CurrentAsked)] == [epoch]
    stage.take(Heard(said(A, State.LEADER, epoch=258, sequence=3)))
    assert stage.said(CurrentAsked) == []


def test_readiness_is_spoken_of_in_the_turn_in_which_it_comes():
    """The answer of the replica makes a heartbeat."""
    stage = Stage()
    stage.take(ReplicaFound(is_ours=True))
    stage.take(Linked(A, is_ours=True))
    stage.take(Heard(said(A, State.LEADER, epoch=130)))
    stage.answer(CurrentAsked)
    assert stage.found(Send)[-1].message.is_ready


def test_a_wake_up_is_for_whoever_asked_for_it():
    """The deadline is the earlier of the two; the other machine sleeps on."""
    stage = leader()
    custody, election = stage.tandem.custody, stage.tandem.election
    for _ in range(40):
        assert stage.tandem.deadline == min(custody.deadline, election.deadline)
        before = (custody.deadline, election.deadline)
        is_custodys = before[0] < before[1]
        stage.take(Tick(), after=stage.tandem.deadline - stage.now)
        assert (election.deadline == before[1]) is is_custodys or before[0] == before[1]
        assert stage.tandem.deadline > stage.now


def test_a_lost_replica_does_not_keep_the_pool_without_a_controllee():
    """After T the look at the file is ordered, by the custody's own deadline."""
    stage = Stage()
    stage.wait(lambda: stage.tandem.election.state is State.LEADER)
    won_at = stage.now
    stage.wait(lambda: bool(stage.found(LookForState)))
    assert stage.now == won_at + T
