"""Every recorded handshake of a real daemon, with our client or our server in the place of the recorder."""

import pytest

from daemoncore.cedar.client_handshake import Established, Failed
from daemoncore.cedar.handshake import Outcome, Refusal
from daemoncore.cedar.server_conversation import CommandReceived, Finished, Refused
from tests import vector_files
from tests.daemoncore.cedar import replayed_handshakes as replayed

#: A handshake is over with these; what follows is the business of the command.
LAST_OF_HANDSHAKE = {"post-authentication result", "resume response"}
#: A client that forges a proof, and one that offers no key although it speaks AES; ours does neither.
UNLIKE_US = {("05-idtokens", "c6"), ("02-negotiated-no-auth", "c5")}


def handshakes(role):
    """Return the connections with a handshake in which we have that role."""
    return [
        parameter
        for parameter in vector_files.conversations()
        if parameter.values[0]["we_are"] == role
        and any(
            entry.get("what") in ("negotiation request", "resume request")
            for entry in parameter.values[0]["stream"]
        )
        and tuple(parameter.id.split("/")) not in UNLIKE_US
    ]


def pieces(data, is_bytewise):
    """Return bytes in one piece, or byte by byte as far as a handshake goes."""
    split = [bytes([byte]) for byte in data[:6000]] if is_bytewise else []
    return split + ([data[len(split) :]] if len(split) < len(data) else [])


def wire(entry):
    """Return a recorded message as it was on the wire."""
    return vector_files.wire_bytes(entry)


@pytest.mark.parametrize("connection", handshakes("client"))
@pytest.mark.parametrize("is_bytewise", [False, True])
def test_our_client_says_what_the_recorded_one_said(connection, is_bytewise):
    """Fed with a real server's bytes and the recorded secrets, our client sends the recorded bytes and ends as recorded."""
    handshake = replayed.client(connection)
    sent, expected, result = handshake.start(replayed.RECORDED_AT), b"", None
    for entry in connection["stream"]:
        if "dir" not in entry:
            continue
        if entry["what"].startswith(("payload", "DC_SEC_QUERY")) or (result and entry["dir"] == "s2c"):
            break
        if entry["dir"] == "c2s":
            expected += wire(entry)
            continue
        data = wire(entry)
        for piece in pieces(data, is_bytewise):
            assert result is None
            result = handshake.receive_data(piece, replayed.RECORDED_AT)
        sent += handshake.data_to_send()
    assert sent.hex() == expected.hex()
    check_client_result(connection, handshake, result)


def check_client_result(connection, handshake, result):
    """Compare the end of our client's handshake with the recorded one."""
    session = connection.get("session")
    code = session["return_code"] if session else None
    if code == "AUTHORIZED":
        assert isinstance(result, Established)
        assert handshake.stream.is_encrypted == session["aes"]
        assert result.peer.version == connection["peer_version"]
        if not session["resumed"]:
            assert (result.our_identity.user, result.our_identity.method) == (
                session["user"],
                session.get("method"),
            )
        if result.new_session:
            assert result.new_session.identifier == session["id"]
            assert result.new_session.key == vector_files.session_key(connection)
            assert (
                connection.get("auth_command") or connection["command"]
            ) in result.new_session.valid_commands
    elif code:
        assert result.outcome is {"DENIED": Outcome.DENIED, "SID_NOT_FOUND": Outcome.SESSION_NOT_FOUND}[code]
    else:
        assert result is None or (isinstance(result, Failed) and result.outcome is Outcome.NOT_AUTHENTICATED)


@pytest.mark.parametrize("connection", handshakes("server"))
@pytest.mark.parametrize("is_bytewise", [False, True])
def test_our_server_answers_what_the_recorded_one_answered(connection, is_bytewise):
    """Fed with a real client's bytes and the recorded secrets, our server answers with the recorded bytes and hands out the commands."""
    conversation = replayed.server(connection)
    sent, expected, events = b"", b"", []
    for entry in connection["stream"]:
        if "dir" not in entry or entry.get("what") is None:
            continue
        if entry["dir"] == "s2c":
            if "packets" in entry and not is_reply(entry):
                expected += wire(entry)
            continue
        data = wire(entry)
        if data is None:
            break
        for piece in pieces(data, is_bytewise):
            events += conversation.receive_data(piece, replayed.RECORDED_AT)
        sent += conversation.data_to_send()
    assert sent.hex() == expected.hex()
    check_server_events(connection, conversation, events)


def is_reply(entry):
    """Say whether a recorded message of a server is a handler's answer, not the handshake's."""
    return entry["encrypted"] and entry["what"] not in ("post-authentication result", "DC_SEC_QUERY reply")


def check_server_events(connection, conversation, events):
    """Compare what our server made of a connection with what was recorded."""
    session = connection.get("session") or {"return_code": None}
    code = session["return_code"]
    if code == "AUTHORIZED" and connection.get("auth_command") is None:
        assert isinstance(events[0], CommandReceived)
        assert events[0].command == connection["command"]
        user = session.get("user") or "unauthenticated@unmapped"
        assert (events[0].peer.identity.user, events[0].peer.identity.method) == (user, session.get("method"))
        assert not events[0].peer.is_ours
        if events[0].reader is not None:
            assert events[0].reader.remaining
        assert all(isinstance(event, CommandReceived) for event in events)
    elif code is None:
        assert not [event for event in events if isinstance(event, CommandReceived)]
    elif code == "AUTHORIZED":
        assert events == [Finished()]
    else:
        refusal = {
            "DENIED": Refusal.DENIED,
            "CMD_NOT_FOUND": Refusal.COMMAND_NOT_FOUND,
            "SID_NOT_FOUND": Refusal.SESSION_NOT_FOUND,
        }[code]
        assert [event.refusal for event in events if isinstance(event, Refused)] == [refusal]
        assert len(events) == 1
