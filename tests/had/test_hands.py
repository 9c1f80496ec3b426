"""The effects become messages, writes and orders, and the controllee never reads an older epoch than its own.

The disk, the writer's thread and the files are real; the controllee, the links and the observer write down what they
are asked.
"""

import os
import threading

import pytest
import trio
import trio.testing

from daemoncore.durable import SlotStore
from daemoncore.patient_writer import PATIENCE_SECONDS
from had import record_file
from had.custody_events import LookForState, StartOnState, StateSeen, Tell
from had.events import (
    Answer,
    ControlleeExited,
    Directive,
    Finished,
    Kind,
    Note,
    Pause,
    Persist,
    Persisted,
    PersistFailed,
    PublishEpoch,
    Record,
    RenewLease,
    Send,
    StartControllee,
    StopControllee,
    Transition,
)
from had.hands import Hands
from had.replica_words import Currency, LeadershipBegan, LeadershipEnded
from had.transitions import Reason, State
from tests.had.speakers import A, said

ENVIRONMENT = {"HAD_NODE": A}


class Written:
    """Stands where the controllee, the links and the observer do, and keeps what it was told."""

    def __init__(self, epoch_file):
        self.told = []
        self.epoch_file = epoch_file

    def published(self):
        """What HAD_EPOCH_FILE says at this moment."""
        return self.epoch_file.read_text() if self.epoch_file.exists() else None

    def start(self, environment, *, is_disaster):
        """The controllee's start, with what it would read then."""
        disaster = ("disaster",) if is_disaster else ()
        state = (environment["HAD_STATE"],) if environment["HAD_STATE"] else ()
        self.told.append(("start", environment["HAD_EPOCH"], self.published(), *state, *disaster))

    def say(self, message):
        """A word to the replica."""
        self.told.append(message)

    def stop(self, timeout_seconds):
        """The controllee's stop."""
        self.told.append(("stop", timeout_seconds))

    def renew(self, until):
        """The controllee's lease."""
        self.told.append(("renew", until))

    def send(self, to, message, kind):
        """A message to a peer."""
        self.told.append(("send", to, message, kind))

    def transition(self, transition):
        """A transition."""
        self.told.append(transition)

    def note(self, note):
        """A note."""
        self.told.append(note)

    def controllee_wanted(self, *, is_wanted):
        """Whether the controllee should run."""
        self.told.append(("wanted", is_wanted))

    def lease_renewed(self, until):
        """The lease, for the metrics."""
        self.told.append(("lease", until))


class Bench:
    """A `Hands` with everything around it."""

    def __init__(self, folder):
        self.store = SlotStore.open(folder / "record")
        self.epoch_file = folder / "run" / "epoch"
        self.epoch_file.parent.mkdir()
        self.written = Written(self.epoch_file)
        self.hands = Hands(
            sender=self.written,
            controllee=self.written,
            store=self.store,
            epoch_file=self.epoch_file,
            environment=lambda epoch, currency: (
                ENVIRONMENT | {"HAD_EPOCH": str(epoch), "HAD_STATE": currency.value if currency else ""}
            ),
            observer=self.written,
            instance=4,
            replica=self.written,
            has_state=self.look,
        )
        self.has_state = False
        self.lookers = set()
        self.events = []
        self.news = trio.Event()

    def look(self):
        """Whether there is a state; who looked is kept."""
        self.lookers.add(threading.get_ident())
        return self.has_state

    @property
    def told(self):
        """What the controllee, the links and the observer were told, without what is only for the metrics."""
        return [
            one for one in self.written.told if not (isinstance(one, tuple) and one[0] in {"wanted", "lease"})
        ]

    def post(self, event):
        """Take an event as the driver would."""
        self.events.append(event)
        self.news.set()

    def hold_disk(self):
        """Make the writer's thread wait, as on a slow disk, until the returned gate is set."""
        gate = threading.Event()
        self.hands._writer.submit("slow disk", gate.wait)
        return gate

    async def settle(self):
        """Wait until everything that was handed to the writer is done and reported."""
        with trio.fail_after(5):
            while self.hands._writer.pending_count:
                await trio.testing.wait_all_tasks_blocked(0.001)
            await trio.testing.wait_all_tasks_blocked()


async def lose_patience(clock):
    """Let virtual time pass until a disk that does not answer counts as hanging; else it stands still."""
    await trio.testing.wait_all_tasks_blocked()
    clock.jump(PATIENCE_SECONDS + 1)
    await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
def bench(tmp_path):
    """A bench on a folder of its own, closed afterwards."""
    bench = Bench(tmp_path)
    yield bench
    bench.hands.close()
    bench.store.close()


@pytest.fixture
async def reporting(bench, nursery):
    """The bench while finished writes are turned into events."""
    nursery.start_soon(bench.hands.report_writes, bench.post)
    await trio.testing.wait_all_tasks_blocked()
    return bench


