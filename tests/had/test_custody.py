"""The custody of the state, event by event: when a controllee starts, when a handover ends, what a replica is told."""

import attrs
import pytest

from had.custody import ANSWER_SECONDS, Custody
from had.custody_events import (
    CustodyChanged,
    CustodySettings,
    Deliver,
    EpochKnown,
    HandoverCalledOff,
    Incumbent,
    LookForState,
    MissingState,
    Replica,
    ReplicaAnswered,
    ReplicaFound,
    ReplicaLost,
    StartOnState,
    StartPostponed,
    StateReady,
    StateSeen,
    Tell,
)
from had.custody_waits import RESTART_SECONDS
from had.events import (
    ControlleeExited,
    ControlleeStarted,
    Note,
    PublishEpoch,
    StartControllee,
    StopControllee,
    Tick,
    Transition,
)
from had.replica_words import (
    Currency,
    CurrentAsked,
    FlushAsked,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
    ReplicaAnswer,
    Withdrawn,
)
from had.transitions import Reason, State

T, LIFETIME, STOP = 2.0, 300.0, 10.0
NEXT, OTHER = "127.0.0.2:9620", "127.0.0.3:9620"
REPLICAS = ((NEXT, "127.0.0.2:41450"), (OTHER, "127.0.0.3:41450"))
SETTINGS = CustodySettings(T, LIFETIME, condor_interval_seconds=18.0, replicas=REPLICAS)
CURRENT, STALE, MISSING = Currency.CURRENT, Currency.STALE, Currency.MISSING
REQUESTED = ControlleeExited("requested")


class Desk:
    """A custody and what it has had to say; time goes where a test puts it."""

    def __init__(self, **changes):
        self.custody = Custody(attrs.evolve(SETTINGS, **changes), 1, 0.0)
        self.now = 0.0
        self.last = []

    def take(self, *events, at=None):
        """Hand in events at a time, and return all outcomes."""
        self.now = self.now if at is None else at
        self.last = [outcome for event in events for outcome in self.custody.handle(event, self.now)]
        return self.last

    def wait(self, until):
        """Wake it at each deadline until then, and return all outcomes with their times."""
        found = []
        while self.custody.deadline <= until:
            self.now = self.custody.deadline
            found += [(self.now, outcome) for outcome in self.custody.handle(Tick(), self.now)]
        self.now = until
        self.last = [outcome for _, outcome in found]
        return found

    def said(self, kind):
        """What it told the replica, of that kind, at the last step."""
        return [o.message for o in self.last if isinstance(o, Tell) and isinstance(o.message, kind)]

    def told(self):
        """Everything that it told the replica at the last step."""
        return self.said(object)

    def delivered(self, *ignored):
        """What it told the election at the last step."""
        return [o.event for o in self.last if isinstance(o, Deliver) and not isinstance(o.event, ignored)]

    def found(self, kind):
        """The outcomes of one kind at the last step."""
        return [o for o in self.last if isinstance(o, kind)]

    def notes(self, name):
        """The fields of each note of that name at the last step."""
        return [dict(note.fields) for note in self.found(Note) if note.name == name]

    def asked(self):
        """The number of the one question of the last step."""
        [question] = self.said((CurrentAsked, FlushAsked))
        return question.request

    def answer(self, request, currency=CURRENT, *, at=None, **fields):
        """Let the replica answer."""
        answer = ReplicaAnswer(request, currency, **({"good_for_seconds": T} | fields))
        return self.take(ReplicaAnswered(answer), at=at)

    def become_leader(self, epoch=130):
        """Let the election win and order the start."""
        return self.take(
            Transition(State.ELECTION, State.LEADER, Reason.won_by_answers, epoch),
            PublishEpoch(epoch),
            StartControllee(epoch),
        )

    def lead(self, epoch=130):
        """Let it lead with its controllee running."""
        self.take(ReplicaFound(is_ours=True))
        self.become_leader(epoch)
        self.answer(self.asked())
        self.take(ControlleeStarted(7))
        return self

    def stop(self, reason, successor=NEXT, seconds=STOP):
        """Let the election hand over, and the controllee end."""
        self.take(StopControllee(seconds, reason, successor))
        assert self.found(StopControllee) == [StopControllee(seconds, reason, successor)]
        return self.take(REQUESTED)


# --- starts ---------------------------------------------------------------------------------------------------


