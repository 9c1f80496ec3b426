"""Kept conflicts and the replica machine: merged at a stop of the leader's controllee, and known to be merged."""

import attrs
import pytest

from replication import effects, events
from replication.effects import Currency
from replication.events import IDENTIFIERS_LIMIT, Point, State
from replication.revisions import CLAIMS_LIMIT
from replication.version import CLOCK_LIMIT
from tests.replication.tellers import A, C, Story, T, files, held, one, only, remarks, reports, version

BEGAN, ENDED = events.LeadershipBegan, events.LeadershipEnded(is_stopped=True)
WAITING = events.RevisionsWaiting(1)


def leading(*, is_disk_slow=False):
    """Give a story in which this node leads, its controllee has written `xy`, and a conflict waits to be merged."""
    story = Story(held("x", "5.2"))
    story.link(A, C)
    story.follow()
    story.tell(BEGAN(10))
    story.tell(events.StateChanged(files("xy")))
    story.tell(WAITING)
    story.is_disk_slow = is_disk_slow
    return story


def revised(story, content="xyz", clock="10.2"):
    """Say that the state is another now."""
    before = story.machine.ledger.held
    return events.Revised(attrs.evolve(before, version=version(clock, "5.2"), files=files(content)))


def flushing(**fields):
    """Give a story in which had asks for a flush and everything else is as it should be; and what the machine wants."""
    story = leading(**fields)
    story.tell(events.FlushAsked(1, 10.0, successor=A))
    return story, story.tell(events.Settled())


# --- at a handover ------------------------------------------------------------------------------------------------


def test_a_conflict_is_merged_before_a_handover_is_flushed():
    """The successor gets what came of it: it is one more version of this leadership, told and reported like any."""
    story = leading()
    story.hear(A, "xy", "10.1", "5.2")
    found = story.tell(events.FlushAsked(1, 10.0, successor=A))
    assert only(found, effects.Revise) == []
    found = story.tell(events.Settled())
    assert one(found, effects.Revise).version == version("10.2", "5.2")
    assert only(found, effects.Answer) == []
    found = story.tell(revised(story))
    assert one(found, effects.Announce).version == version("10.2", "5.2")
    assert {(r.state, r.version.point) for r in reports(found, A)} == {(State.LEADER, Point(10, 2))}
    assert only(found, effects.Answer) == []
    assert one(story.hear(A, "xyz", "10.2", "5.2"), effects.Answer).is_complete


def test_the_last_bytes_of_the_controllee_come_first():
    """They get their own version, and what is merged is merged into them."""
    story = leading(is_disk_slow=True)
    story.tell(events.FlushAsked(1, 10.0))
    note = one(story.tell(events.StateChanged(files("last"))), effects.Note).held
    assert only(story.tell(events.Settled()), effects.Revise) == []
    assert one(story.tell(events.Noted(note)), effects.Revise).version == version("10.3", "5.2")


def test_what_cannot_be_merged_holds_nobody_up():
    """It is remarked, the flush goes on without it, and it is tried again at the next stop, not before."""
    story, _ = flushing()
    found = story.tell(events.ReviseFailed("no common ancestor"))
    assert remarks(found) == ["state_not_revised"]
    assert only(found, effects.Revise) == []
    assert one(story.hear(A, "xy", "10.1", "5.2"), effects.Answer).is_complete
    assert only(story.tell(events.FlushAsked(2, 10.0)), effects.Revise) == []
    story.tell(BEGAN(10))
    story.tell(events.FlushAsked(3, 10.0))
    assert only(story.tell(events.Settled()), effects.Revise) != []


def test_a_merge_does_not_outlast_the_flush():
    """Had is answered when its time is up; what comes of the merge later is a version of the leadership that ends."""
    story, _ = flushing()
    story.hear(A, "xy", "10.1", "5.2", validity_seconds=100.0)
    answer = one(story.wait(story.now + 10.0), effects.Answer)
    assert (answer.is_complete, answer.behind) == (False, ())
    story.tell(ENDED)
    assert story.machine.state is State.LEADER
    story.tell(revised(story))
    assert (story.machine.state, story.held) == (State.BACKUP, "10.2")
    assert not story.machine.ledger.is_leading


