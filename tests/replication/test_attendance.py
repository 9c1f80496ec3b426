"""The conversation with had: what it says becomes events, its questions get their answers, and its end is told."""

import pytest
import trio
import trio.testing

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.errors import ProtocolError
from daemoncore.cedar.scalars import MessageReader, MessageWriter
from replication.attendance import GUARD_SECONDS, MAXIMUM_ANSWERS, MAXIMUM_QUESTIONS, Attendance
from replication.effects import Answer, Currency
from replication.events import (
    CurrentAsked,
    FlushAsked,
    LeadershipBegan,
    LeadershipConfirmed,
    LeadershipEnded,
    Withdrawn,
)


def reader_of(**fields):
    """Give a message of had's."""
    ad = ClassAd({"HadProtocol": 1, **fields})
    return MessageReader(MessageWriter().put_ad(ad).body())


class Had:
    """One had's stream, played by hand: what it sends comes from a channel, what it gets is remembered."""

    def __init__(self, **first):
        self.reader = reader_of(**first)
        self._send, self._receive = trio.open_memory_channel(100)
        self.answers = []
        self.answered = trio.Event()
        self.blocks = trio.Event()
        self.blocks.set()

    def says(self, command=Command.REPLICATION_ATTEND, **fields):
        """Send one more message."""
        self._send.send_nowait((command, reader_of(**fields)))

    def leaves(self):
        """Close the stream."""
        self._send.close()

    async def messages(self):
        """Yield what follows, as a request does."""
        async for message in self._receive:
            yield message

    def writer(self):
        """Give a writer, as a request does."""
        return MessageWriter()

    async def reply(self, writer):
        """Take an answer."""
        await self.blocks.wait()
        ad = MessageReader(writer.body()).get_ad()
        self.answers.append((ad.get_int("Request"), ad.get_string("Currency")))
        self.answered.set()


@pytest.fixture
def posted():
    """What the machine is told."""
    return []


@pytest.fixture
def attendance(posted):
    """An attendance whose events go to `posted`."""
    return Attendance(posted.append)


async def test_what_had_says_becomes_events(attendance, posted):
    """Each message is an event, in order; the end of the stream is the end of its leadership."""
    had = Had(What="began", Epoch=130)
    had.says(What="confirmed", Epoch=130)
    had.leaves()
    assert not attendance.is_present
    await attendance.attend(had)
    assert posted == [LeadershipBegan(130), LeadershipConfirmed(130), LeadershipEnded(is_stopped=False)]
    assert not attendance.is_present


async def test_an_answer_finds_its_question(attendance, posted, autojump_clock):
    """A question has a number of ours inside and had's own outside; it is answered once."""
    had = Had(What="current", Request=7)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attendance.attend, had)
        await trio.testing.wait_all_tasks_blocked()
        (asked,) = posted
        assert isinstance(asked, CurrentAsked)
        attendance.answer(Answer(asked.request, Currency.CURRENT, None))
        attendance.answer(Answer(asked.request, Currency.STALE, None))
        await had.answered.wait()
        had.leaves()
    assert had.answers == [(7, "current")]


async def test_open_questions_end_with_the_stream(attendance, posted, autojump_clock):
    """What a had asked that is gone is withdrawn, and an answer that comes too late goes nowhere."""
    had = Had(What="flush", Request=3, TimeoutSeconds=10.0)
    had.leaves()
    await attendance.attend(had)
    asked, withdrawn, ended = posted
    assert isinstance(asked, FlushAsked)
    assert (withdrawn, ended) == (Withdrawn(asked.request), LeadershipEnded(is_stopped=False))
    attendance.answer(Answer(asked.request, Currency.CURRENT, None))
    assert had.answers == []


async def test_had_takes_a_question_back(attendance, posted, autojump_clock):
    """A withdrawal names our number of the question; one of something unknown says nothing."""
    had = Had(What="current", Request=7)
    had.says(What="withdrawn", Request=7)
    had.says(What="withdrawn", Request=8)
    had.leaves()
    await attendance.attend(had)
    assert posted[1:] == [Withdrawn(posted[0].request), LeadershipEnded(is_stopped=False)]


async def test_the_stream_that_came_last_counts(attendance, posted, autojump_clock):
    """A had that was restarted takes the place of the old stream, whose end then ends no leadership."""
    old, new = Had(What="began", Epoch=130), Had(What="began", Epoch=258)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attendance.attend, old)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(attendance.attend, new)
        await trio.testing.wait_all_tasks_blocked()
        assert posted == [LeadershipBegan(130), LeadershipBegan(258)]
        assert attendance.is_present
        new.leaves()
    assert posted[2:] == [LeadershipEnded(is_stopped=False)]


async def test_a_had_that_takes_no_answers_is_hung_up_on(attendance, posted, autojump_clock):
    """Answers do not pile up for somebody who does not read."""
    had = Had(What="current", Request=1)
    had.blocks = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attendance.attend, had)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(2, MAXIMUM_ANSWERS + 4):
            had.says(What="current", Request=number)
        await trio.testing.wait_all_tasks_blocked()
        for asked in list(posted):
            attendance.answer(Answer(asked.request, Currency.CURRENT, None))
    assert posted[-1] == LeadershipEnded(is_stopped=False)