def test_a_restart_in_place_waits_a_moment_for_a_replica_that_does_not_answer():
    """A frozen replica keeps no leader without its controllee: what that left is there, and is current."""
    desk = Desk().lead()
    desk.take(ControlleeExited("died"), at=100.0)
    desk.take(StartControllee(130), at=100.0)
    found = desk.wait(100.0 + LIFETIME)
    [(at, look)] = [(at, one) for at, one in found if isinstance(one, LookForState)]
    assert at == 100.0 + RESTART_SECONDS + ANSWER_SECONDS
    desk.take(StateSeen(look.request, is_there=True), at=at + 1.0)
    assert desk.found(StartOnState) == [StartOnState(130, CURRENT)]
    assert desk.said(Withdrawn) and desk.said(LeadershipBegan)


def test_a_start_waits_for_the_replica_which_hears_of_it_first():
    """The replica is asked, and told that this node leads before the order to start goes out."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    [question] = desk.said(CurrentAsked)
    assert (question.incumbent_epoch, question.is_missing_refused) == (None, False)
    assert not desk.found(StartOnState)
    outcomes = desk.answer(question.request, at=0.5)
    began, order = Tell(LeadershipBegan(130)), StartOnState(130, CURRENT)
    assert outcomes.index(began) < outcomes.index(order)
    assert desk.told() == [LeadershipBegan(130)]
    assert desk.custody.currency is CURRENT
    assert desk.notes("state_ready") == [{"epoch": 130, "seconds": 0.5, "text": ""}]


@pytest.mark.parametrize(("came_at", "starts"), [(T - 0.01, True), (T, False)])
def test_an_answer_counts_from_when_it_was_asked_for(came_at, starts):
    """What comes later than it is good for is not believed: the replica is asked once more, at once."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    first = desk.asked()
    desk.answer(first, at=came_at)
    assert bool(desk.found(StartOnState)) is starts
    if not starts:
        assert desk.asked() > first


def test_an_answer_that_is_always_good_needs_no_second_question():
    """A replica that names no time promises that nothing will change."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    desk.answer(desk.asked(), at=100.0, good_for_seconds=0.0)
    assert desk.found(StartOnState)


@pytest.mark.parametrize(("is_there", "currency"), [(True, STALE), (False, MISSING)])
def test_a_replica_that_cannot_be_reached_is_waited_for_for_t(is_there, currency):
    """After T the controllee starts on what stands there, which is called stale, and the log says why."""
    desk = Desk()
    desk.become_leader()
    [(at, look)] = [(at, o) for at, o in desk.wait(10.0) if isinstance(o, LookForState)]
    assert at == T
    desk.take(StateSeen(look.request, is_there))
    assert desk.found(StartOnState) == [StartOnState(130, currency)]
    [note] = desk.notes(f"state_{currency.value}")
    assert note["text"] == "the replica of this node is unreachable"


def test_a_replica_that_is_reached_in_time_is_asked():
    """A look at the file that is under way counts no more once the replica is there."""
    desk = Desk()
    desk.become_leader()
    desk.wait(T)
    [look] = desk.found(LookForState)
    desk.take(ReplicaFound(is_ours=True))
    request = desk.asked()
    desk.take(StateSeen(look.request, is_there=True))
    assert not desk.found(StartOnState)
    desk.answer(request)
    assert desk.found(StartOnState) == [StartOnState(130, CURRENT)]


def test_t_begins_anew_when_the_replica_is_lost():
    """A replica that is restarted while it is waited for gets its T from then, and the same question again."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    first = desk.asked()
    desk.take(ReplicaLost(), at=50.0)
    assert [at for at, o in desk.wait(51.9) if isinstance(o, LookForState)] == []
    desk.take(ReplicaFound(is_ours=True))
    assert desk.asked() > first
    desk.take(ReplicaLost(), at=60.0)
    desk.take(ReplicaLost(), at=61.0)
    assert [at for at, o in desk.wait(70.0) if isinstance(o, LookForState)] == [62.0]


