"""The replica machine, story by story; the hard cases and HTCondor's weaknesses that each one settles are named."""

import math

import attrs
import pytest

from replication import effects, events
from replication.condors import RENAMING_SECONDS
from replication.effects import Currency
from replication.events import CondorCommand, Point, State
from replication.ledger import NOTE_RETRY_SECONDS
from replication.manifest import fingerprint
from replication.peers import FIRST_RETRY_SECONDS
from replication.replica import FENCE_TIMEOUTS, QUIET_SECONDS, Replica
from replication.version import CLOCK_LIMIT, LINEAGE_LIMIT, Relation, compare
from tests.replication.tellers import (
    SETTINGS,
    A,
    C,
    Others,
    Story,
    T,
    files,
    held,
    one,
    only,
    remarks,
    reports,
    unled,
    version,
)

BEGAN, ENDED = events.LeadershipBegan, events.LeadershipEnded(is_stopped=True)


def leading(content="x", *points, epoch=10):
    """Give a story in which this node leads and has written nothing yet."""
    story = Story(held(content, *(points or ("5.2",))))
    story.link(A, C)
    story.follow()
    story.hear(A)
    story.hear(C)
    story.tell(BEGAN(epoch))
    return story


# --- joining --------------------------------------------------------------------------------------------------


def test_a_joiner_fetches_the_newest_version_before_it_is_a_backup():
    """HTCondor of 23.5 and later never does, and then leads with old priorities (2.8.1)."""
    story = Story(held("x", "5.2"))
    story.link(A, C)
    story.tell(ENDED)
    story.hear(A, "xy", "5.3")
    assert story.machine.state is State.VERSION_REQUESTING
    found = story.hear(C, "xyz", "5.4")
    assert story.machine.state is State.VERSION_DOWNLOADING
    assert one(found, effects.StartDownload) == effects.StartDownload(1, C, is_ours=True)
    effect = one(story.fetch("xyz", "5.4"), effects.Install)
    assert not effect.is_conflict
    story.tell(events.Installed(1, effect.held))
    assert (story.machine.state, story.held) == (State.BACKUP, "5.4")


def test_a_joiner_waits_for_a_silent_replica_for_t():
    """Hard case 19: not longer, and not for one whose daemon is gone."""
    story = Story(held("x", "5.2"))
    story.tell(events.Gone(A))
    story.wait(T - 0.1)
    assert story.machine.state is State.VERSION_REQUESTING
    story.wait(T)
    assert story.machine.state is State.BACKUP


def test_a_joiner_that_cannot_fetch_becomes_a_backup_when_its_time_is_up():
    """And goes on trying."""
    story = Story(held("x", "5.2"))
    story.link(A, C)
    story.tell(ENDED)
    story.hear(A, validity_seconds=1000.0)
    story.hear(C, "xyz", "5.4", validity_seconds=1000.0)
    story.wait(SETTINGS.lifetime_seconds - 1)
    assert story.machine.state is State.VERSION_DOWNLOADING
    story.wait(SETTINGS.lifetime_seconds + 1)
    assert story.machine.state is State.BACKUP
    assert story.machine.download is not None


def test_nothing_is_installed_before_had_has_said_whether_it_leads():
    """A restarted replication daemon finds a controllee running; its had tells in a moment (2.8.14)."""
    story = Story(held("x", "5.2"))
    story.link(A, C)
    story.hear(A)
    story.hear(C, "xyz", "5.4")
    assert only(story.fetch("xyz", "5.4"), effects.Install) == []
    assert one(story.tell(ENDED), effects.Install).held.version == version("5.4")


def test_a_had_that_never_speaks_does_not_hold_up_its_replica_for_ever():
    """Two T, within which the guard of a dead or frozen had has ended the controllee."""
    story = Story(held("x", "5.2"))
    story.link(A)
    story.hear(A, "xy", "5.3", validity_seconds=100.0)
    story.wait(T)
    story.fetch("xy", "5.3")
    found = story.wait(2 * T)
    assert "had_silent" in remarks(found)
    assert only(found, effects.Install) != []


def test_a_daemon_that_stood_still_waits_for_hads_word():
    """Had may have started a controllee without it; what had said meanwhile is read first and does not count."""
    story = following()
    story.tell(events.Tick(), story.now + 5 * T)
    story.hear(A, "xy", "10.2", "5.2", leads=True, validity_seconds=100.0)
    assert only(story.fetch("xy", "10.2", "5.2"), effects.Install) == []
    assert only(story.tell(ENDED), effects.Install) == []
    assert only(story.tell(ENDED, story.now + T / 4), effects.Install) != []


def test_a_daemon_that_stood_still_takes_nobodys_changes_for_a_strangers():
    """Its had leads, and says so soon."""
    story = following()
    story.tell(events.Tick(), story.now + 5 * T)
    assert only(story.tell(events.StateChanged(files("new"))), effects.KeepConflict) == []
    story.tell(events.LeadershipConfirmed(20))
    assert story.machine.version == version("20.1", "10.1", "5.2")


def test_a_daemon_that_stood_still_waits_for_a_dead_had_for_two_t():
    """As at its start."""
    story = following()
    story.tell(events.Tick(), story.now + 5 * T)
    begin = story.now
    story.hear(A, "xy", "10.2", "5.2", leads=True, validity_seconds=100.0)
    story.fetch("xy", "10.2", "5.2")
    assert only(story.wait(begin + 2 * T - 0.1), effects.Install) == []
    assert only(story.wait(begin + 2 * T), effects.Install) != []


def test_a_slow_start_is_no_standstill():
    """A daemon that looked at a large state first believes had's first word."""
    machine = Replica(SETTINGS, held("x", "10.1", "5.2"), 1, 0.0)
    assert machine.deadline == 0.0
    found = machine.handle(ENDED, 100.0)
    found += machine.handle(Others().report(A, "xy", "10.2", "5.2", leads=True), 100.1)
    found += machine.handle(Others().report(C, "xy", "10.2", "5.2"), 100.1)
    assert one(found, effects.StartDownload).peer == A
    machine.handle(events.Offered(1, version("10.2", "5.2")), 100.2)
    found = machine.handle(events.Received(1, version("10.2", "5.2"), files("xy")), 100.3)
    assert only(found, effects.Install) != []


def test_a_late_turn_of_the_loop_is_no_standstill():
    """A quarter of T: shorter than any wait in which had gives its replica up."""
    story = following()
    story.tell(events.Tick(), story.machine.deadline + T / 4)
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    assert only(story.fetch("xy", "10.2", "5.2"), effects.Install) != []


# --- leading --------------------------------------------------------------------------------------------------


def test_each_leadership_is_a_new_gid_with_its_parent():
    """The version is durable before it is reported, and reported before anybody may fetch it."""
    story = Story(held("x", "5.2"), is_disk_slow=True)
    story.link(A, C)
    story.follow()
    found = story.tell(BEGAN(10))
    note = one(found, effects.Note).held
    assert (note.version, note.is_leading) == (version("10.0", "5.2"), True)
    assert {(r.state, str(r.version.point)) for r in reports(found)} <= {(State.BACKUP, "5.2")}
    found = story.tell(events.Noted(note))
    assert {(r.state, str(r.version.point)) for r in reports(found)} == {(State.LEADER, "10.0")}


