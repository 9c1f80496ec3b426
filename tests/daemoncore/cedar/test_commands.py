"""The command numbers."""

from daemoncore.cedar.commands import FIRST_OWN_COMMAND, LAST_OWN_COMMAND, Command, command_name
from tests import vector_files


def test_recorded_commands_have_their_names():
    """Every command of the recordings is known by HTCondor's name for it."""
    recorded = {
        (parameter.values[0]["command"], parameter.values[0]["command_name"])
        for transport in ("tcp", "udp")
        for parameter in vector_files.conversations(transport)
        if parameter.values[0].get("command_name") in Command.__members__
    }
    assert len(recorded) > 25
    for number, name in recorded:
        assert Command[name] == number


def test_commands_of_our_own_keep_to_their_range():
    """Names that HTCondor does not have are numbered where HTCondor has nothing."""
    own = {
        Command.HAD_HEARTBEAT,
        Command.HAD_SWITCHOVER,
        Command.HAD_PAUSE,
        Command.HAD_RESUME,
        Command.HAD_STATUS,
        Command.HAD_RESTART,
        Command.REPLICATION_FETCH,
        Command.REPLICATION_REPORT,
        Command.REPLICATION_ATTEND,
        Command.REPLICATION_STATUS,
        Command.REPLICATION_CONFLICT,
    }
    assert {command for command in Command if FIRST_OWN_COMMAND <= command <= LAST_OWN_COMMAND} == own


def test_numbers_are_named_for_people():
    """A log line names a command, also one that we do not know."""
    assert command_name(700) == "HAD_ALIVE_CMD"
    assert command_name(4711) == "command 4711"
