"""The command port: who gets in, what the handlers get, and how whoever misbehaves is shown out."""

import attrs
import pytest
import trio
import trio.testing

from daemoncore.authorization import Level
from daemoncore.cedar.authentication import Endpoint
from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from daemoncore.cedar.handshake import Outcome
from daemoncore.cedar.stream import Stream
from daemoncore.client import Denied, ProtocolFailure, Reset
from daemoncore.security import read_security
from daemoncore.server import _MAXIMUM_REMEMBERED
from daemoncore.server_connection import ServerLimits
from tests.daemoncore import command_ports
from tests.daemoncore.command_ports import HEARTBEAT, QUERY, SERVER, SWITCH, UNKNOWN, UPDATE

AD = ClassAd({"MyType": "HAD", "Name": "had@cm2"})


async def test_a_command_arrives_with_who_sent_it(tmp_path, autojump_clock):
    """A holder of the pool's key logs in by a token of its own, encrypted, and its ad reaches the handler."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, UPDATE)
        assert connection.stream.is_encrypted
        assert connection.peer.is_ours
        assert (connection.our_identity.user, connection.our_identity.method) == (
            "condor@password",
            "IDTOKENS",
        )
        await connection.send(connection.writer().put_ad(AD))
        await connection.aclose()
    assert port.received == [(UPDATE, AD)]
    assert port.observer.commands == [(UPDATE, "condor@password", "IDTOKENS", "127.0.0.1")]
    assert port.observer.refusals == []


async def test_a_session_is_resumed_and_forgotten_by_a_restart(tmp_path, autojump_clock):
    """The second call needs no login; a new server says that it knows no such session."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            connection = await port.call(nursery, client, UPDATE)
            await connection.send(connection.writer().put_ad(AD))
            await connection.aclose()
    assert len(port.received) == 2
    assert len(port.server.sessions) == len(client.sessions) == 1
    restarted = command_ports.port(values)
    async with trio.open_nursery() as nursery:
        with pytest.raises(Denied) as denied:
            await restarted.call(nursery, client, UPDATE)
    assert denied.value.outcome is Outcome.SESSION_NOT_FOUND
    assert restarted.observer.reasons == ["session_not_found"]


@pytest.mark.parametrize("is_ours", [False, True])
async def test_a_real_daemons_lost_command_is_told_of(tmp_path, autojump_clock, is_ours):
    """Whoever kept a session with the daemon before loses one command; of one that is none of ours that says something."""
    values = command_ports.settings(tmp_path)
    client, lost = command_ports.client(values), []
    if not is_ours:
        client.security = attrs.evolve(
            client.security, ourselves=attrs.evolve(client.security.ourselves, is_marked=False)
        )
    port = command_ports.port(values)
    async with trio.open_nursery() as nursery:
        await (await port.call(nursery, client, UPDATE)).aclose()
    restarted = command_ports.port(values)
    restarted.server.register(UPDATE, Level.DAEMON, restarted.take_ad, when_lost=lost.append)
    async with trio.open_nursery() as nursery:
        with pytest.raises(Denied):
            await restarted.call(nursery, client, UPDATE)
    assert lost == ([] if is_ours else ["127.0.0.1"])


async def test_a_query_is_answered_in_one_message(tmp_path, autojump_clock):
    """A handler answers on the connection that the command came on."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery, await port.call(nursery, client, QUERY) as connection:
        await connection.send(connection.writer().put_ad(AD))
        answer = await connection.receive()
    assert (answer.get_int(), answer.get_ad(), answer.get_int()) == (1, AD, 0)


async def test_several_commands_share_a_connection(tmp_path, autojump_clock):
    """After its first command a client sends more, each with its number in front; one that it may not give ends it."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, UPDATE)
        await connection.send(connection.writer().put_ad(AD))
        await connection.send(connection.writer().put_int(UPDATE).put_ad(AD))
        await connection.send(connection.writer().put_int(Command.DC_NOP))
        await connection.send(connection.writer().put_int(SWITCH).put_string("NEGOTIATOR"))
        with pytest.raises(Reset):
            await connection.receive()
    assert port.received == [(UPDATE, AD), (UPDATE, AD)]
    assert port.observer.reasons == ["denied"]
    assert "ALLOW_ADMINISTRATOR" in port.observer.refusals[0][2]


