"""A follower of a leader whose controllee never stops writing: it is always a step behind, and good enough all the same."""

from replication import effects, events
from replication.effects import Currency
from replication.version import Point
from tests.replication.tellers import A, C, Story, T, held, one, only


def following(*points):
    """Give a story in which A leads, and this node holds this version of what A writes."""
    story = Story(held("x", *points))
    story.link(A, C)
    return story.follow()


def test_a_step_behind_is_up_to_date():
    """A successor need not hold the version of this very moment: the flush before the handover brings the last."""
    story = following("10.1", "5.2")
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    answer = one(story.tell(events.CurrentAsked(1, incumbent_epoch=10)), effects.Answer)
    assert (answer.request, answer.version.point) == (1, Point(10, 1))
    assert answer.currency is Currency.CURRENT


def test_who_cannot_take_what_it_is_sent_is_not_up_to_date():
    """A replica with a full disk stays behind for ever, and a handover to it would be called off each time."""
    story = following("10.1", "5.2")
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    story.tell(events.DownloadEnded(1, is_orderly=False, reason="no space left"))
    assert only(story.tell(events.CurrentAsked(1, incumbent_epoch=10)), effects.Answer) == []


def test_a_flush_to_nobody_of_the_list_is_never_complete():
    """A member that had knows and this daemon's REPLICATION_LIST lacks gets nothing: had hears that it lacks the version."""
    story = Story(held("x", "10.1", is_leading=True))
    story.link(A)
    story.tell(events.LeadershipBegan(10))
    story.tell(events.FlushAsked(1, 2.0, "nobody:9"))
    assert only(story.tell(events.Settled()), effects.Answer) == []
    answer = one(story.wait(2.1), effects.Answer)
    assert (answer.is_complete, answer.behind) == (False, ("nobody:9",))


def test_another_leaderships_state_is_no_step():
    """Who holds nothing of the incumbent's leadership fetches it first."""
    story = following("5.2")
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    assert only(story.tell(events.CurrentAsked(1, incumbent_epoch=10)), effects.Answer) == []
    found = story.install(story.fetch("xy", "10.2", "5.2"))
    assert one(found, effects.Answer).currency is Currency.CURRENT


def test_a_winner_takes_the_last_step():
    """Where nobody serves, what somebody holds is fetched before a controllee starts."""
    story = following("10.1", "5.2")
    story.hear(C, "xy", "10.2", "5.2")
    assert only(story.tell(events.CurrentAsked(1)), effects.Answer) == []
    found = story.install(story.fetch("xy", "10.2", "5.2"))
    assert one(found, effects.Answer).currency is Currency.CURRENT


def test_what_was_changed_by_other_hands_is_not_up_to_date():
    """An edited state is no step behind the incumbent's, whatever it is called."""
    story = following("10.1", "5.2")
    story.tell(events.StateChanged(held("edited", "10.1").files))
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    assert only(story.tell(events.CurrentAsked(1, incumbent_epoch=10)), effects.Answer) == []


def test_a_merge_is_learned_while_the_leader_writes_on():
    """The leader's present version is never here; the one of which it was first said that it holds the conflict is."""
    story = following("10.1", "5.2")
    story.tell(events.Archived(("4.1-a",)))
    for clock in (2, 3, 4):
        said = story.hear(A, "x" * (clock + 1), f"10.{clock + 1}", "5.2", leads=True, merged=("4.1-a",))
        found = said if clock > 2 else []
        assert only(found, effects.MarkMerged) == (
            [] if clock < 4 else [effects.MarkMerged(("4.1-a",), Point(10, 3))]
        )
        story.install(story.fetch("x" * clock, f"10.{clock}", "5.2"))


def test_a_replica_that_stood_still_listens_before_it_answers():
    """A frozen daemon knows what was so before: woken, it is not up to date before the others spoke, or were silent for T."""
    story = following("10.1", "5.2")
    asked = events.CurrentAsked(1)
    story.hear(A, "x", "10.1", "5.2")
    late = story.now + 10 * T
    assert only(story.tell(asked, late), effects.Answer) == []
    story.tell(events.LeadershipEnded(is_stopped=True), late + T / 2)
    assert only(story.hear(C, "xy", "10.2", "5.2"), effects.Answer) == []
    found = story.install(story.fetch("xy", "10.2", "5.2")) + story.wait(late + 2 * T)
    answer = one(found, effects.Answer)
    assert (answer.currency, answer.version.point) == (Currency.CURRENT, Point(10, 2))


def test_a_stop_waits_for_no_question_that_stays_open():
    """A follower that is asked to end fetches nothing any more, so whoever asked how current it is waits in vain; a flush counts."""
    story = following("5.2")
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    story.tell(events.CurrentAsked(1, incumbent_epoch=10))
    assert only(story.tell(events.StopRequested(20.0)), effects.Finished) != []
    story = following("5.2")
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    story.tell(events.FlushAsked(1, 10.0, successor=C))
    assert only(story.tell(events.StopRequested(20.0)), effects.Finished) == []
