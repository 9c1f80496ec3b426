"""What the links do, as the log and the metrics tell it."""

import pytest

from daemoncore.link_watch import LinkWatch

MEMBER, ENTRY = "10.0.0.1:9620", "cm1:9620"


class Numbers:
    """Keeps what is counted."""

    def __init__(self):
        self.counted = []

    def message_sent(self, peer, kind):
        """Keep one."""
        self.counted.append(("sent", peer, kind))

    def send_failed(self, peer, reason):
        """Keep one."""
        self.counted.append(("failed", peer, reason))

    def round_trip(self, peer, seconds):
        """Keep one."""
        self.counted.append(("round trip", peer, seconds))


@pytest.fixture
def numbers():
    """The metrics."""
    return Numbers()


@pytest.fixture
def lines():
    """The log."""
    return []


@pytest.fixture
def watch(numbers, lines):
    """A watch over links to members that the configuration names."""
    return LinkWatch(
        lambda event, **fields: lines.append((event, fields)), numbers, {MEMBER: ENTRY}.__getitem__
    )


def test_a_failure_is_counted_each_time_and_told_once(watch, numbers, lines):
    """Another reason is news; the same one is news again once the member was there."""
    for reason in ("refused", "refused", "timeout"):
        watch.send_failed(MEMBER, reason, "a sentence")
    watch.reached(MEMBER)
    watch.send_failed(MEMBER, "refused", "a sentence")
    assert [fields["reason"] for _, fields in lines] == ["refused", "timeout", "refused"]
    assert lines[0] == ("peer_unreachable", {"peer": ENTRY, "reason": "refused", "text": "a sentence"})
    assert numbers.counted == [("failed", ENTRY, r) for r in ("refused", "refused", "timeout", "refused")]


def test_a_member_that_is_found_is_there_again(watch, lines):
    """Its kind is told, and so is its next failure."""
    watch.send_failed(MEMBER, "refused", "a sentence")
    watch.found(MEMBER, "ours")
    watch.send_failed(MEMBER, "refused", "a sentence")
    assert [event for event, _ in lines] == ["peer_unreachable", "peer_link", "peer_unreachable"]
    assert lines[1][1] == {"peer": ENTRY, "implementation": "ours"}


def test_what_is_no_news_is_only_counted(watch, numbers, lines):
    """Messages and round trips have no lines."""
    watch.message_sent(MEMBER, "heartbeat")
    watch.round_trip(MEMBER, 0.25)
    assert numbers.counted == [("sent", ENTRY, "heartbeat"), ("round trip", ENTRY, 0.25)]
    assert lines == []