async def test_a_kept_open_connection_goes_both_ways(tmp_path, autojump_clock):
    """A peer of ours keeps talking; the handler sees each message, answers, and sees the end."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, HEARTBEAT)
        await connection.send(connection.writer().put_int(1))
        for number in (2, 3):
            await connection.send(connection.writer().put_int(HEARTBEAT).put_int(number))
            answer = await connection.receive()
            assert (answer.get_int(), answer.get_int()) == (HEARTBEAT, -1)
        await trio.sleep(3600)
        await connection.send(connection.writer().put_int(HEARTBEAT).put_int(4))
        await connection.receive()
        await connection.aclose()
    assert port.received == [(HEARTBEAT, number) for number in (1, 2, 3, 4)] + ["closed"]
    assert port.observer.refusals == []


REFUSALS = [
    # changes of the server's settings, of the client's, the command, the outcome at the client, the server's reason
    ({}, {}, SWITCH, Outcome.DENIED, "denied"),
    ({}, {}, UNKNOWN, Outcome.COMMAND_NOT_FOUND, "command_not_found"),
    ({"DENY_DAEMON": "127.0.0.1"}, {}, UPDATE, Outcome.DENIED, "denied"),
    (
        {"SEC_DEFAULT_AUTHENTICATION_METHODS": "FS"},
        {},
        UPDATE,
        Outcome.NOT_AUTHENTICATED,
        "not_authenticated",
    ),
    ({"TRUST_DOMAIN": "another"}, {}, UPDATE, Outcome.NOT_AUTHENTICATED, "not_authenticated"),
]


@pytest.mark.parametrize(("ours", "theirs", "command", "outcome", "reason"), REFUSALS)
async def test_a_refusal_is_told_to_both_sides(
    tmp_path, autojump_clock, ours, theirs, command, outcome, reason
):
    """The client learns in which way it was refused, and the server counts why."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values | ours), command_ports.client(values | theirs)
    async with trio.open_nursery() as nursery:
        with pytest.raises(Denied) as denied:
            await port.call(nursery, client, command)
    assert denied.value.outcome is outcome
    assert port.observer.reasons == [reason]
    assert port.received == []


async def test_a_stranger_with_another_key_is_not_let_in(tmp_path, autojump_clock):
    """A client that holds another signing key finds that the server does not know its secret, and gives up."""
    (tmp_path / "theirs").mkdir()
    values, theirs = command_ports.settings(tmp_path), command_ports.settings(tmp_path / "theirs")
    (tmp_path / "theirs" / "passwords" / "POOL").write_bytes(b"another key")
    port, client = command_ports.port(values), command_ports.client(theirs)
    async with trio.open_nursery() as nursery:
        with pytest.raises(Denied, match="does not know our secret") as denied:
            await port.call(nursery, client, UPDATE)
    assert denied.value.outcome is Outcome.NOT_AUTHENTICATED
    assert port.observer.reasons == ["not_authenticated"]


async def test_contradicting_policies_end_without_an_answer(tmp_path, autojump_clock):
    """As with a real daemon, a client that never authenticates sees the connection close, and the server says why."""
    values = command_ports.settings(tmp_path)
    never = {"SEC_DEFAULT_" + name: "NEVER" for name in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")}
    port, client = command_ports.port(values), command_ports.client(values | never)
    async with trio.open_nursery() as nursery:
        with pytest.raises(Reset, match="contradicting policies") as reset:
            await port.call(nursery, client, UPDATE)
    assert not reset.value.has_heard
    assert port.observer.reasons == ["disagreed"]


RAW = {
    "SEC_DEFAULT_AUTHENTICATION": "OPTIONAL",
    "SEC_DEFAULT_ENCRYPTION": "OPTIONAL",
    "SEC_DEFAULT_INTEGRITY": "OPTIONAL",
    "SEC_CLIENT_NEGOTIATION": "OPTIONAL",
}


async def test_a_raw_command_is_taken_where_nothing_is_required(tmp_path, autojump_clock):
    """Without negotiation the command and its payload are one message, from a stranger."""
    values = command_ports.settings(tmp_path, ALLOW_DAEMON="*", **RAW)
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, UPDATE)
        assert not connection.stream.is_encrypted
        await connection.send(connection.writer().put_ad(AD))
        await connection.aclose()
    assert port.received == [(UPDATE, AD)]
    assert port.observer.commands[0][1:3] == ("unauthenticated@unmapped", None)