def test_a_reachable_replica_has_its_time_and_no_more():
    """One that never answers is given the lifetime of a transfer and a little for the answer."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    request = desk.asked()
    looks = [(at, o) for at, o in desk.wait(1000.0) if isinstance(o, LookForState)]
    [(at, look)] = looks
    assert at == LIFETIME + ANSWER_SECONDS
    desk.take(StateSeen(look.request, is_there=True))
    assert desk.told() == [Withdrawn(request), LeadershipBegan(130)]
    assert desk.found(StartOnState) == [StartOnState(130, STALE)]


def test_a_wait_is_said_and_does_not_look_like_a_start_that_hangs():
    """The log hears of it after a second and then each ten; the election hears each T/2 that nothing hangs."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    waited = desk.wait(25.0)
    notes = [at for at, o in waited if isinstance(o, Note) and o.name == "state_awaited"]
    assert notes == [1.0, 11.0, 21.0]
    postponed = [at for at, o in waited if o == Deliver(StartPostponed())]
    assert postponed == [float(i) for i in range(1, 26)]
    desk.answer(desk.custody.start.request, good_for_seconds=0.0)
    assert StartPostponed() in desk.delivered()
    assert [o for _, o in desk.wait(60.0) if o == Deliver(StartPostponed())] == []


def test_a_controllee_that_died_on_the_leader_does_not_wait_for_a_lost_replica():
    """It starts again at once, on a state that is as good as it was (P5)."""
    desk = Desk().lead()
    desk.take(ReplicaLost())
    desk.take(ControlleeExited("signalled"))
    assert desk.delivered() == [ControlleeExited("signalled")]
    desk.take(StartControllee(130))
    [look] = desk.found(LookForState)
    desk.take(StateSeen(look.request, is_there=True))
    assert desk.found(StartOnState) == [StartOnState(130, CURRENT)]


def test_what_was_stale_stays_so_at_the_next_start_without_a_replica():
    """A death makes nothing better."""
    desk = Desk()
    desk.become_leader()
    desk.wait(T)
    desk.take(StateSeen(desk.found(LookForState)[0].request, is_there=True))
    desk.take(ControlleeExited("exited"))
    desk.take(StartControllee(130))
    desk.take(StateSeen(desk.found(LookForState)[0].request, is_there=True))
    assert desk.found(StartOnState) == [StartOnState(130, STALE)]


def test_a_start_that_is_taken_back_asks_for_nothing_any_more():
    """The question is withdrawn, and the election hears that the controllee is gone though it never ran."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    request = desk.asked()
    desk.take(StopControllee(STOP, Reason.outranked, NEXT))
    assert desk.told() == [Withdrawn(request)]
    assert desk.delivered() == [ControlleeExited("requested", "it had not been started")]
    assert not desk.found(StopControllee)
    desk.answer(request)
    assert desk.last == []


def test_the_end_of_a_leadership_ends_its_start():
    """Whatever the replica answers later, nothing starts; and the next leadership begins anew."""
    desk = Desk().lead()
    assert desk.custody.currency is CURRENT
    desk.take(ControlleeExited("exited"), StartControllee(130))
    request = desk.asked()
    desk.take(Transition(State.LEADER, State.PASSIVE, Reason.lease_lapsed, 130))
    assert desk.told() == [Withdrawn(request), LeadershipEnded()]
    desk.answer(request)
    assert desk.last == []
    assert desk.custody.currency is CURRENT
    desk.become_leader(386)
    assert desk.custody.currency is None


def test_a_start_that_failed_before_it_began_is_one():
    """A hanging disk ends a start that still waits."""
    desk = Desk()
    desk.become_leader()
    desk.take(ControlleeExited("start_failed", "the disk does not answer"))
    assert desk.delivered() == [ControlleeExited("start_failed", "the disk does not answer")]
    assert not [o for _, o in desk.wait(60.0) if isinstance(o, LookForState)]


def test_a_start_goes_by_the_latest_epoch():
    """An epoch that grew while the replica was waited for is the one that is told and given to the controllee."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    request = desk.asked()
    assert desk.take(PublishEpoch(258)) == [PublishEpoch(258)]
    desk.answer(request)
    assert desk.said(LeadershipBegan) == [LeadershipBegan(258)]
    assert desk.found(StartOnState) == [StartOnState(258, CURRENT)]