def test_a_leader_without_any_state_begins_a_history():
    """Its first file is the first change."""
    story = Story()
    story.follow()
    story.tell(BEGAN(10))
    story.tell(events.StateChanged(files("x")))
    assert story.machine.version == version("10.1")


def test_a_change_becomes_a_version_and_is_told_at_once():
    """HTCondor looks every 300 seconds, and loses the second of two changes within one (2.8.2, 2.8.3)."""
    story = leading()
    found = story.tell(events.StateChanged(files("xy")))
    assert one(found, effects.Announce).version == version("10.1", "5.2")
    assert {r.sequence for r in reports(found, A)} == {r.sequence for r in reports(found, C)} != set()
    assert story.tell(events.StateChanged(files("xy"))) == []


def test_a_burst_of_changes_is_one_more_version():
    """While one is written down the others wait, and only the last of them counts."""
    story = leading()
    story.is_disk_slow = True
    note = one(story.tell(events.StateChanged(files("a"))), effects.Note).held
    for content in ("ab", "abc", "abcd"):
        assert only(story.tell(events.StateChanged(files(content))), effects.Note) == []
    last = one(story.tell(events.Noted(note)), effects.Note).held
    assert (str(last.version.point), last.files) == ("10.2", files("abcd"))


def test_a_change_that_is_taken_back_while_it_is_written_is_a_change():
    """What stands there in the end is what the last version covers."""
    story = leading("x")
    story.is_disk_slow = True
    note = one(story.tell(events.StateChanged(files("xy"))), effects.Note).held
    story.tell(events.StateChanged(files("x")))
    last = one(story.tell(events.Noted(note)), effects.Note).held
    assert (str(last.version.point), last.files) == ("10.2", files("x"))


def test_a_full_disk_delays_a_version_and_loses_none():
    """It is tried again, unreported until then, with whatever has changed meanwhile."""
    story = leading()
    story.is_disk_slow = True
    story.tell(events.StateChanged(files("xy")))
    found = story.tell(events.NoteFailed("No space left on device"))
    assert remarks(found) == ["version_not_written"]
    assert only(found, effects.Note) == []
    note = one(story.wait(story.now + NOTE_RETRY_SECONDS), effects.Note).held
    assert (str(note.version.point), note.files) == ("10.1", files("xy"))


def test_what_could_not_be_written_is_not_forgotten_when_it_is_seen_again():
    """The look that finds it a second time says nothing new; with a state that has a version, and with none."""
    for story in (leading(), Story().follow()):
        story.is_disk_slow = True
        note = one(story.tell(events.StateChanged(files("xy"))), effects.Note).held
        story.tell(events.StateChanged(files("xy")))
        story.tell(events.NoteFailed("No space left on device"))
        again = one(story.wait(story.now + NOTE_RETRY_SECONDS), effects.Note).held
        assert (again.version, again.files) == (note.version, files("xy"))


def test_a_beginning_that_could_not_be_written_is_no_change():
    """It is written in the end, and nothing after it."""
    story = Story(held("x", "5.2")).follow()
    story.is_disk_slow = True
    story.tell(BEGAN(10))
    story.tell(events.NoteFailed("No space left on device"))
    story.is_disk_slow = False
    found = story.wait(story.now + NOTE_RETRY_SECONDS)
    assert [n.held.version for n in only(found, effects.Note)] == [version("10.0", "5.2")]


def test_a_failure_to_write_what_nobody_asked_for_changes_nothing():
    """A late or confused driver."""
    story = leading()
    story.tell(events.NoteFailed("what?"))
    assert story.held == "10.0"


def test_a_leadership_of_which_nothing_was_written_never_was():
    """The disk was full from its beginning to its end, and nothing was changed."""
    story = Story(held("x", "5.2")).follow()
    story.is_disk_slow = True
    story.tell(BEGAN(10))
    story.tell(events.NoteFailed("No space left on device"))
    story.tell(ENDED)
    story.tell(events.Settled())
    found = story.wait(story.now + NOTE_RETRY_SECONDS)
    assert only(found, effects.Note) == []
    assert (story.machine.state, story.held) == (State.BACKUP, "5.2")


def test_a_leadership_of_which_nothing_was_written_numbers_what_it_changed():
    """The disk was full from its beginning to its end."""
    story = Story(held("x", "5.2")).follow()
    story.is_disk_slow = True
    story.tell(BEGAN(10))
    story.tell(events.NoteFailed("No space left on device"))
    story.tell(ENDED)
    story.tell(events.StateChanged(files("last")))
    story.tell(events.Settled())
    story.is_disk_slow = False
    story.wait(story.now + NOTE_RETRY_SECONDS)
    assert (story.machine.state, story.held) == (State.BACKUP, "10.1")
    assert story.machine.epoch is None


def test_had_that_goes_on_leading_changes_nothing():
    """condor_replication leaves when it hears of an election while it leads (2.8.8)."""
    story = leading()
    assert only(story.tell(BEGAN(10)), effects.Note) == []
    assert only(story.tell(events.LeadershipConfirmed(10)), effects.Transition) == []
    assert story.machine.state is State.LEADER


def test_a_new_configuration_restarts_nothing():
    """HTCondor drops a leader to VERSION_REQUESTING for it (2.8.9)."""
    story = leading()
    story.hear(A, "x", "5.2")
    found = story.tell(events.Reconfigured(SETTINGS))
    assert only(found, effects.Transition) == []
    assert story.machine.peers[A].version == version("5.2")


def test_a_restarted_daemon_goes_on_under_the_gid_of_its_leading_had():
    """What the controllee wrote meanwhile is the next version, not a stranger's change."""
    story = Story(held("x", "10.4", "5.2", is_leading=True))
    story.tell(events.StateChanged(files("xy")))
    found = story.tell(events.LeadershipConfirmed(10))
    assert only(found, effects.Watch) != []
    assert story.machine.version == version("10.5", "5.2")
    assert story.machine.state is State.LEADER


def test_a_beginning_that_was_missed_is_made_up_for():
    """The replica was down while its had began to lead, and its controllee has written already."""
    story = Story(held("x", "5.2"))
    story.tell(events.StateChanged(files("xy")))
    story.tell(events.LeadershipConfirmed(10))
    assert story.machine.version == version("10.1", "5.2")
    assert not story.machine.ledger.is_altered


def test_a_number_is_never_given_twice():
    """This leader's disk was put back: others hold more of its own leadership, and it numbers from there."""
    story = leading()
    story.tell(events.StateChanged(files("xy")))
    found = story.hear(A, "something that was lost here", "10.7", "5.2")
    assert "clock_behind" in remarks(found)
    assert story.machine.version == version("10.8", "5.2")
    assert only(story.hear(C, "the same again", "10.6", "5.2"), effects.Note) == []


def test_only_a_number_that_is_ahead_is_worth_a_remark():
    """Not one that was remarked before, nor that of another leadership, nor none."""
    story = leading()
    story.hear(A, "lost here", "10.7", "5.2")
    for found in (story.hear(A, "lost here", "10.7", "5.2"), story.hear(A), story.hear(C, "x", "5.2")):
        assert "clock_behind" not in remarks(found)
    assert "clock_behind" not in remarks(Story().follow().hear(A, "x", "5.2"))