async def test_a_record_is_on_disk_when_the_machine_hears_so(reporting):
    """`Persist` writes the record with this start's number, and `Persisted` comes after it."""
    record = Record(385, Directive((258, 1), Pause("root", "why", 10.0)))
    reporting.hands.perform(Persist(record))
    await reporting.settle()
    assert reporting.events == [Persisted(record)]
    assert record_file.decode(reporting.store.read(), 0.0) == record_file.Stored(record, 4)


async def test_records_are_answered_in_order(reporting):
    """The machine takes the last answer for the truth, so none may overtake another."""
    records = [Record(epoch) for epoch in range(1, 30)]
    for record in records:
        reporting.hands.perform(Persist(record))
    await reporting.settle()
    assert reporting.events == [Persisted(record) for record in records]


async def test_a_failed_write_is_an_event(reporting):
    """A disk that refuses becomes `PersistFailed` with the file and the reason, and the daemon goes on."""
    os.close(reporting.store._descriptor)
    reporting.store._descriptor = os.open(reporting.store.path, os.O_RDONLY)
    reporting.hands.perform(Persist(Record(385)))
    await reporting.settle()
    (event,) = reporting.events
    assert isinstance(event, PersistFailed)
    assert event.record == Record(385)
    assert str(reporting.store.path) in event.error


async def test_the_controllee_starts_after_the_file_names_its_epoch(reporting):
    """With the disk slow, the start waits, and then finds its own epoch in HAD_EPOCH_FILE."""
    reporting.epoch_file.write_text("130\n")
    gate = reporting.hold_disk()
    reporting.hands.perform(PublishEpoch(258))
    reporting.hands.perform(StartControllee(258))
    await trio.testing.wait_all_tasks_blocked()
    assert reporting.told == []
    gate.set()
    await reporting.settle()
    assert reporting.told == [("start", "258", "258\n")]


async def test_of_two_publications_the_start_waits_for_the_second(reporting):
    """The file names the present epoch, not the one before."""
    gate = reporting.hold_disk()
    for effect in (PublishEpoch(258), PublishEpoch(386), StartControllee(386)):
        reporting.hands.perform(effect)
    gate.set()
    await reporting.settle()
    assert reporting.told == [("start", "386", "386\n")]


async def test_a_restart_needs_no_publication(reporting):
    """The file says already what it has to say, so the start waits for nothing but its environment."""
    reporting.hands.perform(PublishEpoch(258))
    await reporting.settle()
    reporting.hands.perform(StartControllee(258))
    await reporting.settle()
    assert reporting.told == [("start", "258", "258\n")]


async def test_a_file_that_cannot_be_written_does_not_keep_the_controllee_from_starting(reporting):
    """It has HAD_EPOCH in its environment; the failure is noted with the reason."""
    reporting.epoch_file.parent.rmdir()
    reporting.hands.perform(PublishEpoch(258))
    reporting.hands.perform(StartControllee(258))
    await reporting.settle()
    note, start = reporting.told
    assert isinstance(note, Note)
    assert note.name == "epoch_file_not_written"
    assert dict(note.fields)["epoch"] == 258
    assert str(reporting.epoch_file) in dict(note.fields)["error"]
    assert start == ("start", "258", None)


async def test_a_stop_takes_back_a_start_that_still_waits(reporting):
    """Nothing is started only to be stopped; the machine hears of the end all the same, once."""
    gate = reporting.hold_disk()
    for effect in (PublishEpoch(258), StartControllee(258), StopControllee(10.0)):
        reporting.hands.perform(effect)
    assert reporting.events == [ControlleeExited("requested", "it had not been started")]
    gate.set()
    await reporting.settle()
    assert reporting.told == []
    assert len(reporting.events) == 1


async def test_an_end_before_anybody_listens_is_told_later(bench, nursery):
    """An event that comes before the reports are asked for is not lost."""
    gate = bench.hold_disk()
    for effect in (PublishEpoch(258), StartControllee(258), StopControllee(10.0)):
        bench.hands.perform(effect)
    nursery.start_soon(bench.hands.report_writes, bench.post)
    await trio.testing.wait_all_tasks_blocked()
    gate.set()
    await bench.settle()
    assert [type(event) for event in bench.events] == [ControlleeExited]


async def test_a_disk_that_hangs_has_failed_and_may_come_back(mock_clock, reporting):
    """A candidate whose disk never answers must step aside; if the disk answers after all, the machine hears that too."""
    gate = reporting.hold_disk()
    reporting.hands.perform(Persist(Record(258)))
    reporting.hands.perform(Persist(Record(386)))
    await lose_patience(mock_clock)
    assert reporting.events == [PersistFailed(Record(386), "the disk does not answer")]
    gate.set()
    await reporting.settle()
    assert reporting.events[1:] == [Persisted(Record(258)), Persisted(Record(386))]


async def test_records_do_not_pile_up_before_a_disk_that_hangs(mock_clock, reporting):
    """Each further try fails at once, and only the last one is written when the disk is back."""
    gate = reporting.hold_disk()
    await lose_patience(mock_clock)
    records = [Record(epoch) for epoch in range(1, 100)]
    for record in records:
        reporting.hands.perform(Persist(record))
    assert [event.record for event in reporting.events] == records
    gate.set()
    await reporting.settle()
    assert reporting.events[99:] == [Persisted(records[-1])]