@pytest.mark.parametrize(("known_gid", "is_told"), [(130, False), (131, True)])
def test_the_election_learns_under_which_epoch_the_state_was_written(known_gid, is_told):
    """A state from a time that the election's own record has forgotten raises its next epoch."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    desk.answer(desk.asked(), known_gid=known_gid)
    assert (EpochKnown(131) in desk.delivered()) is is_told


# --- no state at all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        (MissingState.START, StartOnState(130, MISSING)),
        (MissingState.DISASTER, StartOnState(130, MISSING, is_disaster=True)),
    ],
)
def test_what_a_winner_without_a_state_does(policy, order):
    """HAD_MISSING_STATE: start on nothing, or start the program for a disaster."""
    desk = Desk(missing_state=policy)
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    desk.answer(desk.asked(), MISSING)
    assert desk.found(StartOnState) == [order]


def test_a_state_is_no_disaster():
    """The program for a disaster runs only where there is no state."""
    desk = Desk(missing_state=MissingState.DISASTER)
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    desk.answer(desk.asked(), STALE)
    assert desk.found(StartOnState) == [StartOnState(130, STALE)]


def test_waiting_ends_when_nobody_has_a_state():
    """HAD_MISSING_STATE = wait: the replica is asked to refuse, is asked again, and a new pool starts."""
    desk = Desk(missing_state=MissingState.WAIT)
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    [question] = desk.said(CurrentAsked)
    assert question.is_missing_refused
    desk.answer(question.request, MISSING)
    assert not desk.found(StartOnState)
    assert desk.custody.deadline == T / 2
    desk.wait(T / 2)
    desk.answer(desk.asked(), MISSING, is_missing_everywhere=True)
    assert desk.found(StartOnState) == [StartOnState(130, MISSING)]


def test_waiting_goes_on_while_the_replica_cannot_be_reached():
    """The place of the state is looked at each T, and what appears there is started on."""
    desk = Desk(missing_state=MissingState.WAIT)
    desk.become_leader()
    for turn in (1, 2, 3):
        desk.wait(turn * T)
        [look] = desk.found(LookForState)
        desk.take(StateSeen(look.request, is_there=False))
        assert not desk.found(StartOnState)
    desk.wait(4 * T)
    desk.take(StateSeen(desk.found(LookForState)[0].request, is_there=True))
    assert desk.found(StartOnState) == [StartOnState(130, STALE)]


def test_who_ran_without_a_state_may_go_on_so():
    """A controllee that died before it wrote anything is not made to wait for what it had not."""
    desk = Desk(missing_state=MissingState.WAIT)
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    desk.answer(desk.asked(), MISSING, is_missing_everywhere=True)
    desk.take(ControlleeExited("exited"))
    desk.take(StartControllee(130))
    [question] = desk.said(CurrentAsked)
    assert not question.is_missing_refused
    desk.answer(question.request, MISSING)
    assert desk.found(StartOnState) == [StartOnState(130, MISSING)]


# --- handing over ---------------------------------------------------------------------------------------------


def test_a_handover_ends_when_the_last_version_is_where_it_must_be():
    """The election hears of the exit only after the flush to the successor's replica."""
    desk = Desk().lead()
    desk.stop(Reason.switchover)
    [question] = desk.said(FlushAsked)
    assert question == FlushAsked(question.request, STOP, "127.0.0.2:41450")
    assert desk.delivered() == []
    desk.answer(question.request, at=0.25)
    assert desk.delivered() == [REQUESTED]
    assert desk.notes("state_flushed") == [{"peer": NEXT, "seconds": 0.25}]
    assert desk.wait(100.0) == [] or desk.found(Deliver) == []


@pytest.mark.parametrize(
    "stop",
    [
        StopControllee(STOP, Reason.outranked, NEXT),
        StopControllee(STOP, Reason.isolated, None),
        StopControllee(0.0, Reason.lease_lapsed, None),
        StopControllee(0.0, Reason.shutdown, NEXT),
        StopControllee(STOP),
    ],
)
def test_who_is_not_waited_for_flushes_nothing(stop):
    """Beside another leader, in haste, and before a restart in place the exit is passed on at once."""
    desk = Desk().lead()
    desk.take(stop)
    desk.take(REQUESTED)
    assert desk.delivered() == [REQUESTED]
    assert desk.told() == []


@pytest.mark.parametrize("reason", [Reason.switchover, Reason.primary_returned])
def test_a_healthy_leader_calls_off_what_would_lose_something(reason):
    """It goes on leading and starts its controllee again; the replica is asked anew and told that it began."""
    desk = Desk().lead()
    desk.stop(reason)
    desk.answer(desk.asked(), is_complete=False, behind=("127.0.0.2:41450",), text="not all of it")
    assert desk.delivered() == [HandoverCalledOff("not all of it")]
    assert desk.notes("flush_incomplete") == [
        {"peer": NEXT, "behind": "127.0.0.2:41450", "text": "not all of it"}
    ]
    desk.take(StartControllee(130))
    desk.answer(desk.asked())
    assert desk.said(LeadershipBegan) == [LeadershipBegan(130)]
    assert desk.found(StartOnState) == [StartOnState(130, CURRENT)]


