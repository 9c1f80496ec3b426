"""Repeated lines: a few pass, the rest are counted and told."""

from daemoncore.log_repeats import RepeatLimiter


def shown(limiter, text, now):
    """What the log would get when `text` is logged at `now`."""
    lines = list(limiter.overdue(now))
    if limiter.admit(text, now):
        lines.append(text)
    return lines


def test_a_burst_passes_and_the_rest_is_counted():
    """Sixty equal lines in a minute show as two, and then one that counts the others."""
    limiter = RepeatLimiter(burst=2, window_seconds=60)
    lines = [line for second in range(60) for line in shown(limiter, "peer_denied", float(second))]
    assert lines == ["peer_denied", "peer_denied"]
    assert shown(limiter, "peer_denied", 60.0) == ["peer_denied ... repeated 58 times", "peer_denied"]


def test_different_lines_do_not_hide_each_other():
    """Lines that differ in any field are counted apart."""
    limiter = RepeatLimiter(burst=1)
    assert shown(limiter, "peer_denied peer=a", 0) == ["peer_denied peer=a"]
    assert shown(limiter, "peer_denied peer=b", 0) == ["peer_denied peer=b"]
    assert shown(limiter, "peer_denied peer=a", 1) == []


def test_a_window_that_hid_nothing_ends_in_silence():
    """A line that came once is not mentioned again."""
    limiter = RepeatLimiter(burst=1, window_seconds=60)
    shown(limiter, "started", 0)
    assert shown(limiter, "other", 100) == ["other"]


def test_drain_tells_every_count():
    """At the end of the daemon, what was hidden is told."""
    limiter = RepeatLimiter(burst=1)
    for text in ("a", "a", "a", "b"):
        shown(limiter, text, 0)
    assert list(limiter.drain()) == ["a ... repeated 2 times"]
    assert list(limiter.drain()) == []


def test_memory_is_bounded():
    """With many different lines the oldest is forgotten, and what it hid is told first."""
    limiter = RepeatLimiter(burst=1, remembered_lines=10)
    shown(limiter, "first", 0)
    shown(limiter, "first", 0)
    lines = [line for number in range(100) for line in shown(limiter, f"line {number}", 1)]
    assert "first ... repeated 1 times" in lines
    assert len(limiter._windows) <= 11