def test_each_leadership_counts_from_0():
    """Whatever was known of the numbers of the one before."""
    story = leading()
    story.hear(A, "lost here", "10.7", "5.2")
    assert story.held == "10.8"
    story.tell(BEGAN(20))
    story.tell(events.StateChanged(files("xy")))
    assert story.machine.version == version("20.1", "10.8", "5.2")


def test_other_bytes_under_the_same_number_get_another_one():
    """The controllee writes here, so what is here is right."""
    story = leading()
    story.tell(events.StateChanged(files("xy")))
    story.hear(A, "of the past", "10.1", "5.2")
    assert story.machine.version == version("10.2", "5.2")


def test_where_the_numbers_end_a_leadership_goes_on_under_another_gid():
    """condor_replication exits at the 31-bit limit, and again after each restart (2.8.4)."""
    story = Story(held("x", f"10.{CLOCK_LIMIT}", "5.2", is_leading=True))
    story.tell(events.LeadershipConfirmed(10))
    story.tell(events.StateChanged(files("xy")))
    found = story.machine.version
    assert found == version("138.1", f"10.{CLOCK_LIMIT}", "5.2")
    assert story.tell(events.LeadershipConfirmed(10)) == []
    story.tell(events.StateChanged(files("xyz")))
    assert story.machine.version.point == Point(138, 2)


def test_two_leaders_take_nothing_from_each_other():
    """HTCondor's two ignore each other without a word and both bump one gid (2.8.7, 2.8.10)."""
    story = leading()
    found = story.hear(A, "other", "20.1", "5.2", leads=True)
    assert only(found, effects.StartDownload) == []
    assert story.machine.version == version("10.0", "5.2")


def test_a_leader_on_an_older_state_is_followed_and_the_newer_one_kept():
    """Had led although somebody holds more: its word goes over ours, and ours becomes a conflict."""
    story = Story(held("xyz", "5.4")).follow()
    story.link(A)
    story.hear(A, "xy-", "20.1", "5.3", leads=True)
    assert one(story.fetch("xy-", "20.1", "5.3"), effects.Install).is_conflict


# --- the end of a leadership ----------------------------------------------------------------------------------


def test_the_last_bytes_get_a_version_before_anything_is_installed():
    """A real condor_had says that it leads no more while its negotiator still writes (705)."""
    story = leading()
    story.hear(A, "other", "20.1", "5.2", leads=True)
    settle = one(story.tell(events.LeadershipEnded(is_stopped=False)), effects.Settle)
    assert settle.quiet_seconds == QUIET_SECONDS
    found = story.tell(events.StateChanged(files("last")))
    assert story.machine.version == version("10.1", "5.2")
    assert only(found, effects.StartDownload) == []
    assert {r.state for r in reports(found)} == {State.BACKUP}
    found = story.tell(events.Settled())
    assert story.machine.state is State.BACKUP
    assert one(found, effects.StartDownload).peer == A
    assert one(story.fetch("other", "20.1", "5.2"), effects.Install).is_conflict


def test_a_leadership_that_changed_nothing_leaves_no_conflict():
    """Its bytes are its parent's, which the other grew out of too."""
    story = leading()
    story.hear(A, "other", "20.1", "5.2", leads=True)
    story.tell(ENDED)
    story.tell(events.Settled())
    assert not one(story.fetch("other", "20.1", "5.2"), effects.Install).is_conflict


def test_an_ended_leadership_is_marked_so():
    """After that a file that differs was changed by somebody who must not."""
    story = leading()
    story.tell(ENDED)
    story.tell(events.Settled())
    assert story.machine.ledger.held == unled(held("x", "10.0", "5.2"))
    assert story.machine.epoch is None


def test_a_had_that_is_silent_leads_no_more():
    """Its guard has ended the controllee; HTCondor's patience has no slack at all (ReplicatorStateMachine.cpp)."""
    story = leading()
    story.tell(events.LeadershipConfirmed(10), story.now + 1)
    found = story.wait(story.now + 2 * T - 0.1)
    assert only(found, effects.Settle) == []
    found = story.wait(story.now + 0.2)
    assert "leadership_unconfirmed" in remarks(found)
    assert only(found, effects.Settle) == [effects.Settle(QUIET_SECONDS)]


def test_a_silent_had_that_does_not_lead_is_not_missed():
    """Its replica has nothing to end."""
    story = Story(held("x", "5.2")).follow()
    assert remarks(story.wait(story.now + 5 * T)) == []


def test_a_had_that_slept_is_not_followed_into_the_past():
    """It confirms a leadership that ended here long ago, after a later one was installed (fencing)."""
    story = leading()
    story.wait(story.now + 2 * T)
    story.tell(events.Settled())
    story.hear(A, "new", "20.1", "10.0", "5.2", leads=True)
    story.install(story.fetch("new", "20.1", "10.0", "5.2"))
    found = story.tell(events.LeadershipConfirmed(10))
    assert "leadership_refused" in remarks(found)
    assert story.machine.state is State.BACKUP


@pytest.mark.parametrize("word", [BEGAN(10), events.LeadershipConfirmed(10)])
def test_a_had_that_slept_gets_no_number_a_second_time(word):
    """Its leadership was given up for another's with a smaller epoch; nothing that stands here knows of it any more."""
    story = leading()
    story.tell(events.StateChanged(files("lost")))
    story.wait(story.now + 2 * T)
    story.tell(events.Settled())
    story.hear(A, "y", "7.1", "5.2", leads=True)
    story.install(story.fetch("y", "7.1", "5.2"))
    found = story.tell(word)
    assert "leadership_refused" in remarks(found)
    assert only(found, effects.Note) == []
    story.tell(BEGAN(11))
    assert story.machine.version == version("11.0", "7.1", "5.2")


def test_a_host_that_died_while_it_led_finds_its_last_bytes():
    """Nobody had them: they become a version, and a conflict when the next leader's state replaces them."""
    story = Story(held("x", "10.4", "5.2", is_leading=True))
    story.link(A)
    story.tell(events.StateChanged(files("x and more")))
    assert story.machine.version == version("10.5", "5.2")
    story.hear(A, "x and other", "20.1", "10.4", "5.2", leads=True, validity_seconds=2 * T)
    story.tell(ENDED)
    story.tell(events.Settled())
    story.wait(T)
    assert one(story.fetch("x and other", "20.1", "10.4", "5.2"), effects.Install).is_conflict


def test_a_host_that_died_while_it_led_ends_its_leadership_though_had_is_silent():
    """Perhaps it was a real one, which says little: its patience is HTCondor's, and then the last bytes are looked for."""
    story = Story(held("x", "10.4", "5.2", is_leading=True))
    until = 2 * SETTINGS.condor_interval_seconds
    assert only(story.wait(until - 0.1), effects.Settle) == []
    assert only(story.wait(until), effects.Settle) == [effects.Settle(QUIET_SECONDS)]


def test_a_host_that_died_while_it_led_and_lost_nothing_leaves_no_conflict():
    """All its bytes had been fetched."""
    story = Story(held("x", "10.4", "5.2", is_leading=True))
    story.link(A)
    story.hear(A, "x and other", "20.1", "10.4", "5.2", leads=True, validity_seconds=2 * T)
    story.tell(ENDED)
    story.tell(events.Settled())
    story.wait(T)
    assert not one(story.fetch("x and other", "20.1", "10.4", "5.2"), effects.Install).is_conflict


# --- following ------------------------------------------------------------------------------------------------