def test_no_merge_begins_when_the_time_of_a_flush_is_up():
    """The last look took it all."""
    story = leading()
    story.tell(events.FlushAsked(1, 1.0))
    story.wait(story.now + 1.0)
    assert only(story.tell(events.Settled()), effects.Revise) == []


def test_nothing_else_is_written_during_a_merge():
    """What somebody writes meanwhile gets the number after it."""
    story, _ = flushing()
    assert only(story.tell(events.StateChanged(files("late"))), effects.Note) == []
    assert story.held == "10.1"
    story.tell(revised(story))
    assert (story.held, story.machine.ledger.held.files) == ("10.3", files("late"))


def test_a_merge_that_was_seen_before_it_is_over_is_no_change():
    """The floor of the watch looked when the file had been replaced already."""
    story, _ = flushing()
    story.tell(events.StateChanged(files("xyz")))
    assert only(story.tell(revised(story, "xyz")), effects.Note) == []
    assert story.held == "10.2"


def test_what_a_failed_merge_left_is_a_change_like_any_other():
    """Somebody wrote while nobody should: it is written down all the same."""
    story, _ = flushing()
    story.tell(events.StateChanged(files("late")))
    assert only(story.tell(events.ReviseFailed("the state changed")), effects.Note) != []
    assert (story.held, story.machine.ledger.held.files) == ("10.2", files("late"))


def test_a_merge_that_is_not_under_way_changes_nothing():
    """A late or confused driver."""
    story = leading()
    assert story.tell(revised(story)) == []
    assert story.tell(events.ReviseFailed("what?")) == []
    assert story.held == "10.1"
    story.tell(events.FlushAsked(1, 10.0))
    story.tell(events.Settled())
    story.tell(revised(story, "xyz", "10.7"))
    assert story.held == "10.1"


def test_where_the_numbers_end_a_merge_goes_on_under_another_gid():
    """As any change does."""
    story = Story(held("x", f"10.{CLOCK_LIMIT}", "5.2", is_leading=True))
    story.tell(events.LeadershipConfirmed(10))
    story.tell(WAITING)
    story.tell(events.FlushAsked(1, 10.0))
    found = story.tell(events.Settled())
    assert one(found, effects.Revise).version == version("138.1", f"10.{CLOCK_LIMIT}", "5.2")


def test_a_number_that_somebody_else_has_is_not_given_to_a_merge():
    """This leader's disk was put back, and the disk cannot take the new number yet."""
    story = leading()
    story.tell(events.FlushAsked(1, 10.0))
    story.is_disk_slow = True
    note = one(story.hear(A, "lost here", "10.7", "5.2"), effects.Note).held
    assert only(story.tell(events.Settled()), effects.Revise) == []
    assert one(story.tell(events.Noted(note)), effects.Revise).version == version("10.9", "5.2")


def test_a_stopping_daemon_finishes_the_merge():
    """It is part of the flush that it waits for."""
    story, _ = flushing()
    story.tell(events.Withdrawn(1))
    story.tell(ENDED)
    assert only(story.tell(events.StopRequested(20.0)), effects.Finished) == []
    story.tell(revised(story))
    assert story.done[-1] == effects.Finished()


# --- a restart in place -------------------------------------------------------------------------------------------


def test_a_dead_controllee_is_started_again_at_once():
    """P5: where nothing waits the answer needs no look at the file."""
    story = leading()
    story.tell(events.RevisionsWaiting(0))
    found = story.tell(events.CurrentAsked(1))
    assert one(found, effects.Answer).currency is Currency.CURRENT
    assert only(found, effects.Settle) == []