@pytest.mark.parametrize("feature", ["AUTHENTICATION", "ENCRYPTION", "INTEGRITY", "NEGOTIATION"])
async def test_a_raw_command_is_refused_where_anything_is_required(tmp_path, autojump_clock, feature):
    """One required feature of the command's level is enough to refuse a command in the clear."""
    values = command_ports.settings(tmp_path, ALLOW_DAEMON="*", **RAW)
    port = command_ports.port(values | {f"SEC_DAEMON_{feature}": "REQUIRED"})
    client = command_ports.client(values)
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, UPDATE)
        await connection.send(connection.writer().put_ad(AD))
        with pytest.raises(Reset):
            await connection.receive()
    assert port.received == []
    assert port.observer.reasons == ["not_negotiated"]


async def test_a_session_is_no_way_around_a_stricter_level(tmp_path, autojump_clock):
    """A session that was made without a login for READ is not taken for DAEMON; the client negotiates again."""
    values = command_ports.settings(
        tmp_path, ALLOW_DAEMON="*", SEC_READ_AUTHENTICATION="OPTIONAL", SEC_CLIENT_AUTHENTICATION="OPTIONAL"
    )
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, QUERY)
        assert connection.our_identity.method is None
        await connection.send(connection.writer().put_ad(AD))
        await connection.receive()
        await connection.aclose()
        [stolen] = client.sessions._sessions.values()
        client.sessions.add(str(SERVER.sinful()), attrs.evolve(stolen[0], valid_commands=frozenset()), 0.0)
        with pytest.raises(Denied) as denied:
            await port.call(nursery, client, UPDATE)
    assert denied.value.outcome is Outcome.SESSION_NOT_FOUND


async def test_a_guessed_session_id_is_worth_nothing(tmp_path, autojump_clock):
    """Whoever resumes a session without its key gets no command through, whether or not the command has a payload."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    port.server.register(60005, port.server.registration(UPDATE).level, port.take_ad, has_payload=False)
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, UPDATE)
        await connection.send(connection.writer().put_ad(AD))
        await connection.aclose()
        [(session, _)] = client.sessions._sessions.values()
        client.sessions.add(str(SERVER.sinful()), attrs.evolve(session, key=bytes(32)), 0.0)
        connection = await port.call(nursery, client, UPDATE)
        await connection.send(connection.writer().put_ad(AD))
        with pytest.raises(Reset):
            await connection.receive()
        with pytest.raises(Denied) as denied:
            await port.call(nursery, client, 60005)
    assert denied.value.outcome is Outcome.SESSION_NOT_FOUND
    assert len(port.received) == 1
    assert port.observer.reasons == ["protocol", "session_not_found"]


async def test_claimtobe_goes_no_further_than_its_command(tmp_path, autojump_clock):
    """A claimed name is believed for the level of the command it was claimed for, and for what that implies."""
    values = command_ports.settings(
        tmp_path,
        SEC_DEFAULT_AUTHENTICATION_METHODS="CLAIMTOBE",
        SEC_CLAIMTOBE_USER="alice",
        ALLOW_DAEMON="alice@example.org",
        ALLOW_ADMINISTRATOR="alice@example.org",
    )
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, UPDATE)
        await connection.send(connection.writer().put_ad(AD))
        await connection.send(connection.writer().put_int(SWITCH).put_string("NEGOTIATOR"))
        with pytest.raises(Reset):
            await connection.receive()
    assert port.received == [(UPDATE, AD)]
    assert "limited to DAEMON" in port.observer.refusals[0][2]


async def test_fs_proves_an_account_of_this_host(tmp_path, autojump_clock):
    """A folder made on demand shows the server whose account is at the other end, and is gone afterwards."""
    (tmp_path / "fs").mkdir()
    values = command_ports.settings(
        tmp_path,
        SEC_DEFAULT_AUTHENTICATION_METHODS="FS",
        FS_LOCAL_DIR=str(tmp_path / "fs"),
        FS_ROOT_TO_CONDOR="false",
        ALLOW_DAEMON="*@example.org",
    )
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery, await port.call(nursery, client, UPDATE) as connection:
        assert connection.our_identity.method == "FS"
        assert connection.our_identity.user.endswith("@example.org")
    assert list((tmp_path / "fs").iterdir()) == []


async def raw_call(port, nursery, data, *, address="127.0.0.1"):
    """Send bytes to a port and return the other end of the connection."""
    ours, theirs = trio.testing.memory_stream_pair()
    endpoint = Endpoint(SERVER.host, SERVER.port)
    nursery.start_soon(lambda: port.server.serve_connection(theirs, address=address, endpoint=endpoint))
    if data:
        await ours.send_all(data)
    return ours


async def read_all(stream):
    """Return everything until the other side closes."""
    data = b""
    try:
        while piece := await stream.receive_some(65536):
            data += piece
    except trio.BrokenResourceError:
        pass
    return data


async def drip(stream):
    """Send a byte a second until nobody takes it any more."""
    for _ in range(100):
        await stream.send_all(b"x")
        await trio.sleep(1)


NONSENSE = [
    b"GET / HTTP/1.0\r\n\r\n",
    b"\x01\x7f\xff\xff\xff",
    b"\x01\x00\x00\x00\x01x",
    b"\x0b\x00\x00\x00\x01x",
]


@pytest.mark.parametrize("data", NONSENSE)
async def test_nonsense_ends_its_own_connection_only(tmp_path, autojump_clock, data):
    """Bytes that are not the protocol are counted as such, and the next client is served."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        stream = await raw_call(port, nursery, data)
        await read_all(stream)
        async with await port.call(nursery, client, UPDATE) as connection:
            await connection.send(connection.writer().put_ad(AD))
    assert port.observer.reasons == ["protocol"]
    assert port.received == [(UPDATE, AD)]