def following(content="x", *points):
    """Give a story in which A leads and this node holds its version."""
    story = Story(held(content, *(points or ("10.1", "5.2"))))
    story.link(A, C)
    story.follow()
    story.hear(A, content, *(points or ("10.1", "5.2")), leads=True, validity_seconds=1000.0)
    return story


def test_a_backup_follows_the_leader_on_one_connection():
    """The transferer stays, and each new version comes by itself."""
    story = following()
    found = story.hear(A, "xy", "10.2", "5.2", leads=True)
    assert one(found, effects.StartDownload).peer == A
    story.install(story.fetch("xy", "10.2", "5.2"))
    story.install(story.fetch("xyz", "10.3", "5.2"))
    assert (story.held, story.machine.download.number) == ("10.3", 1)


def test_a_report_is_the_acknowledgement():
    """Who holds it says so, at once."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    found = story.install(story.fetch("xy", "10.2", "5.2"))
    assert {r.version.point for r in reports(found, A)} == {Point(10, 2)}
    leader = leading()
    leader.tell(events.StateChanged(files("xy")))
    assert leader.machine.behind() == (A, C)
    leader.hear(A, "xy", "10.1", "5.2")
    assert leader.machine.behind() == (C,)
    assert leader.machine.ledger.held.acknowledged == Point(10, 1)


def test_a_failed_transfer_is_tried_again():
    """HTCondor waits for the next change of the file (2.8.2); and a holder that works is asked instead."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    found = story.tell(events.DownloadEnded(1, is_orderly=False, reason="connection reset"))
    assert "download_failed" in remarks(found)
    assert only(found, effects.StartDownload) == []
    assert one(story.wait(story.now + 0.2), effects.StartDownload).peer == A
    story.hear(C, "xy", "10.2", "5.2")
    found = story.tell(events.DownloadEnded(2, is_orderly=False))
    assert one(found, effects.StartDownload).peer == C


def test_a_transfer_that_worked_makes_up_for_those_that_did_not():
    """The next failure is the first one again, and is tried again as soon."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True, validity_seconds=1000.0)
    for _ in range(3):
        story.tell(events.DownloadEnded(story.machine.download.number, is_orderly=False))
        story.wait(story.now + 2.0)
    story.install(story.fetch("xy", "10.2", "5.2"))
    story.tell(events.DownloadEnded(story.machine.download.number, is_orderly=True))
    story.hear(A, "xyz", "10.3", "5.2", leads=True, validity_seconds=1000.0)
    story.tell(events.DownloadEnded(story.machine.download.number, is_orderly=False))
    assert story.machine.peers[A].retry_at == story.now + FIRST_RETRY_SECONDS


def test_a_source_that_never_finishes_is_left():
    """MAX_TRANSFER_LIFETIME."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True, validity_seconds=1000.0)
    story.tell(events.Offered(1, version("10.2", "5.2")))
    found = story.wait(story.now + SETTINGS.lifetime_seconds)
    assert one(found, effects.StopDownload) == effects.StopDownload(1, "MAX_TRANSFER_LIFETIME is over")


def test_a_source_that_does_not_send_what_it_reports_is_left():
    """It was idle for five seconds and T while it reported more."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True, validity_seconds=1000.0)
    assert one(story.wait(story.now + T + 5), effects.StopDownload).download == 1


def test_a_new_leader_is_asked_at_once():
    """The old one's transferer, which stays for more, does not stand in its way."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    story.install(story.fetch("xy", "10.2", "5.2"))
    found = story.hear(C, "xyz", "20.1", "10.2", "5.2", leads=True)
    assert one(found, effects.StopDownload).download == 1
    assert one(story.tell(events.DownloadEnded(1, is_orderly=True)), effects.StartDownload).peer == C


def test_a_download_that_brings_nothing_newer_is_ended():
    """Its other end is gone, and nobody else has more; what is on its way all the same is waited for."""
    for is_offered in (False, True):
        story = Story(held("x", "5.2")).follow()
        story.link(A)
        story.hear(A, "xy", "5.3")
        if is_offered:
            story.tell(events.Offered(1, version("5.3")))
        found = story.tell(events.Gone(A))
        stopped = [effects.StopDownload(1, "nothing newer is held there")]
        assert only(found, effects.StopDownload) == ([] if is_offered else stopped)


@pytest.mark.parametrize("points", [("20.2", "5.2"), ("30.1", "20.3", "5.2")])
def test_a_leaders_word_is_its_leadership_and_what_grew_out_of_it(points):
    """What it sends may be a little older than what it reports, or newer already."""
    story = Story(held("xyz", "5.4")).follow()
    story.link(A)
    story.hear(A, "xy-", "20.3", "5.2", leads=True)
    assert one(story.tell(events.Offered(1, version(*points))), effects.Take).version == version(*points)


def test_a_download_ends_when_this_node_begins_to_lead():
    """HTCondor's goes on, and is renamed over the file of the running negotiator (2.8.14)."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    story.tell(events.Offered(1, version("10.2", "5.2")))
    found = story.tell(BEGAN(20))
    assert one(found, effects.StopDownload).reason == "this node leads"
    assert only(story.tell(events.Received(1, version("10.2", "5.2"), files("xy"))), effects.Install) == []


def test_an_installation_under_way_comes_before_a_leadership():
    """The first version of the leadership has the installed one as its parent, not the one before."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    effect = one(story.fetch("xy", "10.2", "5.2"), effects.Install)
    assert only(story.tell(BEGAN(20)), effects.Note) == []
    story.tell(events.DownloadEnded(1, is_orderly=False))
    story.tell(events.Installed(1, effect.held))
    assert story.machine.version == version("20.0", "10.2", "5.2")


def test_a_had_that_wakes_during_an_installation_is_judged_after_it():
    """Its leadership is overtaken by what is just being installed, and goes on under nobody else's gid."""
    story = leading()
    story.wait(story.now + 2 * T)
    story.tell(events.Settled())
    story.hear(A, "new", "20.1", "5.2", leads=True)
    effect = one(story.fetch("new", "20.1", "5.2"), effects.Install)
    story.tell(events.LeadershipConfirmed(10))
    found = story.tell(events.Installed(1, effect.held))
    assert "leadership_refused" in remarks(found)
    assert only(found, effects.Note) == []
    assert story.machine.state is State.BACKUP