def test_a_conflict_is_merged_before_a_controllee_is_started_again():
    """The last bytes of the one before are looked for first; then the next one's are watched."""
    story = leading()
    found = story.tell(events.CurrentAsked(1))
    assert one(found, effects.Settle).quiet_seconds == 0.0
    assert only(found, effects.Answer) == []
    story.tell(events.StateChanged(files("last")))
    found = story.tell(events.Settled())
    assert one(found, effects.Revise).version == version("10.3", "5.2")
    found = story.tell(revised(story, clock="10.3"))
    answer = one(found, effects.Answer)
    assert (answer.currency, answer.version, answer.good_for_seconds) == (
        Currency.CURRENT,
        version("10.3", "5.2"),
        T,
    )
    assert only(found, effects.Watch) != []
    story.tell(BEGAN(10))
    story.tell(events.StateChanged(files("more")))
    assert story.held == "10.4"


def test_two_questions_are_answered_after_one_merge():
    """Had asked again, on another connection."""
    story = leading()
    story.tell(events.CurrentAsked(1))
    story.tell(events.CurrentAsked(2))
    story.tell(events.Settled())
    found = story.tell(revised(story))
    assert [a.request for a in only(found, effects.Answer)] == [1, 2]
    assert only(found, effects.Revise) == []


def test_a_restart_waits_for_a_merge_under_way_whatever_its_time():
    """The file is about to be replaced, and nobody may begin to write to it."""
    story = leading()
    story.tell(events.CurrentAsked(1))
    story.tell(events.Settled())
    for _ in range(100):
        story.tell(events.LeadershipConfirmed(10), story.now + T)
    assert only(story.done, effects.Answer) == []
    assert only(story.tell(revised(story)), effects.Answer) != []


def test_a_merge_that_cannot_begin_is_given_up():
    """The last look never ends: the controllee starts after MAX_TRANSFER_LIFETIME."""
    story = leading()
    begin = story.now
    story.tell(events.CurrentAsked(1))
    while not only(story.done, effects.Answer):
        story.tell(events.LeadershipConfirmed(10), story.now + T / 2)
    assert story.now == begin + story.machine.settings.lifetime_seconds
    assert only(story.done, effects.Revise) == []


def test_a_full_disk_holds_no_restart_up():
    """The last bytes could not be written down, so nothing is merged into them; the next stop will do."""
    story = leading(is_disk_slow=True)
    story.tell(events.CurrentAsked(1))
    story.tell(events.StateChanged(files("last")))
    story.tell(events.Settled())
    found = story.tell(events.NoteFailed("No space left on device"))
    assert only(found, effects.Answer) != []
    assert only(found, effects.Watch) != []
    assert only(found, effects.Revise) == []


def test_a_question_about_somebody_elses_leadership_stops_nothing_here():
    """A successor's question to a node that leads, by mistake, ends no watch."""
    story = leading()
    found = story.tell(events.CurrentAsked(1, incumbent_epoch=10))
    assert only(found, effects.Settle) == []
    assert only(found, effects.Answer) != []


def test_a_question_about_somebody_elses_leadership_merges_nothing_here():
    """Nor does it after a handover that was called off, while no controllee runs."""
    story = leading()
    story.tell(events.RevisionsWaiting(0))
    story.tell(events.FlushAsked(1, 10.0))
    story.tell(events.Settled())
    story.tell(WAITING)
    story.tell(events.Withdrawn(1))
    found = story.tell(events.CurrentAsked(2, incumbent_epoch=10))
    assert only(found, effects.Revise) == []
    assert only(found, effects.Answer) != []


def test_only_a_leader_merges():
    """A winner is answered on the state that it finds, and one that had leads no more under flushes without."""
    story = Story(held("x", "5.2")).follow()
    story.tell(WAITING)
    found = story.tell(events.CurrentAsked(1))
    assert only(found, effects.Revise) == []
    assert only(found, effects.Answer) != []
    story = leading()
    story.tell(ENDED)
    story.tell(events.FlushAsked(1, 10.0))
    found = story.tell(events.Settled())
    assert only(found, effects.Revise) == []
    assert only(found, effects.Answer) != []


@pytest.mark.parametrize("event", [WAITING, events.RevisionsWaiting(5)])
def test_what_is_scheduled_meanwhile_waits_for_the_next_stop(event):
    """There is one merge at a stop."""
    story = leading()
    story.tell(events.FlushAsked(1, 10.0))
    story.tell(events.Settled())
    story.tell(revised(story))
    assert only(story.tell(event), effects.Revise) == []
    story.tell(events.Withdrawn(1))
    assert only(story.tell(events.CurrentAsked(2)), effects.Answer) != []
    story.tell(events.CurrentAsked(3))
    assert only(story.tell(events.Settled()), effects.Revise) != []


