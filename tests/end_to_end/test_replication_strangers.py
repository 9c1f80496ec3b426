"""Strangers, nonsense and too many askers at the port of real replication daemons: nobody is let in, nobody is held up."""

import contextlib
import socket

import pytest

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from replication.events import CondorCommand, State
from replication.families import REJECT_REASONS
from replication.settings import MAXIMUM_UPLOADS
from replication.version import INTEGER_LIMIT, Version
from tests.end_to_end.impostor import GARBAGE
from tests.end_to_end.replica_stage import Counted
from transferer.failure import CopyFailed

NO_SECURITY = {
    f"SEC_DEFAULT_{feature}": "NEVER"
    for feature in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY", "NEGOTIATION")
}

COMMANDS = (
    *(Command(command.value) for command in CondorCommand),
    Command.HAD_AFTER_ELECTION_STATE,
    Command.HAD_IN_LEADER_STATE,
    Command.HAD_AFTER_LEADER_STATE,
    Command.REPLICATION_TRANSFER_FILE,
    Command.REPLICATION_TRANSFER_FILE_NEW,
    Command.REPLICATION_FETCH,
    Command.REPLICATION_REPORT,
    Command.REPLICATION_ATTEND,
    Command.REPLICATION_STATUS,
    Command.REPLICATION_CONFLICT,
)


def test_garbage_on_the_port(stage):
    """Bytes that are not the protocol end their own connection, and are counted and logged."""
    for replica in (stage.leader, stage.follower):
        host, port = replica.entry.rsplit(":", 1)
        for name, data in GARBAGE.items():
            counted = Counted(replica)
            with socket.create_connection((host, int(port)), 5, ("127.0.0.1", 0)) as connection:
                connection.settimeout(10)
                with contextlib.suppress(OSError):
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        continue
            if not name.startswith("half"):
                stage.wait(
                    lambda c=counted: any(c.rejected(r) for r in REJECT_REASONS), f"{name} to be counted", 5
                )
        assert replica.logged("connection_refused", "127.0.0.1")
    stage.assert_goes_on()


def test_nonsense_behind_a_command(stage, impostor):
    """A payload that is none ends its connection whatever the command, is counted as the protocol's, and does nothing."""
    before = stage.leader.point()
    for command in COMMANDS:
        counted = Counted(stage.leader)
        with impostor.call(stage.pool[0], command, source=stage.pool[0].host) as call:
            call.say(b"\xff" * 40)
            assert call.is_hung_up(), command.name
        stage.wait(lambda c=counted: c.rejected("protocol") == 1, f"{command.name} to be counted", 5)
    assert stage.leader.point() == before
    assert stage.leader.status()["state"] == "leader"
    stage.assert_goes_on()