def test_an_installation_that_fails_is_tried_again():
    """A full disk: the pair is what it was, and the transfer is repeated."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True, validity_seconds=1000.0)
    story.fetch("xy", "10.2", "5.2")
    found = story.tell(events.InstallFailed(1, "No space left on device"))
    assert only(found, effects.StopDownload) != []
    story.tell(events.DownloadEnded(1, is_orderly=False))
    assert story.held == "10.1"
    assert one(story.wait(story.now + 0.2), effects.StartDownload).peer == A


@pytest.mark.parametrize("points", [("10.0", "5.2"), ("7.3", "5.2")])
def test_an_older_or_diverged_version_of_no_leader_is_refused(points):
    """An old version pushed by somebody confused."""
    story = following()
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    found = story.tell(events.Offered(1, version(*points)))
    assert "version_rejected" in remarks(found)
    assert only(found, effects.Take) == []


def test_a_leader_that_woke_up_is_not_believed_at_once():
    """Its epoch is over: what is held here is of a later one, which was heard lately. In the end it is all there is."""
    story = Story(held("x", "10.1", "5.2"))
    story.link(A, C)
    story.follow()
    story.hear(A, "x", "10.1", "5.2", leads=True)
    begin = story.now
    found = story.hear(C, "old", "7.3", "5.2", leads=True, validity_seconds=1000.0)
    found += story.wait(begin + FENCE_TIMEOUTS * T)
    assert only(found, effects.StartDownload) == []
    # The leader's last word is good for T, and the fence begins to fall then.
    found = story.wait(begin + (FENCE_TIMEOUTS + 1) * T + 0.1)
    assert one(found, effects.StartDownload).peer == C
    assert one(story.fetch("old", "7.3", "5.2"), effects.Install).is_conflict


def test_a_daemon_that_has_just_started_does_not_believe_a_sleeper():
    """It may have forgotten of which leader it heard."""
    story = Story(held("x", "10.1", "5.2"))
    story.link(A)
    story.tell(ENDED)
    found = story.hear(A, "old", "7.3", "5.2", leads=True, validity_seconds=1000.0)
    assert only(found + story.wait(FENCE_TIMEOUTS * T - 0.1), effects.StartDownload) == []
    assert only(story.wait(FENCE_TIMEOUTS * T), effects.StartDownload) != []


def test_a_replayed_report_is_rejected():
    """What was said earlier does not count later."""
    story = following()
    early = story.others.report(A, "w", "10.0", "5.2", leads=True)
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    assert "report_rejected" in remarks(story.tell(early))
    assert "report_rejected" in remarks(story.hear("127.0.0.9:41450", "z", "99.1"))


def test_a_state_that_somebody_changed_is_kept_and_fetched_anew():
    """Hard case 21: it is never replicated; this node holds no version until it has one again."""
    story = following()
    found = story.tell(events.StateChanged(files("edited")))
    assert only(found, effects.KeepConflict) == [effects.KeepConflict(version("10.1", "5.2"))]
    assert {r.version for r in reports(found, A)} == {None}
    assert one(found, effects.StartDownload).peer == A
    refused = story.tell(events.UploadAsked(1, C, is_ours=True))
    assert only(refused, effects.RefuseUpload) != []
    story.install(story.fetch("x", "10.1", "5.2"))
    assert story.machine.version == version("10.1", "5.2")


def test_a_changed_state_that_is_put_back_is_what_it_was():
    """Nothing has to be fetched."""
    story = Story(held("x", "5.2")).follow()
    story.tell(events.StateChanged(files("edited")))
    assert story.machine.version is None
    story.tell(events.StateChanged(files("x")))
    assert story.machine.version == version("5.2")


def test_a_leadership_on_a_changed_state_does_not_claim_its_parents():
    """Nobody knows what it grew out of, so nobody takes it for a child."""
    story = Story(held("x", "5.2")).follow()
    story.tell(events.StateChanged(files("edited")))
    story.tell(BEGAN(10))
    assert story.machine.version == version("10.0", is_rooted=False)
    assert story.machine.ledger.held.files == files("edited")


def test_a_state_that_nobody_numbered_is_0_0():
    """A pool that begins to use replication: HTCondor's number for what it knows nothing of."""
    story = Story()
    story.tell(events.StateChanged(files("old pool")))
    assert story.machine.version == version("0.0", is_rooted=False)


def test_an_installation_waits_for_what_is_being_written():
    """The pair changes in one order: first the number of what stands here, then what replaces it."""
    story = Story(is_disk_slow=True)
    note = one(story.tell(events.StateChanged(files("old pool"))), effects.Note).held
    story.link(A)
    story.tell(ENDED)
    story.hear(A, "x", "10.1", "5.2", leads=True)
    story.wait(T - 0.1)
    story.hear(A, "x", "10.1", "5.2", leads=True)
    story.wait(T)
    assert only(story.fetch("x", "10.1", "5.2"), effects.Install) == []
    assert one(story.tell(events.Noted(note)), effects.Install).is_conflict


# --- had's questions ------------------------------------------------------------------------------------------


def asked(request=1, **fields):
    """Ask whether this node's state is as good as it gets."""
    return events.CurrentAsked(request, **fields)


def test_a_winner_is_answered_when_nothing_newer_can_be_had():
    """Hard case 18: every winner first takes the newest version that a reachable replica holds."""
    story = Story(held("x", "5.2"))
    story.link(A, C)
    story.tell(ENDED)
    assert only(story.tell(asked()), effects.Answer) == []
    story.hear(A)
    assert only(story.hear(C, "xy", "5.3"), effects.Answer) == []
    answer = one(story.install(story.fetch("xy", "5.3")), effects.Answer)
    assert (answer.currency, answer.version, answer.good_for_seconds) == (Currency.CURRENT, version("5.3"), T)


def test_nothing_is_installed_between_the_answer_and_the_start():
    """Had starts a controllee on this very state; if it does not, the replica goes on by itself."""
    story = Story(held("x", "5.2")).follow()
    story.link(A)
    story.tell(asked())
    story.hear(A, "xy", "5.3", validity_seconds=1000.0)
    assert only(story.fetch("xy", "5.3"), effects.Install) == []
    assert only(story.wait(story.now + 2 * T + 0.1), effects.Install) != []


@pytest.mark.parametrize("event", [ENDED, events.Withdrawn(1)])
def test_a_start_that_does_not_happen_frees_the_state(event):
    """Had says so."""
    story = Story(held("x", "5.2")).follow()
    story.link(A)
    story.tell(asked())
    story.hear(A, "xy", "5.3")
    story.fetch("xy", "5.3")
    assert only(story.tell(event), effects.Install) != []


def test_a_winner_waits_for_what_is_written_and_looked_at():
    """A number that is not durable yet, and the last bytes of a leadership that did not end in order."""
    story = Story(is_disk_slow=True).follow()
    note = one(story.tell(events.StateChanged(files("old pool"))), effects.Note).held
    assert only(story.tell(asked()), effects.Answer) == []
    assert one(story.tell(events.Noted(note)), effects.Answer).currency is Currency.CURRENT
    story = Story(held("x", "10.4", "5.2", is_leading=True))
    story.wait(T)
    assert story.machine.state is State.BACKUP
    assert only(story.tell(asked()), effects.Answer) == []
    story.tell(ENDED)
    assert one(story.tell(events.Settled()), effects.Answer).currency is Currency.CURRENT


def test_what_was_fetched_is_judged_again_before_it_is_installed():
    """It was the leader's word, and waited for a start that did not happen; meanwhile nobody leads any more."""
    story = Story(held("xyz", "5.4")).follow()
    story.link(A)
    story.tell(asked())
    story.hear(A, "xy-", "20.1", "5.3", leads=True)
    assert only(story.fetch("xy-", "20.1", "5.3"), effects.Install) == []
    story.tell(events.Gone(A))
    found = story.tell(events.Withdrawn(1))
    assert only(found, effects.Install) == []
    assert only(found, effects.Refuse) != []


def test_a_winner_that_cannot_fetch_starts_on_a_stale_state_in_the_end():
    """Hard case 19: with no incumbent at most MAX_TRANSFER_LIFETIME."""
    story = Story(held("x", "5.2")).follow()
    story.link(A)
    story.hear(A, "xy", "5.3", validity_seconds=1000.0)
    story.tell(asked())
    found = story.wait(story.now + SETTINGS.lifetime_seconds + 0.1)
    assert one(found, effects.Answer).currency is Currency.STALE