async def test_a_start_that_waits_for_a_disk_that_hangs_has_failed(mock_clock, reporting):
    """A leader whose epoch file cannot be written must give up, or the pool has a leader and no controllee for ever."""
    gate = reporting.hold_disk()
    for effect in (PublishEpoch(258), StartControllee(258)):
        reporting.hands.perform(effect)
    await lose_patience(mock_clock)
    failed = ControlleeExited("start_failed", "the disk does not answer")
    assert reporting.events == [failed]
    reporting.hands.perform(StartControllee(258))
    assert reporting.events == [failed, failed]
    gate.set()
    await reporting.settle()
    assert reporting.told == []
    reporting.hands.perform(StartControllee(258))
    await reporting.settle()
    assert reporting.told == [("start", "258", "258\n")]


async def test_a_start_on_a_state_says_which(reporting):
    """The controllee's environment is made with the replica's word; a disaster has a program of its own."""
    for order in (StartOnState(258, Currency.STALE), StartOnState(258, Currency.MISSING, is_disaster=True)):
        reporting.hands.perform(order)
        await reporting.settle()
    assert reporting.told == [("start", "258", None, "stale"), ("start", "258", None, "missing", "disaster")]
    marks = [one for one in reporting.written.told if one == ("wanted", True)]
    assert len(marks) == 2


def test_words_for_the_replica_are_passed_on(bench):
    """They go to the link in order."""
    for message in (LeadershipBegan(258), LeadershipEnded()):
        bench.hands.perform(Tell(message))
    assert bench.told == [LeadershipBegan(258), LeadershipEnded()]


@pytest.mark.parametrize("is_there", [True, False])
async def test_the_state_is_looked_for_on_the_writers_thread(reporting, is_there):
    """What is found comes back as an event with its number."""
    reporting.has_state = is_there
    reporting.hands.perform(LookForState(7))
    assert reporting.events == []
    await reporting.settle()
    assert reporting.events == [StateSeen(7, is_there)]
    assert reporting.lookers.isdisjoint({threading.get_ident()})


async def test_a_look_at_a_disk_that_hangs_is_a_failed_start(mock_clock, reporting):
    """A file system that does not answer must not keep the pool without a controllee; another member shall try."""
    gate = reporting.hold_disk()
    reporting.hands.perform(LookForState(7))
    await lose_patience(mock_clock)
    failed = ControlleeExited("start_failed", "the disk does not answer")
    assert reporting.events == [failed]
    reporting.hands.perform(LookForState(8))
    assert reporting.events == [failed, failed]
    gate.set()
    await reporting.settle()
    assert reporting.events == [failed, failed]


async def test_orders_reach_the_controllee_at_once(reporting):
    """A stop and a renewal wait for nothing, not even for a disk that hangs."""
    gate = reporting.hold_disk()
    reporting.hands.perform(Persist(Record(1)))
    reporting.hands.perform(StopControllee(7.5))
    reporting.hands.perform(RenewLease(99.0))
    assert reporting.told == [("stop", 7.5), ("renew", 99.0)]
    gate.set()
    await reporting.settle()


def test_messages_and_news_are_passed_on(bench):
    """A message goes to the links with its kind; transitions and notes go to the observer."""
    message = said(A)
    transition = Transition(State.PRE, State.PASSIVE, Reason.leader_heard, 5)
    note = Note("peer_up", (("peer", A),))
    for effect in (Send(A, message, Kind.ALIVE), transition, note, Finished()):
        bench.hands.perform(effect)
    assert bench.told == [("send", A, message, Kind.ALIVE), transition, note]


def test_the_observer_knows_what_is_wanted(bench):
    """The metrics had_controllee_wanted and had_lease_remaining_seconds follow the orders."""
    for effect in (StartControllee(1), RenewLease(8.0), StopControllee(1.0)):
        bench.hands.perform(effect)
    marks = [one for one in bench.written.told if isinstance(one, tuple) and one[0] in {"wanted", "lease"}]
    assert marks == [("wanted", True), ("lease", 8.0), ("wanted", False)]


def test_an_answer_goes_to_whoever_asked_and_only_once(bench):
    """Each request has one reply; an answer whose asker went away is dropped."""
    answers = []
    bench.hands.answers[7] = answers.append
    answer = Answer(7, is_accepted=True, text="done")
    bench.hands.perform(answer)
    bench.hands.perform(answer)
    bench.hands.perform(Answer(8, is_accepted=False, text="nobody asked"))
    assert answers == [answer]
    assert bench.hands.answers == {}


def test_close_finishes_what_was_queued(tmp_path):
    """The last record before the end of the daemon reaches the disk."""
    bench = Bench(tmp_path)
    bench.hands.perform(Persist(Record(385)))
    bench.hands.close()
    assert record_file.decode(bench.store.read(), 0.0).record == Record(385)
    bench.store.close()