def test_half_a_message(stage, impostor):
    """Whoever vanishes in the middle of a message has said nothing, whatever the command, and keeps nobody waiting."""
    before = stage.leader.point()
    with contextlib.ExitStack() as open_calls:
        for command in COMMANDS:
            call = open_calls.enter_context(impostor.call(stage.pool[0], command, source=stage.pool[0].host))
            whole = call.stream.encode(call.stream.writer().put_bytes(b"\x01" * 400))
            call.send(whole[: len(whole) // 2])
        stage.assert_goes_on()
    assert stage.leader.point()[0] == before[0]
    assert stage.leader.status()["state"] == "leader"
    stage.assert_goes_on()


def test_nonsense_from_had(stage, impostor):
    """Nonsense on had's stream ends that stream only, and the had that was there before goes on leading."""
    nonsense = [
        {"What": "began"},
        {"What": "began", "Epoch": INTEGER_LIMIT + 1},
        {"What": "flush", "Request": 1, "TimeoutSeconds": -1.0},
        {"What": "current", "Request": -1},
        {"What": "nothing that had would say"},
        {},
    ]
    node = stage.pool[1]
    for fields in nonsense:
        counted = Counted(stage.follower)
        with impostor.call(node, Command.REPLICATION_ATTEND, source=node.host) as call:
            call.say_ad(ClassAd({"HadProtocol": 1, **fields}))
            assert call.is_hung_up()
        stage.wait(lambda c=counted: c.rejected("protocol") == 1, f"{fields} to be counted", 5)
    assert stage.follower.status()["state"] == "backup"
    stage.assert_goes_on()


def test_strangers_by_address(stage, impostor):
    """Who is no member gets nothing and is not believed: neither as one of ours nor as HTCondor, nor in a member's name."""
    stranger = stage.stranger
    asks = {"HadProtocol": 1, "ReplicationSender": f"{stranger}:{stage.pool.network.replication_port}"}
    counted = Counted(stage.leader)

    def call(command):
        return impostor.call(stage.pool[0], command, source=stranger)

    with call(Command.REPLICATION_FETCH) as ask:
        ask.say_ad(ClassAd(asks))
        assert ask.is_hung_up()
    assert stage.leader.logged("upload_refused", "no member")
    with call(Command.REPLICATION_FETCH) as ask:
        ask.say_ad(ClassAd(asks | {"ReplicationSender": stage.follower.entry}))
        assert ask.is_hung_up()
    stage.wait(lambda: counted.rejected("wrong_address") == 1, "the false name to be counted")
    with call(Command.REPLICATION_TRANSFER_FILE_NEW) as ask:
        ask.say_text("")
        assert ask.is_hung_up()
    with call(Command.REPLICATION_REPORT) as report:
        sender = {"sender": asks["ReplicationSender"]}
        report.say_ad(impostor.report_ad(state=State.LEADER, version=Version.first(stage.claim()), **sender))
    stage.wait(lambda: counted.rejected("not_a_member") == 3, "the strangers to be counted")
    with call(Command.REPLICATION_ATTEND) as had:
        had.say_ad(ClassAd({"HadProtocol": 1, "What": "ended", "IsStopped": True}))
        assert had.is_hung_up()
    stage.wait(lambda: counted.rejected("wrong_address") == 2, "the false had to be counted")
    assert stage.leader.logged("message_rejected", "wrong_address", stranger)
    stage.assert_goes_on()


def test_strangers_by_name(stage, impostor):
    """Who does not prove who he is, or may not be a daemon here, gives no command at all, and is counted and logged."""
    for command in COMMANDS:
        counted = Counted(stage.leader)
        with impostor.call(stage.pool[0], command, settings=NO_SECURITY) as call:
            call.say_ad(ClassAd({"HadProtocol": 1, "ReplicationSender": impostor.entry}))
            assert call.is_hung_up(), command.name
        stage.wait(lambda c=counted: c.rejected("not_negotiated") == 1, f"{command.name} to be counted", 5)
    for command in (Command.REPLICATION_FETCH, Command.REPLICATION_REPORT, Command.REPLICATION_ATTEND):
        counted = Counted(stage.leader)
        with pytest.raises(CopyFailed):
            impostor.call(stage.pool[0], command, source=stage.denied)
        stage.wait(lambda c=counted: c.rejected("denied"), f"{command.name} to be counted", 5)
    assert stage.leader.logged("connection_refused", impostor.node.host)
    assert stage.leader.logged("connection_refused", stage.denied)
    stage.assert_goes_on()


def test_seventeen_uploads(stage, impostor):
    """Sixteen replicas are sent the state at once; the next one is refused, which is counted and said, and later gets it."""
    counted = Counted(stage.leader)
    with contextlib.ExitStack() as open_calls:
        running = lambda: stage.leader.metric("had_replication_transfers_in_progress", direction="upload")  # noqa: E731
        while running() < MAXIMUM_UPLOADS:
            before = running()
            open_calls.enter_context(impostor.ask(stage.pool[0]))
            stage.wait(lambda b=before: running() > b, "one more upload")
        with impostor.ask(stage.pool[0]) as one_too_many:
            assert one_too_many.is_hung_up()
        assert stage.leader.logged("upload_refused", f"{MAXIMUM_UPLOADS} uploads are under way")
        assert counted.rejected("too_many") == 1
    stage.wait(lambda: running() <= 1, "the uploads to end")
    with impostor.ask(stage.pool[0]) as asked:
        assert asked.hear().get_int() == 1
    stage.assert_goes_on()


@pytest.mark.parametrize("archive", ["conflicts", "ancestors", "..", ""])
def test_copies_that_are_not_kept(stage, impostor, archive):
    """A kept copy goes by its name, which is no path: whatever else is asked for is not there, which is counted and said."""
    identifiers = ("1.2-00000000", "../version.json", "/etc/passwd", "..", "")
    for identifier in identifiers:
        counted = Counted(stage.leader)
        asking = {"ReplicationArchive": archive, "ReplicationIdentifier": identifier}
        with impostor.ask(stage.pool[0], **asking) as asked:
            assert asked.is_hung_up()
        stage.wait(lambda c=counted: c.rejected("other") == 1, f"{identifier!r} to be counted", 5)
    assert stage.leader.logged("upload_refused", impostor.entry, "not kept here")


def test_a_stranger_wants_a_kept_copy(stage, impostor):
    """Who is no member does not even hear whether there is such a copy."""
    counted = Counted(stage.leader)
    sender = f"{stage.stranger}:{stage.pool.network.replication_port}"
    with impostor.call(stage.pool[0], Command.REPLICATION_FETCH, source=stage.stranger) as asked:
        wanted = {"ReplicationArchive": "conflicts", "ReplicationIdentifier": "1.2-00000000"}
        asked.say_ad(ClassAd({"HadProtocol": 1, "ReplicationSender": sender, **wanted}))
        assert asked.is_hung_up()
    stage.wait(lambda: counted.rejected("not_a_member") == 1, "the stranger to be counted")
    stage.assert_goes_on()