def test_a_merge_can_be_scheduled_while_had_waits_for_its_flush():
    """Its time is long enough."""
    story = leading()
    story.tell(events.RevisionsWaiting(0))
    story.tell(events.FlushAsked(1, 10.0, successor=A))
    assert only(story.tell(events.Settled()), effects.Revise) == []
    assert only(story.tell(WAITING), effects.Revise) != []


# --- a controllee that starts again -------------------------------------------------------------------------------


def test_a_called_off_handover_watches_the_same_leaderships_next_controllee():
    """Its changes are told at once again, and the next flush looks for its last bytes."""
    story = leading()
    story.tell(events.RevisionsWaiting(0))
    story.tell(events.FlushAsked(1, 10.0))
    story.tell(events.Settled())
    story.tell(events.Withdrawn(1))
    assert only(story.tell(events.CurrentAsked(2)), effects.Watch) != []
    story.tell(BEGAN(10))
    assert only(story.tell(events.FlushAsked(3, 10.0)), effects.Settle) == [effects.Settle(0.0)]


def test_a_beginning_is_watched_though_nobody_asked():
    """Had did not wait for an answer."""
    story = leading()
    story.tell(events.FlushAsked(1, 10.0))
    story.tell(events.Settled())
    assert only(story.tell(events.LeadershipConfirmed(10)), effects.Watch) == []
    assert only(story.tell(BEGAN(10)), effects.Watch) != []


def test_an_epoch_that_grows_during_a_flush_starts_no_controllee():
    """The flush goes on, with the version that the new epoch begins with."""
    story = leading()
    story.tell(events.RevisionsWaiting(0))
    story.tell(events.FlushAsked(1, 10.0, successor=A))
    story.tell(events.Settled())
    found = story.tell(events.LeadershipConfirmed(11))
    assert only(found, effects.Watch) == []
    assert story.held == "11.0"
    assert one(story.hear(A, "xy", "11.0", "10.1", "5.2"), effects.Answer).is_complete


def test_a_flush_counts_whatever_else_is_asked():
    """An epoch that grows starts no controllee though had asks about another's leadership too."""
    story = leading()
    story.tell(events.FlushAsked(1, 10.0))
    story.tell(events.CurrentAsked(2, incumbent_epoch=10))
    assert only(story.tell(events.LeadershipConfirmed(11)), effects.Watch) == []


def test_a_leadership_that_is_confirmed_after_its_end_writes():
    """The end was a mistake, or a lost connection; the question that had asked before is no stop of this one."""
    story = leading()
    story.tell(events.LeadershipEnded(is_stopped=False))
    story.tell(events.FlushAsked(1, 10.0))
    assert only(story.tell(events.LeadershipConfirmed(10)), effects.Watch) != []


# --- who knows what was merged ------------------------------------------------------------------------------------


def test_conflicts_are_reported():
    """Those kept here and those merged here; what is new is told at once."""
    story = leading()
    found = story.tell(events.Archived(("4.1-a",), ("3.1-b",)))
    report = reports(found, A)[-1]
    assert (report.conflicts, report.merged) == (("4.1-a",), ("3.1-b",))
    assert reports(story.tell(events.Archived(("4.1-a",), ("3.1-b",)))) == []


def test_a_report_names_the_oldest_conflicts_and_the_newest_merges():
    """It has room for 64 of each: more conflicts come when these are settled, and old merges are known by then."""
    story = leading()
    names = tuple(f"4.{n}-a" for n in range(IDENTIFIERS_LIMIT + 1))
    report = reports(story.tell(events.Archived(names, names)), A)[-1]
    assert (report.conflicts, report.merged) == (names[:-1], names[1:])


