"""What happens at the command port, as the log and the metrics tell it."""

from daemoncore.cedar.commands import Command
from daemoncore.command_watch import CommandWatch


def test_refusals_are_counted_each_time_and_told_once():
    """A refusal that repeats one from the same address has no line."""
    lines, counted = [], []
    watch = CommandWatch(lambda event, **fields: lines.append((event, fields)), counted.append)
    watch.connection_refused("denied", "127.0.0.9", "not in ALLOW_DAEMON", is_repeated=False)
    watch.connection_refused("denied", "127.0.0.9", "not in ALLOW_DAEMON", is_repeated=True)
    assert counted == ["denied", "denied"]
    told = {"reason": "denied", "address": "127.0.0.9", "text": "not in ALLOW_DAEMON"}
    assert lines == [("connection_refused", told)]


def test_a_defect_of_ours_is_told_with_its_command():
    """Whoever reports it can say what had been asked."""
    lines = []
    watch = CommandWatch(lambda event, **fields: lines.append((event, fields)), [].append)
    watch.handler_failed(Command.DC_RECONFIG, "127.0.0.9", KeyError("x"))
    fields = {"command": "DC_RECONFIG", "address": "127.0.0.9", "error": "KeyError('x')"}
    assert lines == [("handler_failed", fields)]
