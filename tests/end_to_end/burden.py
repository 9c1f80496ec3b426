"""A burden on this machine: more processes that want to run than cores, memory that is short, and a disk that syncs.

    with Cramped(MEMORY_BYTES) as memory, Burden(folder, memory) as burden:
        ...
        assert burden.is_whole

Two processes for each core compute, all at normal priority and each in a session of its own, since a kernel that groups
processes by session (autogroup) would else count them as one. One dirties memory and one writes to a disk and waits for
it, again and again, so they want a core too.

Memory is made short without harm to anybody else: where this machine lets us (root, and a memory cgroup of our own), a
pool and its burden share a group with a limit, and the kernel has to take back pages for each new one. Elsewhere the
burden dirties a part of what is free.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.end_to_end.networks import Loopback

PROGRAM = Path(__file__).with_name("burden_program.py")
BURNERS_A_CORE = 2

#: What a pool of three and its burden share: enough that nothing is killed, too little to keep pages for long.
MEMORY_BYTES = 448 << 20
#: What the hog leaves of it, which the writer's pages fill again at once.
SPARE_BYTES = 32 << 20
#: The writer goes through so much, more than there is room for.
WRITTEN_BYTES = 256 << 20
#: Without a group the hog takes so much of what is free, and no more than that.
SHARE, MOST_BYTES = 0.4, 2 << 30


class Cramped:
    """A memory cgroup below our own, with a limit; `procs` is None where this machine has or allows none.

    Both versions of cgroups are known. With the second a group that has processes cannot have groups below it that
    count memory, so it is rarely possible there.
    """

    def __init__(self, limit_bytes):
        self.limit_bytes = limit_bytes
        self._folder = None
        for parent, limit_name in _own_groups():
            folder = parent / f"had-burden-{os.getpid()}"
            with contextlib.suppress(OSError):
                folder.mkdir()
                try:
                    (folder / limit_name).write_text(str(limit_bytes))
                except OSError:
                    folder.rmdir()
                    raise
                self._folder = folder
                return

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    @property
    def procs(self):
        """The file that takes the processes of the group."""
        return self._folder / "cgroup.procs" if self._folder else None

    def command(self, argv):
        """Return the command that runs a program in the group; it becomes the program."""
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.procs), *argv] if self.procs else argv

    def left_bytes(self):
        """Return what is left beside the memory that processes hold, files' pages left out."""
        fields = dict(line.split() for line in (self._folder / "memory.stat").read_text().splitlines())
        return self.limit_bytes - int(fields.get("total_rss") or fields["anon"])

    def network(self, count):
        """Hosts on loopback addresses, whose programs run in the group."""
        network = Loopback(count)
        network.command = lambda _index, argv: self.command(argv)
        return network

    def close(self):
        """Remove the group; its processes have ended."""
        deadline = time.monotonic() + 10
        while self._folder:
            try:
                self._folder.rmdir()
            except OSError:
                # What a dead process held is given back a moment later.
                assert time.monotonic() < deadline, f"{self._folder}: processes are left"
                time.sleep(0.05)
            else:
                self._folder = None


def _own_groups():
    """Yield the folder of our own memory group, and the name of the file that takes a limit."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield Path("/sys/fs/cgroup/memory" + path), "memory.limit_in_bytes"
        elif not controllers:
            yield Path("/sys/fs/cgroup" + path), "memory.max"


class Burden:
    """Processes that burden this machine until it is closed.

    Args:
        folder: where the writer's file is kept.
        memory: the group that is short of memory; its pool runs already.
    """

    def __init__(self, folder, memory):
        self._file = Path(folder) / "burden"
        size = memory.left_bytes() - SPARE_BYTES if memory.procs else _share_bytes()
        assert size > SPARE_BYTES, "the pool leaves no room for a burden"
        burners = BURNERS_A_CORE * len(os.sched_getaffinity(0))
        hungry = (["hog", str(size)], ["write", str(self._file), str(WRITTEN_BYTES)])
        where = f"in a group of {memory.limit_bytes >> 20} MiB" if memory.procs else "of what is free"
        self.text = f"{burners} processes compute, one dirties {size >> 20} MiB {where}, one writes and syncs"
        self._processes = [_start(_command("burn")) for _ in range(burners)]
        self._processes += [_start(memory.command(_command(*words))) for words in hungry]

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    @property
    def is_whole(self):
        """Whether every part of it is still there; the kernel may have ended one for want of memory."""
        return all(process.poll() is None for process in self._processes)

    def close(self):
        """End it."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._file.unlink(missing_ok=True)


def _command(*words):
    return [sys.executable, "-I", "-S", str(PROGRAM), *words]


def _start(command):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def _share_bytes():
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) << 10
    return min(int(available * SHARE), MOST_BYTES)