def test_the_owner_of_a_conflict_learns_that_it_was_merged():
    """When the leader's state is here, and not when the leader only says so."""
    story = Story(held("x", "10.1", "5.2"))
    story.link(A)
    story.follow()
    story.tell(events.Archived(("4.1-a", "4.2-b")))
    found = story.hear(A, "xy", "10.2", "5.2", leads=True, merged=("4.2-b", "9.9-other"))
    assert only(found, effects.MarkMerged) == []
    story.install(story.fetch("xy", "10.2", "5.2"))
    found = story.hear(A, "xy", "10.2", "5.2", leads=True, merged=("4.2-b", "9.9-other"))
    assert one(found, effects.MarkMerged) == effects.MarkMerged(("4.2-b",), Point(10, 2))
    found = story.hear(A, "xy", "10.2", "5.2", leads=True, merged=("4.2-b", "9.9-other"))
    assert only(found, effects.MarkMerged) == []


def test_a_merge_is_learned_from_one_that_leads_no_more():
    """It merged at its handover, and its last word as the leader was lost."""
    story = leading()
    story.tell(events.Archived(("4.1-a",)))
    found = story.hear(A, "x", "5.2", merged=("4.1-a",))
    assert one(found, effects.MarkMerged).point == Point(5, 2)


def test_a_merge_is_known_after_a_restart():
    """What was heard before is reported on, by version; a conflict that comes back is marked at the next report."""
    story = Story(held("x", "10.1", "5.2")).follow()
    remembered = (("4.1-a", Point(5, 2)), ("4.2-b", Point(7, 1)))
    found = story.tell(events.Archived(("4.1-a", "4.2-b"), remembered=remembered))
    assert reports(found + story.link(A), A)[-1].merged == ("4.1-a",)
    assert one(story.hear(A, "x", "5.2"), effects.MarkMerged) == effects.MarkMerged(("4.1-a",), Point(5, 2))


def test_a_mark_that_could_not_be_made_is_made_again():
    """The archive still lists the conflict."""
    story = leading()
    story.tell(events.Archived(("4.1-a",)))
    story.hear(A, "x", "5.2", merged=("4.1-a",))
    story.tell(events.Archived(("4.1-a",)))
    assert only(story.hear(A, "x", "5.2", merged=("4.1-a",)), effects.MarkMerged) != []


def test_a_merge_into_a_state_that_lost_is_none():
    """The merger's version is not among our ancestors, or it has none, or no version stands here."""
    story = leading()
    story.tell(events.Archived(("4.1-a",)))
    assert only(story.hear(A, "o", "7.1", "5.2", merged=("4.1-a",)), effects.MarkMerged) == []
    assert only(story.hear(C, merged=("4.1-a",)), effects.MarkMerged) == []
    story = Story(held("x", "5.2")).follow()
    story.tell(events.Archived(("4.1-a",)))
    story.tell(events.StateChanged(files("edited")))
    assert only(story.hear(A, "x", "5.2", merged=("4.1-a",)), effects.MarkMerged) == []


def test_a_merge_is_reported_with_the_version_that_holds_it():
    """Though the archive knows of it before: whoever holds the version before that has not what was merged."""
    story, _ = flushing()
    found = story.tell(events.Archived((), ("4.1-a",)))
    assert {r.merged for r in reports(found)} <= {()}
    found = story.tell(revised(story))
    assert {(r.version.point, r.merged) for r in reports(found)} == {(Point(10, 2), ("4.1-a",))}


def test_a_merge_that_lost_is_reported_no_more():
    """Another leader's word went over the state that it was merged into."""
    story = Story(held("x", "10.1", "5.2"))
    story.link(A)
    story.follow()
    story.tell(events.Archived((), ("4.1-a",)))
    story.hear(A, "y", "20.1", "5.2", leads=True)
    assert reports(story.done, A)[-1].merged == ("4.1-a",)
    found = story.install(story.fetch("y", "20.1", "5.2")) + story.wait(story.now + T)
    assert {(r.version.point, r.merged) for r in reports(found)} == {(Point(20, 1), ())}


