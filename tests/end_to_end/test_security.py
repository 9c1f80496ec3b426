"""Security across hosts with real daemons: a signing key shared by the members, and what becomes of one without it.

The key is made by `hadctl keys create`, copied to every member's folder, and IDTOKENS does the rest, as in HTCondor.
"""

import shutil

import pytest

from daemoncore.cedar.commands import Command
from tests.end_to_end.keys import KEYED, give_key, key_of, share_key
from tests.end_to_end.networks import Namespaces

pytestmark = pytest.mark.root


@pytest.fixture
def keyed(make_pool):
    """Make a pool in namespaces whose members share one signing key."""

    def make(count=3, **options):
        pool = make_pool(count, network=Namespaces, knobs=KEYED | options.pop("knobs", {}), **options)
        share_key(pool)
        return pool

    return make


@pytest.mark.timed
def test_pool_with_keys(keyed):
    """Three hosts that share a signing key elect, take over and obey an operator who has it too."""
    pool = keyed(3, timeout_seconds=1)
    assert key_of(pool[0]).stat().st_mode & 0o077 == 0
    pool.start()
    leader = pool.wait_settled(pool[0])
    accepted, text = pool.command(leader, Command.HAD_SWITCHOVER, To=pool[1].entry)
    assert accepted, text
    pool.wait_settled(pool[1])
    pool.command(pool[1], Command.HAD_RESUME)
    pool.wait_settled(pool[0])
    at = pool.unplug(leader)
    leader.kill_host()
    after = pool.wait_new_life(at, 6)
    assert after.began - at <= 1.5 * 1 + 0.5
    assert not any(node.logged("denied") for node in pool.nodes)


def test_wrong_key(keyed):
    """A member with another key is denied, says so as an alarm, counts it, and never leads over the leader."""
    pool = keyed(3, timeout_seconds=1)
    odd = pool[2]
    give_key(odd)
    pool.start(0, 1)
    leader = pool.wait_settled(pool[0])
    odd.start()
    pool.wait(
        lambda: odd.logged("peer_denied", leader.entry), 6, "the odd one to know that it is denied", 0.05
    )
    pool.wait(
        lambda: leader.logged("connection_refused", odd.host), 6, "the leader to say whom it denied", 0.05
    )
    assert odd.peer_state(leader) == "denied"
    with pytest.raises(AssertionError, match="not within"):
        pool.wait(odd.lives, 3, "what must not happen")
    assert leader.status()["leader"] == leader.entry
    assert len(pool.lives()) == 1
    lines = leader.http("/metrics")[1].splitlines()
    refused = sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith("had_peer_messages_rejected_total{")
    )
    assert refused >= 1


def test_wrong_key_of_the_best(keyed):
    """Even the primary, when its key is wrong, does not lead beside the leader; with the right one it does."""
    pool = keyed(3, timeout_seconds=1)
    odd = pool[0]
    give_key(odd)
    pool.start(1, 2)
    pool.wait_settled(pool[1])
    odd.start()
    pool.wait(lambda: odd.logged("peer_denied"), 6, "the odd one to know that it is denied", 0.05)
    with pytest.raises(AssertionError, match="not within"):
        pool.wait(odd.lives, 3, "what must not happen")
    shutil.copy(key_of(pool[1]), key_of(odd))
    pool.wait_settled(odd, 10)
    assert pool.overlap_seconds() == 0


@pytest.mark.parametrize("damage", ["missing", "folder", "empty"])
def test_unusable_key(keyed, damage):
    """A member without a key that can be read elects nobody beside the leader, and says why it cannot be let in."""
    pool = keyed(2, timeout_seconds=1)
    odd = pool[1]
    key_of(odd).unlink()
    if damage == "folder":
        key_of(odd).mkdir()
    elif damage == "empty":
        key_of(odd).touch(0o600)
    pool.start(0)
    leader = pool.wait_settled(pool[0])
    odd.start()
    pool.wait(
        lambda: odd.logged("peer_denied", leader.entry), 6, "the odd one to know that it is denied", 0.05
    )
    with pytest.raises(AssertionError, match="not within"):
        pool.wait(odd.lives, 3, "what must not happen")
    assert "Traceback" not in odd.errors() + odd.log()
    assert pool[0].running()


def test_hosts_without_any_security(make_pool):
    """A pool across hosts that says nothing of security is refused with status 2 and the settings to add."""
    pool = make_pool(2, network=Namespaces)
    pool[0].start()
    assert pool[0].process.wait(10) == 2
    text = pool[0].errors()
    assert all(word in text for word in ("ALLOW_DAEMON", "SEC_DEFAULT_AUTHENTICATION", pool[0].entry)), text


def test_hosts_without_authentication(make_pool):
    """The explicit settings that HTCondor itself would need let a pool elect without authentication."""
    knobs = {"ALLOW_DAEMON": "*", "SEC_DEFAULT_AUTHENTICATION": "NEVER", "ALLOW_READ": "*"}
    pool = make_pool(2, network=Namespaces, timeout_seconds=1, knobs=knobs)
    pool.start()
    leader = pool.wait_settled(pool[0])
    at = pool.unplug(leader)
    assert pool.wait_new_life(at, 6).node == 1


def test_stranger_from_another_address(make_pool):
    """With lists of addresses, whoever calls from elsewhere is denied, counted and named."""
    knobs = {"SEC_DEFAULT_AUTHENTICATION": "OPTIONAL", "ALLOW_DAEMON": "*/10.77.0.1, */10.77.0.2"}
    pool = make_pool(3, network=Namespaces, timeout_seconds=1, knobs=knobs)
    pool.start()
    pool.wait(
        lambda: pool[0].logged("connection_refused", "reason=denied", pool[2].host), 6, "a denial", 0.05
    )
    pool.wait(pool[0].running, 6, "a leader among those who are let in", 0.05)
    assert not pool[2].lives()
