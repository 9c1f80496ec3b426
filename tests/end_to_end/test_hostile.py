"""Hostile and broken input through the socket of real daemons: nothing crashes, hangs or elects wrongly, all is counted."""

import contextlib
import socket
import time

import attrs
import pytest
import trio

from daemoncore import boottime
from daemoncore.address import Address
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from had.transitions import State
from tests.end_to_end.impostor import GARBAGE, Impostor, ad_of, end_sending, forged, impersonate, shout


def rejected(node):
    """Return how many messages a node has not taken, by reason."""
    lines = node.http("/metrics")[1].splitlines()
    found = [line for line in lines if line.startswith("had_peer_messages_rejected_total{")]
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in found}


def news(before, after):
    """Return the reasons for which more was rejected than before."""
    return {reason for reason, count in after.items() if count > before.get(reason, 0)}


def assert_undisturbed(pool, leader):
    """The pool is as it was: one leader, one controllee, the same one all along; no daemon had a defect."""
    assert pool.wait_settled() is leader
    assert len(pool.lives()) == 1
    for node in pool.nodes:
        assert not node.logged("handler_failed")
        assert not node.logged("had_crashed")
        assert "Traceback" not in node.errors() + node.log()


def test_garbage(settled):
    """Bytes that are not the protocol end their own connection, are counted and logged, and disturb nobody."""
    pool, leader = settled(3, timeout_seconds=1)
    for name, data in GARBAGE.items():
        for node in pool.nodes:
            before = rejected(node)
            assert shout(node, data) is not None, f"{name}: the daemon keeps the connection"
            if not name.startswith("half"):
                pool.wait(lambda n=node, b=before: news(b, rejected(n)), 2, f"{name} to be counted", 0.03)
    for node in pool.nodes:
        assert node.logged("connection_refused", "127.0.0.1")
        assert node.status()
    assert_undisturbed(pool, leader)


def test_http_takes_no_nonsense(settled):
    """Garbage on the HTTP port ends its own connection; the daemon goes on, and POST changes nothing."""
    pool, leader = settled(2, timeout_seconds=1)
    for data in (*GARBAGE.values(), b"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nstop!"):
        with socket.create_connection((leader.host, pool.network.http_port), 5) as connection:
            connection.settimeout(5)
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
                end_sending(connection)
                assert b" 200 " not in connection.recv(4096)[:20] or data.startswith(b"GET")
    assert_undisturbed(pool, leader)


@pytest.mark.slow
def test_slow_sender(settled):
    """Whoever sends a byte at a time is hung up on after the handshake's deadline; nobody waits for it meanwhile."""
    pool, leader = settled(2, timeout_seconds=1)
    began = time.monotonic()
    with socket.create_connection((leader.host, pool.network.port), 5) as connection:
        connection.settimeout(0.5)
        # A packet of 256 bytes, the last of its message, whose content takes its time.
        connection.sendall(b"\x01\x00\x00\x01\x00")
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 20:
                connection.send(b"\x00")
                with contextlib.suppress(TimeoutError):
                    if connection.recv(1) == b"":
                        break
    assert 8 < time.monotonic() - began < 15
    assert leader.logged("connection_refused", "reason=slow")
    assert_undisturbed(pool, leader)


@pytest.mark.timed
def test_idle_connections(settled):
    """Two hundred idle connections to every member change nothing: the pool settles, and P1 holds among them."""
    pool, leader = settled(3, timeout_seconds=2)
    with contextlib.ExitStack() as stack:
        for node in pool.nodes:
            for number in range(200):
                source = f"127.0.0.{1 + number % 2}"
                address = (node.host, pool.network.port)
                stack.enter_context(socket.create_connection(address, 5, (source, 0)))
        assert pool.wait_settled() is leader
        at = leader.kill_host()
        after = pool.wait_new_life(at, 8)
        assert after.node == 1
        assert after.began - at <= 1.5 * 2 + 0.5
        pool.wait_settled(pool[1])


def test_flood_from_one_address(settled):
    """An address with more connections than it may have is refused further ones, and the members still get through."""
    pool, leader = settled(2, timeout_seconds=1)
    with contextlib.ExitStack() as stack:
        for _ in range(170):
            address = (leader.host, pool.network.port)
            stack.enter_context(socket.create_connection(address, 5, ("127.0.0.1", 0)))
        pool.wait(lambda: leader.logged("connection_refused", "too_many"), 5, "the limit to be told", 0.05)
        accepted, text = pool.command(pool[1], Command.HAD_SWITCHOVER)
        assert not accepted and "does not lead" in text
    assert_undisturbed(pool, leader)