def test_a_winner_knows_that_a_dead_host_held_more():
    """Its last report was of a version that nobody fetched: no wait, and no pretence."""
    story = Story(held("x", "10.1", "5.2")).follow()
    story.link(A)
    story.hear(A, "xy", "10.2", "5.2", leads=True)
    story.tell(events.Gone(A))
    assert one(story.tell(asked()), effects.Answer).currency is Currency.STALE


def test_a_returning_primary_waits_for_the_incumbents_state():
    """Hard case 19: as long as it takes, also where the incumbent's replica was not heard yet."""
    story = Story(held("x", "5.2")).follow()
    assert only(story.tell(asked(incumbent_epoch=20)), effects.Answer) == []
    assert only(story.wait(story.now + 10 * SETTINGS.lifetime_seconds), effects.Answer) == []
    story.link(A)
    story.hear(A, "xy", "20.1", "5.2", leads=True)
    answer = one(story.install(story.fetch("xy", "20.1", "5.2")), effects.Answer)
    assert (answer.currency, answer.good_for_seconds) == (Currency.CURRENT, 0.0)
    story.hear(A, "xyz", "20.2", "5.2", leads=True)
    assert only(story.fetch("xyz", "20.2", "5.2"), effects.Install) != []


def test_missing_is_certain_when_every_member_says_so():
    """HAD_MISSING_STATE = wait is satisfied by all members reporting no state."""
    story = Story().follow()
    story.link(A, C)
    story.hear(A, validity_seconds=1000.0)
    assert only(story.tell(asked(is_missing_refused=True)), effects.Answer) == []
    answer = one(story.tell(asked(2)), effects.Answer)
    assert (answer.currency, answer.is_missing_everywhere) == (Currency.MISSING, False)
    answer = one(story.hear(C), effects.Answer)
    assert (answer.request, answer.currency, answer.is_missing_everywhere) == (1, Currency.MISSING, True)


def test_several_winners_are_answered_each():
    """Had asked twice, from two connections."""
    story = Story(held("x", "5.2"))
    story.tell(ENDED)
    story.tell(asked(1))
    story.tell(asked(2))
    found = story.wait(T)
    assert [a.request for a in only(found, effects.Answer)] == [1, 2]


def test_an_answer_tells_the_largest_gid():
    """An epoch below it is not had's to take."""
    story = Story(held("x", "5.2")).follow()
    story.hear(A, "y", "77.3", "5.1")
    assert one(story.tell(asked()), effects.Answer).known_gid == 77


def test_a_flush_ends_when_the_successor_has_the_last_version():
    """P3: the last look, its version, its report; a third replica that is far behind holds nobody up."""
    story = leading()
    story.hear(A, "x", "10.0", "5.2")
    found = story.tell(events.FlushAsked(1, 10.0, successor=A))
    assert one(found, effects.Settle).quiet_seconds == 0.0
    story.tell(events.StateChanged(files("last")))
    assert only(story.tell(events.Settled()), effects.Answer) == []
    answer = one(story.hear(A, "last", "10.1", "5.2"), effects.Answer)
    assert (answer.is_complete, answer.behind) == (True, ())
    story.tell(ENDED)
    assert story.machine.state is State.BACKUP


def test_a_flush_that_takes_too_long_says_who_lacks_what():
    """Hard case 20: it has its own bound."""
    story = leading()
    story.hear(A, "x", "10.0", "5.2", validity_seconds=100.0)
    story.tell(events.StateChanged(files("last")))
    story.tell(events.FlushAsked(1, 2.0))
    story.tell(events.Settled())
    answer = one(story.wait(story.now + 2.0), effects.Answer)
    assert (answer.is_complete, answer.behind) == (False, (A, C))


def test_a_handover_that_is_called_off_goes_on():
    """The leader's controllee is started again: its changes are watched again."""
    story = leading()
    story.tell(events.FlushAsked(1, 2.0))
    story.tell(events.Settled())
    found = story.tell(BEGAN(11))
    assert only(found, effects.Watch) != []
    story.tell(events.StateChanged(files("more")))
    assert story.machine.version == version("11.1", "10.0", "5.2")


# --- uploads --------------------------------------------------------------------------------------------------


def test_a_version_is_sent_to_whoever_is_a_member():
    """A stranger gets nothing, nor does anybody too many; a leader's transferer stays (2.8.11)."""
    story = leading()
    effect = one(story.tell(events.UploadAsked(1, A, is_ours=True)), effects.StartUpload)
    assert (effect.version, effect.is_staying) == (version("10.0", "5.2"), True)
    assert only(story.tell(events.UploadAsked(2, "127.0.0.9:1", is_ours=True)), effects.RefuseUpload) != []
    for request in range(3, 3 + SETTINGS.maximum_uploads - 1):
        assert only(story.tell(events.UploadAsked(request, C, is_ours=True)), effects.StartUpload) != []
    assert only(story.tell(events.UploadAsked(99, C, is_ours=True)), effects.RefuseUpload) != []
    story.tell(events.UploadEnded(1))
    assert only(story.tell(events.UploadAsked(100, C, is_ours=True)), effects.StartUpload) != []


def test_a_backup_sends_one_version_to_ours_and_none_to_a_real_peer():
    """As HTCondor, where only a leader sends."""
    story = following()
    assert not one(story.tell(events.UploadAsked(1, C, is_ours=True)), effects.StartUpload).is_staying
    assert only(story.tell(events.UploadAsked(2, A, is_ours=False)), effects.RefuseUpload) != []


def test_uploads_finish_what_they_send_when_a_leadership_ends():
    """A replica that fetches the last version gets it."""
    story = leading()
    story.tell(events.UploadAsked(1, A, is_ours=True))
    story.tell(ENDED)
    assert only(story.tell(events.Settled()), effects.EndUploads) != []


# --- real peers -----------------------------------------------------------------------------------------------


def real(story, command, point=None, *, state=0):
    """Let C speak as a real condor_replication."""
    return story.tell(events.CondorSaid(C, command, point, state))


def commands(found):
    """Return what was said to real peers."""
    return [(e.command, e.point) for e in only(found, effects.SendCondor)]


def test_a_real_joiner_is_told_the_leaders_version():
    """On that it fetches, what it does not do by itself any more (2.8.1)."""
    story = leading()
    story.link(C, is_ours=False)
    found = real(story, CondorCommand.NEWLY_JOINED_VERSION, Point(1, 1))
    assert commands(found) == [(CondorCommand.LEADER_VERSION, Point(10, 0))]
    found = story.tell(events.StateChanged(files("xy")))
    assert (CondorCommand.LEADER_VERSION, Point(10, 1)) in commands(found)


def test_a_real_joiner_is_told_again_when_it_listens():
    """It ignores what a leader says before its own wait for the others' versions is over."""
    story = leading()
    story.link(C, is_ours=False)
    story.done.clear()
    real(story, CondorCommand.NEWLY_JOINED_VERSION, Point(1, 1))
    began, until, told = story.now, story.now + SETTINGS.joining_seconds + T, []
    while story.now < until:
        story.tell(events.LeadershipConfirmed(10))
        story.wait(min(story.now + T / 2, until))
        told += [story.now for command, _ in commands(story.done) if command is CondorCommand.LEADER_VERSION]
        story.done.clear()
    # At once, and then; HTCondor's interval is longer.
    assert told == [began + T / 2, until]