async def test_a_silent_client_is_shown_out(tmp_path, autojump_clock):
    """A connection on which nothing comes ends with the deadline of the handshake."""
    port = command_ports.port(command_ports.settings(tmp_path), limits=ServerLimits(handshake_seconds=10))
    async with trio.open_nursery() as nursery:
        stream = await raw_call(port, nursery, b"\x01")
        start = trio.current_time()
        assert await read_all(stream) == b""
        assert trio.current_time() - start == pytest.approx(10)
    assert port.observer.reasons == ["slow"]


async def test_a_client_that_drips_bytes_is_shown_out(tmp_path, autojump_clock):
    """The deadline is for the whole handshake; a byte now and then does not extend it."""
    port = command_ports.port(command_ports.settings(tmp_path), limits=ServerLimits(handshake_seconds=10))
    async with trio.open_nursery() as nursery:
        stream = await raw_call(port, nursery, b"\x01\x00\x00\x10\x00")
        with pytest.raises(trio.BrokenResourceError):
            await drip(stream)
    assert port.observer.reasons == ["slow"]


async def test_an_idle_connection_is_closed_without_complaint(tmp_path, autojump_clock):
    """A client that stays silent after its command has done nothing wrong."""
    values = command_ports.settings(tmp_path)
    port, client = (
        command_ports.port(values, limits=ServerLimits(idle_seconds=5)),
        command_ports.client(values),
    )
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, UPDATE)
        await connection.send(connection.writer().put_ad(AD))
        with pytest.raises(Reset):
            await connection.receive()
    assert port.observer.refusals == []


async def test_no_more_than_so_many_connections_are_open(tmp_path, autojump_clock):
    """The limits are for one address and in total; who is over is closed at once, and only the first is worth a line."""
    limits = ServerLimits(connections=3, connections_of_one_address=2)
    port = command_ports.port(command_ports.settings(tmp_path), limits=limits)
    async with trio.open_nursery() as nursery:
        for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2"):
            await raw_call(port, nursery, b"", address=address)
        await trio.testing.wait_all_tasks_blocked()
        for address in ("127.0.0.1", "127.0.0.1", "127.0.0.3"):
            assert await read_all(await raw_call(port, nursery, b"", address=address)) == b""
        nursery.cancel_scope.cancel()
    assert port.observer.reasons == ["too_many"] * 3
    assert [refusal[3] for refusal in port.observer.refusals] == [False, True, False]