# --- authentic messages that must not be believed -------------------------------------------------------------


@pytest.fixture
def duo(settled):
    """Two members of three: the third is not started, so that the test can speak in its place."""

    def make(**options):
        pool, _ = settled(3, timeout_seconds=1, **options)
        pool[2].stop()
        pool.wait(lambda: pool[0].peer_state(pool[2]) != "alive", 5, "the third to be missed", 0.05)
        return pool, pool[0]

    return make


def lied_to(pool, node, reason, *told, source, **options):
    """Tell a node these messages, and wait until one was rejected for the reason."""
    before = rejected(node)
    impersonate(pool, node, *map(ad_of, told), source=source, **options)
    pool.wait(lambda: reason in news(before, rejected(node)), 3, f"a message to be rejected: {reason}", 0.03)
    assert node.logged("message_rejected", "reason=" + reason)


def test_message_for_another_controllee(duo):
    """A leader of another controllee's pool is no leader of ours."""
    pool, leader = duo()
    message = forged(
        pool, pool[2], controllee="collector", state=State.LEADER, epoch=leader.status()["epoch"]
    )
    for node in pool.nodes[:2]:
        lied_to(pool, node, "controllee_mismatch", message, source=pool[2].host)
    assert_undisturbed(pool, leader)


def test_sender_that_is_no_member(duo):
    """A message from an address that is not in HAD_LIST is not believed."""
    pool, leader = duo()
    host = pool[2].host.rpartition(".")[0] + ".99"
    message = attrs.evolve(forged(pool, pool[2]), sender=f"{host}:{pool.network.port}")
    lied_to(pool, leader, "not_a_member", message, source=host)
    assert_undisturbed(pool, leader)


def test_sender_in_our_own_name(duo):
    """A message in the receiver's own name is not believed."""
    pool, leader = duo()
    message = forged(pool, leader, state=State.LEADER, epoch=2**20)
    lied_to(pool, leader, "own_identity", message, source=leader.host)
    assert_undisturbed(pool, leader)


def test_sender_in_the_name_of_another(duo):
    """A message in a member's name that comes from another address is not believed, and the log says from where."""
    pool, leader = duo()
    message = forged(pool, pool[1], state=State.LEADER)
    lied_to(pool, leader, "wrong_address", message, source="127.0.0.1")
    assert leader.logged("wrong_address", "127.0.0.1")
    assert_undisturbed(pool, leader)


def test_epoch_from_nowhere(duo):
    """An epoch far beyond what the pool can have used is refused; the numbers of the pool stay small."""
    pool, leader = duo()
    lied_to(pool, leader, "epoch_jump", forged(pool, pool[2], epoch=2**30), source=pool[2].host)
    assert leader.status()["epoch"] < 2**20
    assert_undisturbed(pool, leader)


def test_different_list(duo):
    """A member with another HAD_LIST is heard, its place is not believed to be another's, and the metric tells."""
    pool, leader = duo()
    members = (pool[2].entry, pool[0].entry, pool[1].entry)
    message = forged(pool, pool[2], members=members, rank_id=2, shared_hash=123)
    impersonate(pool, leader, ad_of(message), source=pool[2].host)
    mismatch = lambda: leader.metric("had_peer_config_mismatch", peer=pool[2].entry) == 1  # noqa: E731
    pool.wait(mismatch, 3, "the mismatch to be counted", 0.03)
    assert_undisturbed(pool, leader)


#: What no member says, as changes to a message that is in order; None takes the whole message away.
SENSELESS = (
    None,
    {"HadSelfID": "one"},
    {"HadSelfID": 3},
    {"HadSelfID": -2},
    {"HadState": "king"},
    {"HadEpoch": -1},
    {"HadSequence": -(2**62)},
    {"HadAliveValidity": -1.0},
    {"HadAliveValidity": float("inf")},
    {"HadSightings": "nonsense"},
    {"HadSightings": "127.0.0.1:1,1,1,leader,1,1,1,-,-,-,1,1,99999999999999999999999"},
    {"HadSender": "nobody"},
    {"HadList": ",".join(["127.0.0.1:1"] * 1000)},
)