def test_a_real_joiner_that_nobody_heard_is_told_too():
    """Both daemons start together, and what it says at its start finds nobody there."""
    story = leading()
    story.link(C, is_ours=False)
    story.done.clear()
    until = story.now + SETTINGS.joining_seconds + T
    while story.now < until:
        story.tell(events.LeadershipConfirmed(10))
        story.wait(min(story.now + T / 2, until))
    said = [command for command, _ in commands(story.done)]
    assert said == [CondorCommand.LEADER_VERSION]


def test_a_real_backup_acknowledges_what_it_says_to_hold():
    """It is asked a moment after each upload; what it holds is in two places then."""
    story = leading()
    story.link(C, is_ours=False)
    story.tell(events.StateChanged(files("xy")))
    story.tell(events.UploadAsked(7, C, is_ours=False))
    story.tell(events.UploadEnded(7))
    story.done.clear()
    story.wait(story.now + RENAMING_SECONDS)
    assert commands(story.done) == [(CondorCommand.SOLICIT_VERSION, Point(10, 1))]
    assert not story.machine.ledger.held.is_acknowledged
    real(story, CondorCommand.SOLICIT_VERSION_REPLY, Point(10, 1), state=2)
    assert story.machine.ledger.held.is_acknowledged


def test_a_real_backup_that_missed_a_version_is_told_again():
    """It hears nothing of a new one while it fetches the one before, and never asks; less and less often if it cannot have it."""
    story = leading()
    story.link(C, is_ours=False)
    story.tell(events.StateChanged(files("xy")))
    told = []
    for _ in range(4):
        story.done.clear()
        real(story, CondorCommand.SOLICIT_VERSION_REPLY, Point(10, 0), state=2)
        at = story.now
        while (CondorCommand.LEADER_VERSION, Point(10, 1)) not in commands(story.done):
            story.tell(events.LeadershipConfirmed(10), story.machine.deadline)
        told.append(round(story.now - at, 3))
    assert told == [0.2, 0.4, 0.8, 1.6]
    real(story, CondorCommand.SOLICIT_VERSION_REPLY, Point(10, 1), state=2)
    story.done.clear()
    story.wait(story.now + T / 2)
    assert commands(story.done) == []


def test_a_real_leader_with_a_larger_clock_acknowledges_nothing():
    """It goes on under our gid, perhaps from an older state: hard case 21, what nobody acknowledged is kept."""
    story = Story(held("x", "10.4", "5.2")).follow()
    story.link(C, is_ours=False)
    found = real(story, CondorCommand.LEADER_VERSION, Point(10, 6), state=3)
    assert only(found, effects.StartDownload) != []
    received = events.Received(1, version("10.6", is_rooted=False), files("theirs"))
    assert one(story.tell(received), effects.Install).is_conflict


@pytest.mark.parametrize("clock", [2, 4])
def test_a_real_primary_that_came_back_with_an_old_state_is_followed_and_ours_is_kept(clock):
    """HTCondor's secondary refuses it until its clock has passed ours, and then loses ours without a word (2.8.1)."""
    story = Story(held("x", "10.4", "5.2")).follow()
    story.link(C, is_ours=False)
    found = real(story, CondorCommand.LEADER_VERSION, Point(10, clock), state=3)
    assert one(found, effects.StartDownload) == effects.StartDownload(1, C, is_ours=False)
    received = events.Received(1, version(f"10.{clock}", is_rooted=False), files("theirs"))
    found = story.tell(received)
    assert one(found, effects.Install).is_conflict
    story.install(found)
    assert story.held == f"10.{clock}"
    # From now on it is followed as any other.
    found = real(story, CondorCommand.LEADER_VERSION, Point(10, clock + 1), state=3)
    story.tell(events.DownloadEnded(1, is_orderly=True, reason=""))
    received = events.Received(2, version(f"10.{clock + 1}", is_rooted=False), files("theirs too"))
    assert not one(story.tell(received), effects.Install).is_conflict


def test_a_real_leader_that_has_our_very_state_has_not_parted():
    """It may lead before it was asked what it holds: the same bytes under the same number are not taken twice."""
    story = Story(held("x", "10.4", "5.2")).follow()
    story.link(C, is_ours=False)
    real(story, CondorCommand.SOLICIT_VERSION_REPLY, Point(10, 4), state=3)
    found = story.tell(events.Received(1, version("10.4", is_rooted=False), files("x")))
    assert "version_rejected" in remarks(found)
    story.tell(events.DownloadEnded(1, is_orderly=True, reason=""))
    story.done.clear()
    real(story, CondorCommand.SOLICIT_VERSION_REPLY, Point(10, 4), state=3)
    story.wait(story.now + 30.0)
    assert only(story.done, effects.StartDownload) == []


def test_the_last_version_of_a_leadership_goes_to_a_real_peer_after_its_end():
    """It hears of that version when the leadership is over, and asks a moment later."""
    story = leading()
    story.link(C, is_ours=False)
    story.tell(events.StateChanged(files("xy")))
    story.tell(ENDED)
    story.tell(events.Settled())
    assert story.machine.state is State.BACKUP
    assert only(story.tell(events.UploadAsked(7, C, is_ours=False)), effects.StartUpload) != []


def test_a_real_solicitor_is_answered_by_who_has_something():
    """A joiner that has not made up its mind says nothing yet."""
    story = Story(held("x", "5.2"))
    story.link(C, is_ours=False)
    assert commands(real(story, CondorCommand.SOLICIT_VERSION)) == []
    story = leading()
    assert commands(real(story, CondorCommand.SOLICIT_VERSION)) == [
        (CondorCommand.SOLICIT_VERSION_REPLY, Point(10, 0))
    ]
    story = Story(held("x", "5.2")).follow()
    assert commands(real(story, CondorCommand.SOLICIT_VERSION)) == [
        (CondorCommand.SOLICIT_VERSION_REPLY, Point(5, 2))
    ]


def test_real_peers_are_spoken_to_at_htcondors_pace():
    """Everybody asks for their versions, and a leader tells its own, once more when a joiner would have waited."""
    interval = SETTINGS.condor_interval_seconds
    for story, told in ((leading(), 4), (Story(held("x", "5.2")).follow(), 0)):
        story.link(C, is_ours=False)
        story.done.clear()
        end = story.now + 3 * interval
        while story.now < end:
            if story.machine.is_leading:
                story.tell(events.LeadershipConfirmed(10))
            story.wait(story.now + T / 2)
        said = [found for found, _ in commands(story.done)]
        assert said.count(CondorCommand.LEADER_VERSION) == told
        assert said.count(CondorCommand.SOLICIT_VERSION) == len(said) - told == 3


def test_a_real_leader_that_gives_up_is_followed_no_more():
    """GIVING_UP_VERSION."""
    story = Story(held("x", "5.2")).follow()
    story.link(C, is_ours=False)
    found = real(story, CondorCommand.LEADER_VERSION, Point(77, 3), state=3)
    assert only(found, effects.StartDownload) != []
    found = real(story, CondorCommand.GIVING_UP_VERSION)
    assert one(found, effects.StopDownload).reason == "nothing newer is held there"


