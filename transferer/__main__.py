"""The command line: `python -m transferer down|up PEER`, started by the replication daemon and by nobody else.

What is to be done comes over standard input (transferer.control), not as arguments, so that no key shows in a list of
processes; the arguments are for people who read such lists. Exit status 0 when every version went through and the end was
orderly, 1 otherwise; the last line on standard output says why. It exits when its daemon does.
"""

import signal
import sys
from types import FrameType

from transferer.control import Control
from transferer.failure import Cancelled, CopyFailed, Declined, outcome
from transferer.task import Task
from transferer.versions import Result

_USAGE = "usage: python -m transferer down|up PEER\nIt is started by the replication daemon, which tells it the rest.\n"


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise Cancelled("it was told to stop")


def run(role: str, control: Control) -> int:
    """Do one task; return the exit status."""
    task = None
    try:
        task = Task(control)
        if role == "down":
            from transferer.download import Download

            end, fault = Download(task).run(), None
        else:
            from transferer.upload import Upload

            end, fault = Upload(task).run(), None
    except (Cancelled, CopyFailed, Declined) as error:
        end, fault = outcome(error)
    try:
        if task:
            task.tell_end(end, fault)
        else:
            control.tell("exit", result=end.result.value, reason=end.reason, fault=fault and fault.value)
    except Cancelled:
        return 1
    return 0 if end.result is Result.OK else 1


def main() -> int:
    """Run the program."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("down", "up"):
        sys.stderr.write(_USAGE)
        return 1
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    return run(sys.argv[1], Control())


if __name__ == "__main__":
    sys.exit(main())