def test_messages_that_cannot_be(duo):
    """An authentic message that makes no sense ends its connection, is counted as the protocol's, and changes nothing."""
    pool, leader = duo()
    for changes in SENSELESS:
        ad = ClassAd({"MyType": "HAD"})
        if changes is not None:
            ad = ad_of(forged(pool, pool[2])).with_values(changes)
        before = rejected(leader)
        assert not impersonate(pool, leader, ad, source=pool[2].host, pause_seconds=2), changes
        assert news(before, rejected(leader)) == {"protocol"}, changes
    assert leader.logged("connection_refused", "reason=protocol")
    assert_undisturbed(pool, leader)


def test_repeated_message(duo):
    """The same message a second time is not believed, on the same connection or on another one."""
    pool, leader = duo()
    message = forged(pool, pool[2])
    lied_to(pool, leader, "replayed", message, message, source=pool[2].host)
    lied_to(pool, leader, "replayed", message, source=pool[2].host)
    assert_undisturbed(pool, leader)


def test_repeated_bytes(duo):
    """The same bytes a second time on one connection are no message: they do not decrypt, and the connection ends."""
    pool, leader = duo()

    async def speak():
        client = Impostor(pool, pool[2].host)
        with trio.fail_after(10):
            async with await client.connect(Address.parse(leader.entry), Command.HAD_HEARTBEAT) as connection:
                await connection.send(connection.writer().put_ad(ad_of(forged(pool, pool[2]))))
                await connection.send_bytes(client.recordings[-1].sent[-1])
                return await connection.transport.receive_some(1)

    before = rejected(leader)
    assert trio.run(speak) == b""
    pool.wait(lambda: news(before, rejected(leader)), 3, "the repetition to be counted", 0.03)
    assert_undisturbed(pool, leader)


@pytest.mark.parametrize("which", [0, 1], ids=["new session", "resumed session"])
def test_repeated_connection(duo, which):
    """All bytes of a recorded connection, sent again, do nothing: neither a login nor a resumed session can be replayed."""
    pool, leader = duo()
    client = Impostor(pool, "127.0.0.1")

    async def pause_and_resume():
        for command in (Command.HAD_PAUSE, Command.HAD_PAUSE):
            with trio.fail_after(10):
                async with await client.connect(Address.parse(leader.entry), command) as connection:
                    await connection.send(connection.writer().put_ad(ClassAd({"Reason": "recorded"})))
                    await connection.receive()

    trio.run(pause_and_resume)
    assert len(client.recordings) == 2
    pool.command(leader, Command.HAD_RESUME)
    pool.wait(lambda: leader.status()["paused"] is None, 3, "the end of the pause", 0.03)
    before, said = rejected(leader), len(leader.logged("command_received", "HAD_PAUSE"))
    shout(leader, b"".join(client.recordings[which].sent))
    pool.wait(lambda: news(before, rejected(leader)), 3, "the repetition to be counted", 0.03)
    assert leader.status()["paused"] is None
    assert len(leader.logged("command_received", "HAD_PAUSE")) == said
    assert_undisturbed(pool, leader)


def test_half_a_message(duo):
    """A member that falls silent in the middle of a message is silent: it is not waited for, and nothing is believed."""
    pool, leader = duo()

    async def speak():
        client = Impostor(pool, pool[2].host)
        async with await client.connect(Address.parse(leader.entry), Command.HAD_HEARTBEAT) as connection:
            message = forged(pool, pool[2], state=State.LEADER, epoch=leader.status()["epoch"] + 128)
            data = connection.stream.encode(connection.writer().put_ad(ad_of(message)))
            await connection.send_bytes(data[: len(data) // 2])
            await trio.sleep(1.5)

    trio.run(speak)
    assert leader.peer_state(pool[2]) != "alive"
    assert_undisturbed(pool, leader)


@pytest.mark.timed
def test_flood_of_messages(duo):
    """A member gone mad, with a thousand messages at once, keeps nobody from being heard."""
    pool, leader = duo()
    flood = [ad_of(forged(pool, pool[2], sequence=number)) for number in range(1, 1001)]
    heard = lambda: leader.metric("had_peer_messages_received_total", peer=pool[2].entry, type="heartbeat")  # noqa: E731
    before = heard()
    began = boottime.now()
    impersonate(pool, leader, *flood, source=pool[2].host)
    assert boottime.now() - began < 10
    pool.wait(lambda: heard() > before, 5, "the mad one to be heard", 0.03)
    pool.wait(lambda: leader.peer_state(pool[2]) != "alive", 5, "the mad one to be silent again", 0.03)
    assert_undisturbed(pool, leader)