def test_a_real_leader_is_followed():
    """Its gid says nothing of ours: ours is kept, and its version has no history."""
    story = Story(held("x", "5.2")).follow()
    story.link(C, is_ours=False)
    found = real(story, CondorCommand.LEADER_VERSION, Point(77, 3), state=3)
    assert one(found, effects.StartDownload) == effects.StartDownload(1, C, is_ours=False)
    received = events.Received(1, version("77.3", is_rooted=False), files("theirs"))
    assert one(story.tell(received), effects.Install).is_conflict


def test_a_real_leader_that_goes_on_under_our_gid_continues_our_history():
    """HTCondor takes over a gid as it finds it; the larger clock is newer by its rule."""
    story = Story(held("x", "10.4", "5.2")).follow()
    story.link(C, is_ours=False)
    real(story, CondorCommand.SOLICIT_VERSION_REPLY, Point(10, 6), state=3)
    received = events.Received(1, version("10.6", is_rooted=False), files("xyz"))
    assert one(story.tell(received), effects.Install).held.version == version("10.6", "5.2")


def test_a_real_backup_that_knows_of_more_makes_ours_stale():
    """It sends nothing while it does not lead, but it says what it holds."""
    story = Story(held("x", "10.4", "5.2")).follow()
    story.link(C, is_ours=False)
    real(story, CondorCommand.SOLICIT_VERSION_REPLY, Point(10, 6), state=2)
    assert one(story.tell(asked()), effects.Answer).currency is Currency.STALE


def test_a_real_had_leads_without_an_epoch():
    """The gid is made here, above all that are known, and stays for the whole leadership."""
    story = Story(held("x", "300.4", is_rooted=False)).follow()
    story.tell(BEGAN(None))
    gid = story.machine.version.gid
    assert gid > 300
    assert gid % 128 == SETTINGS.place
    story.tell(events.LeadershipConfirmed(None))
    story.tell(events.StateChanged(files("xy")))
    assert story.machine.version == version(f"{gid}.1", "300.4", is_rooted=False)


def test_a_gid_of_our_making_is_not_made_again():
    """Beside a real condor_had the gid is made here: above that of a state that was given up for another one, too."""
    story = Story(held("x", "0.1", is_rooted=False)).follow()
    story.tell(BEGAN(None))
    gid = story.machine.version.gid
    story.tell(events.StateChanged(files("xy")))
    story.tell(ENDED)
    story.tell(events.Settled())
    story.link(C, is_ours=False)
    story.wait(story.now + FENCE_TIMEOUTS * T)
    real(story, CondorCommand.LEADER_VERSION, Point(0, 3), state=3)
    found = story.tell(events.Received(1, version("0.3", is_rooted=False), files("theirs")))
    assert one(found, effects.Install).is_conflict
    story.install(found)
    real(story, CondorCommand.GIVING_UP_VERSION)
    story.tell(BEGAN(None))
    assert story.machine.version.gid > gid
    # A daemon that was started since knows of it by what it keeps.
    later = Story(held("theirs", "0.3", is_rooted=False))
    later.tell(events.Archived((f"{gid}.1-01234567",)))
    later.follow()
    later.tell(BEGAN(None))
    assert later.machine.version.gid > gid


def test_a_leadership_ends_in_htcondors_words_too():
    """GIVING_UP_VERSION, which its receivers do nothing with."""
    story = leading()
    story.link(C, is_ours=False)
    story.tell(ENDED)
    assert (CondorCommand.GIVING_UP_VERSION, Point(10, 0)) in commands(story.tell(events.Settled()))


# --- the daemon -----------------------------------------------------------------------------------------------


def test_replicas_speak_twice_each_t():
    """And say nothing to a peer that is not known to be ours."""
    story = Story(held("x", "5.2")).follow()
    story.link(A)
    story.done.clear()
    begin = story.now
    story.wait(begin + 10 * T)
    assert len(reports(story.done, A)) == pytest.approx(20, abs=1)
    assert reports(story.done, C) == []


def test_whoever_is_heard_again_is_answered_at_once():
    """It may have forgotten what it knew; and who is heard all the time is told when there is news."""
    story = Story(held("x", "5.2")).follow()
    story.link(A)
    assert reports(story.hear(A, "x", "5.2"), A) != []
    assert reports(story.hear(A, "x", "5.2"), A) == []
    story.wait(story.now + 2 * T)
    assert reports(story.hear(A, "x", "5.2"), A) != []


def test_a_report_tells_the_size_of_the_state():
    """Nothing is no bytes."""
    for story, size in ((Story(), 0), (Story(held("xyz", "5.2")), 3)):
        assert {r.total_bytes for r in reports(story.link(A), A)} == {size}


def test_a_stopping_leader_waits_for_its_flush():
    """Hard case 20: condor_master stops both daemons at once."""
    story = leading()
    assert only(story.tell(events.StopRequested(20.0)), effects.Finished) == []
    story.hear(A, "x", "10.0", "5.2")
    story.tell(events.FlushAsked(1, 5.0, successor=A))
    assert one(story.tell(events.Settled()), effects.Answer).is_complete
    assert only(story.tell(ENDED), effects.Finished) != []
    assert story.tell(events.Tick()) == []


def test_a_stopping_daemon_does_not_wait_for_ever():
    """Had never says a word."""
    story = leading()
    story.tell(events.StopRequested(2.0))
    assert only(story.wait(story.now + 2.0), effects.Finished) != []


def test_a_stopping_backup_ends_at_once():
    """Nothing is held up, and nothing is begun."""
    story = following()
    assert only(story.tell(events.StopRequested(20.0)), effects.Finished) != []


def test_a_replica_alone_has_nothing_to_wait_for():
    """One member: its state is current at once."""
    settings = SETTINGS.__class__(me=A, members=(A,), timeout_seconds=T)
    story = Story(held("x", "5.2"), settings=settings)
    story.tell(ENDED)
    assert one(story.tell(asked()), effects.Answer).currency is Currency.CURRENT
    assert story.machine.deadline < math.inf


def test_the_bytes_are_named_the_same_everywhere():
    """The order in which files were looked at does not matter, their names, sizes and contents do."""
    one_file, other = files("x")[0], files("y")[0]
    both = (one_file, other.__class__("1", other.size_bytes, other.sha256))
    assert fingerprint(both) == fingerprint(both[::-1]) != fingerprint(both[:1])


def test_a_replica_that_missed_more_leaderships_than_a_lineage_names_follows_and_keeps_its_state():
    """Nobody can tell any more that the leader's state grew out of it, so it goes, and only as a conflict."""
    old = version("1.5")
    new = version("1.5")
    for gid in range(2, LINEAGE_LIMIT + 4):
        new = new.led_by(gid)
    points = [f"{point.gid}.{point.clock}" for point in new.history]
    assert compare(new, old) is Relation.UNKNOWN
    story = Story(held("x", "1.5")).follow()
    story.link(A, C)
    story.hear(A, "y", *points, leads=True)
    report = attrs.evolve(story.others.report(A, "y", *points, leads=True).report, version=new)
    story.tell(events.Heard(report))
    number = story.machine.download.number
    assert only(story.tell(events.Offered(number, new)), effects.Take)
    found = story.tell(events.Received(number, new, files("y")))
    assert one(found, effects.Install).is_conflict