def test_what_was_merged_before_is_part_of_what_grew_out_of_it():
    """A merge keeps the version under which it was told first, whatever else is told later."""
    story = leading()
    story.tell(events.Archived((), ("4.1-a",)))
    story.tell(events.StateChanged(files("xyz")))
    story.tell(events.Archived((), ("4.1-a", "4.2-b")))
    story.tell(ENDED)
    story.tell(events.Settled())
    story.hear(A, "y", "20.1", "10.1", "5.2", leads=True)
    found = story.install(story.fetch("y", "20.1", "10.1", "5.2"))
    assert {r.merged for r in reports(found)} == {("4.1-a",)}


def test_an_archive_that_speaks_while_no_version_stands_here_is_heard_later():
    """Somebody edited the state; it is put back."""
    story = Story(held("x", "5.2")).follow()
    story.link(A)
    story.tell(events.StateChanged(files("edited")))
    assert {r.merged for r in reports(story.tell(events.Archived((), ("4.1-a",))))} <= {()}
    found = story.tell(events.StateChanged(files("x")))
    assert {r.merged for r in reports(found)} == {("4.1-a",)}


def test_a_merge_that_lost_is_not_reported_by_who_leads_at_once():
    """Had was told to lead while another history was being installed: the first word after it is of that history alone."""
    story = Story(held("x", "10.1", "5.2"))
    story.link(A, C)
    story.follow()
    story.tell(events.Archived((), ("4.1-a",)))
    story.hear(A, "y", "20.1", "5.2", leads=True)
    story.fetch("y", "20.1", "5.2")
    story.tell(events.LeadershipBegan(30))
    begin = len(story.done)
    story.install(story.done)
    story.wait(story.now + T)
    said = {(r.version.gid, r.merged) for r in reports(story.done[begin:], C)}
    assert said and {merged for gid, merged in said if gid != 10} == {()}


def test_what_others_merged_is_passed_on():
    """Whoever merged may be dead when the owner of the conflict comes back: all who hold the merge say so."""
    story = Story(held("x", "10.1", "5.2"))
    story.link(A, C)
    story.follow()
    story.hear(A, "xy", "10.2", "5.2", leads=True, merged=("4.1-a",))
    story.install(story.fetch("xy", "10.2", "5.2"))
    story.hear(A, "xy", "10.2", "5.2", leads=True, merged=("4.1-a",))
    found = story.wait(story.now + T)
    assert {(r.version.point, r.merged) for r in reports(found, C)} == {(Point(10, 2), ("4.1-a",))}


def test_what_others_merged_is_said_no_more_of_another_history():
    """Another leader's word went over the state that it was merged into."""
    story = Story(held("x", "10.1", "5.2")).follow()
    story.link(A, C)
    story.hear(A, "x", "10.1", "5.2", leads=True, merged=("4.1-a",))
    assert story.machine.revisions.merged == {"4.1-a": Point(10, 1)}
    story.hear(A, "z", "30.1", "5.2", leads=True)
    story.install(story.fetch("z", "30.1", "5.2"))
    assert story.machine.revisions.merged == {}


def test_a_borrowed_conflict_is_marked_when_somebody_else_merges_it():
    """It was scheduled here by a leadership that is over: the next one must not charge it again."""
    story = Story(held("x", "10.1", "5.2")).follow()
    story.link(A)
    story.tell(events.Archived((), (), ("4.1-a",)))
    found = story.hear(A, "x", "10.1", "5.2", leads=True, merged=("4.1-a",))
    assert one(found, effects.MarkMerged) == effects.MarkMerged(("4.1-a",), Point(10, 1))


def test_what_others_say_is_remembered_within_bounds():
    """A replica that names ever other conflicts fills no memory."""
    story = Story(held("x", "10.1", "5.2")).follow()
    story.link(A)
    for number in range(10):
        names = tuple(f"{number}.{n}-a" for n in range(64))
        story.hear(A, "o", f"{number + 11}.1", "6.1", merged=names)
        story.hear(A, "x", "10.1", "5.2", merged=names)
    revisions = story.machine.revisions
    assert len(revisions.merged) <= CLAIMS_LIMIT
    assert len(revisions._claims) <= CLAIMS_LIMIT
