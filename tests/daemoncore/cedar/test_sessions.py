"""Sessions: found while they last, forgotten in time, never too many."""

import attrs
import pytest

from daemoncore.cedar.authentication import STRANGER
from daemoncore.cedar.sessions import (
    SERVER_GRACE_SECONDS,
    SWEEP_SECONDS,
    ClientSessions,
    Session,
    SessionCache,
    SessionNumbers,
)

SESSION = Session("a", bytes(32), STRANGER, valid_commands=frozenset({55}), lease_seconds=100, ends_at=1000)


def test_a_server_finds_a_session_by_its_id():
    """The id alone finds it; another id does not."""
    cache = SessionCache()
    cache.add(SESSION, 0)
    assert cache.find("a", 1) is SESSION
    assert cache.find("b", 1) is None


def test_using_a_session_renews_its_lease():
    """It lives as long as it is used within the lease, and some seconds of grace that the client does not count on."""
    cache, allowed = SessionCache(), 100 + SERVER_GRACE_SECONDS
    cache.add(SESSION, 0)
    assert cache.find("a", allowed)
    assert cache.find("a", 2 * allowed)
    assert cache.find("a", 3 * allowed + 1) is None
    assert len(cache) == 0


def test_a_session_ends_when_its_duration_is_over():
    """Use does not prolong a session beyond its end."""
    cache = SessionCache()
    cache.add(attrs.evolve(SESSION, lease_seconds=0), 0)
    assert cache.find("a", 1000 + SERVER_GRACE_SECONDS)
    assert cache.find("a", 1001 + SERVER_GRACE_SECONDS) is None


def test_the_longest_idle_session_makes_room():
    """A full cache forgets what was not used for longest."""
    cache = SessionCache(maximum=2)
    for name in ("a", "b"):
        cache.add(attrs.evolve(SESSION, identifier=name), 0)
    cache.find("a", 1)
    cache.add(attrs.evolve(SESSION, identifier="c"), 2)
    assert [bool(cache.find(name, 3)) for name in ("a", "b", "c")] == [True, False, True]


def test_a_client_finds_a_session_by_address_and_command():
    """A session is for one server and the commands that it said; none named means all."""
    sessions = ClientSessions()
    sessions.add("<1>", SESSION, 0)
    assert sessions.find("<1>", 55, 1) is SESSION
    assert sessions.find("<1>", 56, 1) is None
    assert sessions.find("<2>", 55, 1) is None
    family = attrs.evolve(SESSION, identifier="family", valid_commands=frozenset())
    sessions.add("<1>", family, 2)
    assert sessions.find("<1>", 56, 3) is family


@pytest.mark.parametrize("now", [101, 1001])
def test_a_client_does_not_use_a_session_to_its_last_second(now):
    """After the lease or the duration it is forgotten, without any grace."""
    sessions = ClientSessions()
    sessions.add("<1>", SESSION, 0 if now == 101 else 950)
    assert sessions.find("<1>", 55, now) is None
    assert len(sessions) == 0


def test_a_client_forgets_what_the_server_forgot():
    """A session is dropped by its id, whatever the address."""
    sessions = ClientSessions(maximum=2)
    for address in ("<1>", "<2>", "<3>"):
        sessions.add(address, SESSION, 0)
    assert len(sessions) == 2
    sessions.drop("a")
    assert len(sessions) == 0


def day_of_calls(add, count):
    """Let a tool call each 5 s for a day, with a session of a minute each time; return the most that were kept."""
    most = 0
    for now in range(0, 86_400, 5):
        add(attrs.evolve(SESSION, identifier=str(now), lease_seconds=0, ends_at=now + 60), now)
        most = max(most, count())
    return most


def test_a_server_does_not_keep_what_nobody_will_ask_for():
    """A day of tools leaves no more sessions than live at once, and those that end until they are looked for."""
    cache = SessionCache()
    lasting = attrs.evolve(SESSION, identifier="member", lease_seconds=0, ends_at=90_000)
    cache.add(lasting, 0)
    kept_seconds = 60 + SERVER_GRACE_SECONDS + SWEEP_SECONDS
    assert day_of_calls(cache.add, lambda: len(cache)) <= kept_seconds / 5 + 2
    assert cache.find("member", 86_400) is lasting


def test_a_client_does_not_keep_what_is_over():
    """The same of the sessions of our own calls, to whom they may be."""
    sessions = ClientSessions()
    most = day_of_calls(lambda one, now: sessions.add(f"<{now}>", one, now), lambda: len(sessions))
    assert most <= (60 + SWEEP_SECONDS) / 5 + 2


def test_a_clock_that_is_put_back_does_not_keep_sessions_for_ever():
    """What has ended by the new clock goes though the last look is in its future."""
    cache = SessionCache(grace_seconds=0)
    cache.add(attrs.evolve(SESSION, ends_at=2_000_000), 1_000_000)
    for now in (0, 200, 400):
        cache.add(attrs.evolve(SESSION, identifier=str(now), lease_seconds=0, ends_at=now + 60), now)
    assert len(cache) == 2, "the one of the old clock, and the last"


def test_a_client_keeps_one_session_of_a_kind_with_a_server():
    """Whoever logs in again, as a look at a daemon does, does not keep what the new session is as good as."""
    sessions = ClientSessions()
    for name, commands in (("a", {55}), ("b", {55, 56}), ("c", {60}), ("d", {55}), ("e", {55})):
        session = attrs.evolve(SESSION, identifier=name, valid_commands=frozenset(commands))
        sessions.add("<1>", session, 0)
        sessions.add("<2>", attrs.evolve(session, identifier=f"{name}2"), 0)
    assert len(sessions) == 2 * 3, "b, which is good for 56 too, c, and the last of those for 55"
    assert [sessions.find("<1>", command, 1).identifier for command in (55, 56, 60)] == ["e", "b", "c"]
    sessions.add("<1>", attrs.evolve(SESSION, identifier="all", valid_commands=frozenset()), 2)
    assert [sessions.find("<1>", command, 3).identifier for command in (55, 56, 60)] == ["all"] * 3
    sessions.add("<1>", attrs.evolve(SESSION, identifier="f"), 4)
    assert sessions.find("<1>", 56, 5).identifier == "all", "a session for some commands leaves that for all"


def test_ids_never_repeat():
    """Host, process, start and counter make an id that no other server gave."""
    numbers = SessionNumbers("cm1", 1158, 1795321945.2)
    assert [numbers.next_identifier() for _ in range(2)] == ["cm1:1158:1795321945:1", "cm1:1158:1795321945:2"]


def test_a_key_is_not_shown():
    """What is printed of a session does not hold its key."""
    assert "key" not in repr(SESSION)