async def test_a_had_that_asks_without_end_is_hung_up_on(attendance, posted):
    """Questions without a deadline do not pile up, and every one of them is taken back with the stream."""
    had = Had(What="current", Request=1, IncumbentEpoch=130)
    had._send, had._receive = trio.open_memory_channel(2 * MAXIMUM_QUESTIONS)
    for number in range(2, 2 * MAXIMUM_QUESTIONS):
        had.says(What="current", Request=number, IncumbentEpoch=130)
    with pytest.RaisesGroup(ProtocolError):
        await attendance.attend(had)
    asked = {event.request for event in posted if isinstance(event, CurrentAsked)}
    assert len(asked) == MAXIMUM_QUESTIONS
    assert asked == {event.request for event in posted if isinstance(event, Withdrawn)}
    assert not attendance._asked


async def test_a_question_has_a_number_of_its_own(attendance, posted):
    """One that is open already is not asked again: an answer, or a withdrawal, could not tell them apart."""
    had = Had(What="current", Request=1, IncumbentEpoch=130)
    had.says(What="current", Request=1, IncumbentEpoch=258)
    with pytest.RaisesGroup(ProtocolError):
        await attendance.attend(had)
    assert [type(event) for event in posted] == [CurrentAsked, Withdrawn, LeadershipEnded]


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (Command.REPLICATION_REPORT, {"What": "confirmed", "Epoch": 130}),
        (Command.REPLICATION_ATTEND, {"What": "sings"}),
    ],
)
async def test_nonsense_ends_the_stream(attendance, posted, command, fields):
    """What had would not say ends the stream, and with it the leadership."""
    had = Had(What="began", Epoch=130)
    had.says(command, **fields)
    with pytest.RaisesGroup(ProtocolError):
        await attendance.attend(had)
    assert posted[-1] == LeadershipEnded(is_stopped=False)


async def test_the_first_word(attendance, posted, autojump_clock):
    """A start that needs had's word waits for it, but not for ever; a real condor_had's counts too."""
    began = trio.current_time()
    await attendance.first_word(5)
    assert trio.current_time() == began + 5
    attendance.heard(LeadershipConfirmed(None))
    await attendance.first_word(5)
    assert trio.current_time() == began + 5
    assert posted == [LeadershipConfirmed(None)]


@pytest.mark.parametrize(
    ("question", "is_stopped"),
    [
        ({"What": "current"}, True),
        ({"What": "current", "IncumbentEpoch": 257}, False),
        ({"What": "flush", "TimeoutSeconds": 5.0}, True),
    ],
)
async def test_a_controllee_is_stopped_while_had_asks_about_its_stop(
    attendance, autojump_clock, question, is_stopped
):
    """A leader that asks for its next start, or has the last bytes handed on, leads on and runs no controllee."""
    assert not attendance.may_run_controllee
    had = Had(What="began", Epoch=130)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attendance.attend, had)
        await trio.testing.wait_all_tasks_blocked()
        assert attendance.may_run_controllee
        had.says(**question, Request=7)
        had.says(What="confirmed", Epoch=130)
        await trio.testing.wait_all_tasks_blocked()
        assert attendance.may_run_controllee is not is_stopped
        attendance.answer(Answer(1, Currency.CURRENT, None))
        await had.answered.wait()
        assert attendance.may_run_controllee is not is_stopped
        had.says(What="began", Epoch=130)
        await trio.testing.wait_all_tasks_blocked()
        assert attendance.may_run_controllee
        had.leaves()


async def test_a_withdrawn_question_stops_no_controllee(attendance, autojump_clock):
    """Once a question is withdrawn, the next word that had leads means that its controllee may run."""
    had = Had(What="current", Request=7)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attendance.attend, had)
        had.says(What="withdrawn", Request=7)
        had.says(What="confirmed", Epoch=130)
        await trio.testing.wait_all_tasks_blocked()
        assert attendance.may_run_controllee
        had.leaves()


async def test_when_had_is_gone_its_controllee_is_dead_soon(posted):
    """After the end of the stream a controllee counts as running for as long as its guard may need, and no longer."""
    clock = [100.0]
    attendance = Attendance(posted.append, lambda: clock[0])
    had = Had(What="began", Epoch=130)
    had.leaves()
    await attendance.attend(had)
    assert attendance.may_run_controllee
    clock[0] += GUARD_SECONDS
    assert not attendance.may_run_controllee
    back = Had(What="confirmed", Epoch=130)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attendance.attend, back)
        await trio.testing.wait_all_tasks_blocked()
        assert attendance.may_run_controllee
        back.leaves()


async def test_a_daemon_that_stood_still_trusts_nobody(posted):
    """Had may have started a controllee while this daemon was frozen: nothing is renamed before it has listened again."""
    still = [False]
    attendance = Attendance(posted.append, has_stood_still=lambda: still[0])
    assert not attendance.may_run_controllee
    still[0] = True
    assert attendance.may_run_controllee