@pytest.mark.parametrize("reason", [Reason.shutdown, Reason.controllee_failed])
def test_who_cannot_go_on_says_what_was_lost(reason):
    """The handover completes, and the log names who lacks the last version."""
    desk = Desk().lead()
    desk.stop(reason)
    desk.answer(desk.asked(), is_complete=False, behind=("127.0.0.2:41450",), text="not all of it")
    assert desk.delivered() == [REQUESTED]
    assert desk.notes("flush_incomplete")


def test_a_flush_that_is_not_answered_is_over_with_the_stops_time():
    """A reachable replica has as long as the stop, and a little for the answer; then it is not asked any more."""
    desk = Desk().lead()
    desk.stop(Reason.shutdown)
    request = desk.asked()
    exits = [at for at, o in desk.wait(60.0) if o == Deliver(REQUESTED)]
    assert exits == [STOP + ANSWER_SECONDS]
    assert Withdrawn(request) in desk.told()
    assert desk.notes("flush_incomplete")[0]["text"] == "the replica of this node is ours"


@pytest.mark.parametrize(("seconds", "ends_at"), [(STOP, T), (1.0, 1.0)])
def test_a_replica_that_cannot_be_reached_holds_no_handover_up_for_long(seconds, ends_at):
    """It has T to come back, and never more than the stop might have taken."""
    desk = Desk().lead()
    desk.take(ReplicaLost())
    desk.stop(Reason.shutdown, seconds=seconds)
    assert [at for at, o in desk.wait(60.0) if o == Deliver(REQUESTED)] == [ends_at]


def test_a_replica_that_comes_back_is_asked_to_flush_in_what_time_is_left():
    """The question is put again on the new connection, after the word that this node still leads."""
    desk = Desk().lead()
    desk.stop(Reason.switchover)
    first = desk.asked()
    desk.take(ReplicaLost(), at=3.0)
    desk.take(ReplicaFound(is_ours=True), at=4.0)
    [confirmed, question] = desk.told()
    assert confirmed == LeadershipConfirmed(130)
    assert question.request > first
    assert question.timeout_seconds == STOP - 4.0
    desk.answer(question.request)
    assert desk.delivered() == [REQUESTED]


def test_a_shutdown_during_a_switchover_goes_to_whom_it_names():
    """The flush begins anew for another successor, in the time of the first stop; it cannot be called off any more."""
    desk = Desk().lead()
    desk.stop(Reason.switchover)
    first = desk.asked()
    desk.take(StopControllee(STOP, Reason.shutdown, OTHER), at=2.0)
    [question] = desk.said(FlushAsked)
    assert desk.said(Withdrawn) == [Withdrawn(first)]
    assert (question.timeout_seconds, question.successor) == (STOP - 2.0, "127.0.0.3:41450")
    desk.answer(question.request, is_complete=False, text="no")
    assert desk.delivered() == [REQUESTED]


def test_a_shutdown_to_the_same_successor_goes_on_with_the_flush():
    """Nothing is asked twice."""
    desk = Desk().lead()
    desk.stop(Reason.switchover)
    desk.take(StopControllee(STOP, Reason.shutdown, NEXT))
    assert desk.told() == []
    assert desk.delivered() == []


def test_a_fast_stop_waits_for_no_flush():
    """SIGQUIT while the state is being handed on ends the wait."""
    desk = Desk().lead()
    desk.stop(Reason.shutdown)
    request = desk.asked()
    desk.take(StopControllee(0.0, Reason.shutdown, NEXT))
    assert desk.told() == [Withdrawn(request)]
    assert desk.delivered() == [REQUESTED]


def test_a_controllee_that_was_gone_before_the_handover_leaves_something_to_flush():
    """The last words of one that died are handed on too (P5: the next node has it)."""
    desk = Desk().lead()
    desk.take(ControlleeExited("signalled"))
    desk.take(StopControllee(STOP, Reason.controllee_failed, NEXT))
    assert desk.said(FlushAsked)
    assert desk.delivered() == []


