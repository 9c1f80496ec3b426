"""Members that come and go, and who is waited for though nobody has heard of it yet."""

import attrs

from replication import effects, events
from tests.replication.tellers import SETTINGS, A, C, Story, T, files, held, one, only


def leading():
    """Give a story in which this node leads."""
    story = Story(held("x", "10.1", is_leading=True))
    story.link(A, C)
    story.tell(events.LeadershipBegan(10))
    return story


def test_a_member_that_was_taken_from_the_list_is_sent_no_more():
    """Copy processes that stay for later versions end; those that remain members ask again."""
    story = leading()
    smaller = attrs.evolve(SETTINGS, members=tuple(m for m in SETTINGS.members if m != C))
    found = story.tell(events.Reconfigured(smaller))
    assert len(only(found, effects.EndUploads)) == 1
    assert only(story.tell(events.Reconfigured(SETTINGS)), effects.EndUploads) == []
    assert only(story.tell(events.Reconfigured(SETTINGS)), effects.EndUploads) == []


def test_a_daemon_that_has_just_started_flushes_to_nobody_unheard():
    """Nobody is known to lack the last version, since nobody was heard: that is no flush to everybody."""
    story = Story(held("x", "10.1", is_leading=True))
    story.tell(events.LeadershipConfirmed(10))
    story.tell(events.FlushAsked(1, 10 * T))
    story.tell(events.StateChanged(files("xy")))
    assert only(story.tell(events.Settled()), effects.Answer) == []
    assert only(story.tell(events.Noted(held("xy", "10.2", is_leading=False))), effects.Answer) == []
    assert only(story.hear(A, "x", "10.1", validity_seconds=1000.0), effects.Answer) == []
    assert only(story.wait(story.now + 2 * T), effects.Answer) == []
    assert one(story.hear(A, "xy", "10.2"), effects.Answer).is_complete


def test_everybody_who_is_silent_for_t_is_waited_for_no_longer():
    """A leader that ends alone ends after T, with its last version written down."""
    story = Story(held("x", "10.1", is_leading=True))
    story.tell(events.LeadershipConfirmed(10))
    story.tell(events.FlushAsked(1, 10 * T))
    assert only(story.tell(events.Settled()), effects.Answer) == []
    answer = one(story.wait(story.now + 1.1 * T), effects.Answer)
    assert answer.is_complete
