"""The children of condor_master that are the controllee, as the kernel sees them.

condor_master does not say whether a daemon that it was asked to start or to stop is up or gone. Its ad is sent now and
then, the daemon's own ad stays in the collector for a quarter of an hour after a crash, and an address file outlives its
daemon. The process itself is exact: it is a child of condor_master whose command line begins as condor_master begins
it, and a pidfd tells of its end at once, also when its number is used again.

A program is started with its file's name as the first word. Of a script the kernel puts the interpreter before it, and
the script's path follows. A wrapper that ends in `exec` is known by the name that daemons of HTCondor have,
`condor_negotiator`. Two daemons may share one program; they differ in `-local-name`, or in their arguments, as those do
whose program is an interpreter. What is ours is never the controllee: `had` is itself a child of condor_master.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import attrs

from daemoncore.process import children

_SCRIPT_WORDS = 3
"""A script's path is the second word of its process, or the third if its first line has an argument."""

_OUR_PROGRAMS = frozenset(
    {"had", "had-replication", "had-transferer", "condor_had", "condor_replication", "condor_transferer"}
)
_OUR_MODULES = frozenset({"had", "replication", "transferer"})


@attrs.define(eq=False)
class Resident:
    """One process, of the controllee or condor_master's own, held by a pidfd."""

    pid: int
    descriptor: int

    @classmethod
    def hold(cls, pid: int) -> Resident:
        """Hold a process; OSError if there is none."""
        return cls(pid, os.pidfd_open(pid))

    @property
    def is_alive(self) -> bool:
        """Whether it runs; a process that nobody has collected yet does not."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return not poll.poll(0)

    def send(self, number: int) -> str:
        """Send it a signal; empty, or why that is not possible."""
        try:
            signal.pidfd_send_signal(self.descriptor, number)
        except ProcessLookupError:
            return ""
        except OSError as error:
            return f"{signal.Signals(number).name} to process {self.pid}: {error.strerror}"
        return ""

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


@attrs.frozen
class Likeness:
    """What the controllee's process looks like.

    Attributes:
        name: HAD_CONTROLLEE.
        programs: what its knob names, or named before.
        local_name: what follows `-local-name` in its arguments; empty if nothing does.
        arguments: what its knob of arguments says, or said before: one of them stands in its command line.
    """

    name: str
    programs: frozenset[str]
    local_name: str = ""
    arguments: frozenset[tuple[str, ...]] = frozenset({()})

    def is_of(self, words: list[str]) -> bool:
        """Whether a process with this command line is the controllee."""
        is_known = words[:1] and os.path.basename(words[0]) == f"condor_{self.name.lower()}"  # noqa: PTH119
        return self.is_like(words) and (is_known or self._has_our_arguments(words))

    def is_like(self, words: list[str]) -> bool:
        """Whether it may have been the controllee under other arguments."""
        if not words or _is_ours(words):
            return False
        names = {os.path.basename(program) for program in self.programs}  # noqa: PTH119  a name, no file
        is_named = os.path.basename(words[0]) in {*names, f"condor_{self.name.lower()}"}  # noqa: PTH119
        is_script = any(word in self.programs for word in words[1:_SCRIPT_WORDS])
        return (is_named or is_script) and self._has_our_name(words)

    def _has_our_arguments(self, words: list[str]) -> bool:
        # condor_master puts a local name before them, and what it adds for a shared port behind them.
        return any(
            tuple(words[start : start + len(wanted)]) == wanted
            for wanted in self.arguments
            for start in range(1, len(words) - len(wanted) + 1)
        )

    def _has_our_name(self, words: list[str]) -> bool:
        if "-local-name" not in words[:-1]:
            return not self.local_name
        found = words[words.index("-local-name") + 1].casefold()
        # condor_master adds its own name for the daemon where that is none of HTCondor's.
        return found in {self.local_name.casefold(), self.name.casefold()}


class Household:
    """Finds the controllee among the children of condor_master.

    Args:
        master: gives condor_master's process, dead or alive; None while it is not known.
        likeness: what the controllee looks like.
        own: processes that are ours, beside this one.
    """

    def __init__(
        self, master: Callable[[], Resident | None], likeness: Likeness, own: Collection[int] = ()
    ) -> None:
        self._master = master
        self.likeness = likeness
        self._own = {os.getpid(), *own}
        self._known: dict[int, Resident] = {}

    def look(self) -> list[Resident]:
        """Return the living processes of the controllee; one that was seen before counts also when its parent is dead.

        The dead are forgotten, so nobody else may be waiting for an end meanwhile.
        """
        self._notice()
        for pid, resident in list(self._known.items()):
            if not resident.is_alive:
                resident.close()
                del self._known[pid]
        return list(self._known.values())

    def living(self) -> list[Resident]:
        """Return the same, beside somebody who waits for the end of one of them."""
        self._notice()
        return [resident for resident in self._known.values() if resident.is_alive]

    def _notice(self) -> None:
        for pid in self._siblings():
            if pid not in self._known and self.likeness.is_of(command_line(pid)):
                self.note(pid)

    def _siblings(self) -> list[int]:
        """The other children of condor_master, if that is known and lives."""
        master = self._master()
        return (
            [pid for pid in children(master.pid) if pid not in self._own]
            if master and master.is_alive
            else []
        )

    def note(self, pid: int) -> None:
        """Know a process to be the controllee, provided that it looks like it now that the number is held.

        Its arguments may be those of a configuration before this one.
        """
        if pid in self._known:
            return
        with contextlib.suppress(OSError):
            resident = Resident.hold(pid)
            if self.likeness.is_like(command_line(pid)):
                self._known[pid] = resident
            else:
                resident.close()

    def is_expecting(self) -> bool:
        """Whether condor_master is about to start something: a child that still looks like its parent."""
        master = self._master()
        own = command_line(master.pid) if master else []
        return bool(own) and any(command_line(pid) == own for pid in self._siblings())

    def is_abandoned(self) -> bool:
        """Whether condor_master was known and is dead: then nobody starts anything again."""
        master = self._master()
        return master is not None and not master.is_alive

    def is_blind(self) -> bool:
        """Whether no living condor_master is known, so that nothing would be seen of what it starts."""
        master = self._master()
        return master is None or not master.is_alive

    def close(self) -> None:
        """Forget everything."""
        for resident in self._known.values():
            resident.close()
        self._known.clear()


def _is_ours(words: list[str]) -> bool:
    """Whether a command line is that of a program of this project."""
    is_named = any(os.path.basename(word) in _OUR_PROGRAMS for word in words[:_SCRIPT_WORDS])  # noqa: PTH119
    is_module = "-m" in words[:-1] and words[words.index("-m") + 1] in _OUR_MODULES
    return is_named or is_module


def command_line(pid: int) -> list[str]:
    """Return the words of a process; empty if it is dead."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in data.split(b"\0")[:-1]]