def test_a_leadership_that_never_ran_anything_has_nothing_to_flush():
    """A handover before the first start ends at once."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    desk.take(StopControllee(STOP, Reason.switchover, NEXT))
    assert desk.said(FlushAsked) == []
    assert desk.delivered() == [ControlleeExited("requested", "it had not been started")]


def test_a_successor_whose_replica_nobody_knows_stands_for_all():
    """The flush then goes to every replica that is heard."""
    desk = Desk().lead()
    desk.stop(Reason.shutdown, "10.9.9.9:9620")
    assert desk.said(FlushAsked)[0].successor is None


# --- words to the replica -------------------------------------------------------------------------------------


def test_the_replica_hears_each_half_t_whether_this_node_leads():
    """`ended` while it does not, nothing while it waits for an answer, `confirmed` while it does, `ended` after."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    assert desk.told() == [LeadershipEnded()]
    assert [(at, o.message) for at, o in desk.wait(2.5)] == [
        (1.0, LeadershipEnded()),
        (2.0, LeadershipEnded()),
    ]
    desk.become_leader()
    request = desk.asked()
    assert [o for _, o in desk.wait(4.5) if isinstance(o, Tell)] == []
    desk.answer(request, good_for_seconds=0.0)
    assert [(at, o.message) for at, o in desk.wait(6.6)] == [
        (5.5, LeadershipConfirmed(130)),
        (6.5, LeadershipConfirmed(130)),
    ]
    change = Transition(State.LEADER, State.PASSIVE, Reason.outranked, 130)
    assert desk.take(change)[:2] == [change, Tell(LeadershipEnded())]
    assert [at for at, _ in desk.wait(9.0)] == [7.6, 8.6]


def test_a_replica_that_restarts_hears_at_once_that_this_node_leads():
    """It missed the beginning."""
    desk = Desk().lead()
    desk.take(ReplicaLost())
    desk.take(ReplicaFound(is_ours=True))
    assert desk.told() == [LeadershipConfirmed(130)]


def test_a_replica_that_restarts_during_a_start_hears_that_no_controllee_runs_yet():
    """Then it may install what it finds, and is asked again."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.become_leader()
    desk.take(ReplicaLost())
    desk.take(ReplicaFound(is_ours=True))
    ended, question = desk.told()
    assert ended == LeadershipEnded()
    assert isinstance(question, CurrentAsked)


def test_a_later_epoch_of_the_same_leadership_is_confirmed_at_once():
    """The history branches there too."""
    desk = Desk().lead()
    assert desk.take(PublishEpoch(258), at=0.1) == [PublishEpoch(258), Tell(LeadershipConfirmed(258))]


def test_nothing_is_said_to_nobody():
    """Without a connection the custody is silent, and asks for no wake-up but its own."""
    desk = Desk()
    assert desk.custody.deadline == float("inf")
    desk.take(ReplicaLost(), at=1.0)
    assert desk.last == []


# --- readiness ------------------------------------------------------------------------------------------------


def test_a_follower_is_ready_when_its_state_is_as_new_as_the_leaders():
    """The replica is asked with the leader's epoch and takes as long as it takes; a newer leader is another question."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.take(Incumbent(257))
    [question] = desk.said(CurrentAsked)
    assert question.incumbent_epoch == 257
    assert [o for _, o in desk.wait(1000.0) if isinstance(o, Deliver)] == []
    desk.answer(question.request, good_for_seconds=0.0)
    assert desk.delivered() == [StateReady(is_ready=True)]
    desk.take(Incumbent(385))
    assert desk.delivered() == [StateReady(is_ready=False)]
    assert desk.said(CurrentAsked)[0].incumbent_epoch == 385


def test_a_stale_answer_is_not_good_enough():
    """It is asked for again after T/2."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.take(Incumbent(257))
    desk.answer(desk.asked(), STALE)
    assert desk.delivered() == []
    assert [at for at, o in desk.wait(1.5) if isinstance(o.message, CurrentAsked)] == [T / 2]


def test_a_question_about_a_leader_that_is_gone_is_withdrawn():
    """And the last word stands while nobody leads."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.take(Incumbent(257))
    request = desk.asked()
    desk.take(Incumbent(None))
    assert desk.told() == [Withdrawn(request)]
    desk.take(Incumbent(385))
    desk.answer(desk.asked())
    desk.take(Incumbent(None))
    assert desk.delivered() == []
    assert desk.custody.readiness.is_ready