async def test_a_large_message_of_a_stranger_is_refused(tmp_path, autojump_clock):
    """Before a login 64 KiB are enough."""
    port = command_ports.port(command_ports.settings(tmp_path))
    async with trio.open_nursery() as nursery:
        stream = await raw_call(port, nursery, Stream().encode(b"\0" * 70_000))
        assert await read_all(stream) == b""
    assert port.observer.reasons == ["protocol"]


async def test_a_broken_handler_ends_only_its_connection(tmp_path, autojump_clock):
    """A handler that raises is reported with its error, and the server serves on."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)

    async def stumble(request):
        raise KeyError("a mistake")

    port.server.register(UPDATE, port.server.registration(UPDATE).level, stumble)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            connection = await port.call(nursery, client, UPDATE)
            await connection.send(connection.writer().put_ad(AD))
            with pytest.raises(Reset):
                await connection.receive()
    assert [(command, type(error)) for command, error in port.observer.failures] == [(UPDATE, KeyError)] * 2


async def test_a_payload_that_is_none_is_the_peers_fault(tmp_path, autojump_clock):
    """A handler that reads past the payload ends the connection as a breach of the protocol, not as our mistake."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        connection = await port.call(nursery, client, UPDATE)
        await connection.send(connection.writer().put_int(99))
        with pytest.raises(Reset):
            await connection.receive()
    assert port.observer.reasons == ["protocol"]
    assert port.observer.failures == []


async def test_replaced_settings_count_at_once(tmp_path, autojump_clock):
    """After a reconfiguration sessions are forgotten and the new lists decide."""
    values = command_ports.settings(tmp_path)
    port, client = command_ports.port(values), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        async with await port.call(nursery, client, UPDATE) as connection:
            await connection.send(connection.writer().put_ad(AD))
        port.server.replace_security(read_security((values | {"ALLOW_DAEMON": "nobody@nowhere"}).get))
        client.sessions.clear()
        with pytest.raises(Denied):
            await port.call(nursery, client, UPDATE)


async def test_a_client_that_meets_nonsense_says_so(tmp_path, autojump_clock):
    """Whatever does not speak the protocol is a protocol failure, not a dead peer."""
    client = command_ports.client(command_ports.settings(tmp_path))
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"SSH-2.0-OpenSSH_9.2\r\n")
    with pytest.raises(ProtocolFailure):
        await client.introduce(ours, SERVER, command_ports.request(client, UPDATE))


@pytest.mark.parametrize(("name", "is_allowed"), [("cm2.example.org", True), ("cm2.evil.com", False)])
async def test_a_pattern_of_host_names_is_matched_by_the_peers_names(
    tmp_path, autojump_clock, name, is_allowed
):
    """Where a list has a pattern of names, the peer's address is looked up."""
    values = command_ports.settings(tmp_path, ALLOW_DAEMON="condor@password/*.example.org")

    async def names_of(address):
        assert address == "127.0.0.1"
        return (name,)

    port, client = command_ports.port(values, names_of=names_of), command_ports.client(values)
    async with trio.open_nursery() as nursery:
        if is_allowed:
            async with await port.call(nursery, client, UPDATE) as connection:
                await connection.send(connection.writer().put_ad(AD))
        else:
            with pytest.raises(Denied):
                await port.call(nursery, client, UPDATE)
    assert len(port.received) == is_allowed


async def test_a_flood_of_refusals_is_not_remembered(tmp_path, autojump_clock):
    """However many addresses are refused, only so many are kept to tell repetitions by."""
    found = command_ports.port(command_ports.settings(tmp_path))
    for number in range(_MAXIMUM_REMEMBERED + 10):
        found.server.refuse("denied", f"10.1.{number // 256}.{number % 256}", "a test")
    assert len(found.server._told) <= _MAXIMUM_REMEMBERED
    assert not any(is_repeated for *_, is_repeated in found.observer.refusals)
    found.server.refuse("denied", "10.1.0.1", "a test")
    found.server.refuse("denied", "10.1.0.1", "a test")
    assert found.observer.refusals[-1][-1], "what is said again at once is still noticed"