def listener_of(host: str, port: int) -> int | None:
    """Return the process id of the condor_master that takes commands at an address of this host, None if nobody shows.

    Behind a shared port the one that listens is condor_shared_port, whose parent is meant. Who holds a socket is
    shown to root, and to the account that the process runs under.
    """
    inodes = set(_listening_inodes(host, port))
    if not inodes:
        return None
    holders = [pid for pid in _all_pids() if inodes & set(_socket_inodes(pid))]
    # Those who have it from their parent are not meant.
    eldest = [pid for pid in holders if _parent(pid) not in holders]
    for pid in eldest[:1]:
        is_shared = os.path.basename((command_line(pid) or [""])[0]) == "condor_shared_port"  # noqa: PTH119
        return _parent(pid) if is_shared else pid
    return None


def _listening_inodes(host: str, port: int) -> Iterable[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                address, _, number = fields[1].partition(":")
                is_any = not address.strip("0")
                if (
                    fields[3] == _LISTENS
                    and int(number, 16) == port
                    and (is_any or address == _in_table(host))
                ):
                    yield f"socket:[{fields[9]}]"


_LISTENS = "0A"


def _in_table(host: str) -> str:
    """Write an IPv4 address as the kernel's table does; others are only found where somebody listens on all."""
    parts = host.split(".")
    return "".join(f"{int(part):02X}" for part in reversed(parts)) if len(parts) == 4 else ""


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208  hundreds of names


def _socket_inodes(pid: int) -> Iterable[str]:
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(entry.path)  # noqa: PTH115  thousands of them


def _parent(pid: int) -> int:
    """The parent of a process; 0 if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[1])