def test_nobody_is_ready_without_a_replica():
    """A connection that ends takes readiness with it; the next one begins with the question."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.take(Incumbent(257))
    desk.answer(desk.asked())
    desk.take(ReplicaLost())
    assert desk.delivered() == [StateReady(is_ready=False)]
    desk.take(ReplicaFound(is_ours=True))
    assert desk.delivered() == []
    assert desk.asked()


def test_a_leader_is_ready_while_its_replica_answers():
    """What its controllee writes can be handed on then."""
    desk = Desk()
    desk.become_leader()
    assert StateReady(is_ready=True) not in desk.delivered()
    desk.take(ReplicaFound(is_ours=True))
    assert StateReady(is_ready=True) in desk.delivered()
    desk.take(ReplicaLost())
    assert StateReady(is_ready=False) in desk.delivered()


def test_a_leader_asks_nothing_about_incumbents():
    """Its own rise ends the question that it had."""
    desk = Desk()
    desk.take(ReplicaFound(is_ours=True))
    desk.take(Incumbent(257))
    request = desk.asked()
    desk.take(Transition(State.PASSIVE, State.LEADER, Reason.handed_over, 386))
    assert desk.told() == [Withdrawn(request)]
    assert desk.delivered() == [StateReady(is_ready=True)]


# --- a real condor_replication ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_there", "currency"), [(True, CURRENT), (False, MISSING)])
@pytest.mark.parametrize("policy", [MissingState.START, MissingState.WAIT])
def test_nothing_is_awaited_of_a_real_replication(is_there, currency, policy):
    """The controllee starts on what stands there; the beginning is told once, then each of HTCondor's intervals."""
    desk = Desk(missing_state=policy)
    desk.take(ReplicaFound(is_ours=False))
    assert desk.delivered() == [StateReady(is_ready=True)]
    assert desk.notes("readiness") == [{"ready": True}]
    desk.become_leader()
    [look] = desk.found(LookForState)
    desk.take(StateSeen(look.request, is_there))
    assert desk.told() == [LeadershipBegan(130)]
    assert desk.found(StartOnState) == [StartOnState(130, currency)]
    assert [(at, o.message) for at, o in desk.wait(40.0)] == [
        (18.0, LeadershipConfirmed(130)),
        (36.0, LeadershipConfirmed(130)),
    ]
    desk.take(ControlleeExited("exited"))
    desk.take(StartControllee(130))
    desk.take(StateSeen(desk.found(LookForState)[0].request, is_there))
    assert desk.told() == []
    desk.stop(Reason.switchover)
    assert desk.delivered() == [REQUESTED]
    desk.take(Transition(State.LEADER, State.PASSIVE, Reason.switchover, 130))
    assert desk.told() == [LeadershipEnded()]
    assert desk.wait(200.0) == []


# --- the rest ---------------------------------------------------------------------------------------------------


def test_a_start_of_the_controllee_is_passed_on():
    """The election hears of it as if nobody stood between."""
    assert Desk().take(ControlleeStarted(7)) == [Deliver(ControlleeStarted(7))]


def test_new_settings_count_from_now_on():
    """A longer T moves the end of a wait that is under way."""
    desk = Desk()
    desk.become_leader()
    desk.take(CustodyChanged(attrs.evolve(SETTINGS, timeout_seconds=7.0)))
    assert [at for at, o in desk.wait(60.0) if isinstance(o, LookForState)] == [7.0]


def test_no_number_of_a_question_comes_twice():
    """Each life of the daemon has numbers of its own, so that no answer is taken for another's."""
    first, second = (Custody(SETTINGS, instance, 0.0) for instance in (1, 2))
    numbers = []
    for custody in (first, second):
        custody.handle(ReplicaFound(is_ours=True), 0.0)
        for epoch in range(1, 50):
            outcomes = custody.handle(Incumbent(epoch * 128), 0.0)
            numbers += [o.message.request for o in outcomes if isinstance(o.message, CurrentAsked)]
    assert len(numbers) == len(set(numbers)) == 98
    assert all(isinstance(number, int) for number in numbers)


def test_the_custody_knows_what_answers():
    """It says so to whoever asks for the status."""
    desk = Desk()
    assert desk.custody.replica is Replica.UNREACHABLE
    desk.take(ReplicaFound(is_ours=False))
    assert desk.custody.replica is Replica.CONDOR
